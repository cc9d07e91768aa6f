"""Weights that somebody has trained, out of a file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.backends.weights import Weights, random_weights
from flash.errors import InputError, UsageError
from flash.spaces.network import Network

__all__ = ["read_weights"]


def read_weights(path: str | Path, network: Network) -> tuple[Weights, str]:
    """The network's weights in a file, and where they come from, for the manifest.

    path: ``.npz``, arrays by the names of ``flash.backends.weights``
          (``numpy.savez(path, **flash.backends.module_weights(module))``), or ``.pt``, tensors
          by the same names. Nothing in a file is executed.

    Raises ``UsageError`` for a file that is not there and ``InputError`` for one that does not
    hold exactly this network's weights, finite and of its shapes.
    """
    place = Path(path)
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"--weights: no such file: {place}") from None
    except OSError as error:
        raise InputError(f"{place}: {error.strerror}") from None
    if place.suffix == ".pt":
        from flash.backends import read_state  # noqa: PLC0415 (an extra)

        found = read_state(content, place)
    else:
        found = _archive(content, place)
    weights = _fitting(found, network, place)
    return weights, f"{place.name}, SHA-256 {hashlib.sha256(content).hexdigest()}"


def _archive(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    # A lone array has no context manager (AttributeError, TypeError).
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        raise InputError(f"{path}: no .npz file of plain arrays by name") from None


def _fitting(found: Mapping[str, NDArray[Any]], network: Network, path: Path) -> Weights:
    expected = {name: array.shape for name, array in random_weights(network).items()}
    for name, shape in expected.items():
        if name not in found:
            raise InputError(f"{path}: lacks {name}, an array of shape {shape} of this design")
        if found[name].shape != shape:
            raise InputError(
                f"{path}: {name} has shape {found[name].shape}; this design's has {shape}"
            )
        if found[name].dtype.kind != "f" or not np.isfinite(found[name]).all():
            raise InputError(f"{path}: {name} holds what is no finite number")
    strange = sorted(set(found) - set(expected))
    if strange:
        raise InputError(f"{path}: holds {strange[0]}, which this design has not")
    return {name: np.asarray(found[name], dtype=np.float32) for name in expected}
