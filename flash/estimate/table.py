"""Estimates as text for people: aligned columns, units, the interval beside the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

__all__ = ["Row", "aligned", "entropy_table", "estimate_table", "layer_table"]

#: A value is None where it is not known; ``layers``, where asked for, is a list of such rows.
Row = dict[str, Any]

#: Layers of a network that its table shows; the others are one line.
_MOST_LAYERS: Final = 25
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
    """Model, target, accuracy, latency, energy, memory, parameters, MACs: a row each."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("model", lambda row: short(str(row["design"])))
    ]
    if "target" in rows[0]:
        columns.append(("target", lambda row: str(row["target"])))
    if any("accuracy" in row for row in rows):
        columns.append(("accuracy (90 %)", _accuracy_cell))
    if any("latency_ms" in row for row in rows):
        columns.append(("latency (90 %)", latency_cell))
    if any("energy_mj" in row for row in rows):
        columns.append(("energy", lambda row: _cell(row, "energy_mj", format_energy)))
    if any("area_mm2" in row for row in rows):
        columns.append(("area", lambda row: _cell(row, "area_mm2", quantity("area_mm2").format)))
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


def _accuracy_cell(row: Row) -> str:
    """``93.1 (91.1 to 94.7) %``, with a ``^`` outside what was trained."""
    names = ("accuracy", "accuracy_low", "accuracy_high")
    text = _with_interval(row, names, format_number)
    return f"{text} %{'^' if row.get('accuracy_extrapolated') else ''}" if text else ""


def latency_cell(row: Row) -> str:
    """``12.3 ms (10.1 to 15)``, with a star outside what was fitted."""
    names = ("latency_ms", "latency_low_ms", "latency_high_ms")
    text = _with_interval(row, names, format_latency)
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
    if any("cycles" in layer for layer in layers):
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
        text += f"and {len(rest)} more layers, {share:.1%} of the time\n"
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
    """Cycles and stalls, multipliers at work, bytes moved, energy and its largest components."""
    titles = ("layer", "operation", "time", "share", "cycles", "stalls", "busy")
    cells = [[*titles, "SRAM", "DRAM", "energy", "of which"]]
    for layer in layers:
        parts = {
            _ACRONYMS.get(name[:-3], name[:-3].replace("_", " ")): value
            for name, value in layer.items()
            if name.endswith("_mj") and name != "energy_mj"
        }
        total = layer.get("energy_mj", 0.0)
        ordered = sorted(parts, key=lambda name: -parts[name]) if total else []
        shares = [(name, parts[name] / total) for name in ordered[:_MOST_COMPONENTS]]
        stalls = layer.get("stall_cycles", 0.0) / layer["cycles"] if layer["cycles"] else 0.0
        cells.append(
            [
                short(layer["layer"]),
                layer["op"],
                format_latency(layer["latency_ms"]),
                f"{layer['share']:.1%}",
                format_count(layer["cycles"]),
                f"{stalls:.0%}",
                f"{layer.get('utilisation', 0.0):.0%}",
                format_memory(layer.get("sram_bytes", 0.0) / 1e3),
                format_memory(layer.get("dram_bytes", 0.0) / 1e3),
                format_energy(total),
                ", ".join(f"{name} {x:.0%}" for name, x in shares if x >= _SHOWN_COMPONENT),
            ]
        )
    return cells


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
        text += f"and {len(rest)} more layers, {share:.1%} of the capacity\n"
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
