"""Numbers of every layer, read off the layer table: what formulas of EZNAS are made of."""

from __future__ import annotations

import numpy as np

from flash.search.budgeted.candidates import Ints, LayerStatistics
from flash.spaces.space import SearchSpace

__all__ = ["layer_statistics"]

#: In the order of ``LayerStatistics.values``; ``layer_statistics`` says what they are.
_NAMES = (
    "one",
    "conv",
    "pool",
    "in_channels",
    "out_channels",
    "kernel",
    "map",
    "params",
    "macs",
    "skip",
    "depth",
)


def layer_statistics(space: SearchSpace, designs: Ints) -> LayerStatistics:
    """Statistics of the live layers of designs; no network is built or run.

    ``one`` counts layers; ``conv`` and ``pool`` are 1 for such layers and 0 for others; channels,
    ``kernel`` (area), ``map`` (output pixels), ``params``, ``macs`` and ``skip`` (channels
    arriving over long links) enter as log2(1 + x), because they span decades; ``depth`` is the
    layer's place in the network, 0 to 1.
    """
    table = space.table(designs)
    live = table.live
    shape = live.shape
    operations = table.ops[:, None]
    pool = np.isin(operations, ("max_pool", "avg_pool"))
    window = np.isin(operations, ("conv", "max_pool", "avg_pool"))
    kernel = np.where(window, table["kernel_height"] * table["kernel_width"], 0)
    depth = (np.cumsum(live, axis=0) - 1) / np.maximum(live.sum(axis=0) - 1, 1)
    counts = {
        "in_channels": table["in_channels"],
        "out_channels": table["out_channels"],
        "kernel": kernel,
        "map": table["out_height"] * table["out_width"],
        "params": table.params,
        "macs": table.macs,
        "skip": table["skip"],
    }
    found = {
        "one": np.ones(shape),
        "conv": np.broadcast_to(operations == "conv", shape),
        "pool": np.broadcast_to(pool, shape),
        "depth": depth,
        **{name: np.log2(1.0 + np.maximum(values, 0)) for name, values in counts.items()},
    }
    values = np.stack([np.where(live, found[name], 0.0).T for name in _NAMES])
    return LayerStatistics(_NAMES, values, live.T)
