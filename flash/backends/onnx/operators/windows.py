"""Convolutions and pools: in one to three dimensions.

Costs depend on positions, window and channels, so the sizes of a layer are a map's: over one
axis the height is 1, over three the first two axes count as height. A dilated window counts as
the plain one of as many weights; one-sided padding is recorded by its larger side.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper

__all__ = ["conv", "conv_transpose", "global_pool", "pool"]


#: From this opset on average pools may be dilated, and runtimes compute them tap by tap.
_DILATED: Final = 19


def conv(mapper: Mapper, node: Node) -> None:
    """A convolution; weights that are computed as the network runs are read like its input."""
    shape, x = _weights(mapper, node), mapper.shape(node.input(0))
    groups = node.attributes.get("group", 1)
    if shape[1] * groups != x[1] or shape[0] % groups:
        raise mapper.refusal(node, "its weights do not fit its input")
    out = mapper.shape(node.outputs[0])
    inputs = [node.input(0), *_computed(mapper, node)]
    if node.op == "DeformConv":  # offsets and masks are computed as the network runs
        inputs += [name for name in (node.input(2), node.input(4)) if name]
    bias = node.input(3 if node.op == "DeformConv" else 2)
    mapper.record(
        "conv",
        node,
        inputs,
        weights=[node.input(1), bias],
        in_channels=shape[1] * groups,
        out_channels=shape[0],
        groups=groups,
        batch=out[0],
        axes=max(len(x) - 2, 2),
        **_map(x, "in"),
        **_map(out, "out"),
        **_window(mapper, node, shape[2:]) | _bias(node, bias),
    )


def conv_transpose(mapper: Mapper, node: Node) -> None:
    """A transposed convolution: each input position adds a window to the result."""
    shape, x = _weights(mapper, node), mapper.shape(node.input(0))
    groups = node.attributes.get("group", 1)
    if shape[0] != x[1] or shape[0] % groups:
        raise mapper.refusal(node, "its weights do not fit its input")
    out = mapper.shape(node.outputs[0])
    mapper.record(
        "conv_transpose",
        node,
        [node.input(0), *_computed(mapper, node)],
        weights=node.inputs[1:3],
        in_channels=shape[0],
        out_channels=shape[1] * groups,
        groups=groups,
        batch=out[0],
        **_map(x, "in"),
        **_map(out, "out"),
        **_window(mapper, node, shape[2:]) | _bias(node, node.input(2)),
    )


def pool(mapper: Mapper, node: Node) -> None:
    """Max, average or norm over a window."""
    kernel = node.attributes["kernel_shape"]
    x, out = mapper.shape(node.input(0)), mapper.shape(node.outputs[0])
    by_taps = node.op == "AveragePool" and mapper.graph.opsets.get("", 1) >= _DILATED
    mapper.record(
        "max_pool" if node.op == "MaxPool" else "avg_pool",
        node,
        [node.input(0)],
        out_channels=prod(out[:2]),
        in_channels=prod(out[:2]),
        axes=max(len(x) - 2, 2),
        operands=2 if by_taps else 1,
        **_map(x, "in"),
        **_map(out, "out"),
        **_window(mapper, node, kernel),
    )
    if len(node.outputs) > 1:
        mapper.also_makes(node.outputs[1])


def global_pool(mapper: Mapper, node: Node) -> None:
    """Over all positions."""
    x = mapper.shape(node.input(0))
    sizes = _map(x, "in") | {"in_channels": prod(x[:2]), "out_channels": prod(x[:2])}
    sizes |= {"out_height": 1, "out_width": 1}
    if node.op == "GlobalMaxPool":
        window = {"kernel_height": sizes["in_height"], "kernel_width": sizes["in_width"]}
        mapper.record("max_pool", node, [node.input(0)], **sizes, **window)
    else:
        mapper.record("global_pool", node, [node.input(0)], **sizes)


def _weights(mapper: Mapper, node: Node) -> tuple[int, ...]:
    name, rank = node.input(1), len(mapper.shape(node.input(0)))
    shape = mapper.shape(name)
    if len(shape) != rank or not 3 <= rank <= 5:
        raise mapper.refusal(node, "only windows over one to three axes are costed")
    return shape


def _computed(mapper: Mapper, node: Node) -> list[str]:
    """The weights, where they are an activation."""
    name = node.input(1)
    return [] if mapper.is_constant(name) else [name]


def _bias(node: Node, bias: str) -> dict[str, Any]:
    merged = any(m.op == "Add" for m in node.merged)
    return {"bias": bool(bias) or merged}


def _map(shape: Sequence[int], side: str) -> dict[str, Any]:
    """Height and width of a map of any number of axes (batch and channels first)."""
    return {f"{side}_height": prod(shape[2:-1]), f"{side}_width": shape[-1]}


def _window(mapper: Mapper, node: Node, kernel: Sequence[int]) -> dict[str, Any]:
    axes = len(kernel)
    strides = node.attributes.get("strides") or [1] * axes
    dilations = node.attributes.get("dilations") or [1] * axes
    pads = node.attributes.get("pads") or [0] * 2 * axes
    if node.attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        sizes = mapper.shape(node.input(0))[2:]
        needed = [
            max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
        ]
        pads = [(n + 1) // 2 for n in needed] * 2
    sides = [max(pads[k], pads[k + axes]) for k in range(axes)]
    return {
        "kernel_height": prod(kernel[:-1]),
        "kernel_width": kernel[-1],
        "stride": max(strides),
        "pad_height": sides[0] if axes == 2 else 0,
        "pad_width": sides[-1],
    }
