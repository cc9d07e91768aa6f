"""What a runtime that looks at the whole graph merges into one kernel.

Every runtime we know folds batch norm and activation into the convolution before them; layers
carry those already. Compilers such as TensorRT go on (``fusion = "graph"`` in a profile):

* an activation or normalisation is done by the kernel that makes its operand, if nothing else
  reads that operand;
* a sum is one kernel whatever its number of operands (``kernel_of``), and where the reference
  code starts its sums from zero, so is a sum of one tensor or of none.

The rules are ours, found on HW-NAS-Bench's edge GPU (Jetson TX2, TensorRT): with them, counts
of kernels explain all its cells to a median of 3 %; with every operation a kernel, to 8 %.

Only kernels of one stage merge, so that the costs of stages still add up to the network's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Flags, Ints, Layer, Tensor
from flash.spaces.network import Network
from flash.spaces.table import LayerTable

__all__ = ["fused_network", "fused_table"]

Grid = NDArray[np.bool_]
_ACTIVATIONS = ("act", "norm")


def fused_table(table: LayerTable, runs: Grid) -> tuple[Grid, Grid]:
    """What is left to run of the layers that run, and the lone sums that run besides.

    runs: (rows, designs). Returns the same without what is merged, and (lone sums, designs).
    """
    sums = _lone_sums(table, runs)
    readers = _readers(table, runs, sums)
    made_in = np.array([x.stage for x in table.layers] + [x.stage for x, _ in table.lone_sums])
    columns = np.arange(table.designs)
    left = runs.copy()
    for row, layer in enumerate(table.layers):
        if layer.op in _ACTIVATIONS:
            made = _origin(table, layer.inputs[0])
            inside = made < len(made_in)
            stage = made_in[np.where(inside, made, 0)]
            left[row] &= ~(inside & (readers[made, columns] == 1) & (stage == layer.stage))
    return left, sums


def fused_network(network: Network) -> list[Layer]:
    """The layers and lone sums of a network that still run."""
    table = LayerTable(
        network.layers, [True] * len(network.layers), network.output, 1,
        [(layer, True) for layer in network.lone_sums],
    )  # fmt: skip
    grids = fused_table(table, table.active)
    layers = (*network.layers, *network.lone_sums)
    return [x for x, runs in zip(layers, np.concatenate(grids)[:, 0], strict=True) if runs]


def _origin(table: LayerTable, x: Tensor) -> Ints:
    """(designs,) the row that makes a tensor; behind all rows its lone sum; then zeros, input."""
    producer, lone = np.asarray(x.producer), np.asarray(x.lone_sum)
    rows, sums = len(table), len(table.lone_sums)
    made = np.where(producer < 0, rows + sums + 2 + producer, producer)
    result: Ints = np.broadcast_to(np.where(lone < 0, made, rows + lone), (table.designs,))
    return result


def _lone_sums(table: LayerTable, runs: Grid) -> Grid:
    """(lone sums, designs): what a layer that runs, the output or another such sum reads.

    A sum of nothing is read too: its zeros are a tensor like any other.
    """
    wanted = np.zeros((len(table) + len(table.lone_sums) + 2, table.designs), dtype=np.bool_)
    columns, rows = np.arange(table.designs), len(table)
    if table.lone_sums:
        wanted[_origin(table, table.output), columns] = True
        for row, layer in enumerate(table.layers):
            for x in layer.inputs:
                wanted[_origin(table, x), columns] |= runs[row]
        for number in range(len(table.lone_sums) - 1, -1, -1):
            layer, has = table.lone_sums[number]
            wanted[rows + number] &= has
            for x in layer.inputs:
                wanted[_origin(table, x), columns] |= wanted[rows + number]
    result: Grid = wanted[rows : rows + len(table.lone_sums)]
    return result


def _readers(table: LayerTable, runs: Grid, sums: Grid) -> NDArray[np.int64]:
    """How often what runs, or the output, reads each result; rows as in ``_origin``."""
    readers = np.zeros((len(table) + len(sums) + 2, table.designs), dtype=np.int64)
    columns = np.arange(table.designs)
    readers[_origin(table, table.output), columns] += 1
    layers = (*table.layers, *(layer for layer, _ in table.lone_sums))
    for layer, own in zip(layers, np.concatenate([runs, sums]), strict=True):
        for x in layer.inputs:
            reads: Flags = own & (x.present | (np.asarray(x.lone_sum) >= 0))
            readers[_origin(table, x), columns] += reads
    return readers
