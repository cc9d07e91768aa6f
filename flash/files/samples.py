"""Inputs of a model as arrays: what it is fed when something is to be told of it on data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError
from flash.files.arrays import read_arrays
from flash.files.image_sets import is_image_set, pixel_statistics, read_parts

__all__ = ["read_samples"]

#: Names of the inputs in an archive, in the order in which they are looked for.
_NAMES: Final = ("", "x", "inputs", "images", "x_test", "x_train")


def read_samples(
    path: str | Path, shape: Sequence[int], most: int
) -> tuple[NDArray[np.float32], str]:
    """Up to ``most`` inputs of this shape (without the batch), float32, and where they are from.

    A ``.npy`` or ``.npz`` file of inputs as the model is fed them, or a set of labelled images
    (``flash.files.image_sets``), each channel normalised by its mean and deviation. Raises
    ``InputError``.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"no such file or folder: {place}")
    if is_image_set(place):
        return _images(place, tuple(shape), most)
    arrays = read_arrays(place)
    name = next((n for n in _NAMES if n in arrays), next(iter(arrays), None))
    if name is None:
        raise InputError(f"{place}: holds no array")
    given = arrays[name]
    if given.shape == tuple(shape):
        given = given[None]
    if given.shape[1:] != tuple(shape) or not len(given) or given.dtype.kind not in "fiub":
        raise InputError(
            f"{place}: an array of {given.dtype} and shape {given.shape}; expected numbers of "
            f"shape (n, {', '.join(map(str, shape))})"
        )
    found = _some(given, most).astype(np.float32)
    if not np.isfinite(found).all():
        raise InputError(f"{place}: holds numbers that are not finite")
    return found, place.name


def _images(place: Path, shape: tuple[int, ...], most: int) -> tuple[NDArray[np.float32], str]:
    if len(shape) != 3:
        raise InputError(f"{place}: a set of images, and the model reads {len(shape)} axes")
    part, _ = read_parts(place, (shape[0], shape[1], shape[2]), [])
    mean, deviation = pixel_statistics(part.images)
    pixels = _some(part.images, most).astype(np.float32)
    pixels = ((pixels - np.array(mean)) / np.array(deviation)).transpose(0, 3, 1, 2)
    source = f"{place.name}, each channel normalised by its own mean and deviation"
    return np.ascontiguousarray(pixels, dtype=np.float32), source


def _some(given: NDArray[Any], most: int) -> NDArray[Any]:
    """Up to ``most`` of them, drawn at random: sets are often sorted by class."""
    if len(given) <= most:
        return given
    return given[np.sort(np.random.default_rng(0).permutation(len(given))[:most])]
