"""The one design of the joint space that FLASH's objective likes best, and a proven bound.

score / (area x latency x energy) under limits, by best-first branch and bound over chips. For
a group of chips let L(s) be the least latency of the relaxed chip among designs of score s or
more, and the same for the other costs: three fronts of two objectives each. No design of the
group has more than the largest s / (A(s) L(s) E(s)), since its own costs are no less.
The designs on those fronts of single chips are candidates, beside those of SHGO.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize import (
    Limit,
    OptimizerResult,
    Scalar,
    SeparableProblem,
    exact_front,
)
from flash.optimize.infeasibility import none_on_any_chip
from flash.search.joint.certificate import Price, relaxed_chip
from flash.search.joint.space import CoSpace
from flash.spaces.stage_tables import Floats

__all__ = ["best_design"]

Ints = NDArray[np.int64]


def best_design(
    space: CoSpace,
    problem: SeparableProblem,
    scalar: Scalar,
    limits: Sequence[Limit],
    start: OptimizerResult | None,
    price: Price,
    seconds: float,
) -> OptimizerResult:
    """The best design known after ``seconds``; its ``gap_percent`` is a proven bound.

    scalar: the first of its objectives is the score, the others are costs; it is the score
    over their product. Raises ``InfeasibleError`` if nothing is within the limits.
    """
    began = time.perf_counter()
    found = _Best(space, problem, scalar, limits, price)
    if start is not None:
        found.offer(start.indices)
    groups = [(found.bound(chips), chips) for chips in [np.flatnonzero(space.possible)]]
    settled = 0.0
    while groups and time.perf_counter() - began < seconds:
        groups.sort(key=lambda group: group[0])
        bound, chips = groups.pop()
        if bound <= found.value:
            break
        if len(chips) == 1:
            settled = max(settled, bound)
            continue
        middle = len(chips) // 2
        for half in (chips[:middle], chips[middle:]):
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
        found.evaluations,
        time.perf_counter() - began,
        gap,
        False,
        f"{scalar.name} is {found.value:.4g}; no design of {space.size:,} has more than "
        f"{most:.4g} ({found.solved} fronts)",
    )


class _Best:
    """The best design so far, and bounds of groups of chips."""

    def __init__(
        self,
        space: CoSpace,
        problem: SeparableProblem,
        scalar: Scalar,
        limits: Sequence[Limit],
        price: Price,
    ) -> None:
        self.space, self.problem, self.scalar = space, problem, scalar
        self.limits, self.price = limits, price
        needed = (*scalar.objectives, *(limit.quantity for limit in limits))
        self._signs = {q: of.sign for of in needed for q in of.quantities}
        self.value, self.evaluations, self.solved = 0.0, 0, 0
        self.design: Ints = np.zeros((0, len(problem.sizes)), dtype=np.int64)
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

    def bound(self, chips: Ints) -> float:
        """No design on these chips has a larger ratio; 0 if none holds the limits."""
        relaxed = relaxed_chip(self.space, self.problem, chips, self._signs)
        score, *costs = self.scalar.objectives
        fronts = []
        for cost in costs:
            self.solved += 1
            try:
                front = exact_front(relaxed, [score, cost], self.limits)
            except InfeasibleError:
                return 0.0
            self.evaluations += front.evaluations
            fronts.append(front.values)
            if len(chips) == 1:
                self.offer(self.space.join(int(chips[0]), front.indices))
        levels = np.unique(np.concatenate([values[:, 0] for values in fronts]))
        best = np.full((len(levels), 1 + len(fronts)), np.inf)
        best[:, 0] = levels
        for column, values in enumerate(fronts, start=1):
            # Best score first, so costs fall along the front: the last of at least s counts.
            reach = np.searchsorted(-values[:, 0], -levels, side="right")
            least = values[np.maximum(reach, 1) - 1, 1]
            best[:, column] = np.where(reach > 0, least, np.inf)
        return float(self.scalar.function(best).max())
