"""Memory of an inference: the weights, and the most activations alive at one time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import INPUT
from flash.spaces.table import LayerTable

__all__ = ["IN_PLACE", "parameter_count", "peak_activation_bytes", "peak_activation_elements"]


#: Operations that runtimes compute in place.
IN_PLACE: Final = ("act", "add", "mul", "norm")


def parameter_count(table: LayerTable) -> NDArray[np.int64]:
    """Trainable parameters a design has to keep, shape (designs,)."""
    total: NDArray[np.int64] = table.params.sum(axis=0)
    return total


def peak_activation_elements(table: LayerTable) -> NDArray[np.int64]:
    """The largest number of activation elements alive while a layer runs, shape (designs,).

    Layers run in the order of the rows. A tensor is alive from the layer that writes it to
    the last layer that reads it; while a layer runs, what it reads and what it writes are
    both alive. Operations on one element at a time (``IN_PLACE``) write over an operand of the same
    size that nobody reads later, and views of a tensor take nothing, as runtimes have it; the
    network's input is kept. A runtime that allocates this way needs this much; one whose buffers
    leave gaps needs more.

    In a table of one stage the tensor that enters counts like any other, so the peak of a
    network is the largest peak of its stages.
    """
    peak: NDArray[np.int64] = _peak(table)
    return peak


def peak_activation_bytes(
    table: LayerTable, element_bytes: Sequence[float], input_bytes: float
) -> NDArray[np.float64]:
    """The same in bytes, where layers write elements of different size, shape (designs,).

    element_bytes: of what each row writes; input_bytes: of what comes from outside.
    """
    peak: NDArray[np.float64] = _peak(table, np.array([*element_bytes, input_bytes]))
    return peak


def _peak(table: LayerTable, element_size: NDArray[Any] | None = None) -> NDArray[Any]:
    """element_size: of each row's result; the last is that of what comes from outside."""
    rows, designs = len(table), table.designs
    column = np.arange(designs)
    active = table.active
    # One extra row, the last, stands for the tensor that comes from outside.
    last_use = np.broadcast_to(np.arange(rows + 1)[:, None], (rows + 1, designs)).copy()
    last_use[rows] = -1
    size = np.zeros((rows + 1, designs), dtype=np.int64)
    size[:rows] = table.out_elements
    for row, layer in enumerate(table.layers):
        for x in layer.inputs:
            reads = active[row] & x.present & (np.asarray(x.producer) >= INPUT)
            producer = np.broadcast_to(np.asarray(x.producer), (designs,))[reads]
            last_use[producer, column[reads]] = row
            outside = reads & (np.asarray(x.producer) == INPUT)
            if table.passers is None and outside.any():
                elements = x.channels * x.height * x.width
                size[rows] = np.where(outside, elements, size[rows])
    last_use[np.asarray(table.output.producer), column] = rows - 1
    if element_size is not None:
        size = size * element_size[:, None]
    change = np.zeros((rows + 2, designs), dtype=size.dtype)
    change[:rows] = size[:rows]
    change[0] += size[rows] * (last_use[rows] >= 0)
    for span in table.passers.spans if table.passers is not None else ():
        # Of a span the last element size is that of what comes from outside.
        elements = span.elements * (1 if element_size is None else element_size[-1])
        alive = span.last >= span.first
        change[span.first] += (elements * alive).astype(change.dtype)
        change[span.last + 1, column] -= (elements * alive).astype(change.dtype)
    kept = _kept_for_reader(table, last_use, size)
    for row in range(rows + 1):
        change[last_use[row] + kept[row], column] -= size[row] * (last_use[row] >= 0)
    peak: NDArray[Any] = np.cumsum(change[:rows], axis=0).max(axis=0, initial=0)
    return peak


def _kept_for_reader(
    table: LayerTable, last_use: NDArray[np.int64], size: NDArray[Any]
) -> NDArray[np.int64]:
    """(rows + 1, designs): 0 where the last reader of a row's result writes over it, else 1.

    The last row is what comes from outside: of a network its input, which stays.
    """
    rows, column = len(table), np.arange(table.designs)
    kept = np.ones((rows + 1, table.designs), dtype=np.int64)
    for row, layer in enumerate(table.layers):
        if layer.op not in IN_PLACE:
            continue
        found = ~table.active[row]
        for x in layer.inputs:
            producer = np.broadcast_to(np.asarray(x.producer), (table.designs,))
            made = np.where(producer == INPUT, rows, producer)
            own = x.present & (producer >= INPUT) & ~((producer == INPUT) & table.has_source)
            own = own & ~found & (last_use[made, column] == row)
            own = own & (size[made, column] == size[row])
            kept[made[own], column[own]] = 0
            found = found | own
    return kept
