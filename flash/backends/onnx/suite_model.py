"""Networks as ONNX models of a few kilobytes, to be sent to a device and timed there.

The kernels' numbers stay outside: every model points into one file of random numbers, which
the device makes itself from a seed (``Region``). A time does not depend on which numbers they
are, as long as they stay in range: numbers that die out become denormal, which some
processors compute a hundred times slower, and infinities let int8 and fp16 go wrong. So
there is one region a magnitude, and a layer takes the one that keeps the variance of its
input (He et al., ICCV 2015, arXiv 1502.01852), within 2^(1/4) in standard deviation.

Batch norm is folded into the convolution before it, as every runtime does when it loads a
model. ``fp16`` is the same graph in half precision, input and output included. ``int8``
quantizes weights and activations (QDQ form, symmetric weights, 8-bit unsigned activations,
fixed scales: good for times, useless for results); the input stays float.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from flash.backends.onnx.blocks import BlockStep, WeightOf, block_model
from flash.backends.onnx.file import load_model, no_model
from flash.backends.onnx.writer import network_model
from flash.backends.weights import kernel_shape
from flash.errors import InputError
from flash.spaces.layers import Layer
from flash.spaces.network import Network

__all__ = [
    "WEIGHTS_FILE",
    "Region",
    "batch_shapes",
    "outside_files",
    "suite_models",
    "tensor_names",
]

#: Name of the file, beside the model.
WEIGHTS_FILE: Final = "weights.bin"
#: Regions start at pages, so that runtimes can map them.
_PAGE: Final = 4096
_ELEMENT_BYTES: Final = {"fp32": 4, "fp16": 2, "int8": 1}
_TYPES: Final = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "int8": TensorProto.INT8}
_DTYPES: Final = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
#: int8 weights are uniform in +-127; what their standard deviation is.
_INT8_STD: Final = 127 / math.sqrt(3)
#: Activations of standard deviation about 1 as 0 ... 255 around the zero point.
_ACTIVATION_SCALE: Final = 6 / 255
_ZERO_POINT: Final = 128


@dataclass(frozen=True)
class Region:
    """Part of the weights' file: ``elements`` uniform numbers of standard deviation ``std``.

    ``offset`` in bytes. int8 has one region, of whole numbers in [-127, 127].
    """

    offset: int
    elements: int
    std: float
    dtype: str


#: Sizes and steps of a chain of blocks (``flash.backends.onnx.blocks``).
Blocks = tuple[Sequence[int], Sequence[BlockStep]]


def suite_models(
    networks: Mapping[str, Network],
    precision: str = "fp32",
    batch: int = 1,
    blocks: Mapping[str, Blocks] | None = None,
) -> tuple[dict[str, bytes], list[Region]]:
    """Each network as a serialized model, and the regions of the weights' file they share.

    precision: fp32, fp16 or int8. blocks: chains of them, in fp32 and at batch 1 only. Raises
    ``InputError`` for a layer that cannot be written.
    """
    blocks = blocks or {}
    if blocks and (precision != "fp32" or batch != 1):
        raise InputError("chains of blocks are measured in fp32 and at batch 1 only")
    folded = {name: _folded(network) for name, network in networks.items()}
    regions = _regions(folded.values(), precision, blocks.values())
    models = {
        name: block_model(*chain, _in_region(regions)).SerializeToString(deterministic=True)
        for name, chain in blocks.items()
    }
    for name, network in folded.items():
        model = network_model(network, _weights(network, regions, precision), "workload")
        _set_batch(model, batch)
        if precision == "fp16":
            _to_fp16(model)
        elif precision == "int8":
            _to_int8(model)
        models[name] = model.SerializeToString(deterministic=True)
    return models, list(regions.values())


def outside_files(content: bytes, path: str) -> tuple[str, ...]:
    """Names of the files that hold a model's weights beside it; none where it carries its own.

    As the model gives them, relative to its folder. Raises ``InputError`` for what is no model.
    """
    try:
        model = onnx.load_model_from_string(content)
    # protobuf's DecodeError lives in a package that is not ours to depend on.
    except Exception:
        raise no_model(path, content) from None
    if not model.graph.node:
        raise no_model(path, content)
    tensors = [tensor for graph in _graphs(model.graph) for tensor in _tensors(graph)]
    outside = [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in outside]
    return tuple(dict.fromkeys(place.get("location", "") for place in places))


def tensor_names(source: str | Path | bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a model, a file or its content, calls its inputs, and the tensors that it computes.

    Raises ``InputError`` for what is no model.
    """
    if isinstance(source, bytes):
        model = onnx.load_model_from_string(source)
    else:
        model = load_model(source)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [given.name for given in model.graph.input if given.name not in stored]
    nodes = [node for graph in _graphs(model.graph) for node in graph.node]
    return tuple(inputs), tuple(name for node in nodes for name in node.output if name)


