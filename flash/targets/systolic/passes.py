"""A layer on a row-stationary array: its passes (``row_stationary``) in cycles, bytes and energy.

Zeros of the activations save energy, not time: the multiplication, the weight's read and the
sum's write are gated. Activations are run-length coded in DRAM where that is shorter. Inputs and
outputs wait for DRAM, weights are fetched while the array works.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Layer
from flash.targets.systolic.chip import Chip
from flash.targets.systolic.row_stationary import (
    RowStationary,
    Shape,
    best_mapping,
    run_length_share,
)
from flash.targets.systolic.spent import Spent

__all__ = ["Zeros", "passes_cost"]

Floats = NDArray[np.float64]


class Zeros(NamedTuple):
    """Shares of a layer's inputs and outputs that are zero, 0 to below 1."""

    inputs: float
    outputs: float


def passes_cost(
    layer: Layer, chip: Chip, array: RowStationary, zeros: Zeros | None = None
) -> Spent:
    """Of one image of a batch; numbers, or arrays over designs and chips.

    zeros: the chip's ``zeros_percent`` for both if not given.
    """
    groups = layer.batch if layer.op == "matmul" else layer.groups
    columns = [*_shape(layer), groups, chip.rows, chip.cols, chip.batch, chip.bits]
    inside, outside = (chip.zeros, chip.zeros) if zeros is None else zeros
    every = np.broadcast_arrays(*columns, inside, outside, chip.bytes_per_cycle)
    table = np.stack([column.ravel() for column in every], axis=1)
    different, where = np.unique(table, axis=0, return_inverse=True)
    counts = np.array([_counts(row, array) for row in different])
    shape = np.shape(every[0])
    compute, cycles, dram_bytes, reads, writes, macs, outputs = (
        counts[where.ravel(), k].reshape(shape) for k in range(counts.shape[1])
    )
    word_bits = chip.bits
    active = macs * (1 - inside)
    return Spent(
        compute_cycles=compute,
        cycles=cycles,
        dram_bytes=dram_bytes,
        sram_bytes=(reads + writes) * word_bits / 8,
        mac_pj=active * (chip.mac_only_pj + chip.scratchpad_pj),
        sram_pj=word_bits * (reads * chip.inputs.read_pj + writes * chip.inputs.write_pj),
        dram_pj=dram_bytes * chip.dram_pj_per_byte,
        vector_pj=outputs * chip.vector_pj,
    )


def _shape(layer: Layer) -> tuple[Any, ...]:
    """The columns of ``Shape`` for a convolution, or a matrix product as one of 1 x 1."""
    groups = layer.groups
    if layer.op in ("linear", "matmul"):
        rows = layer.out_height * layer.out_width * (layer.batch if layer.op == "linear" else 1)
        return layer.in_channels, layer.out_channels, rows, 1, rows, 1, 1, 1, 1
    if layer.op == "conv_transpose":  # each position spread over a window, which is then added up
        window = layer.kernel_height * layer.kernel_width
        filters, height, width = (
            layer.out_channels // groups * window,
            layer.in_height,
            layer.in_width,
        )
        return layer.in_channels // groups, filters, height, width, height, width, 1, 1, 1
    return (
        layer.in_channels // groups,
        layer.out_channels // groups,
        layer.out_height,
        layer.out_width,
        layer.in_height + 2 * layer.pad_height,
        layer.in_width + 2 * layer.pad_width,
        layer.kernel_height,
        layer.kernel_width,
        layer.stride,
    )


def _counts(row: Floats, array: RowStationary) -> tuple[float, ...]:
    """Of one image: compute cycles, cycles, DRAM bytes, buffer reads and writes, MACs, outputs."""
    sizes = [max(int(value), 1) for value in row[:9]]
    groups, rows, cols, batch, bits = (max(int(value), 1) for value in row[9:14])
    inside, outside, bytes_per_cycle = (float(value) for value in row[14:])
    shape, word_bytes = Shape(*sizes), bits / 8
    found = best_mapping(shape, rows, cols, array, batch, word_bytes)
    each = groups / batch
    activations = (
        found.input_words * run_length_share(inside)
        + found.output_words * run_length_share(outside)
    ) * word_bytes
    weights = found.weight_words * word_bytes
    compute = found.cycles
    waiting = max(activations, activations + weights - compute * bytes_per_cycle) / bytes_per_cycle
    writes = found.input_words + (found.buffer_sum_words + found.output_words) / 2
    reads = found.buffer_input_words + found.buffer_sum_words - writes + found.output_words
    macs = shape.kernel_height * shape.kernel_width * shape.channels * found.output_words
    return (
        compute * each,
        (compute + waiting) * each,
        (activations + weights) * each,
        reads * each,
        writes * each,
        macs * each,
        found.output_words * each,
    )
