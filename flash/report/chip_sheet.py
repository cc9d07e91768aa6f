"""A chip and one network on it as an HTML page: the picture, then every layer in a table."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from flash.quantities import format_count, format_energy, format_latency, format_memory
from flash.quantities import format_number as plain
from flash.report.chip import ChipView, chip_svg

if TYPE_CHECKING:
    from flash.targets import LayerCost

__all__ = ["chip_html"]

#: What kinds of chip tell of a layer: name in ``LayerCost.details`` -> heading, how it is written,
#: whether layers add up.
_DETAILS: Final[dict[str, tuple[str, Callable[[float], str], bool]]] = {
    "macs": ("MACs", format_count, True),
    "compute_cycles": ("compute cycles", format_count, True),
    "stall_cycles": ("stall cycles", format_count, True),
    "cycles": ("cycles", format_count, True),
    "sram_bytes": ("SRAM bytes", lambda count: format_memory(count / 1e3), True),
    "dram_bytes": ("DRAM bytes", lambda count: format_memory(count / 1e3), True),
    "crossbars": ("crossbars", format_count, True),
    "tiles": ("tiles", format_count, True),
    "compute_ms": ("compute", format_latency, True),
    "noc_ms": ("network on chip", format_latency, True),
    "first_tile": ("first tile", plain, False),
}
_STYLE: Final = """
:root{color-scheme:light dark}
body{font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
max-width:1600px;margin:24px auto;padding:0 24px}
.chip svg{max-width:100%;height:auto}.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:12.5px;font-variant-numeric:tabular-nums}
th,td{padding:3px 10px;text-align:right;white-space:nowrap}
th{position:sticky;top:0;background:Canvas;border-bottom:1px solid GrayText;font-weight:600}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}
tbody tr:hover{background:color-mix(in srgb,CanvasText 8%,Canvas)}
tfoot td{border-top:1px solid GrayText;font-weight:600}
meter{width:70px;height:9px}.foot{color:GrayText;font-size:12.5px}
"""


class _Column(NamedTuple):
    """A column of the table: its heading, the cell of a layer, and the cell of all together."""

    heading: str
    cell: Callable[[LayerCost], str]
    total: str


def chip_html(view: ChipView) -> str:
    """The sheet of a chip: a page that needs no script and fetches nothing.

    The picture of ``chip_svg``; below it all layers in the order they run, each with its time, what
    the kind of chip tells of it (cycles, stalls, bytes moved, tiles, ...) and its energy by
    component; last their sums.
    """
    columns = _columns(view.breakdown.layers)
    head = "".join(f"<th>{html.escape(column.heading)}</th>" for column in columns)
    foot = "".join(f"<td>{column.total}</td>" for column in columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{column.cell(layer)}</td>" for column in columns) + "</tr>"
        for layer in view.breakdown.layers
    )
    title = html.escape(view.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<div class="chip">\n{chip_svg(view)}</div>\n<h2>Layer by layer</h2>\n'
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        f"<tfoot><tr>{foot}</tr></tfoot>\n</table></div>\n"
        '<p class="foot">Energy in the columns on the right is the part of each component; '
        "leakage is that of the whole chip while the layer runs.</p>\n</body>\n</html>\n"
    )


def _columns(layers: Sequence[LayerCost]) -> list[_Column]:
    whole_ms = sum(layer.latency_ms for layer in layers) or 1.0

    def share(layer: LayerCost) -> str:
        part = layer.latency_ms / whole_ms
        return f'<meter value="{part:.4f}"></meter> {part:.1%}'

    columns = [
        _Column("layer", lambda layer: html.escape(layer.name), "all"),
        _Column("operation", lambda layer: html.escape(layer.op), ""),
        _Column("time", lambda layer: format_latency(layer.latency_ms), format_latency(whole_ms)),
        _Column("of all", share, ""),
    ]
    if any(layer.bound for layer in layers):
        columns.append(_Column("bound by", lambda layer: html.escape(layer.bound), ""))
    if not all(math.isnan(layer.utilisation) for layer in layers):
        columns.append(_Column("at work", lambda layer: f"{layer.utilisation:.0%}", ""))
    columns += [_detail(name, layers) for name in _names(layer.details for layer in layers)]
    energies = [sum(layer.energy_mj.values()) for layer in layers]
    columns.append(
        _Column(
            "energy",
            lambda layer: format_energy(sum(layer.energy_mj.values())),
            format_energy(sum(energies)),
        )
    )
    return columns + [_component(n, layers) for n in _names(x.energy_mj for x in layers)]


def _names(mappings: Iterable[Iterable[str]]) -> list[str]:
    """All names, those known here first and in that order, then as they first come."""
    found = dict.fromkeys(name for mapping in mappings for name in mapping)
    known = [name for name in _DETAILS if name in found]
    return [*known, *(name for name in found if name not in _DETAILS)]


def _detail(name: str, layers: Sequence[LayerCost]) -> _Column:
    heading, show, adds = _DETAILS.get(name, (name.replace("_", " "), plain, False))
    total = sum(layer.details.get(name, 0.0) for layer in layers)
    return _Column(
        heading,
        lambda layer: show(layer.details[name]) if layer.details.get(name) else "",
        show(total) if adds else "",
    )


def _component(name: str, layers: Sequence[LayerCost]) -> _Column:
    return _Column(
        name.replace("_", " "),
        lambda layer: format_energy(layer.energy_mj[name]) if layer.energy_mj.get(name) else "",
        format_energy(sum(layer.energy_mj.get(name, 0.0) for layer in layers)),
    )