def batch_shapes(path: str | Path, batch: int) -> dict[str, list[int]]:
    """Sizes of a model's inputs of two axes and more, by name, with so many of ``batch`` at a time.

    Inputs of which more than the first axis is free are left out. Raises ``InputError`` for what is
    no model.
    """
    model = load_model(path)
    stored = {tensor.name for tensor in model.graph.initializer}
    shapes = {
        given.name: [d.dim_value for d in given.type.tensor_type.shape.dim]
        for given in model.graph.input
        if given.name not in stored
    }
    return {
        name: [batch, *dims[1:]] for name, dims in shapes.items() if len(dims) > 1 and all(dims[1:])
    }


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes' attributes."""
    waiting = [graph]
    while waiting:
        one = waiting.pop()
        yield one
        for node in one.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """A graph's own weights and constants."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _folded(network: Network) -> Network:
    """Convolutions with a bias instead of a batch norm."""
    layers = tuple(
        replace(layer, norm=False, bias=True) if layer.norm and layer.op == "conv" else layer
        for layer in network.layers
    )
    return Network(layers, network.source, network.output)


# ----------------------------------------------------------------------------------- weights
def _magnitude(layer: Layer, precision: str) -> int:
    """The power of sqrt(1/2) that a layer's weights have as standard deviation."""
    if precision == "int8":
        return 0
    fan_in = math.prod(kernel_shape(layer)[1:])
    return round(math.log2(fan_in / (2.0 if layer.act else 1.0)))


def _kernels(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if layer.op in ("conv", "linear")]


def _in_region(regions: Mapping[int, Region]) -> WeightOf:
    def weight(name: str, shape: tuple[int, ...], fan_in: int) -> TensorProto:
        return _outside(name, shape, regions[round(math.log2(fan_in))], "fp32")

    return weight


def _block_sizes(chain: Blocks) -> dict[int, int]:
    """Magnitude -> the most weights of it that a tensor of the chain has."""
    sizes: dict[int, int] = {}

    def weight(name: str, shape: tuple[int, ...], fan_in: int) -> TensorProto:
        key = round(math.log2(fan_in))
        sizes[key] = max(sizes.get(key, 0), math.prod(shape))
        return _outside(name, shape, Region(0, 0, 1.0, "float32"), "fp32")

    block_model(*chain, weight)
    return sizes


