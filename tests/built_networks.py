"""Networks for tests of the ranking, each written once and built as a graph or as an ONNX file.

DARTS-type and NAS-Bench-101-type cells, MnasNet with squeeze-and-excite, residual and plain chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx_models import model, node

from flash.spaces.network import GraphEmitter

__all__ = ["Files", "Graphs", "bench101", "chain", "darts", "mnasnet"]


class Graphs(GraphEmitter):
    """Builds a ``Network``: norm and activation within the convolution."""

    def start(self, side: int) -> Any:
        self.first = self.source(3, side, side)
        return self.first

    def block(self, x, channels, kernel=3, stride=1, groups=1, act=True):
        return self.conv(x, channels, kernel, stride, groups, act="relu" if act else "")

    def relu(self, x):
        return self.activation(x)

    def total(self, xs):
        return self.add(xs)

    def side_by_side(self, xs):
        return self.concat(xs)

    def pool(self, x, stride=1, kind="max"):
        return (self.max_pool if kind == "max" else self.avg_pool)(x, 3, stride)

    def gate(self, x, hidden):
        g = self.conv(self.global_pool(x), hidden, 1, norm=False, bias=True)
        g = self.conv(g, int(x.channels), 1, norm=False, bias=True, act="sigmoid")
        layer = self._pointwise("mul", (x, g), x.channels, x.channels, operands=2)
        return self._record(layer)

    def finish(self, x):
        return self.network(self.first, self.linear(self.global_pool(x), 10))


class _Tensor:
    def __init__(self, name, channels, side):
        self.name, self.channels, self.side = name, channels, side


class Files:
    """Builds an ONNX model in which everything is a node of its own.

    pieces: sums are binary, gates are matrix products, means are ReduceMean, identities abound.
    """

    def __init__(self, pieces: bool = False) -> None:
        self.pieces, self.nodes, self.weights, self.count = pieces, [], {}, 0

    def _new(self, op, inputs, channels, side, **attributes):
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(node(op, list(inputs), [name], name=f"n{self.count}", **attributes))
        return _Tensor(name, channels, side)

    def _weight(self, *shape):
        self.count += 1
        name = f"w{self.count}"
        self.weights[name] = np.ones(shape, dtype=np.float32)
        return name

    def _constant(self, values):
        self.count += 1
        self.weights[f"c{self.count}"] = np.array(values, dtype=np.int64)
        return f"c{self.count}"

    def start(self, side):
        self.side = side
        return _Tensor("x", 3, side)

    def block(self, x, channels, kernel=3, stride=1, groups=1, act=True):
        weight = self._weight(channels, x.channels // groups, kernel, kernel)
        side = (x.side + 2 * (kernel // 2) - kernel) // stride + 1
        y = self._new("Conv", [x.name, weight], channels, side, kernel_shape=[kernel, kernel],
                      strides=[stride, stride], pads=[kernel // 2] * 4, group=groups)  # fmt: skip
        norm = [self._weight(channels) for _ in range(4)]
        y = self._new("BatchNormalization", [y.name, *norm], channels, side)
        if self.pieces:
            y = self._new("Identity", [y.name], channels, side)
        return self.relu(y) if act else y

    def relu(self, x):
        return self._new("Relu", [x.name], x.channels, x.side)

    def total(self, xs):
        if not self.pieces:
            return self._new("Sum", [x.name for x in xs], xs[0].channels, xs[0].side)
        y = xs[-1]
        for x in reversed(xs[:-1]):
            y = self._new("Add", [y.name, x.name], x.channels, x.side)
        return y

    def add(self, xs):
        return self.total(xs)

    def side_by_side(self, xs):
        channels = sum(x.channels for x in xs)
        return self._new("Concat", [x.name for x in xs], channels, xs[0].side, axis=1)

    def pool(self, x, stride=1, kind="max"):
        op = "MaxPool" if kind == "max" else "AveragePool"
        side = (x.side + 2 - 3) // stride + 1
        return self._new(op, [x.name], x.channels, side, kernel_shape=[3, 3],
                         strides=[stride, stride], pads=[1] * 4)  # fmt: skip

    def _mean(self, x):
        if self.pieces:
            return self._new("ReduceMean", [x.name], x.channels, 1, axes=[2, 3], keepdims=1)
        return self._new("GlobalAveragePool", [x.name], x.channels, 1)

    def gate(self, x, hidden):
        g = self._mean(x)
        if self.pieces:
            g = self._new("Flatten", [g.name], x.channels, 1)
            g = self._new("Gemm", [g.name, self._weight(x.channels, hidden)], hidden, 1)
            g = self._new("Relu", [g.name], hidden, 1)
            g = self._new("Gemm", [g.name, self._weight(hidden, x.channels)], x.channels, 1)
            shape = self._constant([1, x.channels, 1, 1])
            g = self._new("Reshape", [g.name, shape], x.channels, 1)
        else:
            for channels, act in ((hidden, "Relu"), (x.channels, "")):
                weight = self._weight(channels, g.channels, 1, 1)
                g = self._new("Conv", [g.name, weight, self._weight(channels)], channels, 1)
                g = self._new(act, [g.name], channels, 1) if act else g
        g = self._new("Sigmoid", [g.name], x.channels, 1)
        return self._new("Mul", [x.name, g.name], x.channels, x.side)

    def finish(self, x):
        from flash.backends import network_of

        x = self._new("Flatten", [self._mean(x).name], x.channels, 1)
        x = self._new("Gemm", [x.name, self._weight(x.channels, 10)], 10, 1)
        made = model(self.nodes, {"x": (1, 3, self.side, self.side)}, self.weights, (x.name,))
        return network_of(made, "test")


# ------------------------------------------------------------------------------------- networks


def darts(b, *, cells=8, channels=16, op="sep", skips=True):
    """Cells of four nodes that read two maps each and are laid side by side."""
    before = x = b.block(b.start(32), 3 * channels, act=False)
    for i in range(cells):
        reduce = i in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduce else 1
        stride = before.side // x.side if hasattr(before, "side") else before.height // x.height
        first = b.block(b.relu(before), channels, 1, stride, act=False)
        before, states = x, [first, b.block(b.relu(x), channels, 1, act=False)]
        for node_ in range(4):
            edges = [_edge(b, states[k], op, 2 if reduce and k < 2 else 1, channels)
                     for k in (0, 1 if node_ == 0 else node_ + 1)]  # fmt: skip
            if skips and not reduce and node_ == 3:
                edges[0] = states[0]
            states.append(b.total(edges))
        x = b.side_by_side(states[2:])
    return b.finish(x)


def _edge(b, x, op, stride, channels):
    if op in ("max", "avg"):
        return b.pool(x, stride, op)
    if op == "skip" and stride == 1:
        return x
    for step in (stride, 1):
        x = b.block(b.relu(x), channels, 3 if op != "skip" else 1, step, channels, act=False)
        x = b.block(x, channels, 1, act=False)
    return x


def bench101(b, *, ops=("conv3", "conv3", "conv3"), edges=None, channels=32, cells=3):
    """Cells of labelled vertices in three stacks, halved by pooling between."""
    inner = len(ops)
    edges = edges or {(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)}
    x = b.block(b.start(32), channels)
    for stack in range(3):
        if stack:
            x = b.pool(x, 2)
            channels *= 2
        for _ in range(cells):
            at = {0: x}
            for v in range(1, inner + 1):
                into = [
                    b.block(x, channels, 1) if a == 0 else at[a] for a, e in sorted(edges) if e == v
                ]
                y = b.total(into) if len(into) > 1 else into[0]
                op = ops[v - 1]
                at[v] = (
                    b.pool(y) if op == "pool" else b.block(y, channels, 3 if op == "conv3" else 1)
                )
            last = [at[a] for a, e in sorted(edges) if e == inner + 1 and a]
            y = b.side_by_side(last) if len(last) > 1 else last[0]
            if len(last) > 1:
                y = b.block(y, channels, 1)
            x = b.total([y, b.block(x, channels, 1)]) if (0, inner + 1) in edges else y
    return b.finish(x)


def mnasnet(b, *, width=1.0, depth=1, gates=True, side=64, residual=True, kernel=3):
    """Inverted residuals in five stages, every second one with squeeze-and-excite."""
    x = b.block(b.start(side), int(32 * width), 3, 2)
    for stage, (expand, base, blocks, stride) in enumerate(
        ((1, 16, 1, 1), (6, 24, 2, 2), (3, 40, 3, 2), (6, 80, 3, 2), (6, 160, 2, 2))
    ):
        channels = 8 * round(base * width / 8)
        for i in range(blocks * depth):
            hidden = expand * int(x.channels)
            y = b.block(x, hidden, 1) if expand > 1 else x
            y = b.block(y, hidden, kernel, stride if i == 0 else 1, hidden)
            if gates and stage % 2 == 0:
                y = b.gate(y, max(4, hidden // 4))
            y = b.block(y, channels, 1, act=False)
            same = residual and i > 0
            x = b.total([y, x]) if same else y
    return b.finish(b.block(x, int(1280 * width), 1))


def chain(b, *, blocks=3, channels=16, shortcuts=True, pre=False):
    """Residual networks of three stages and the same without shortcuts."""
    x = b.block(b.start(32), channels, act=not pre)
    for stage in range(3):
        for i in range(blocks):
            stride, width = 2 if stage and i == 0 else 1, channels << stage
            y = b.block(b.relu(x) if pre else x, width, 3, stride)
            y = b.block(y, width, act=False)
            if shortcuts:
                if stride > 1:
                    x = b.block(x, width, 1, stride, act=False)
                y = b.total([y, x])
            x = y if pre else b.relu(y)
    return b.finish(x)
