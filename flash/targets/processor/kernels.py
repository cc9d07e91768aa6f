"""What a layer is to a processor: one kernel, with a class, an amount of work and of traffic.

Batch norm and activation behind a convolution are part of its kernel, as every runtime we
know fuses them. A sum of n tensors runs as n - 1 binary sums, or as one kernel where the runtime
merges what it can (``flash.targets.processor.fusion``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from flash.spaces.layers import Ints, Layer, in_elements, layer_macs, out_elements
from flash.targets.processor.convolutions import (
    DEPTHWISE_MULTIPLE,
    REORDER_TIMES,
    convolution,
    convolution_by_path,
    grouped_convolution,
    is_over_one_axis,
)
from flash.targets.processor.kernel_classes import (
    ACTIVATION,
    ELEMENTWISE,
    GATE,
    GLOBAL_POOL,
    KERNEL_CLASSES,
    LANES,
    LINEAR,
    MATMUL,
    MOVE,
    NORM,
    POOL,
    RECURRENT,
    REORDERED,
    TRANSPOSED,
    Kernel,
    lane_multiple,
)
from flash.targets.processor.work import (
    CHOICE_ELEMENTS,
    CONVERSION_WORK,
    ELEMENT_WORK,
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

__all__ = ["REORDER", "SCATTERED", "class_of", "is_gate", "is_rated", "kernel_of"]

#: A channel of a gated map takes as long as so many positions more: 12 ns, 0.11 to 0.13 a position.
_GATED: Final = 60
#: Operation that only files have -> the class whose rates it needs.
_NEEDS: Final[Mapping[str, str]] = {
    "matmul": "matmul",
    "conv_transpose": "transposed",
    "recurrent": "recurrent",
    "layer_norm": "norm",
    "reduce": "norm",
    "resize": "move",
    "gather": "move",
    "sort": "activation",
}
#: Operations whose work is not known, and those that no suite has measured either.
_UNKNOWN: Final = ("other", "trees")
_NEVER_MEASURED: Final = (*_UNKNOWN, "scatter")
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


def kernel_of(layer: Layer, fusion: str = "conv", lanes: int = LANES[0]) -> Kernel:
    """The kernel that runs ``layer``.

    With more than four lanes activations lie in blocks of that many channels (layout NCHWc). Then
    the channels that a convolution reads are rounded up to whole blocks, and a concatenation,
    slice or pad of channels that do not fill blocks is preceded by a reorder to NCHW and followed
    by one back.

    fusion: a profile's; with "graph" a sum is one kernel, with "sum" reorders cost
            ``REORDER_TIMES``, as they do in blocks in a graph that was read as it runs ("read").
            With "blocks" (and "read_blocks") besides, what onnxruntime runs by different code is
            told apart: convolutions in groups that fill blocks are convolutions like others, all
            other groups, depthwise ones of channels that are no multiple of four and convolutions
            over one or three axes are products of matrices, group by group; activations that a
            convolution does itself take time, but for ReLU; a map times one value a channel is a
            gate; permuted axes whose neighbours part, pieces that are looked up, and states of
            plain RNNs, are computed one by one; a sum that is normalised in one kernel takes what
            that kernel takes.
    """
    by_path = fusion in _BY_PATH
    if layer.op == "conv":
        in_blocks = fusion in _BLOCKED or (fusion in _AS_READ and lanes > LANES[0])
        if by_path:
            return convolution_by_path(layer, lanes)
        if in_blocks and is_over_one_axis(layer):
            return grouped_convolution(layer)
        return convolution(layer, lanes, REORDER_TIMES if in_blocks else 1)
    if layer.op == "linear":
        inputs, features = layer.in_channels, layer.out_channels
        outputs, rows = lane_multiple(features, lanes), layer.out_height * layer.out_width
        read_and_written = (inputs + features) * rows
        return Kernel(LINEAR, rows, inputs, outputs, read_and_written, inputs * features, 1)
    if layer.op in ("max_pool", "avg_pool") and by_path and _is_plain_pool(layer):
        return _plain_pool(layer)
    if layer.op in ("max_pool", "avg_pool"):
        window = layer.kernel_height * layer.kernel_width
        return _pool(POOL, layer, layer.out_height * layer.out_width, window, lanes)
    if layer.op == "global_pool":
        return _pool(GLOBAL_POOL, layer, 1, layer.in_height * layer.in_width, lanes)
    if layer.op in _FROM_FILES:
        return (_from_files_by_path if by_path else _from_files)(layer, lanes)
    # Areas first: they are plain integers in most spaces, channels seldom are.
    area = layer.out_height * layer.out_width
    if layer.op == "add":
        if fusion == "graph":
            summed: Any = layer.out_channels * area * (layer.operands + 1)
            return Kernel(ELEMENTWISE, 0, 0, 0, summed, 0, _SUM_LAUNCHES)
        sums: Any = layer.operands - 1
        return Kernel(ELEMENTWISE, 0, 0, 0, layer.out_channels * (3 * area) * sums, 0, sums)
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
            return Kernel(ACTIVATION, computed, slow + CONVERSION_WORK, 1, elements, 0, 1)
        return Kernel(ACTIVATION, computed, slow, 1, elements, 0, 1)
    if by_path and layer.op == "norm" and isinstance(area, int) and area == 1:
        return Kernel(ACTIVATION, layer.out_channels, SCALE_WORK, 1, elements, 0, 1)
    if by_path and layer.op == "mul" and is_gate(layer):
        return Kernel(GATE, area + _GATED, GATE_WORK, layer.out_channels, elements, 0, 1)
    launches: Ints = 1
    if lanes > LANES[0] and layer.op in ("concat", "slice", "pad"):
        # NCHWc -> NCHW before it, NCHW -> NCHWc after it.
        ragged: Any = 1 * (layer.in_channels % lanes != 0) | 1 * (layer.out_channels % lanes != 0)
        for x in layer.inputs:
            ragged = ragged | 1 * (x.channels % lanes != 0)
        elements, launches = elements + elements * (2 * ragged), 1 + 2 * ragged
    return Kernel(ELEMENTWISE, 0, 0, 0, elements, 0, launches)


def _from_files_by_path(layer: Layer, lanes: int) -> Kernel:
    """The kernel of a layer that only files have, by the code that onnxruntime runs."""
    if layer.act == SCATTERED:
        moved: Any = out_elements(layer)
        return Kernel(ACTIVATION, moved, SCATTER_WORK, 1, 2 * moved, 0, 1)
    if layer.op == "gather":
        pieces: Any = out_elements(layer) // layer.kernel_width
        moved = in_elements(layer) + out_elements(layer)
        each = ELEMENT_WORK if layer.act == "elements" else GATHER_WORK
        return Kernel(MOVE, pieces, each, 1, moved, 0, 1)
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
        or is_over_one_axis(layer)
        or (isinstance(channels, int) and channels % DEPTHWISE_MULTIPLE != 0)
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
    return Kernel(POOL, positions, taps, layer.out_channels, layer.out_channels * area, 0, 1)


def class_of(layer: Layer) -> str:
    """The class of a layer's kernel, of one network."""
    return KERNEL_CLASSES[int(np.max(kernel_of(layer).kind))]


