"""Sizes that vary without channels being chosen: the sides of depthwise kernels, and those of maps.

A depthwise kernel of side 5 or more may keep its middle: padded by half its side, it makes maps of
the same size. With another side of the input every map has another size, which running the model
at that side tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import onnx

from flash.backends.onnx.variants.axes import attribute
from flash.backends.onnx.variants.blocks import Run, blocks_by_node
from flash.backends.onnx.variants.frozen import Frozen
from flash.backends.onnx.variants.units import KERNEL, SIDE, Extent
from flash.errors import InputError

__all__ = ["kernel_extents", "side_extents"]

_LEAST_KERNEL: Final = 3


def kernel_extents(frozen: Frozen, runs: Sequence[Run]) -> tuple[Extent, ...]:
    """The kernels that may be smaller; those of the same place in equal blocks together."""
    blocks = blocks_by_node(runs)
    found: dict[object, list[int]] = {}
    sides: dict[object, int] = {}
    for number, node in enumerate(frozen.nodes):
        side = _side(frozen, node)
        if side <= _LEAST_KERNEL:
            continue
        key: object = number
        if number in blocks:
            run, block = blocks[number]
            key = (run, runs[run].blocks[block].nodes.index(number), side)
        found.setdefault(key, []).append(number)
        sides[key] = side
    return tuple(
        Extent(
            KERNEL,
            tuple(range(_LEAST_KERNEL, sides[key] + 1, 2)),
            frozenset(
                (frozen.nodes[k].input[1], axis)
                for k in numbers
                for axis, n in enumerate(frozen.shapes[frozen.nodes[k].input[1]])
                if axis > 1 and n == sides[key]
            ),
            numbers[0],
        )
        for key, numbers in found.items()
    )


def _side(frozen: Frozen, node: onnx.NodeProto) -> int:
    """The side of a depthwise kernel whose middle may be kept alone, 0 for all else."""
    if node.op_type != "Conv" or node.input[1] not in frozen.stored:
        return 0
    shape, groups = frozen.shapes[node.input[1]], attribute(node, "group", 1)
    side = max(shape[2:])
    depthwise = groups == shape[0] == frozen.shapes[node.input[0]][1] > 1
    square = side % 2 == 1 and set(shape[2:]) <= {1, side}
    plain = set(attribute(node, "dilations", [1])) == {1}
    half = [(n - 1) // 2 for n in shape[2:]] * 2
    padded = list(attribute(node, "pads", [0] * len(half))) == half
    explicit = attribute(node, "auto_pad", b"NOTSET") == b"NOTSET"
    return side if depthwise and square and plain and padded and explicit else 0


def side_extents(at: Mapping[int, Frozen], own: int) -> tuple[Extent, ...]:
    """The axes whose sizes follow from the input's side.

    at: the model at each side, ``own`` among them.

    Raises ``InputError`` where it is another network at another side.
    """
    sides = sorted(at)
    whole = at[own]
    for side in sides:
        _same(whole, at[side], side)
    found: dict[tuple[int, ...], set[tuple[str, int]]] = {}
    for name, shape in whole.shapes.items():
        if name in whole.stored:
            continue
        for axis, size in enumerate(shape):
            sizes = tuple(at[side].shapes[name][axis] for side in sides)
            if any(n != size for n in sizes):
                found.setdefault(sizes, set()).add((name, axis))
    return tuple(Extent(SIDE, sizes, frozenset(places), 0) for sizes, places in found.items())


def _same(whole: Frozen, other: Frozen, side: int) -> None:
    """Nodes and weights are those of the model."""
    nodes = [(n.op_type, n.name) for n in whole.nodes] == [(n.op_type, n.name) for n in other.nodes]
    weights = {n: v.shape for n, v in whole.stored.items() if v.dtype.kind == "f"}
    have = {n: v.shape for n, v in other.stored.items() if v.dtype.kind == "f"}
    made = {n: s for n, s in whole.shapes.items() if n not in whole.stored}
    ranks = all(len(s) == len(other.shapes.get(n, ())) for n, s in made.items())
    if not (nodes and weights == have and ranks):
        raise InputError(f"at a side of {side} its layers have other weights")
