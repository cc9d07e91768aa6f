"""Memory of an inference: the weights, and the most activations alive at one time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import INPUT, Tensor
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
    places = _Places(column)
    # One extra row, the last, stands for the tensor that comes from outside.
    last_use = np.broadcast_to(np.arange(rows + 1)[:, None], (rows + 1, designs)).copy()
    last_use[rows] = -1
    size = np.zeros((rows + 1, designs), dtype=np.int64)
    size[:rows] = table.out_elements
    for row, layer in enumerate(table.layers):
        for x in layer.inputs:
            reads = _read(active[row], x)
            if isinstance(x.producer, int):
                if x.producer >= INPUT:
                    np.copyto(last_use[x.producer], row, where=reads)
            else:
                last_use.reshape(-1)[places.of(x)[reads]] = row
            if table.passers is None and places.may_be_outside(x):
                outside = reads & (np.asarray(x.producer) == INPUT)
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
    ends = last_use + _kept_for_reader(table, last_use, size, places)
    ends *= designs
    ends += column
    size[last_use < 0] = 0  # what nobody reads from outside
    np.subtract.at(change.reshape(-1), ends.reshape(-1), size.reshape(-1))
    alive = np.zeros(designs, dtype=change.dtype)
    peak = np.zeros(designs, dtype=change.dtype)
    for row in range(rows):
        alive += change[row]
        np.maximum(peak, alive, out=peak)
    return peak


class _Places:
    """Where the results that layers read lie in flat arrays of (rows + 1, designs)."""

    def __init__(self, column: NDArray[np.int64]) -> None:
        self._column = column
        self._known: dict[int, tuple[NDArray[np.int64], NDArray[np.int64], bool]] = {}

    def of(self, x: Tensor) -> NDArray[np.int64]:
        """Of a tensor that several layers make; from outside: the last row, from the end."""
        return self._found(x)[1]

    def may_be_outside(self, x: Tensor) -> bool:
        """Whether it comes from outside in any design."""
        return x.producer == INPUT if isinstance(x.producer, int) else self._found(x)[2]

    def _found(self, x: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
        made = np.asarray(x.producer)
        found = self._known.get(id(x.producer))
        if found is None:  # which keeps the array, so no other gets its number
            place = made * len(self._column) + self._column
            found = self._known[id(x.producer)] = made, place, bool((made == INPUT).any())
        return found


def _read(active: NDArray[np.bool_], x: Tensor) -> NDArray[np.bool_]:
    """In which of the designs where a layer is ``active`` it reads a tensor that layers make."""
    reads = active if x.present is True else active & x.present
    return reads if isinstance(x.producer, int) else reads & (x.producer >= INPUT)


def _kept_for_reader(
    table: LayerTable, last_use: NDArray[np.int64], size: NDArray[Any], places: _Places
) -> NDArray[np.bool_]:
    """(rows + 1, designs): false where the last reader of a row's result writes over it.

    The last row is what comes from outside: of a network its input, which stays.
    """
    kept = np.ones(last_use.shape, dtype=np.bool_)
    for row, layer in enumerate(table.layers):
        if layer.op not in IN_PLACE:
            continue
        free = table.active[row]
        for x in layer.inputs:
            own = _read(free, x)
            if isinstance(x.producer, int):
                made = x.producer
                if made < INPUT or (made == INPUT and table.has_source):
                    continue
                own = own & (last_use[made] == row) & (size[made] == size[row])
                kept[made] &= ~own
            else:
                if table.has_source:
                    own = own & (x.producer != INPUT)
                place = places.of(x)
                own = own & (last_use.reshape(-1).take(place, mode="wrap") == row)
                own = own & (size.reshape(-1).take(place, mode="wrap") == size[row])
                kept.reshape(-1)[place[own]] = False
            free = free & ~own
    return kept
