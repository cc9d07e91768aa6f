"""Labels through a change of shape: axes that are merged into one, or one that is taken apart.

Where an axis of channels is taken apart, one of its parts goes on varying: the heads where
attention follows, else the longest. The other parts are then the same in all variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx

from flash.backends.onnx.variants.axes import Axes, Labels

__all__ = ["reshape"]

#: Operators between a projection's reshape and the product of its attention.
_ON_THE_WAY: Final = (
    "Transpose", "Split", "Slice", "Squeeze", "Unsqueeze", "Gather", "Mul", "Div", "Cast",
    "Identity", "Reshape", "LayerNormalization", "RMSNormalization", "Softmax", "Add",
)  # fmt: skip
_MOST_STEPS: Final = 14


def reshape(axes: Axes, node: onnx.NodeProto) -> list[Labels]:
    """The rule of Reshape, Flatten, Squeeze and Unsqueeze."""
    labels = axes.of(node.input[0])
    before, after = axes.shape(node.input[0]), axes.shape(node.output[0])
    result: list[Labels] = [axes.fixed(n) for n in after]
    for left, right in _blocks(before, after):
        ones = [k for k in left if before[k] > 1]
        twos = [k for k in right if after[k] > 1]
        if not ones:
            continue
        if len(twos) == 1:
            result[twos[0]] = _merged(axes, node, [labels[k] for k in ones])
        elif len(ones) == 1:
            parts = _taken_apart(axes, node, labels[ones[0]], [after[k] for k in twos])
            for k, part in zip(twos, parts, strict=True):
                result[k] = part
        elif [before[k] for k in ones] == [after[k] for k in twos]:
            for a, b in zip(ones, twos, strict=True):
                result[b] = labels[a]
        else:
            for k in ones:
                axes.fix(labels[k], f"is regrouped by {node.op_type} '{node.name}'")
    return result


def _blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The shortest runs of axes with equal products, those of one position left out."""
    left = [k for k, n in enumerate(before) if n != 1]
    right = [k for k, n in enumerate(after) if n != 1]
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        a, b = [left[i]], [right[j]]
        m, n = before[left[i]], after[right[j]]
        i, j = i + 1, j + 1
        while m != n:
            if m < n:
                a.append(left[i])
                m, i = m * before[left[i]], i + 1
            else:
                b.append(right[j])
                n, j = n * after[right[j]], j + 1
        found.append((a, b))
    return found


def _merged(axes: Axes, node: onnx.NodeProto, parts: list[Labels]) -> Labels:
    varied = [k for k, labels in enumerate(parts) if labels.any()]
    sizes = [len(labels) for labels in parts]
    if len(varied) > 1:
        for k in varied:
            axes.fix(parts[k], f"is merged with another width by {node.op_type} '{node.name}'")
        varied = []
    if not varied:
        return axes.fixed(int(np.prod(sizes)))
    (k,) = varied
    shape = [1] * len(sizes)
    shape[k] = sizes[k]
    return np.broadcast_to(parts[k].reshape(shape), sizes).reshape(-1)


def _taken_apart(
    axes: Axes, node: onnx.NodeProto, labels: Labels, sizes: Sequence[int]
) -> list[Labels]:
    result = [axes.fixed(n) for n in sizes]
    if not labels.any():
        return result
    attends = _attends(axes, node.output[0])
    vary = len(sizes) - 2 if attends else int(np.argmax(sizes))
    grid = np.moveaxis(labels.reshape(sizes), vary, 0).reshape(sizes[vary], -1)
    axes.tie(grid, grid[:, :1])
    result[vary] = np.ascontiguousarray(grid[:, 0])
    if attends:
        axes.heads.append(result[vary])
    return result


def _attends(axes: Axes, name: str) -> bool:
    """Whether a tensor reaches a product of two activations by moves and scalings only."""
    reached = [name]
    for _ in range(_MOST_STEPS):
        further = []
        for tensor in reached:
            for node in axes.readers(tensor):
                stored = any(axes.value(x) is not None for x in node.input)
                if node.op_type in ("MatMul", "Einsum") and not stored:
                    return True
                if node.op_type in _ON_THE_WAY:
                    further += list(node.output)
        reached = further
    return False
