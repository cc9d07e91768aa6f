"""What a runtime that looks at the whole graph merges into one kernel.

Every runtime we know folds batch norm and activation into the convolution before them; layers
carry those already. Compilers such as TensorRT go on (``fusion = "graph"`` in a profile):

* an activation or normalisation is done by the kernel that makes its operand, if nothing else
  reads that operand;
* a sum is computed from left to right, and the addition of a convolution's result is done by
  that convolution, if nothing else reads the result.

The rules are ours, found on HW-NAS-Bench's edge GPU (Jetson TX2, TensorRT), where they explain
cells of equal operations whose latencies differ by a third.

Only kernels of one stage merge, so that the costs of stages still add up to the network's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Flags, Ints, Layer
from flash.spaces.network import Network
from flash.spaces.table import LayerTable

__all__ = ["fused_network", "fused_table"]

Grid = NDArray[np.bool_]
_ACTIVATIONS = ("act", "norm")


def fused_table(table: LayerTable, runs: Grid) -> tuple[Grid, list[Ints]]:
    """What is left to run of the layers that run, and the additions done by convolutions.

    runs: (rows, designs). Returns the same without what is merged, and for each row the
    number of its additions that convolutions do (0, or one a design).
    """
    readers = _readers(table, runs)
    stages = np.array([layer.stage for layer in table.layers])
    convolutions = table.ops == "conv"
    columns = np.arange(table.designs)
    left, merged = runs.copy(), list[Ints]()

    def only_reader(row: int, producer: Ints) -> Grid:
        """Designs in which ``row`` alone reads the result of a producer in its stage."""
        made = np.broadcast_to(np.asarray(producer), (table.designs,))
        found: Grid = (made >= 0) & (readers[made, columns] == 1)
        alone: Grid = found & (stages[made] == stages[row])
        return alone

    for row, layer in enumerate(table.layers):
        additions: Ints = 0
        if layer.op in _ACTIVATIONS:
            left[row] &= ~only_reader(row, layer.inputs[0].producer)
        elif layer.op == "add":
            seen = np.zeros(table.designs, dtype=np.bool_)
            for x in layer.inputs:
                made = np.broadcast_to(np.asarray(x.producer), (table.designs,))
                alone = only_reader(row, x.producer) & convolutions[made]
                # What is left out feeds zeros, as in the graph without it.
                there = x.present & ((made < 0) | runs[made, columns])
                additions = additions + (alone & there & seen & runs[row]).astype(np.int64)
                seen = seen | there
        merged.append(additions if np.any(additions) else 0)
    return left, merged


def fused_network(network: Network) -> list[tuple[Layer, int]]:
    """The layers of a network that still run, each with the additions convolutions do for it."""
    table = LayerTable(network.layers, [True] * len(network.layers), network.output, 1)
    left, merged = fused_table(table, table.active)
    counts = [int(np.max(np.asarray(m))) for m in merged]
    return [(x, m) for x, m, runs in zip(network.layers, counts, left[:, 0], strict=True) if runs]


def _readers(table: LayerTable, runs: Grid) -> NDArray[np.int64]:
    """(rows + 2, designs): how often running layers, or the output, read each result.

    The last row stands for the input, the one before it for constant zeros.
    """
    readers = np.zeros((len(table) + 2, table.designs), dtype=np.int64)
    columns = np.arange(table.designs)
    readers[np.asarray(table.output.producer), columns] += 1
    for row, layer in enumerate(table.layers):
        for x in layer.inputs:
            reads: Flags = runs[row] & x.present
            readers[np.asarray(x.producer), columns] += reads
    return readers
