"""Predictions beside what was measured, for the same ONNX files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash.errors import InputError
from flash.files.locations import read_text
from flash.quantities import format_latency

__all__ = [
    "SCHEMA",
    "Measurements",
    "comparison_table",
    "describe_origin",
    "read_measurements",
]

#: As ``scripts/profile_device.py`` writes it.
SCHEMA = "flash.measurements/1"

Value = str | int | float | bool | None
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Measurements:
    """Latencies of ONNX files: (median, p10, p90) in ms, by the file's SHA-256.

    origin: device, runtime, threads and date, in one line.
    """

    origin: str
    by_sha256: Mapping[str, tuple[float, float, float]]

    def columns(self, path: str | Path, row: Row) -> dict[str, Value]:
        """What is measured of a file, and how the prediction in ``row`` compares.

        measured_over_predicted is the ratio of the latencies, in_interval whether the measured
        one lies in the predicted interval; None without a measurement or a prediction.
        """
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        median, p10, p90 = self.by_sha256.get(digest, (None, None, None))
        found: dict[str, Value] = {
            "measured_ms": median, "measured_p10_ms": p10, "measured_p90_ms": p90,
            "measured_over_predicted": None, "in_interval": None,
        }  # fmt: skip
        value, low, high = (row.get(f"latency_{end}ms") for end in ("", "low_", "high_"))
        if median is not None and value and low is not None and high is not None:
            found["measured_over_predicted"] = median / float(value)
            found["in_interval"] = float(low) <= median <= float(high)
        return found


def read_measurements(path: str | Path) -> Measurements:
    """What ``flash.profile`` wrote of ONNX files.

    Raises ``InputError``, naming the line, for a file that is none of its.
    """
    place = Path(path)
    lines = [line for line in read_text(place, InputError).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{place}: empty")
    head = _object(lines[0], place, 1)
    if head.get("schema") != SCHEMA:
        raise InputError(f"{place}: expected measurements of schema {SCHEMA} (flash.profile)")
    found: dict[str, list[tuple[float, float, float]]] = {}
    for number, line in enumerate(lines[1:], start=2):
        record = _object(line, place, number)
        network = record.get("network")
        if "error" in record or not isinstance(network, dict) or "onnx" not in network:
            continue
        digest, latency = str(network.get("sha256")), _latency(record, place, number)
        found.setdefault(digest, []).append(latency)
    # Of several passes over the networks the fastest counts; the median comes first.
    return Measurements(
        describe_origin(head), {digest: min(passes) for digest, passes in found.items()}
    )


def comparison_table(rows: Sequence[Row], provenance: Sequence[str], origin: str) -> str:
    """Aligned text: predicted with its interval, measured with 10th and 90th percentile, ratio."""
    header = ("model", "predicted (90 % interval)", "measured (p10 to p90)", "ratio", "inside")
    cells = [header]
    for row in rows:
        predicted = _span(row, "latency_ms", "latency_low_ms", "latency_high_ms")
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
        lines += ["* unlike anything the cost model was fitted to: its interval is widened"]
    return "\n".join(lines) + "\n"


def _span(row: Row, *names: str) -> str:
    values = [row.get(name) for name in names]
    if any(value is None for value in values):
        return "not measured" if names[0].startswith("measured") else "unknown"
    value, low, high = (format_latency(float(x)) for x in values if x is not None)
    return f"{value} ({low} to {high})"


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{path}, line {number}: no JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}, line {number}: expected a JSON object")
    return value


def _latency(record: Mapping[str, Any], path: Path, number: int) -> tuple[float, float, float]:
    found = record.get("latency_ms")
    given: dict[str, Any] = found if isinstance(found, dict) else {}
    median, p10, p90 = (
        float(given[k]) if type(given.get(k)) in (int, float) else math.nan
        for k in ("median", "p10", "p90")
    )
    if not 0 < p10 <= median <= p90 < math.inf:
        raise InputError(
            f"{path}, line {number}: latency_ms needs median, p10 and p90, positive and in order"
        )
    return median, p10, p90


def describe_origin(head: Mapping[str, Any]) -> str:
    """Device, runtime, threads, precision and date of a result file's first line."""
    device, runtime = (head.get(key) for key in ("device", "runtime"))
    device = device if isinstance(device, dict) else {}
    runtime = runtime if isinstance(runtime, dict) else {}
    words = [
        str(device.get("model") or "device not stated"),
        str(device.get("cpu") or ""),
        f"{runtime.get('name', 'runtime not stated')} {runtime.get('version', '')}".strip(),
        f"{head.get('threads', '?')} threads",
        str(head.get("precision", "")),
        str(head.get("date", "")),
    ]
    line = ", ".join(word for word in words if word)
    return "".join(c if c.isprintable() else " " for c in line)