def is_rated(layer: Layer, classes: Sequence[str]) -> bool:
    """Whether kernels like this layer's are among those that rates were fitted to.

    classes: that were measured. What is not is priced at the rates of its ``BASE_CLASS``; an
    operator that nobody knows by what it reads and writes.
    """
    if layer.op in _NEVER_MEASURED:
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
        return Kernel(ELEMENTWISE, 0, 0, 0, 0, 0, 0)
    if layer.op == "matmul":
        # The second operand is read as weights are: once a matrix, then from the cache.
        rows: Any = layer.out_height * layer.batch
        weights: Any = inputs * outputs
        return Kernel(
            MATMUL, rows, inputs, lane_multiple(outputs, lanes), moved - weights, weights, 1
        )
    if layer.op == "conv_transpose":
        # One product a position read, whose windows are then added up where they overlap.
        positions: Any = layer.in_height * layer.in_width * layer.batch
        window: Any = outputs // layer.groups * (layer.kernel_height * layer.kernel_width)
        columns = positions * window * layer.groups
        return Kernel(
            TRANSPOSED,
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
            RECURRENT,
            steps * layer.batch,
            reduction,
            matrices // reduction,
            moved,
            matrices,
            1 + steps,
        )
    if layer.op == "scatter":
        return Kernel(MOVE, layer.kernel_height, SCATTER_WORK, 1, moved, 0, 1)
    work = WORK.get(layer.act) or WORK.get(layer.op, 0)
    touched: Any = np.maximum(in_elements(layer), out_elements(layer)) if work else 0
    return Kernel(_moving_class(layer, work), touched, work, 1, moved, 0, 1)


def _moving_class(layer: Layer, work: int) -> int:
    if layer.op in ("layer_norm", "reduce"):
        return NORM
    if layer.op in _UNKNOWN:
        return ELEMENTWISE
    if layer.act == REORDER:
        return REORDERED
    return ACTIVATION if work else MOVE


def _pool(kind: int, layer: Layer, positions: Ints, window: Ints, lanes: int) -> Kernel:
    area = layer.in_height * layer.in_width + layer.out_height * layer.out_width
    elements = layer.out_channels * area
    outputs = lane_multiple(layer.out_channels, lanes)
    return Kernel(kind, positions, window, outputs, elements, 0, 1)


def is_gate(product: Layer) -> bool:
    """Whether a product is of tensors of different sides."""
    sides = [(x.height, x.width) for x in product.inputs]
    return any(np.any(h != sides[0][0]) or np.any(w != sides[0][1]) for h, w in sides)
