"""Real images for proxies, read from a NumPy archive."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError

__all__ = ["Images", "read_images"]


@dataclass(frozen=True)
class Images:
    """Labelled images as bytes, shape (n, height, width, channels), n of one size.

    digest: identifies them in caches.
    """

    array: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        return len(self.labels)

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise ``UsageError`` unless a network that reads (channels, height, width) can."""
        _, height, width, channels = self.array.shape
        if (channels, height, width) != shape:
            have, want = ("x".join(map(str, sizes)) for sizes in ((channels, height, width), shape))
            raise UsageError(f"the images are {have}; the network reads {want}")

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        some = self.array[:5000].astype(np.float32)
        spread = some.std(axis=(0, 1, 2))
        return some.mean(axis=(0, 1, 2)), np.maximum(spread, 1.0)

    def pixels(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images of these rows, (k, channels, height, width), each channel normalised."""
        mean, spread = self._statistics
        return ((self.array[rows] - mean) / spread).transpose(0, 3, 1, 2).astype(np.float32)


def read_images(path: str | Path, most: int = 10_000) -> Images:
    """Images of an ``.npz`` file: ``images`` (n, height, width, channels) bytes and ``labels``.

    Also understood: ``jpeg`` (all files joined, bytes), ``offset`` (n + 1) and ``label``; that
    takes Pillow. Reads the first ``most`` images. Raises ``InputError`` for anything else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        reason = getattr(error, "strerror", None) or "not a NumPy archive (.npz)"
        raise InputError(f"{path}: {reason}") from None
    if {"jpeg", "offset", "label"} <= arrays.keys():
        labels = arrays["label"][:most]
        images = _decoded(arrays["jpeg"], arrays["offset"][: len(labels) + 1], str(path))
    elif {"images", "labels"} <= arrays.keys():
        images, labels = arrays["images"][:most], arrays["labels"][:most]
    else:
        raise InputError(f"{path}: expected the arrays images and labels")
    return _checked(images, labels, str(path))


def _checked(images: NDArray[np.uint8], labels: NDArray[np.int64], path: str) -> Images:
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0:
        raise InputError(f"{path}: images must be bytes of shape (n, height, width, channels)")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(f"{path}: labels must be whole numbers from 0, one an image")
    import hashlib  # noqa: PLC0415 (only where data is given)

    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16]
    return Images(images, labels.astype(np.int64), digest)


def _decoded(jpeg: NDArray[np.uint8], offset: NDArray[np.int64], path: str) -> NDArray[np.uint8]:
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 (an extra)
    except ImportError:
        raise UsageError(f"{path} holds JPEG images: pip install pillow") from None
    try:
        found = [
            np.asarray(Image.open(io.BytesIO(jpeg[a:b].tobytes())).convert("RGB"))
            for a, b in zip(offset, offset[1:], strict=False)
        ]
        return np.stack(found)
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise InputError(f"{path}: an image cannot be decoded: {error}") from None
