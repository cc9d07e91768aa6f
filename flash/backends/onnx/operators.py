"""ONNX operators sorted by what they are to a network's cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Final

import onnx

from flash.errors import InputError

__all__ = [
    "ACTIVATIONS", "BINARY", "COSTED", "FOLDABLE", "GATED", "SHAPE_ARITHMETIC", "VIEWS",
    "map_sizes", "node_attributes", "refuse_unknown",
]  # fmt: skip

#: Activation operator -> what flash calls it.
ACTIVATIONS: Final = {
    "Clip": "clip", "Elu": "elu", "Erf": "erf", "Exp": "exp", "Gelu": "gelu",
    "HardSigmoid": "hard_sigmoid", "HardSwish": "hard_swish", "LeakyRelu": "leaky_relu",
    "LogSoftmax": "log_softmax", "Mish": "mish", "PRelu": "prelu", "Relu": "relu",
    "Selu": "selu", "Sigmoid": "sigmoid", "Softmax": "softmax", "Softplus": "softplus",
    "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip
#: x times this activation of x is itself an activation.
GATED: Final = {"sigmoid": "silu", "hard_sigmoid": "hard_swish"}
#: Only another view of the same numbers.
VIEWS: Final = (
    "Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze",
)  # fmt: skip
#: Combine tensors element by element.
BINARY: Final = ("Add", "Div", "Mul", "Sub", "Sum")
#: What exporters compute shapes with; all of it is known before the network runs.
SHAPE_ARITHMETIC: Final = (
    "Ceil", "ConstantOfShape", "Equal", "Expand", "Floor", "Gather", "Max", "Min", "Mod", "Neg",
    "Pow", "Range", "ReduceProd", "Where",
)  # fmt: skip
#: Computed before the network runs where all inputs are constants.
FOLDABLE: Final = (
    *SHAPE_ARITHMETIC, *VIEWS, *BINARY, "Concat", "Slice", "Sqrt", "Split", "Transpose",
)  # fmt: skip


#: Work on activations and have a cost (of nothing, for views).
COSTED: Final = (
    *ACTIVATIONS, *BINARY, *VIEWS, "AveragePool", "BatchNormalization", "Concat", "Conv", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "MatMul", "MaxPool", "Pad", "ReduceMean", "Slice",
    "Split", "Transpose",
)  # fmt: skip


def refuse_unknown(nodes: Iterable[onnx.NodeProto], path: str) -> None:
    """Raise ``InputError``, one line, for operators without a known cost."""
    known = {*COSTED, *SHAPE_ARITHMETIC, "Constant", "Shape", "Size"}
    unknown: dict[str, list[str]] = {}
    for number, node in enumerate(nodes):
        standard = node.domain in ("", "ai.onnx")
        if not standard or node.op_type not in known:
            operator = node.op_type if standard else f"{node.domain}.{node.op_type}"
            unknown.setdefault(operator, []).append(node.name or f"number {number}")
    if not unknown:
        return
    listed = ", ".join(
        f"{op} (node '{nodes[0]}'" + (f" and {len(nodes) - 1} more)" if nodes[1:] else ")")
        for op, nodes in list(unknown.items())[:5]
    )
    if any("Quantize" in op or op.startswith("QLinear") for op in unknown):
        advice = "the model is quantized: give the one it was made from, or one in QDQ form"
    else:
        advice = f"supported: {', '.join(sorted(COSTED))}"
    line = f"{path}: no cost is known for {listed}; {advice}"
    raise InputError(" ".join(line.split()))


def map_sizes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height, width: the last two axes are the map, if there is one."""
    if len(shape) >= 4:
        return prod(shape[:-2]), shape[-2], shape[-1]
    return (prod(shape), 1, 1)


def node_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
