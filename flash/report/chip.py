"""The chosen chip as a picture: an SVG written by hand, readable in light and in dark.

What the chip looks like its kind of target knows (``Drawing``: rectangles in the unit square);
here they get size, colour and words. Beside it where area and energy go.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flash.quantities import format_number
from flash.report.axes import blend

if TYPE_CHECKING:
    from flash.targets import Block, Breakdown, Drawing

__all__ = ["ChipView", "chip_svg"]

#: Size of the picture, in pixels as are all lengths here.
_WIDTH, _HEIGHT = 900.0, 564.0
#: Upper left corner of the square that shows the chip, and its side.
_LEFT, _TOP, _SIDE = 30.0, 106.0, 390.0
#: Room for an axis left of the square.
_AXIS = 34.0
#: Width below which a block could not be seen.
_THINNEST = 0.2
#: Of a letter in the name of a layer, and the height of a line of it.
_LETTER, _LINE = 5.8, 12.0
#: Opacity up to which white letters could not be read on a block, on white paper.
_PALE = 0.7
#: Characters a line below the title.
_LINE_LENGTH = 110
#: Lines of a breakdown; what is smaller is added up.
_LINES = 8
_STYLE = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.page{fill:#ffffff}.title{font-size:18px;font-weight:600}.sub,.note{font-size:12.5px;fill:#59636e}
.head{font-size:13.5px;font-weight:600}.name{font-size:12px}.value{font-size:12px;fill:#59636e}
.tick{font-size:11px;fill:#59636e}.empty{fill:#eef1f4}.axis{stroke:#818b98;fill:none}
.area{fill:#2563eb}.energy{fill:#d97706}.layer{font-size:10.5px;fill:#ffffff}
.faint{fill:#1f2328}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.page{fill:#0d1117}.sub,.note,.value,.tick{fill:#9198a1}.layer,.faint{fill:#ffffff}.empty{fill:#1c232b}
.axis{stroke:#656c76}}
"""


@dataclass(frozen=True)
class ChipView:
    """What the picture shows of a chip with one network.

    title, lines: above it.  hardware: the chip's variables.  breakdown: where the costs go.
    """

    title: str
    lines: Sequence[str]
    hardware: Mapping[str, object]
    breakdown: Breakdown

    @property
    def subtitle(self) -> list[str]:
        """All lines below the title."""
        words = ", ".join(f"{name} {value}" for name, value in self.hardware.items())
        return [*self.lines, *textwrap.wrap(words, _LINE_LENGTH)]


def chip_svg(view: ChipView) -> str:
    """The picture of a chip, as SVG text."""
    parts = [_text(_LEFT, 34, "title", view.title)]
    parts += [_text(_LEFT, 56 + 17 * k, "sub", line) for k, line in enumerate(view.subtitle)]
    found = view.breakdown
    parts += [] if found.drawing is None else _drawn(found.drawing)
    parts += _bars("area", "mm²", found.area_mm2, _TOP)
    parts += _bars("energy", "mJ", found.energy_mj, _TOP + 222)
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


def _drawn(drawing: Drawing) -> list[str]:
    """The blocks in a square of ``_SIDE``, beside an axis where their heights are shares."""
    left = _LEFT + (_AXIS if drawing.percent_axis else 0.0)
    width = _SIDE - (left - _LEFT)
    gap = 1.0 if drawing.cell * _SIDE > 6 else 0.0
    parts = _axis(left, width) if drawing.percent_axis else []
    parts.append(f'<rect class="empty" x="{left}" y="{_TOP}" width="{width}" height="{_SIDE}"/>')
    for block in drawing.blocks:
        wide = max(block.width * width - gap, _THINNEST)
        opacity = f' fill-opacity="{block.opacity:.2f}"' if block.opacity < 1 else ""
        parts.append(
            f'<rect x="{left + block.left * width:.2f}" y="{_TOP + block.top * _SIDE:.2f}" '
            f'width="{wide:.2f}" height="{block.height * _SIDE - gap:.2f}" '
            f'fill="{_colour(block.layer, drawing.layers)}"{opacity}>'
            f"<title>{html.escape(block.words)}</title></rect>"
        )
    parts += _names(drawing, left, width)
    parts += _ramp("first layer", "last layer", _TOP + _SIDE + 14)
    return [*parts, _text(_LEFT, _TOP + _SIDE + 48, "note", drawing.note)]


def _names(drawing: Drawing, left: float, width: float) -> list[str]:
    """The name of each layer on its largest block, where it fits: along it, or upwards."""
    largest: dict[int, Block] = {}
    for block in drawing.blocks:
        known = largest.get(block.layer)
        if known is None or block.width * block.height > known.width * known.height:
            largest[block.layer] = block
    parts = []
    for block in largest.values():
        name = block.words.partition(":")[0]
        long = _LETTER * len(name) + 6
        wide, high = block.width * width, block.height * _SIDE
        x, y = left + (block.left + block.width / 2) * width, _TOP + block.top * _SIDE + high / 2
        if wide > long and high > _LINE:
            turned = ""
        elif high > long and wide > _LINE:
            turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"'
        else:
            continue
        css = "layer" if block.opacity > _PALE else "layer faint"
        parts.append(_text(x, y + 4, css, name, f' text-anchor="middle"{turned}'))
    return parts


def _axis(left: float, width: float) -> list[str]:
    """0 to 100 % from the bottom to the top of the square, and what is shown along either side."""
    middle = f' text-anchor="middle" transform="rotate(-90 12 {_TOP + _SIDE / 2:.1f})"'
    parts = [_text(12, _TOP + _SIDE / 2, "tick", "multipliers at work", middle)]
    across = ' text-anchor="end"'
    parts.append(_text(left + width, _TOP + _SIDE + 24, "tick", "time", across))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + _SIDE * (1 - share)
        parts.append(f'<path class="axis" d="M{left - 4} {y:.1f}H{left}"/>')
        parts.append(_text(left - 8, y + 4, "tick", f"{100 * share:.0f}%", ' text-anchor="end"'))
    return parts


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
