"""``Constant`` nodes of a model, which say the same as stored tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["hoist_constants"]


def hoist_constants(graph: onnx.GraphProto) -> None:
    """Make stored tensors of the constant nodes, in place."""
    kept = []
    for node in graph.node:
        value = _value(node) if node.op_type == "Constant" else None
        if value is None:
            kept.append(node)
        else:
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


def _value(node: onnx.NodeProto) -> NDArray[Any] | None:
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return np.asarray(numpy_helper.to_array(value))
        if attribute.name in ("value_int", "value_ints"):
            return np.array(value, dtype=np.int64)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(value, dtype=np.float32)
    return None
