"""What a convolution is to a processor: by the class of its window, or by onnxruntime's paths."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Ints, Layer
from flash.targets.processor.kernel_classes import (
    CONV,
    CONV3,
    DEPTHWISE,
    GROUPED,
    LANES,
    POINTWISE,
    Kernel,
    lane_multiple,
)
from flash.targets.processor.work import FUSED_WORK

__all__ = [
    "DEPTHWISE_MULTIPLE",
    "REORDER_TIMES",
    "convolution",
    "convolution_by_path",
    "grouped_convolution",
    "is_over_one_axis",
]

#: Most channels of an image.
_IMAGE: Final = 4
#: Channels of a depthwise convolution in blocks are a multiple of this; any other is a product of
#: matrices, channel by channel (seen on the graphs of onnxruntime 1.32). So is one of all channels
#: with all, but as fast: told apart, suites of four machines left out were predicted no better.
DEPTHWISE_MULTIPLE: Final = 4
#: Cost of a layout reorder (NCHW <-> NCHWc) in onnxruntime, as a multiple: an element that is
#: reordered counts as 8 elements read or written. Fitted on the shipped x86 machine, where a
#: reorder moves 12 to 26 GB/s and plain reads and writes above 100 GB/s. At twice the value,
#: 500 random designs of each of five shipped spaces are predicted at most 13 % slower there, half
#: of them the same. A separate time for reorders predicted networks no better than this multiple.
REORDER_TIMES: Final = 8
#: Copying a row of a map for a product takes as long as so many positions more (on a Zen 4 maps 7,
#: 14 and 28 wide take 2.1, 1.4 and 1.15 times as long a position as wide ones), and elements that
#: lie apart (stride 2) as long as so many outputs more.
_COLUMN, _STRIDED = 6, 10


def convolution(layer: Layer, lanes: int, reorder: int) -> Kernel:
    """A convolution by the class of its window, depthwise or in groups; ``reorder`` is what a
    reordered element counts as."""
    channels, groups = layer.out_channels, layer.groups
    positions, area_in = _areas(layer)
    window = layer.kernel_height * layer.kernel_width
    elements: Any = layer.in_channels * area_in + channels * positions
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
    channelwise = _channelwise(layer, lanes)
    # With more outputs than inputs runtimes leave the code path for depthwise convolutions:
    # onnxruntime takes 5 times as long for two outputs an input as for one (64 channels, 56 x 56).
    depthwise = np.asarray(
        (groups == layer.in_channels) & (groups > 1) & (channels == layer.in_channels)
    )
    if depthwise.all():
        return channelwise
    grouped = grouped_convolution(layer)
    if not depthwise.any():
        return grouped
    return Kernel(*(np.where(depthwise, a, b) for a, b in zip(channelwise, grouped, strict=True)))


def _channelwise(layer: Layer, lanes: int, act: int = 0) -> Kernel:
    """A depthwise convolution. act: multiply-accumulates an output that its activation takes."""
    channels, window = layer.out_channels, layer.kernel_height * layer.kernel_width
    positions, area_in = _areas(layer)
    return Kernel(
        DEPTHWISE,
        positions,
        window + act,
        lane_multiple(channels, lanes),
        layer.in_channels * area_in + channels * positions,
        channels * window,
        1,
    )


def _areas(layer: Layer) -> tuple[Ints, Ints]:
    """Positions written and read, of all images."""
    positions, area_in = layer.out_height * layer.out_width, layer.in_height * layer.in_width
    if not (isinstance(layer.batch, int) and layer.batch == 1):
        positions, area_in = positions * layer.batch, area_in * layer.batch
    return positions, area_in


def convolution_by_path(layer: Layer, lanes: int) -> Kernel:
    """A convolution as onnxruntime runs it where it lays out activations in blocks."""
    if is_over_one_axis(layer) or layer.axes > 2:
        return _products(layer, _fused(layer))
    groups, read, written = layer.groups, layer.in_channels, layer.out_channels
    alone = np.asarray((groups == read) & (groups > 1) & (written == read))
    fills = (read // groups % lanes == 0) & (written // groups % lanes == 0)
    depthwise = np.asarray(alone & (read % DEPTHWISE_MULTIPLE == 0))
    blocked = np.asarray((groups == 1) | fills) & ~alone
    act, found = _fused(layer), list[tuple[NDArray[np.bool_], Kernel]]()
    if depthwise.any():
        found.append((depthwise, _channelwise(layer, lanes, act)))
    if blocked.any():
        found.append((blocked, _dense(layer, lanes, act)))
    if not (depthwise | blocked).all():
        found.append((~(depthwise | blocked), _products(layer, act)))
    kernel = found[0][1]
    for own, other in found[1:]:
        kernel = Kernel(*(np.where(own, a, b) for a, b in zip(other, kernel, strict=True)))
    return kernel


def _fused(layer: Layer) -> int:
    """What the activation of a convolution takes, in multiply-accumulates an output."""
    return FUSED_WORK.get(layer.act, 0)


def is_over_one_axis(layer: Layer) -> bool:
    """Not laid out in blocks: what onnxruntime runs as it runs convolutions in groups."""
    height, width = layer.in_height, layer.in_width
    return isinstance(height, int) and height == 1 and isinstance(width, int) and width > 1


def grouped_convolution(layer: Layer) -> Kernel:
    """A product a group: as many rows more, a group's weights at a time, whatever the lanes."""
    groups, window = layer.groups, layer.kernel_height * layer.kernel_width
    positions: Any = layer.out_height * layer.out_width * layer.batch
    read: Any = layer.in_channels * layer.in_height * layer.in_width * layer.batch
    reduction, own = layer.in_channels // groups * window, layer.out_channels // groups
    return Kernel(
        _grouped_class(layer),
        positions * groups,
        reduction,
        own,
        read + layer.out_channels * positions + own * reduction * (groups - 1),
        own * reduction,
        1,
    )