def _regions(networks: Any, precision: str, blocks: Collection[Blocks] = ()) -> dict[int, Region]:
    sizes: dict[int, int] = {}
    for chain in blocks:
        for key, size in _block_sizes(chain).items():
            sizes[key] = max(sizes.get(key, 0), size)
    for network in networks:
        for layer in _kernels(network):
            key = _magnitude(layer, precision)
            sizes[key] = max(sizes.get(key, 0), math.prod(kernel_shape(layer)))
    regions, offset = {}, 0
    for key in sorted(sizes):
        std = _INT8_STD if precision == "int8" else 2.0 ** (-key / 2)
        regions[key] = Region(offset, sizes[key], std, _DTYPES[precision])
        end = offset + sizes[key] * _ELEMENT_BYTES[precision]
        offset = -(-end // _PAGE) * _PAGE
    return regions


def _weights(
    network: Network, regions: Mapping[int, Region], precision: str
) -> dict[str, TensorProto | NDArray[np.float32]]:
    """Kernels as references into the file; biases and batch norms, which are small, as they are."""
    weights: dict[str, TensorProto | NDArray[np.float32]] = {}
    for layer in network.layers:
        channels = int(layer.out_channels)
        if layer.op in ("conv", "linear"):
            name, region = f"{layer.name}.weight", regions[_magnitude(layer, precision)]
            weights[name] = _outside(name, kernel_shape(layer), region, precision)
        if layer.bias:
            weights[f"{layer.name}.bias"] = np.zeros(channels, dtype=np.float32)
        if layer.norm:
            for part, value in (("scale", 1), ("shift", 0), ("mean", 0), ("variance", 1)):
                weights[f"{layer.name}.{part}"] = np.full(channels, value, dtype=np.float32)
    return weights


def _outside(name: str, shape: tuple[int, ...], region: Region, precision: str) -> TensorProto:
    # Declared as float until the graph around it has been checked and converted.
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    length = math.prod(shape) * _ELEMENT_BYTES[precision]
    for key, value in (("location", WEIGHTS_FILE), ("offset", region.offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


# ------------------------------------------------------------------------- batch, precision
def _set_batch(model: onnx.ModelProto, batch: int) -> None:
    """A fixed batch instead of 1, wherever the graph states it."""
    if batch == 1:
        return
    graph = model.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    for node in graph.node:
        if node.op_type == "Constant" and node.name.endswith(".shape"):
            sizes = numpy_helper.to_array(node.attribute[0].t).copy()
            sizes[0] = batch
            node.attribute[0].t.CopyFrom(numpy_helper.from_array(sizes, node.name))


def _to_fp16(model: onnx.ModelProto) -> None:
    graph = model.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    tensors = list(graph.initializer)
    tensors += [n.attribute[0].t for n in graph.node if n.op_type == "Constant"]
    for tensor in tensors:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.data_type = TensorProto.FLOAT16
        else:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            zero = numpy_helper.from_array(np.zeros(1, dtype=np.float16))
            node.attribute.append(helper.make_attribute("value", zero))


#: Operators whose inputs and results are quantized.
_QUANTIZED: Final = (
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
)
_CLAMPS: Final = ("Clip", "Relu")


def _to_int8(model: onnx.ModelProto) -> None:
    """Quantize and dequantize around every operator; runtimes fuse the pairs into int8 kernels."""
    graph = model.graph
    del graph.value_info[:]
    nodes = _Quantizer(graph).nodes()
    del graph.node[:]
    graph.node.extend(nodes)
    # Kernels keep one scale; a bias has the product of its kernel's and its input's.
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.data_type = TensorProto.INT8


class _Quantizer:
    """The nodes of a graph with QuantizeLinear and DequantizeLinear pairs between them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._new: list[onnx.NodeProto] = []
        self._initializers = {t.name: t for t in graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        #: Tensor -> its dequantized form.
        self._forms: dict[str, str] = {}

    def nodes(self) -> list[onnx.NodeProto]:
        self._constant("act.scale", np.float32(_ACTIVATION_SCALE))
        self._constant("act.zero", np.uint8(_ZERO_POINT))
        self._constant("act.relu.zero", np.uint8(0))
        self._constant("kernel.zero", np.int8(0))
        source = self._graph.input[0].name
        self._pair(source, "act.zero")
        for node in list(self._graph.node):
            self._take(node)
        return self._new

    def _take(self, node: onnx.NodeProto) -> None:
        node = _copy(node)
        scale = self._kernel(node) if node.op_type in ("Conv", "Gemm") else 0.0
        for position, name in enumerate(node.input):
            if name in self._initializers:
                if scale and position == 2:
                    node.input[position] = self._bias(name, scale)
            else:
                node.input[position] = self._forms.get(name, name)
        self._new.append(node)
        result = node.output[0]
        if node.op_type not in (*_QUANTIZED, *_CLAMPS):
            return
        # An activation belongs to the operator before it: the pair comes after it.
        readers = self._readers.get(result, [])
        if node.op_type in _QUANTIZED and readers and all(r.op_type in _CLAMPS for r in readers):
            return
        self._pair(result, "act.relu.zero" if node.op_type in _CLAMPS else "act.zero")

    def _kernel(self, node: onnx.NodeProto) -> float:
        """Dequantize the kernel at the scale that keeps the variance; returns the scale."""
        name = node.input[1]
        fan_in = math.prod(self._initializers[name].dims[1:])
        scale = math.sqrt(2.0 / fan_in) / _INT8_STD
        self._constant(f"{name}.scale", np.float32(scale))
        self._node("DequantizeLinear", [name, f"{name}.scale", "kernel.zero"], f"{name}.float")
        node.input[1] = f"{name}.float"
        return scale

    def _bias(self, name: str, kernel_scale: float) -> str:
        tensor = self._initializers[name]
        whole = np.zeros(tuple(tensor.dims), dtype=np.int32)
        tensor.CopyFrom(numpy_helper.from_array(whole, name))
        self._constant(f"{name}.scale", np.float32(kernel_scale * _ACTIVATION_SCALE))
        self._constant(f"{name}.zero", np.int32(0))
        return self._node(
            "DequantizeLinear", [name, f"{name}.scale", f"{name}.zero"], f"{name}.float"
        )

    def _pair(self, name: str, zero: str) -> None:
        self._node("QuantizeLinear", [name, "act.scale", zero], f"{name}.q")
        self._forms[name] = self._node(
            "DequantizeLinear", [f"{name}.q", "act.scale", zero], f"{name}.dq"
        )

    def _node(self, op: str, inputs: list[str], name: str) -> str:
        self._new.append(helper.make_node(op, inputs, [name], name))
        return name

    def _constant(self, name: str, value: Any) -> None:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
