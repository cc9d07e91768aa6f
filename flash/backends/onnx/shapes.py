"""Shapes of all tensors of an ONNX model, also where the model computes them as it runs.

Exporters write ``x.view(n, 2, c // 2, h, w)`` as nodes that take x's shape apart and put
another together. ONNX's shape inference follows only some of that; the rest is worked out here
with ONNX's own reference implementation of those few operators, on a handful of integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

__all__ = ["SMALL", "infer_shapes", "known_shapes"]

#: Tensors up to this many elements can be shapes, axes or limits.
SMALL: Final = 4096

#: What shapes are computed with. Nothing here makes large tensors out of small ones.
_ARITHMETIC: Final = frozenset(
    {
        "Add", "Cast", "Ceil", "Concat", "Div", "Equal", "Floor", "Gather", "Identity", "Max",
        "Min", "Mod", "Mul", "Neg", "ReduceProd", "Reshape", "Slice", "Squeeze", "Sub",
        "Unsqueeze", "Where",
    }
)  # fmt: skip


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that can be known; raises what ``onnx`` raises."""
    while True:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        shapes = known_shapes(model.graph)
        unknown = any(o not in shapes for node in model.graph.node for o in node.output[:1])
        if not unknown or not _fold(model, shapes):
            return model


def known_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that have one without a dynamic axis, by name."""
    shapes: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        known = value.type.tensor_type.HasField("shape")
        if known and all(d.HasField("dim_value") and d.dim_value >= 0 for d in dims):
            shapes[value.name] = tuple(d.dim_value for d in dims)
    return shapes


def _fold(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Make initializers of what is computed from known shapes; False if there is no more."""
    graph = model.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    kept, before = [], len(graph.node)
    for node in graph.node:
        found = _value(node, values, shapes, model)
        if found is None or found.size > SMALL:
            kept.append(node)
        else:
            values[node.output[0]] = found
            graph.initializer.append(numpy_helper.from_array(found, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    return len(kept) < before


def _value(
    node: onnx.NodeProto,
    values: dict[str, NDArray[Any]],
    shapes: dict[str, tuple[int, ...]],
    model: onnx.ModelProto,
) -> NDArray[Any] | None:
    """What a node computes, where that is known before the network runs."""
    if node.op_type == "Constant":
        tensors = [a.t for a in node.attribute if a.name == "value"]
        if not tensors or tensors[0].external_data or np.prod(tensors[0].dims) > SMALL:
            return None
        return numpy_helper.to_array(tensors[0])
    if node.op_type == "Shape" and not node.attribute and node.input[0] in shapes:
        return np.array(shapes[node.input[0]], dtype=np.int64)
    given = [name for name in node.input if name]
    if node.op_type not in _ARITHMETIC or not all(name in values for name in given):
        return None
    return next(_run(node, {name: values[name] for name in given}, model), None)


def _run(
    node: onnx.NodeProto, feeds: dict[str, NDArray[Any]], model: onnx.ModelProto
) -> Iterator[NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 (slow to import, seldom used)

    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape)
        )
        for name, value in feeds.items()
    ]
    output = helper.make_tensor_value_info(node.output[0], TensorProto.UNDEFINED, None)
    graph = helper.make_graph([node], "shape", inputs, [output])
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    for result in ReferenceEvaluator(single).run(None, feeds):
        yield np.asarray(result)
