"""Memory of an inference: the weights, and the most activations alive at one time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import INPUT, ZEROS, Tensor, out_elements
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
    """element_size: of each row's result; the last is that of what comes from outside.

    Rows are gone through from the last to the first: what is read and was not seen yet is read
    there for the last time, and is alive from there on up to the row that makes it.
    """
    rows = len(table)
    places = _Places(table.designs)
    # One extra row, the last, stands for the tensor that comes from outside.
    size: NDArray[Any] = np.zeros((rows + 1, table.designs), dtype=np.int64)
    for row, layer in enumerate(table.layers):
        np.multiply(out_elements(layer), table.active[row], out=size[row])
    if table.passers is None:
        size[rows] = _outside(table, places)
    if element_size is not None:
        size = size * element_size[:, None]
    passing = _passing(table, size.dtype, 1 if element_size is None else element_size[-1])
    alive = _Alive(size, places)
    peak = np.zeros(table.designs, dtype=size.dtype)
    for row in range(rows - 1, -1, -1):
        layer, active = table.layers[row], table.active[row]
        written = size[row]
        if layer.op in IN_PLACE:
            written = written * ~alive.over_an_operand(table, row)
        if row == rows - 1:  # what is returned is alive up to here
            alive.read(table.output, np.asarray(table.output.producer) >= INPUT)
        alive.make(row)
        for x in layer.inputs:
            alive.read(x, _reads(active, x))
        during = alive.elements + written
        np.maximum(peak, during if passing is None else during + passing[row], out=peak)
    return peak


def _outside(table: LayerTable, places: _Places) -> NDArray[np.int64]:
    """Elements of the tensor that comes from outside, as its last reader has it: (designs,)."""
    size = np.zeros(table.designs, dtype=np.int64)
    for row, layer in enumerate(table.layers):
        for x in layer.inputs:
            if places.may_be_outside(x):
                outside = _reads(table.active[row], x) & (np.asarray(x.producer) == INPUT)
                size = np.where(outside, x.channels * x.height * x.width, size)
    return size


def _passing(table: LayerTable, dtype: np.dtype[Any], element_size: Any) -> NDArray[Any] | None:
    """(rows, designs) what passes the recorded stages; None where nobody follows it."""
    if table.passers is None:
        return None
    change = np.zeros((len(table) + 2, table.designs), dtype=dtype)
    column = np.arange(table.designs)
    for span in table.passers.spans:
        alive = (span.elements * element_size * (span.last >= span.first)).astype(dtype)
        change[span.first] += alive
        change[span.last + 1, column] -= alive
    return np.cumsum(change, axis=0, out=change)


def _reads(active: NDArray[np.bool_], x: Tensor) -> NDArray[np.bool_]:
    """In which of the designs where a layer is ``active`` it reads a tensor that layers make."""
    reads = active if x.present is True else active & x.present
    return reads if isinstance(x.producer, int) else reads & (x.producer >= INPUT)


class _Places:
    """Where the results that layers read lie in flat arrays of (rows + 1, designs)."""

    def __init__(self, designs: int) -> None:
        self._column = np.arange(designs)
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


class _Alive:
    """What is alive while rows are gone through from the last to the first.

    size:     of the rows' results and, last, of what comes from outside: (rows + 1, designs).
    elements: alive in all, shape (designs,).
    """

    def __init__(self, size: NDArray[Any], places: _Places) -> None:
        self._size, self._places = size, places
        self._seen = np.zeros(size.shape, dtype=np.bool_)
        self.elements = np.zeros(size.shape[1], dtype=size.dtype)

    def make(self, row: int) -> None:
        """Before its row a result is not there."""
        self.elements -= self._size[row] * self._seen[row]

    def read(self, x: Tensor, reads: NDArray[np.bool_]) -> None:
        """The designs ``reads`` read a tensor: it is alive where it was not yet."""
        if isinstance(x.producer, int):
            if x.producer < INPUT:
                return
            new = reads & ~self._seen[x.producer]
            self._seen[x.producer] |= new
        else:
            place = self._places.of(x)
            before = self._of(self._seen, x)
            new = reads & ~before
            self._seen.reshape(-1)[place] = before | new
        if new.any():
            self.elements += self._of(self._size, x) * new

    def over_an_operand(self, table: LayerTable, row: int) -> NDArray[np.bool_]:
        """(designs,) in which the row writes over an operand that nobody reads later.

        Nobody writes over a network's input.
        """
        over = np.zeros(table.designs, dtype=np.bool_)
        for x in table.layers[row].inputs:
            own = _reads(table.active[row], x) & (
                x.producer > (INPUT if table.has_source else ZEROS)
            )
            own = own & ~self._of(self._seen, x)
            over |= own & (self._of(self._size, x) == self._size[row])
        return over

    def _of(self, grid: NDArray[Any], x: Tensor) -> NDArray[Any]:
        """(designs,) of an array like ``size`` what belongs to a tensor."""
        if isinstance(x.producer, int):
            found: NDArray[Any] = grid[x.producer]
            return found
        return grid.reshape(-1).take(self._places.of(x), mode="wrap")
