"""NN-Degree (FLASH, Li et al. 2021): the average degree of the channel graph, cell by cell.

    g = sum over cells c of ( w_c + SC_c / (w_c d_c) )

``w_c`` is the width of the cell's layers (each channel is linked to the ``w_c`` channels of
the layer before), ``w_c d_c`` its channels, ``SC_c`` its long-range links. The form is
reconstructed from general knowledge of the paper (its text could not be read); where widths
differ within a cell we take the mean width and the sum of widths (our choice).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flash.metrics.metric import CellMetric
from flash.quantities import Quantity
from flash.spaces.network import Network
from flash.spaces.table import LayerTable

if TYPE_CHECKING:
    from flash.metrics.sed.live import Live

__all__ = ["NN_DEGREE", "network_nn_degree", "nn_degree"]


def nn_degree(table: LayerTable) -> NDArray[np.float64]:
    """NN-Degree of every design of ``table``, shape (designs,), from its layers.

    A cell's nodes are the output channels of its convolutions, its long-range links
    ``skip x out_channels`` of every layer that long-range channels reach. Layers outside
    cells (stem, head) do not count, nor do those on no path from the input to the output.
    """
    cells = np.array([layer.cell for layer in table.layers], dtype=np.int64)
    conv = table.ops == "conv"
    out = table["out_channels"] * table.live
    links = table["skip"] * out
    total = np.zeros(table.designs)
    for cell in sorted(set(cells[cells >= 0].tolist())):
        rows = cells == cell
        nodes = out[rows & conv].sum(axis=0)
        layers = table.live[rows & conv].sum(axis=0)
        mean_width = nodes / np.maximum(layers, 1)
        total += mean_width + links[rows].sum(axis=0) / np.maximum(nodes, 1)
    return total


def network_nn_degree(network: Network) -> float:
    """NN-Degree of any network, from its live graph alone: no notes of a family are read.

    A cell is all convolutions of one resolution except those that read the image. Of the
    tensors a concat or sum joins, the latest is the layer before; the others are long-range
    links. Equals ``nn_degree`` on the concat and add families, whose cells are so shaped.
    """
    from flash.metrics.sed.live import Live  # noqa: PLC0415 (designs of a space do without)

    live = Live(network)
    layers = live.layers
    nodes: dict[tuple[int, int], int] = {}
    convs: dict[tuple[int, int], int] = {}
    links: dict[tuple[int, int], int] = {}
    for number in live.order:
        layer, reads = layers[number], live.reads[number]
        cell = int(layer.out_height), int(layer.out_width)
        distant = 0
        if layer.op == "add":
            distant = _long_range(live, reads)
        elif layer.op == "conv" and reads[0] >= 0:
            nodes[cell] = nodes.get(cell, 0) + int(layer.out_channels)
            convs[cell] = convs.get(cell, 0) + 1
            if layers[reads[0]].op == "concat":
                distant = _long_range(live, live.reads[reads[0]])
        links[cell] = links.get(cell, 0) + distant * int(layer.out_channels)
    return sum(nodes[c] / convs[c] + links[c] / nodes[c] for c in nodes)


def _long_range(live: Live, joined: list[int]) -> int:
    """Channels that a concat or sum of ``joined`` takes from beyond the layer before it."""
    taken: list[tuple[int, int]] = []
    for number in joined:
        if number < 0:
            continue
        channels = int(live.layers[number].out_channels)
        while number >= 0 and live.layers[number].op in ("slice", "pad"):
            channels = min(channels, int(live.layers[number].in_channels))
            number = live.reads[number][0]
        taken.append((number, channels))
    latest = max(taken, default=(0, 0))
    return sum(channels for _, channels in taken) - latest[1]


NN_DEGREE = CellMetric(
    quantity=Quantity("nn_degree", "NN-Degree"),
    source="Li et al., FLASH, 2021 (reconstructed); unequal widths in a cell ours",
    table=nn_degree,
    network=network_nn_degree,
)
