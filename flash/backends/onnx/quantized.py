"""Quantized ONNX models (QDQ form) read as the network they quantize.

In QDQ form fp32 operators stand between QuantizeLinear and DequantizeLinear nodes; without
those nodes it is the fp32 network again, whose layers cost what they always do. (The other form,
operators such as QLinearConv, is refused with the operators nobody knows.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["drop_quantization", "holds_quantized", "is_quantized"]

_QUANTIZE: Final = "QuantizeLinear"
_DEQUANTIZE: Final = "DequantizeLinear"
#: Operators that tools merge a following ReLU out of: it is the QuantizeLinear's lower limit.
_RECTIFIED: Final = ("Add", "BatchNormalization", "Conv", "Gemm", "MatMul")


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the model quantizes anything, weights or activations."""
    return any(node.op_type in (_QUANTIZE, _DEQUANTIZE) for node in model.graph.node)


def holds_quantized(path: str | Path) -> bool:
    """Whether a file, known to be an ONNX model, holds a quantized one."""
    return is_quantized(onnx.load(path, load_external_data=False))


def drop_quantization(graph: onnx.GraphProto) -> None:
    """Turn the graph into the one without quantization, in place; the numbers are lost.

    A quantizing node becomes an ``Identity``, or a ``Relu`` where it follows a layer and its zero
    point is the least number of its type; a dequantized constant an fp32 one outside the file.
    Only shapes and operators are right afterwards: what costs are made of.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node.op_type for node in graph.node for name in node.output}
    floats: dict[str, onnx.TensorProto] = {}
    nodes = []
    for node in graph.node:
        if node.op_type not in (_QUANTIZE, _DEQUANTIZE) or not node.input:
            nodes.append(node)
            continue
        source, (result, *_) = node.input[0], node.output
        constant = constants.get(source) or floats.get(source)
        if constant is not None:
            floats[result] = _outside(result, constant.dims)
        else:
            rectifies = node.op_type == _QUANTIZE and makers.get(source) in _RECTIFIED
            kind = "Relu" if rectifies and _cuts_at_zero(node, constants) else "Identity"
            nodes.append(helper.make_node(kind, [source], [result], node.name or result))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(floats.values())
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT


def _cuts_at_zero(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether the zero point is the least number: nothing negative passes."""
    if len(node.input) < 3 or not node.input[2]:
        return True  # absent: 0 of uint8
    zero = constants.get(node.input[2])
    if zero is None or zero.external_data:
        return False
    array = numpy_helper.to_array(zero)
    return array.dtype.kind in "iu" and bool((array == np.iinfo(array.dtype).min).all())


def _outside(name: str, dims: list[int]) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="none")
    return tensor
