"""Labelled samples of any shape: class folders of images, NumPy arrays, tables that name files.

What ``read_labelled`` takes:

* folders of images, a class each, with ``train`` and ``val`` or ``test`` folders or without
  (``flash.files.image_sets``);
* an ``.npz`` file with ``x`` and ``y`` (or ``images`` and ``labels``), or with ``x_train``,
  ``y_train``, ``x_test`` and ``y_test``: samples (n, channels, ...), images as bytes
  (n, height, width, channels) too; or a folder with ``x.npy`` and ``y.npy``;
* a ``.csv`` file: the first column names a file beside it (an image, or a ``.npy`` array), the
  other columns are labels.

One column of words or whole numbers is classes, several columns of 0 and 1 are labels that hold
together, other numbers are to be regressed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError, shown
from flash.extras import need
from flash.files.arrays import read_arrays
from flash.files.image_sets import read_parts
from flash.files.reading import read_text

__all__ = ["TASKS", "Labelled", "read_labelled"]

TASKS: Final = ("classification", "multi-label", "regression")
_PAIRS: Final = (("x", "y"), ("images", "labels"))
#: Bad files named; of more, their number is told.
_NAMED: Final = 5
#: Whole numbers up to this many different ones are classes.
_MOST_CLASSES: Final = 10_000

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Labelled:
    """Samples and what they are labelled with.

    inputs:  (n, channels, ...), bytes or float32.
    labels:  (n,) class numbers, (n, k) of 0 and 1, or (n, k) numbers.
    names:   of the classes, labels or numbers.
    test:    which samples the files set aside for test; all False where they set none aside.
    images:  the samples are images: they were bytes.
    notes:   what was left out, a line each.
    """

    inputs: NDArray[Any]
    labels: NDArray[Any]
    task: str
    names: tuple[str, ...]
    test: NDArray[np.bool_]
    images: bool
    notes: tuple[str, ...] = ()


def read_labelled(place: str | Path, shape: Shape, task: str | None = None) -> Labelled:
    """The samples at a place, of the shape a network reads (channels first, without the batch).

    Raises ``InputError`` for what is not there or cannot be used.
    """
    path = Path(place)
    if task is not None and task not in TASKS:
        raise UsageError(f"unknown task '{task}' (known: {', '.join(TASKS)})")
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    if path.suffix == ".csv":
        found = _table(path, shape, task)
    elif path.suffix == ".npz" or (path / "x.npy").is_file():
        found = _arrays(path, shape, task)
    else:
        found = _folders(path, shape)
    return _checked(path, found)


def _checked(path: Path, found: Labelled) -> Labelled:
    if not len(found.labels):
        raise InputError(f"{path}: holds no sample")
    if found.task == "classification":
        count = len(np.unique(found.labels))
        if count < 2:
            raise InputError(f"{path}: all samples are of one class; training needs two or more")
    if found.inputs.dtype.kind == "f" and not np.isfinite(found.inputs).all():
        raise InputError(f"{path}: holds samples with numbers that are not finite")
    if found.labels.dtype.kind == "f" and not np.isfinite(found.labels).all():
        raise InputError(f"{path}: holds labels that are not finite")
    return found


# -------------------------------------------------------------------------------------- folders
def _folders(path: Path, shape: Shape) -> Labelled:
    if len(shape) != 3:
        raise InputError(f"{path}: a folder of images, and the model reads {len(shape)} axes")
    notes: list[str] = []
    train, test = read_parts(path, (shape[0], shape[1], shape[2]), notes)
    parts = [train] if test is None else [train, test]
    if test is not None and train.classes != test.classes:
        raise InputError(f"{path}: the classes for training and for test differ")
    images = np.concatenate([part.images for part in parts]).transpose(0, 3, 1, 2)
    aside = np.concatenate([np.full(len(p.labels), k > 0) for k, p in enumerate(parts)])
    return Labelled(
        np.ascontiguousarray(images),
        np.concatenate([part.labels for part in parts]),
        "classification",
        train.classes,
        aside,
        True,
        tuple(notes),
    )


# --------------------------------------------------------------------------------------- arrays
def _arrays(path: Path, shape: Shape, task: str | None) -> Labelled:
    arrays: Mapping[str, NDArray[Any]]
    if path.is_dir():
        arrays = {name: read_arrays(path / f"{name}.npy")[""] for name in ("x", "y")}
    else:
        arrays = read_arrays(path)
    names = tuple(str(n) for n in arrays["classes"]) if "classes" in arrays else ()
    if "x_train" in arrays:
        parts = [
            (arrays[f"x_{part}"], arrays[f"y_{part}"])
            for part in ("train", "test")
            if f"x_{part}" in arrays and f"y_{part}" in arrays
        ]
    else:
        parts = [(arrays[a], arrays[b]) for a, b in _PAIRS if a in arrays and b in arrays]
    if not parts:
        raise InputError(
            f"{path}: expected the arrays x and y, or x_train, y_train, x_test and y_test (it has "
            f"{', '.join(arrays) or 'none'})"
        )
    images = parts[0][0].dtype == np.uint8
    inputs = np.concatenate([_shaped(path, x, shape) for x, _ in parts])
    labels = np.concatenate([y.reshape(len(y), -1) for _, y in parts])
    if len(labels) != len(inputs):
        raise InputError(f"{path}: {len(inputs)} samples and {len(labels)} labels")
    aside = np.concatenate([np.full(len(x), k > 0) for k, (x, _) in enumerate(parts)])
    values, kind, known = _labels(path, labels, task, names)
    return Labelled(inputs, values, kind, known, aside, images)


def _shaped(path: Path, given: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Samples (n, *shape), bytes or float32."""
    if given.dtype.kind not in "fiub":
        raise InputError(f"{path}: samples of type {given.dtype}; expected numbers")
    if given.shape[1:] != shape and given.ndim == len(shape) and shape[0] == 1:
        given = given[:, None]
    if given.shape[1:] != shape and given.ndim == 4 and given.shape[1:] == (*shape[1:], shape[0]):
        given = given.transpose(0, 3, 1, 2)
    if given.shape[1:] != shape:
        raise InputError(
            f"{path}: samples of shape {given.shape[1:]}; the model reads {tuple(shape)}"
        )
    return np.ascontiguousarray(given if given.dtype == np.uint8 else given.astype(np.float32))


