"""Shapes that ONNX's own inference does not know.

Operators of other domains (``com.microsoft``, which onnxruntime's tools write), and those of
ONNX whose result is as large as the data make it: there the largest possible shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final

import numpy as np
from onnx import TensorProto

from flash.backends.onnx.ir.graph import Graph, Node, Value

__all__ = ["inferred"]


def inferred(graph: Graph, node: Node) -> list[Value] | None:
    """Values of a node's results that are not left out, or None where ONNX knows them."""
    rule = _RULES.get(node.op)
    return None if rule is None else rule(graph, node)


def _type(graph: Graph, name: str) -> int:
    constant = graph.constants.get(name)
    return graph.values[name].elem_type if constant is None else constant.elem_type


def _same(graph: Graph, node: Node) -> list[Value]:
    """Every result is shaped like the first input."""
    name = node.input(0)
    value = Value(graph.shape(name), _type(graph, name))
    return [value for output in node.outputs if output]


def _skip_norm(graph: Graph, node: Node) -> list[Value]:
    """Result, (mean, deviation), sum: only result and sum are made at inference."""
    return _same(graph, node)


def _attention(graph: Graph, node: Node) -> list[Value]:
    """``Attention`` of com.microsoft: input (B, L, D) x weights (D, 3 D')."""
    name = node.input(0)
    batch, length, _ = graph.shape(name)
    sizes = node.attributes.get("qkv_hidden_sizes")
    width = sizes[2] if sizes else graph.shape(node.input(1))[-1] // 3
    return [Value((batch, length, width), _type(graph, name))]


def _multi_head(graph: Graph, node: Node) -> list[Value]:
    """``MultiHeadAttention``: query (B, L, D), value (B, L', D')."""
    name = node.input(0)
    query = graph.shape(name)
    width = query[-1]
    if node.input(2) and len(graph.shape(node.input(2))) == 3:
        width = graph.shape(node.input(2))[-1]
    return [Value((*query[:2], width), _type(graph, name))]


def _product(graph: Graph, node: Node) -> list[Value]:
    """Matrix products whose operands may be turned."""
    a, b = (list(graph.shape(node.input(k))) for k in (0, 1))
    if node.attributes.get("transA"):
        a[-2:] = a[:-3:-1]
    if node.attributes.get("transB"):
        b[-2:] = b[:-3:-1]
    if a[-1] != b[-2 if len(b) > 1 else 0]:
        raise ValueError(f"{a} does not fit {b}")
    batch = np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2]))
    return [Value((*batch, a[-2], b[-1]), _type(graph, node.input(0)))]


def _product_bits(graph: Graph, node: Node) -> list[Value]:
    """``MatMulNBits``: A (..., K) times packed weights (N, ...)."""
    shape = graph.shape(node.input(0))
    return [Value((*shape[:-1], node.attributes["N"]), _type(graph, node.input(0)))]


def _embedding(graph: Graph, node: Node) -> list[Value]:
    """``EmbedLayerNormalization``: ids (B, L), word table (V, D)."""
    batch, length = graph.shape(node.input(0))
    width = graph.shape(node.input(2))[-1]
    kind = _type(graph, node.input(2))
    values = [Value((batch, length, width), kind), Value((batch,), TensorProto.INT32)]
    return values[: len([o for o in node.outputs if o])]


def _reordered(graph: Graph, node: Node) -> list[Value]:
    """Another layout of a map: with the channels that ``channels`` states, last or not."""
    shape, attributes = graph.shape(node.input(0)), node.attributes
    if attributes.get("channels_last") and attributes.get("to_blocks"):
        shape = (shape[0], shape[-1], *shape[1:-1])
    shape = (shape[0], attributes.get("channels", shape[1]), *shape[2:])
    if attributes.get("channels_last") and not attributes.get("to_blocks"):
        shape = (shape[0], *shape[2:], shape[1])
    return [Value(shape, _type(graph, node.input(0)))]


def _upsampled(graph: Graph, node: Node) -> list[Value]:
    shape, scales = graph.shape(node.input(0)), node.attributes["scales"]
    sizes = tuple(int(size * scale) for size, scale in zip(shape, scales, strict=True))
    return [Value(sizes, _type(graph, node.input(0)))]


def _cast(graph: Graph, node: Node) -> list[Value]:
    return [Value(graph.shape(node.input(0)), node.attributes["to"])]


def _regressed(graph: Graph, node: Node) -> list[Value]:
    """Rows of ``ai.onnx.ml`` regressors: one value a target."""
    rows = prod(graph.shape(node.input(0))[:-1])
    targets = node.attributes.get("n_targets", node.attributes.get("targets", 1))
    return [Value((rows, targets), TensorProto.FLOAT)]


def _classified(graph: Graph, node: Node) -> list[Value]:
    """Rows of ``ai.onnx.ml`` classifiers: a label, and a score a class."""
    rows = prod(graph.shape(node.input(0))[:-1])
    attributes = node.attributes
    labels = attributes.get("classlabels_int64s") or attributes.get("classlabels_strings")
    labels = labels or attributes.get("classlabels_ints") or [0, 1]
    return [Value((rows,), TensorProto.INT64), Value((rows, len(labels)), TensorProto.FLOAT)]


