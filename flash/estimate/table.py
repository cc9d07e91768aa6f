"""Estimates as text for people: aligned columns, units, the interval beside the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flash.quantities import (
    EXTRAPOLATED,
    format_count,
    format_energy,
    format_latency,
    format_memory,
    format_number,
    quantity,
)

__all__ = ["Row", "aligned", "basis_lines", "entropy_table", "estimate_table", "layer_table"]

#: A value is None where it is not known; ``layers``, where asked for, is a list of such rows.
Row = dict[str, Any]

#: Value and ends of what has an interval.
_LATENCY: Final = ("latency_ms", "latency_low_ms", "latency_high_ms")
_ENERGY: Final = ("energy_mj", "energy_low_mj", "energy_high_mj")
_AREA: Final = ("area_mm2", "area_low_mm2", "area_high_mm2")
#: Layers of a network that its table shows; the others are one line.
_MOST_LAYERS: Final = 25
#: How to see the others.
_ALL_LAYERS: Final = "--layers --csv FILE: all"
#: The same of blocks: those that take longest, in order of execution.
_MOST_BLOCKS: Final = 15
#: Components of a layer's energy that are shown, largest first, and the least share of one.
_MOST_COMPONENTS: Final = 4
_SHOWN_COMPONENT: Final = 0.01
#: Components written in capitals.
_ACRONYMS: Final = {name: name.upper() for name in ("sram", "dram", "adc", "dac")}
#: Losses of entropy that are shown.
_SHOWN_LOSS: Final = 0.005
#: Longer names are cut at the front, where paths differ least.
_LONGEST_NAME: Final = 40


def estimate_table(rows: Sequence[Row]) -> str:
    """Model, target, accuracy, latency, energy, area, memory, parameters, MACs: a row each."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("model", lambda row: short(str(row["design"])))
    ]
    if "target" in rows[0]:
        columns.append(("target", lambda row: str(row["target"])))
    if any("accuracy" in row for row in rows):
        columns.append(("accuracy (90 %)", _accuracy_cell))
    if any("latency_ms" in row for row in rows):
        columns.append(("latency (interval)", latency_cell))
    if any("energy_mj" in row for row in rows):
        columns.append(
            ("energy (interval)", lambda row: _with_interval(row, _ENERGY, format_energy))
        )
    if any("area_mm2" in row for row in rows):
        area = quantity("area_mm2").format
        columns.append(("area (interval)", lambda row: _with_interval(row, _AREA, area)))
    columns += [
        ("weights", lambda row: format_memory(row["weight_kb"])),
        ("activations", lambda row: format_memory(row["activation_kb"])),
        ("params", lambda row: format_count(row["params"])),
        ("MACs", lambda row: format_count(row["macs"])),
    ]
    cells = [[title for title, _ in columns]]
    cells += [[cell(row) for _, cell in columns] for row in rows]
    text = aligned(cells)
    if any(row.get("extrapolated") for row in rows):
        text += f"* {EXTRAPOLATED}\n"
    if any(row.get("accuracy_extrapolated") for row in rows):
        text += "^ unlike the networks that were trained: its interval is widened\n"
    return text


def basis_lines(basis_of: Mapping[str, str]) -> str:
    """What the costs of targets rest on; a line a basis, with the targets it is of."""
    targets_of: dict[str, list[str]] = {}
    for target, basis in basis_of.items():
        targets_of.setdefault(basis, []).append(target)
    return "".join(f"{', '.join(names)}: {basis}\n" for basis, names in targets_of.items())


def _accuracy_cell(row: Row) -> str:
    """``93.1 (91.1 to 94.7) %``, with a ``^`` outside what was trained."""
    names = ("accuracy", "accuracy_low", "accuracy_high")
    text = _with_interval(row, names, format_number)
    return f"{text} %{'^' if row.get('accuracy_extrapolated') else ''}" if text else ""


def latency_cell(row: Row) -> str:
    """``12.3 ms (10.1 to 15)``, with a star outside what was fitted."""
    text = _with_interval(row, _LATENCY, format_latency)
    return f"{text}{'*' if row.get('extrapolated') else ''}" if text else ""


def _with_interval(row: Row, names: Sequence[str], text: Callable[[float], str]) -> str:
    """``12.3 (10.1 to 15)`` of a value and its interval's ends; empty where it is not known."""
    if row.get(names[0]) is None:
        return ""
    value, low, high = (text(row[name]) for name in names)
    return f"{value} ({low} to {high})"


def layer_table(row: Row) -> str:
    """The layers that take longest, with what bounds each, and the blocks that do."""
    layers = sorted(row["layers"], key=lambda layer: -layer["latency_ms"])
    measured = any(layer.get("measured_ms") is not None for layer in layers)
    where = f" on {row['target']}" if "target" in row else ""
    if any(name in layer for layer in layers for name in ("cycles", "tiles")):
        return _with_rest(row, where, _chip_cells(layers[:_MOST_LAYERS]), measured)
    more = ["measured"] if measured else []
    cells = [["layer", "operation", "time", *more, "share", "MACs", "bytes", "entropy", "bound by"]]
    for layer in layers[:_MOST_LAYERS]:
        moved = layer.get("bytes", layer.get("dram_bytes"))
        cells.append(
            [
                short(layer["layer"]),
                layer["op"],
                format_latency(layer["latency_ms"]),
                *([_cell(layer, "measured_ms", format_latency)] if measured else []),
                f"{layer['share']:.1%}",
                format_count(layer["macs"]) if layer.get("macs") else "",
                format_memory(moved / 1e3) if moved else "",
                _entropy(layer),
                layer["bound"] + ("" if layer["rated"] else " (no rate of its own)"),
            ]
        )
    return _with_rest(row, where, cells, measured)