def _labels(
    path: Path, given: NDArray[Any], task: str | None, names: tuple[str, ...]
) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    """Labels (n, k) as what they are: values, task, names."""
    if given.dtype.kind not in "fiub":
        raise InputError(f"{path}: labels of type {given.dtype}; expected numbers")
    whole = bool((given == np.floor(given)).all()) if given.dtype.kind == "f" else True
    binary = bool(np.isin(given, (0, 1)).all())
    if task is None:
        several = given.shape[1] > 1
        task = "multi-label" if several and binary else "regression"
        if not several and whole and given.dtype.kind in "iub":
            task = "classification"
    if task == "regression":
        known = names or tuple(f"value{k}" for k in range(given.shape[1]))
        return given.astype(np.float64), task, known
    if task == "multi-label":
        if not binary:
            raise InputError(f"{path}: labels that hold together are columns of 0 and 1")
        known = names or tuple(f"label{k}" for k in range(given.shape[1]))
        return given.astype(np.float32), task, known
    if given.shape[1] != 1 or not whole or given.min() < 0 or given.max() >= _MOST_CLASSES:
        raise InputError(
            f"{path}: classes are whole numbers from 0 to {_MOST_CLASSES - 1}, one a sample; got "
            f"{shown(given[0].tolist())}"
        )
    found = given[:, 0].astype(np.int64)
    if names and int(found.max()) >= len(names):
        raise InputError(
            f"{path}: a label of {int(found.max())}, and {len(names)} classes are named"
        )
    return found, task, names or tuple(str(k) for k in range(int(found.max()) + 1))


# ---------------------------------------------------------------------------------------- tables
def _table(path: Path, shape: Shape, task: str | None) -> Labelled:
    try:
        rows = list(csv.reader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:  # a field of more than 128 KiB
        raise InputError(f"{path}: not usable CSV: {error}") from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2 or len(rows[0]) < 2:
        raise InputError(f"{path}: expected a header and rows of a file and its labels")
    header, body = rows[0], rows[1:]
    wrong = next((k for k, row in enumerate(body, 2) if len(row) != len(header)), None)
    if wrong is not None:
        raise InputError(f"{path}: line {wrong} has not {len(header)} cells")
    samples, kept, notes, images = _files(path, [row[0] for row in body], shape)
    cells = [body[k][1:] for k in kept]
    if len(header) == 2 and task in (None, "classification") and not _numbers(cells):
        words = [row[0].strip() for row in cells]
        names = tuple(sorted(set(words)))
        labels = np.array([names.index(word) for word in words], dtype=np.int64)
        kind = "classification"
    else:
        try:
            values = np.array([[float(cell) for cell in row] for row in cells])
        except ValueError:
            raise InputError(f"{path}: labels in several columns are numbers") from None
        if not np.isfinite(values).all():
            raise InputError(f"{path}: a label is no finite number")
        if (values == np.floor(values)).all():
            values = values.astype(np.int64)
        given = tuple(header[1:]) if len(header) > 2 else ()
        labels, kind, names = _labels(path, values, task, given)
    aside = np.zeros(len(labels), dtype=np.bool_)
    return Labelled(samples, labels, kind, names, aside, images, tuple(notes))


def _numbers(cells: Sequence[Sequence[str]]) -> bool:
    try:
        for row in cells:
            float(row[0])
    except ValueError:
        return False
    return True


def _files(
    path: Path, names: Sequence[str], shape: Shape
) -> tuple[NDArray[Any], list[int], list[str], bool]:
    """The samples in these files, which of them could be read, and notes on the others."""
    found: list[NDArray[Any]] = []
    kept: list[int] = []
    bad: list[str] = []
    images = False
    for number, name in enumerate(names):
        file = path.parent / name.strip()
        try:
            if file.suffix == ".npy":
                found.append(_shaped(file, read_arrays(file)[""][None], shape)[0])
            else:
                images = True
                found.append(_image(file, shape))
            kept.append(number)
        except (InputError, OSError, ValueError, SyntaxError) as error:
            if isinstance(error, InputError) and "samples of" in str(error):
                raise
            bad.append(str(file))
    if not found:
        raise InputError(f"{bad[0]}: cannot be read, as all {len(bad)} files of {path.name}")
    notes = [f"{name}: cannot be read; left out" for name in bad[:_NAMED]]
    if len(bad) > _NAMED:
        notes.append(f"and {len(bad) - _NAMED} more that cannot be read; left out")
    return np.stack(found), kept, notes, images


def _image(file: Path, shape: Shape) -> NDArray[np.uint8]:
    pillow = need("PIL.Image", extra="train", what="reading image files")
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        raise UsageError(f"the model reads {tuple(shape)}; images have 1, 3 or 4 channels")
    channels, height, width = shape
    with pillow.open(file) as image:
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        fitted = image.convert(mode).resize((width, height), pillow.Resampling.BICUBIC)
        pixels = np.asarray(fitted, dtype=np.uint8).reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
