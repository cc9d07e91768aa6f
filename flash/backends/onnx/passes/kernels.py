"""Call the kernels of onnxruntime's optimised graph what their operators are.

Requires: the graph that onnxruntime wrote. Ensures: convolutions, pools and products that it merged
with what follows them, or laid out in blocks of channels, are the operators of ONNX with what was
merged in ``Node.merged``; what else costs time there and nothing in a model that is read as it was
exported (casts, changes of layout) is a ``flash.Cast`` or a ``flash.Reorder``.
"""

from __future__ import annotations

import re
from typing import Final

from flash.backends.onnx.ir.graph import Graph, Node
from flash.backends.onnx.ir.vocabulary import ACTIVATIONS

__all__ = ["name_kernels", "name_merged", "plain_name"]

_MS: Final = "com.microsoft."
_BLOCKS: Final = f"{_MS}nchwc."
#: Operator of onnxruntime -> what it is, and the inputs that say so.
_MERGED: Final = {
    f"{_MS}FusedConv": ("Conv", 3),
    f"{_BLOCKS}Conv": ("Conv", 3),
    f"{_MS}FusedGemm": ("Gemm", 3),
    f"{_MS}FusedMatMulActivation": (f"{_MS}FusedMatMul", 2),
}
_IN_BLOCKS: Final = {
    f"{_BLOCKS}{name}": name
    for name in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
} | {f"{_BLOCKS}Upsample": "flash.BlockUpsample"}
_REORDERS: Final = (f"{_BLOCKS}ReorderInput", f"{_BLOCKS}ReorderOutput")
_OWN: Final = {*_MERGED, *_IN_BLOCKS, *_REORDERS}
#: What onnxruntime ends the name of the tensor with that a convolution in blocks makes, to call it
#: so; and PyTorch's exporter that of the node, to call the tensor so.
_ENDINGS: Final = re.compile(r"(_output_\d+)?_nchwc$")
_SKIP_NORMS: Final = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")


def plain_name(kernel: str) -> str:
    """What a model calls the node that a kernel of onnxruntime ends with, where it says so."""
    return _ENDINGS.sub("", kernel)


def name_merged(graph: Graph) -> None:
    """Call what onnxruntime merged or laid out in blocks what it is; a file may hold its graph."""
    graph.in_blocks = any(node.op.startswith(_BLOCKS) for node in graph.nodes)
    if any(node.op in _OWN for node in graph.nodes):
        _name_merged(graph)


def _name_merged(graph: Graph) -> None:
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for node in graph.nodes:
        if node.op in _MERGED:
            _merge(node)
        elif node.op in _IN_BLOCKS:
            node.op = _IN_BLOCKS[node.op]
        elif node.op in _REORDERS:
            _reorder(graph, node, readers.get(node.outputs[0], []))


def name_kernels(graph: Graph) -> None:
    """Run the pass."""
    _name_merged(graph)
    for node in graph.nodes:
        node.name = plain_name(node.name)
        if node.op == "Cast" and node.input(0) not in graph.constants:
            node.op = "flash.Cast"
        elif node.op.removeprefix(_MS) in _SKIP_NORMS:
            node.op = f"flash.{node.op.removeprefix(_MS)}"


def _merge(node: Node) -> None:
    node.op, count = _MERGED[node.op]
    node.inputs = node.inputs[:count]
    act = node.attributes.get("activation", b"").decode()
    for name in [name for name in node.attributes if name.startswith("activation")]:
        del node.attributes[name]
    if act in ACTIVATIONS:
        node.merged.append(Node(act, "", [node.outputs[0]], [node.outputs[0]]))


def _reorder(graph: Graph, node: Node, readers: list[Node]) -> None:
    """To blocks: the channels that who reads it expects; from blocks: those that it states."""
    if node.op.endswith("ReorderInput"):
        for reader in readers:
            weights = reader.input(1) if reader.op in ("Conv", f"{_BLOCKS}Conv") else ""
            if weights and reader.input(0) == node.outputs[0]:
                shape = graph.shape(weights)
                groups = int(reader.attributes.get("group", 1))
                node.attributes["channels"] = shape[1] * groups
        node.attributes["to_blocks"] = 1
    node.op = "flash.Reorder"
