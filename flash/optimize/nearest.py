"""When no design meets the limits: the one that misses them least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.exact import exact_front
from flash.optimize.objectives import Limit, Scalar
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["nearest_to_limits"]

#: The exact front of more limited quantities than this takes too long for an error message.
_EXACT = 2


def nearest_to_limits(
    problem: SeparableProblem, limits: Sequence[Limit]
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The design whose worst excess over a limit is the least.

    Returns its indices, shape (variables,), and for each limit the design's value and the
    share by which that misses the bound (0 where the limit is met). The excess never rises
    when a limited quantity improves, so the exact front of those quantities holds the
    design; with more than two limits it is searched for by SHGO instead.
    """
    objectives = tuple(limit.quantity for limit in limits)
    if len(limits) <= _EXACT:
        front = exact_front(problem, objectives)
    else:
        from flash.optimize.shgo import shgo_best  # noqa: PLC0415 (seldom needed)

        nearness = Scalar("nearness", objectives, lambda v: -_excess(v, limits).max(axis=1))
        front = shgo_best(problem, nearness)
    excess = _excess(front.values, limits)
    best = int(np.argmin(excess.max(axis=1)))
    return front.indices[best], front.values[best], excess[best]


def _excess(values: Floats, limits: Sequence[Limit]) -> Floats:
    """Share by which each value misses its bound, shape (designs, limits)."""
    bounds = np.array([limit.bound for limit in limits])
    low, high = np.minimum(values, bounds), np.maximum(values, bounds)
    met = np.stack([limit.met(values[:, k]) for k, limit in enumerate(limits)], axis=1)
    return np.where(met, 0.0, high / np.maximum(low, 1e-300) - 1)
