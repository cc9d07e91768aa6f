"""Two searches, or two models, side by side: what ``flash compare`` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flash.errors import UsageError
from flash.files.reading import read_input
from flash.optimize import hypervolume_gap, non_dominated
from flash.quantities import quantity
from flash.report import DesignReport, Interval, Result, SearchReport, read_search
from flash.report.runs import MANIFEST, read_run

__all__ = ["Comparison", "compare", "compare_models", "sides_of"]

#: Quantities compared, in this order, of those that both sides have.
_COMPARED = ("accuracy", "latency_ms", "energy_mj", "area_mm2", "memory_kb", "params", "macs")
_MODELS = (*_COMPARED, "weight_kb", "activation_kb")
#: What of a run's manifest decides what is found.
_MADE = ("flash", "seed", "inputs", "libraries")


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Two sides, ``a`` and ``b``, each by name.

    rows:    ``what`` is compared, ``quantity``, its value on either side with its interval, the
             ratio b/a, and ``apart``: whether the intervals have nothing in common.
    differs: how the two were made differently, topic -> (a, b).
    facts:   what else there is to tell, by name: designs in both, and shares of the hypervolume.
    """

    a: str
    b: str
    rows: tuple[Mapping[str, Any], ...]
    differs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Schema ``flash.compare/1``."""
        return {
            "schema": "flash.compare/1",
            "a": self.a,
            "b": self.b,
            "differs": {topic: {"a": a, "b": b} for topic, (a, b) in self.differs.items()},
            "facts": dict(self.facts),
            "rows": [dict(row) for row in self.rows],
        }

    def to_records(self) -> Sequence[Mapping[str, Any]]:
        """The rows."""
        return self.rows

    def lines(self) -> list[str]:
        """The sides, how they differ, and a table."""
        lines = [f"a: {self.a}", f"b: {self.b}"]
        lines += [f"{topic}: {a} | {b}" for topic, (a, b) in self.differs.items()]
        lines += self._told()
        cells = [_cells(row) for row in self.rows]
        widths = [max(map(len, column)) + 2 for column in zip(*cells, strict=True)]
        previous = ""
        for row, (label, a, b, ratio, apart) in zip(self.rows, cells, strict=True):
            if row["what"] != previous:
                lines += ["", row["what"]]
                previous = row["what"]
            lines.append(
                f"  {label:<{widths[0]}}{a:>{widths[1]}}{b:>{widths[2]}}  "
                f"{ratio:<{widths[3]}}{apart}".rstrip()
            )
        return lines

    def _told(self) -> list[str]:
        facts = self.facts
        if "in_both" not in facts:
            return []
        lines = [
            f"designs: {facts['in_both']:,.0f} in both, {facts['only_a']:,.0f} in a only, "
            f"{facts['only_b']:,.0f} in b only"
        ]
        if "covered_by_a" in facts:
            shares = ", ".join(f"{s} {100 * facts[f'covered_by_{s}']:.4g} %" for s in "ab")
            lines.append(f"of the hypervolume of both fronts together: {shares}")
        return lines


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """A row of the table: the quantity, its value on either side, their ratio, and the verdict."""
    of = quantity(row["quantity"])
    label = f"{of.label} {f'({of.unit})' if of.unit else ''}".rstrip()
    ratio = f"x{row['ratio']:.3g}" if row["ratio"] is not None else ""
    apart = "" if row["apart"] is None else ("apart" if row["apart"] else "overlap")
    return label, _side(row, "a"), _side(row, "b"), ratio, apart


def _side(row: Mapping[str, Any], side: str) -> str:
    of = quantity(row["quantity"])
    value, low, high = (row[f"{side}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    if low is None:
        return of.number(value)
    return f"{of.number(value)} ({of.number(low)} to {of.number(high)})"


# ------------------------------------------------------------------------------------- searches
def compare(a: str | Path, b: str | Path) -> Comparison:
    """Two searches: folders of runs, or their ``front.json``.

    Raises ``InputError`` for what is no report of a search.
    """
    places = [_report_file(Path(side)) for side in (a, b)]
    first, second = (read_search(read_input(place), str(place)) for place in places)
    runs = [read_run(place.parent) for place in places]
    rows = _picks(first, second)
    names = [
        f"{report.space.name} on {report.target['name']}, {len(report.front):,} designs ({place})"
        for report, place in zip((first, second), places, strict=True)
    ]
    made = _made(first, second, runs)
    return Comparison(names[0], names[1], tuple(rows), made, _common(first, second))


def _picks(a: SearchReport, b: SearchReport) -> list[Mapping[str, Any]]:
    """The picks of two searches by name; one that only one search has stands beside nothing.

    A search that predicts accuracy picks its most accurate design, one by a score its best score.
    """
    left, right = dict(a.picked), dict(b.picked)
    rows: list[Mapping[str, Any]] = []
    for label in dict.fromkeys((*left, *right)):
        designs = left.get(label), right.get(label)
        shorts = " | ".join("-" if design is None else design.short for design in designs)
        rows += _rows(f"{label}: {shorts}", *map(_quantities, designs))
    return rows


def _report_file(place: Path) -> Path:
    return place / "front.json" if place.is_dir() else place


def _made(
    a: SearchReport, b: SearchReport, runs: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[str, str]]:
    """What differs between two searches, and between the manifests of their runs."""
    sides = [
        {
            "space": f"{r.space.name}, {r.space.size:,} designs",
            "target": str(r.target["name"]),
            "runtime": str(r.target.get("runtime", "-")),
            "objectives": ", ".join(quantity(name).label for name in r.objectives),
            "limits": _limits(r),
            "optimizer": r.optimizer.name,
            "accuracy": r.accuracy.statement,
            **{name: _flat(run.get(name)) for name in _MADE},
        }
        for r, run in zip((a, b), runs, strict=True)
    ]
    if not all(runs):
        sides = [{k: v for k, v in side.items() if k not in _MADE} for side in sides]
    topics = [topic for topic in sides[0] if sides[0][topic] != sides[1][topic]]
    return {topic: (sides[0][topic], sides[1][topic]) for topic in topics}


def _flat(value: Any) -> str:
    """A value of ``run.json`` in a line: hashes by their first digits."""
    if not isinstance(value, dict):
        return str(value)
    parts = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            parts.append(f"{name} {inner.get('file', '?')} {str(inner.get('sha256', ''))[:8]}")
        else:
            parts.append(f"{name} {inner}")
    return ", ".join(parts)


def _limits(report: SearchReport) -> str:
    words = (f"{quantity(n).label} {quantity(n).format(v)}" for n, v in report.limits.items())
    return ", ".join(words) or "none"


def _common(a: SearchReport, b: SearchReport) -> dict[str, float]:
    """Designs in both fronts, and the share of the hypervolume of both that each covers.

    The share is there where both have the same objectives.
    """
    keys = [
        {(tuple(d.design.items()), tuple(sorted(d.hardware.items()))) for d in report.front}
        for report in (a, b)
    ]
    facts: dict[str, float] = {
        "in_both": len(keys[0] & keys[1]),
        "only_a": len(keys[0] - keys[1]),
        "only_b": len(keys[1] - keys[0]),
    }
    if set(a.objectives) != set(b.objectives):
        return facts
    signs = [1.0 if quantity(name).sense == "min" else -1.0 for name in a.objectives]
    values = [
        np.array([[d.quantity(name) for name in a.objectives] for d in r.front], dtype=np.float64)
        for r in (a, b)
    ]
    both = np.concatenate(values)
    if not np.isfinite(both).all():
        return facts
    best = both[non_dominated(both, signs)]
    for side, own in zip("ab", values, strict=True):
        facts[f"covered_by_{side}"] = 1 - hypervolume_gap(own, best, signs) / 100
    return facts


def _quantities(design: DesignReport | None) -> dict[str, Interval | float | None]:
    return {name: None if design is None else design.estimate(name) for name in _COMPARED}


# --------------------------------------------------------------------------------------- models
def compare_models(
    a: str,
    b: str,
    target: str | None = None,
    runtime: str | None = None,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> Comparison:
    """Two ONNX files: sizes, and costs on a target where one is given.

    input_shape, inputs: of both, as ``flash.estimate.estimate`` takes them.

    Raises as ``flash.estimate.estimate``, and ``UsageError`` for several targets.
    """
    if target is not None and "," in target:
        raise UsageError(f"--target {target}: give one target to compare on")
    from flash.estimate import estimate  # noqa: PLC0415 (another verb, and an extra)

    rows = estimate(
        models=[a, b],
        target=target,
        runtime=runtime,
        input_shape=input_shape,
        inputs=inputs,
        layers=target is not None,
    )
    found: list[Mapping[str, Interval | float | None]] = []
    for row in rows:
        found.append({name: _interval(row, name) for name in _MODELS})
    compared = _rows("whole model", found[0], found[1])
    if target is not None:
        compared += _operators(*(row["layers"] for row in rows))
    where = f" on {target}" if target else ""
    return Comparison(f"{a}{where}", f"{b}{where}", tuple(compared))


def _interval(row: Mapping[str, Any], name: str) -> Interval | float | None:
    value, low, high = (row.get(column) for column in quantity(name).columns)
    if value is None or low is None or high is None:
        return value
    return Interval(value, low, high, "estimate", bool(row.get("extrapolated")))


def _operators(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Latency by operation, the largest first."""
    sums: list[dict[str, float]] = [{}, {}]
    for side, layers in zip(sums, (a, b), strict=True):
        for layer in layers:
            side[layer["op"]] = side.get(layer["op"], 0.0) + layer["latency_ms"]
    names = sorted({*sums[0], *sums[1]}, key=lambda op: -max(s.get(op, 0.0) for s in sums))
    rows: list[Mapping[str, Any]] = []
    for op in names:
        values = [{"latency_ms": side.get(op, 0.0)} for side in sums]
        rows += _rows(f"operation {op}", *values)
    return rows


