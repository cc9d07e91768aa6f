"""What a layer is to a processor: one kernel, with a class, an amount of work and of traffic.

Batch norm and activation behind a convolution are part of its kernel, as every runtime we
know fuses them. A sum of n tensors runs as n - 1 binary sums, or as one kernel where the runtime
merges what it can (``flash.targets.processor.fusion``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Ints, Layer, in_elements, layer_macs, out_elements
from flash.targets.processor.work import (
    CHOICE_ELEMENTS,
    CONVERSION_WORK,
    FUSED_WORK,
    GATE_WORK,
    GATHER_WORK,
    NORM_ROW,
    NORM_WORK,
    PLAIN_POOL_WORK,
    SCALE_WORK,
    SCATTER_WORK,
    SKIP_NORM_WORK,
    SLOW_ACTIVATIONS,
    SOFTMAX_ROW,
    STATE_WORK,
    TAP_ROW_WORK,
    TAP_WORK,
    WORK,
    WORK_IN_BLOCKS,
)

__all__ = [
    "BASE_CLASS",
    "CALL",
    "KERNEL_CLASSES",
    "LANES",
    "REORDER",
    "SCATTERED",
    "Kernel",
    "class_of",
    "is_gate",
    "is_rated",
    "kernel_of",
    "lane_multiple",
]

#: Kernel classes, what runtimes run by one code path; ``Kernel.kind`` is a position in this tuple.
#: conv3x3 is the 3x3 convolution with stride 1, which some runtimes compute by Winograd's
#: method; conv any other window; depthwise has as many outputs as inputs, each of one input;
#: grouped any other convolution in groups; linear a product with weights, matmul one of two
#: activations; activation computes more than it moves, norm too, over statistics of what it reads;
#: move puts data elsewhere, reorder into another layout; gate multiplies each channel of a map by
#: one value; call is what a run costs, once a network.
KERNEL_CLASSES: Final = (
    "pointwise",
    "conv3x3",
    "conv",
    "depthwise",
    "linear",
    "pool",
    "elementwise",
    "grouped",
    "transposed",
    "global_pool",
    "activation",
    "norm",
    "move",
    "reorder",
    "matmul",
    "recurrent",
    "gate",
    "call",
)
(
    _POINTWISE,
    _CONV3,
    _CONV,
    _DEPTHWISE,
    _LINEAR,
    _POOL,
    _ELEMENTWISE,
    _GROUPED,
    _TRANSPOSED,
    _GLOBAL_POOL,
    _ACTIVATION,
    _NORM,
    _MOVE,
    _REORDERED,
    _MATMUL,
    _RECURRENT,
    _GATE,
    CALL,
) = range(18)
#: Class -> the class that it was once part of: whose rates it has where it has none of its own.
BASE_CLASS: Final[Mapping[str, str]] = {
    "grouped": "conv",
    "transposed": "conv",
    "global_pool": "pool",
    "activation": "elementwise",
    "norm": "elementwise",
    "move": "elementwise",
    "reorder": "elementwise",
    "matmul": "linear",
    "recurrent": "linear",
    "gate": "elementwise",
}

#: Channels a runtime computes at once, its output channels rounded up: 4 fp32 lanes of a 128-bit
#: NEON register; 8 (AVX2) and 16 (AVX-512) where onnxruntime lays out activations in blocks.
LANES: Final = (4, 8, 16)

#: Most channels of an image.
_IMAGE: Final = 4
#: Channels of a depthwise convolution in blocks are a multiple of this; any other is a product of
#: matrices, channel by channel (seen on the graphs of onnxruntime 1.32). So is one of all channels
#: with all, but as fast: told apart, suites of four machines left out were predicted no better.
_FOUR: Final = 4
#: Cost of a layout reorder (NCHW <-> NCHWc) in onnxruntime, as a multiple: an element that is
#: reordered counts as 8 elements read or written. Fitted on the shipped x86 machine, where a
#: reorder moves 12 to 26 GB/s and plain reads and writes above 100 GB/s. At twice the value,
#: 500 random designs of each of five shipped spaces are predicted at most 13 % slower there, half
#: of them the same. A separate time for reorders predicted networks no better than this multiple.
_REORDER: Final = 8
#: A channel of a gated map takes as long as so many positions more: 12 ns, 0.11 to 0.13 a position.
_GATED: Final = 60
#: Copying a row of a map for a product takes as long as so many positions more (on a Zen 4 maps 7,
#: 14 and 28 wide take 2.1, 1.4 and 1.15 times as long a position as wide ones), and elements that
#: lie apart (stride 2) as long as so many outputs more.
_COLUMN, _STRIDED = 6, 10
#: Operation that only files have -> the class whose rates it needs.
_NEEDS: Final[Mapping[str, str]] = {
    "matmul": "matmul",
    "conv_transpose": "transposed",
    "recurrent": "recurrent",
    "layer_norm": "norm",
    "reduce": "norm",
    "resize": "move",
    "gather": "move",
    "scatter": "move",
    "sort": "activation",
}
#: Operations whose work is not known.
_UNKNOWN: Final = ("other", "trees")
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
    "copy",
    "input",
    "output",
)
_NOTHING: Final = ("input", "output")
#: What the ``act`` of a layer ``copy`` says where it changes the layout, and where it permutes axes
#: so that neighbours part (all but the moving of one axis).
REORDER: Final = "reorder"
SCATTERED: Final = "scattered"
#: Fusions of a runtime that lays out activations in blocks; of networks read as it runs them; and
#: which of these tell its code paths apart (see ``kernel_of``).
_BLOCKED: Final = ("sum", "blocks")
_AS_READ: Final = ("read", "read_blocks")
_BY_PATH: Final = ("blocks", "read_blocks")
#: Slow activations that onnxruntime has in integers; all others are between a dequantization and a
#: quantization.
_IN_INTEGERS: Final = ("silu", "sigmoid", "softmax", "strided_softmax")
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

    fusion: a profile's; with "graph" a sum is one kernel, with "sum" reorders cost ``_REORDER``, as
            they do in blocks in a graph that was read as it runs ("read"). With "blocks" (and
            "read_blocks") besides, what onnxruntime runs by different code is told apart:
            convolutions in groups that fill blocks are convolutions like others, all other groups,
            depthwise ones of channels that are no multiple of four and convolutions over one or
            three axes are products of matrices, group by group; activations that a convolution does
            itself take time, but for ReLU; a map times one value a channel is a gate; permuted axes
            whose neighbours part, pieces that are looked up, and states of plain RNNs, are computed
            one by one; a sum that is normalised in one kernel takes what that kernel takes.
    """
    by_path = fusion in _BY_PATH
    if layer.op == "conv":
        in_blocks = fusion in _BLOCKED or (fusion in _AS_READ and lanes > LANES[0])
        if by_path:
            return _by_path(layer, lanes)
        if in_blocks and _is_over_one_axis(layer):
            return _grouped(layer)
        return _convolution(layer, lanes, _REORDER if in_blocks else 1)
    if layer.op == "linear":
        inputs, features = layer.in_channels, layer.out_channels
        outputs, rows = lane_multiple(features, lanes), layer.out_height * layer.out_width
        read_and_written = (inputs + features) * rows
        return Kernel(_LINEAR, rows, inputs, outputs, read_and_written, inputs * features, 1)
    if layer.op in ("max_pool", "avg_pool") and by_path and _is_plain_pool(layer):
        return _plain_pool(layer)
    if layer.op in ("max_pool", "avg_pool"):
        window = layer.kernel_height * layer.kernel_width
        return _pool(_POOL, layer, layer.out_height * layer.out_width, window, lanes)
    if layer.op == "global_pool":
        return _pool(_GLOBAL_POOL, layer, 1, layer.in_height * layer.in_width, lanes)
    if layer.op in _FROM_FILES:
        return (_from_files_by_path if by_path else _from_files)(layer, lanes)
    # Areas first: they are plain integers in most spaces, channels seldom are.
    area = layer.out_height * layer.out_width
    if layer.op == "add":
        if fusion == "graph":
            summed: Any = layer.out_channels * area * (layer.operands + 1)
            return Kernel(_ELEMENTWISE, 0, 0, 0, summed, 0, _SUM_LAUNCHES)
        sums: Any = layer.operands - 1
        return Kernel(_ELEMENTWISE, 0, 0, 0, layer.out_channels * (3 * area) * sums, 0, sums)
    elements: Ints
    if layer.in_channels is layer.out_channels:
        elements = layer.out_channels * (2 * area)
    else:
        elements = (layer.in_channels + layer.out_channels) * area
    slow = SLOW_ACTIVATIONS.get(layer.act, 0)
    slow = WORK_IN_BLOCKS.get(layer.act, slow) if by_path else slow
    if layer.op == "act" and slow:
        computed: Any = layer.out_channels * area
        if by_path:
            computed = computed + _of_rows(computed, layer, SOFTMAX_ROW)
            computed = computed + CHOICE_ELEMENTS * (layer.act == "where_constant")
        converted = fusion == "ort" and layer.out_format == "int8"
        if converted and layer.act not in _IN_INTEGERS:
            return Kernel(_ACTIVATION, computed, slow + CONVERSION_WORK, 1, elements, 0, 1)
        return Kernel(_ACTIVATION, computed, slow, 1, elements, 0, 1)
    if by_path and layer.op == "norm" and isinstance(area, int) and area == 1:
        return Kernel(_ACTIVATION, layer.out_channels, SCALE_WORK, 1, elements, 0, 1)
    if by_path and layer.op == "mul" and is_gate(layer):
        return Kernel(_GATE, area + _GATED, GATE_WORK, layer.out_channels, elements, 0, 1)
    launches: Ints = 1
    if lanes > LANES[0] and layer.op in ("concat", "slice", "pad"):
        # NCHWc -> NCHW before it, NCHW -> NCHWc after it.
        ragged: Any = 1 * (layer.in_channels % lanes != 0) | 1 * (layer.out_channels % lanes != 0)
        for x in layer.inputs:
            ragged = ragged | 1 * (x.channels % lanes != 0)
        elements, launches = elements + elements * (2 * ragged), 1 + 2 * ragged
    return Kernel(_ELEMENTWISE, 0, 0, 0, elements, 0, launches)


