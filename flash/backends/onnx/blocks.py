"""Chains of the blocks that transformers, detectors and sequence models are made of, as ONNX.

What ``flash.measurements.workloads`` has as text is written here node by node, the way exporters
write it, and read back by the reader that reads anyone's file: what is measured is counted as what
is priced. A chain works on maps (1 x channels x height x width), on rows (1 x length x features)
or on sequences (1 x channels x length); a step that needs another form changes it, as
networks do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from flash import __version__
from flash.backends.onnx.reader import network_of
from flash.backends.onnx.writer import IR_VERSION, OPSET, PRODUCER
from flash.errors import UsageError
from flash.spaces.network import Network

__all__ = ["BlockStep", "WeightOf", "block_model", "block_network"]

#: Name, shape and inputs of an output element -> the tensor, wherever its numbers are.
WeightOf = Callable[[str, tuple[int, ...], int], TensorProto]
#: A step's name and numbers, ``times`` in a row.
BlockStep = tuple[str, Mapping[str, int], int]

_ACTIVATIONS: Final = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hswish": "HardSwish",
    "elu": "Elu",
    "exp": "Exp",
}


def block_model(size: Sequence[int], steps: Sequence[BlockStep], weight: WeightOf) -> Any:
    """The chain as a checked model of one input ``input`` and one output ``output``, batch 1.

    size: channels, height and width of a map, or features and length of rows. Raises
    ``UsageError`` for a step that does not fit what comes before it.
    """
    chain = _Chain(tuple(size), weight)
    for name, numbers, times in steps:
        for _ in range(times):
            _STEPS[name](chain, numbers)
    return chain.model()


def block_network(size: Sequence[int], steps: Sequence[BlockStep]) -> Network:
    """The chain as the reader of files reads it; its weights are shapes only."""

    def nowhere(name: str, shape: tuple[int, ...], _: int) -> TensorProto:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="nowhere")
        return tensor

    return network_of(block_model(size, steps, nowhere), "the chain")


class _Chain:
    """What was written so far: the nodes, and the form and sizes of the last result."""

    def __init__(self, size: tuple[int, ...], weight: WeightOf) -> None:
        self.form = "map" if len(size) == 3 else "rows"
        self.channels, self.sides = size[0], size[1:]
        self.value = "input"
        self._weight = weight
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._source = helper.make_tensor_value_info("input", TensorProto.FLOAT, self.shape)
        self._count = 0

    @property
    def shape(self) -> tuple[int, ...]:
        if self.form == "rows":
            return (1, *self.sides, self.channels)
        return (1, self.channels, *self.sides)

    @property
    def positions(self) -> int:
        return math.prod(self.sides)

    def model(self) -> onnx.ModelProto:
        self.node("Identity", [self.value], name="output")
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, self.shape)
        graph = helper.make_graph(
            self._nodes, "workload", [self._source], [result], self._initializers
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            # Not the producer whose node names say which layer they belong to.
            producer_name=f"{PRODUCER}-blocks",
            producer_version=__version__,
        )

    # ---------------------------------------------------------------------------- writing
    def node(self, op: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        self._count += 1
        name = name or f"{op.lower()}{self._count}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def nodes(self, op: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Of several results."""
        self._count += 1
        names = [f"{op.lower()}{self._count}.{k}" for k in range(count)]
        self._nodes.append(helper.make_node(op, list(inputs), names, names[0], **attributes))
        return names

    def then(self, op: str, *others: str, **attributes: Any) -> None:
        self.value = self.node(op, [self.value, *others], **attributes)

    def weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        tensor = self._weight(f"weight{len(self._initializers)}", shape, fan_in)
        self._initializers.append(tensor)
        return tensor.name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        array: NDArray[Any] = np.array(values, dtype=dtype)
        name = f"constant{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def filled(self, count: int, value: float) -> str:
        return self.constant(np.full(count, value))

    def sizes(self, *values: int) -> str:
        return self.constant(values, "int64")

    # ------------------------------------------------------------------------------ forms
    def become(self, form: str) -> None:
        """Change the form; a map of H x W positions is H W rows. What is no map stays none."""
        if form == self.form:
            return
        if form == "map":
            raise UsageError("a step on maps after one on rows or sequences")
        if self.form == "map":
            self.then("Reshape", self.sizes(1, self.channels, self.positions))
            self.sides, self.form = (self.positions,), "seq"
        if self.form != form:
            self.then("Transpose", perm=[0, 2, 1])
            self.form = form


Numbers = Mapping[str, int]


