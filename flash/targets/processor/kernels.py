"""What a layer is to a processor: one kernel, with a class, an amount of work and of traffic.

Batch norm and activation behind a convolution are part of its kernel, as every runtime we
know fuses them. A sum of n tensors runs as n - 1 binary sums, or as one kernel where the runtime
merges what it can (``flash.targets.processor.fusion``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Ints, Layer, in_elements, layer_macs, out_elements

__all__ = [
    "KERNEL_CLASSES",
    "LANES",
    "SLOW_ACTIVATIONS",
    "Kernel",
    "is_rated",
    "kernel_of",
    "lane_multiple",
]

#: Kernel classes; ``Kernel.kind`` is a position in this tuple.
#: conv3x3 is the 3x3 convolution with stride 1, which some runtimes compute by Winograd's
#: method; conv any other window; grouped convolutions count with their window's class.
KERNEL_CLASSES: Final = (
    "pointwise",
    "conv3x3",
    "conv",
    "depthwise",
    "linear",
    "pool",
    "elementwise",
)
_POINTWISE, _CONV3, _CONV, _DEPTHWISE, _LINEAR, _POOL, _ELEMENTWISE = range(7)

#: Channels a runtime computes at once, its output channels rounded up: 4 fp32 lanes of a 128-bit
#: NEON register; 8 (AVX2) and 16 (AVX-512) where onnxruntime lays out activations in blocks.
LANES: Final = (4, 8, 16)

#: Most channels of an image.
_IMAGE: Final = 4
#: Cost of a layout reorder (NCHW <-> NCHWc) in onnxruntime, as a multiple: an element that is
#: reordered counts as 8 elements read or written. Fitted on the shipped x86 machine, where a
#: reorder moves 12 to 26 GB/s and plain reads and writes above 100 GB/s. At twice the value,
#: 500 random designs of each of five shipped spaces are predicted at most 13 % slower there, half
#: of them the same. A separate time for reorders predicted networks no better than this multiple.
_REORDER: Final = 8
#: Work of an element of activations that compute rather than move: multiply-accumulates that
#: take as long, at the rate of the class ``elementwise``. From nanoseconds an element measured
#: with onnxruntime 1.32 on one thread of an AVX-512 machine (200,704 elements, the cost of the call
#: taken off), times the 47 GMAC/s of ``x86-avx512``; mish, elu and strided softmax agree with whole
#: networks measured on the machine of that profile. On other processors a guess.
SLOW_ACTIVATIONS: Final[Mapping[str, int]] = {
    "acos": 70,
    "acosh": 70,
    "asin": 70,
    "asinh": 70,
    "atan": 70,
    "atanh": 70,
    "celu": 92,
    "cos": 57,
    "cosh": 70,
    "elu": 78,
    "erf": 16,
    "gelu": 21,
    "log": 68,
    "log_softmax": 20,
    "mish": 500,
    "selu": 80,
    "sin": 57,
    "sinh": 70,
    "softmax": 18,
    "softplus": 490,
    "pow": 300,
    "strided_log_softmax": 630,
    "strided_softmax": 630,
    "tan": 70,
}
#: The same of other operations from files, an element read or written (the more of the two); by
#: what the layer's ``act`` says of it where that is listed.
_WORK: Final[Mapping[str, int]] = {
    "cubic": 100,
    "layer_norm": 25,
    "linear": 52,
    "lrn": 1500,
    "reduce": 6,
    "sort": 22,
    "topk": 580,
}
#: Layers that only files have; the last two cost nothing.
_FROM_FILES: Final = (
    "matmul",
    "conv_transpose",
    "recurrent",
    "layer_norm",
    "reduce",
    "resize",
    "gather",
    "scatter",
    "sort",
    "trees",
    "other",
    "input",
    "output",
)
_NOTHING: Final = ("input", "output")
#: Kernels that a sum of any number of tensors counts for, where it is one kernel: it takes as long
#: as two activations (found on HW-NAS-Bench's edge GPU, Jetson TX2 with TensorRT).
_SUM_LAUNCHES: Final = 2


class Kernel(NamedTuple):
    """One kernel, or the same kernel in many designs (arrays, one value a design).

    kind:      class (see ``KERNEL_CLASSES``), one a design where designs differ.
    positions: output positions.
    reduction: multiply-accumulates an output element takes (window elements for a pool).
    outputs:   output channels, those of each group rounded up to lanes.
    elements:  activations read and written; those whose layout onnxruntime reorders for a
               convolution (NCHW <-> NCHWc) count ``_REORDER`` times.
    weights:   weights read; ``weights * positions`` are the multiply-accumulates.
    launches:  kernels run (n - 1 for a sum of n tensors, or two for any).

    Work is ``positions * reduction * outputs``; elementwise kernels have none, but for those
    that compute more than they move (``SLOW_ACTIVATIONS``).
    """

    kind: Ints
    positions: Ints
    reduction: Ints
    outputs: Ints
    elements: Ints
    weights: Ints
    launches: Ints


def lane_multiple(channels: Ints, lanes: int = LANES[0]) -> Ints:
    """``channels`` rounded up to a multiple of ``lanes``, a power of two."""
    return (channels + (lanes - 1)) & -lanes


def kernel_of(layer: Layer, fusion: str = "conv", lanes: int = LANES[0]) -> Kernel:
    """The kernel that runs ``layer``.

    With more than four lanes activations lie in blocks of that many channels (layout NCHWc). Then
    the channels that a convolution reads are rounded up to whole blocks, and a concatenation,
    slice or pad of channels that do not fill blocks is preceded by a reorder to NCHW and followed
    by one back.

    fusion: a profile's; with "graph" a sum is one kernel, with "sum" reorders cost ``_REORDER``.
    """
    if layer.op == "conv":
        return _convolution(layer, lanes, _REORDER if fusion == "sum" else 1)
    if layer.op == "linear":
        inputs, features = layer.in_channels, layer.out_channels
        outputs, rows = lane_multiple(features, lanes), layer.out_height * layer.out_width
        read_and_written = (inputs + features) * rows
        return Kernel(_LINEAR, rows, inputs, outputs, read_and_written, inputs * features, 1)
    if layer.op in ("max_pool", "avg_pool"):
        window = layer.kernel_height * layer.kernel_width
        return _pool(layer, layer.out_height * layer.out_width, window, lanes)
    if layer.op == "global_pool":
        return _pool(layer, 1, layer.in_height * layer.in_width, lanes)
    if layer.op in _FROM_FILES:
        return _from_files(layer, lanes)
    # Areas first: they are plain integers in most spaces, channels seldom are.
    area = layer.out_height * layer.out_width
    if layer.op == "add":
        if fusion == "graph":
            moved: Any = layer.out_channels * area * (layer.operands + 1)
            return Kernel(_ELEMENTWISE, 0, 0, 0, moved, 0, _SUM_LAUNCHES)
        sums: Any = layer.operands - 1
        return Kernel(_ELEMENTWISE, 0, 0, 0, layer.out_channels * (3 * area) * sums, 0, sums)
    elements: Ints
    if layer.in_channels is layer.out_channels:
        elements = layer.out_channels * (2 * area)
    else:
        elements = (layer.in_channels + layer.out_channels) * area
    if layer.op == "act" and layer.act in SLOW_ACTIVATIONS:
        slow = SLOW_ACTIVATIONS[layer.act]
        return Kernel(_ELEMENTWISE, layer.out_channels * area, slow, 1, elements, 0, 1)
    launches: Ints = 1
    if lanes > LANES[0] and layer.op in ("concat", "slice", "pad"):
        # NCHWc -> NCHW before it, NCHW -> NCHWc after it.
        ragged: Any = 1 * (layer.in_channels % lanes != 0) | 1 * (layer.out_channels % lanes != 0)
        for x in layer.inputs:
            ragged = ragged | 1 * (x.channels % lanes != 0)
        elements, launches = elements + elements * (2 * ragged), 1 + 2 * ragged
    return Kernel(_ELEMENTWISE, 0, 0, 0, elements, 0, launches)


def is_rated(layer: Layer) -> bool:
    """Whether kernels like this layer's are among those that rates were fitted to.

    What is not is priced by what it reads and writes, at the rate of an elementwise kernel (a
    product of activations, a transposed convolution: by its multiply-accumulates).
    """
    if layer.op in _FROM_FILES:
        return layer.op in _NOTHING
    return not (layer.op == "act" and layer.act in SLOW_ACTIVATIONS)


def _from_files(layer: Layer, lanes: int) -> Kernel:
    """Layers that only files have, and variants of files."""
    inputs, outputs = layer.in_channels, layer.out_channels
    moved: Any = in_elements(layer) + out_elements(layer)
    if layer.op in _NOTHING:
        return Kernel(_ELEMENTWISE, 0, 0, 0, 0, 0, 0)
    if layer.op == "matmul":
        # The second operand is read as weights are: once a matrix, then from the cache.
        rows: Any = layer.out_height * layer.batch
        weights: Any = inputs * outputs
        return Kernel(
            _LINEAR, rows, inputs, lane_multiple(outputs, lanes), moved - weights, weights, 1
        )
    if layer.op == "conv_transpose":
        # One product a position read, whose windows are then added up where they overlap.
        positions: Any = layer.in_height * layer.in_width * layer.batch
        window: Any = outputs // layer.groups * (layer.kernel_height * layer.kernel_width)
        columns = positions * window * layer.groups
        return Kernel(
            _CONV,
            positions,
            inputs // layer.groups,
            lane_multiple(window, lanes) * layer.groups,
            moved + 2 * columns,
            inputs * window,
            2,
        )
    if layer.op == "recurrent":
        # Steps follow one another: each is a small product and its gates.
        steps: Any = layer.out_height
        matrices: Any = layer_macs(layer) // (steps * layer.batch)
        reduction: Any = inputs + outputs
        return Kernel(
            _LINEAR,
            steps * layer.batch,
            reduction,
            matrices // reduction,
            moved,
            matrices,
            1 + steps,
        )
    work = _WORK.get(layer.act) or _WORK.get(layer.op, 0)
    touched: Any = np.maximum(in_elements(layer), out_elements(layer)) if work else 0
    return Kernel(_ELEMENTWISE, touched, work, 1, moved, 0, 1)


def _pool(layer: Layer, positions: Ints, window: Ints, lanes: int) -> Kernel:
    area = layer.in_height * layer.in_width + layer.out_height * layer.out_width
    elements = layer.out_channels * area
    outputs = lane_multiple(layer.out_channels, lanes)
    return Kernel(_POOL, positions, window, outputs, elements, 0, 1)


def _convolution(layer: Layer, lanes: int, reorder: int) -> Kernel:
    channels, groups = layer.out_channels, layer.groups
    positions, area_in = layer.out_height * layer.out_width, layer.in_height * layer.in_width
    if not (isinstance(layer.batch, int) and layer.batch == 1):
        positions, area_in = positions * layer.batch, area_in * layer.batch
    window = layer.kernel_height * layer.kernel_width
    elements = layer.in_channels * area_in + channels * positions
    if isinstance(groups, int) and groups == 1:
        read, reordered = _blocks(layer.in_channels, lanes)
        there_and_back: Any = 2 * layer.in_channels * area_in * reordered
        return Kernel(
            _window_class(layer),
            positions,
            read * window,
            lane_multiple(channels, lanes),
            elements + reorder * there_and_back,
            channels * (layer.in_channels * window),
            1 + reordered,
        )
    channelwise = Kernel(
        _DEPTHWISE,
        positions,
        window,
        lane_multiple(channels, lanes),
        elements,
        channels * window,
        1,
    )
    # With more outputs than inputs runtimes leave the code path for depthwise convolutions:
    # onnxruntime takes 5 times as long for two outputs an input as for one (64 channels, 56 x 56).
    depthwise = np.asarray(
        (groups == layer.in_channels) & (groups > 1) & (channels == layer.in_channels)
    )
    if depthwise.all():
        return channelwise
    reduction = layer.in_channels // groups * window
    grouped = Kernel(
        _window_class(layer),
        positions,
        reduction,
        lane_multiple(channels // groups, lanes) * groups,
        elements,
        channels * reduction,
        1,
    )
    if not depthwise.any():
        return grouped
    return Kernel(*(np.where(depthwise, a, b) for a, b in zip(channelwise, grouped, strict=True)))


def _blocks(channels: Ints, lanes: int) -> tuple[Ints, Ints]:
    """Channels read in layout NCHWc with blocks of ``lanes``, and reorders (1 or 0) before that.

    Fewer channels than a block lie in NCHW and are reordered first; an image is read as it is.
    """
    if lanes == LANES[0]:
        return channels, 0
    padded = lane_multiple(channels, lanes)
    if isinstance(channels, int):
        return (channels, 0) if channels <= _IMAGE else (padded, int(channels < lanes))
    image: Any = channels <= _IMAGE
    return np.where(image, channels, padded), 1 * ~image * (channels < lanes)


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
