"""What an operator of your own costs: ``com.example.Gate``, x * sigmoid(x) in one kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flash.backends.onnx.ir.graph import Graph, Node, Value
    from flash.backends.onnx.ir.mapper import Mapper

__all__ = ["gate"]


def gate(mapper: Mapper, node: Node) -> None:
    """Recorded as the activation that it is: priced at SiLU's rate on every target."""
    mapper.record("act", node, [node.input(0)], act="silu")


def _same_as_the_input(graph: Graph, node: Node) -> list[Value]:
    return [graph.values[node.input(0)]]


#: ONNX cannot know the shape of what it has never heard of.
gate.infer = _same_as_the_input  # type: ignore[attr-defined]
