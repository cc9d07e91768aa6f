"""Trained accuracies on disk: one CSV line a design, written as soon as it is known.

A search that is interrupted reads the file and goes on where it stopped. Failed trainings are
recorded but tried again.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from pathlib import Path

import numpy as np

from flash.accuracy.tables import read_accuracy_cells
from flash.accuracy.task import Task
from flash.errors import FlashError, InputError, UsageError
from flash.files.cells import safe_cell
from flash.files.journal import open_journal, read_journal
from flash.files.reading import read_text
from flash.files.writing import make_folder
from flash.quantities import number_of
from flash.search.budgeted.candidates import Floats, Ints
from flash.search.budgeted.evaluator import Trial
from flash.spaces.space import SearchSpace

__all__ = ["Journal", "read_accuracies"]

#: Of the file: a design as JSON, its accuracy, seconds of training, why it failed, what trained.
_COLUMNS = ("design", "accuracy", "seconds", "failure", "source")


class Journal:
    """The results file of one search space and one source of accuracies.

    source: what trains (a command line); a file that another source wrote is refused.

    Raises ``UsageError`` for a file of another source or a place that cannot be written,
    ``InputError`` for a file that is no such table.
    """

    def __init__(self, path: str | Path, space: SearchSpace, source: str) -> None:
        self.path = Path(path)
        self._space = space
        self._source = source
        self._trials: dict[bytes, Trial] = {}
        text = read_journal(self.path, self._recognise)
        for number, row in _rows(text, self.path):
            if row.get("source", source) != source:
                raise UsageError(
                    f"{self.path} holds results of {row['source']!r}, not of {source!r}; name "
                    "another file with --results"
                )
            indices, accuracy = _entry(space, row, f"{self.path}, line {number}")
            if math.isfinite(accuracy):
                seconds = number_of(row.get("seconds") or "0")
                trial = Trial(tuple(indices.tolist()), accuracy, seconds, reused=True)
                self._trials[indices.tobytes()] = trial

    def __len__(self) -> int:
        return len(self._trials)

    def find(self, design: Ints) -> Trial | None:
        """The trial of a design (indices), if an earlier run finished it."""
        return self._trials.get(design.tobytes())

    def append(self, trial: Trial) -> None:
        """Write one trial to disk; returns when it is there."""
        design = self._space.named(np.array(trial.design, dtype=np.int64))
        accuracy = "" if trial.failed else repr(trial.accuracy)
        line = (
            json.dumps(design),
            accuracy,
            f"{trial.seconds:.3f}",
            safe_cell(trial.failure),
            self._source,
        )
        values = dict(zip(_COLUMNS, line, strict=True))
        with contextlib.suppress(OSError):  # what is wrong with it, opening the file tells
            make_folder(self.path.parent)
        with open_journal(self.path, self._recognise) as file:
            names = _names(file.text) or _COLUMNS
            stream = io.StringIO()
            rows = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
            if not file.text:
                rows.writeheader()
            rows.writerow(values)
            file.append(stream.getvalue())

    def _recognise(self, first: str) -> None:
        if not {"design", "accuracy"} <= set(_names(first)):
            raise InputError(f"{self.path}: expected columns design,accuracy")


def read_accuracies(path: str | Path, space: SearchSpace) -> tuple[Ints, Floats]:
    """Designs (indices) and accuracies of a CSV file with columns ``design`` and ``accuracy``.

    A design is the space's own line (``w=8,16,32 d=...``, a benchmark's string) or a JSON object
    of its variables; one without an accuracy (an empty cell, nan) is a training that failed: nan.
    Raises ``InputError`` with the line's number for anything else, for a design with two
    different accuracies, and as ``read_accuracy_cells``.
    """
    place = Path(path)
    lines = _rows(read_text(place), place)
    places = [f"{place}, line {number}" for number, _ in lines]
    cells = [row["accuracy"] or "" for _, row in lines]
    accuracies, _ = read_accuracy_cells(cells, places, Task.of(space).chance)
    found: dict[bytes, float] = {}
    rows = []
    for (_, row), where, accuracy in zip(lines, places, accuracies.tolist(), strict=True):
        indices = _indices(space, row, where)
        known = found.setdefault(indices.tobytes(), accuracy)
        if known != accuracy and not math.isnan(known + accuracy):
            raise InputError(f"{where}: the design has another accuracy further up")
        rows.append(indices)
        if math.isnan(known):
            found[indices.tobytes()] = accuracy
    if not rows:
        raise InputError(f"{place}: no rows; expected columns design,accuracy")
    if all(map(math.isnan, found.values())):
        raise InputError(f"{place}: none of its {len(rows)} rows has an accuracy")
    designs = np.unique(np.array(rows), axis=0)
    return designs, np.array([found[row.tobytes()] for row in designs])


def _names(text: str) -> tuple[str, ...]:
    """The columns that a table's first line names."""
    try:
        return tuple(next(csv.reader(io.StringIO(text.partition("\n")[0])), ()))
    except csv.Error:
        return ()


def _rows(text: str, path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, columns) of each line after the header."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        names = reader.fieldnames
        if text and not {"design", "accuracy"} <= set(names or ()):
            raise InputError(f"{path}: expected columns design,accuracy")
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _entry(space: SearchSpace, row: dict[str, str], where: str) -> tuple[Ints, float]:
    """Indices and accuracy of one line; nan where it has none."""
    indices = _indices(space, row, where)
    text = row["accuracy"]
    value = number_of(text) if text else math.nan
    if text and not math.isfinite(value):
        raise InputError(f"{where}: the accuracy {text!r} is no number")
    return indices, value


def _indices(space: SearchSpace, row: dict[str, str], where: str) -> Ints:
    try:
        return space.parse(row["design"] or "")
    except FlashError as error:
        raise InputError(f"{where}: {error}") from None
