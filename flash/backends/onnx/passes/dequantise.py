"""Read a quantized model as the network it quantizes, and keep what its numbers are stored in.

Requires: no functions, inputs bound. Ensures: no operator of a quantized form; ``graph.formats``
holds the number format of tensors that were quantized, ``graph.roots`` that of weights.

Three forms are known. QDQ: fp32 operators between QuantizeLinear and DequantizeLinear.
QOperator: ``QLinearConv`` and its like, onnxruntime's own among them. Dynamic quantization:
weights in integers, activations quantized as the network runs (``DynamicQuantizeLinear``,
``MatMulInteger``). In all of them only the arithmetic differs from the network in floats:
shapes and operators are what costs are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from onnx import TensorProto

from flash.backends.onnx.ir.graph import FORMATS, Constant, Graph, Node, Value

__all__ = ["dequantise", "is_quantized"]

_MS: Final = "com.microsoft."
_QUANTIZE: Final = ("QuantizeLinear", _MS + "QuantizeLinear")
_DEQUANTIZE: Final = ("DequantizeLinear", _MS + "DequantizeLinear")
#: Operators that tools merge a following ReLU out of: it is the QuantizeLinear's lower limit.
_RECTIFIED: Final = ("Add", "BatchNormalization", "Conv", "Gemm", "MatMul")

#: Operator -> (the one it quantizes, positions of its tensors, position of its zero point).
_OPERATORS: Final[Mapping[str, tuple[str, tuple[int, ...], int]]] = {
    "QLinearConv": ("Conv", (0, 3, 8), 7),
    "QLinearMatMul": ("MatMul", (0, 3), 7),
    _MS + "QGemm": ("Gemm", (0, 3, 6), 8),
    _MS + "QLinearAdd": ("Add", (0, 3), 7),
    _MS + "QLinearMul": ("Mul", (0, 3), 7),
    _MS + "QLinearLeakyRelu": ("LeakyRelu", (0,), 4),
    _MS + "QLinearSigmoid": ("Sigmoid", (0,), 4),
    _MS + "QLinearSoftmax": ("Softmax", (0,), 4),
    _MS + "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,), 4),
    _MS + "QLinearAveragePool": ("AveragePool", (0,), 4),
    _MS + "QLinearReduceMean": ("ReduceMean", (0,), 4),
    "ConvInteger": ("Conv", (0, 1), -1),
    "MatMulInteger": ("MatMul", (0, 1), -1),
    _MS + "MatMulIntegerToFloat": ("MatMul", (0, 1), -1),
    _MS + "DynamicQuantizeMatMul": ("MatMul", (0, 1), -1),
    _MS + "DynamicQuantizeLSTM": ("LSTM", (0, 1, 2, 3, 4, 5, 6, 7), -1),
}
#: Position of a bias in float that is added after the product.
_BIASES: Final = {_MS + "MatMulIntegerToFloat": 6, _MS + "DynamicQuantizeMatMul": 4}
_QCONCAT: Final = _MS + "QLinearConcat"
_DYNAMIC: Final = "DynamicQuantizeLinear"


def is_quantized(graph: Graph) -> bool:
    """Whether the model quantizes anything, weights or activations."""
    known = {*_QUANTIZE, *_DEQUANTIZE, *_OPERATORS, _QCONCAT, _DYNAMIC, _MS + "MatMulNBits"}
    return any(node.op in known for node in graph.nodes)


def dequantise(graph: Graph) -> None:
    """Run the pass."""
    if not is_quantized(graph):
        return
    graph.opsets.setdefault("", 17)
    for name, value in graph.values.items():
        if value.elem_type in (TensorProto.UINT8, TensorProto.INT8):
            graph.values[name] = Value(value.shape, TensorProto.FLOAT)
            graph.formats[name] = "int8"
    work = _Work(graph)
    for node in graph.nodes:
        work.step(node)
    graph.nodes = work.nodes
    graph.replace(work.renamed)


class _Work:
    """One walk over the nodes; ``renamed`` says which tensors are others by another name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.renamed: dict[str, str] = {}
        self.makers = {name: node.op for node in graph.nodes for name in node.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)
        self.scales: set[str] = set()

    def step(self, node: Node) -> None:
        """Rewrite one node."""
        if node.op in _QUANTIZE:
            self._quantize(node)
        elif node.op in _DEQUANTIZE:
            self._dequantize(node)
        elif node.op == _DYNAMIC:
            self._dynamic(node)
        elif node.op == _QCONCAT:
            self._concat(node)
        elif node.op in _OPERATORS:
            self._operator(node)
        elif node.op in ("Cast", "Mul") and self._only_scales(node):
            pass
        else:
            self.nodes.append(node)

    # ------------------------------------------------------------------------------- QDQ form
    def _quantize(self, node: Node) -> None:
        source, result = node.input(0), node.outputs[0]
        constant = self.graph.constants.get(source)
        if constant is not None:
            self._constant(result, constant, "int8")
            return
        zero = self.graph.known(node.input(2)) if node.input(2) else None
        stored = self.graph.constants.get(node.input(2))
        number_format = FORMATS.get(TensorProto.UINT8 if stored is None else stored.elem_type, "")
        rectifies = self.makers.get(source) in _RECTIFIED and (not node.input(2) or _is_least(zero))
        self._passed(source, result, node, number_format, rectifies)

    def _passed(
        self, source: str, result: str, node: Node, number_format: str, rectifies: bool
    ) -> None:
        """The quantized tensor is the one before, or its ReLU."""
        if rectifies:
            self.nodes.append(Node("Relu", node.name or result, [source], [result]))
            self.graph.formats[result] = number_format
        else:
            self.renamed[result] = source
            if number_format:
                self.graph.formats[self._final(source)] = number_format

    def _dequantize(self, node: Node) -> None:
        source, result = node.input(0), node.outputs[0]
        constant = self.graph.constants.get(source)
        if constant is None:
            self.renamed[result] = source
        else:
            self._constant(result, constant, FORMATS.get(constant.elem_type, "int8"))

    def _constant(self, name: str, constant: Constant, number_format: str) -> None:
        """A quantized constant as one of floats; who reads it reads the stored one."""
        roots = constant.roots
        if not roots and name not in self.graph.roots:
            # A bias in int32, which is a parameter as well.
            roots = frozenset([name])
            self.graph.roots[name] = int(np.prod(constant.shape)), "fp32"
        elif number_format == "int8":
            for root in roots:
                size, stored = self.graph.roots[root]
                self.graph.roots[root] = size, stored if stored == "int4" else "int8"
        self.graph.constants[name] = Constant(
            constant.shape, TensorProto.FLOAT, constant.value, roots
        )

    def _final(self, name: str) -> str:
        while name in self.renamed:
            name = self.renamed[name]
        return name

    # --------------------------------------------------------------- QOperator, dynamic form
    def _operator(self, node: Node) -> None:
        op, positions, zero_at = _OPERATORS[node.op]
        inputs = [node.input(k) for k in positions]
        for k, name in enumerate(inputs):
            constant = self.graph.constants.get(name)
            if constant is not None and k:
                floating = f"{name}/float"
                if floating not in self.graph.constants:
                    self._constant(floating, constant, FORMATS.get(constant.elem_type, "fp32"))
                inputs[k] = floating
        while inputs and not inputs[-1]:
            inputs.pop()
        result = node.outputs[0]
        bias = node.input(_BIASES.get(node.op, len(node.inputs)))
        unfinished = f"{result}/product"
        zero = self.graph.known(node.input(zero_at)) if zero_at >= 0 else None
        rectifies = op in _RECTIFIED and zero_at >= 0 and _is_least(zero)
        made = unfinished if bias or rectifies else result
        outputs = [made, *node.outputs[1:]]
        if node.attributes.get("channels_last"):
            raise self.graph.refusal(node, "only channels before positions are costed")
        unknown = ("channels_last", "opset")  # to the operator of floats
        attributes = {k: v for k, v in node.attributes.items() if k not in unknown}
        plain = Node(op, node.name or result, inputs, outputs, attributes)
        self.nodes.append(plain)
        if bias:
            self.nodes.append(Node("Add", f"{plain.name}/bias", [made, bias], [result]))
        elif rectifies:
            self.nodes.append(Node("Relu", f"{plain.name}/relu", [made], [result]))
        if zero_at >= 0:
            self.graph.formats[result] = "int8"
        if node.op in ("ConvInteger", "MatMulInteger"):
            self._skip_scaling(result)

    def _skip_scaling(self, result: str) -> None:
        """Behind an integer product: a cast and the product with its scales are no operations."""
        name = self._past_bias(result)
        for op in ("Cast", "Mul"):
            readers = self.readers.get(name, [])
            if len(readers) != 1 or readers[0].op != op:
                return
            self.scales.add(readers[0].outputs[0])
            self.renamed[readers[0].outputs[0]] = name
            name = readers[0].outputs[0]

    def _past_bias(self, name: str) -> str:
        """The tensor behind a bias in int32, which becomes one in floats."""
        readers = self.readers.get(name, [])
        if len(readers) != 1 or readers[0].op != "Add":
            return name
        add = readers[0]
        for k, other in enumerate(add.inputs):
            constant = self.graph.constants.get(other)
            if constant is not None:
                self._constant(f"{other}/float", constant, "fp32")
                add.inputs[k] = f"{other}/float"
                return add.outputs[0]
        return name

    def _only_scales(self, node: Node) -> bool:
        return node.outputs[0] in self.scales

    def _dynamic(self, node: Node) -> None:
        """Activations quantized as the network runs: the scale is a number like any other."""
        self.renamed[node.outputs[0]] = node.input(0)
        one = np.ones((), np.float32)
        for name in node.outputs[1:]:
            if name:
                self.graph.constants[name] = Constant((), TensorProto.FLOAT, one)

    def _concat(self, node: Node) -> None:
        inputs = node.inputs[2::3]
        result = node.outputs[0]
        self.nodes.append(
            Node("Concat", node.name or result, inputs, [result], {"axis": node.attributes["axis"]})
        )
        self.graph.formats[result] = "int8"


def _is_least(zero: object) -> bool:
    """Whether the zero point is the least number of its type: nothing negative passes."""
    array = np.asarray(zero)
    return array.dtype.kind in "iu" and bool((array == np.iinfo(array.dtype).min).all())
