"""Reading image sets: packed files, numpy archives, folders of images.

What ``read_images`` takes:

* a folder with ``train.npz`` and ``test.npz``, each with either ``images`` and ``labels``, or
  encoded images packed as ``jpeg`` (all bytes joined), ``offset`` (n + 1 positions) and
  ``label``; ``classes`` (names) if known;
* one ``.npz`` file with ``x_train``, ``y_train``, ``x_test`` and ``y_test``;
* a folder of class folders of image files; with ``train`` and ``val`` (or ``test``) folders of
  class folders as they are, else a fifth of every class is set aside for test.

Images become bytes (n, height, width, channels) of the size the space takes. Image files and
resizing need Pillow.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError
from flash.spaces.family import InputShape
from flash.training.images import ImageSet, Labels, Pixels

__all__ = ["read_images"]

_SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_TEST_FOLDERS: Final = ("val", "valid", "validation", "test")
#: Of every class of a folder without a split, one image in so many is for test.
_SPLIT: Final = 5
#: Bad files named; of more, their number is told.
_NAMED: Final = 5

_Part = tuple[Pixels, Labels, tuple[str, ...]]


def read_images(place: str | Path, shape: InputShape, classes: int) -> ImageSet:
    """The images at ``place``, in the size of a space's input and with its number of classes.

    Files that are no images are left out and named in ``notes``. Raises ``UsageError`` where
    there is nothing to read (or Pillow is needed and missing), ``InputError`` for what cannot
    be used: wrong arrays, empty folders, another number of classes.
    """
    path = Path(place)
    notes: list[str] = []
    if path.is_dir():
        if (path / "train.npz").is_file() and (path / "test.npz").is_file():
            train = _archive(path / "train.npz", "", shape, notes)
            test = _archive(path / "test.npz", "", shape, notes)
        else:
            train, test = _folders(path, shape, notes)
    elif path.suffix == ".npz" and path.is_file():
        train = _archive(path, "train", shape, notes)
        test = _archive(path, "test", shape, notes)
    elif path.exists():
        raise UsageError(f"{path}: expected a folder or an .npz file")
    else:
        raise UsageError(f"no such file or folder: {path}")
    names = _agreed(path, train, test, classes)
    return ImageSet(path.resolve().stem, *train[:2], *test[:2], names, tuple(notes))


def _agreed(path: Path, train: _Part, test: _Part, classes: int) -> tuple[str, ...]:
    """Names of the classes, when both parts have them and there are as many as expected."""
    names = train[2] or test[2]
    if test[2] and test[2] != names:
        odd = sorted(set(test[2]) ^ set(names))
        raise InputError(f"{path}: training and test images differ in classes: {', '.join(odd)}")
    highest = int(max(train[1].max(), test[1].max()))
    found = len(names) if names else highest + 1
    if found != classes:
        raise InputError(
            f"{path}: has {found} classes, the space is for {classes}: use a space file with "
            f"classes = {found}"
        )
    if highest >= found or min(train[1].min(), test[1].min()) < 0:
        raise InputError(f"{path}: labels must lie in 0..{found - 1}")
    missing = sorted(set(range(found)) - set(train[1].tolist()))
    if missing:
        which = names[missing[0]] if names else missing[0]
        raise InputError(f"{path}: no training image of class {which}")
    return names or tuple(str(k) for k in range(found))


# ----------------------------------------------------------------------------- numpy archives
def _archive(path: Path, part: str, shape: InputShape, notes: list[str]) -> _Part:
    """Images, labels and class names of an archive; ``part`` is "", "train" or "test"."""
    arrays = _load(path)
    names = tuple(str(name) for name in arrays["classes"]) if "classes" in arrays else ()
    if part:
        keys = (f"x_{part}", f"y_{part}")
    elif "jpeg" in arrays:
        _require(path, arrays, ("jpeg", "offset", "label"))
        images, kept = _unpacked(path, arrays["jpeg"], arrays["offset"], shape, notes)
        labels = _labels(path, "label", arrays["label"], len(kept))
        return images[kept], labels[kept], names
    else:
        keys = ("images", "labels")
    _require(path, arrays, keys)
    images = _pixels(path, keys[0], arrays[keys[0]], shape)
    return images, _labels(path, keys[1], arrays[keys[1]], len(images)), names


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{path}: no .npz archive of plain arrays, or a damaged one") from None


def _require(path: Path, arrays: dict[str, NDArray[Any]], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise InputError(
            f"{path}: lacks the array {', '.join(missing)}; expected {', '.join(keys)} "
            f"(it has {', '.join(arrays) or 'none'})"
        )


def _labels(path: Path, key: str, given: NDArray[Any], images: int) -> Labels:
    if given.dtype.kind not in "iu" or given.size != images:
        raise InputError(
            f"{path}: {key} must be {images} whole numbers, one an image; got {given.size} of "
            f"type {given.dtype}"
        )
    return given.reshape(-1).astype(np.int64)


def _pixels(path: Path, key: str, given: NDArray[Any], shape: InputShape) -> Pixels:
    """An array of images as bytes (n, h, w, c) of the wanted shape."""
    if given.dtype != np.uint8:
        raise InputError(f"{path}: {key} must be bytes (uint8, 0 to 255), got {given.dtype}")
    if given.ndim == 3:
        given = given[..., None]
    if given.ndim == 4 and given.shape[3] not in (1, 3, shape.channels):
        given = np.moveaxis(given, 1, 3)
    if given.ndim != 4 or given.shape[3] not in (1, 3, shape.channels) or not len(given):
        raise InputError(
            f"{path}: {key} must have shape (images, height, width, channels), got {given.shape}"
        )
    if given.shape[1:] == (shape.height, shape.width, shape.channels):
        return np.ascontiguousarray(given)
    pillow = _pillow()
    return np.stack([_fitted(pillow.fromarray(x.squeeze()), shape) for x in given])


def _unpacked(
    path: Path, joined: NDArray[Any], offset: NDArray[Any], shape: InputShape, notes: list[str]
) -> tuple[Pixels, NDArray[np.int64]]:
    """Images from their encoded bytes, and which of them could be read."""
    at = offset.astype(np.int64)
    if joined.dtype != np.uint8 or len(at) < 2 or (np.diff(at) < 0).any() or at[-1] > joined.size:
        raise InputError(f"{path}: jpeg must be bytes, and offset rising positions in it")
    content = joined.tobytes()
    sources = [
        (f"{path}: image {i}", partial(io.BytesIO, content[at[i] : at[i + 1]]))
        for i in range(len(at) - 1)
    ]
    return _decoded(sources, shape, notes)


# ------------------------------------------------------------------------------------ folders
def _folders(path: Path, shape: InputShape, notes: list[str]) -> tuple[_Part, _Part]:
    train = path / "train"
    test = next((path / name for name in _TEST_FOLDERS if (path / name).is_dir()), None)
    if train.is_dir() and test is not None:
        return _class_folders(train, shape, notes), _class_folders(test, shape, notes)
    if train.is_dir():
        raise InputError(f"{path}: has a folder 'train' but none of {', '.join(_TEST_FOLDERS)}")
    images, labels, names = _class_folders(path, shape, notes)
    # Every class on its own, in an order that is random and always the same.
    order = np.random.default_rng(0).permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    for label in range(len(names)):
        mine = order[labels[order] == label]
        rank[mine] = np.arange(len(mine))
    aside = rank % _SPLIT == _SPLIT - 1
    if not aside.any():
        raise InputError(f"{path}: too few images to set any aside for test; {_SPLIT} a class do")
    return (images[~aside], labels[~aside], names), (images[aside], labels[aside], names)


def _class_folders(path: Path, shape: InputShape, notes: list[str]) -> _Part:
    """Images of class folders; the folders' names in order are the classes."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise InputError(f"{path}: has no class folders (one folder of images a class)")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not found:
            raise InputError(f"{folder}: has no images ({', '.join(_SUFFIXES)})")
        files += found
        labels += [label] * len(found)
    images, kept = _decoded([(str(file), partial(Path, file)) for file in files], shape, notes)
    return images[kept], np.array(labels, dtype=np.int64)[kept], tuple(f.name for f in folders)


