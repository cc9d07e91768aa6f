"""Labelled images on disk: one convention for training, proxies and int8 scales.

What ``read_parts`` takes:

* a folder with ``train.npz`` and ``test.npz``, each with either ``images`` and ``labels``, or
  encoded images packed as ``jpeg`` (all bytes joined), ``offset`` (n + 1 positions) and
  ``label``; ``classes`` (names) if known;
* one ``.npz`` file with ``x_train``, ``y_train``, ``x_test`` and ``y_test``, or one like
  ``train.npz``, which has no part for test;
* a folder of class folders of image files; with ``train`` and ``val`` (or ``test``) folders of
  class folders as they are, else a fifth of every class is set aside for test.

Images are bytes (n, height, width, channels). They become the size that a network takes; without
one they stay as they are, and all have to be of one size. Image files and resizing need Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError
from flash.extras import need
from flash.files.arrays import read_arrays

__all__ = ["ImagePart", "Shape", "is_image_set", "pixel_statistics", "read_parts"]

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
#: Channels, height and width of a network's input; None leaves images as they are.
Shape = tuple[int, int, int] | None

_SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_TEST_FOLDERS: Final = ("val", "valid", "validation", "test")
#: Of every class of a folder without a split, one image in so many is for test.
_SPLIT: Final = 5
#: Bad files named; of more, their number is told.
_NAMED: Final = 5


@dataclass(frozen=True)
class ImagePart:
    """Images (n, height, width, channels) as bytes, a class each, and the classes' names.

    classes: empty where the files do not name them.
    """

    images: Pixels
    labels: Labels
    classes: tuple[str, ...]


def read_parts(
    place: str | Path, shape: Shape, notes: list[str]
) -> tuple[ImagePart, ImagePart | None]:
    """The images at ``place`` for training and for test; None where it has none for test.

    Files that are no images are left out and named in ``notes``. Raises ``UsageError`` where
    Pillow is needed and missing, ``InputError`` for what is not there or cannot be used.
    """
    path = Path(place)
    if path.is_dir():
        if (path / "train.npz").is_file() and (path / "test.npz").is_file():
            train, test = (
                _archive(file, read_arrays(file), "", shape, notes)
                for file in (path / "train.npz", path / "test.npz")
            )
            return train, test
        return _folders(path, shape, notes)
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    if path.suffix != ".npz":
        raise InputError(f"{path}: expected a folder or an .npz file")
    arrays = read_arrays(path)
    if {"jpeg", "images", "x_train"}.isdisjoint(arrays):
        raise InputError(
            f"{path}: expected the arrays images and labels, or x_train, y_train, x_test and "
            f"y_test (it has {', '.join(arrays) or 'none'})"
        )
    if "x_train" not in arrays:
        return _archive(path, arrays, "", shape, notes), None
    train, test = (_archive(path, arrays, part, shape, notes) for part in ("train", "test"))
    return train, test


def pixel_statistics(images: Pixels) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over images; of bytes 1 at least."""
    channels = images.shape[3]
    if images.dtype != np.uint8:
        flat = images.reshape(-1, channels)
        means, deviations = flat.mean(0, dtype=np.float64), flat.std(0, dtype=np.float64)
        return means.tolist(), np.where(deviations > 1e-12, deviations, 1.0).tolist()
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)]
    values = np.arange(256)
    means = [float(np.average(values, weights=n)) for n in counts]
    spreads = [
        float(np.sqrt(np.average((values - mean) ** 2, weights=n)))
        for n, mean in zip(counts, means, strict=True)
    ]
    return means, [max(spread, 1.0) for spread in spreads]


def is_image_set(place: Path) -> bool:
    """Whether a place that is there is such a set, and no file or folder of bare arrays."""
    if place.is_dir():
        return (place / "train.npz").is_file() or any(
            p.is_dir() and not p.name.startswith(".") for p in place.iterdir()
        )
    arrays = read_arrays(place) if place.suffix == ".npz" else {}
    return any(
        name in arrays and arrays[name].dtype == np.uint8 for name in ("images", "jpeg", "x_train")
    )


# ----------------------------------------------------------------------------- numpy archives
def _archive(
    path: Path, arrays: Mapping[str, NDArray[Any]], part: str, shape: Shape, notes: list[str]
) -> ImagePart:
    """Images, labels and class names of an archive; ``part`` is "", "train" or "test"."""
    names = tuple(str(name) for name in arrays["classes"]) if "classes" in arrays else ()
    if part:
        keys = (f"x_{part}", f"y_{part}")
    elif "jpeg" in arrays:
        _require(path, arrays, ("jpeg", "offset", "label"))
        images, kept = _unpacked(path, arrays["jpeg"], arrays["offset"], shape, notes)
        labels = _labels(path, "label", arrays["label"], len(kept))
        return ImagePart(images, labels[kept], names)
    else:
        keys = ("images", "labels")
    _require(path, arrays, keys)
    images = _pixels(path, keys[0], arrays[keys[0]], shape)
    return ImagePart(images, _labels(path, keys[1], arrays[keys[1]], len(images)), names)


