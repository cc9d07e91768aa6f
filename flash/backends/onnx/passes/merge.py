"""Merge into convolutions, products and sums what runtimes do in the same kernel.

Requires: fused activations. Ensures: a batch norm behind a convolution, a bias behind a
convolution or product, an activation behind any of these, a batch norm or a sum, and a number
that scales a product of activations, stand in ``Node.merged`` of the operation before, where
nothing else reads what is between. In a file that flash wrote, node names say which layer a node
belongs to, and only those merge: the network read is the one written.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Final

from flash.backends.onnx.ir.graph import Graph, Node
from flash.backends.onnx.ir.vocabulary import ACTIVATIONS, VIEWS

__all__ = ["merge_followers"]

_PRODUCTS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_TAKES_ACTIVATION: Final = (*_PRODUCTS, "BatchNormalization", "Add", "Sub", "Sum")
#: Activations that no runtime we know does while a convolution or product writes its result:
#: they take longer than the writing.
_ALONE: Final = (
    "Celu",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "Mish",
    "Selu",
    "Softplus",
    "Softsign",
    "Swish",
    "ThresholdedRelu",
    "com.microsoft.FastGelu",
    "com.microsoft.Gelu",
)


def merge_followers(graph: Graph) -> None:
    """Run the pass."""
    work = _Work(graph)
    for node in graph.nodes:
        work.step(node)
    graph.replace(work.renamed, work.dropped)


class _Work:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses: Counter[str] = graph.uses()
        self.makers: dict[str, Node] = {}
        self.renamed: dict[str, str] = {}
        self.dropped: list[Node] = []

    def step(self, node: Node) -> None:
        """Merge ``node`` into the one before it, or note what it makes."""
        if node.op in VIEWS and node.input(0) not in self.graph.constants:
            self._view(node)
        elif self._merges(node):
            self.dropped.append(node)
        else:
            for name in node.outputs:
                self.makers[name] = node

    def _view(self, node: Node) -> None:
        """Who reads a view reads the original."""
        source, result = node.input(0), node.outputs[0]
        if source in self.makers:
            self.makers[result] = self.makers[source]
        self.uses[result] += self.uses[source] - 1

    def _merges(self, node: Node) -> bool:
        if node.op == "BatchNormalization":
            return self._into(node, node.input(0), ("Conv",), "norm", _has_norm)
        if node.op in ACTIVATIONS:
            if node.op in _ALONE or node.attributes.get("alone"):
                return False
            return self._into(node, node.input(0), _TAKES_ACTIVATION, "act", lambda _: False)
        if node.op == "Add":
            return any(self._bias(node, *pair) for pair in (node.inputs, node.inputs[::-1]))
        if node.op in ("Mul", "Div"):
            return any(self._scale(node, *pair) for pair in (node.inputs, node.inputs[::-1]))
        return False

    def _into(self, node: Node, name: str, ops: tuple[str, ...], part: str, taken: object) -> bool:
        """Merge into what makes ``name``, if that is one of ``ops`` and has no activation."""
        before = self.makers.get(name)
        if before is None or before.op not in ops or self.uses[name] != 1 or _has_act(before):
            return False
        if callable(taken) and taken(before):
            return False
        if before.op in ("Add", "Sub", "Sum") and not self._sums(before):
            return False
        if self.graph.own and node.name != f"{before.name}.{part}":
            return False
        before.merged.append(node)
        self.renamed[node.outputs[0]] = name
        # The result has the shape that the merged node gave it.
        self.makers[node.outputs[0]] = before
        self.uses[name] = self.uses[node.outputs[0]]
        return True

    def _sums(self, node: Node) -> bool:
        """Whether a node sums activations: with a constant it is a pass over one tensor."""
        return sum(name not in self.graph.constants for name in node.inputs if name) > 1

    def _bias(self, node: Node, x: str, constant: str) -> bool:
        if constant not in self.graph.constants or x in self.graph.constants:
            return False
        before = self.makers.get(x)
        if before is None or before.op not in _PRODUCTS or _has_bias(before) or _has_norm(before):
            return False
        if prod(self.graph.shape(constant)) != _out_channels(self.graph, before):
            return False
        return self._into(node, x, _PRODUCTS, "bias", lambda _: False)

    def _scale(self, node: Node, x: str, constant: str) -> bool:
        """A number times a product of two activations, as attention has it."""
        if self.graph.number(constant) is None or x in self.graph.constants or self.graph.own:
            return False
        if node.op == "Div" and node.input(1) != constant:
            return False
        before = self.makers.get(x)
        if before is None or before.op != "MatMul" or before.merged:
            return False
        if any(name in self.graph.constants for name in before.inputs):
            return False
        return self._into(node, x, ("MatMul",), "scale", lambda _: False)


def _has_act(node: Node) -> bool:
    return any(m.op in ACTIVATIONS for m in node.merged)


def _has_norm(node: Node) -> bool:
    return any(m.op == "BatchNormalization" for m in node.merged)


def _has_bias(node: Node) -> bool:
    own = node.op != "MatMul" and bool(node.input(2))
    return own or any(m.op == "Add" for m in node.merged)


def _out_channels(graph: Graph, node: Node) -> int:
    """Numbers a bias of this operation has."""
    if node.op == "ConvTranspose":
        return graph.shape(node.input(1))[1] * int(node.attributes.get("group", 1))
    if node.op == "Conv":
        return graph.shape(node.input(1))[0]
    return graph.shape(node.outputs[0])[-1]
