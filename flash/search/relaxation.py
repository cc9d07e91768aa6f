"""Searching a target whose costs are no sums over layers, with a proven bound.

On chips of crossbar tiles the distance between layers depends on the placement of all of
them. The target's stage costs are lower bounds of the costs (``Target.exact`` is false), so the
exact optimizer runs on those: every design of the space is dominated by one of that *bounding
front*, or equal to it, even with its real costs. Designs of the bounding front are then priced
for real, those beyond a limit or dominated are dropped, and the volume between the two fronts
bounds what any other design could add. It is a bound, no certificate.

Near a limit a design may hold it only by its bound. So the bounding front is searched under
limits that are tighter by a few shares as well; this adds candidates and no claim.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.evaluation import Evaluation, evaluate
from flash.optimize import (
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    exact_front,
    hypervolume_gap,
    non_dominated,
)
from flash.spaces.space import SearchSpace
from flash.targets import Target

__all__ = ["bounded_front", "real_values"]

#: Shares by which limits are tightened for further candidates.
_TIGHTER = (0.97, 0.94, 0.9, 0.85)
#: Quantities whose real value may exceed their bound.
_PLACED = ("latency_ms", "energy_mj")


def real_values(found: Evaluation, objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """Objectives of priced designs, shape (designs, objectives)."""
    columns = [found.quantity(of.name) for of in objectives]
    return np.stack(columns, axis=1) if columns else np.zeros((len(found.params), 0))


def bounded_front(
    space: SearchSpace,
    target: Target,
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    more: Sequence[OptimizerResult] = (),
) -> OptimizerResult:
    """The front of real costs among candidates, and how far it can be from the best.

    problem: stage tables of lower bounds.  more: further results whose designs are candidates.
    ``gap_percent`` is at most that: the share of the bounding front's hypervolume that the
    front does not cover (costs on a logarithmic scale). Raises ``InfeasibleError`` if the
    bounds alone exceed a limit (a proof), or if no candidate holds them (none).
    """
    began = time.perf_counter()
    bound = exact_front(problem, objectives, limits)
    evaluations = bound.evaluations + sum(result.evaluations for result in more)
    candidates = [bound.indices, *(result.indices for result in more)]
    for share in _TIGHTER if any(limit.quantity.name in _PLACED for limit in limits) else ():
        try:
            tight = exact_front(problem, objectives, [_tightened(limit, share) for limit in limits])
        except InfeasibleError:
            break
        candidates.append(tight.indices)
        evaluations += tight.evaluations
    indices = np.unique(np.concatenate(candidates), axis=0)
    found = evaluate(space, target, indices)
    held = real_values(found, [limit.quantity for limit in limits])
    within = np.ones(len(indices), dtype=np.bool_)
    for column, limit in enumerate(limits):
        within &= limit.met(held[:, column])
    if not within.any():
        raise InfeasibleError(_none_within(limits, held))
    values, signs = real_values(found, objectives)[within], [of.sign for of in objectives]
    keep = np.flatnonzero(non_dominated(values, signs))
    keep = keep[np.lexsort((values[keep] * np.array(signs)).T[::-1])]
    gap = hypervolume_gap(values[keep], bound.values, signs)
    result = OptimizerResult(
        "exact", tuple(objectives), indices[within][keep], values[keep], evaluations,
        time.perf_counter() - began, gap, False,
        f"the exact front of a lower bound over {problem.size:.3g} designs "
        f"({len(bound):,} designs), priced with the real placement ({len(keep):,} stay); at most "
        f"{gap:.2g} % of any front's hypervolume is missing",
    )  # fmt: skip
    return result if not more else replace(result, name=more[0].name)


def _tightened(limit: Limit, share: float) -> Limit:
    if limit.quantity.name not in _PLACED:
        return limit
    return Limit(limit.quantity, limit.bound * share)


def _none_within(limits: Sequence[Limit], held: NDArray[np.float64]) -> str:
    ratios = [held[:, k] / limit.bound for k, limit in enumerate(limits)]
    excess = [r if limit.quantity.sign > 0 else 1 / np.maximum(r, 1e-300)
              for r, limit in zip(ratios, limits, strict=True)]  # fmt: skip
    best = int(np.argmin(np.max(excess, axis=0)))
    has = ", ".join(
        f"{limit.quantity.name} {held[best, k]:.4g} (limit {limit.bound:.4g})"
        for k, limit in enumerate(limits)
    )
    return f"found no design within the limits; the nearest found has {has}; relax one of them"
