"""Moving data about: views, copies, joins, cuts, look-ups, and operators known by traffic only."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper, map_sizes

__all__ = [
    "block_upsample",
    "by_traffic",
    "cast",
    "concat",
    "copy",
    "gather",
    "pad",
    "permuted",
    "reorder",
    "resize",
    "scatter",
    "slice_",
    "sort",
    "split",
    "stack",
    "traffic",
    "transpose",
    "view",
]


def view(mapper: Mapper, node: Node) -> None:
    """The same numbers in another shape."""
    mapper.view(node)


def copy(mapper: Mapper, node: Node) -> None:
    """The same numbers in another order, or more of them."""
    mapper.record("copy", node, [node.input(0)])


def transpose(mapper: Mapper, node: Node) -> None:
    """Axes in another order: a copy of rows, or of elements that lie apart."""
    rank = len(mapper.shape(node.input(0)))
    order = list(node.attributes.get("perm") or range(rank - 1, -1, -1))
    mapper.record("copy", node, [node.input(0)], act=permuted(order))


def permuted(order: Sequence[int]) -> str:
    """What a copy of a tensor with its axes in this order is: ``scattered`` or plain."""
    rank = len(order)
    apart = rank > 1 and order[-1] != rank - 1 and not _moves_one_axis(order)
    return "scattered" if apart else ""


def _moves_one_axis(order: Sequence[int]) -> bool:
    """Whether all axes but one keep their order: runtimes copy what one axis spans."""
    left = [[axis for axis in order if axis != moved] for moved in order]
    return any(axes == sorted(axes) for axes in left)


def cast(mapper: Mapper, node: Node) -> None:
    """The same numbers in another format, where a runtime does that as a kernel of its own."""
    mapper.record("act", node, [node.input(0)], act="cast")


def reorder(mapper: Mapper, node: Node) -> None:
    """The same numbers in another layout (``flash.targets.processor.layout``)."""
    mapper.record("copy", node, [node.input(0)], act="reorder")


def block_upsample(mapper: Mapper, node: Node) -> None:
    """A larger map, in blocks of channels."""
    resize(mapper, node)


def by_traffic(mapper: Mapper, node: Node) -> None:
    """An operator that nobody has priced: what it reads and writes."""
    traffic(mapper, node, "other")


def concat(mapper: Mapper, node: Node) -> None:
    """Tensors side by side; along the channels it is what families emit."""
    names = list(node.inputs)
    channelwise = node.attributes["axis"] % len(mapper.shape(node.outputs[0])) == 1
    present = sum(not mapper.is_constant(name) for name in names)
    constants = [name for name in names if mapper.is_constant(name)]
    mapper.record(
        "concat" if channelwise else "copy", node, names, weights=constants, operands=present
    )


def stack(mapper: Mapper, node: Node) -> None:
    """Tensors side by side along an axis of their own."""
    constants = [name for name in node.inputs if mapper.is_constant(name)]
    present = len(node.inputs) - len(constants)
    mapper.record("copy", node, node.inputs, weights=constants, operands=present)


def pad(mapper: Mapper, node: Node) -> None:
    """A border; channels of zeros appended are what families emit."""
    x, out = mapper.tensor(node.input(0)), map_sizes(mapper.shape(node.outputs[0]))
    amounts = mapper.known(node, 1)
    if amounts is None and "pads" in node.attributes:
        amounts = np.array(node.attributes["pads"])
    appended = amounts is not None and amounts.size == 8 and not np.delete(amounts.ravel(), 5).any()
    op = "pad" if appended and (x.height, x.width) == out[1:] else "copy"
    mapper.record(op, node, [node.input(0)], in_channels=x.channels)


def slice_(mapper: Mapper, node: Node) -> None:
    """A part; the first channels are what families emit."""
    starts, axes, steps = (mapper.known(node, position) for position in (1, 3, 4))
    first = starts is not None and axes is not None and not np.any(starts)
    prefix = first and list(np.ravel(np.asarray(axes))) == [1]
    prefix = prefix and (steps is None or list(np.ravel(steps)) == [1])
    mapper.record("slice" if prefix else "copy", node, [node.input(0)])


def split(mapper: Mapper, node: Node) -> None:
    """Parts side by side: the first channels and others."""
    for position, output in enumerate(node.outputs):
        if mapper.used(output) and not mapper.is_constant(output):
            mapper.record("slice" if not position else "copy", node, [node.input(0)], output)


def gather(mapper: Mapper, node: Node) -> None:
    """Looked-up entries of a table in the file, or of an activation, in pieces of some values."""
    inputs = mapper.activations(node)
    table = [node.input(0)] if mapper.is_constant(node.input(0)) else []
    indices = sum(mapper.size(name) for name in node.inputs[1:])
    read = mapper.size(node.outputs[0]) + indices
    shape, piece = mapper.shape(node.input(0)), 1
    if node.op == "Gather":
        piece = prod(shape[node.attributes.get("axis", 0) % len(shape) + 1 :])
    elif node.op == "GatherND":
        whole = node.attributes.get("batch_dims", 0) + mapper.shape(node.input(1))[-1]
        piece = prod(shape[whole:])
    mapper.record(
        "gather",
        node,
        inputs,
        weights=table,
        act="elements" if node.op == "GatherElements" else "",
        in_channels=read,
        in_height=1,
        in_width=1,
        kernel_width=piece,
    )


def scatter(mapper: Mapper, node: Node) -> None:
    """Entries written into a tensor, value by value or in pieces."""
    if node.op == "TensorScatter":
        pieces = 1  # a run of neighbours
    elif node.op == "ScatterND":
        pieces = mapper.size(node.input(1)) // mapper.shape(node.input(1))[-1]
    else:
        pieces = mapper.size(node.input(1))
    traffic(mapper, node, "scatter", kernel_height=pieces)


def sort(mapper: Mapper, node: Node) -> None:
    """What compares elements to choose some."""
    traffic(mapper, node, "sort", act=node.op.lower())


def resize(mapper: Mapper, node: Node) -> None:
    """A map of another size, nearest or interpolated."""
    mode = node.attributes.get("mode", b"nearest").decode()
    traffic(mapper, node, "resize", act=mode)


def traffic(mapper: Mapper, node: Node, op: str, **fields: Any) -> None:
    """Record what a node reads and writes, once each; its floats in the file are parameters."""
    inputs = mapper.activations(node)
    constants = [n for n in node.inputs if n and mapper.is_constant(n) and mapper.size(n) > 1]
    constants = [] if op in ("resize", "sort") else constants  # scales and limits
    read = sum(prod(mapper.shape(name)) for name in inputs)
    used = [name for name in node.outputs if mapper.used(name)]
    first = used[0] if used else node.outputs[0]
    written = sum(mapper.size(name) for name in used) or mapper.size(first)
    mapper.record(
        op,
        node,
        inputs,
        first,
        weights=constants,
        in_channels=max(read, 1),
        in_height=1,
        in_width=1,
        out_channels=written,
        out_height=1,
        out_width=1,
        operands=len(inputs),
        **fields,
    )
    for output in node.outputs:
        if output and output in mapper.graph.values:
            mapper.also_makes(output)
