"""The images of a training on its device, and batches of them changed at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.training.images import ImageSet
from flash.training.recipe import Recipe

__all__ = ["TEST_BATCH", "Batches", "Part"]

#: Images a step of the test; it changes nothing but memory.
TEST_BATCH: Final = 500


@dataclass(frozen=True)
class Part:
    """Images (n, height, width, channels) as bytes, or signals as floats; their classes (n,)."""

    pixels: torch.Tensor
    labels: torch.Tensor


class Batches:
    """The training images on the device, and batches of them changed at random."""

    def __init__(self, images: ImageSet, recipe: Recipe, device: torch.device) -> None:
        self.device = device
        self.recipe = recipe
        trained, kept = (images.taken(at) for at in images.split(recipe.validation))
        training, aside = (
            Part(
                torch.from_numpy(part.train_images).to(device),
                torch.from_numpy(part.train_labels).to(device),
            )
            for part in (trained, kept)
        )
        self._full = {"training": training, "validation": aside}
        self._share = 1.0
        self._reduced = self._full
        mean, deviation = trained.pixel_statistics()
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self.deviation = torch.tensor(deviation, dtype=torch.float32, device=device)
        #: Classes of the training images, shape (images,).
        self.labels = trained.train_labels
        self.images = len(self.labels)
        self.batch = min(recipe.batch, self.images)
        self.steps = self.images // self.batch

    def normal(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, h, w, c) -> (n, c, h, w) of mean 0 and deviation 1 over the training set."""
        return ((pixels.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)

    def validation(self, share: float) -> Part:
        """The images set aside, at this share of their side."""
        return self._at(share)["validation"]

    def changed(
        self,
        at: NDArray[np.int64],
        rng: np.random.Generator,
        share: float,
        mirrored: NDArray[np.bool_],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """These training images at this share of their side, shifted, and some mirrored."""
        part = self._at(share)["training"]
        rows, columns = part.pixels.shape[1:3]
        y = _moved(rng, len(at), rows, self.recipe.shift)
        x = _moved(rng, len(at), columns, self.recipe.shift)
        if part.pixels.dtype == torch.uint8:  # a signal that runs backwards is another one
            x[mirrored] = x[mirrored, ::-1]
        index, y_at, x_at = (torch.from_numpy(v).to(self.device) for v in (at, y, x))
        taken = part.pixels[index[:, None, None], y_at[:, :, None], x_at[:, None, :]]
        batch = self.normal(taken)
        return batch.contiguous(memory_format=torch.channels_last), part.labels[index]

    def _at(self, share: float) -> dict[str, Part]:
        """All images at this share of their side: resized once, as epochs of one side follow."""
        if share != self._share:
            self._reduced = {
                name: Part(_resized(part.pixels, share), part.labels)
                for name, part in self._full.items()
            }
            self._share = share
        return self._reduced


def _resized(pixels: torch.Tensor, share: float) -> torch.Tensor:
    """(n, h, w, c) bytes, or floats, at this share of both sides, a pixel at least."""
    if share == 1:
        return pixels
    size = tuple(max(round(side * share), 1) for side in pixels.shape[1:3])
    parts = [
        functional.interpolate(
            part.permute(0, 3, 1, 2).float(), size, mode="bilinear", antialias=True
        )
        for part in torch.split(pixels, TEST_BATCH)
    ]
    if pixels.dtype == torch.uint8:
        parts = [part.round().clamp(0, 255).to(torch.uint8) for part in parts]
    found = torch.cat(parts)
    return found.permute(0, 2, 3, 1).contiguous()


def _moved(rng: np.random.Generator, images: int, side: int, shift: float) -> Any:
    """For each image the rows (or columns) it takes: all, moved by up to ``shift``, mirrored."""
    most = round(side * shift)
    at = np.abs(np.arange(side) + rng.integers(-most, most + 1, images)[:, None])
    return np.where(at < side, at, 2 * (side - 1) - at)
