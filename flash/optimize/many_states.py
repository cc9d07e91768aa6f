"""Many states of the exact optimizer at once: of stages that read many variables.

Such a stage has thousands of states, in each of which a few partial designs meet a few options.
Gone through one by one (``flash.optimize.merging``), most of the time would be spent on going.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize.criterion import Criterion
from flash.optimize.pareto import non_dominated_within
from flash.spaces.stage_tables import Floats

__all__ = ["FEW_OPTIONS", "ManyStates", "Pieces"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Options are compared pair by pair up to so many of them.
FEW_OPTIONS = 16
#: Products of a state up to which it is merged with others.
_FEW_PRODUCTS = 1 << 12
#: Products formed at once: bounds the memory.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Pieces:
    """Pieces as in ``flash.optimize.merging``, all that arrive anywhere, an entry each.

    state:       (pieces,) where it arrives.
    first, last: (pieces,) its partial designs.
    own:         (quantities, pieces, options).
    then:        (quantities, pieces) each: what stages without a choice add afterwards.
    """

    state: Ints
    first: Ints
    last: Ints
    own: Floats
    then: Sequence[Floats]


class ManyStates:
    """The survivors of states in which one piece arrives, with few products.

    before:    (quantities, n) totals of the partial designs.
    adds:      which quantities add up; the others combine by maximum.
    low, high: (quantities, pieces) what remains.

    Attributes: ``taken``, (pieces,) whose states they are; ``evaluations``, products looked at.
    """

    def __init__(
        self,
        before: Floats,
        adds: Sequence[bool],
        criteria: Sequence[Criterion],
        pieces: Pieces,
        low: Floats,
        high: Floats,
    ) -> None:
        self._before, self._adds, self._criteria = before, adds, criteria
        self._pieces, self._low, self._high = pieces, low, high
        self._useful = self._undominated_options()
        products = (pieces.last - pieces.first) * self._useful.sum(axis=1)
        alone = np.bincount(pieces.state)[pieces.state] == 1
        self.taken = alone & (products <= _FEW_PRODUCTS)
        self.evaluations = int(products[self.taken].sum())
        self._ends = np.cumsum(products[self.taken])

    def survivors(self) -> Iterator[tuple[Floats, Ints, Ints, Ints]]:
        """Totals (quantities, n), partial designs, pieces and which of their options."""
        taken = np.flatnonzero(self.taken)
        for block in np.split(taken, np.flatnonzero(np.diff(self._ends // _BLOCK)) + 1):
            parents, piece, which = self._products(block)
            columns = self._joined(parents, piece, which)
            for criterion in self._criteria:
                hold = criterion.may_hold(columns, self._low[:, piece], self._high[:, piece])
                if hold is not None and not hold.all():
                    columns, parents = columns[:, hold], parents[hold]
                    piece, which = piece[hold], which[hold]
            points = self._points(self._criteria, columns, piece)
            keep = np.flatnonzero(non_dominated_within(np.stack(points, axis=1), piece))
            yield columns[:, keep], parents[keep], piece[keep], which[keep]

    def _products(self, pieces: Ints) -> tuple[Ints, Ints, Ints]:
        """Of every product its partial design, piece and option, in the order of pieces."""
        counts = self._pieces.last[pieces] - self._pieces.first[pieces]
        piece = np.repeat(pieces, counts)
        parents = np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts)
        parents += self._pieces.first[piece]
        rows, which = np.nonzero(self._useful[piece])
        return parents[rows], piece[rows], which

    def _joined(self, parents: Ints, piece: Ints, which: Ints) -> Floats:
        """Totals of products, (quantities, n)."""
        columns = np.empty((len(self._adds), len(parents)))
        for k, adds in enumerate(self._adds):
            merge = np.add if adds else np.maximum
            merge(self._before[k, parents], self._pieces.own[k, piece, which], out=columns[k])
            for then in self._pieces.then:
                merge(columns[k], then[k, piece], out=columns[k])
        return columns

    def _points(self, criteria: Sequence[Criterion], columns: Floats, piece: Ints) -> list[Floats]:
        low, high = self._low[:, piece], self._high[:, piece]
        return [end for c in criteria for end in c.coordinates(columns, low, high)]

    def _undominated_options(self) -> Flags:
        """Which options of each piece no other one of it dominates, (pieces, options)."""
        own = self._pieces.own
        low, high = self._low[:, :, None], self._high[:, :, None]
        # Whatever else is in the design, its maximum is at least what must still follow.
        anything = np.where(np.asarray(self._adds)[:, None, None], high, np.inf)
        points = [
            end for c in self._criteria for end in c.unlimited.coordinates(own, low, anything)
        ]
        dominated = np.zeros(own.shape[1:], dtype=np.bool_)
        numbers = np.arange(own.shape[2])
        for k in numbers.tolist():
            better, equal = np.ones_like(dominated), np.ones_like(dominated)
            for values in points:
                better &= values[:, k : k + 1] <= values
                equal &= values[:, k : k + 1] == values
            # Of equal ones the first stays.
            dominated |= better & (~equal | (numbers > k))
        return ~dominated
