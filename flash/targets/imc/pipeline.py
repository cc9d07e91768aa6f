"""Many images in flight: every layer works at once, each on what the one before has ready."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.spaces.table import LayerTable
from flash.targets.imc.mapping import Mapped

__all__ = ["pipeline_ns"]

Floats = NDArray[np.float64]
_WHOLE = ("linear", "global_pool")
_WINDOWED = ("conv", "max_pool", "avg_pool")


def pipeline_ns(
    table: LayerTable, compute_ns: Floats, port_ns: Floats, layer_ns: Floats, mapped: Mapped
) -> tuple[Floats, Floats]:
    """Interval between images and latency of one, pipelined; both of shape (options,).

    The slowest layer (or the busiest port of the mesh) paces all: ``interval``. A layer
    starts when the first window of its input is there; waiting for that costs it this part
    of an interval, all of it for layers that need the whole map. The latency is an upper
    bound: waits of parallel branches are added up. It never exceeds ``layer_ns`` added up,
    the latency of one layer after the other.
    """
    interval = np.maximum(compute_ns, port_ns).max(axis=0, initial=0.0)
    reach = table["dilation"] * (table["kernel_height"] - 1)
    need = (reach - table["pad_height"]) * table["in_width"]
    need = need + table["kernel_width"] - table["pad_width"]
    pixels = np.maximum(table["in_height"] * table["in_width"], 1)
    share = np.clip(need / pixels, 0.0, 1.0)
    share = np.where(np.isin(table.ops, _WHOLE)[:, None], 1.0, share)
    waiting = np.isin(table.ops, (*_WHOLE, *_WINDOWED))[:, None] & table.active
    one_mvm = compute_ns / np.maximum(mapped.mvms, 1)
    latency = interval * (1 + (share * waiting).sum(axis=0)) + one_mvm.sum(axis=0)
    return interval, np.minimum(latency, layer_ns.sum(axis=0))
