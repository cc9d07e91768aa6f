"""A front that holds conditions, inside one of several ranges: all are sums with bounds.

Such a condition is a limit like any other, so the front within it is exact too. Each limit costs
the optimizer a dimension, and most never bind. So only those become limits that the front breaks,
and of these no more than it takes that every design which breaks one breaks a limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.objectives import Limit, meets, values_of
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import SeparableProblem

__all__ = ["Condition", "Confined", "Confining", "confine"]

Ints = NDArray[np.int64]
#: A limit, and tables of what it bounds.
Condition = tuple[Limit, SeparableProblem]
#: Random designs by which the share inside is estimated.
_DRAWN = 400


class Confining(Protocol):
    """What ``confine`` asks of a search."""

    def front(
        self, tables: SeparableProblem, limits: Sequence[Limit], near: Ints | None
    ) -> OptimizerResult:
        """The exact front under the search's own limits and these.

        near: designs near it, of which some may be beyond the limits.

        Raises ``InfeasibleError`` where no design holds them.
        """

    def near(
        self, tables: SeparableProblem, limits: Sequence[Limit], start: Ints | None
    ) -> Ints | None:
        """Designs near that front, none where it finds none; None where that is no saving.

        start: such designs under fewer limits.
        """

    def outside(self, designs: Ints) -> bool:
        """Whether any of the designs is outside all ranges."""

    def ranges(self) -> Iterator[tuple[SeparableProblem, Sequence[Limit]]]:
        """The conditions of each range, and tables of what they bound; the best range first."""

    def sample(self, designs: int) -> Ints:
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
    limits. Limits are found by designs near the front where there are some, which takes a tenth of
    the time; what the exact front itself breaks is added.

    start: what was found under fewer conditions; it is kept where no design holds all.
    """
    try:
        given, near = _near(start or Confined(tables), always, search)
        if near is None or not (len(near) and search.outside(near)):
            given = _held(given, near, always, search)
            near = _indices(given)
            if near is None or not search.outside(near):
                return given
    except InfeasibleError:
        # Without a start the search itself says why.
        return start or _limited(Confined(tables), always)
    for sums, own in search.ranges():
        every = [*always, *((limit, sums) for limit in own)]
        try:
            found = _held(*_near(given, every, search, near), every, search)
        except InfeasibleError:
            continue
        inside = meets(sums, search.sample(_DRAWN), own)
        return replace(found, share=float(inside.mean()))
    return _held(given, near, always, search)


def _near(
    found: Confined, conditions: Sequence[Condition], search: Confining, near: Ints | None = None
) -> tuple[Confined, Ints | None]:
    """With conditions as limits till designs near the front meet all, and those designs.

    near: such designs without these conditions, if they are known.
    """
    if near is None:
        near = _indices(found)
    if near is None:
        near = search.near(found.tables, found.limits, None)
    while near is not None and (broken := _broken(found, conditions, near)):
        found = _limited(found, broken)
        near = search.near(found.tables, found.limits, near)
    return found, near


def _held(
    found: Confined, near: Ints | None, conditions: Sequence[Condition], search: Confining
) -> Confined:
    """With conditions as limits till the front meets all; ``InfeasibleError`` if no design does."""
    while True:
        front = found.front or search.front(found.tables, found.limits, near)
        found, near = replace(found, front=front), front.indices
        broken = _broken(found, conditions, near)
        if not broken:
            return found
        found = _limited(found, broken)


def _indices(found: Confined) -> Ints | None:
    return None if found.front is None else found.front.indices


def _broken(found: Confined, conditions: Sequence[Condition], designs: Ints) -> list[Condition]:
    """Conditions that are no limits yet and that designs break: ``_cover`` of them."""
    left = [(limit, sums) for limit, sums in conditions if limit not in found.limits]
    broken = []
    for _, alike in itertools.groupby(left, lambda condition: id(condition[1])):
        own = list(alike)
        values = values_of(own[0][1], designs, [limit.quantity for limit, _ in own])
        broken += [~limit.met(column) for (limit, _), column in zip(own, values.T, strict=True)]
    return [left[k] for k in _cover(broken)]


def _limited(found: Confined, conditions: Sequence[Condition]) -> Confined:
    """With these conditions as limits too, and what they bound in the tables."""
    tables = found.tables
    for limit, sums in conditions:
        if limit.quantity.name not in tables.combine:
            tables = tables.joined(sums, [limit.quantity.name])
    limits = (*found.limits, *(limit for limit, _ in conditions))
    return Confined(tables, limits)


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
