"""ONNX operators as PyTorch computes them: what ``flash.backends.torch.graph`` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.errors import InputError

__all__ = ["FUNCTIONS", "Step"]

Given = Sequence["torch.Tensor | None"]
Function = Callable[["Step", Given, bool], Any]


@dataclass(frozen=True)
class Step:
    """A node: its operator, names, attributes, integers stored for it, and what computes it."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    constants: Mapping[int, NDArray[Any]]
    function: Function

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        return self.attributes.get(name, default)

    def integers(self, position: int, name: str = "") -> list[int] | None:
        """A list of integers given as an input or, in older models, as an attribute."""
        if position in self.constants:
            found: list[int] = self.constants[position].ravel().tolist()
            return found
        given = self.attributes.get(name)
        return None if given is None else list(given)

    def refused(self, why: str) -> InputError:
        """The error for what PyTorch cannot do the same way."""
        return InputError(f"{self.op} '{self.name}': {why} has no counterpart in PyTorch")


# ------------------------------------------------------------------------------------- windows
def _pads(step: Step, x: torch.Tensor, kernel: Sequence[int]) -> list[int]:
    axes = len(kernel)
    how = step.attribute("auto_pad", b"NOTSET")
    if how in (b"SAME_UPPER", b"SAME_LOWER"):
        strides = step.attribute("strides", [1] * axes)
        dilations = step.attribute("dilations", [1] * axes)
        needed = [
            max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            for n, s, k, d in zip(x.shape[2:], strides, kernel, dilations, strict=True)
        ]
        less, more = [n // 2 for n in needed], [n - n // 2 for n in needed]
        return less + more if how == b"SAME_UPPER" else more + less
    return list(step.attribute("pads", [0] * 2 * axes))


def _padded(
    x: torch.Tensor, pads: Sequence[int], value: float = 0.0
) -> tuple[torch.Tensor, list[int]]:
    """The input with what is not padded alike on both sides, and the padding that is left."""
    axes = len(pads) // 2
    before, after = pads[:axes], pads[axes:]
    if list(before) == list(after):
        return x, list(before)
    both = [n for k in reversed(range(axes)) for n in (before[k], after[k])]
    return functional.pad(x, both, value=value), [0] * axes


def _conv(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, weight, bias = _three(given)
    axes = weight.ndim - 2
    x, pads = _padded(x, _pads(step, x, weight.shape[2:]))
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
    result: torch.Tensor = run(
        x,
        weight,
        bias,
        step.attribute("strides", [1] * axes),
        pads,
        step.attribute("dilations", [1] * axes),
        step.attribute("group", 1),
    )
    return result


def _conv_transpose(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, weight, bias = _three(given)
    axes = weight.ndim - 2
    pads = list(step.attribute("pads", [0] * 2 * axes))
    if pads[:axes] != pads[axes:] or step.attribute("output_shape") is not None:
        raise step.refused("its padding")
    run = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
    result: torch.Tensor = run[axes - 1](
        x,
        weight,
        bias,
        step.attribute("strides", [1] * axes),
        pads[:axes],
        step.attribute("output_padding", [0] * axes),
        step.attribute("group", 1),
        step.attribute("dilations", [1] * axes),
    )
    return result


def _max_pool(step: Step, given: Given, training: bool) -> torch.Tensor:
    (x, *_) = _present(given)
    kernel = step.attribute("kernel_shape")
    axes = len(kernel)
    pads = _pads(step, x, kernel)
    x, pads = _padded(x, pads, -torch.inf)
    run = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[axes - 1]
    result: torch.Tensor = run(
        x,
        kernel,
        step.attribute("strides", [1] * axes),
        pads,
        step.attribute("dilations", [1] * axes),
        bool(step.attribute("ceil_mode", 0)),
    )
    return result


def _avg_pool(step: Step, given: Given, training: bool) -> torch.Tensor:
    (x, *_) = _present(given)
    kernel = step.attribute("kernel_shape")
    axes = len(kernel)
    pads = _pads(step, x, kernel)
    counts = bool(step.attribute("count_include_pad", 0))
    if pads[:axes] != pads[axes:] and not counts:
        raise step.refused("its padding")
    x, pads = _padded(x, pads)
    run = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[axes - 1]
    strides = step.attribute("strides", [1] * axes)
    ceil = bool(step.attribute("ceil_mode", 0))
    result: torch.Tensor = run(x, kernel, strides, pads, ceil, counts)
    return result


def _global(reduce: Callable[..., torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        (x, *_) = _present(given)
        return reduce(x, tuple(range(2, x.ndim)), True)

    return run


def _resize(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    mode = step.attribute("mode", b"nearest").decode()
    where = step.attribute("coordinate_transformation_mode", b"half_pixel").decode()
    if step.op == "Upsample":
        where = "asymmetric"
    sizes = step.integers(3)
    if sizes is not None and len(step.inputs) > 3 and step.inputs[3]:
        size = sizes[2:]
    else:
        scales = given[2] if len(given) > 2 and given[2] is not None else given[1]
        if scales is None:
            raise step.refused("its size")
        factors = scales.detach().tolist()[2:]
        size = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    rounding = step.attribute("nearest_mode", b"round_prefer_floor").decode()
    whole = all(n % m == 0 for n, m in zip(size, x.shape[2:], strict=True))
    if mode == "nearest" and (where == "asymmetric" and rounding == "floor" or whole):
        return functional.interpolate(x, size=size, mode="nearest")
    if mode == "linear" and where in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        kind = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
        return functional.interpolate(
            x, size=size, mode=kind, align_corners=where == "align_corners"
        )
    raise step.refused(f"interpolation '{mode}' at '{where}'")


# ----------------------------------------------------------------------------------- products
def _gemm(step: Step, given: Given, training: bool) -> torch.Tensor:
    a, b, c = _three(given)
    a = a.transpose(0, 1) if step.attribute("transA", 0) else a
    b = b.transpose(0, 1) if step.attribute("transB", 0) else b
    result: torch.Tensor = (a @ b) * step.attribute("alpha", 1.0)
    return result if c is None else result + c * step.attribute("beta", 1.0)


def _einsum(step: Step, given: Given, training: bool) -> torch.Tensor:
    return torch.einsum(step.attribute("equation").decode(), *_present(given))


# ---------------------------------------------------------------------------------- normalising
def _batch_norm(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, scale, shift, mean, variance = _present(given)
    momentum = 1.0 - step.attribute("momentum", 0.9)
    epsilon = step.attribute("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, shift, training, momentum, epsilon)


def _layer_norm(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, scale, shift = _three(given)
    axis = step.attribute("axis", -1) % x.ndim
    epsilon = step.attribute("epsilon", 1e-5)
    result = functional.layer_norm(x, x.shape[axis:], None, None, epsilon) * scale
    return result if shift is None else result + shift


def _instance_norm(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, scale, shift = _present(given)
    return functional.instance_norm(
        x, None, None, scale, shift, True, 0.0, step.attribute("epsilon", 1e-5)
    )


def _lp(step: Step, given: Given, training: bool) -> torch.Tensor:
    (x,) = _present(given)
    return functional.normalize(x, float(step.attribute("p", 2)), step.attribute("axis", -1))


# ------------------------------------------------------------------------------ element by element
def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        return function(_present(given)[0])

    return run


def _binary(function: Callable[..., torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        first, *others = _operands(step, given)
        for other in others:
            first = function(first, other)
        return first

    return run


def _clip(step: Step, given: Given, training: bool) -> torch.Tensor:
    low, high = (
        step.attribute(name) if len(given) <= k or given[k] is None else given[k]
        for k, name in ((1, "min"), (2, "max"))
    )
    return torch.clamp(_present(given)[0], low, high)


def _hard_sigmoid(step: Step, given: Given, training: bool) -> torch.Tensor:
    alpha, beta = step.attribute("alpha", 0.2), step.attribute("beta", 0.5)
    return torch.clamp(alpha * _present(given)[0] + beta, 0.0, 1.0)


def _gelu(step: Step, given: Given, training: bool) -> torch.Tensor:
    how = step.attribute("approximate", b"none").decode()
    return functional.gelu(_present(given)[0], approximate=how)


def _prelu(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, slope = _present(given)
    return torch.where(x < 0, slope * x, x)


def _softmax(function: Callable[..., torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        return function(_present(given)[0], step.attribute("axis", -1))

    return run


def _where(step: Step, given: Given, training: bool) -> torch.Tensor:
    condition, a, b = _operands(step, given)
    return torch.where(condition.bool(), a, b)


# ------------------------------------------------------------------------------------- moving
def _reshape(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    shape = step.integers(1)
    if shape is None:
        raise step.refused("a computed shape")
    if not step.attribute("allowzero", 0):
        shape = [x.shape[k] if n == 0 else n for k, n in enumerate(shape)]
    return x.reshape(shape)


def _flatten(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    axis = step.attribute("axis", 1) % (x.ndim + 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1) if axis else x.reshape(1, -1)


def _squeeze(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    axes = step.integers(1, "axes")
    axes = [k for k, n in enumerate(x.shape) if n == 1] if axes is None else axes
    gone = {axis % x.ndim for axis in axes}
    return x.reshape([n for k, n in enumerate(x.shape) if k not in gone])


def _unsqueeze(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    axes = step.integers(1, "axes") or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    return x.permute(*step.attribute("perm", list(range(x.ndim))[::-1]))


def _concat(step: Step, given: Given, training: bool) -> torch.Tensor:
    parts = _operands(step, given)
    axis = step.attribute("axis")
    batch = max(x.shape[0] for x in parts)
    if axis % parts[0].ndim and batch > 1:
        # A stored token is joined to every image of a batch.
        parts = [x.expand(batch, *x.shape[1:]) if x.shape[0] == 1 else x for x in parts]
    return torch.cat(parts, axis)


def _split(step: Step, given: Given, training: bool) -> tuple[torch.Tensor, ...]:
    x = _present(given)[0]
    axis = step.attribute("axis", 0)
    sizes = step.integers(1, "split")
    if sizes is None:
        each = -(-x.shape[axis] // len(step.outputs))
        return tuple(torch.split(x, each, axis))
    return tuple(torch.split(x, sizes, axis))


def _slice(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    starts, ends = step.integers(1, "starts"), step.integers(2, "ends")
    if starts is None or ends is None:
        raise step.refused("a computed cut")
    axes = step.integers(3, "axes") or list(range(len(starts)))
    steps = step.integers(4) or [1] * len(starts)
    for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
        places = range(x.shape[axis])[slice(start, None if by < 0 and end < -(2**31) else end, by)]
        if by == 1:
            x = x.narrow(axis, places.start, len(places))
        else:
            x = x.index_select(axis, torch.tensor(list(places), device=x.device))
    return x


def _gather(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = given[0]
    if x is None:
        raise step.refused("a look-up of integers")
    axis = step.attribute("axis", 0) % x.ndim
    index = torch.as_tensor(step.constants[1]) if 1 in step.constants else given[1]
    if index is None:
        raise step.refused("its index")
    index = torch.where(index < 0, index + x.shape[axis], index).long().to(x.device)
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _expand(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    shape = step.integers(1)
    if shape is None:
        raise step.refused("a computed shape")
    wanted: torch.Size = torch.broadcast_shapes(tuple(x.shape), tuple(shape))  # type: ignore[no-untyped-call]
    return x.expand(wanted)


def _pad(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _present(given)[0]
    pads = step.integers(1, "pads")
    mode = step.attribute("mode", b"constant").decode()
    if pads is None or len(pads) != 2 * x.ndim:
        raise step.refused("its padding")
    value = 0.0
    if len(given) > 2 and given[2] is not None:
        value = float(given[2].reshape(-1)[0])
    half = len(pads) // 2
    both = [n for k in reversed(range(half)) for n in (pads[k], pads[half + k])]
    if mode == "constant":
        return functional.pad(x, both, value=value)
    kind = {"reflect": "reflect", "edge": "replicate"}.get(mode)
    if kind is None or any(both[-4:]):
        raise step.refused(f"padding '{mode}'")
    return functional.pad(x, both[:-4], mode=kind)


def _reduce(function: Callable[..., torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        x = _present(given)[0]
        axes = step.integers(1, "axes")
        if axes is None:
            axes = [] if step.attribute("noop_with_empty_axes", 0) else list(range(x.ndim))
        return function(x, tuple(axes), bool(step.attribute("keepdims", 1))) if axes else x

    return run


def _depth_to_space(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, block = _present(given)[0], step.attribute("blocksize")
    if step.attribute("mode", b"DCR") == b"CRD":
        return functional.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    x = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, block = _present(given)[0], step.attribute("blocksize")
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)


def _cast(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = _operands(step, given)[0]
    kinds = {1: torch.float32, 10: torch.float32, 11: torch.float32, 6: torch.int32, 7: torch.int64}
    return x.to(kinds.get(step.attribute("to"), torch.bool))


# ------------------------------------------------------------------------------------- details
def _present(given: Given) -> list[torch.Tensor]:
    return [x for x in given if x is not None]


def _three(given: Given) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    first, second, *rest = given
    if first is None or second is None:
        raise InputError("a product of integers has no counterpart in PyTorch")
    return first, second, rest[0] if rest else None


def _operands(step: Step, given: Given) -> list[torch.Tensor]:
    """All inputs; stored integers as tensors."""
    return [
        torch.as_tensor(step.constants[k]) if x is None else x
        for k, x in enumerate(given)
        if x is not None or k in step.constants
    ]


def _amax(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return torch.amax(x, axes, keep)


def _norm(order: int) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
        found: torch.Tensor = torch.linalg.vector_norm(x, order, axes, keep)
        return found

    return run


FUNCTIONS: Final[dict[str, Function]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "AveragePool": _avg_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _binary(torch.div),
    "Einsum": _einsum,
    "Elu": lambda step, given, _: functional.elu(_present(given)[0], step.attribute("alpha", 1.0)),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(_amax),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(functional.hardswish),
    "Identity": _unary(lambda x: x),
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda step, given, _: functional.leaky_relu(
        _present(given)[0], step.attribute("alpha", 0.01)
    ),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "LpNormalization": _lp,
    "MatMul": _binary(torch.matmul),
    "Max": _binary(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _binary(torch.minimum),
    "Mish": _unary(functional.mish),
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _binary(torch.pow),
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL1": _reduce(_norm(1)),
    "ReduceL2": _reduce(_norm(2)),
    "ReduceMax": _reduce(_amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _unary(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Selu": _unary(functional.selu),
    "Sigmoid": _unary(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax(torch.softmax),
    "Softplus": _unary(functional.softplus),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub),
    "Sum": _binary(torch.add),
    "Swish": _unary(functional.silu),
    "Tanh": _unary(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    "Where": _where,
}