def _with_rest(row: Row, where: str, cells: list[list[str]], measured: bool) -> str:
    """A title, the rows of the layers shown, what the others take, and the blocks."""
    rest = sorted(row["layers"], key=lambda layer: -layer["latency_ms"])[_MOST_LAYERS:]
    text = f"{row['design']}{where}\n{aligned(cells)}"
    if rest:
        share = sum(layer["share"] for layer in rest)
        text += f"and {len(rest)} more layers, {share:.1%} of the time ({_ALL_LAYERS})\n"
    return text + _block_table(row.get("blocks", ()), measured)


def _block_table(blocks: Sequence[Row], measured: bool) -> str:
    if not blocks:
        return ""
    shown = sorted(blocks, key=lambda block: -block["latency_ms"])[:_MOST_BLOCKS]
    cells = [["block", "layers", "time", *(["measured"] if measured else []), "share", "MACs"]]
    for block in (block for block in blocks if block in shown):
        cells.append(
            [
                short(block["block"]),
                str(block["layers"]),
                format_latency(block["latency_ms"]),
                *([_cell(block, "measured_ms", format_latency)] if measured else []),
                f"{block['share']:.1%}",
                format_count(block["macs"]) if block.get("macs") else "",
            ]
        )
    rest = len(blocks) - len(shown)
    return "\n" + aligned(cells) + (f"and {rest} blocks of less\n" if rest else "")


def _chip_cells(layers: Sequence[Row]) -> list[list[str]]:
    """Time and energy with its largest components, and what else the chip's model tells."""
    known = {name for layer in layers for name in layer}
    columns = [column for column in _CHIP_COLUMNS if column[1] in known]
    cells = [[title for title, _, _ in columns]]
    return cells + [[show(layer) for _, _, show in columns] for layer in layers]


def _stalls(layer: Row) -> str:
    cycles = layer["cycles"]
    return f"{layer.get('stall_cycles', 0.0) / cycles if cycles else 0.0:.0%}"


def _components(layer: Row) -> str:
    """``DRAM 60 %, SRAM 12 %``: the largest components of the layer's energy."""
    total = layer["energy_mj"]
    if not total:
        return ""
    parts = {
        _ACRONYMS.get(name[:-3], name[:-3].replace("_", " ")): value / total
        for name, value in layer.items()
        if name.endswith("_mj") and name != "energy_mj"
    }
    largest = sorted(parts, key=lambda name: -parts[name])[:_MOST_COMPONENTS]
    return ", ".join(f"{x} {parts[x]:.0%}" for x in largest if parts[x] >= _SHOWN_COMPONENT)


#: Columns of a chip's layers: title, what a layer must have, cell.
_CHIP_COLUMNS: Final[tuple[tuple[str, str, Callable[[Row], str]], ...]] = (
    ("layer", "layer", lambda layer: short(layer["layer"])),
    ("operation", "op", lambda layer: str(layer["op"])),
    ("time", "latency_ms", lambda layer: format_latency(layer["latency_ms"])),
    ("share", "share", lambda layer: f"{layer['share']:.1%}"),
    ("cycles", "cycles", lambda layer: format_count(layer["cycles"])),
    ("stalls", "cycles", _stalls),
    ("tiles", "tiles", lambda layer: f"{layer['tiles']:g}"),
    ("busy", "utilisation", lambda layer: f"{layer['utilisation']:.0%}"),
    ("SRAM", "sram_bytes", lambda layer: format_memory(layer["sram_bytes"] / 1e3)),
    ("DRAM", "dram_bytes", lambda layer: format_memory(layer["dram_bytes"] / 1e3)),
    ("energy", "energy_mj", lambda layer: format_energy(layer["energy_mj"])),
    ("of which", "energy_mj", _components),
)


def entropy_table(row: Row) -> str:
    """The layers that lose most entropy, then those that hold most of the capacity."""
    layers = sorted(
        row["layers"], key=lambda of: (-round(of["entropy_lost"], 3), -of["capacity_share"])
    )
    cells = [["layer", "operation", "entropy", "lost", "capacity"]]
    for layer in layers[:_MOST_LAYERS]:
        lost, capacity = layer["entropy_lost"], layer["capacity_share"]
        cells.append(
            [
                short(layer["layer"]),
                layer["op"],
                f"{layer['entropy']:.1%}",
                f"{lost:.1%}" if lost >= _SHOWN_LOSS else "",
                f"{capacity:.1%}" if capacity else "",
            ]
        )
    text = f"{row['design']}\n{aligned(cells)}"
    if rest := layers[_MOST_LAYERS:]:
        share = sum(layer["capacity_share"] for layer in rest)
        text += f"and {len(rest)} more layers, {share:.1%} of the capacity ({_ALL_LAYERS})\n"
    return text


def _entropy(layer: Row) -> str:
    """``91 %``, or ``60 %, lost 12 %`` of a layer that loses some; empty where unknown."""
    if layer["entropy"] is None:
        return ""
    lost = layer["entropy_lost"]
    return f"{layer['entropy']:.0%}" + (f", lost {lost:.0%}" if lost >= _SHOWN_LOSS else "")


def short(name: str) -> str:
    """A name of at most 40 characters, its end kept."""
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Lines of columns that stand below each other; the first row is the heading."""
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    lines = (
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )
    return "".join("".join(c if c.isprintable() else " " for c in x) + "\n" for x in lines)


def _cell(row: Row, name: str, show: Callable[[float], str]) -> str:
    value: Any = row.get(name)
    return "" if value is None else show(value)
