"""Limits held at the far end of an interval: ``--confidence 90%``.

Limits cut the space by point values, which add up over layers; the far end of an interval depends
on the whole design (it is wider outside what was measured) and does not add up. So the front is
searched under limits tightened by the ratios of far end to value that designs have, from the
narrowest to the widest; of all found, those whose far end holds the user's limits stay, without the
dominated. A design that is not found would need an interval narrower than the narrowest seen, or
be beaten by one whose wider interval exceeds a limit: the volume between the front under the limits
tightened least and what stays bounds the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize import Limit, OptimizerResult, hypervolume_gap, non_dominated
from flash.quantities import quantity
from flash.report.interval import far_factor
from flash.search.objective import Criteria, Goal
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["Held", "hold_limits"]

#: Costs that have intervals.
_COSTS = ("latency_ms", "energy_mj", "area_mm2")
#: Quantiles of the ratios by which limits are tightened, the narrowest first.
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

Optimise = Callable[[Criteria, Goal], OptimizerResult]


@dataclass(frozen=True)
class Held:
    """A problem whose limits hold at the far end of the ``confidence`` interval (0.5 to 0.99)."""

    problem: Problem
    tables: SeparableProblem
    goal: Goal
    criteria: Criteria
    confidence: float

    def far_ends(self, indices: Ints) -> dict[str, tuple[Floats, Floats]]:
        """Quantity -> value and far end of each design, shape (designs,), where it is limited."""
        found = self.problem.evaluate(indices, self.tables)
        ends: dict[str, tuple[Floats, Floats]] = {}
        for limit in self.criteria.limits:
            name = limit.quantity.name
            triple = getattr(found, name) if name in _COSTS else None
            if triple is not None:
                value, _, high = triple
                ends[name] = value, value * (high / value) ** far_factor(self.confidence)
        if self.goal.min_accuracy_percent is not None:
            predicted = self.goal.predict(self.problem, indices, found.sums[self.goal.metric])
            if predicted is not None:
                below = (predicted.value - predicted.low) * far_factor(self.confidence)
                ends["accuracy"] = predicted.value, predicted.value - below
        return ends

    @property
    def bounds(self) -> dict[str, float]:
        """The user's limits by quantity."""
        bounds = {limit.quantity.name: limit.bound for limit in self.criteria.limits}
        if self.goal.min_accuracy_percent is not None:
            bounds["accuracy"] = self.goal.min_accuracy_percent
        return bounds

    def holds(self, ends: Mapping[str, tuple[Floats, Floats]], designs: int) -> NDArray[np.bool_]:
        """Which designs hold every limit at the far end, shape (designs,)."""
        kept = np.ones(designs, dtype=np.bool_)
        for name, (_, far) in ends.items():
            bound = self.bounds[name]
            kept &= far >= bound if quantity(name).sense == "max" else far <= bound
        return kept

    def tightened(
        self, ends: Mapping[str, tuple[Floats, Floats]], share: float
    ) -> tuple[Criteria, Goal]:
        """Limits on values from which a design with this quantile of the widths holds its own."""
        bounds = {}
        goal = self.goal
        for name, (value, far) in ends.items():
            if name == "accuracy":
                margin = float(np.quantile(value - far, share))
                least = min(self.bounds[name] + margin, 100.0)
                goal = replace(goal, min_accuracy_percent=least)
            else:
                bounds[name] = self.bounds[name] / float(np.quantile(far / value, share))

        def tight(limit: Limit) -> Limit:
            bound = bounds.get(limit.quantity.name)
            return limit if bound is None else replace(limit, bound=min(bound, limit.bound))

        criteria = replace(self.criteria, bounds=tuple(map(tight, self.criteria.bounds)))
        return criteria, goal


def hold_limits(held: Held, found: OptimizerResult, optimise: Optimise) -> OptimizerResult:
    """The front whose designs hold the limits at the far end; ``found`` is the one by values.

    Raises ``InfeasibleError`` where no design found does.
    """
    ends = held.far_ends(found.indices)
    if not ends or held.holds(ends, len(found)).all():
        return found
    searched = []
    for share in _QUANTILES:
        try:
            searched.append(optimise(*held.tightened(ends, share)))
        except InfeasibleError:
            break
    tried = [found, *searched]
    indices = np.concatenate([result.indices for result in tried])
    values = np.concatenate([result.values for result in tried])
    _, first = np.unique(indices, axis=0, return_index=True)
    indices, values = indices[first], values[first]
    ends = held.far_ends(indices)
    kept = held.holds(ends, len(indices))
    if not kept.any():
        raise InfeasibleError(_nearest(held, ends))
    indices, values = indices[kept], values[kept]
    best = np.flatnonzero(non_dominated(values, found.signs))
    best = best[np.lexsort((values[best] * np.array(found.signs)).T[::-1])]
    loosest = searched[0].values if searched else values
    gap = max(hypervolume_gap(values[best], loosest, found.signs), 0.0)
    message = (
        f"limits hold at the far end of the {100 * held.confidence:g} % interval; at most "
        f"{gap:.2g} % of the hypervolume is missing if no design's interval is narrower than those "
        "seen"
    )
    return replace(
        found,
        indices=indices[best],
        values=values[best],
        evaluations=sum(result.evaluations for result in tried),
        gap_percent=gap,
        certified=False,
        message=message,
        bound=loosest,
    )


def _nearest(held: Held, ends: Mapping[str, tuple[Floats, Floats]]) -> str:
    """Why no design holds the limits, in one line, by the limit that binds most."""
    ratios = {}
    for name, (_, far) in ends.items():
        highest = quantity(name).sense == "max"
        best = float(far.max() if highest else far.min())
        bound = held.bounds[name]
        ratios[name] = (bound / max(best, 1e-300) if highest else best / max(bound, 1e-300), best)
    name = max(ratios, key=lambda one: ratios[one][0])
    of = quantity(name)
    return (
        f"no design holds the limit {of.label} {of.format(held.bounds[name])} at the far end of "
        f"its {100 * held.confidence:g} % interval; the best far end is "
        f"{of.format(ratios[name][1])}: loosen the limit or ask for less confidence"
    )
