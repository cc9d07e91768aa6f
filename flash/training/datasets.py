"""Reading image sets to train on: whatever ``flash.files.image_sets`` describes."""

from __future__ import annotations

from pathlib import Path

from flash.errors import InputError
from flash.files.image_sets import ImagePart, read_parts
from flash.spaces.family import InputShape
from flash.training.images import ImageSet

__all__ = ["read_images"]


def read_images(place: str | Path, shape: InputShape, classes: int) -> ImageSet:
    """The images at ``place``, in the size of a space's input and with its number of classes.

    Files that are no images are left out and named in ``notes``. Raises ``UsageError`` where
    Pillow is needed and missing, ``InputError`` for what is not there or cannot be used: wrong
    arrays, empty folders, no images for test, another number of classes.
    """
    path, notes = Path(place), list[str]()
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


def _agreed(path: Path, train: ImagePart, test: ImagePart, classes: int) -> tuple[str, ...]:
    """Names of the classes, when both parts have them and there are as many as expected."""
    names = train.classes or test.classes
    if test.classes and test.classes != names:
        odd = sorted(set(test.classes) ^ set(names))
        raise InputError(f"{path}: training and test images differ in classes: {', '.join(odd)}")
    highest = int(max(train.labels.max(), test.labels.max()))
    found = len(names) if names else highest + 1
    if found != classes:
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
