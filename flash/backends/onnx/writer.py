"""A network as an ONNX model, written node by node, no framework in between.

* Opset and IR version are pinned to what deployed runtimes read (ONNX 1.12 of 2022 on).
* A layer's nodes and tensors carry its name: ``body1.conv3`` is the convolution,
  ``body1.conv3.norm`` its batch norm, ``body1.conv3.act`` its activation.
* Batch norm stays explicit: runtimes fold it into the convolution when they load the model,
  and training can go on from the file. So the parameters are exactly the initializers less
  the running statistics (``.mean``, ``.variance``), and equal ``Network.params``. Limits,
  paddings and constant zeros are ``Constant`` nodes, never initializers.
* Layers without effect on the output are written too, as ``Network.params`` and
  ``Network.macs`` count them; runtimes drop them. (Pass ``network.used()`` to leave them out.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from flash import __version__
from flash.backends.weights import BATCH_NORM_EPSILON, Weights, kernel_shape
from flash.backends.windows import check_window
from flash.errors import InputError
from flash.spaces.layers import INPUT, ZEROS, Layer, Tensor
from flash.spaces.network import Network

__all__ = ["IR_VERSION", "OPSET", "PRODUCER", "network_model", "output_names"]

OPSET: Final = 17
IR_VERSION: Final = 8
PRODUCER: Final = "flash"
#: What protobuf can hold in one file, less room for the nodes.
_LARGEST_BYTES: Final = 2**31 - 2**24

#: Activation -> operator; relu6 is a Clip, silu a product with Sigmoid.
_ACTIVATIONS: Final = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "hard_sigmoid": "HardSigmoid",
    "hard_swish": "HardSwish",
    "tanh": "Tanh",
}


def network_model(
    network: Network,
    weights: Weights | Mapping[str, onnx.TensorProto | NDArray[np.float32]],
    name: str = "network",
) -> onnx.ModelProto:
    """The network with these weights (see ``random_weights``) as a checked model.

    A weight may also be a ``TensorProto``, which says where its numbers are.

    One input ``input`` and one output ``output``, float32, batch 1; several outputs are
    ``output0``, ``output1`` and so on (``output_names``). Raises ``InputError`` for a weight that
    is missing or misshapen and for a layer ONNX nodes are not known for.
    """
    if 4 * network.params > _LARGEST_BYTES:
        raise InputError(
            f"{name}: {network.params:,} parameters exceed the 2 GB an ONNX file can hold"
        )
    model = _Writer(network, weights).model(name)
    if any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer):
        onnx.checker.check_model(_with_inputs(model), full_check=True)
        return model
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def output_names(network: Network) -> tuple[str, ...]:
    """What the model calls the network's outputs, in order."""
    count = len(network.outputs)
    return ("output",) if count == 1 else tuple(f"output{n}" for n in range(count))


def _with_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that reads outside weights as inputs: what can be checked without their file."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    kept = [t for t in graph.initializer if t.data_location != TensorProto.EXTERNAL]
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return copy


