"""The table of trained networks: a plain CSV, one row a training, only ever appended to.

It is the result and the memory of a calibration in one: what it has is not trained again.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from flash.errors import InputError, UsageError

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
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "it is no text")
        raise InputError(f"{path}: cannot be read: {why}") from None
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing and text:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}")
    return [_row(path, reader.line_num, values) for values in reader]


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

    Raises ``UsageError`` for a file that cannot be opened and ``OSError`` for a full disk.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        text = io.StringIO()
        rows = csv.DictReader(io.StringIO(content[:whole].decode("utf-8")))
        header = rows.fieldnames or ()
        columns = (*header, *(name for name in _COLUMNS if name not in header))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        if header and len(columns) > len(header):
            writer.writeheader()
            writer.writerows(rows)
            _replace(path, text.getvalue())
            return append_result(path, row)
        if not whole:
            writer.writeheader()
        values = asdict(row) | {"curve": " ".join(f"{value:.2f}" for value in row.curve)}
        writer.writerow(values)
        try:
            file.truncate(whole)
            file.seek(whole)
            _write(file, text.getvalue().encode())
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(whole)
            raise


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(file: io.RawIOBase, content: bytes) -> None:
    """All of it: a nearly full disk takes a part before it refuses the rest."""
    while content:
        content = content[file.write(content) or 0 :]
