"""The chosen chip as a picture: an SVG written by hand, readable in light and in dark.

Crossbar tiles: the mesh, each tile in the colour of its layer (first to last along the
ramp), fainter the fewer of its cells hold weights. Systolic arrays: utilisation of the array
over the time of one inference, a block a layer. Beside it where area and energy go.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flash.quantities import format_number
from flash.report.axes import blend

__all__ = ["ChipView", "LayerBlock", "chip_svg"]

_WIDTH, _HEIGHT = 900.0, 564.0
_LEFT, _TOP, _SIDE = 30.0, 106.0, 390.0
#: Lines of a breakdown; what is smaller is added up.
_LINES = 8
_STYLE = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.page{fill:#ffffff}.title{font-size:18px;font-weight:600}.sub,.note{font-size:12.5px;fill:#59636e}
.head{font-size:13.5px;font-weight:600}.name{font-size:12px}.value{font-size:12px;fill:#59636e}
.tick{font-size:11px;fill:#59636e}.empty{fill:#eef1f4}.axis{stroke:#818b98;fill:none}
.area{fill:#2563eb}.energy{fill:#d97706}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.page{fill:#0d1117}.sub,.note,.value,.tick{fill:#9198a1}.empty{fill:#1c232b}
.axis{stroke:#656c76}}
"""


@dataclass(frozen=True)
class LayerBlock:
    """One layer on the chip.

    utilisation: share of its cells that hold weights, or of multipliers at work (0 to 1).
    tiles, first_tile: of a chip of tiles, along the snake; 0 where there are none.
    """

    name: str
    utilisation: float
    latency_ms: float
    tiles: int = 0
    first_tile: int = 0


@dataclass(frozen=True)
class ChipView:
    """What the picture shows.

    mesh_side:  tiles a side of the mesh; 0 for a systolic array.
    area_mm2, energy_mj: component -> of the chip, of one inference.
    """

    title: str
    lines: Sequence[str]
    layers: Sequence[LayerBlock]
    mesh_side: int
    area_mm2: Mapping[str, float]
    energy_mj: Mapping[str, float]


def chip_svg(view: ChipView) -> str:
    """The picture of a chip, as SVG text."""
    parts = [_text(_LEFT, 34, "title", view.title)]
    parts += [_text(_LEFT, 56 + 17 * k, "sub", line) for k, line in enumerate(view.lines)]
    parts += _mesh(view) if view.mesh_side else _time(view)
    parts += _bars("area", "mm²", view.area_mm2, _TOP)
    parts += _bars("energy", "mJ", view.energy_mj, _TOP + 222)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'width="{_WIDTH:g}" height="{_HEIGHT:g}" role="img">\n'
        f"<title>{html.escape(view.title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="page" width="{_WIDTH:g}" height="{_HEIGHT:g}"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, css: str, text: str, more: str = "") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(text)}</text>'


def _colour(k: int, count: int) -> str:
    return blend(k / max(count - 1, 1))


def _mesh(view: ChipView) -> list[str]:
    """The snake of tiles, a rectangle for each run of one layer in one row of the mesh."""
    side = view.mesh_side
    cell = _SIDE / side
    gap = 1.0 if cell > 6 else 0.0
    parts = [f'<rect class="empty" x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>']
    shown = [layer for layer in view.layers if layer.tiles]
    for k, layer in enumerate(shown):
        words = (
            f"{layer.name}: {layer.tiles} tiles, {100 * layer.utilisation:.0f} % of cells in use, "
            f"{format_number(layer.latency_ms)} ms"
        )
        paint = f'fill="{_colour(k, len(shown))}"'
        paint += f' fill-opacity="{0.3 + 0.7 * layer.utilisation:.2f}"'
        first, last = layer.first_tile, layer.first_tile + layer.tiles
        while first < last:
            row, column = divmod(first, side)
            run = min(last - first, side - column)
            left = column if row % 2 == 0 else side - column - run
            parts.append(
                f'<rect x="{_LEFT + left * cell:.1f}" y="{_TOP + row * cell:.1f}" '
                f'width="{run * cell - gap:.1f}" height="{cell - gap:.1f}" {paint}>'
                f"<title>{html.escape(words)}</title></rect>"
            )
            first += run
    parts += _ramp("first layer", "last layer", _TOP + _SIDE + 14)
    note = f"{side} x {side} mesh, tiles in the order of the layers; faint: few cells in use"
    return [*parts, _text(_LEFT, _TOP + _SIDE + 48, "note", note)]


