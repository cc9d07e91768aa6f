"""A front inside one of several ranges, each a set of sums with bounds.

Such a condition is a limit like any other, so the front within it is exact too. Each limit costs
the optimizer a dimension, and most never bind. So one becomes a limit at a time, the one that most
of the front breaks, until the front breaks none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.objectives import Limit, meets
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import SeparableProblem

__all__ = ["Confined", "Confining", "confine"]

#: Random designs by which the share inside is estimated.
_DRAWN = 400


class Confining(Protocol):
    """What ``confine`` asks of a search."""

    def front(self, tables: SeparableProblem, limits: Sequence[Limit]) -> OptimizerResult:
        """The exact front under the search's own limits and these.

        Raises ``InfeasibleError`` where no design holds them.
        """

    def outside(self, found: OptimizerResult) -> bool:
        """Whether any design of a front is outside all ranges."""

    def ranges(self) -> Iterator[tuple[SeparableProblem, Sequence[Limit]]]:
        """The conditions of each range, and tables of what they bound; the best range first."""

    def sample(self, designs: int) -> NDArray[np.int64]:
        """Random designs, the same each time."""


@dataclass(frozen=True)
class Confined:
    """Tables and limits that keep a front inside a range.

    share: of the designs, how many lie inside, estimated on random ones; None where nothing
           confines the search.
    front: what ``Confining.front`` finds by these tables under these limits; None where it
           finds nothing.
    """

    tables: SeparableProblem
    limits: tuple[Limit, ...] = ()
    share: float | None = None
    front: OptimizerResult | None = None


def confine(tables: SeparableProblem, search: Confining) -> Confined:
    """The tables and limits of a front inside the first range that holds a design.

    As they are where all of the front is inside already, or no design inside is within the limits.
    """
    try:
        found = search.front(tables, ())
    except InfeasibleError:
        return Confined(tables)  # the search itself says why
    given = Confined(tables, front=found)
    if not search.outside(found):
        return given
    for sums, conditions in search.ranges():
        try:
            return _within(tables, sums, conditions, found, search)
        except InfeasibleError:
            continue
    return given


def _within(
    tables: SeparableProblem,
    sums: SeparableProblem,
    conditions: Sequence[Limit],
    found: OptimizerResult,
    search: Confining,
) -> Confined:
    """With conditions as limits until the front meets all; ``InfeasibleError`` if no design does.

    sums: tables of what ``conditions`` bound.  found: the front without any of them.
    """
    left, limits = list(conditions), []
    while True:
        met = [int(meets(sums, found.indices, [one]).sum()) for one in left]
        if min(met, default=len(found)) == len(found):
            break
        limits.append(left.pop(met.index(min(met))))
        tables = tables.joined(sums, [limits[-1].quantity.name])
        found = search.front(tables, limits)
    inside = meets(sums, search.sample(_DRAWN), conditions)
    return Confined(tables, tuple(limits), float(inside.mean()), found)