class _Writer:
    """Nodes and initializers as they come; ``_values`` names each layer's result."""

    def __init__(self, network: Network, weights: Mapping[str, Any]) -> None:
        self._network = network
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._values: list[str] = []
        # Results of linear layers have no height and width.
        self._flat: set[str] = set()
        self._zeros: dict[tuple[int, ...], str] = {}

    def model(self, name: str) -> onnx.ModelProto:
        for layer in self._network.layers:
            self._values.append("" if layer.op == "output" else self._layer(layer))
        outputs = []
        for tensor, own in zip(self._network.outputs, output_names(self._network), strict=True):
            last, shape = self._value(tensor), _shape(tensor)
            self._node("Identity", [last], own)
            outputs.append(_float(own, shape[:2] if last in self._flat else shape))
        graph = helper.make_graph(
            self._nodes,
            name,
            [_float("input", _shape(self._network.source))],
            outputs,
            self._initializers,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
            producer_version=__version__,
        )

    # ----------------------------------------------------------------------------- layers
    def _layer(self, layer: Layer) -> str:
        check_window(layer)
        write = getattr(self, f"_{layer.op}", None)
        if write is None:
            raise InputError(f"layer {layer.name}: '{layer.op}' cannot be written as ONNX")
        value: str = write(layer)
        if layer.norm and layer.op != "norm":
            value = self._batch_norm(layer, value, f"{layer.name}.norm")
        if layer.act and layer.op != "act":
            value = self._activation(layer, value, f"{layer.name}.act")
        return value

    def _conv(self, layer: Layer) -> str:
        inputs = [self._map(layer), self._weight(layer, "weight", kernel_shape(layer))]
        if layer.bias:
            inputs.append(self._weight(layer, "bias", (int(layer.out_channels),)))
        return self._node("Conv", inputs, layer.name, group=int(layer.groups), **_window(layer))

    def _linear(self, layer: Layer) -> str:
        value = self._value(layer.inputs[0])
        if value not in self._flat:
            value = self._node("Flatten", [value], f"{layer.name}.flat", axis=1)
        inputs = [value, self._weight(layer, "weight", kernel_shape(layer))]
        if layer.bias:
            inputs.append(self._weight(layer, "bias", (int(layer.out_channels),)))
        result = self._node("Gemm", inputs, layer.name, transB=1)
        self._flat.add(result)
        return result

    def _max_pool(self, layer: Layer) -> str:
        return self._node("MaxPool", [self._map(layer)], layer.name, **_window(layer))

    def _avg_pool(self, layer: Layer) -> str:
        return self._node(
            "AveragePool", [self._map(layer)], layer.name, count_include_pad=0, **_window(layer)
        )

    def _global_pool(self, layer: Layer) -> str:
        return self._node("GlobalAveragePool", [self._map(layer)], layer.name)

    def _norm(self, layer: Layer) -> str:
        return self._batch_norm(layer, self._map(layer), layer.name)

    def _act(self, layer: Layer) -> str:
        return self._activation(layer, self._value(layer.inputs[0]), layer.name)

    def _slice(self, layer: Layer) -> str:
        ends = ((0, "from"), (int(layer.out_channels), "to"), (1, "axis"))
        limits = [
            self._constant(np.array([v], dtype=np.int64), f"{layer.name}.{end}") for v, end in ends
        ]
        return self._node("Slice", [self._map(layer), *limits], layer.name)

    def _pad(self, layer: Layer) -> str:
        pads = np.zeros(8, dtype=np.int64)
        pads[5] = int(layer.out_channels) - int(layer.in_channels)
        amounts = self._constant(pads, f"{layer.name}.pads")
        return self._node("Pad", [self._map(layer), amounts], layer.name, mode="constant")

    def _conv_transpose(self, layer: Layer) -> str:
        inputs = [self._map(layer), self._weight(layer, "weight", kernel_shape(layer))]
        inputs.append(self._weight(layer, "bias", (int(layer.out_channels),)))
        side = [int(layer.kernel_height)] * 2
        return self._node("ConvTranspose", inputs, layer.name, kernel_shape=side, strides=side)

    def _resize(self, layer: Layer) -> str:
        factor = int(layer.out_height) // int(layer.in_height)
        scales = np.array([1.0, 1.0, factor, factor], dtype=np.float32)
        return self._node(
            "Resize",
            [self._map(layer), "", self._constant(scales, f"{layer.name}.scales")],
            layer.name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def _add(self, layer: Layer) -> str:
        """A sum of n tensors as n - 1 binary ones; the last carries the layer's name."""
        first, *others = self._present(layer)
        value = self._value(first)
        for number, x in enumerate(others, start=1):
            suffix = "" if number == len(others) else f".{number}"
            value = self._node("Add", [value, self._value(x)], f"{layer.name}{suffix}")
        return value

    def _mul(self, layer: Layer) -> str:
        return self._node("Mul", [self._value(x) for x in layer.inputs], layer.name)

    def _concat(self, layer: Layer) -> str:
        values = [self._value(x) for x in self._present(layer)]
        return self._node("Concat", values, layer.name, axis=1)

    def _batch_norm(self, layer: Layer, value: str, name: str) -> str:
        shape = (int(layer.out_channels),)
        parts = [self._weight(layer, p, shape) for p in ("scale", "shift", "mean", "variance")]
        return self._node("BatchNormalization", [value, *parts], name, epsilon=BATCH_NORM_EPSILON)

    def _activation(self, layer: Layer, value: str, name: str) -> str:
        attributes: dict[str, Any] = {}
        if layer.act == "relu6":
            bounds = [
                self._constant(np.array(v, dtype=np.float32), f"{name}.{end}")
                for v, end in ((0.0, "low"), (6.0, "high"))
            ]
            result = self._node("Clip", [value, *bounds], name)
        elif layer.act == "silu":
            gate = self._node("Sigmoid", [value], f"{name}.gate")
            result = self._node("Mul", [value, gate], name)
        elif layer.act in _ACTIVATIONS:
            if layer.act == "hard_sigmoid":
                # relu6(x + 3) / 6, as MobileNet v3 has it; ONNX's default slope is another.
                attributes = {"alpha": 1 / 6, "beta": 0.5}
            result = self._node(_ACTIVATIONS[layer.act], [value], name, **attributes)
        else:
            raise InputError(f"layer {layer.name}: activation '{layer.act}' cannot be written")
        if value in self._flat:
            self._flat.add(result)
        return result

    # ---------------------------------------------------------------------------- tensors
    @staticmethod
    def _present(layer: Layer) -> Sequence[Tensor]:
        return [x for x in layer.inputs if x.present]

    def _value(self, x: Tensor) -> str:
        producer = int(x.producer)
        if producer == INPUT:
            return "input"
        if producer != ZEROS:
            return self._values[producer]
        shape = _shape(x)
        if shape not in self._zeros:
            name = "zeros." + "x".join(map(str, shape))
            size = self._constant(np.array(shape, dtype=np.int64), f"{name}.shape")
            self._zeros[shape] = self._node("ConstantOfShape", [size], name)
        return self._zeros[shape]

    def _map(self, layer: Layer) -> str:
        """The layer's only input as a map of height and width."""
        x = layer.inputs[0]
        value = self._value(x)
        if value not in self._flat:
            return value
        shape = self._constant(np.array(_shape(x), dtype=np.int64), f"{layer.name}.map.shape")
        return self._node("Reshape", [value, shape], f"{layer.name}.map")

    def _weight(self, layer: Layer, part: str, shape: tuple[int, ...]) -> str:
        name = f"{layer.name}.{part}"
        array = self._weights.get(name)
        if array is None:
            raise InputError(f"the weights lack {name}, an array of shape {shape}")
        if isinstance(array, TensorProto):
            self._initializers.append(array)
            return name
        if array.shape != shape:
            raise InputError(f"the weights' {name} has shape {array.shape}; expected {shape}")
        self._initializers.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def _constant(self, array: NDArray[Any], name: str) -> str:
        return self._node("Constant", [], name, value=numpy_helper.from_array(array, name))

    def _node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name


def _window(layer: Layer) -> dict[str, Any]:
    height, width = int(layer.pad_height), int(layer.pad_width)
    dilation = int(layer.dilation)
    return {
        **({"dilations": [dilation] * 2} if dilation > 1 else {}),
        "kernel_shape": [int(layer.kernel_height), int(layer.kernel_width)],
        "strides": [int(layer.stride)] * 2,
        "pads": [height, width, height, width],
    }


def _shape(x: Tensor) -> tuple[int, ...]:
    return 1, int(x.channels), int(x.height), int(x.width)


def _float(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
