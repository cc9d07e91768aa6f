"""A layer on a systolic array: matrix products cut into folds, their cycles and their traffic.

A convolution is ``groups`` products of an M x K with a K x N matrix: M output
positions, N output channels, K weights an output. A fold is what the array of R rows and
C columns does without reloading what it holds:

=================  ================  ==================  ==================================
dataflow           folds             streamed in a fold  cycles
=================  ================  ==================  ==================================
output stationary  (M / R) (N / C)   K                   folds * (K + R + C - 2) - 1
weight stationary  (K / R) (N / C)   M                   folds * (M + 2 R + C - 2) - 1
input stationary   (K / R) (M / C)   N                   folds * (N + 2 R + C - 2) - 1
=================  ================  ==================  ==================================

(quotients rounded up). These are the cycles SCALE-Sim 3.0.0 (Samajdar et al., ISPASS 2020)
counts, exactly. An array larger than the product still pays for its own R + C, so more rows
or columns are not always faster.

SRAM accesses follow SCALE-Sim's reports, which send every partial sum to DRAM. Traffic to
DRAM is ours: an operand that is needed in several passes is read again in each, unless it, or
the part of it that the inner loops use, fits into half of its buffer. Output stationary takes
the better of its two loop orders. Weight and input stationary pass the streamed operand in
chunks whose partial sums fit into half of their buffer, so that none leaves the chip; every
chunk but the first pays the fill of each fold again (``reload_cycles``; none in SCALE-Sim).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Flags, Ints, Layer, in_elements

__all__ = [
    "DATAFLOWS",
    "PRODUCT_DATAFLOWS",
    "Array",
    "Gemm",
    "Traffic",
    "gemm_cycles",
    "gemm_of",
    "gemm_traffic",
]

#: A number, or one a design.
Numbers = float | NDArray[Any]

#: Dataflows; the hardware variable ``dataflow`` is a position in this tuple. Row stationary is
#: none of matrix products: see ``row_stationary``.
PRODUCT_DATAFLOWS: Final = ("os", "ws", "is")
DATAFLOWS: Final = (*PRODUCT_DATAFLOWS, "rs")


class Gemm(NamedTuple):
    """``groups`` products M x K by K x N; integers, or arrays with one value a design.

    inputs, weights: different elements one product fetches from DRAM: fewer than M x K inputs
    where the windows of a convolution overlap, none of what is on the chip already.
    """

    m: Ints
    n: Ints
    k: Ints
    groups: Ints
    inputs: Ints
    weights: Ints


class Array(NamedTuple):
    """The hardware a product meets; numbers, or arrays that broadcast against designs.

    *_bytes: half of each double buffer. element_bytes, sum_bytes: of an operand and of a
    partial sum.
    """

    rows: Ints
    cols: Ints
    dataflow: Ints
    input_bytes: Numbers
    weight_bytes: Numbers
    held_sums_bytes: Numbers
    element_bytes: Numbers
    sum_bytes: Numbers


class Traffic(NamedTuple):
    """What one product moves (multiply by ``groups`` for the layer).

    SRAM, in elements: input_reads, weight_reads; sum_writes and sum_reads of partial sums.
    DRAM, in bytes: input_bytes and weight_bytes read; fill_bytes is the part of them that has
    to arrive before the first fold can start.
    reload_cycles: beyond those of ``gemm_cycles``, because partial sums do not fit.
    """

    input_reads: Numbers
    weight_reads: Numbers
    sum_writes: Numbers
    sum_reads: Numbers
    input_bytes: Numbers
    weight_bytes: Numbers
    fill_bytes: Numbers
    reload_cycles: Numbers


def gemm_of(layer: Layer) -> Gemm:
    """The matrix products of a ``conv``, ``linear``, ``matmul`` or ``conv_transpose`` layer.

    A transposed convolution spreads each input position over a window: a product of all positions
    with a matrix of ``window`` columns an output channel, whose overlaps are then added. Of a
    product of two activations the second takes the weights' place; a stack of them is as many
    products, while a stack that one set of weights meets is one product of more rows.
    """
    if layer.op in ("linear", "matmul"):
        n, k = layer.out_channels, layer.in_channels
        rows, stack = layer.out_height * layer.out_width, layer.batch
        if layer.op == "linear":
            rows, stack = rows * stack, 1
        return Gemm(rows, n, k, stack, rows * k, n * k)
    window = layer.kernel_height * layer.kernel_width
    if layer.op == "conv_transpose":
        m, k = layer.in_height * layer.in_width, layer.in_channels // layer.groups
        n = layer.out_channels // layer.groups * window
        return Gemm(m, n, k, layer.groups, m * k, n * k)
    m = layer.out_height * layer.out_width
    n = layer.out_channels // layer.groups
    k = layer.in_channels // layer.groups * window
    inputs = np.minimum(in_elements(layer) // layer.groups, m * k)
    return Gemm(m, n, k, layer.groups, inputs, n * k)


def _folds(length: Ints, size: Ints) -> Ints:
    return -(-length // size)


def _select(dataflow: Ints, *choices: Numbers) -> Numbers:
    """The choice of the dataflow; plain arithmetic where one dataflow serves all designs."""
    if isinstance(dataflow, int | np.integer):
        return choices[int(dataflow)]
    return np.choose(dataflow, np.broadcast_arrays(*choices))


def gemm_cycles(m: Ints, n: Ints, k: Ints, rows: Ints, cols: Ints, dataflow: Ints) -> Ints:
    """Cycles of one product without memory stalls, as SCALE-Sim 3.0.0 counts them."""
    fill = rows + cols - 2
    cycles = _select(
        dataflow,
        _folds(m, rows) * _folds(n, cols) * (k + fill) - 1,
        _folds(k, rows) * _folds(n, cols) * (m + rows + fill) - 1,
        _folds(k, rows) * _folds(m, cols) * (n + rows + fill) - 1,
    )
    return cycles if isinstance(cycles, np.ndarray) else int(cycles)


def gemm_traffic(g: Gemm, array: Array) -> Traffic:
    """What one product moves through SRAM and DRAM."""
    if isinstance(array.dataflow, int | np.integer):
        return _TRAFFIC[int(array.dataflow)](g, array)
    each = [traffic(g, array) for traffic in _TRAFFIC]
    return Traffic(*(_select(array.dataflow, *values) for values in zip(*each, strict=True)))


def _again(fits: Flags, passes: Ints) -> Ints:
    """How often an operand is read from DRAM."""
    return np.where(fits, 1, passes)


def _output_stationary(g: Gemm, a: Array) -> Traffic:
    down, across = _folds(g.m, a.rows), _folds(g.n, a.cols)
    inputs, weights = g.inputs * a.element_bytes, g.weights * a.element_bytes
    input_strip = np.minimum(np.minimum(a.rows, g.m) * g.k * a.element_bytes, inputs)
    weight_strip = np.minimum(np.minimum(a.cols, g.n) * g.k * a.element_bytes, weights)
    rows_first = (
        inputs * _again(input_strip <= a.input_bytes, across),
        weights * _again(weights <= a.weight_bytes, down),
    )
    columns_first = (
        inputs * _again(inputs <= a.input_bytes, across),
        weights * _again(weight_strip <= a.weight_bytes, down),
    )
    better = rows_first[0] + rows_first[1] <= columns_first[0] + columns_first[1]
    return Traffic(
        input_reads=g.m * g.k * across,
        weight_reads=g.n * g.k * down,
        sum_writes=g.m * g.n,
        sum_reads=0,
        input_bytes=np.where(better, rows_first[0], columns_first[0]),
        weight_bytes=np.where(better, rows_first[1], columns_first[1]),
        fill_bytes=input_strip + weight_strip,
        reload_cycles=0,
    )


def _weight_stationary(g: Gemm, a: Array) -> Traffic:
    steps, passes = _folds(g.k, a.rows), _folds(g.n, a.cols)
    inputs, weights = g.inputs * a.element_bytes, g.weights * a.element_bytes
    length, chunks = _chunks(g.m, g.n, a)
    part = np.minimum(length * g.k * a.element_bytes, inputs)
    resident = np.minimum(a.rows, g.k) * np.minimum(a.cols, g.n)
    kept = (weights <= a.weight_bytes) | (steps * passes == 1)
    return Traffic(
        input_reads=g.m * g.k * passes,
        weight_reads=g.n * g.k * _again(steps * passes == 1, chunks),
        sum_writes=g.m * g.n * steps,
        sum_reads=g.m * g.n * (steps - 1),
        input_bytes=inputs * _again(part <= a.input_bytes, passes),
        weight_bytes=weights * _again(kept, chunks),
        fill_bytes=np.minimum(resident * a.element_bytes, weights),
        reload_cycles=_reload_cycles(steps * passes, chunks, a),
    )


def _input_stationary(g: Gemm, a: Array) -> Traffic:
    steps, passes = _folds(g.k, a.rows), _folds(g.m, a.cols)
    inputs, weights = g.inputs * a.element_bytes, g.weights * a.element_bytes
    length, chunks = _chunks(g.n, g.m, a)
    part = np.minimum(length * g.k * a.element_bytes, weights)
    kept = (inputs <= a.input_bytes) | (steps * passes == 1)
    resident = np.minimum(a.rows, g.k) * np.minimum(a.cols, g.m)
    return Traffic(
        input_reads=g.m * g.k * _again(steps * passes == 1, chunks),
        weight_reads=g.n * g.k * passes,
        sum_writes=g.m * g.n * steps,
        sum_reads=g.m * g.n * (steps - 1),
        input_bytes=inputs * _again(kept, chunks),
        weight_bytes=weights * _again(part <= a.weight_bytes, passes),
        fill_bytes=np.minimum(resident * a.element_bytes, inputs),
        reload_cycles=_reload_cycles(steps * passes, chunks, a),
    )


_TRAFFIC = (_output_stationary, _weight_stationary, _input_stationary)


def _chunks(stream: Ints, across: Ints, a: Array) -> tuple[Numbers, Ints]:
    """Longest chunk of ``stream`` vectors whose partial sums fit, and how many there are.

    The length is not rounded, so that what fits never depends on rounding; the number is.
    """
    fitting = np.maximum(a.held_sums_bytes / (np.minimum(a.cols, across) * a.sum_bytes), 1)
    whole = np.minimum(np.floor(fitting).astype(np.int64), stream)
    return np.minimum(fitting, stream), _folds(stream, whole)


def _reload_cycles(folds: Ints, chunks: Ints, a: Array) -> Ints:
    """What filling the array again for each further chunk costs; one fold stays filled."""
    return np.where(folds > 1, folds * (chunks - 1) * (2 * a.rows + a.cols - 2), 0)