def _convolution(c: _Chain, n: Numbers, channels: int, groups: int, axes: int) -> None:
    kernel, stride = n["k"], n.get("s", 1)
    if c.channels % groups or channels % groups:
        raise UsageError(f"{groups} groups do not divide {c.channels} and {channels} channels")
    fan_in = c.channels // groups * kernel**axes
    weight = c.weight((channels, c.channels // groups, *[kernel] * axes), fan_in)
    pad = (kernel - 1) // 2
    c.then(
        "Conv",
        weight,
        c.filled(channels, 0.0),
        kernel_shape=[kernel] * axes,
        strides=[stride] * axes,
        pads=[pad] * (2 * axes),
        group=groups,
    )
    c.channels = channels
    c.sides = tuple((side + 2 * pad - kernel) // stride + 1 for side in c.sides)
    if min(c.sides) < 1:
        raise UsageError("nothing is left of the map")


def _conv(c: _Chain, n: Numbers) -> None:
    c.become("map")
    _convolution(c, n, n[""], n["g"], 2)
    c.then("Relu")


def _plain(c: _Chain, n: Numbers) -> None:
    """A convolution that a step of its own activates."""
    c.become("map")
    _convolution(c, n, n[""], n["g"], 2)


def _depthwise(c: _Chain, n: Numbers) -> None:
    c.become("map")
    _convolution(c, n, c.channels, c.channels, 2)


def _sequence(c: _Chain, n: Numbers) -> None:
    c.become("seq")
    _convolution(c, n, n[""], n["g"], 1)
    c.then("Relu")


def _transposed(c: _Chain, n: Numbers) -> None:
    c.become("map")
    weight = c.weight((c.channels, n[""], n["k"], n["k"]), c.channels)
    c.then("ConvTranspose", weight, kernel_shape=[n["k"]] * 2, strides=[n["k"]] * 2)
    c.channels, c.sides = n[""], tuple(side * n["k"] for side in c.sides)


def _activation(op: str) -> Callable[[_Chain, Numbers], None]:
    def write(c: _Chain, _: Numbers) -> None:
        c.then(op)

    return write


def _silu(c: _Chain, _: Numbers) -> None:
    gate = c.node("Sigmoid", [c.value])
    c.then("Mul", gate)


def _gelu(c: _Chain, _: Numbers) -> None:
    x = c.value
    c.then("Div", c.constant(math.sqrt(2.0)))
    c.then("Erf")
    c.then("Add", c.constant(1.0))
    c.value = c.node("Mul", [x, c.value])
    c.then("Mul", c.constant(0.5))


def _softmax(c: _Chain, _: Numbers) -> None:
    c.then("Softmax", axis=-1)


def _layer_norm(c: _Chain, _: Numbers) -> None:
    c.become("rows")
    scale, shift = c.filled(c.channels, 1.0), c.filled(c.channels, 0.0)
    c.then("LayerNormalization", scale, shift, axis=-1)


def _rows(c: _Chain, n: Numbers) -> None:
    c.become("rows")
    c.then("MatMul", c.weight((c.channels, n[""]), c.channels))
    c.then("Add", c.filled(n[""], 0.0))
    c.channels = n[""]


def _attention(c: _Chain, n: Numbers) -> None:
    """Self-attention of hH heads with its projections; then the sum with its input."""
    c.become("rows")
    heads, width, length = n["h"], c.channels, c.positions
    if width % heads:
        raise UsageError(f"{heads} heads do not divide {width} features")
    before = c.value
    _rows(c, {"": 3 * width})
    c.channels = width
    parts = c.nodes("Split", [c.value, c.sizes(width, width, width)], 3, axis=2)
    sizes = c.sizes(1, length, heads, width // heads)
    q, k, v = (
        c.node("Transpose", [c.node("Reshape", [part, sizes])], perm=order)
        for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = c.node("Mul", [c.node("MatMul", [q, k]), c.constant((width // heads) ** -0.5)])
    mixed = c.node("MatMul", [c.node("Softmax", [scores], axis=-1), v])
    mixed = c.node("Transpose", [mixed], perm=[0, 2, 1, 3])
    c.value = c.node("Reshape", [mixed, c.sizes(1, length, width)])
    _rows(c, {"": width})
    c.value = c.node("Add", [before, c.value])


def _mlp(c: _Chain, n: Numbers) -> None:
    """Norm, rows eE times as wide, GELU and back; then the sum with its input."""
    c.become("rows")
    before, width = c.value, c.channels
    _layer_norm(c, n)
    _rows(c, {"": n["e"] * width})
    _gelu(c, n)
    _rows(c, {"": width})
    c.value = c.node("Add", [before, c.value])


def _mixer(c: _Chain, n: Numbers) -> None:
    """ConvNeXt's block: depthwise, norm and two products over channels, the sum."""
    c.become("map")
    before, (height, width) = c.value, c.sides
    _depthwise(c, n)
    channels = c.channels
    c.then("Transpose", perm=[0, 2, 3, 1])
    scale, shift = c.filled(channels, 1.0), c.filled(channels, 0.0)
    c.then("LayerNormalization", scale, shift, axis=-1)
    for outputs in (n["e"] * channels, channels):
        c.then("MatMul", c.weight((c.channels, outputs), c.channels))
        c.then("Add", c.filled(outputs, 0.0))
        c.channels = outputs
        if outputs != channels:
            _gelu(c, n)
    c.then("Transpose", perm=[0, 3, 1, 2])
    c.value = c.node("Add", [before, c.value])
    c.sides = (height, width)


def _recurrent(op: str, gates: int) -> Callable[[_Chain, Numbers], None]:
    def write(c: _Chain, n: Numbers) -> None:
        c.become("rows")
        hidden, length = n[""], c.positions
        c.then("Transpose", perm=[1, 0, 2])
        weights = [c.weight((1, gates * hidden, inputs), inputs) for inputs in (c.channels, hidden)]
        c.value = c.node(op, [c.value, *weights], hidden_size=hidden)
        c.then("Reshape", c.sizes(length, 1, hidden))
        c.then("Transpose", perm=[1, 0, 2])
        c.channels = hidden

    return write


def _resized(mode: str) -> Callable[[_Chain, Numbers], None]:
    def write(c: _Chain, n: Numbers) -> None:
        c.become("map")
        scales = c.constant([1.0, 1.0, float(n["k"]), float(n["k"])])
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        how = how if mode == "nearest" else {"coordinate_transformation_mode": "half_pixel"}
        c.value = c.node("Resize", [c.value, "", scales], mode=mode, **how)
        c.sides = tuple(side * n["k"] for side in c.sides)

    return write


def _excited(c: _Chain, n: Numbers) -> None:
    """Squeeze and excitation by a ratio of rR."""
    c.become("map")
    before, sides, channels = c.value, c.sides, c.channels
    c.value = c.node("ReduceMean", [c.value], axes=[2, 3], keepdims=1)
    c.sides = (1, 1)
    _convolution(c, {"k": 1}, max(channels // n["r"], 1), 1, 2)
    c.then("Relu")
    _convolution(c, {"k": 1}, channels, 1, 2)
    c.then("Sigmoid")
    c.value = c.node("Mul", [before, c.value])
    c.sides = sides


def _shuffled(c: _Chain, n: Numbers) -> None:
    c.become("map")
    groups, (height, width) = n["g"], c.sides
    if c.channels % groups:
        raise UsageError(f"{groups} groups do not divide {c.channels} channels")
    c.then("Reshape", c.sizes(1, groups, c.channels // groups, height, width))
    c.then("Transpose", perm=[0, 2, 1, 3, 4])
    c.then("Reshape", c.sizes(1, c.channels, height, width))


def _pooled(c: _Chain, n: Numbers) -> None:
    c.become("map")
    c.then("MaxPool", kernel_shape=[n["k"]] * 2, strides=[n["k"]] * 2)
    c.sides = tuple(side // n["k"] for side in c.sides)


def _pyramid(c: _Chain, n: Numbers) -> None:
    """Pools of pools side by side, as detectors have before their neck."""
    c.become("map")
    values, pad = [c.value], (n["k"] - 1) // 2
    for _ in range(3):
        c.then("MaxPool", kernel_shape=[n["k"]] * 2, strides=[1, 1], pads=[pad] * 4)
        values.append(c.value)
    c.value = c.node("Concat", values, axis=1)
    c.channels *= 4


_STEPS: Final[Mapping[str, Callable[[_Chain, Numbers], None]]] = {
    **{name: _activation(op) for name, op in _ACTIVATIONS.items()},
    "silu": _silu,
    "gelu": _gelu,
    "softmax": _softmax,
    "conv": _conv,
    "plain": _plain,
    "dw": _depthwise,
    "conv1": _sequence,
    "deconv": _transposed,
    "ln": _layer_norm,
    "rows": _rows,
    "attn": _attention,
    "mlp": _mlp,
    "next": _mixer,
    "lstm": _recurrent("LSTM", 4),
    "gru": _recurrent("GRU", 3),
    "up": _resized("nearest"),
    "bilinear": _resized("linear"),
    "se": _excited,
    "shuffle": _shuffled,
    "max": _pooled,
    "spp": _pyramid,
}
