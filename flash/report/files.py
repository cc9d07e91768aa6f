"""The files of a search: its front as JSON, CSV and pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from flash.files.writing import write_folder
from flash.quantities import quantity
from flash.report.chip import ChipView, chip_svg
from flash.report.picture import front_svg
from flash.report.result import Interval, SearchReport

__all__ = ["front_csv", "write_files"]


def write_files(
    report: SearchReport,
    folder: str | Path,
    background: Sequence[tuple[float, float]] = (),
    chip: ChipView | None = None,
) -> tuple[Path, ...]:
    """Write ``front.json``, ``front.csv``, ``front.svg``, and ``chip.svg`` if there is a chip.

    Makes the folder if need be.

    background: (latency_ms, score) of designs to draw faintly behind the front.
    Returns the files' paths. Raises ``UsageError`` for a folder that cannot be written and
    ``FlashError`` for a disk that cannot take them, one line each; nothing new is left then.
    """
    contents: dict[str, str | bytes] = {
        "front.json": report.to_json(),
        "front.csv": front_csv(report),
        "front.svg": front_svg(report, background),
    }
    if chip is not None:
        contents["chip.svg"] = chip_svg(chip)
    return write_folder(folder, contents)


def front_csv(report: SearchReport) -> str:
    """The front as CSV, a design a row, units in the column names; unknown values are empty.

    ``design`` is the JSON object that ``flash.estimate --designs`` reads.
    """
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    header = ["id", "picks", "design", "hardware", "description"]
    header += quantity("accuracy").columns
    proxies = list(dict.fromkeys(name for d in report.front for name in d.proxies))
    header += ["nn_degree", "nn_mass", "sed", "rank_score", *proxies]
    header += [*quantity("latency_ms").columns, *quantity("energy_mj").columns]
    header += ["memory_mb", "weight_mb", "activation_mb"]
    header += quantity("area_mm2").columns
    rows.writerow([*header, "params", "macs", "extrapolated"])
    named = [(label.replace(" ", "_"), identity) for label, identity in report.picks.items()]
    for d in report.front:
        picks = [label for label, identity in named if identity == d.id]
        rows.writerow(
            [
                *(d.id, " ".join(picks), json.dumps(dict(d.design))),
                *(json.dumps(dict(d.hardware)) if d.hardware else "", d.description),
                *_bounds(d.accuracy),
                *(d.nn_degree, d.nn_mass, d.sed, d.rank_score),
                *(d.proxies.get(name) for name in proxies),
                *_bounds(d.latency_ms),
                *_bounds(d.energy_mj),
                *(d.memory_mb, d.weight_mb, d.activation_mb),
                *_bounds(d.area_mm2),
                *(d.params, d.macs),
                "true" if d.extrapolated else "false",
            ]
        )
    return stream.getvalue()


def _bounds(interval: Interval | None) -> tuple[float | None, ...]:
    return (None,) * 3 if interval is None else (interval.value, interval.low, interval.high)
