"""An external meter's CSV: the energy it saw in each network's window.

Columns ``time`` (or ``timestamp``; unix seconds or ISO 8601) and ``power_w`` (or ``power_mw``).
A reading holds until the next one, so means are weighted by time: a meter that logs more often
when the power changes counts rightly. The first and last tenth of a window are left out,
because meters lag. A window in which no reading came for more than half of it has no energy.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple, Sequence

from flash.device.ground.refusal import Refused
from flash.device.journal import Journal
from flash.device.meter_clock import Offset, find_offset
from flash.device.sensors.power import LONGEST_GAP, longest_gap, mean_power
from flash.device.suite import open_file, short
from flash.device.timing import rounded

#: Largest file, in bytes, and most readings: 200 a second for five hours. A reading takes about
#: 200 bytes of memory.
LARGEST_METER = 256 << 20
MOST_READINGS = 4_000_000
#: What is left out at each end of a window, as a share of it.
METER_MARGIN = 0.1
#: Offset of a meter's zero, as a share of its largest reading: below zero by more, its wires
#: are the other way round.
METER_ZERO = 0.01

Samples = Sequence["tuple[float, float]"]


class Merged(NamedTuple):
    """What came of a meter's readings: networks that got an energy, and why others did not."""

    networks: int
    offset: Offset
    problems: list[str]


def read_meter(path: str) -> list[tuple[float, float]]:
    """(unix seconds, watts) in order of time; raises ``Refused``, with the line, for a bad one."""
    samples: list[tuple[float, float]] = []
    number = 1
    with open_file(path, LARGEST_METER) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=""))
        try:
            names = [name.strip().lower() for name in next(rows, [])]
            clock, power, factor = _columns(path, names)
            number = 2
            for cells in rows:
                number = rows.line_num
                if cells:
                    samples.append(_sample(cells, clock, power, factor))
                number += 1
                if len(samples) > MOST_READINGS:
                    raise ValueError(f"more than {MOST_READINGS} readings: cut the file")
        except (csv.Error, ValueError) as error:
            raise Refused(f"{path}, line {number}: {error}", 4) from None
    largest = max((abs(watts) for _, watts in samples), default=0.0)
    for at, (_, watts) in enumerate(samples, start=2):
        if watts < -METER_ZERO * largest:
            raise Refused(
                f"{path}, line {at}: {watts:g} W is below zero: the meter is wired the other way "
                "round",
                4,
            )
    return sorted(samples)


def _columns(path: str, names: list[str]) -> tuple[int, int, float]:
    for power, factor in (("power_w", 1.0), ("power_mw", 1e-3)):
        for clock in ("time", "timestamp"):
            if power in names and clock in names:
                return names.index(clock), names.index(power), factor
    got = short(", ".join(names))[1:-1]
    raise Refused(f"{path}: expected columns time and power_w, got {got}", 4)


def _sample(cells: list[str], clock: int, power: int, factor: float) -> tuple[float, float]:
    """The reading in a line; raises ``ValueError`` with what is wrong."""
    if len(cells) <= max(clock, power):
        raise ValueError("expected a time and a number")
    try:
        moment, watts = _unix(cells[clock]), float(cells[power]) * factor
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a time and a number") from None
    if not math.isfinite(moment) or not math.isfinite(watts):
        raise ValueError(
            f"expected a time and a number, got {short(cells[clock])}, {short(cells[power])}: the "
            "meter dropped out; delete the line"
        )
    return moment, watts


def _unix(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return moment.timestamp()  # local time where the text names no zone


def merge_meter(
    records: list[dict[str, Any]], samples: Samples, offset_s: float | None = None
) -> Merged:
    """Give records the energy that the meter saw in their windows.

    offset_s: the meter's clock less this device's; None finds it from the windows' edges.

    Raises ``Refused`` where the readings rise and fall at other times than the windows and no
    one offset explains that.
    """
    held = [r for r in records if r.get("window") and not r["window"].get("clock_was_set")]
    if offset_s is None:
        offset = find_offset([r["window"] for r in held], samples)
    else:
        offset = Offset(offset_s, True, 0)
    times = [moment for moment, _ in samples]
    problems: list[str] = []
    merged = 0
    for record in held:
        problem = _merge_one(record, samples, times, offset)
        if problem:
            problems.append(problem)
        else:
            merged += 1
    return Merged(merged, offset, problems)


def _merge_one(
    record: dict[str, Any], samples: Samples, times: Sequence[float], offset: Offset
) -> str:
    """Give one record its energy; returns why it got none."""
    window, name = record["window"], short(record.get("network"))
    margin = METER_MARGIN * window["seconds"]
    start = window["start"] + offset.seconds
    begin, end = start + margin, start + window["seconds"] - margin
    first, last = bisect_left(times, begin), bisect_right(times, end)
    if first == last:
        return f"{name}: no reading in its window"
    at, gap = longest_gap(times[max(first - 1, 0) : last + 1], begin, end)
    if gap > LONGEST_GAP * (end - begin):
        return f"{name}: no reading for {gap:.3g} s from {at:.3f} on"
    power = mean_power(samples[max(first - 1, 0) : last], begin, end)
    if not power > 0:
        return f"{name}: {power:.3g} W while it ran"
    energy: dict[str, Any] = {
        "mean": rounded(1e3 * power * window["seconds"] / window["runs"]),
        "runs": window["runs"],
        "samples": last - first,
        "sensor": "external meter",
    }
    if offset.seconds:
        energy["clock_offset_s"] = round(offset.seconds, 3)
    others = _others(record.get("energy_mj"))
    if others:
        energy["others"] = others
    record["energy_mj"], record["power_w"] = energy, rounded(power)
    return ""


def _others(before: Any) -> dict[str, Any]:
    """What other sensors said of a network before a meter did, by their names."""
    if not isinstance(before, dict):
        return {}
    known = before.get("others")
    others = dict(known) if isinstance(known, dict) else {}
    if "mean" in before and before.get("sensor") != "external meter":
        others[str(before.get("sensor"))] = before["mean"]
    return others


def merge(journal: Journal, meter: str, offset_s: float | None = None) -> Merged:
    """Write the meter's energies into a result file."""
    samples = read_meter(meter)
    records = [dict(record) for record in journal.records]
    merged = merge_meter(records, samples, offset_s)
    if not merged.networks:
        raise Refused(
            f"{meter} has no reading in any network's time: {_spans(records, samples)}", 4
        )
    journal.replace(records)
    return merged


def _spans(records: Sequence[dict[str, Any]], samples: Samples) -> str:
    """From when to when the meter read and the networks ran."""
    windows = [record["window"] for record in records if record.get("window")]
    if not windows:
        return "measure with --hold"
    starts = [window["start"] for window in windows]
    if not samples:
        return "it has no reading at all"
    return (
        f"it read from {samples[0][0]:.0f} to {samples[-1][0]:.0f}, networks ran from "
        f"{min(starts):.0f} to {max(starts):.0f}: set both clocks, or say --meter-offset"
    )
