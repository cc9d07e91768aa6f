"""What the terminal table says: which designs, which columns, and what goes when it is narrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flash.quantities import format_number, quantity
from flash.report.interval import Interval

if TYPE_CHECKING:
    from flash.report.data import SearchData
    from flash.report.design import DesignReport

__all__ = ["Column", "Row", "breakable", "choose_columns", "rows_of"]

#: Characters between two columns.
_GAP = 2
#: Characters below which the column of designs is not folded.
_LEAST_DESIGN_WIDTH = 22
#: What is given up, in this order, until the table fits: a whole column, or its long form.
_STEPS = (
    ("memory_kb", "short"),
    ("area_mm2", "short"),
    ("energy_mj", "short"),
    ("nn_degree", "drop"),
    ("macs", "drop"),
    ("params", "drop"),
    ("design", "wrap"),
    ("energy_mj", "drop"),
    ("memory_kb", "drop"),
    ("accuracy", "short"),
    ("latency_ms", "short"),
    ("design", "drop"),
)


@dataclass(frozen=True)
class Row:
    """A line of the table: a design, and the names of its picks or its id."""

    label: str
    design: DesignReport
    picked: bool


@dataclass(frozen=True)
class Column:
    """A column: cells in the long form, and in a shorter one where there is one.

    unit is the second line of the heading; width is 0 where the longest cell decides.
    """

    key: str
    heading: str
    unit: str
    cells: tuple[str, ...]
    short: tuple[str, ...] = ()
    short_unit: str = ""
    right: bool = True
    width: int = 0

    @property
    def wide(self) -> int:
        """Characters the column takes."""
        return self.width or max(len(text) for text in (self.heading, self.unit, *self.cells))


def rows_of(report: SearchData, *, quiet: bool, more: int = 10) -> list[Row]:
    """The picks, then unless ``quiet`` up to ``more`` further designs spread over the front.

    The latency range is cut into equal parts on a log scale, and each part shows the design
    with the best score in it.
    """
    labels: dict[str, list[str]] = {}
    designs: dict[str, DesignReport] = {}
    for label, design in report.picked:
        labels.setdefault(design.id, []).append(label)
        designs[design.id] = design
    rows = [Row(", ".join(names), designs[key], True) for key, names in labels.items()]
    if quiet:
        return rows
    others = [design for design in report.front if design.id not in labels]
    if len(others) > more:
        others = _spread(report, others, more)
    return rows + [Row(design.id, design, False) for design in others]


def _spread(report: SearchData, designs: Sequence[DesignReport], parts: int) -> list[DesignReport]:
    low = math.log(designs[0].latency_ms.value)
    span = math.log(designs[-1].latency_ms.value) - low or 1.0
    best: dict[int, tuple[float, DesignReport]] = {}
    for design in designs:
        place = min(int(parts * (math.log(design.latency_ms.value) - low) / span), parts - 1)
        score = design.quantity(report.score) or 0.0
        if place not in best or score > best[place][0]:
            best[place] = (score, design)
    return [best[place][1] for place in sorted(best)]


def choose_columns(
    report: SearchData, rows: Sequence[Row], width: int, dash: str = "-"
) -> list[Column]:
    """The columns that fit into ``width`` characters; ``dash`` joins the ends of intervals."""
    columns = {column.key: column for column in _columns(report, rows, dash)}
    for key, step in _STEPS:
        if _total(columns) <= width:
            break
        column = columns.get(key)
        if column is None or (key == report.score and step == "drop"):
            continue
        if step == "drop":
            del columns[key]
        elif step == "wrap":
            columns[key] = replace(column, width=_wrapped(column))
        elif column.short:
            columns[key] = replace(column, cells=column.short, unit=column.short_unit)
    if "design" in columns and columns["design"].width:
        design = columns["design"]
        spare = width - _total(columns)
        full = replace(design, width=0).wide
        columns["design"] = replace(design, width=min(design.width + max(spare, 0), full))
    return list(columns.values())


def breakable(text: str) -> str:
    """A benchmark's string has no blanks; its nodes are joined by ``+``, where a line may end."""
    return text if " " in text else text.replace("+", "+ ")


def _total(columns: dict[str, Column]) -> int:
    return sum(column.wide for column in columns.values()) + _GAP * (len(columns) - 1)


def _wrapped(column: Column) -> int:
    longest = max((len(word) for cell in column.cells for word in cell.split()), default=1)
    return min(max(longest, _LEAST_DESIGN_WIDTH), column.wide)


def _columns(report: SearchData, rows: Sequence[Row], dash: str) -> list[Column]:
    designs = [row.design for row in rows]
    columns = [
        Column("label", "", "", tuple(row.label for row in rows), right=False),
        Column("design", "design", "", tuple(breakable(d.short) for d in designs), right=False),
    ]
    predicted = ("accuracy",) if report.accuracy.calibrated else ()
    for name in dict.fromkeys((*predicted, report.score, "nn_degree")):
        columns.append(_quantity(name, designs, dash, report.accuracy.label(name)))
    columns.append(_quantity("latency_ms", designs, dash))
    for name in ("energy_mj", "area_mm2"):
        if any(design.quantity(name) is not None for design in designs):
            columns.append(_quantity(name, designs, dash))
    halves = [f"{format_number(d.weight_kb)}+{format_number(d.activation_kb)}" for d in designs]
    total = tuple(format_number(d.memory_kb) for d in designs)
    heading = ("memory_kb", "memory kB", "weights+act.")
    columns.append(Column(*heading, tuple(halves), total))
    for name in ("params", "macs"):
        of = quantity(name)
        columns.append(
            Column(name, of.label, "", tuple(of.number(getattr(d, name)) for d in designs))
        )
    return columns


def _quantity(name: str, designs: Sequence[DesignReport], dash: str, heading: str = "") -> Column:
    of = quantity(name)
    long, short = [], []
    for design in designs:
        value = design.estimate(name)
        # The cost model stands behind latency; its mark is for the designs it never saw.
        mark = "*" if design.extrapolated and name == "latency_ms" else ""
        if name == "accuracy" and design.accuracy is not None and design.accuracy.extrapolated:
            mark = "^"
        if value is None:
            long.append("?")
            short.append("?")
        elif isinstance(value, Interval):
            middle, low, high = map(of.number, (value.value, value.low, value.high))
            long.append(f"{middle} ({low}{dash}{high}){mark}")
            short.append(f"{middle}{mark}")
        else:
            long.append(of.number(value))
            short.append(of.number(value))
    return Column(name, heading or of.label, of.unit, tuple(long), tuple(short), of.unit)
