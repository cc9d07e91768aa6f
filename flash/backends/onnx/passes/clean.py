"""Remove what does nothing at inference, and write concatenations one way.

Requires: shapes. Ensures: no ``Identity``, no ``Dropout``; a concatenation that only another one
along the same axis reads is part of that one.
"""

from __future__ import annotations

from typing import Final

from flash.backends.onnx.ir.graph import Graph, Node

__all__ = ["clean"]

_NOTHING: Final = ("Identity", "Dropout")


def clean(graph: Graph) -> None:
    """Run the pass."""
    dropped = [node for node in graph.nodes if node.op in _NOTHING]
    graph.replace({node.outputs[0]: node.input(0) for node in dropped}, dropped)
    if not graph.own:
        _flatten_concats(graph)


def _flatten_concats(graph: Graph) -> None:
    uses, makers = graph.uses(), graph.makers()
    dropped: list[Node] = []
    for node in graph.nodes:
        if node.op != "Concat":
            continue
        inputs: list[str] = []
        for name in node.inputs:
            maker = makers.get(name)
            if maker is not None and uses[name] == 1 and _axis(graph, maker) == _axis(graph, node):
                dropped.append(maker)
                inputs += maker.inputs
            else:
                inputs.append(name)
        node.inputs = inputs
    graph.replace({}, dropped)


def _axis(graph: Graph, node: Node) -> int | None:
    """Axis of a concatenation of known shape; None of anything else."""
    if node.op != "Concat" or node.outputs[0] not in graph.values:
        return None
    axis: int = node.attributes["axis"] % len(graph.shape(node.outputs[0]))
    return axis
