"""The last fully connected layer of a model, made anew for another number of outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from flash.errors import InputError

__all__ = [
    "described_model",
    "output_count",
    "renamed_ends",
    "static_input",
    "with_outputs",
]


def static_input(model: onnx.ModelProto) -> tuple[int, ...]:
    """Sizes of the model's one input, without the batch; ``InputError`` for other models."""
    stored = {t.name for t in model.graph.initializer}
    given = [x for x in model.graph.input if x.name not in stored]
    if len(given) != 1:
        raise InputError(f"the model has {len(given)} inputs; training takes models of one")
    sizes = tuple(d.dim_value for d in given[0].type.tensor_type.shape.dim)
    if len(sizes) < 2 or any(n < 1 for n in sizes[1:]):
        raise InputError(f"the sizes of input '{given[0].name}' must be fixed, but for the batch")
    return sizes[1:]


def output_count(model: onnx.ModelProto) -> int:
    """Numbers that the model gives for one input."""
    inferred = onnx.shape_inference.infer_shapes(model)
    sizes = [d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim]
    return int(np.prod(sizes[1:])) if sizes and all(n > 0 for n in sizes[1:]) else 0


def with_outputs(model: onnx.ModelProto, outputs: int, seed: int) -> onnx.ModelProto:
    """The model with a last layer of so many outputs, its weights drawn at random.

    Raises ``InputError`` where the output is not that of a fully connected layer.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    stored = {t.name: t for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    rng = np.random.default_rng([seed, 3])
    name = graph.output[0].name
    bias_of: list[str] = []
    node = makers.get(name)
    while node is not None and node.op_type in ("Identity", "Softmax", "LogSoftmax", "Add"):
        if node.op_type == "Add":
            bias_of += [x for x in node.input if x in stored]
        name = next((x for x in node.input if x not in stored), "")
        node = makers.get(name)
    if node is None or node.op_type not in ("Gemm", "MatMul") or node.input[1] not in stored:
        raise InputError(
            f"its outputs cannot be made {outputs}: they are not those of a fully connected layer"
        )
    turned = any(a.name == "transB" and helper.get_attribute_value(a) for a in node.attribute)
    weight = numpy_helper.to_array(stored[node.input[1]])
    features = weight.shape[1] if turned else weight.shape[0]
    values = (rng.standard_normal((outputs, features)) / np.sqrt(features)).astype(np.float32)
    _put(stored[node.input[1]], values if turned else values.T)
    for own in [*node.input[2:3], *bias_of]:
        if own in stored:
            _put(stored[own], np.zeros(outputs, dtype=np.float32))
    del graph.value_info[:]
    for x in graph.output[:1]:
        x.CopyFrom(
            helper.make_tensor_value_info(x.name, onnx.TensorProto.FLOAT, ["batch", outputs])
        )
    return copy


def renamed_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its one input called ``input`` and its first output ``output``."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    new = {graph.input[0].name: "input", graph.output[0].name: "output"}
    new |= {name: f"{name}~" for name in taken & {"input", "output"} if name not in new}
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = new.get(name, name)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new.get(value.name, value.name)
    return onnx.shape_inference.infer_shapes(copy)


def described_model(model: onnx.ModelProto, properties: dict[str, str]) -> bytes:
    """The model as a file whose metadata says these; its batch axis is open."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {p.key: p for p in copy.metadata_props}
    for key, value in properties.items():
        if key in known:
            known[key].value = value
        else:
            copy.metadata_props.add(key=key, value=value)
    content: bytes = copy.SerializeToString(deterministic=True)
    return content


def _put(tensor: onnx.TensorProto, value: Any) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))
