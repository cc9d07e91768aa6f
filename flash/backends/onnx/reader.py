"""Anyone's ONNX model as a ``Network``: what its layers cost, not what they compute.

Batch norm, bias and activation behind a convolution or fully connected layer become part of
it where nothing else reads what is between, and an activation behind a sum part of the sum, as
runtimes fuse them. ``x * sigmoid(x)`` is one activation. Reshapes, identities and dropout are
nothing; transposes and other moves of data are elementwise copies (``copy``).

In a file that flash wrote, node names say which layer a node belongs to, and only those fuse:
the network read is the one written. A quantized model (QDQ form) is read as the network it
quantizes. Not kept: stages, cells and skip channels, so NN-Degree
and NN-Mass of a network read from a file are not known. A dilated window counts as the plain
one of as many weights; one-sided padding is recorded by its larger side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx

from flash.backends.onnx.file import load_graph, prepare_graph
from flash.backends.onnx.operators import (
    ACTIVATIONS,
    BINARY,
    GATED,
    VIEWS,
    node_attributes,
)
from flash.backends.onnx.walk import GraphWalk
from flash.spaces.network import Network

__all__ = ["network_of", "read_onnx"]

#: Layers that take a bias, a batch norm or an activation into themselves.
_TAKES_ACTIVATION: Final = ("conv", "linear", "norm", "add")


def read_onnx(path: str | Path, input_shape: Sequence[int] | None = None) -> Network:
    """The network in an ONNX file, for one image.

    input_shape: sizes for dynamic axes, e.g. ``(1, 3, 224, 224)``; a dynamic batch axis
                 alone needs none.

    Raises ``InputError`` (one line, beginning with the path) for a file that is no ONNX model,
    and for operators whose cost is not known; ``UsageError`` for a shape that contradicts it.
    """
    return _Reader(load_graph(path, input_shape), str(path)).network()


def network_of(
    model: onnx.ModelProto, name: str = "model", input_shape: Sequence[int] | None = None
) -> Network:
    """The network in a model already loaded; ``name`` begins messages. As ``read_onnx``."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return _Reader(prepare_graph(copy, name, input_shape), name).network()