def _time(view: ChipView) -> list[str]:
    """A block a layer: as wide as its time, as high as its utilisation."""
    total = sum(layer.latency_ms for layer in view.layers) or 1.0
    parts, x = [], _LEFT + 34
    width = _SIDE - 34
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + _SIDE * (1 - share)
        parts.append(f'<path class="axis" d="M{_LEFT + 30} {y:.1f}H{x}"/>')
        parts.append(_text(_LEFT + 26, y + 4, "tick", f"{100 * share:.0f}%", ' text-anchor="end"'))
    parts.append(f'<rect class="empty" x="{x}" y="{_TOP}" width="{width}" height="{_SIDE}"/>')
    for k, layer in enumerate(view.layers):
        wide, high = width * layer.latency_ms / total, _SIDE * layer.utilisation
        words = (
            f"{layer.name}: {100 * layer.utilisation:.0f} % of the multipliers, "
            f"{format_number(layer.latency_ms)} ms"
        )
        parts.append(
            f'<rect x="{x:.2f}" y="{_TOP + _SIDE - high:.1f}" width="{max(wide, 0.2):.2f}" '
            f'height="{high:.1f}" fill="{_colour(k, len(view.layers))}">'
            f"<title>{html.escape(words)}</title></rect>"
        )
        x += wide
    parts += _ramp("first layer", "last layer", _TOP + _SIDE + 14)
    note = f"multipliers at work over one inference of {format_number(total)} ms; a block a layer"
    return [*parts, _text(_LEFT, _TOP + _SIDE + 48, "note", note)]


def _ramp(low: str, high: str, y: float) -> list[str]:
    steps, width = 24, 150.0
    parts = [_text(_LEFT, y + 10, "tick", low)]
    for k in range(steps):
        x = _LEFT + 62 + k * width / steps
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width / steps + 0.3:.1f}" height="11" '
            f'fill="{_colour(k, steps)}"/>'
        )
    return [*parts, _text(_LEFT + 62 + width + 8, y + 10, "tick", high)]


def _bars(name: str, unit: str, values: Mapping[str, float], top: float) -> list[str]:
    """A breakdown, largest first, as bars with value and share."""
    left, total = 470.0, sum(values.values())
    parts = [_text(left, top + 10, "head", f"{name}: {format_number(total)} {unit}")]
    ordered = sorted(((v, k) for k, v in values.items() if v > 0), reverse=True)
    lines = [(k.replace("_", " "), v) for v, k in ordered[:_LINES]]
    if len(ordered) > _LINES:
        lines.append((f"{len(ordered) - _LINES} others", sum(v for v, _ in ordered[_LINES:])))
    longest = max((value for _, value in lines), default=1.0)
    for k, (words, value) in enumerate(lines):
        y = top + 22 + 20 * k
        parts.append(_text(left + 112, y + 12, "name", words, ' text-anchor="end"'))
        wide = 170 * value / longest
        parts.append(
            f'<rect class="{name}" x="{left + 120:.1f}" y="{y:.1f}" width="{max(wide, 1):.1f}" '
            f'height="14" rx="2"/>'
        )
        share = f"{format_number(value)} {unit}, {100 * value / total:.0f} %"
        parts.append(_text(left + 126 + wide, y + 12, "value", share))
    return parts