# ------------------------------------------------------------------------------- single images
def _decoded(
    sources: Sequence[tuple[str, Callable[[], Any]]], shape: InputShape, notes: list[str]
) -> tuple[Pixels, NDArray[np.int64]]:
    """Images (one a source, blank if it is none) and the numbers of those that are."""
    pillow = _pillow()
    images = np.zeros((len(sources), shape.height, shape.width, shape.channels), dtype=np.uint8)
    kept, bad = [], []
    for number, (name, source) in enumerate(sources):
        try:
            with pillow.open(source()) as image:
                images[number] = _fitted(image, shape)
            kept.append(number)
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError):
            bad.append(name)
    if not kept:
        raise InputError(f"{bad[0]}: no image that can be read, as all {len(bad)} of this set")
    notes += [f"{name}: no image that can be read; left out" for name in bad[:_NAMED]]
    if len(bad) > _NAMED:
        notes.append(f"and {len(bad) - _NAMED} more that cannot be read; left out")
    return images, np.array(kept, dtype=np.int64)


def _fitted(image: Any, shape: InputShape) -> Pixels:
    """An image in the colours and the size of the space's input; (height, width, channels)."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(shape.channels)
    if mode is None:
        raise UsageError(f"the space takes {shape.channels} channels; images have 1, 3 or 4")
    image = image.convert(mode)
    if image.size != (shape.width, shape.height):
        image = image.resize((shape.width, shape.height), _pillow().Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8).reshape(shape.height, shape.width, shape.channels)


def _pillow() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 (an extra)
    except ImportError:
        raise UsageError(
            "this needs the package pillow: pip install 'flash-codesign[train]'"
        ) from None
    return Image
