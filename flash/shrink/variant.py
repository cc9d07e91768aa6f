"""One variant as files: cut from the model, fitted to data where there is some, and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, InputError, UsageError
from flash.shrink.report import Agreement

if TYPE_CHECKING:
    from flash.backends.onnx.variants.model import Variants

__all__ = ["Inputs", "Variant", "make_variant"]

#: Largest difference of PyTorch's output to onnxruntime's, over the largest output (at least 1).
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class Inputs:
    """What the model and the variant are run on.

    values: (n, ...) of the first input; those of others are noise.  real: data of the user's.
    """

    values: NDArray[np.float32]
    source: str
    real: bool

    def at(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The inputs resized to a model's sizes (n, channels, ...), as they are if they fit."""
        values = self.values
        for axis in range(2, values.ndim):
            if values.shape[axis] != shape[axis]:
                values = _resized(values, axis, shape[axis])
        return values


def _resized(values: NDArray[np.float32], axis: int, size: int) -> NDArray[np.float32]:
    """Along an axis, by linear interpolation over as many positions as become one."""
    before = values.shape[axis]
    scale = max(before / size, 1.0)
    centres = (np.arange(size) + 0.5) * before / size - 0.5
    distance = np.abs(np.arange(before) - centres[:, None]) / scale
    weights = np.maximum(1.0 - distance, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    found = np.moveaxis(np.tensordot(weights, np.moveaxis(values, axis, 0), 1), 0, axis)
    return np.ascontiguousarray(found, dtype=np.float32)


@dataclass(frozen=True)
class Variant:
    """The variant's files, what was checked, and how it compares with the model."""

    onnx: bytes
    state: bytes | None
    verified: tuple[str, ...]
    agreement: Agreement
    notes: tuple[str, ...]


def make_variant(
    variants: Variants, values: Mapping[str, int], costs: tuple[int, int], inputs: Inputs, name: str
) -> Variant:
    """The variant with these values of the variables.

    costs: parameters and multiply-accumulates that the space gives it: those that reading the
    written file gives must be the same.

    Raises ``FlashError`` where they are not, or where the variant does not run.
    """
    from flash.backends import network_of  # noqa: PLC0415 (an extra)

    model = variants.model(values)
    notes: list[str] = []
    module, matched, torch_error = _in_torch(variants, values, model, inputs, notes)
    if matched:
        from flash.backends import graph_weights, with_weights  # noqa: PLC0415 (an extra)

        model = with_weights(model, graph_weights(module))
    described = json.dumps({k: int(v) for k, v in values.items()})
    for key, value in (("flash.design", described), ("flash.variant_of", name)):
        model.metadata_props.add(key=key, value=value)
    network = network_of(model)
    if (network.params, network.macs) != costs:
        raise FlashError(
            f"the variant has {network.params:,} parameters and {network.macs:,} MACs, its space "
            f"says {costs[0]:,} and {costs[1]:,}: please report the model"
        )
    content: bytes = model.SerializeToString(deterministic=True)
    agreement = _agreement(variants, content, inputs, inputs.at(_input_shape(model)), matched)
    verified = ["parameters and MACs of the written file are those of the space"]
    verified.append("runs in onnxruntime to finite numbers")
    state = None
    if module is not None:
        from flash.backends import graph_weights, state_file  # noqa: PLC0415 (an extra)

        state = state_file(graph_weights(module))
        verified.append(f"the PyTorch module agrees with onnxruntime to {torch_error:.1e}")
    return Variant(content, state, tuple(verified), agreement, tuple(notes))


def _in_torch(
    variants: Variants,
    values: Mapping[str, int],
    model: Any,
    inputs: Inputs,
    notes: list[str],
) -> tuple[Any, int, float]:
    """The variant as a module, how many layers were matched to the data, and its error."""
    try:
        from flash.backends import match_statistics, torch_graph  # noqa: PLC0415 (an extra)

        module = torch_graph(model)
        matched = 0
        if inputs.real and len(variants.frozen.inputs) == 1:
            original = torch_graph(variants.content)
            smaller = inputs.at(_input_shape(model))
            kept = variants.kept(values)
            matched = match_statistics(module, original, inputs.values, kept, smaller)
        return module, matched, _torch_error(module, inputs, variants)
    except (InputError, UsageError) as error:
        notes.append(f"no PyTorch module: {error}")
        return None, 0, 0.0


def _torch_error(module: Any, inputs: Inputs, variants: Variants) -> float:
    from flash.backends import (  # noqa: PLC0415 (extras)
        graph_weights,
        run_graph,
        run_onnx,
        with_weights,
    )

    feeds = _feeds(variants, inputs.at(_input_shape(module.model))[:1])
    found = run_graph(module, feeds)
    wanted = run_onnx(with_weights(module.model, graph_weights(module)), feeds)
    worst = 0.0
    for name, want in wanted.items():
        scale = max(1.0, float(np.abs(want).max(initial=0.0)))
        worst = max(worst, float(np.abs(found[name] - want).max(initial=0.0)) / scale)
    if not worst <= _TOLERANCE:
        raise FlashError(f"the PyTorch module differs from onnxruntime by {worst:.3g}")
    return worst


def _feeds(variants: Variants, values: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Inputs by name for one run: the first given, the others noise."""
    rng = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for number, (name, (shape, kind)) in enumerate(variants.input_kinds.items()):
        noise = rng.standard_normal(shape) if kind.kind == "f" else np.zeros(shape)
        feeds[name] = (values if number == 0 else noise).astype(kind)
    return feeds


def _singly(variants: Variants, values: NDArray[np.float32]) -> list[dict[str, NDArray[Any]]]:
    """Feeds of one input each."""
    return [_feeds(variants, values[k : k + 1]) for k in range(len(values))]


def _input_shape(model: Any) -> tuple[int, ...]:
    """Sizes of a model's first input."""
    return tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)


def _agreement(
    variants: Variants,
    content: bytes,
    inputs: Inputs,
    smaller: NDArray[np.float32],
    matched: int,
) -> Agreement:
    """The variant's first output beside the model's, input by input."""
    from flash.backends import run_onnx_many  # noqa: PLC0415 (an extra)

    name = variants.frozen.outputs[0]
    want, have = (
        np.stack([found[name] for found in run_onnx_many(file, _singly(variants, values))])
        for file, values in ((variants.content, inputs.values), (content, smaller))
    )
    if not np.isfinite(have).all():
        raise FlashError("the variant does not give finite numbers")
    if have.shape != want.shape:  # maps of another side
        return Agreement(inputs.source, len(want), None, None, matched)
    flat_want, flat_have = want.reshape(len(want), -1), have.reshape(len(have), -1)
    same = None
    if flat_want.shape[1] > 1:
        same = float((flat_want.argmax(1) == flat_have.argmax(1)).mean())
    norm = float(np.sqrt(np.mean(flat_want.astype(np.float64) ** 2)))
    rms = float(np.sqrt(np.mean((flat_have.astype(np.float64) - flat_want) ** 2)))
    return Agreement(inputs.source, len(want), same, rms / max(norm, 1e-30), matched)