def _from_files_by_path(layer: Layer, lanes: int) -> Kernel:
    """The kernel of a layer that only files have, by the code that onnxruntime runs."""
    if layer.act == SCATTERED:
        moved: Any = out_elements(layer)
        return Kernel(_ACTIVATION, moved, SCATTER_WORK, 1, 2 * moved, 0, 1)
    if layer.op == "gather":
        pieces: Any = out_elements(layer) // layer.kernel_width
        moved = in_elements(layer) + out_elements(layer)
        return Kernel(_MOVE, pieces, GATHER_WORK, 1, moved, 0, 1)
    kernel = _from_files(layer, lanes)
    if layer.op == "layer_norm":
        more = _of_rows(kernel.positions, layer, NORM_ROW)
        work = kernel.reduction if layer.act else NORM_WORK
        kernel = kernel._replace(positions=kernel.positions + more, reduction=work)
    if layer.op == "layer_norm" and layer.operands == 2 and not layer.act:
        return kernel._replace(reduction=SKIP_NORM_WORK)
    if layer.op == "recurrent" and kernel.outputs <= layer.out_channels:
        # One gate a state: a plain RNN, whose states are activated one by one.
        return kernel._replace(reduction=kernel.reduction + STATE_WORK)
    return kernel


def _of_rows(elements: Ints, layer: Layer, row: int) -> Ints:
    """Elements that rows cost besides their own; none where their length is not known."""
    length: Any = layer.kernel_width
    more: Ints = (length > 1) * (row * (elements // length))
    return more


def _is_plain_pool(layer: Layer) -> bool:
    """Of a network from a file: on a plain tensor, over one or three axes or of odd channels."""
    channels = layer.in_channels
    return (
        layer.axes > 2
        or _is_over_one_axis(layer)
        or (isinstance(channels, int) and channels % _FOUR != 0)
    )


def _plain_pool(layer: Layer) -> Kernel:
    """Output by output, and from opset 19 on average pools tap by tap."""
    window: Any = layer.kernel_height * layer.kernel_width
    if layer.operands > 1:
        taps: Any = TAP_WORK * window + TAP_ROW_WORK * layer.kernel_height
    else:
        taps = PLAIN_POOL_WORK + 2 * window
    area = layer.in_height * layer.in_width + layer.out_height * layer.out_width
    positions = layer.out_height * layer.out_width
    return Kernel(_POOL, positions, taps, layer.out_channels, layer.out_channels * area, 0, 1)


def class_of(layer: Layer) -> str:
    """The class of a layer's kernel, of one network."""
    return KERNEL_CLASSES[int(np.max(kernel_of(layer).kind))]


def is_rated(layer: Layer, classes: Sequence[str]) -> bool:
    """Whether kernels like this layer's are among those that rates were fitted to.

    classes: that were measured. What is not is priced at the rates of its ``BASE_CLASS``; an
    operator that nobody knows by what it reads and writes.
    """
    if layer.op in _UNKNOWN:
        return False
    if layer.op == "act":
        return layer.act not in SLOW_ACTIVATIONS or "activation" in classes
    needed = _NEEDS.get(layer.op)
    return needed is None or needed in classes


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
            _MATMUL, rows, inputs, lane_multiple(outputs, lanes), moved - weights, weights, 1
        )
    if layer.op == "conv_transpose":
        # One product a position read, whose windows are then added up where they overlap.
        positions: Any = layer.in_height * layer.in_width * layer.batch
        window: Any = outputs // layer.groups * (layer.kernel_height * layer.kernel_width)
        columns = positions * window * layer.groups
        return Kernel(
            _TRANSPOSED,
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
            _RECURRENT,
            steps * layer.batch,
            reduction,
            matrices // reduction,
            moved,
            matrices,
            1 + steps,
        )
    work = WORK.get(layer.act) or WORK.get(layer.op, 0)
    touched: Any = np.maximum(in_elements(layer), out_elements(layer)) if work else 0
    return Kernel(_moving_class(layer, work), touched, work, 1, moved, 0, 1)


def _moving_class(layer: Layer, work: int) -> int:
    if layer.op in ("layer_norm", "reduce"):
        return _NORM
    if layer.op in _UNKNOWN:
        return _ELEMENTWISE
    if layer.act == REORDER:
        return _REORDERED
    return _ACTIVATION if work else _MOVE


def _pool(kind: int, layer: Layer, positions: Ints, window: Ints, lanes: int) -> Kernel:
    area = layer.in_height * layer.in_width + layer.out_height * layer.out_width
    elements = layer.out_channels * area
    outputs = lane_multiple(layer.out_channels, lanes)
    return Kernel(kind, positions, window, outputs, elements, 0, 1)


def _convolution(layer: Layer, lanes: int, reorder: int) -> Kernel:
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
    grouped = _grouped(layer)
    if not depthwise.any():
        return grouped
    return Kernel(*(np.where(depthwise, a, b) for a, b in zip(channelwise, grouped, strict=True)))


def _channelwise(layer: Layer, lanes: int, act: int = 0) -> Kernel:
    """A depthwise convolution. act: multiply-accumulates an output that its activation takes."""
    channels, window = layer.out_channels, layer.kernel_height * layer.kernel_width
    positions, area_in = _areas(layer)
    return Kernel(
        _DEPTHWISE,
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


def is_gate(product: Layer) -> bool:
    """Whether a product is of tensors of different sides."""
    sides = [(x.height, x.width) for x in product.inputs]
    return any(np.any(h != sides[0][0]) or np.any(w != sides[0][1]) for h, w in sides)


def _by_path(layer: Layer, lanes: int) -> Kernel:
    """A convolution as onnxruntime runs it where it lays out activations in blocks."""
    if _is_over_one_axis(layer) or layer.axes > 2:
        return _products(layer, _fused(layer))
    groups, read, written = layer.groups, layer.in_channels, layer.out_channels
    alone = np.asarray((groups == read) & (groups > 1) & (written == read))
    fills = (read // groups % lanes == 0) & (written // groups % lanes == 0)
    depthwise = np.asarray(alone & (read % _FOUR == 0))
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


def _is_over_one_axis(layer: Layer) -> bool:
    """Not laid out in blocks: what onnxruntime runs as it runs convolutions in groups."""
    height, width = layer.in_height, layer.in_width
    return isinstance(height, int) and height == 1 and isinstance(width, int) and width > 1


def _grouped(layer: Layer) -> Kernel:
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
        elements + _REORDER * there_and_back,
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
        _GROUPED,
        positions,
        columns + calls + groups * act,
        own + strided,
        layer.in_channels * area_in + layer.out_channels * positions,
        own * columns,
        1,
    )


def _grouped_class(layer: Layer) -> Ints:
    if isinstance(layer.groups, int):  # of one group, over one axis
        return _GROUPED
    kind: NDArray[np.int64] = np.where(layer.groups > 1, _GROUPED, _window_class(layer))
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
            return _POINTWISE
        return _CONV3 if height == width == 3 and layer.stride == 1 else _CONV
    one = np.asarray((height == 1) & (width == 1))
    three = np.asarray((height == 3) & (width == 3) & (layer.stride == 1))
    kind: NDArray[np.int64] = np.where(one, _POINTWISE, np.where(three, _CONV3, _CONV))
    return kind
