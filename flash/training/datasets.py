"""Reading sets to train on: images (``flash.files.image_sets``), and arrays of other shapes.

Signals and spectrograms are what ``flash.train`` reads (``flash.files.labelled``): NumPy arrays of
floats, or a table that names files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from flash.errors import InputError
from flash.files.arrays import read_arrays
from flash.files.image_sets import ImagePart, read_parts
from flash.files.labelled import Labelled, read_labelled
from flash.spaces.family import InputShape
from flash.training.images import ImageSet
from flash.training.splits import split

__all__ = ["read_images"]


def read_images(place: str | Path, shape: InputShape, classes: int | None) -> ImageSet:
    """The images (or signals) at ``place``, in the size of a space's input.

    classes: how many there must be; None takes those that there are, two or more.

    Arrays of floats are as the network reads them, (n, channels, height, width), without the height
    where it is 1; where they set none aside for test, 15 % of every class are drawn.

    Files that are no images are left out and named in ``notes``. Raises ``UsageError`` where
    Pillow is needed and missing, ``InputError`` for what is not there or cannot be used: wrong
    arrays, empty folders, no images for test, another number of classes.
    """
    path, notes = Path(place), list[str]()
    if _holds_arrays(path, shape):
        return _signals(path, shape, classes)
    train, test = read_parts(path, (shape.channels, shape.height, shape.width), notes)
    if test is None:
        raise InputError(
            f"{path}: has no images for test; expected x_train, y_train, x_test and y_test"
        )
    names = _agreed(path, train, test, classes)
    return ImageSet(
        path.resolve().stem,
        train.images,
        train.labels,
        test.images,
        test.labels,
        names,
        tuple(notes),
    )


def _agreed(path: Path, train: ImagePart, test: ImagePart, classes: int | None) -> tuple[str, ...]:
    """Names of the classes, when both parts have them and there are as many as expected."""
    names = train.classes or test.classes
    if test.classes and test.classes != names:
        odd = sorted(set(test.classes) ^ set(names))
        raise InputError(f"{path}: training and test images differ in classes: {', '.join(odd)}")
    highest = int(max(train.labels.max(), test.labels.max()))
    found = len(names) if names else highest + 1
    if classes is None and found < 2:
        raise InputError(f"{path}: has one class only: a folder a class is expected")
    if classes is not None and found != classes:
        raise InputError(
            f"{path}: has {found} classes, the space is for {classes}: use a space file with "
            f"classes = {found}"
        )
    if highest >= found or min(train.labels.min(), test.labels.min()) < 0:
        raise InputError(f"{path}: labels must lie in 0..{found - 1}")
    missing = sorted(set(range(found)) - set(train.labels.tolist()))
    if missing:
        which = names[missing[0]] if names else missing[0]
        raise InputError(f"{path}: no training image of class {which}")
    return names or tuple(str(k) for k in range(found))


# -------------------------------------------------------------------------------------- signals
#: Share of the samples set aside for test where the files set none aside.
_TEST: Final = 0.15


def _holds_arrays(path: Path, shape: InputShape) -> bool:
    """Whether samples are arrays of floats, channels first, or named in a table."""
    if path.suffix == ".csv" or (path / "x.npy").is_file():
        return path.exists()
    if path.suffix != ".npz" or not path.is_file():
        return False
    arrays = read_arrays(path)
    found = next((arrays[name] for name in ("x", "x_train") if name in arrays), None)
    images = (shape.height, shape.width, shape.channels)
    return found is not None and found.dtype.kind == "f" and found.shape[1:] != images


def _signals(path: Path, shape: InputShape, classes: int | None) -> ImageSet:
    data = _labelled(path, shape)
    test = data.test
    notes = list(data.notes)
    if not test.any():
        parts = split(data, _TEST, 0)
        test = np.zeros(len(data.labels), dtype=np.bool_)
        test[parts.test] = True
        notes.append(f"{path}: sets no samples aside for test: {test.sum()} were drawn")
    inputs = data.inputs.reshape(-1, shape.channels, shape.height, shape.width)
    inputs = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))
    train, tested = (ImagePart(inputs[own], data.labels[own], data.names) for own in (~test, test))
    names = _agreed(path, train, tested, classes)
    return ImageSet(
        path.resolve().stem,
        train.images,
        train.labels,
        tested.images,
        tested.labels,
        names,
        tuple(notes),
    )


def _labelled(path: Path, shape: InputShape) -> Labelled:
    """Samples as the network reads them; those over a length may lack the height of 1."""
    whole = (shape.channels, shape.height, shape.width)
    if shape.height != 1:
        return read_labelled(path, whole, "classification")
    try:
        return read_labelled(path, (shape.channels, shape.width), "classification")
    except InputError as error:
        if "samples of shape" not in str(error):
            raise
        return read_labelled(path, whole, "classification")
