"""A search that stays inside what was measured on its target; ``--extrapolate`` leaves it.

Where a target tells by sums whether a network is like those that it was fitted to
(``MeasuredRange``), that is a limit like any other, so the front within it is exact too. Only the
conditions that the front breaks become limits, one round after the other: each limit costs the
optimizer a dimension, and most never bind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flash.errors import InfeasibleError
from flash.optimize import Limit, Objective, OptimizerResult
from flash.search.objective import Criteria
from flash.search.problem import Problem
from flash.spaces.stage_tables import Floats, SeparableProblem, tabulate
from flash.spaces.table import LayerTable
from flash.targets.base import MeasuredRange, SumLimit

__all__ = ["Confined", "stay_measured"]

#: Random designs by which the share inside is estimated.
_DRAWN = 400

#: The exact front by these tables, objectives and limits.
FrontOf = Callable[[SeparableProblem, Criteria], OptimizerResult]


@dataclass(frozen=True)
class Confined:
    """Tables and limits of a search, with those that keep its front inside what was measured.

    share: of the designs searched, how many lie inside, estimated on random ones; None where
           nothing confines the search.
    """

    tables: SeparableProblem
    criteria: Criteria
    share: float | None = None


def stay_measured(
    problem: Problem, tables: SeparableProblem, criteria: Criteria, front_of: FrontOf
) -> Confined:
    """The tables and limits of a front within what was measured.

    As they are where all of the front is inside already, or no design inside is within the limits.
    """
    given, target = Confined(tables, criteria), problem.target
    if not (problem.one_chip and target.exact and tables.tabulated):
        return given
    if not isinstance(target, MeasuredRange):
        return given
    try:
        found = front_of(tables, criteria)
    except InfeasibleError:
        return given  # the search itself says why
    if not problem.evaluate(found.indices, tables).extrapolated.any():
        return given
    for conditions in target.measured:
        try:
            return _within(problem, target, conditions, given, found, front_of)
        except InfeasibleError:
            continue
    return given


def _within(
    problem: Problem,
    target: MeasuredRange,
    conditions: Sequence[SumLimit],
    given: Confined,
    found: OptimizerResult,
    front_of: FrontOf,
) -> Confined:
    """With all conditions that fronts break as limits; raises ``InfeasibleError`` if none is met.

    found: the front of ``given``.
    """
    sums = _tabulated(problem, target, conditions)
    left, tables, criteria = list(conditions), given.tables, given.criteria
    while True:
        values = sums.evaluate(found.indices)
        broken = [one for one in left if (values[one.name] > one.bound).any()]
        if not broken:
            break
        left = [one for one in left if one not in broken]
        tables = tables.joined(sums, [one.name for one in broken])
        limits = [Limit(Objective(one.name, "min"), one.bound) for one in broken]
        criteria = replace(criteria, measured=(*criteria.measured, *limits))
        found = front_of(tables, criteria)
    drawn = sums.evaluate(problem.networks.sample(_DRAWN, np.random.default_rng(0)))
    inside = np.all([drawn[one.name] <= one.bound for one in conditions], axis=0)
    return Confined(tables, criteria, float(inside.mean()))


def _tabulated(
    problem: Problem, target: MeasuredRange, conditions: Sequence[SumLimit]
) -> SeparableProblem:
    """Stage tables of what the conditions bound, by their names."""

    def of_layers(table: LayerTable) -> Mapping[str, Floats]:
        found = target.sums(table)
        return {one.name: one.value(found) for one in conditions}

    names = [one.name for one in conditions]
    return tabulate(problem.networks, of_layers, None, dict.fromkeys(names, "sum"))
