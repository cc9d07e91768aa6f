"""Operators that move, cut, join and reduce."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from flash.backends.torch.operators.step import Function, Given, Step, operands, present

__all__ = ["MOVING"]


def _reshape(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
    shape = step.integers(1)
    if shape is None:
        raise step.refused("a computed shape")
    if not step.attribute("allowzero", 0):
        shape = [x.shape[k] if n == 0 else n for k, n in enumerate(shape)]
    return x.reshape(shape)


def _flatten(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
    axis = step.attribute("axis", 1) % (x.ndim + 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1) if axis else x.reshape(1, -1)


def _squeeze(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
    axes = step.integers(1, "axes")
    axes = [k for k, n in enumerate(x.shape) if n == 1] if axes is None else axes
    gone = {axis % x.ndim for axis in axes}
    return x.reshape([n for k, n in enumerate(x.shape) if k not in gone])


def _unsqueeze(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
    axes = step.integers(1, "axes") or []
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _transpose(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
    return x.permute(*step.attribute("perm", list(range(x.ndim))[::-1]))


def _concat(step: Step, given: Given, training: bool) -> torch.Tensor:
    parts = operands(step, given)
    axis = step.attribute("axis")
    batch = max(x.shape[0] for x in parts)
    if axis % parts[0].ndim and batch > 1:
        # A stored token is joined to every image of a batch.
        parts = [x.expand(batch, *x.shape[1:]) if x.shape[0] == 1 else x for x in parts]
    return torch.cat(parts, axis)


def _split(step: Step, given: Given, training: bool) -> tuple[torch.Tensor, ...]:
    x = present(given)[0]
    axis = step.attribute("axis", 0)
    sizes = step.integers(1, "split")
    if sizes is None:
        each = -(-x.shape[axis] // len(step.outputs))
        return tuple(torch.split(x, each, axis))
    return tuple(torch.split(x, sizes, axis))


def _slice(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
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
    x = present(given)[0]
    shape = step.integers(1)
    if shape is None:
        raise step.refused("a computed shape")
    wanted: torch.Size = torch.broadcast_shapes(tuple(x.shape), tuple(shape))  # type: ignore[no-untyped-call]
    return x.expand(wanted)


def _pad(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = present(given)[0]
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
        x = present(given)[0]
        axes = step.integers(1, "axes")
        if axes is None:
            axes = [] if step.attribute("noop_with_empty_axes", 0) else list(range(x.ndim))
        return function(x, tuple(axes), bool(step.attribute("keepdims", 1))) if axes else x

    return run


def _depth_to_space(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, block = present(given)[0], step.attribute("blocksize")
    if step.attribute("mode", b"DCR") == b"CRD":
        return functional.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    x = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, block = present(given)[0], step.attribute("blocksize")
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)


def _norm(order: int) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
        found: torch.Tensor = torch.linalg.vector_norm(x, order, axes, keep)
        return found

    return run


MOVING: Final[dict[str, Function]] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "ReduceL1": _reduce(_norm(1)),
    "ReduceL2": _reduce(_norm(2)),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
