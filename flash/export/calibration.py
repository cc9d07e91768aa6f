"""Images that int8 scales are read off, and those that tell the error they make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, shown
from flash.files.arrays import read_arrays
from flash.files.image_sets import is_image_set, pixel_statistics, read_parts

__all__ = ["MOST_IMAGES", "Images", "load_images", "noise_images"]

#: More do not move the scales, and calibration takes time for each.
MOST_IMAGES: Final = 256
_NOISE_IMAGES: Final = 32


@dataclass(frozen=True)
class Images:
    """Inputs as a network is fed them: (images, channels, height, width), fp32, normalised.

    source: where they come from, for people. A quarter of them, the last, is held out of
    calibration to tell the error of what came of it; a single image serves for both.
    """

    pixels: NDArray[np.float32]
    source: str

    @property
    def _held_out(self) -> int:
        return max(1, len(self.pixels) // 4)

    @property
    def calibration(self) -> NDArray[np.float32]:
        """Those the scales are read off."""
        return self.pixels[: -self._held_out] if len(self.pixels) > 1 else self.pixels

    @property
    def test(self) -> NDArray[np.float32]:
        """Those the error is told on."""
        return self.pixels[-self._held_out :]

    def to_dict(self) -> dict[str, Any]:
        """As in the manifest."""
        return {
            "source": self.source,
            "sha256": hashlib.sha256(self.pixels.tobytes()).hexdigest(),
            "calibration_images": len(self.calibration),
            "test_images": len(self.test),
            "test_held_out": len(self.pixels) > 1,
        }


def noise_images(shape: tuple[int, int, int], seed: int) -> Images:
    """Standard normal noise: what there is when nobody gives images."""
    pixels = np.random.default_rng(seed).standard_normal((_NOISE_IMAGES, *shape), dtype=np.float32)
    return Images(pixels, f"normal noise of seed {seed}, no images")


def load_images(path: str | Path, shape: tuple[int, int, int]) -> Images:
    """The first ``MOST_IMAGES`` images at a place.

    A set of labelled images (``flash.files.image_sets``): those for training, in the size that
    the network reads, each channel normalised by its mean and spread over them, as in training.
    Otherwise a ``.npy`` or ``.npz`` file, or a folder of them, taken by name: every array is one
    image (channels, height, width) or several of them, already preprocessed as the network is
    fed. Raises ``InputError`` for a place that is not there or has nothing usable.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"--calibration: no such file or folder: {place}")
    if is_image_set(place):
        return _normalised(place, shape)
    if place.is_dir():
        files = sorted(f for f in place.iterdir() if f.suffix in (".npy", ".npz"))
        if not files:
            raise InputError(
                f"{place}: no .npy or .npz in this folder: save images as arrays of shape "
                f"{shape}, preprocessed as the network is fed"
            )
    else:
        files = [place]
    found: list[NDArray[np.float32]] = []
    for file in files:
        for name, array in _arrays(file).items():
            found.append(_batch(array, shape, f"{file}{name}"))
        if sum(map(len, found)) >= MOST_IMAGES:
            break
    return Images(np.concatenate(found)[:MOST_IMAGES], f"images of {place.name}")


def _normalised(place: Path, shape: tuple[int, int, int]) -> Images:
    part, _ = read_parts(place, shape, [])
    mean, spread = pixel_statistics(part.images)
    # Sets are often sorted by class.
    chosen = np.random.default_rng(0).permutation(len(part.images))[:MOST_IMAGES]
    pixels = (part.images[chosen].astype(np.float32) - np.array(mean)) / np.array(spread)
    source = f"images of {place.name}, normalised by the means and spreads of their channels"
    return Images(pixels.transpose(0, 3, 1, 2).astype(np.float32), source)


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays in a file; an archive's by `` [name]``."""
    found = read_arrays(file)
    arrays = {f" [{name}]" if name else "": found[name] for name in sorted(found)}
    if not arrays:
        raise InputError(f"{file}: holds no array")
    return arrays


def _batch(array: NDArray[Any], shape: tuple[int, int, int], name: str) -> NDArray[np.float32]:
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or not len(array):
        raise InputError(
            f"{name}: an array of shape {array.shape}; expected images of shape {shape}, one or "
            "several"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: an array of {array.dtype}; expected numbers")
    if not np.isfinite(array).all():
        worst = array[~np.isfinite(array)][0]
        raise InputError(f"{name}: holds {shown(worst)}; expected finite numbers")
    return array.astype(np.float32)
