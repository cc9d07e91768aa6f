"""Images that int8 scales are read off, and those that tell the error they make."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError, shown

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
    pixels = np.random.default_rng(seed).standard_normal(
        (_NOISE_IMAGES, *shape), dtype=np.float32
    )  # fmt: skip
    return Images(pixels, f"normal noise of seed {seed}, no images")


def load_images(path: str | Path, shape: tuple[int, int, int]) -> Images:
    """The first ``MOST_IMAGES`` images in a ``.npy`` or ``.npz`` file, or a folder of them.

    Every array is one image (channels, height, width) or several of them, already
    preprocessed as the network is fed. A folder's files are taken by name. Raises
    ``UsageError`` where there is no such file or folder and ``InputError`` for one without
    usable arrays.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"--calibration: no such file or folder: {place}")
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


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays in a file; an archive's by `` [name]``."""
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            arrays = {f" [{name}]": loaded[name] for name in sorted(loaded.files)}
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or 'cannot be read'}") from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile):
        raise InputError(f"{file}: no .npy or .npz file of plain arrays") from None
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
