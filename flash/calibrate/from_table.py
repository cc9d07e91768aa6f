"""A space calibrated from a table of networks that somebody else trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flash.accuracy.calibration import AccuracyModel
from flash.accuracy.level import Level
from flash.accuracy.trend import Trend, depth_and_width_trend
from flash.calibrate.fitting import HeldOut, judged, write_space
from flash.calibrate.trained import Outside, TrainedTable, fit_table, read_trained
from flash.report.base import Result
from flash.spaces.space import load_space

__all__ = ["SCHEMA", "TableCalibration", "calibrate_from_table"]

SCHEMA = "flash.calibration/1"
#: So many designs outside the space are told one by one; the JSON document has all.
_MOST_LINES = 5


#: Accuracies of one design further apart (points) are more than what a seed changes.
_FAR_APART = 2.0


@dataclass(frozen=True, repr=False)
class TableCalibration(Result):
    """What a calibration from a table came to.

    model:    fitted to the table's rows that are not held out.
    held_out: how it does on the others; None with fewer than 2.
    file:     the space's file with the model.
    trend:    what the model says of depth and width.
    outside:  designs of the table that have values which the space does not take; fitted as well.
    """

    space: str
    table: TrainedTable
    model: AccuracyModel
    held_out: HeldOut | None
    file: Path
    trend: Trend
    outside: tuple[Outside, ...] = ()

    def document(self) -> dict[str, Any]:
        """As plain values, schema ``flash.calibration/1``."""
        table = self.table
        return {
            "schema": SCHEMA,
            "space": self.space,
            "recipe": table.about["recipe"],
            "results": str(table.path),
            "rows": self.to_records(),
            "trained_now": 0,
            "failed": [{"design": name, "reason": "no accuracy"} for name in table.failed],
            "outside": [asdict(one) for one in self.outside],
            "model": {"kind": self.model.regression.kind} | asdict(self.model.provenance),
            "held_out": None if self.held_out is None else asdict(self.held_out),
            "trend": asdict(self.trend),
            "file": str(self.file),
        }

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row a network of the table that has an accuracy."""
        table = self.table
        rows = zip(table.names, table.accuracy.tolist(), table.held_out.tolist(), strict=True)
        return [
            {"design": name, "accuracy": accuracy, "split": "held_out" if aside else "fit"}
            for name, accuracy, aside in rows
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines()) + "\n"

    def lines(self) -> list[str]:
        """For people: the table, the model, how it does on networks held out."""
        table, failed = self.table, len(self.table.failed)
        scale = ", fractions read as such" if table.fractions else ""
        without = f", {failed} more without one" if failed else ""
        lines = [
            f"space     {self.space}",
            f"trained   {len(table.names)} networks with an accuracy in {table.path}{without}, "
            f"{int(table.held_out.sum())} of them held out{self._repeated()}; "
            f"{table.accuracy.min():.2f} to {table.accuracy.max():.2f} %{scale}",
        ]
        lines += [*self._outside(), *self._apart()]
        lines.append(f"model     {self.model.statement}")
        if self.held_out is not None:
            lines.append(f"held out  {self.held_out}")
        lines += self.model.careful_lines
        lines += self.trend.lines()
        return [*lines, f"files     {self.file}"]

    def _outside(self) -> list[str]:
        """How many designs are outside the space, and which, for people."""
        if not self.outside:
            return []
        count, first = len(self.outside), self.outside[0]
        told = [
            f"line {one.line} ({' '.join(f'{k}={v}' for k, v in one.values.items())})"
            for one in self.outside[:_MOST_LINES]
        ]
        if count > _MOST_LINES:
            told.append(f"{count - _MOST_LINES} more (--json: all)")
        return [
            f"outside   {count} of the {len(self.table.names)} designs, by values that the space "
            f"does not take (used as well): {', '.join(told)}; {first.reason}. A slip there "
            "spoils the model: look at them"
        ]

    def _apart(self) -> list[str]:
        """Designs listed several times with accuracies that lie apart, a line each, for people."""
        values: dict[tuple[int, ...], list[int]] = {}
        for k, design in enumerate([] if self.table.designs is None else self.table.designs):
            values.setdefault(tuple(design.tolist()), []).append(k)
        told = []
        for rows in values.values():
            given = [float(self.table.accuracy[k]) for k in rows]
            if max(given) - min(given) > _FAR_APART:
                lines = ", ".join(str(self.table.lines[k]) for k in rows)
                told.append(
                    f"careful   {self.table.names[rows[0]]} is in lines {lines} with "
                    f"{' and '.join(f'{value:.2f}' for value in given)} %, "
                    f"{max(given) - min(given):.2f} points apart: is one a slip?"
                )
        more = len(told) - _MOST_LINES
        return told[:_MOST_LINES] + [f"careful   and {more} more such designs"] * (more > 0)

    def _repeated(self) -> str:
        """How many rows are of a design that an earlier row has, for people."""
        if self.table.designs is None:
            return ""
        more = len(self.table.designs) - len(np.unique(self.table.designs, axis=0))
        return f", {more} of a design listed before (its mean counts)" if more else ""


def calibrate_from_table(
    space: str, trained: str | Path, *, out: str | Path | None = None, level: Level | None = None
) -> TableCalibration:
    """Fit a space's accuracy model to a table of trained networks; nothing is trained.

    space:   name or TOML file.
    trained: a CSV file, see ``flash.calibrate.trained``.
    out:     the space's file with the model in it; ``flash-calibration/<space>.toml`` unless given.
    level:   whose accuracies they are, and what the table does not vary.

    Raises ``InputError`` for a table that cannot be read or teaches nothing, ``UsageError`` for
    an unknown space and ``FlashError`` for a full disk.
    """
    found = load_space(space)
    table = read_trained(Path(trained), found)
    model = fit_table(found, table, level)
    file = Path(out) if out else Path("flash-calibration") / f"{found.name}.toml"
    write_space(space, file, model)
    judgement, trend = _judged(table, space, model), depth_and_width_trend(found, model)
    return TableCalibration(found.name, table, model, judgement, file, trend, table.outside(found))


def _judged(table: TrainedTable, space: str, model: AccuracyModel) -> HeldOut | None:
    aside = table.held_out
    if aside.sum() < 2:
        return None
    truth = table.accuracy[aside]
    if table.designs is None:
        networks = [n for n, out in zip(table.networks, aside, strict=True) if out]
        return judged(model.predict_networks(networks), truth)
    wider = table.widened(load_space(space))
    return judged(model.predict(wider, wider.encode(table.designs[aside])), truth)