def _dense(layer: Layer, lanes: int, act: int) -> Kernel:
    """A convolution of whole blocks of channels, all with all or group by group."""
    groups, read, channels = layer.groups, layer.in_channels, layer.out_channels
    positions, area_in = _areas(layer)
    window = layer.kernel_height * layer.kernel_width
    # Channels that fill no block are read as they are, from a plain tensor.
    reordered: Ints = 1 * ((read > _IMAGE) & (read < lanes))
    padded: Ints
    if isinstance(read, int):
        padded = read if read < lanes else lane_multiple(read, lanes)
    else:
        padded = np.where(read < lanes, read, lane_multiple(read, lanes))
    if not (isinstance(groups, int) and groups == 1):
        grouped: Any = groups > 1
        padded = np.where(grouped, read // groups, padded)
        reordered = np.where(grouped, 0, reordered)
    there_and_back: Any = 2 * read * area_in * reordered
    elements: Any = read * area_in + channels * positions
    return Kernel(
        _window_class(layer),
        positions,
        padded * window + act,
        lane_multiple(channels, lanes),
        elements + REORDER_TIMES * there_and_back,
        channels * (read // groups * window),
        1 + reordered,
    )


def _products(layer: Layer, act: int) -> Kernel:
    """A product a group, of its weights and the columns that its windows are copied to.

    Copying is made up for by the class's half length of outputs, rows of a map that are copied one
    by one by longer columns, and elements that do not lie side by side by more outputs.
    """
    groups, window = layer.groups, layer.kernel_height * layer.kernel_width
    positions, area_in = _areas(layer)
    columns, own = layer.in_channels * window, layer.out_channels // groups
    calls: Any = columns * _COLUMN // layer.out_width * (window > 1)
    strided: Any = _STRIDED * (layer.stride > 1)
    return Kernel(
        GROUPED,
        positions,
        columns + calls + groups * act,
        own + strided,
        layer.in_channels * area_in + layer.out_channels * positions,
        own * columns,
        1,
    )


def _grouped_class(layer: Layer) -> Ints:
    if isinstance(layer.groups, int):  # of one group, over one axis
        return GROUPED
    kind: NDArray[np.int64] = np.where(layer.groups > 1, GROUPED, _window_class(layer))
    return kind


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
            return POINTWISE
        return CONV3 if height == width == 3 and layer.stride == 1 else CONV
    one = np.asarray((height == 1) & (width == 1))
    three = np.asarray((height == 3) & (width == 3) & (layer.stride == 1))
    kind: NDArray[np.int64] = np.where(one, POINTWISE, np.where(three, CONV3, CONV))
    return kind