def _require(path: Path, arrays: Mapping[str, NDArray[Any]], keys: Sequence[str]) -> None:
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


def _pixels(path: Path, key: str, given: NDArray[Any], shape: Shape) -> Pixels:
    """An array of images as bytes (n, h, w, c) of the wanted shape."""
    if given.dtype != np.uint8:
        raise InputError(f"{path}: {key} must be bytes (uint8, 0 to 255), got {given.dtype}")
    if given.ndim == 3:
        given = given[..., None]
    channels = (1, 3) if shape is None else (1, 3, shape[0])
    if given.ndim == 4 and given.shape[3] not in channels:
        given = np.moveaxis(given, 1, 3)
    if given.ndim != 4 or given.shape[3] not in channels or not given.size:
        raise InputError(
            f"{path}: {key} must have shape (images, height, width, channels), got {given.shape}"
        )
    if shape is None or given.shape[1:] == (*shape[1:], shape[0]):
        return np.ascontiguousarray(given)
    pillow = _pillow()
    return np.stack([_fitted(pillow.fromarray(x.squeeze()), shape) for x in given])


def _unpacked(
    path: Path, joined: NDArray[Any], offset: NDArray[Any], shape: Shape, notes: list[str]
) -> tuple[Pixels, NDArray[np.int64]]:
    """The images that can be read from their encoded bytes, and their numbers."""
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
def _folders(path: Path, shape: Shape, notes: list[str]) -> tuple[ImagePart, ImagePart]:
    train = path / "train"
    test = next((path / name for name in _TEST_FOLDERS if (path / name).is_dir()), None)
    if train.is_dir() and test is not None:
        return _class_folders(train, shape, notes), _class_folders(test, shape, notes)
    if train.is_dir():
        raise InputError(f"{path}: has a folder 'train' but none of {', '.join(_TEST_FOLDERS)}")
    whole = _class_folders(path, shape, notes)
    labels, names = whole.labels, whole.classes
    # Every class on its own, in an order that is random and always the same.
    order = np.random.default_rng(0).permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    for label in range(len(names)):
        mine = order[labels[order] == label]
        rank[mine] = np.arange(len(mine))
    aside = rank % _SPLIT == _SPLIT - 1
    if not aside.any():
        raise InputError(f"{path}: too few images to set any aside for test; {_SPLIT} a class do")
    return (
        ImagePart(whole.images[~aside], labels[~aside], names),
        ImagePart(whole.images[aside], labels[aside], names),
    )


def _class_folders(path: Path, shape: Shape, notes: list[str]) -> ImagePart:
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
    names = tuple(f.name for f in folders)
    return ImagePart(images, np.array(labels, dtype=np.int64)[kept], names)


# ------------------------------------------------------------------------------- single images
def _decoded(
    sources: Sequence[tuple[str, Callable[[], Any]]], shape: Shape, notes: list[str]
) -> tuple[Pixels, NDArray[np.int64]]:
    """The images that can be read, and their numbers."""
    pillow = _pillow()
    images: list[Pixels] = []
    kept, bad = [], []
    for number, (name, source) in enumerate(sources):
        try:
            with pillow.open(source()) as image:
                images.append(_fitted(image, shape))
            kept.append(number)
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError):
            bad.append(name)
    if not kept:
        raise InputError(f"{bad[0]}: no image that can be read, as all {len(bad)} of this set")
    notes += [f"{name}: no image that can be read; left out" for name in bad[:_NAMED]]
    if len(bad) > _NAMED:
        notes.append(f"and {len(bad) - _NAMED} more that cannot be read; left out")
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise InputError(f"{sources[0][0]} and others: images of {len(sizes)} different sizes")
    return np.stack(images), np.array(kept, dtype=np.int64)


def _fitted(image: Any, shape: Shape) -> Pixels:
    """An image in the colours and the size of the space's input; (height, width, channels)."""
    channels, height, width = (3, image.height, image.width) if shape is None else shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
    if mode is None:
        raise UsageError(f"the network takes {channels} channels; images have 1, 3 or 4")
    image = image.convert(mode)
    if image.size != (width, height):
        image = image.resize((width, height), _pillow().Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def _pillow() -> Any:
    return need("PIL.Image", extra="train", what="reading image files")
