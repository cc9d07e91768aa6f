"""Real images for proxies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError
from flash.files.image_sets import read_parts

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
    """The first ``most`` training images of a set (``flash.files.image_sets``).

    Raises ``InputError`` for anything else, and for images that cannot be read.
    """
    notes: list[str] = []
    part, _ = read_parts(path, None, notes)
    if notes:
        raise InputError(notes[0].removesuffix("; left out"))
    images, labels = part.images[:most], part.labels[:most]
    if labels.min() < 0:
        raise InputError(f"{path}: labels must be whole numbers from 0, one an image")
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16]
    return Images(images, labels, digest)
