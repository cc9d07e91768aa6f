"""The one design that FLASH's objective likes best over all choices, and a proven bound.

score / (area x latency x energy) under limits, by best-first branch and bound over choices
(chips). For a group of them let L(s) be the least latency of the relaxed problem among designs
of score s or more, and the same for the other costs: three fronts of two objectives each. No
design of the group has more than the largest s / (A(s) L(s) E(s)), since its own costs are no
less. The designs on those fronts of single choices are candidates, beside those of SHGO.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.exact import exact_front
from flash.optimize.infeasibility import none_on_any_chip
from flash.optimize.nested.certificate import Budget, Price
from flash.optimize.nested.problem import Nested, signs_of
from flash.optimize.objectives import Limit, Scalar
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import Floats

__all__ = ["best_design"]

Ints = NDArray[np.int64]


def best_design(
    nested: Nested,
    scalar: Scalar,
    limits: Sequence[Limit],
    start: OptimizerResult | None,
    price: Price,
    budget: Budget,
) -> OptimizerResult:
    """The best design known when the budget is spent; its ``gap_percent`` is a proven bound.

    scalar: the first of its objectives is the score, the others are costs; it is the score
    over their product. Raises ``InfeasibleError`` if nothing is within the limits.
    """
    budget.start()
    found = _Best(nested, scalar, limits, price, budget)
    if start is not None:
        found.offer(start.indices)
    groups = [(found.bound(each), each) for each in [np.flatnonzero(nested.possible)]]
    settled = 0.0
    while groups and budget.left:
        groups.sort(key=lambda group: group[0])
        bound, choices = groups.pop()
        if bound <= found.value:
            break
        if len(choices) == 1:
            settled = max(settled, bound)
            continue
        middle = len(choices) // 2
        for half in (choices[:middle], choices[middle:]):
            groups.append((min(found.bound(half), bound), half))
    if found.value <= 0:
        raise InfeasibleError(none_on_any_chip(proven=False))
    most = max([settled, found.value, *(bound for bound, _ in groups)])
    gap = 100 * (1 - found.value / most)
    return OptimizerResult(
        start.name if start is not None else "exact",
        scalar.objectives,
        found.design,
        found.values,
        budget.spent,
        budget.elapsed,
        gap,
        False,
        f"{scalar.name} is {found.value:.4g}; no design of {nested.size:,} has more than "
        f"{most:.4g} ({found.solved} fronts)",
    )


class _Best:
    """The best design so far, and bounds of groups of choices."""

    def __init__(
        self,
        nested: Nested,
        scalar: Scalar,
        limits: Sequence[Limit],
        price: Price,
        budget: Budget,
    ) -> None:
        self.nested, self.scalar, self.limits = nested, scalar, limits
        self.price, self.budget = price, budget
        self._signs = signs_of(scalar.objectives, limits)
        self.value, self.solved = 0.0, 0
        self.design: Ints = np.zeros((0, len(nested.problem.sizes)), dtype=np.int64)
        self.values: Floats = np.zeros((0, len(scalar.objectives)))

    def offer(self, indices: Ints) -> None:
        """Keep the best of these designs if it beats the best so far."""
        values, within = self.price(indices)
        if not within.any():
            return
        ratios = np.where(within, self.scalar.function(values), -np.inf)
        top = int(np.argmax(ratios))
        if ratios[top] > self.value:
            self.value = float(ratios[top])
            self.design, self.values = indices[top : top + 1], values[top : top + 1]

    def bound(self, choices: Ints) -> float:
        """No design of these choices has a larger ratio; 0 if none holds the limits."""
        relaxed = self.nested.relaxed(choices, self._signs)
        score, *costs = self.scalar.objectives
        fronts = []
        for cost in costs:
            self.solved += 1
            try:
                front = exact_front(relaxed, [score, cost], self.limits)
            except InfeasibleError:
                return 0.0
            self.budget.spent += front.evaluations
            fronts.append(front.values)
            if len(choices) == 1:
                self.offer(self.nested.join(int(choices[0]), front.indices))
        levels = np.unique(np.concatenate([values[:, 0] for values in fronts]))
        best = np.full((len(levels), 1 + len(fronts)), np.inf)
        best[:, 0] = levels
        for column, values in enumerate(fronts, start=1):
            # Best score first, so costs fall along the front: the last of at least s counts.
            reach = np.searchsorted(-values[:, 0], -levels, side="right")
            least = values[np.maximum(reach, 1) - 1, 1]
            best[:, column] = np.where(reach > 0, least, np.inf)
        return float(self.scalar.function(best).max())
