"""Certification: how far a heuristic's result is from the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flash.errors import UsageError
from flash.optimize.exact import exact_best, exact_front
from flash.optimize.objectives import Limit, Scalar
from flash.optimize.pareto import hypervolume, reference_point
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["certify_best", "certify_front", "hypervolume_gap"]


def certify_front(
    problem: SeparableProblem,
    found: OptimizerResult,
    limits: Sequence[Limit] = (),
    exact: OptimizerResult | None = None,
) -> OptimizerResult:
    """``found`` with its hypervolume gap to the exact front, see ``hypervolume_gap``.

    exact: the exact front of the same objectives and limits; computed if absent.
    """
    exact = exact_front(problem, found.objectives, limits) if exact is None else exact
    if exact.objectives != found.objectives:
        raise UsageError("the exact front is one of other objectives")
    gap = hypervolume_gap(found.values, exact.values, found.signs)
    return replace(found, gap_percent=gap, certified=True)


def certify_best(
    problem: SeparableProblem, found: OptimizerResult, scalar: Scalar, limits: Sequence[Limit] = ()
) -> OptimizerResult:
    """``found`` with the gap of its best scalar to the exact optimum, in per cent of it."""
    exact = scalar.function(exact_best(problem, scalar, limits).values)[0]
    best = float(np.max(scalar.of(problem, found.indices)))
    gap = 0.0 if best == exact else 100.0 * (float(exact) - best) / max(abs(float(exact)), 1e-300)
    return replace(found, gap_percent=gap, certified=True)


def hypervolume_gap(values: Floats, exact: Floats, signs: Sequence[float]) -> float:
    """Share of the exact front's hypervolume that ``values`` do not cover, in per cent.

    Objectives to minimise whose values are all positive enter by their logarithm: costs span
    decades, and in plain units the slow designs would decide the figure alone (our choice).
    The reference point is the worst of each objective on the exact front plus 1 % of its
    range, so the extremes of the exact front count.
    """
    both = np.concatenate([values, exact])
    for column, sign in enumerate(signs):
        if sign > 0 and (both[:, column] > 0).all():
            both[:, column] = np.log(both[:, column])
    heuristic, best = both[: len(values)], both[len(values) :]
    reference = reference_point(best, signs)
    # An objective without range on the front has no volume: give it one.
    flat = best.min(axis=0) == best.max(axis=0)
    reference = reference + np.where(flat, np.asarray(signs), 0.0)
    whole = hypervolume(best, signs, reference)
    return max(0.0, 100.0 * (1.0 - hypervolume(heuristic, signs, reference) / whole))
