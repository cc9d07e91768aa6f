"""Networks that somebody else trained: a table of designs or ONNX files with their accuracies.

Columns: ``design`` (as a space writes designs) or ``onnx`` (a file, beside the table unless its
path is absolute), and ``accuracy``. A benchmark's table or a lab's log so calibrates a space
without an image. Columns that are also used where they are there: ``split`` (``held_out`` rows
judge the fit and are not fitted), ``measure`` (what the accuracies are where they are not top-1:
mAP50-95), and ``data``, ``recipe`` and ``hardware``, which the model then names. Rows without an
accuracy (an empty cell, ``nan``) are trainings that failed.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.calibration import (
    AUTHORS_RECIPE,
    NOT_STATED,
    AccuracyModel,
    fit_networks,
    fit_space,
)
from flash.accuracy.level import Level
from flash.accuracy.tables import read_accuracy_cells
from flash.accuracy.task import Task
from flash.errors import InputError, SpaceError, UsageError, shown
from flash.files.reading import read_text, separator_hint
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.training.results import SPLITS

__all__ = ["Outside", "TrainedTable", "fit_table", "read_trained"]

Ints = NDArray[np.int64]
#: Of what a column says so many different things are quoted.
_MOST_QUOTED = 3


@dataclass(frozen=True)
class Outside:
    """A design of a table that has values which its space does not take.

    line: of the table. values: those, by variable. reason: the first of them, and what it may be.
    """

    line: int
    design: str
    values: dict[str, int]
    reason: str


@dataclass(frozen=True)
class TrainedTable:
    """A table of trained networks, without the trainings that failed.

    names:     of the networks, as the table has them. lines: their numbers in it.
    accuracy:  per cent, shape (networks,).
    held_out:  which of them are not fitted.
    designs:   their values, shape (networks, variables), where they are designs; they may lie
               beyond the space's values. Else None.
    networks:  where they are ONNX files.
    failed:    names of the others.
    fractions: the table gave fractions, which were read as such.
    about:     data, recipe and hardware, in words.
    """

    path: Path
    names: tuple[str, ...]
    lines: tuple[int, ...]
    accuracy: Floats
    held_out: NDArray[np.bool_]
    designs: Ints | None
    networks: tuple[Network, ...]
    failed: tuple[str, ...]
    fractions: bool
    about: dict[str, str]

    def outside(self, space: SearchSpace) -> tuple[Outside, ...]:
        """The designs that have values which the space does not take, in the table's order."""
        if self.designs is None:
            return ()
        own = np.stack(
            [np.isin(self.designs[:, k], grid) for k, grid in enumerate(space.grids)], axis=1
        )
        found = []
        for k in np.flatnonzero(~own.all(axis=1)).tolist():
            named = zip(space.variables, self.designs[k].tolist(), own[k].tolist(), strict=True)
            values = {name: value for name, value, ok in named if not ok}
            try:
                space.encode(self.designs[k : k + 1])
            except SpaceError as error:
                found.append(Outside(self.lines[k], self.names[k], values, str(error)))
        return tuple(found)

    def widened(self, space: SearchSpace) -> SearchSpace:
        """The space with every value of the table's designs among its own."""
        if self.designs is None:
            return space
        grids = tuple(
            np.union1d(grid, self.designs[:, k]).astype(np.int64)
            for k, grid in enumerate(space.grids)
        )
        space.family.check(
            {name: grid.tolist() for name, grid in zip(space.variables, grids, strict=True)}
        )
        return replace(space, grids=grids)


def read_trained(path: Path, space: SearchSpace) -> TrainedTable:
    """The table in a CSV file; raises ``InputError`` with the line's number for what is wrong."""
    lines = _lines(path)
    places = [f"{path}, line {number}" for number, _ in lines]
    column = "design" if "design" in lines[0][1] else "onnx"
    accuracy, fractions = read_accuracy_cells(
        [row["accuracy"] or "" for _, row in lines], places, Task.of(space).chance
    )
    known = ~np.isnan(accuracy)
    if not known.any():
        raise InputError(f"{path}: no row has an accuracy")
    names = [row[column] or "" for _, row in lines]
    kept = [k for k in range(len(lines)) if known[k]]
    if column == "design":
        designs = np.array([_values(space, names[k], places[k]) for k in kept])
        networks: tuple[Network, ...] = ()
    else:
        designs = None
        networks = tuple(_network(space, path, names[k], places[k]) for k in kept)
    return TrainedTable(
        path=path,
        names=tuple(names[k] for k in kept),
        lines=tuple(lines[k][0] for k in kept),
        accuracy=accuracy[known],
        held_out=np.array([_split(lines[k][1], places[k]) == "held_out" for k in kept]),
        designs=designs,
        networks=networks,
        failed=tuple(name for name, ok in zip(names, known, strict=True) if not ok),
        fractions=fractions,
        about={name: _said([row for _, row in lines], name) for name in _SAID},
    )


