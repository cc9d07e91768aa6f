"""Weights that somebody has trained, out of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.backends.weights import Weights, random_weights
from flash.errors import InputError
from flash.files.arrays import read_arrays
from flash.files.limits import UNPACKED_BYTES
from flash.files.reading import read_bytes, read_json
from flash.spaces.network import Network

__all__ = ["preprocessing_beside", "read_weights"]


def preprocessing_beside(weights: str | Path | None) -> Mapping[str, Any] | None:
    """What ``flash.train`` wrote beside trained weights of how samples are prepared, if it did."""
    if weights is None:
        return None
    place = Path(weights).with_name("preprocessing.json")
    if not place.is_file():
        return None
    document = read_json(place)
    if not isinstance(document, dict) or document.get("schema") != "flash.preprocessing/1":
        raise InputError(f"{place}: no preprocessing of flash.train")
    return document


def read_weights(path: str | Path, network: Network) -> tuple[Weights, str]:
    """The network's weights in a file, and where they come from, for the manifest.

    path: ``.npz``, arrays by the names of ``flash.backends.weights``
          (``numpy.savez(path, **flash.backends.module_weights(module))``), or ``.pt``, tensors
          by the same names. Nothing in a file is executed.

    Raises ``InputError`` for a file that is not there or does not hold exactly this network's
    weights, finite and of its shapes.
    """
    place = Path(path)
    content = read_bytes(place, most=UNPACKED_BYTES)
    if place.suffix == ".pt":
        from flash.backends import read_state  # noqa: PLC0415 (an extra)

        found = read_state(content, place)
    else:
        found = dict(read_arrays(place))
        if "" in found:
            raise InputError(f"{place}: no .npz file of arrays by name")
    weights = _fitting(found, network, place)
    return weights, f"{place.name}, SHA-256 {hashlib.sha256(content).hexdigest()}"


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
