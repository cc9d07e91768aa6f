"""Designs of a search as flat records: the rows of the CSV file and of the data frame.

Columns have the names and units of the fields in Python and JSON; an interval has three, its
value's and those of its ends (``latency_ms``, ``latency_low_ms``, ``latency_high_ms``).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flash.quantities import quantity

if TYPE_CHECKING:
    from flash.report.interval import Interval
    from flash.report.result import DesignReport, SearchReport

__all__ = ["front_csv", "front_records"]


def front_records(report: SearchReport) -> list[dict[str, Any]]:
    """One record a design of the front, all with the same columns; None where unknown.

    ``design`` is the JSON object that ``flash.estimate --designs`` reads, ``hardware`` one too.
    """
    named = [(label.replace(" ", "_"), identity) for label, identity in report.picks.items()]
    proxies = list(dict.fromkeys(name for d in report.front for name in d.proxies))
    return [
        {
            "id": d.id,
            "picks": " ".join(label for label, identity in named if identity == d.id),
            "design": json.dumps(dict(d.design)),
            "hardware": json.dumps(dict(d.hardware)) if d.hardware else "",
            "description": d.description,
            **_interval("accuracy", d.accuracy),
            **_plain(d, "nn_degree", "nn_mass", "sed", "rank_score"),
            **{name: d.proxies.get(name) for name in proxies},
            **_interval("latency_ms", d.latency_ms),
            **_interval("energy_mj", d.energy_mj),
            **_plain(d, "memory_kb", "weight_kb", "activation_kb"),
            **_interval("area_mm2", d.area_mm2),
            **_plain(d, "params", "macs", "extrapolated"),
        }
        for d in report.front
    ]


def front_csv(report: SearchReport) -> str:
    """The front as CSV, a design a row, units in the column names; unknown values are empty."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    records = front_records(report)
    rows.writerow(records[0])
    rows.writerows([_cell(value) for value in record.values()] for record in records)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return ("false", "true")[value] if isinstance(value, bool) else value


def _plain(design: DesignReport, *names: str) -> dict[str, Any]:
    return {name: getattr(design, name) for name in names}


def _interval(name: str, interval: Interval | None) -> Mapping[str, float | None]:
    ends = (None,) * 3 if interval is None else (interval.value, interval.low, interval.high)
    return dict(zip(quantity(name).columns, ends, strict=True))
