"""Classical models of ``ai.onnx.ml``: tree ensembles, linear models, support vectors."""

from __future__ import annotations

from math import log2, prod
from typing import Any

from flash.backends.onnx.ir.graph import FLOATS, Node
from flash.backends.onnx.ir.mapper import Mapper

__all__ = ["linear", "support_vectors", "trees"]

#: Numbers of a node that a step down a tree reads: feature, threshold, and where to go on.
_READ_A_STEP = 4


def trees(mapper: Mapper, node: Node) -> None:
    """An ensemble of trees: comparisons, not multiply-accumulates.

    Parameters are thresholds and leaf weights. A row walks down each tree; the depth is taken as
    that of a balanced tree, log2 of its leaves.
    """
    attributes, stored = node.attributes, "fp32"
    if node.op.endswith("TreeEnsemble"):
        count, branches = len(attributes["tree_roots"]), len(attributes["nodes_featureids"])
        leaves = _elements(attributes["leaf_weights"])
        stored = FLOATS.get(attributes["leaf_weights"].data_type, stored)
    else:
        modes = attributes["nodes_modes"]
        leaves = sum(mode == b"LEAF" for mode in modes)
        branches, count = len(modes) - leaves, len(set(attributes["nodes_treeids"]))
        weights = attributes.get("target_weights") or attributes.get("class_weights") or []
        leaves = max(leaves, len(weights))
    rows = prod(mapper.shape(node.input(0))[:-1]) or 1
    depth = 1 + log2(max(leaves / max(count, 1), 1))
    read, params = rows * (int(count * depth) * _READ_A_STEP), branches + leaves
    _record(mapper, node, read, params, "trees", format="" if stored == "fp32" else stored)


def linear(mapper: Mapper, node: Node) -> None:
    """A linear classifier or regressor: weights are attributes."""
    features = mapper.shape(node.input(0))[-1]
    rows = prod(mapper.shape(node.input(0))[:-1])
    weights = len(node.attributes["coefficients"])
    outputs = max(weights // features, 1)
    made = node.outputs[-1] if len(node.outputs) > 1 else node.outputs[0]
    mapper.record(
        "linear",
        node,
        [node.input(0)],
        made,
        in_channels=features,
        out_channels=outputs,
        in_height=rows,
        in_width=1,
        out_height=rows,
        out_width=1,
        bias=True,
    )
    mapper.state_params(weights + len(node.attributes.get("intercepts", [])))
    for output in node.outputs:
        mapper.also_makes(output)


def support_vectors(mapper: Mapper, node: Node) -> None:
    """Kernel values of each row with each support vector."""
    features = mapper.shape(node.input(0))[-1]
    rows = prod(mapper.shape(node.input(0))[:-1])
    vectors = len(node.attributes.get("support_vectors", [])) // features
    params = sum(
        len(node.attributes.get(name, [])) for name in ("support_vectors", "coefficients", "rho")
    )
    _record(
        mapper,
        node,
        rows * (features + vectors),
        params,
        "other",
        macs=rows * features * max(vectors, 1),
    )


def _record(mapper: Mapper, node: Node, read: int, params: int, op: str, **fields: Any) -> None:
    mapper.record(
        op,
        node,
        [node.input(0)],
        node.outputs[-1],
        in_channels=read,
        in_height=1,
        in_width=1,
        **fields,
    )
    mapper.state_params(params)
    for output in node.outputs:
        mapper.also_makes(output)


def _elements(tensor: Any) -> int:
    return prod(tensor.dims)
