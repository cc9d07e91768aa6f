"""What a layer is to a processor: one kernel, with a class, an amount of work and of traffic.

Batch norm and activation behind a convolution are part of its kernel, as every runtime we
know fuses them. A sum of n tensors runs as n - 1 binary sums.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Flags, Ints, Layer, in_elements, layer_params, out_elements

__all__ = ["KERNEL_CLASSES", "SIMD_LANES", "Kernel", "kernel_of", "lane_multiple"]

#: Kernel classes; ``Kernel.kind`` is a position in this tuple.
#: conv3x3 is the 3x3 convolution with stride 1, which some runtimes compute by Winograd's
#: method; conv any other window; grouped convolutions count with their window's class.
KERNEL_CLASSES: Final = (
    "pointwise", "conv3x3", "conv", "depthwise", "linear", "pool", "elementwise",
)  # fmt: skip
_POINTWISE, _CONV3, _CONV, _DEPTHWISE, _LINEAR, _POOL, _ELEMENTWISE = range(7)

#: fp32 lanes of a 128-bit NEON register: output channels are computed in multiples of it.
SIMD_LANES: Final = 4


class Kernel(NamedTuple):
    """One kernel, or the same kernel in many designs (arrays, one value a design).

    kind:      class (see ``KERNEL_CLASSES``), one a design where designs differ.
    positions: output positions, times groups.
    reduction: multiply-accumulates an output element takes (window elements for a pool).
    outputs:   output channels of a group, rounded up to SIMD lanes.
    elements:  activations read and written and weights read.
    launches:  kernels run (n - 1 for a sum of n tensors).

    Work is ``positions * reduction * outputs``; elementwise kernels have none.
    """

    kind: Ints
    positions: Ints
    reduction: Ints
    outputs: Ints
    elements: Ints
    launches: Ints


def lane_multiple(channels: Ints) -> Ints:
    """``channels`` rounded up to a multiple of ``SIMD_LANES``."""
    return (channels + (SIMD_LANES - 1)) & -SIMD_LANES


def kernel_of(layer: Layer) -> Kernel:
    """The kernel that runs ``layer``."""
    if layer.op == "conv":
        return _convolution(layer)
    if layer.op == "linear":
        elements = layer.in_channels + layer.out_channels + layer_params(layer)
        outputs = lane_multiple(layer.out_channels)
        return Kernel(_LINEAR, 1, layer.in_channels, outputs, elements, 1)
    if layer.op in ("max_pool", "avg_pool"):
        window = layer.kernel_height * layer.kernel_width
        return _pool(layer, layer.out_height * layer.out_width, window)
    if layer.op == "global_pool":
        return _pool(layer, 1, layer.in_height * layer.in_width)
    if layer.op == "add":
        sums = layer.operands - 1
        return Kernel(_ELEMENTWISE, 0, 0, 0, 3 * sums * out_elements(layer), sums)
    return Kernel(_ELEMENTWISE, 0, 0, 0, in_elements(layer) + out_elements(layer), 1)


def _pool(layer: Layer, positions: Ints, window: Ints) -> Kernel:
    elements = in_elements(layer) + out_elements(layer)
    return Kernel(_POOL, positions, window, lane_multiple(layer.out_channels), elements, 1)


def _convolution(layer: Layer) -> Kernel:
    positions = layer.out_height * layer.out_width
    window = layer.kernel_height * layer.kernel_width
    elements = in_elements(layer) + out_elements(layer) + layer_params(layer)
    channelwise = Kernel(
        _DEPTHWISE, positions, window, lane_multiple(layer.out_channels), elements, 1
    )
    some, everywhere = _extent((layer.groups == layer.in_channels) & (layer.groups > 1))
    if everywhere:
        return channelwise
    if isinstance(layer.groups, int) and layer.groups == 1:
        reduction, outputs = layer.in_channels * window, lane_multiple(layer.out_channels)
    else:
        positions = positions * layer.groups
        reduction = layer.in_channels // layer.groups * window
        outputs = lane_multiple(layer.out_channels // layer.groups)
    dense = Kernel(_window_class(layer), positions, reduction, outputs, elements, 1)
    if not some:
        return dense
    mixed = (layer.groups == layer.in_channels) & (layer.groups > 1)
    return Kernel(*(np.where(mixed, a, b) for a, b in zip(channelwise, dense, strict=True)))


def _window_class(layer: Layer) -> Ints:
    height, width = layer.kernel_height, layer.kernel_width
    if isinstance(height, int) and isinstance(width, int) and isinstance(layer.stride, int):
        if height == width == 1:
            return _POINTWISE
        return _CONV3 if height == width == 3 and layer.stride == 1 else _CONV
    one = np.asarray((height == 1) & (width == 1))
    three = np.asarray((height == 3) & (width == 3) & (layer.stride == 1))
    kind: NDArray[np.int64] = np.where(one, _POINTWISE, np.where(three, _CONV3, _CONV))
    return kind


def _extent(flags: Flags) -> tuple[bool, bool]:
    """Whether the flags hold for some design, and whether for all."""
    values = np.asarray(flags)
    return bool(values.any()), bool(values.all())
