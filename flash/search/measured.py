"""A search that stays inside what was measured on its target; ``--extrapolate`` leaves it.

A target may tell by sums over layers whether a network is like those that it was fitted to
(``MeasuredRange``). ``flash.optimize.confine`` makes limits of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.spaces.stage_tables import Floats, tabulate
from flash.spaces.table import LayerTable
from flash.targets.base import MeasuredRange, SumLimit

__all__ = ["FrontOf", "Measured"]

#: The exact front by these tables and, beside the search's own, these limits.
FrontOf = Callable[[SeparableProblem, Sequence[Limit]], OptimizerResult]


@dataclass(frozen=True)
class Measured:
    """The ranges of a target, as ``flash.optimize.confine`` asks for them.

    tables: of the problem, without limits of ranges.
    """

    problem: Problem
    tables: SeparableProblem
    front_of: FrontOf

    @staticmethod
    def possible(problem: Problem, tables: SeparableProblem) -> bool:
        """Whether a front of the problem can be proven under further sums at all."""
        return problem.one_chip and problem.target.exact and tables.tabulated

    def front(self, tables: SeparableProblem, limits: Sequence[Limit]) -> OptimizerResult:
        """The exact front."""
        return self.front_of(tables, limits)

    def outside(self, found: OptimizerResult) -> bool:
        """Whether the target was measured on nothing like one of the designs."""
        if not isinstance(self.problem.target, MeasuredRange):
            return False
        priced = self.problem.evaluate(found.indices, self.tables)
        return bool(priced.extrapolated.any())

    def ranges(self) -> Iterator[tuple[SeparableProblem, Sequence[Limit]]]:
        """The target's sets of conditions."""
        target = self.problem.target
        if isinstance(target, MeasuredRange):
            for conditions in target.measured:
                limits = [Limit(Objective(one.name, "min"), one.bound) for one in conditions]
                yield self._tabulated(target, conditions), limits

    def sample(self, designs: int) -> NDArray[np.int64]:
        """Random networks."""
        drawn: Ints = self.problem.networks.sample(designs, np.random.default_rng(0))
        return drawn

    def _tabulated(self, target: MeasuredRange, conditions: Sequence[SumLimit]) -> SeparableProblem:
        """Stage tables of what the conditions bound, by their names."""

        def of_layers(table: LayerTable) -> Mapping[str, Floats]:
            found = target.sums(table)
            return {one.name: one.value(found) for one in conditions}

        names = [one.name for one in conditions]
        return tabulate(self.problem.networks, of_layers, None, dict.fromkeys(names, "sum"))
