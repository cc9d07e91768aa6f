"""Operators that move a window over maps, or resize them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch.nn import functional

from flash.backends.torch.operators.step import Function, Given, Step, factors, present

__all__ = ["WINDOWS"]


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
    x, weight, bias = factors(given)
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
    x, weight, bias = factors(given)
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
    (x, *_) = present(given)
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
    (x, *_) = present(given)
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
        (x, *_) = present(given)
        return reduce(x, tuple(range(2, x.ndim)), True)

    return run


def _resize(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
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


WINDOWS: Final[dict[str, Function]] = {
    "AveragePool": _avg_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "MaxPool": _max_pool,
    "Resize": _resize,
    "Upsample": _resize,
}
