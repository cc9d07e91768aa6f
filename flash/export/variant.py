"""A variant of a user's own model as what is delivered: cut from it, its weights inherited."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flash.errors import InputError, UsageError
from flash.files.arrays import read_arrays
from flash.files.limits import UNPACKED_BYTES
from flash.files.reading import read_bytes
from flash.spaces.space import SearchSpace

__all__ = ["cut_variant", "is_variant"]


def is_variant(space: SearchSpace) -> bool:
    """Whether designs of a space are cut from a model instead of being built."""
    return space.family.model_file is not None


def cut_variant(
    space: SearchSpace, design: Mapping[str, int], weights: str | Path | None
) -> tuple[Any, str]:
    """The variant as an ONNX model with one ``input`` and its ``output``, and where its weights
    come from.

    weights: trained ones, ``.pt`` or ``.npz`` by the names of the model's tensors, as
             ``flash.train`` writes them; those inherited if None.

    Raises ``InputError`` for a model or weights that do not fit, ``UsageError`` for a model that no
    exporter takes.
    """
    from flash.backends import renamed_ends, variant_of, with_weights  # noqa: PLC0415

    path = space.family.checked_model_file()
    cut = variant_of(path, space.family.cutting(design))
    (given, *more) = cut.graph.input
    if more or len(given.type.tensor_type.shape.dim) != 4:
        raise UsageError(
            f"{path}: only models of one image input are exported; flash.shrink writes the variant"
        )
    model = renamed_ends(cut)
    if weights is None:
        return model, f"inherited from {path.name}"
    place = Path(weights)
    given = read_bytes(place, most=UNPACKED_BYTES)
    found = _read(place, given)
    _check(place, found, model)
    source = f"{place.name}, SHA-256 {hashlib.sha256(given).hexdigest()}"
    return with_weights(model, found), source


def _read(place: Path, content: bytes) -> dict[str, Any]:
    if place.suffix == ".pt":
        from flash.backends import read_state  # noqa: PLC0415 (an extra)

        return read_state(content, place)
    return dict(read_arrays(place))


def _check(place: Path, found: Mapping[str, Any], model: Any) -> None:
    sizes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for name, value in found.items():
        if name not in sizes:
            raise InputError(f"{place}: holds {name}, which this design has not")
        if tuple(value.shape) != sizes[name]:
            raise InputError(
                f"{place}: {name} has shape {tuple(value.shape)}; this design's has {sizes[name]}"
            )
        if not np.isfinite(value).all():
            raise InputError(f"{place}: {name} holds what is no finite number")
