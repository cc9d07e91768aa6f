"""Normalisations: by stored statistics (``norm``) or as the network runs (``layer_norm``)."""

from __future__ import annotations

from typing import Final

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper, map_sizes

__all__ = ["batch_norm", "embedding_norm", "layer_norm", "skip_norm", "skip_norm_kernel"]


#: Operators that normalise rows, which lie side by side.
_OF_ROWS: Final = (
    "LayerNormalization",
    "RMSNormalization",
    "SimplifiedLayerNormalization",
    "flash.RmsNorm",
)


def batch_norm(mapper: Mapper, node: Node) -> None:
    """Scale and shift by channel; what stands behind a convolution is merged there."""
    mapper.record("norm", node, [node.input(0)], weights=node.inputs[1:3], norm=True)


def layer_norm(mapper: Mapper, node: Node) -> None:
    """Statistics are computed as the network runs, over whichever axes."""
    kind, weights = "lrn" if node.op == "LRN" else "", node.inputs[1:]
    row = _row(mapper, node) if node.op in _OF_ROWS else 1
    mapper.record("layer_norm", node, [node.input(0)], weights=weights, act=kind, kernel_width=row)


def _row(mapper: Mapper, node: Node) -> int:
    """Elements that are normalised together: as many as have a scale."""
    shape, scale = mapper.shape(node.input(0)), node.input(1)
    return mapper.size(scale) if scale else shape[-1]


def skip_norm(mapper: Mapper, node: Node) -> None:
    """A sum and its norm in one operator: input, skip, scale, (shift, bias)."""
    total = node.outputs[3] if len(node.outputs) > 3 and node.outputs[3] else ""
    if not total:
        shape = mapper.shape(node.input(0))
        total = mapper.temporary(f"{node.outputs[0]}/sum", shape, node.outputs[0])
    inner = Node("Add", node.name, node.inputs[:2], [total])
    simplified = "Simplified" in node.op
    bias = node.input(3 if simplified else 4)
    mapper.record("add", inner, node.inputs[:2], total, weights=[bias], operands=2)
    weights = node.inputs[2:3] if simplified else node.inputs[2:4]
    row = mapper.shape(total)[-1]
    mapper.record("layer_norm", node, [total], weights=weights, kernel_width=row)


def skip_norm_kernel(mapper: Mapper, node: Node) -> None:
    """The same, as the one kernel that it runs as: both summands are read once."""
    weights = node.inputs[2:3] if "Simplified" in node.op else node.inputs[2:4]
    _, height, width = map_sizes(mapper.shape(node.outputs[0]))
    read = sum(mapper.size(name) for name in node.inputs[:2])
    mapper.record(
        "layer_norm",
        node,
        node.inputs[:2],
        weights=weights,
        in_channels=-(-read // (height * width)),
        operands=2,
        kernel_width=mapper.shape(node.outputs[0])[-1],
    )
    for output in node.outputs[1:]:
        mapper.also_makes(output)


def embedding_norm(mapper: Mapper, node: Node) -> None:
    """Rows of a word, a position and a segment table, summed and normalised."""
    mapper.record(
        "gather",
        node,
        [node.input(0)],
        weights=node.inputs[2:5],
        in_channels=3 * mapper.size(node.outputs[0]),
        in_height=1,
        in_width=1,
    )
    rows = mapper.temporary(
        f"{node.outputs[0]}/rows", mapper.shape(node.outputs[0]), node.outputs[0]
    )
    mapper.also_makes(rows)
    for output in node.outputs[1:]:
        mapper.also_makes(output)
    row = mapper.shape(rows)[-1]
    mapper.record("layer_norm", node, [rows], weights=node.inputs[5:7], kernel_width=row)
