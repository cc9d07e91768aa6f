"""NN-Mass (Bhardwaj et al., CVPR 2021, arXiv 1910.00780): skip channels, weighted by density.

CONCAT cell of d layers of width w with budget t:

    rho = 2 sum_{i=2}^{d-1} min{w (i-1), t} / (w (d-1) (d-2)),    m = w d rho

ADD blocks (from the authors' code): a basic block counts ``c_in + c_out``, an inverted
residual of width c and hidden width h counts ``(c + 2h) c / (2c + h)``, each only if it has
its shortcut. A shortcut of t < w channels counts in proportion (ours). The network's mass is
the sum over cells or blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.metrics.metric import CellMetric
from flash.quantities import Quantity
from flash.spaces.layers import Layer
from flash.spaces.table import LayerTable

__all__ = ["NN_MASS", "nn_mass"]


def nn_mass(table: LayerTable) -> NDArray[np.float64]:
    """NN-Mass of every design of ``table``, shape (designs,), from its cells."""
    mass = np.zeros(table.designs)
    for cell in sorted({layer.cell for layer in table.layers if layer.cell >= 0}):
        rows = [r for r, layer in enumerate(table.layers) if layer.cell == cell]
        convs = [r for r in rows if table.layers[r].op == "conv"]
        depth = table.active[convs].sum(axis=0)
        taken = (table["skip"] * table.active)[convs].sum(axis=0)
        # Below three layers there is no skip channel to have, and no mass.
        mass += 2 * depth * taken / np.maximum((depth - 1) * (depth - 2), 1)
        depthwise: Layer | None = None
        for row in rows:
            layer = table.layers[row]
            if layer.op == "conv" and np.any(np.asarray(layer.groups) > 1):
                depthwise = layer
            if layer.op == "add":
                mass += table.active[row] * _block(layer, depthwise)
    return mass


def _block(add: Layer, depthwise: Layer | None) -> NDArray[np.float64]:
    """Mass of the block that ``add`` closes; ``depthwise`` is its depthwise layer, if any."""
    if depthwise is None:
        return 2.0 * np.asarray(add.skip)
    channels, hidden = np.asarray(add.skip), np.asarray(depthwise.out_channels)
    mass: NDArray[np.float64] = (channels + 2 * hidden) * channels / (2 * channels + hidden)
    return mass


NN_MASS = CellMetric(
    quantity=Quantity("nn_mass", "NN-Mass"),
    source="Bhardwaj et al., CVPR 2021; partial shortcuts ours",
    table=nn_mass,
)
