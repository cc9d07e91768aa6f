"""Small ONNX models that tests write: nodes in, a model out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["model", "node", "normal"]

node = helper.make_node


def normal(*shape: int) -> np.ndarray:
    """Weights without two equal ones."""
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[Any]],
    weights: Mapping[str, Any] | None = None,
    outputs: Iterable[str] = ("y",),
    *,
    opset: int = 17,
    domains: Iterable[str] = (),
    types: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model; ``types`` of inputs that are not floats."""
    types = types or {}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [
            helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), list(shape))
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)
