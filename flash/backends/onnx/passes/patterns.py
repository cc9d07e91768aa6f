"""What passes that recognise a few nodes as one operation share."""

from __future__ import annotations

from collections.abc import Sequence

from flash.backends.onnx.ir.graph import Graph, Node

__all__ = ["Patterns"]


class Patterns:
    """Who makes and reads each tensor of a graph, while nodes are found to belong together.

    Found operations stand where the last of their nodes stood.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = graph.makers()
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)
        self._outputs = set(graph.outputs)
        self._gone: set[int] = set()

    def of(self, op: str) -> list[Node]:
        """The nodes of an operator that are still there."""
        return [n for n in self.graph.nodes if n.op == op and id(n) not in self._gone]

    def maker(self, name: str, *ops: str) -> Node | None:
        """The node that makes a tensor, if it is of one of these operators."""
        node = self.makers.get(name)
        if node is None or id(node) in self._gone or (ops and node.op not in ops):
            return None
        return node

    def only_reader(self, name: str, *ops: str) -> Node | None:
        """The one node that reads a tensor, if it is of one of these operators."""
        readers = self.readers.get(name, [])
        if name in self._outputs or len(readers) != 1 or id(readers[0]) in self._gone:
            return None
        return readers[0] if not ops or readers[0].op in ops else None

    def inner(self, nodes: Sequence[Node]) -> bool:
        """Whether nothing outside these nodes reads what they make, but for the last's."""
        ids = {id(node) for node in nodes}
        return all(
            name not in self._outputs and all(id(r) in ids for r in self.readers.get(name, []))
            for node in nodes[:-1]
            for name in node.outputs
            if name
        )

    def number(self, name: str) -> float | None:
        """Value of a constant of one element."""
        return self.graph.number(name)

    def constant_operand(self, node: Node) -> tuple[float, str] | None:
        """The number and the other operand of a node that combines a tensor with a number."""
        for k in (1, 0):
            number = self.number(node.input(k))
            if number is not None and node.input(1 - k) not in self.graph.constants:
                return number, node.input(1 - k)
        return None

    def become(self, nodes: Sequence[Node], found: Node) -> None:
        """Put one operation in the place of nodes, the last of which makes its result."""
        last = nodes[-1]
        self._gone.update(id(node) for node in nodes)
        where = self.graph.nodes.index(last)
        ids = {id(node) for node in nodes}
        self.graph.nodes[where] = found
        self.graph.nodes = [n for n in self.graph.nodes if id(n) not in ids]
        for name in found.outputs:
            self.makers[name] = found
        for readers in self.readers.values():
            readers[:] = [r for r in readers if id(r) not in ids]
        for name in found.inputs:
            self.readers.setdefault(name, []).append(found)
