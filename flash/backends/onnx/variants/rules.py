"""What each operator says of the labels of its tensors (``axes``).

A rule reads the labels of a node's inputs, says what is equal or fixed, and returns the labels
of its first output (or writes those of all). Operators without a rule fix all they touch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from flash.backends.onnx.variants.axes import Axes, Labels, attribute
from flash.backends.onnx.variants.reshaping import reshape

__all__ = ["apply_rules", "looks_up_all"]

Rule = Callable[[Axes, onnx.NodeProto], "list[Labels]"]


def apply_rules(axes: Axes) -> None:
    """Label every tensor of the model, node by node."""
    for node in axes.frozen.nodes:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if node.op_type in ("Split", "LSTM", "GRU", "RNN"):
            (_split if node.op_type == "Split" else _recurrent)(axes, node)
            continue
        if rule is None:
            _unknown(axes, node)
            continue
        axes.labels[node.output[0]] = rule(axes, node)
        for name in node.output[1:]:
            if name:
                axes.labels[name] = [axes.fixed(n) for n in axes.shape(name)]
    for name in axes.frozen.outputs:
        axes.fix_all([name], "makes what the model returns")


def _unknown(axes: Axes, node: onnx.NodeProto) -> None:
    axes.fix_all(list(node.input), f"is read by {node.op_type} '{node.name}'")
    for name in node.output:
        if name:
            axes.labels[name] = [axes.fixed(n) for n in axes.shape(name)]


# ------------------------------------------------------------------------------------- windows
def _maps(axes: Axes, node: onnx.NodeProto, channels: Labels) -> list[Labels]:
    """The labels of a map: its channels vary, its positions do not."""
    shape = axes.shape(node.output[0])
    return [axes.fixed(shape[0]), channels, *(axes.fixed(n) for n in shape[2:])]


def _conv(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    read, kernel = axes.of(node.input[0])[1], axes.of(node.input[1])
    groups = attribute(node, "group", 1)
    for window in kernel[2:]:
        axes.tie(window, axes.fixed(1))
    made = kernel[0]
    each = len(made) // groups
    if groups == 1:
        axes.tie(read, kernel[1])
    elif len(read) == groups:
        axes.tie(made.reshape(groups, each), read[:, None])
    else:
        # A whole group goes, with the channels it reads and those it makes.
        axes.tie(kernel[1], axes.fixed(1))
        axes.tie(made.reshape(groups, each), made.reshape(groups, each)[:, :1])
        axes.tie(read.reshape(groups, -1), made.reshape(groups, each)[:, :1])
    if len(node.input) > 2 and node.input[2]:
        axes.tie(axes.of(node.input[2])[0], made)
    return _maps(axes, node, made)


def _conv_transpose(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    read, kernel = axes.of(node.input[0])[1], axes.of(node.input[1])
    groups = attribute(node, "group", 1)
    for window in kernel[2:]:
        axes.tie(window, axes.fixed(1))
    axes.tie(read, kernel[0])
    made = kernel[1]
    if groups > 1:
        axes.fix(read, f"is read by the grouped ConvTranspose '{node.name}'")
        made = axes.fixed(axes.shape(node.output[0])[1])
        axes.tie(kernel[1], axes.fixed(1))
    if len(node.input) > 2 and node.input[2]:
        axes.tie(axes.of(node.input[2])[0], made)
    return _maps(axes, node, made)


def _pool(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    return _maps(axes, node, axes.of(node.input[0])[1])


def _resize(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    before, after = axes.shape(node.input[0]), axes.shape(node.output[0])
    return [
        labels if n == m else axes.fixed(m)
        for labels, n, m in zip(axes.of(node.input[0]), before, after, strict=True)
    ]


def _space_to_channels(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    """SpaceToDepth: a channel becomes ``blocksize**2``, block positions first."""
    block = attribute(node, "blocksize") ** 2
    return _maps(axes, node, np.tile(axes.of(node.input[0])[1], block))


def _channels_to_space(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    block = attribute(node, "blocksize") ** 2
    read = axes.of(node.input[0])[1]
    if attribute(node, "mode", b"DCR") == b"CRD":
        parts = read.reshape(-1, block).T
    else:
        parts = read.reshape(block, -1)
    axes.tie(parts, parts[:1])
    return _maps(axes, node, parts[0])


# ------------------------------------------------------------------------------------ products
def _gemm(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    a, b = axes.of(node.input[0]), axes.of(node.input[1])
    a = a[::-1] if attribute(node, "transA", 0) else a
    b = b[::-1] if attribute(node, "transB", 0) else b
    axes.tie(a[1], b[0])
    result = [a[0], b[1]]
    if len(node.input) > 2 and node.input[2]:
        result = _broadcast(axes, [result, axes.of(node.input[2])])
    return result


def _matmul(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    a, b = axes.of(node.input[0]), axes.of(node.input[1])
    if len(a) < 2 or len(b) < 2:
        axes.fix_all(list(node.input), f"is read by MatMul '{node.name}'")
        return [axes.fixed(n) for n in axes.shape(node.output[0])]
    axes.tie(a[-1], b[-2])
    return [*_broadcast(axes, [a[:-2], b[:-2]]), a[-2], b[-1]]


def _einsum(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    equation = attribute(node, "equation").decode().replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if not arrow or "." in equation:
        axes.fix_all(list(node.input), f"is read by Einsum '{node.name}'")
        return [axes.fixed(n) for n in axes.shape(node.output[0])]
    known: dict[str, Labels] = {}
    for name, term in zip(node.input, terms.split(","), strict=True):
        for letter, labels in zip(term, axes.of(name), strict=True):
            if letter in known:
                axes.tie(known[letter], labels)
            known.setdefault(letter, labels)
    return [known[letter] for letter in result]


# ------------------------------------------------------------------------- element by element
def _broadcast(axes: Axes, operands: list[list[Labels]]) -> list[Labels]:
    """Labels of a result of broadcast operands, whose positions are tied."""
    rank = max(map(len, operands))
    result: list[Labels] = []
    for axis in range(-rank, 0):
        aligned = [x[axis] for x in operands if len(x) >= -axis]
        size = max(map(len, aligned))
        full = [labels for labels in aligned if len(labels) == size]
        for other in full[1:]:
            axes.tie(full[0], other)
        varied = [labels for labels in full if labels.any()]
        result.append(varied[0] if varied and len(varied) == len(full) else full[0])
        if len(varied) not in (0, len(full)):
            result[-1] = axes.fixed(size)
    return result


def _elementwise(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    return _broadcast(axes, [axes.of(name) for name in node.input if name])


def _same(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    return list(axes.of(node.input[0]))


def _channelwise(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    """Batch and instance norms: one number a channel in every further input."""
    x = axes.of(node.input[0])
    for name in node.input[1:]:
        if name:
            axes.tie(axes.of(name)[0], x[1])
    return list(x)


def _layer_norm(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x = axes.of(node.input[0])
    for name in node.input[1:]:
        if name:
            _broadcast(axes, [x, axes.of(name)])
    return list(x)


def _prelu(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    return _broadcast(axes, [axes.of(node.input[0]), axes.of(node.input[1])])


def _group_norm(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    axes.fix(axes.of(node.input[0])[1], f"is normalised in groups by '{node.name}'")
    axes.fix_all(list(node.input[1:]), "is normalised in groups")
    return list(axes.of(node.input[0]))


# ------------------------------------------------------------------------------------- moving
def _reduce(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x = axes.of(node.input[0])
    over = attribute(node, "axes")
    if over is None and len(node.input) > 1 and node.input[1]:
        given = axes.value(node.input[1])
        over = None if given is None else given.ravel().tolist()
    every = list(range(len(x)))
    if over is None:
        over = [] if attribute(node, "noop_with_empty_axes", 0) else every
    gone = {int(axis) % len(x) for axis in over}
    if attribute(node, "keepdims", 1):
        return [axes.fixed(1) if k in gone else x[k] for k in every]
    return [x[k] for k in every if k not in gone]


def _transpose(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x = axes.of(node.input[0])
    order = attribute(node, "perm", list(range(len(x)))[::-1])
    return [x[k] for k in order]


def _concat(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    operands = [axes.of(name) for name in node.input]
    rank = len(operands[0])
    along = attribute(node, "axis") % rank
    result = []
    for axis in range(rank):
        parts = [x[axis] for x in operands]
        if axis == along:
            result.append(np.concatenate(parts))
        else:
            result.extend(_broadcast(axes, [[part] for part in parts]))
    return result


def _split(axes: Axes, node: onnx.NodeProto) -> None:
    x = axes.of(node.input[0])
    along = attribute(node, "axis", 0) % len(x)
    start = 0
    for name in node.output:
        size = axes.shape(name)[along]
        axes.labels[name] = [
            labels[start : start + size] if k == along else labels for k, labels in enumerate(x)
        ]
        start += size


def _slice(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x = list(axes.of(node.input[0]))
    starts, ends = axes.value(node.input[1]), axes.value(node.input[2])
    names = [*node.input, "", ""]
    over, steps = axes.value(names[3]), axes.value(names[4])
    if starts is None or ends is None or (over is None and names[3]):
        axes.fix_all([node.input[0]], f"is cut by Slice '{node.name}'")
        return [axes.fixed(n) for n in axes.shape(node.output[0])]
    where = range(len(starts)) if over is None else over.tolist()
    by = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(where, starts.tolist(), ends.tolist(), by, strict=True):
        labels = x[axis]
        stop = None if step < 0 and end < -len(labels) else end
        cut = labels[start:stop:step]
        if step != 1 and len(cut) < len(labels):
            axes.fix(labels, f"is cut in steps by Slice '{node.name}'")
            cut = axes.fixed(len(cut))
        x[axis] = cut
    return x


def _gather(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x, index = axes.of(node.input[0]), axes.of(node.input[1])
    along = attribute(node, "axis", 0) % len(x)
    found = [axes.fixed(len(labels)) for labels in index]
    alone = len(axes.readers(node.input[1])) == 1
    if alone and looks_up_all(axes.value(node.input[1]), len(x[along])):
        found = [x[along] if len(labels) > 1 else labels for labels in index]
        axes.labels[node.input[1]] = found
    else:
        axes.fix(x[along], f"is looked up by Gather '{node.name}'")
    return [*x[:along], *found, *x[along + 1 :]]


def looks_up_all(index: NDArray[Any] | None, size: int) -> bool:
    """Whether a look-up returns all entries in their order, along one axis."""
    if index is None or index.size != size or max(index.shape, default=0) != size:
        return False
    return bool((index.ravel() == np.arange(size)).all())


def _expand(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x, shape = axes.of(node.input[0]), axes.shape(node.output[0])
    x = [axes.fixed(1)] * (len(shape) - len(x)) + list(x)
    return [x[k] if len(x[k]) == n else axes.fixed(n) for k, n in enumerate(shape)]


def _pad(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    x = axes.of(node.input[0])
    given: Any = attribute(node, "pads")
    if given is None:
        value = axes.value(node.input[1])
        given = None if value is None else value.ravel().tolist()
    if given is None or len(given) != 2 * len(x):
        axes.fix_all([node.input[0]], f"is padded by '{node.name}'")
        return [axes.fixed(n) for n in axes.shape(node.output[0])]
    return [
        np.concatenate([axes.fixed(max(a, 0)), labels[max(-a, 0) : len(labels) - max(-b, 0)],
                        axes.fixed(max(b, 0))])
        for labels, a, b in zip(x, given[: len(x)], given[len(x) :], strict=True)
    ]  # fmt: skip


def _recurrent(axes: Axes, node: onnx.NodeProto) -> None:
    axes.tie(axes.of(node.input[0])[-1], axes.of(node.input[1])[-1])
    for labels in axes.of(node.input[1])[:-1]:
        axes.tie(labels, axes.fixed(1))
    axes.fix_all(list(node.input[2:]), f"is read by {node.op_type} '{node.name}'")
    for name in node.output:
        if name:
            axes.labels[name] = [axes.fixed(n) for n in axes.shape(name)]


_SAME: Final = (
    "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "LeakyRelu", "Elu", "Selu",
    "Celu", "Gelu", "Mish", "Softplus", "Softsign", "Swish", "ThresholdedRelu", "Erf", "Exp",
    "Log", "Sqrt", "Neg", "Abs", "Reciprocal", "Ceil", "Floor", "Round", "Sign", "Sin", "Cos",
    "Not", "Identity", "Cast", "Dropout", "Softmax", "LogSoftmax", "LRN", "CumSum",
    "LpNormalization",
)  # fmt: skip
_BROADCAST: Final = (
    "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mean", "Sum", "Where", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Mod",
)  # fmt: skip
_REDUCE: Final = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
)  # fmt: skip
_POOLS: Final = (
    "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool",
)  # fmt: skip

#: Operator -> its rule.
_RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_BROADCAST, _elementwise),
    **dict.fromkeys(_REDUCE, _reduce),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
    "BatchNormalization": _channelwise,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _channels_to_space,
    "Einsum": _einsum,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _channelwise,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Pad": _pad,
    "RMSNormalization": _layer_norm,
    "Resize": _resize,
    "Slice": _slice,
    "SpaceToDepth": _space_to_channels,
    "Transpose": _transpose,
    "Upsample": _resize,
}