#: Columns a model quotes, and what it says where the table has none.
_SAID = {
    "data": "",
    "measure": "accuracy",
    "recipe": AUTHORS_RECIPE,
    "hardware": NOT_STATED,
}


def fit_table(space: SearchSpace, table: TrainedTable, level: Level | None = None) -> AccuracyModel:
    """The model of the rows that are not held out.

    Raises ``InputError`` where they are too few or learned nothing.
    """
    used = ~table.held_out
    about: dict[str, Any] = dict(table.about)
    measure = about.pop("measure")
    about["data"] = about["data"] or f"the data of {table.path.name}"
    about |= {"epochs": 0, "seeds": (), "date": datetime.date.today().isoformat()}
    try:
        if table.designs is None:
            networks = [n for n, ok in zip(table.networks, used, strict=True) if ok]
            model = fit_networks(space, networks, table.accuracy[used], **about)
            return replace(model, measure=measure)
        wider = table.widened(space)
        indices = wider.encode(table.designs[used])
        return fit_space(
            wider, indices, table.accuracy[used], level=level, measure=measure, **about
        )
    except UsageError as error:
        raise InputError(f"{table.path}: {error}") from None


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each row; one at least, with the columns that are needed."""
    try:
        text = read_text(path).removeprefix("\ufeff")  # the mark of UTF-8 that spreadsheets write
        if not text.strip():
            raise InputError(f"{path}: empty")
        reader = csv.DictReader(io.StringIO(text), strict=True)
        names = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        if "accuracy" not in names or len({"design", "onnx"}.intersection(names)) != 1:
            got = ",".join(names)
            raise InputError(
                f"{path}: expected the columns accuracy, and design or onnx; got {shown(got)}"
                f"{separator_hint(got)}"
            )
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    if not lines:
        raise InputError(f"{path}: no rows")
    return lines


def _values(space: SearchSpace, text: str, place: str) -> list[int]:
    """Values of a design that need not be among the space's own."""
    try:
        values = space.completed(space.family.parse(text))
        space.family.check({name: [values[name]] for name in space.variables})
    except SpaceError as error:
        raise InputError(f"{place}: {error}") from None
    return [values[name] for name in space.variables]


def _network(space: SearchSpace, table: Path, name: str, place: str) -> Network:
    from flash.backends import read_onnx  # noqa: PLC0415 (an extra)

    network = read_onnx(table.parent / name)
    wanted = Task.of(space)
    given = (network.source.channels, network.source.height, network.source.width)
    if tuple(int(size) for size in given) != wanted.shape:
        raise InputError(
            f"{place}: {name} takes images of {'x'.join(map(str, given))}, the space of "
            f"{'x'.join(map(str, wanted.shape))}"
        )
    if int(network.output.channels) != wanted.classes:
        raise InputError(
            f"{place}: {name} tells {network.output.channels} classes apart, the space "
            f"{wanted.classes}"
        )
    return network


def _split(row: dict[str, str], place: str) -> str:
    split = row.get("split") or "fit"
    if split not in SPLITS:
        raise InputError(f"{place}: expected a split of {', '.join(SPLITS)}; got '{split}'")
    return split


def _said(rows: Sequence[dict[str, str]], column: str) -> str:
    """What a column says, each different thing once."""
    said = list(dict.fromkeys(text for row in rows if (text := (row.get(column) or "").strip())))
    more = [f"and {len(said) - _MOST_QUOTED} more"] if len(said) > _MOST_QUOTED else []
    return ", ".join([*said[:_MOST_QUOTED], *more]) or _SAID[column]
