"""Accuracies that others wrote down: read from a table's cells, with their scale checked.

Tables differ in scale (0.93 or 93), and in how they note a training that failed (an empty cell,
``nan``). One scale per table is believed; two are not, as nobody can say which rows are which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError
from flash.quantities import number_of

__all__ = ["read_accuracy_cells"]

Floats = NDArray[np.float64]
#: Of a table in per cent so many values may be at most 1 before it counts as one of two scales.
_MOST_TINY = 0.1


def read_accuracy_cells(
    cells: Sequence[str], places: Sequence[str], chance: float
) -> tuple[Floats, bool]:
    """Accuracies in per cent, shape (cells,), and whether the table gave fractions.

    cells:  as written; empty or ``nan`` is a training that failed: nan in the result.
    places: file and line of each cell, for messages.
    chance: accuracy of a network that guesses, per cent.

    A table none of whose values is over 1 has fractions, unless a cell says per cent (``76.5%``).
    Raises ``InputError`` for a cell that is no number, values below 0 or over 100, and fractions
    beside per cents.
    """
    values = np.array([_number(cell, at) for cell, at in zip(cells, places, strict=True)])
    for value, at in zip(values.tolist(), places, strict=True):
        if not (math.isnan(value) or 0 <= value <= 100):
            raise InputError(f"{at}: expected an accuracy from 0 to 100 per cent, got {value:g}")
    known = values[~np.isnan(values)]
    per_cent = any(cell.rstrip().endswith("%") for cell in cells)
    if not len(known) or (known.max() <= 1 and not per_cent):
        return values * 100.0, bool(len(known))
    tiny = (values > 0) & (values <= 1)
    below_chance = tiny & (values < chance / 2)
    if below_chance.any() or tiny.sum() > _MOST_TINY * len(known):
        first = int((below_chance if below_chance.any() else tiny).argmax())
        raise InputError(
            f"{places[first]}: {values[first]:g} beside {known.max():g}: fractions and per cents "
            "in one table; give all in per cent"
        )
    return values, False


def _number(cell: str, at: str) -> float:
    text = cell.strip()
    if not text:
        return math.nan
    value = number_of(text.removesuffix("%"))
    if math.isnan(value) and text.lower() != "nan":
        raise InputError(f"{at}: the accuracy {cell!r} is no number")
    return value
