"""A data-free metric: the logarithms of the widths of all convolutions, added up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.metrics import CellMetric
from flash.quantities import Quantity
from flash.spaces.table import LayerTable

__all__ = ["LOG_WIDTHS", "log_widths"]


def log_widths(table: LayerTable) -> NDArray[np.float64]:
    """Sum over the convolutions of all cells of ln(output channels), shape (designs,)."""
    conv = (table.ops == "conv")[:, None] & table.active
    in_cell = np.array([layer.cell >= 0 for layer in table.layers], dtype=np.bool_)[:, None]
    widths = np.log(np.maximum(table["out_channels"], 1))
    total: NDArray[np.float64] = np.where(conv & in_cell, widths, 0.0).sum(axis=0)
    return total


LOG_WIDTHS = CellMetric(
    quantity=Quantity("log_widths", "log widths"),
    source="an example: wide and deep networks first",
    table=log_widths,
)
