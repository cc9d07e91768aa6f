"""Labelled images of one size: what the networks of a space are trained and tested on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError
from flash.files.arrays import read_arrays
from flash.files.image_sets import pixel_statistics

__all__ = ["ImageSet"]

Pixels = NDArray[Any]
Labels = NDArray[np.int64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ImageSet:
    """Images (n, height, width, channels) as bytes and their classes, for training and test.

    Signals and spectrograms are float32 of the same layout.

    ``notes`` says what was left out or changed when they were read, a line each.
    """

    name: str
    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 (16 digits) of all images and labels: results of equal digests compare."""
        found = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            found.update(f"{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()[:16]

    def subset(self, images: int | None) -> ImageSet:
        """With so many training images, of every class as its part of all; all for None.

        The same ones every time.
        """
        if images is None or images >= len(self.train_labels):
            return self
        return self.taken(np.sort(self._balanced_order(0)[:images]))

    def taken(self, chosen: Indices) -> ImageSet:
        """With these of the training images."""
        return replace(
            self,
            train_images=self.train_images[chosen],
            train_labels=self.train_labels[chosen],
        )

    def split(self, share: float) -> tuple[Indices, Indices]:
        """Training images to train on, and those set aside for validation; ascending indices.

        Validation has ``share`` of the images (0 to 1, not 1; one image at least), of every class
        as its part of all; the same ones every time. Raises ``InputError`` where no image is left
        to train on.
        """
        total = len(self.train_labels)
        aside = max(round(share * total), 1)
        if aside >= total:
            raise InputError(
                f"{self.name}: {total} training images are too few to set any aside for validation"
            )
        order = self._balanced_order(1)
        return np.sort(order[aside:]), np.sort(order[:aside])

    def _balanced_order(self, seed: int) -> Indices:
        """Training images in random order, of which every beginning is balanced over classes."""
        total = len(self.train_labels)
        order = np.random.default_rng(seed).permutation(total)
        # The k-th image of a class of m comes at (k + 1/2) / m.
        place = np.empty(total)
        for label in range(len(self.classes)):
            mine = order[self.train_labels[order] == label]
            place[mine] = (np.arange(len(mine)) + 0.5) / max(len(mine), 1)
        balanced: Indices = order[np.argsort(place[order], kind="stable")]
        return balanced

    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over the training images."""
        return pixel_statistics(self.train_images)

    def save(self, file: BinaryIO) -> None:
        """Write the set to an open file, as ``load`` reads it."""
        np.savez(
            file,
            name=np.array(self.name),
            train_images=self.train_images,
            train_labels=self.train_labels,
            test_images=self.test_images,
            test_labels=self.test_labels,
            classes=np.array(self.classes),
        )

    @staticmethod
    def load(path: Path) -> ImageSet:
        """The set that ``save`` wrote."""
        arrays = read_arrays(path)
        return ImageSet(
            name=str(arrays["name"]),
            train_images=arrays["train_images"],
            train_labels=arrays["train_labels"],
            test_images=arrays["test_images"],
            test_labels=arrays["test_labels"],
            classes=tuple(str(name) for name in arrays["classes"]),
        )
