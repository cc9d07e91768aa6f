"""The table of trained networks: a plain CSV, one row a training, only ever appended to.

It is the result and the memory of a calibration in one: what it has is not trained again.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from flash.errors import InputError
from flash.files.journal import open_journal, read_journal

__all__ = ["SPLITS", "TrainedDesign", "append_result", "read_results"]


@dataclass(frozen=True)
class TrainedDesign:
    """One trained network.

    space, design: name of the space; the design as ``SearchSpace.describe`` writes it.
    data:          name of the image set.
    split:         "fit" or "held_out", fixed when the designs were drawn; "anchor" for networks
                   whose accuracy at full training is known; "extra" for others.
    recipe, seed:  how it was trained.
    test_accuracy: per cent; for reports, never to select or to fit by.
    seconds:       processor time on a CPU, elapsed time on a GPU.
    hardware:      what trained it.
    params, macs:  size of the network, as ``flash.estimate`` counts them.
    digest:        of the images (``ImageSet.digest``): sets of equal names may differ.
    validation_accuracy: per cent, on training images set aside; what designs are selected and
                   models fitted by. None in tables of older versions, which had none.
    curve:         validation accuracy after each epoch, on images as small as that epoch's.
    """

    space: str
    design: str
    data: str
    split: str
    recipe: str
    seed: int
    test_accuracy: float
    epochs: int
    seconds: float
    hardware: str
    params: int | None = None
    macs: int | None = None
    digest: str | None = None
    validation_accuracy: float | None = None
    curve: tuple[float, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What makes it the same training as another."""
        return self.space, self.design, self.data, self.recipe, self.seed


#: What a row of the table may be for.
SPLITS = ("fit", "held_out", "anchor", "extra")
_COLUMNS = tuple(field.name for field in fields(TrainedDesign))
#: Columns that every table has; those of older versions lack the others.
_NEEDED = _COLUMNS[: _COLUMNS.index("params")]


def read_results(path: Path) -> list[TrainedDesign]:
    """The rows of a table; none if there is no such file.

    A last line without an end (cut off by a power failure) is left out, and overwritten by the
    next row. Raises ``InputError`` with the line's number for one that is no result.
    """
    text = read_journal(path, lambda first: _recognise(path, first))
    reader = csv.DictReader(io.StringIO(text))
    try:
        return [_row(path, reader.line_num, values) for values in reader]
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}") from None


def _recognise(path: Path, first: str) -> None:
    """Raise ``InputError`` for a first line of anything but such a table."""
    try:
        names = next(csv.reader([first]), [])
    except csv.Error:
        names = []
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}")


def _row(path: Path, line: int, values: Mapping[str, str]) -> TrainedDesign:
    try:
        found = TrainedDesign(
            **{name: values[name] for name in ("space", "design", "data", "split", "recipe")},
            seed=int(values["seed"]),
            test_accuracy=float(values["test_accuracy"]),
            epochs=int(values["epochs"]),
            seconds=float(values["seconds"]),
            hardware=values["hardware"],
            params=int(values["params"]) if values.get("params") else None,
            macs=int(values["macs"]) if values.get("macs") else None,
            digest=values.get("digest") or None,
            validation_accuracy=float(values["validation_accuracy"])
            if values.get("validation_accuracy")
            else None,
            curve=tuple(float(value) for value in (values.get("curve") or "").split()),
        )
    except (ValueError, TypeError):
        raise InputError(f"{path}: line {line} is no result of a training") from None
    for name in ("test_accuracy", "validation_accuracy"):
        accuracy = getattr(found, name)
        if accuracy is not None and not 0 <= accuracy <= 100:
            raise InputError(f"{path}: line {line}: expected a {name} of 0 to 100 per cent")
    if not math.isfinite(found.seconds):
        raise InputError(f"{path}: line {line}: expected a finite number of seconds")
    if found.split not in SPLITS:
        raise InputError(f"{path}: line {line}: expected a split of {', '.join(SPLITS)}")
    return found


def append_result(path: Path, row: TrainedDesign) -> None:
    """Add a row, on disk when this returns; what was there stays as it is if that fails.

    A table with columns of its own, or in another order, keeps them; one of an older version is
    written anew with the columns it lacks, empty in its rows.

    Raises ``InputError`` for a file of something else, which stays as it is, ``UsageError`` for
    one that cannot be opened and ``FlashError`` for a full disk.
    """
    values = asdict(row) | {"curve": " ".join(f"{value:.2f}" for value in row.curve)}
    with open_journal(path, lambda first: _recognise(path, first)) as file:
        rows = csv.DictReader(io.StringIO(file.text))
        header = rows.fieldnames or ()
        columns = (*header, *(name for name in _COLUMNS if name not in header))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        if tuple(header) == columns:
            writer.writerow(values)
            file.append(text.getvalue())
            return
        writer.writeheader()
        writer.writerows(rows)
        writer.writerow(values)
        if header:
            file.replace(text.getvalue())
        else:
            file.append(text.getvalue())
