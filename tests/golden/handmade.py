"""A small ONNX network as other people's exporters write them, without PyTorch.

It has what flash's own files have not: dynamic axes, constants as nodes, a batch norm that
nothing precedes, squeeze and excitation, hard swish as two nodes, a linear layer as MatMul and
Add, a reshape computed from the shape. Weights are ones: only their sizes cost anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

__all__ = ["write_handmade"]


class _Graph:
    """Nodes and weights, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def ones(self, *shape: int) -> str:
        """A weight of ones."""
        return self.weight(np.ones(shape, np.float32))

    def weight(self, values: ArrayLike) -> str:
        """A weight of these values."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def constant(self, values: ArrayLike) -> str:
        """A constant that is a node."""
        return self.node("Constant", value=numpy_helper.from_array(np.asarray(values)))

    def conv(
        self, x: str, out: int, into: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> str:
        """A convolution with bias."""
        return self.node(
            "Conv", x, self.ones(out, into // groups, kernel, kernel), self.ones(out),
            kernel_shape=[kernel, kernel], strides=[stride, stride], group=groups,
            pads=[kernel // 2] * 4,
        )  # fmt: skip

    def norm(self, x: str, channels: int) -> str:
        """A batch norm."""
        return self.node("BatchNormalization", x, *(self.ones(channels) for _ in range(4)))

    def hard_swish(self, x: str) -> str:
        """Hard swish as x times the hard sigmoid of x."""
        return self.node("Mul", x, self.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))

    def squeeze_excite(self, x: str, channels: int) -> str:
        """Channels scaled by a sigmoid of their means."""
        mean = self.node("ReduceMean", x, axes=[2, 3], keepdims=1)
        small = self.node("Relu", self.conv(mean, channels // 4, channels, 1))
        return self.node(
            "Mul", x, self.node("Sigmoid", self.conv(small, channels, channels // 4, 1))
        )


def write_handmade(path: Path) -> None:
    """Write the network; its axes n, h and w are dynamic, 10 classes come out."""
    g = _Graph()
    x = g.norm("image", 3)
    x = g.hard_swish(g.norm(g.conv(x, 16, 3, 3, stride=2), 16))
    y = g.node(
        "Clip",
        g.norm(g.conv(x, 48, 16, 1), 48),
        g.constant(np.float32(0)),
        g.constant(np.float32(6)),
    )
    y = g.node("Relu", g.norm(g.conv(y, 48, 48, 5, groups=48), 48))
    y = g.squeeze_excite(y, 48)
    x = g.node("Add", g.norm(g.conv(y, 16, 48, 1), 16), x)
    pooled = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    strided = g.node("LeakyRelu", g.conv(x, 24, 16, 3, stride=2, groups=8), alpha=0.1)
    x = g.node("Concat", pooled, strided, axis=1)
    x = g.node("Dropout", g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]))
    x = g.node("GlobalAveragePool", g.node("Relu", g.conv(x, 64, 40, 1)))
    batch = g.node("Gather", g.node("Shape", x), g.constant(np.int64(0)), axis=0)
    rows = g.node("Unsqueeze", batch, g.constant(np.array([0])))
    x = g.node("Reshape", x, g.node("Concat", rows, g.constant(np.array([-1])), axis=0))
    x = g.node("Relu", g.node("Gemm", x, g.ones(32, 64), g.ones(32), transB=1))
    x = g.node("Add", g.node("MatMul", x, g.ones(32, 10)), g.ones(10))
    x = g.node("Softmax", x, axis=1)
    graph = helper.make_graph(
        g.nodes,
        "handmade",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 10])],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