def _rows(
    what: str,
    a: Mapping[str, Interval | float | None],
    b: Mapping[str, Interval | float | None],
) -> list[Mapping[str, Any]]:
    """A row a quantity that either side has."""
    rows: list[Mapping[str, Any]] = []
    for name in a:
        left, right = a[name], b[name]
        if left is None and right is None:
            continue
        ends = [_ends(left), _ends(right)]
        first, second = ends[0][0], ends[1][0]
        known = first is not None and second is not None and first > 0
        apart = None
        if isinstance(left, Interval) and isinstance(right, Interval):
            apart = left.high < right.low or right.high < left.low
        rows.append(
            {
                "what": what,
                "quantity": name,
                **{f"a{end}": v for end, v in zip(("", "_low", "_high"), ends[0], strict=True)},
                **{f"b{end}": v for end, v in zip(("", "_low", "_high"), ends[1], strict=True)},
                "ratio": float(second or 0.0) / float(first or 1.0) if known else None,
                "apart": apart,
            }
        )
    return rows


def _ends(value: Interval | float | None) -> tuple[float | None, float | None, float | None]:
    if isinstance(value, Interval):
        return value.value, value.low, value.high
    return value, None, None


def sides_of(a: str, b: str) -> bool:
    """Whether two sides are models; raises ``UsageError`` for a model and a search."""
    models = [side.lower().endswith(".onnx") for side in (a, b)]
    if models[0] != models[1]:
        raise UsageError(
            f"compare two searches (folders with {MANIFEST}, or front.json) or two ONNX files, "
            "not one of each"
        )
    return models[0]
