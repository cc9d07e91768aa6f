"""A front that holds conditions, inside one of several ranges: all are sums with bounds.

Such a condition is a limit like any other, so the front within it is exact too. Each limit costs
the optimizer a dimension, and most never bind. So only those become limits that the front breaks,
and of these no more than it takes that every design which breaks one breaks a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.objectives import Limit, meets
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import SeparableProblem

__all__ = ["Condition", "Confined", "Confining", "confine"]

#: A limit, and tables of what it bounds.
Condition = tuple[Limit, SeparableProblem]
#: Random designs by which the share inside is estimated.
_DRAWN = 400


class Confining(Protocol):
    """What ``confine`` asks of a search."""

    def front(
        self, tables: SeparableProblem, limits: Sequence[Limit], before: OptimizerResult | None
    ) -> OptimizerResult:
        """The exact front under the search's own limits and these.

        before: the same under fewer limits.

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
    """Tables, and those conditions that a front would break without them as limits.

    share: of the designs, how many lie inside, estimated on random ones; None where nothing
           confines the search.
    front: what ``Confining.front`` finds by these tables under these limits; None where it
           finds nothing.
    """

    tables: SeparableProblem
    limits: tuple[Limit, ...] = ()
    share: float | None = None
    front: OptimizerResult | None = None


def confine(
    tables: SeparableProblem,
    search: Confining,
    always: Sequence[Condition] = (),
    start: Confined | None = None,
) -> Confined:
    """The tables and limits of a front that holds ``always`` inside the first range with a design.

    Without a range where all of such a front is inside already, or no design inside is within the
    limits.

    start: what was found under fewer conditions; it is kept where no design holds all.
    """
    try:
        given = start or Confined(tables, front=search.front(tables, (), None))
        given = _held(given, always, search)
    except InfeasibleError:
        # Without a start the search itself says why.
        return start or _limited(Confined(tables), always)
    if given.front is None or not search.outside(given.front):
        return given
    for sums, own in search.ranges():
        every = [*always, *((limit, sums) for limit in own)]
        try:
            found = _held(given, every, search)
        except InfeasibleError:
            continue
        inside = meets(sums, search.sample(_DRAWN), own)
        return replace(found, share=float(inside.mean()))
    return given


def _held(found: Confined, conditions: Sequence[Condition], search: Confining) -> Confined:
    """With conditions as limits till the front meets all; ``InfeasibleError`` if no design does."""
    while found.front is not None:
        left = [(limit, sums) for limit, sums in conditions if limit not in found.limits]
        front = found.front.indices
        taken = _cover([~meets(sums, front, [limit]) for limit, sums in left])
        if not taken:
            break
        found = _limited(found, [left[k] for k in taken])
        found = replace(found, front=search.front(found.tables, found.limits, found.front))
    return found


def _limited(found: Confined, conditions: Sequence[Condition]) -> Confined:
    """With these conditions as limits too, and what they bound in the tables."""
    tables = found.tables
    for limit, sums in conditions:
        if limit.quantity.name not in tables.combine:
            tables = tables.joined(sums, [limit.quantity.name])
    limits = (*found.limits, *(limit for limit, _ in conditions))
    return replace(found, tables=tables, limits=limits)


def _cover(broken: Sequence[NDArray[np.bool_]]) -> list[int]:
    """Few of the conditions, so that whatever breaks one breaks one of them.

    broken: for each condition the designs that break it. The one that most break is the first, the
    next is that which most of the rest break.
    """
    rest, taken = np.array(broken, dtype=np.bool_), []
    while rest.any():
        taken.append(int(rest.sum(axis=1).argmax()))
        rest &= ~rest[taken[-1]]
    return taken
