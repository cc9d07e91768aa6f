"""Weights of a network that nobody has trained: seeded, at the usual initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Layer
from flash.spaces.network import Network

__all__ = ["BATCH_NORM_EPSILON", "Weights", "kernel_shape", "random_weights"]

#: What batch norms add to the variance, in every view.
BATCH_NORM_EPSILON: Final = 1e-5

#: Arrays by name, ``<layer name>.<weight|bias|scale|shift|mean|variance>``, float32.
Weights = Mapping[str, NDArray[np.float32]]


def kernel_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of the layer's kernel: (out, in / groups, height, width), or (out, in) for linear.

    Of a transposed convolution (in, out / groups, height, width), as ONNX and PyTorch have it.
    """
    if layer.op == "linear":
        return int(layer.out_channels), int(layer.in_channels)
    if layer.op == "conv_transpose":
        out = int(layer.out_channels) // int(layer.groups)
        return int(layer.in_channels), out, int(layer.kernel_height), int(layer.kernel_width)
    return (
        int(layer.out_channels),
        int(layer.in_channels) // int(layer.groups),
        int(layer.kernel_height),
        int(layer.kernel_width),
    )


def random_weights(network: Network, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Weights of every layer; the same seed gives the same bits.

    Kernels are normal with variance 2 / fan-in (He et al., ICCV 2015, arXiv 1502.01852), biases
    zero, batch norms the identity (scale 1, shift 0, mean 0, variance 1).
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for layer in network.layers:
        channels = int(layer.out_channels)
        if layer.op in ("conv", "linear", "conv_transpose"):
            shape = kernel_shape(layer)
            # Windows of a transposed convolution that lie side by side: one input each.
            fan_in = shape[0] if layer.op == "conv_transpose" else int(np.prod(shape[1:]))
            kernel = rng.standard_normal(shape, dtype=np.float32)
            weights[f"{layer.name}.weight"] = kernel * np.float32(np.sqrt(2.0 / fan_in))
        if layer.bias:
            weights[f"{layer.name}.bias"] = np.zeros(channels, dtype=np.float32)
        if layer.norm:
            for part, value in (("scale", 1), ("shift", 0), ("mean", 0), ("variance", 1)):
                weights[f"{layer.name}.{part}"] = np.full(channels, value, dtype=np.float32)
    return weights
