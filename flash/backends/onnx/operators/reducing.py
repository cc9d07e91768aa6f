"""Reductions over any axes."""

from __future__ import annotations

from math import prod

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper
from flash.backends.onnx.operators.windows import global_pool

__all__ = ["reduce"]


def reduce(mapper: Mapper, node: Node) -> None:
    """A sum, mean, largest ... over axes; a mean over all positions of a map is a global pool."""
    shape = mapper.shape(node.input(0))
    rank = len(shape)
    axes = node.attributes.get("axes")
    known = mapper.known(node, 1)
    if axes is None and known is not None:
        axes = known.ravel().tolist()
    over = {a % rank for a in axes} if axes else set(range(rank))
    if node.op == "ReduceMean" and rank == 4 and over == {2, 3}:
        global_pool(mapper, node)
        return
    mapper.record(
        "reduce",
        node,
        [node.input(0)],
        in_channels=prod(shape),
        in_height=1,
        in_width=1,
        act=node.op.removeprefix("Reduce").lower(),
    )
