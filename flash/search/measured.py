"""A search that stays inside what was measured on its target; ``--extrapolate`` leaves it.

A target may tell by sums over layers whether a network is like those that it was fitted to
(``MeasuredRange``). ``flash.optimize.confine`` makes limits of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flash.evaluation import sum_name
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.spaces.stage_tables import Combine
from flash.targets.base import MeasuredRange, SumLimit

__all__ = ["FrontOf", "Measured", "NearOf"]

#: The exact front by these tables and, beside the search's own, these limits, given designs near.
FrontOf = Callable[[SeparableProblem, Sequence[Limit], Ints | None], OptimizerResult]
#: Designs near that front, given some under fewer limits; None where that is no saving.
NearOf = Callable[[SeparableProblem, Sequence[Limit], Ints | None], Ints | None]


@dataclass(frozen=True)
class Measured:
    """The ranges of a target, as ``flash.optimize.confine`` asks for them.

    tables: of the problem, with the sums that it ``needs``, without limits of ranges.
    """

    problem: Problem
    tables: SeparableProblem
    front_of: FrontOf
    near_of: NearOf

    @staticmethod
    def possible(problem: Problem, tables: SeparableProblem) -> bool:
        """Whether a front of the problem can be found under further sums at all."""
        return problem.one_chip and tables.tabulated

    @staticmethod
    def needs(problem: Problem) -> tuple[str, ...]:
        """The target's sums that tables of the problem must have for its ranges."""
        target = problem.target
        if not (problem.one_chip and target.exact and isinstance(target, MeasuredRange)):
            return ()
        every = (one for conditions in target.measured for one in conditions)
        return tuple(dict.fromkeys(name for one in every for name in one.weights))

    def front(
        self, tables: SeparableProblem, limits: Sequence[Limit], near: Ints | None
    ) -> OptimizerResult:
        """The exact front."""
        return self.front_of(tables, limits, near)

    def near(
        self, tables: SeparableProblem, limits: Sequence[Limit], start: Ints | None
    ) -> Ints | None:
        """Designs near it."""
        return self.near_of(tables, limits, start)

    def outside(self, designs: Ints) -> bool:
        """Whether the target was measured on nothing like one of the designs."""
        target, names = self.problem.target, self.needs(self.problem)
        if not isinstance(target, MeasuredRange):
            return False
        called = {sum_name(name): name for name in names} | {q: q for q in target.quantities}
        sums = self.tables.evaluate(designs, *called)
        costs = target.costs_of_sums({called[name]: own for name, own in sums.items()})
        return bool(costs.extrapolated.any())

    def ranges(self) -> Iterator[tuple[SeparableProblem, Sequence[Limit]]]:
        """The target's sets of conditions."""
        target = self.problem.target
        if isinstance(target, MeasuredRange):
            for conditions in target.measured:
                limits = [Limit(Objective(one.name, "min"), one.bound) for one in conditions]
                yield self._tabulated(conditions), limits

    def sample(self, designs: int) -> Ints:
        """Random networks."""
        drawn: Ints = self.problem.networks.sample(designs, np.random.default_rng(0))
        return drawn

    def _tabulated(self, conditions: Sequence[SumLimit]) -> SeparableProblem:
        """Stage tables of what the conditions bound, by their names: weighted sums of sums."""
        names = {name for one in conditions for name in one.weights}
        stages = []
        for stage in self.tables.stages:
            sums = {name: stage.values[sum_name(name)] for name in names}
            values = {one.name: one.value(sums) for one in conditions}
            stages.append(replace(stage, values=values))
        combine: dict[str, Combine] = dict.fromkeys((one.name for one in conditions), "sum")
        return replace(self.tables, stages=tuple(stages), combine=combine)