def _extracted(graph: Graph, node: Node) -> list[Value]:
    """``ArrayFeatureExtractor``: some of the last axis."""
    shape, indices = graph.shape(node.input(0)), graph.shape(node.input(1))
    return [Value((*(shape[:-1] or (1,)), prod(indices)), _type(graph, node.input(0)))]


def _part(graph: Graph, node: Node) -> list[Value]:
    """One entry of an axis, without the axis."""
    shape, axis = graph.shape(node.input(0)), node.attributes["axis"]
    return [Value((*shape[:axis], *shape[axis + 1 :]), _type(graph, node.input(0)))]


def _stacked(graph: Graph, node: Node) -> list[Value]:
    """Tensors of one shape side by side along a new axis."""
    shape = graph.shape(node.input(0))
    if any(graph.shape(name) != shape for name in node.inputs):
        raise ValueError("its turns give results of different shapes")
    axis = node.attributes["axis"] % (len(shape) + 1)
    sizes = (*shape[:axis], len(node.inputs), *shape[axis:])
    return [Value(sizes, _type(graph, node.input(0)))]


# ------------------------------------------------------ as large as the data make them, at most
def _largest(size: Callable[[Graph, Node], list[tuple[tuple[int, ...], int | None]]]) -> Any:
    def rule(graph: Graph, node: Node) -> list[Value] | None:
        if all(name in graph.constants for name in node.inputs if name):
            return None
        graph.bounded.append(node.label)
        kind = _type(graph, node.input(0))
        shapes = size(graph, node)
        return [
            Value(shape, kind if elem_type is None else elem_type)
            for (shape, elem_type), output in zip(shapes, node.outputs, strict=False)
            if output
        ]

    return rule


def _non_zero(graph: Graph, node: Node) -> list[tuple[tuple[int, ...], int | None]]:
    shape = graph.shape(node.input(0))
    return [((max(len(shape), 1), prod(shape)), TensorProto.INT64)]


def _suppressed(graph: Graph, node: Node) -> list[tuple[tuple[int, ...], int | None]]:
    """Boxes (B, N, 4), scores (B, C, N), at most so many a class."""
    batch, classes, boxes = graph.shape(node.input(1))
    limit = graph.known(node.input(2))
    most = boxes if limit is None or not limit.size else min(int(limit.item()), boxes)
    return [((batch * classes * most, 3), TensorProto.INT64)]


def _unique(graph: Graph, node: Node) -> list[tuple[tuple[int, ...], int | None]]:
    shape = graph.shape(node.input(0))
    axis = node.attributes.get("axis")
    size = prod(shape) if axis is None else shape[axis]
    first = (size,) if axis is None else shape
    return [(first, None), *[((size,), TensorProto.INT64)] * 3]


def _compressed(graph: Graph, node: Node) -> list[tuple[tuple[int, ...], int | None]]:
    shape = graph.shape(node.input(0))
    return [((prod(shape),) if node.attributes.get("axis") is None else shape, None)]


_MS: Final = "com.microsoft."
_RULES: Final[Mapping[str, Callable[[Graph, Node], list[Value] | None]]] = {
    **{
        _MS + name: _same
        for name in (
            "BiasGelu",
            "FastGelu",
            "Gelu",
            "QuickGelu",
            "RotaryEmbedding",
            "BiasSplitGelu",
        )
    },
    _MS + "SkipLayerNormalization": _skip_norm,
    _MS + "SkipSimplifiedLayerNormalization": _skip_norm,
    "SimplifiedLayerNormalization": _same,
    **{
        f"ai.onnx.ml.{name}": _same
        for name in ("Binarizer", "Imputer", "Normalizer", "Scaler", "ZipMap")
    },
    **{f"ai.onnx.ml.{name}Regressor": _regressed for name in ("TreeEnsemble", "Linear", "SVM")},
    **{f"ai.onnx.ml.{name}Classifier": _classified for name in ("TreeEnsemble", "Linear", "SVM")},
    "flash.SkipLayerNormalization": _skip_norm,
    "flash.SkipSimplifiedLayerNormalization": _skip_norm,
    "flash.Reorder": _reordered,
    "flash.BlockUpsample": _upsampled,
    "flash.Cast": _cast,
    "flash.Part": _part,
    "flash.Stack": _stacked,
    "ai.onnx.ml.ArrayFeatureExtractor": _extracted,
    _MS + "Attention": _attention,
    _MS + "MultiHeadAttention": _multi_head,
    _MS + "FusedMatMul": _product,
    _MS + "TransposeMatMul": _product,
    _MS + "FusedGemm": _product,
    _MS + "MatMulNBits": _product_bits,
    _MS + "EmbedLayerNormalization": _embedding,
    "NonZero": _largest(_non_zero),
    "NonMaxSuppression": _largest(_suppressed),
    "Unique": _largest(_unique),
    "Compress": _largest(_compressed),
}
