"""Predictions beside what was measured, for the same ONNX files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flash.measurements.records import KernelTime, Record, describe_origin, read_records
from flash.quantities import EXTRAPOLATED, format_latency, quantity

__all__ = ["Comparison", "comparison_table", "read_comparison"]

Value = str | int | float | bool | None
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Comparison:
    """Measured ONNX files by their content.

    origin:   device, runtime, threads and date, in one line.
    problems: lines of the file that could not be used.
    """

    origin: str
    by_sha256: Mapping[str, Record]
    problems: tuple[str, ...] = ()

    def kernels(self, path: str | Path) -> tuple[KernelTime, ...]:
        """The kernels that were timed of a file; none where it or they were not measured."""
        record = self.by_sha256.get(_digest(path))
        return record.kernels if record else ()

    def columns(self, path: str | Path, row: Row) -> dict[str, Value]:
        """What is measured of a file, and how the prediction in ``row`` compares.

        measured_over_predicted is the ratio of the latencies, in_interval whether the measured
        one lies in the predicted interval; None without a measurement or a prediction.
        """
        record = self.by_sha256.get(_digest(path))
        found: dict[str, Value] = {
            "measured_ms": record.latency_ms if record else None,
            "measured_p10_ms": record.p10_ms if record else None,
            "measured_p90_ms": record.p90_ms if record else None,
            "measured_over_predicted": None,
            "in_interval": None,
        }
        value, low, high = (row.get(column) for column in quantity("latency_ms").columns)
        if record and value and low is not None and high is not None:
            found["measured_over_predicted"] = record.latency_ms / float(value)
            found["in_interval"] = float(low) <= record.latency_ms <= float(high)
        return found


def _digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_comparison(path: str | Path) -> Comparison:
    """What ``flash.profile`` wrote of ONNX files; measurements of other networks are left out.

    Raises ``InputError``, naming the line, for a file that is none of its.
    """
    found = read_records(Path(path))
    tally = found.tally
    tally.check(kept=len(found.records) or not tally.bad)
    measured = {str(r.network.get("sha256")): r for r in found.records if "onnx" in r.network}
    return Comparison(describe_origin(found.header), measured, tally.problems)


def comparison_table(rows: Sequence[Row], provenance: Sequence[str], origin: str) -> str:
    """Aligned text: predicted with its interval, measured with 10th and 90th percentile, ratio."""
    header = ("model", "predicted (90 % interval)", "measured (p10 to p90)", "ratio", "inside")
    cells = [header]
    for row in rows:
        predicted = _span(row, *quantity("latency_ms").columns)
        star = "*" if row.get("extrapolated") else ""
        measured = _span(row, "measured_ms", "measured_p10_ms", "measured_p90_ms")
        ratio, inside = row["measured_over_predicted"], row["in_interval"]
        shown = f"{ratio:.2f}" if isinstance(ratio, float) else ""
        cells.append(
            (
                str(row["design"]),
                predicted + star,
                measured,
                shown,
                "" if inside is None else ("yes" if inside else "no"),
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = ["predicted  " + "\n           ".join(provenance), f"measured   {origin}", ""]
    for line in cells:
        words = [word.ljust(width) for word, width in zip(line, widths, strict=True)]
        lines.append("  ".join(words).rstrip())
    lines += ["", "ratio and interval mean something where both name one device and runtime"]
    if any(row.get("extrapolated") for row in rows):
        lines += [f"* {EXTRAPOLATED}"]
    return "\n".join(lines) + "\n"


def _span(row: Row, *names: str) -> str:
    known = [format_latency(float(x)) for x in (row.get(name) for name in names) if x is not None]
    if not known:
        return "not measured" if names[0].startswith("measured") else "unknown"
    value, *ends = known
    return f"{value} ({ends[0]} to {ends[1]})" if len(ends) == 2 else value
