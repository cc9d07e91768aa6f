"""A quantized ONNX model in as few bytes as its meaning takes.

onnxruntime's tools write names of fifty letters, one zero a channel as a zero point, the same
numbers again and again, and attributes at their defaults: in a small network that is as much as
the weights. Nothing here changes what a model computes.

Kept are the names of input, output and operators (``body1.conv3`` is the convolution it was);
inner tensors get short ones, and quantizing and dequantizing nodes none, which ONNX leaves
optional.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["lean_model"]

_QUANTIZING: Final = ("QuantizeLinear", "DequantizeLinear")
#: Lists whose default is this number throughout (ONNX's text; schemas leave it out).
_ORDINARY: Final = {"pads": 0, "strides": 1, "dilations": 1}
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def lean_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network; changes ``model`` and returns it.

    Without shapes of inner tensors (readers infer them), notes, attributes at their default,
    zero points of constants that are zero, and with one initializer for equal ones.
    """
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    del graph.value_info[:]
    _drop_zero_zero_points(graph)
    _share_equal(graph)
    _drop_defaults(model)
    _rename(graph)
    return model


def _drop_zero_zero_points(graph: onnx.GraphProto) -> None:
    """Of dequantized constants; absent means 0 (ONNX, DequantizeLinear-10 and later).

    Those of fully connected layers stay: without, onnxruntime computes these in fp32.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = {name: node.op_type for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or len(node.input) < 3:
            continue
        zero = constants.get(node.input[2])
        if node.input[0] not in constants or zero is None or readers[node.output[0]] == "Gemm":
            continue
        if not numpy_helper.to_array(zero).any():
            del node.input[2:]


def _share_equal(graph: onnx.GraphProto) -> None:
    """One initializer for all that hold the same, none for what nobody reads; bytes as such."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    same: dict[str, str] = {}
    for tensor in graph.initializer:
        array = np.ascontiguousarray(numpy_helper.to_array(tensor))
        key = (tensor.data_type, tuple(tensor.dims), array.tobytes())
        same[tensor.name] = first.setdefault(key, tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = same.get(name, name)
    read = {name for node in graph.node for name in node.input}
    read |= {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if same[tensor.name] == tensor.name]
    # Lists of small numbers take up to ten bytes each, raw data one.
    packed = [
        numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name)
        for tensor in kept
        if tensor.name in read
    ]
    del graph.initializer[:]
    graph.initializer.extend(packed)


def _drop_defaults(model: onnx.ModelProto) -> None:
    """Attributes that say what holds without them, and operator sets that nothing uses."""
    used = {node.domain for node in model.graph.node}
    versions = {o.domain: o.version for o in model.opset_import if o.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(
        onnx.helper.make_opsetid(domain, version) for domain, version in versions.items()
    )
    for node in model.graph.node:
        if node.domain:
            continue
        schema = onnx.defs.get_schema(node.op_type, versions[""]).attributes
        kept = [given for given in node.attribute if not _is_default(given, schema)]
        del node.attribute[:]
        node.attribute.extend(kept)


def _is_default(given: onnx.AttributeProto, schema: Any) -> bool:
    value = onnx.helper.get_attribute_value(given)
    if given.name in _ORDINARY:
        return set(value) <= {_ORDINARY[given.name]}
    known = schema[given.name].default_value if given.name in schema else None
    return (
        known is not None
        and known.type == given.type
        and (onnx.helper.get_attribute_value(known) == value)
    )


def _rename(graph: onnx.GraphProto) -> None:
    """Short names for inner tensors, none for quantizing nodes."""
    kept = [value.name for value in (*graph.input, *graph.output)]
    names = {name: name for name in ("", *kept)}
    fresh = (name for name in _short_names() if name not in kept)
    for node in graph.node:
        if node.op_type in _QUANTIZING:
            node.name = ""
        for tensors in (node.input, node.output):
            for position, name in enumerate(tensors):
                if name not in names:
                    names[name] = next(fresh)
                tensors[position] = names[name]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]


def _short_names() -> Iterator[str]:
    """a, b, ... z, aa, ab, ..."""
    for length in itertools.count(1):
        for letters in itertools.product(_LETTERS, repeat=length):
            yield "".join(letters)
