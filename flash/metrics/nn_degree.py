"""NN-Degree (FLASH, Li et al. 2021): the average degree of the channel graph, cell by cell.

    g = sum over cells c of ( w_c + SC_c / (w_c d_c) )

``w_c`` is the width of the cell's layers (each channel is linked to the ``w_c`` channels of
the layer before), ``w_c d_c`` its channels, ``SC_c`` its long-range links. The form is
reconstructed from general knowledge of the paper (its text could not be read); where widths
differ within a cell we take the mean width and the sum of widths (our choice).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.spaces.table import LayerTable

__all__ = ["nn_degree"]


def nn_degree(table: LayerTable) -> NDArray[np.float64]:
    """NN-Degree of every design of ``table``, shape (designs,), from its layers.

    A cell's nodes are the output channels of its convolutions, its long-range links
    ``skip x out_channels`` of every layer that long-range channels reach. Layers outside
    cells (stem, head) do not count.
    """
    cells = np.array([layer.cell for layer in table.layers], dtype=np.int64)
    conv = table.ops == "conv"
    out = table["out_channels"] * table.active
    links = table["skip"] * out
    total = np.zeros(table.designs)
    for cell in np.unique(cells[cells >= 0]):
        rows = cells == cell
        nodes = out[rows & conv].sum(axis=0)
        layers = table.active[rows & conv].sum(axis=0)
        mean_width = nodes / np.maximum(layers, 1)
        total += mean_width + links[rows].sum(axis=0) / np.maximum(nodes, 1)
    return total
