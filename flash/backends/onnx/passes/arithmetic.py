"""What operators compute on small constants: the arithmetic that shapes are made with.

ONNX's semantics in numpy, for operators that exporters compute shapes, axes, grids and scales
with. Others on constants give a constant of unknown value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from flash.backends.onnx.ir.graph import Node

__all__ = ["evaluated"]

Array = NDArray[Any]
Given = list[Any]


def evaluated(node: Node, inputs: Given) -> list[Array] | None:
    """The results of a node on these inputs (None where left out), or None if not known how."""
    function = _OPERATORS.get(node.op)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            found = function(node, inputs)
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError):
        return None
    results = found if isinstance(found, list) else [found]
    return [np.asarray(x) for x in results]


def _attribute(node: Node, name: str, otherwise: Any = None) -> Any:
    return node.attributes.get(name, otherwise)


def _axes(node: Node, inputs: Given, position: int = 1) -> tuple[int, ...] | None:
    """Axes by attribute (older opsets) or input."""
    axes = _attribute(node, "axes")
    if axes is None and len(inputs) > position and inputs[position] is not None:
        axes = np.ravel(inputs[position]).tolist()
    return None if axes is None else tuple(int(a) for a in axes)


def _plain(function: Callable[..., Any]) -> Callable[[Node, Given], Any]:
    """Element by element, in the type of the first input."""

    def apply(_: Node, inputs: Given) -> Any:
        first = np.asarray(inputs[0])
        return np.asarray(function(*inputs)).astype(first.dtype, copy=False)

    return apply


def _compared(function: Callable[..., Any]) -> Callable[[Node, Given], Any]:
    return lambda _, inputs: function(*inputs)


def _divided(_: Node, inputs: Given) -> Array:
    a, b = (np.asarray(x) for x in inputs)
    if a.dtype.kind in "iu":  # towards zero, as C does
        quotient: Array = np.trunc(a.astype(np.float64) / b).astype(a.dtype)
        if np.abs(a).max(initial=0) >= 2**52:
            quotient = np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))
        return quotient
    result: Array = a / b
    return result


def _clipped(node: Node, inputs: Given) -> Array:
    """Between bounds by input or, in older opsets, by attribute; either may be left out."""
    low, high = (
        inputs[k] if len(inputs) > k and inputs[k] is not None else _attribute(node, name)
        for k, name in ((1, "min"), (2, "max"))
    )
    x = np.asarray(inputs[0])
    x = x if low is None else np.maximum(x, low)
    x = x if high is None else np.minimum(x, high)
    return x.astype(np.asarray(inputs[0]).dtype, copy=False)


def _remainder(node: Node, inputs: Given) -> Any:
    return (np.fmod if _attribute(node, "fmod", 0) else np.mod)(*inputs)


def _reduced(function: Callable[..., Any]) -> Callable[[Node, Given], Any]:
    def apply(node: Node, inputs: Given) -> Any:
        axes = _axes(node, inputs)
        if axes is None and _attribute(node, "noop_with_empty_axes", 0):
            return inputs[0]
        return function(inputs[0], axis=axes, keepdims=bool(_attribute(node, "keepdims", 1)))

    return apply


def _cast(node: Node, inputs: Given) -> Array:
    result: Array = np.asarray(inputs[0]).astype(
        onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    )
    return result


def _reshaped(node: Node, inputs: Given) -> Any:
    x, sizes = inputs[0], [int(n) for n in inputs[1]]
    if not _attribute(node, "allowzero", 0):
        sizes = [x.shape[k] if n == 0 else n for k, n in enumerate(sizes)]
    return np.reshape(x, sizes)


def _unsqueezed(node: Node, inputs: Given) -> Any:
    axes = _axes(node, inputs) or ()
    return np.expand_dims(inputs[0], axes)


def _squeezed(node: Node, inputs: Given) -> Any:
    return np.squeeze(inputs[0], axis=_axes(node, inputs))


def _flattened(node: Node, inputs: Given) -> Any:
    axis = _attribute(node, "axis", 1)
    shape = inputs[0].shape
    return inputs[0].reshape(int(np.prod(shape[:axis])), -1)


def _sliced(node: Node, inputs: Given) -> Any:
    x = inputs[0]
    padded = [*inputs, None, None, None][1:5]
    starts, ends = (
        np.ravel(_attribute(node, name) if given is None else given).tolist()
        for name, given in zip(("starts", "ends"), padded[:2], strict=True)
    )
    axes = _attribute(node, "axes") if padded[2] is None else np.ravel(padded[2]).tolist()
    steps = [1] * len(starts) if padded[3] is None else np.ravel(padded[3]).tolist()
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        size = x.shape[axis]
        start = max(start + size, 0) if start < 0 else min(start, size - (step < 0))
        below = -1 if step < 0 else 0
        end = max(end + size, below) if end < 0 else min(end, size)
        index[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(index)]


def _split(node: Node, inputs: Given) -> list[Array]:
    sizes = _attribute(node, "split")
    if sizes is None and len(inputs) > 1 and inputs[1] is not None:
        sizes = inputs[1].tolist()
    axis, parts = _attribute(node, "axis", 0), len(node.outputs)
    if sizes is None:
        size = -(-inputs[0].shape[axis] // parts)
        sizes = [size] * (parts - 1)
    return np.split(inputs[0], np.cumsum(sizes)[: parts - 1], axis=axis)


def _filled(node: Node, inputs: Given) -> Array:
    value = _attribute(node, "value")
    fill = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full([int(n) for n in inputs[0]], fill.item(), fill.dtype)


def _expanded(_: Node, inputs: Given) -> Any:
    sizes = tuple(int(n) for n in inputs[1])
    return np.broadcast_to(inputs[0], np.broadcast_shapes(inputs[0].shape, sizes)).copy()


def _range(_: Node, inputs: Given) -> Array:
    start, limit, step = (np.asarray(x).item() for x in inputs)
    result: Array = np.arange(start, limit, step).astype(np.asarray(inputs[0]).dtype)
    return result


def _gathered(node: Node, inputs: Given) -> Any:
    return np.take(inputs[0], inputs[1].astype(np.int64), axis=_attribute(node, "axis", 0))


def _cumulated(node: Node, inputs: Given) -> Any:
    if _attribute(node, "exclusive", 0) or _attribute(node, "reverse", 0):
        raise ValueError("not computed here")
    return np.cumsum(inputs[0], axis=int(np.asarray(inputs[1]).item()))


_OPERATORS: Final[Mapping[str, Callable[[Node, Given], Any]]] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "Ceil": _plain(np.ceil),
    "Clip": _clipped,
    "Exp": _plain(np.exp),
    "Floor": _plain(np.floor),
    "Identity": _plain(np.array),
    "Log": _plain(np.log),
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Pow": _plain(np.power),
    "Reciprocal": _plain(np.reciprocal),
    "Round": _plain(np.rint),
    "Sqrt": _plain(np.sqrt),
    "Sub": _plain(np.subtract),
    "Sign": _plain(np.sign),
    "Cos": _plain(np.cos),
    "Sin": _plain(np.sin),
    "Max": _plain(lambda *xs: np.maximum.reduce(np.broadcast_arrays(*xs))),
    "Min": _plain(lambda *xs: np.minimum.reduce(np.broadcast_arrays(*xs))),
    "Div": _divided,
    "Mod": _remainder,
    "And": _compared(np.logical_and),
    "Equal": _compared(np.equal),
    "Greater": _compared(np.greater),
    "GreaterOrEqual": _compared(np.greater_equal),
    "Less": _compared(np.less),
    "LessOrEqual": _compared(np.less_equal),
    "Not": _compared(np.logical_not),
    "Or": _compared(np.logical_or),
    "Xor": _compared(np.logical_xor),
    "Where": _compared(np.where),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "Cast": _cast,
    "Concat": lambda node, xs: np.concatenate(xs, axis=node.attributes["axis"]),
    "ConstantOfShape": _filled,
    "CumSum": _cumulated,
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "NonZero": lambda _, xs: np.array(np.nonzero(xs[0])),
    "Range": _range,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Tile": lambda _, xs: np.tile(xs[0], [int(n) for n in xs[1]]),
    "Transpose": lambda node, xs: np.transpose(xs[0], node.attributes.get("perm")),
    "Unsqueeze": _unsqueezed,
    "flash.Part": lambda node, xs: xs[0].take(node.attributes["index"], node.attributes["axis"]),
    "flash.Stack": lambda node, xs: np.stack(xs, axis=node.attributes["axis"]),
}