class _Reader(GraphWalk):
    """What each operator is to a network's cost."""

    def _handlers(self) -> dict[str, Callable[[onnx.NodeProto], None]]:
        return {
            "Conv": self._conv,
            "Gemm": self._linear,
            "MatMul": self._linear,
            "BatchNormalization": self._batch_norm,
            "MaxPool": self._pool,
            "AveragePool": self._pool,
            "GlobalAveragePool": self._global_pool,
            "GlobalMaxPool": self._global_pool,
            "ReduceMean": self._global_pool,
            "Concat": self._concat,
            "Pad": self._pad,
            "Slice": self._slice,
            "Split": self._split,
            "Transpose": self._copy,
            **dict.fromkeys(ACTIVATIONS, self._activation),
            **dict.fromkeys(VIEWS, self._view),
            **dict.fromkeys(BINARY, self._binary),
        }

    # ------------------------------------------------------------------- layers with a window
    def _conv(self, node: onnx.NodeProto) -> None:
        shape = self._weight_shape(node, 4)
        groups = node_attributes(node).get("group", 1)
        if shape[1] * groups != self._tensor(node.input[0]).channels or shape[0] % groups:
            raise self._refusal(node, "its weights do not fit its input")
        self._record(
            "conv", node, [node.input[0]],
            out_channels=shape[0], groups=groups,
            bias=len(node.input) > 2 and bool(node.input[2]),
            **self._window(node, shape[2:]),
        )  # fmt: skip

    def _pool(self, node: onnx.NodeProto) -> None:
        op = "max_pool" if node.op_type == "MaxPool" else "avg_pool"
        kernel = node_attributes(node)["kernel_shape"]
        if len(kernel) != 2:
            raise self._refusal(node, "only windows of height x width are costed")
        self._record(op, node, [node.input[0]], **self._window(node, kernel))

    def _window(self, node: onnx.NodeProto, kernel: Sequence[int]) -> dict[str, Any]:
        attributes = node_attributes(node)
        strides = attributes.get("strides", [1, 1])
        dilations = attributes.get("dilations", [1, 1])
        pads = attributes.get("pads", [0, 0, 0, 0])
        if attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
            x = self._tensor(node.input[0])
            needed = [
                max((-(-int(size) // s) - 1) * s + (k - 1) * d + 1 - int(size), 0)
                for size, k, s, d in zip(
                    (x.height, x.width), kernel, strides, dilations, strict=True
                )
            ]
            pads = [(n + 1) // 2 for n in needed] * 2
        return {
            "kernel_height": kernel[0],
            "kernel_width": kernel[1],
            "stride": max(strides),
            "pad_height": max(pads[0], pads[2]),
            "pad_width": max(pads[1], pads[3]),
        }

    def _global_pool(self, node: onnx.NodeProto) -> None:
        x = self._tensor(node.input[0])
        if node.op_type == "ReduceMean":
            axes = node_attributes(node).get("axes")
            if axes is None and self._known(node, 1) is not None:
                axes = np.asarray(self._known(node, 1)).tolist()
            rank = len(self._graph.shapes[node.input[0]])
            if rank != 4 or {a % rank for a in axes or range(rank)} != {2, 3}:
                raise self._refusal(node, "only a mean over height and width is costed")
        if node.op_type == "GlobalMaxPool":
            window: dict[str, Any] = {"kernel_height": x.height, "kernel_width": x.width}
            self._record("max_pool", node, [node.input[0]], **window)
        else:
            self._record("global_pool", node, [node.input[0]])

    def _linear(self, node: onnx.NodeProto) -> None:
        attributes = node_attributes(node)
        rows, columns = self._weight_shape(node, 2)
        if attributes.get("transA", 0) or len(self._graph.shapes[node.input[0]]) != 2:
            raise self._refusal(node, "only a constant matrix times one vector is costed")
        features, outputs = (columns, rows) if attributes.get("transB", 0) else (rows, columns)
        if features != self._graph.shapes[node.input[0]][1]:
            raise self._refusal(node, "its weights do not fit its input")
        self._record(
            "linear", node, [node.input[0]],
            in_channels=features, out_channels=outputs, in_height=1, in_width=1,
            bias=len(node.input) > 2 and bool(node.input[2]),
        )  # fmt: skip

    def _weight_shape(self, node: onnx.NodeProto, rank: int) -> tuple[int, ...]:
        name = node.input[1]
        shape = self._graph.shapes[name]
        if name not in self._constants or len(shape) != rank:
            what = "out x in x height x width" if rank == 4 else "in x out"
            raise self._refusal(node, f"only constant weights of {what} are costed")
        return shape

    # ----------------------------------------------------------- what follows, and is fused
    def _batch_norm(self, node: onnx.NodeProto) -> None:
        before = self._absorber(node.input[0], node, ("conv",), "norm")
        if before is not None and not self._layers[before].norm:
            self._absorb(before, node, norm=True)
        else:
            self._record("norm", node, [node.input[0]], norm=True)

    def _activation(self, node: onnx.NodeProto) -> None:
        act = self._kind_of_clip(node) if node.op_type == "Clip" else ACTIVATIONS[node.op_type]
        before = self._absorber(node.input[0], node, _TAKES_ACTIVATION, "act")
        if before is not None:
            self._absorb(before, node, act=act)
        else:
            self._record("act", node, [node.input[0]], act=act)
            self._gates[node.output[0]] = node.input[0]

    def _kind_of_clip(self, node: onnx.NodeProto) -> str:
        attributes = node_attributes(node)
        bounds = [attributes.get("min"), attributes.get("max")]
        for position in (1, 2):
            value = self._known(node, position)
            if value is not None:
                bounds[position - 1] = float(value)
        if bounds[0] == 0 and (bounds[1] is None or bounds[1] > 1e30):
            return "relu"
        return "relu6" if bounds == [0, 6] else "clip"

    # -------------------------------------------------------------------------- elementwise
    def _binary(self, node: onnx.NodeProto) -> None:
        names = [name for name in node.input if name]
        variable = [name for name in names if name not in self._constants]
        if len(variable) == 1:
            self._with_constant(node, variable[0])
        elif node.op_type in ("Add", "Sub", "Sum"):
            self._add(node, names)
        elif not self._gated(node):
            operands = [self._tensor(name) for name in names]
            out = self._sizes(node.output[0])
            area = out[1] * out[2]
            read = sum(int(x.channels) * int(x.height) * int(x.width) for x in operands)
            self._record("mul", node, names, in_channels=-(-read // area), operands=len(names))

    def _with_constant(self, node: onnx.NodeProto, variable: str) -> None:
        """A bias where one can be; else one pass over the activations."""
        constant = next(name for name in node.input if name != variable)
        before = self._absorber(variable, node, ("conv", "linear"), "bias")
        if node.op_type == "Add" and before is not None:
            layer = self._layers[before]
            if not (layer.bias or layer.norm) and (
                prod(self._graph.shapes[constant]) == layer.out_channels
            ):
                self._absorb(before, node, bias=True)
                return
        self._record("act", node, [variable], act=f"{node.op_type.lower()}_constant")

    def _add(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        last = self._layers[-1] if self._layers else None
        first = self._tensor(names[0])
        chained = self._graph.own and first.producer == len(self._layers) - 1
        if chained and last is not None and last.name.startswith(f"{node.name}."):
            # The writer's chain of binary sums, one layer again.
            inputs = (*last.inputs, *(self._tensor(name) for name in names[1:]))
            signal = any(x.signal for x in inputs)
            self._layers[-1] = replace(
                last, name=node.name, inputs=inputs, operands=len(inputs), signal=signal
            )
            self._values[node.output[0]] = replace(first, signal=signal)
        else:
            self._record("add", node, names, operands=self._present(names))

    def _gated(self, node: onnx.NodeProto) -> bool:
        """``x * sigmoid(x)`` as one activation; False if ``node`` is no such product."""
        for gate, x in (node.input[:2], node.input[1::-1]):
            number = int(self._tensor(gate).producer)
            if self._gates.get(gate) != x or self._uses[gate] != 1:
                continue
            act = GATED.get(self._layers[number].act)
            if node.op_type != "Mul" or act is None:
                continue
            before = self._absorber(x, node, _TAKES_ACTIVATION, "act", uses=2)
            if before is not None and number == len(self._layers) - 1:
                self._layers.pop()
                self._absorb(before, node, act=act)
            else:
                self._absorb(number, node, act=act)
            return True
        return False

    # -------------------------------------------------------------------- moving data about
    def _view(self, node: onnx.NodeProto) -> None:
        x = self._tensor(node.input[0])
        channels, height, width = self._sizes(node.output[0])
        self._values[node.output[0]] = replace(x, channels=channels, height=height, width=width)
        # Who reads the view reads the original.
        self._uses[node.output[0]] += self._uses[node.input[0]] - 1

    def _concat(self, node: onnx.NodeProto) -> None:
        rank = len(self._graph.shapes[node.output[0]])
        channelwise = node_attributes(node)["axis"] % rank == 1
        names = list(node.input)
        self._record(
            "concat" if channelwise else "copy", node, names, operands=self._present(names)
        )

    def _pad(self, node: onnx.NodeProto) -> None:
        x, out = self._tensor(node.input[0]), self._sizes(node.output[0])
        amounts = self._known(node, 1)
        appended = amounts is not None and not np.delete(amounts.ravel(), 5).any()
        op = "pad" if appended and (x.height, x.width) == out[1:] else "copy"
        self._record(op, node, [node.input[0]], in_channels=x.channels)

    def _slice(self, node: onnx.NodeProto) -> None:
        starts, axes, steps = (self._known(node, position) for position in (1, 3, 4))
        first = starts is not None and axes is not None and not np.any(starts)
        prefix = first and list(np.ravel(np.asarray(axes))) == [1]
        prefix = prefix and (steps is None or list(np.ravel(steps)) == [1])
        self._record("slice" if prefix else "copy", node, [node.input[0]])

    def _split(self, node: onnx.NodeProto) -> None:
        for position, output in enumerate(node.output):
            if self._uses[output]:
                self._record("slice" if not position else "copy", node, [node.input[0]], output)

    def _copy(self, node: onnx.NodeProto) -> None:
        self._record("copy", node, [node.input[0]])
