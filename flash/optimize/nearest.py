"""When no design meets the limits: the one that misses them least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.exact import exact_front
from flash.optimize.objectives import Limit
from flash.optimize.problem import Floats, SeparableProblem

__all__ = ["nearest_to_limits"]


def nearest_to_limits(
    problem: SeparableProblem, limits: Sequence[Limit]
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The design whose worst excess over a limit is the least.

    Returns its indices, shape (variables,), and for each limit the design's value and the
    share by which that misses the bound (0 or less where the limit is met). The excess
    falls when a limited quantity improves, so the exact front of those quantities holds the
    design.
    """
    front = exact_front(problem, [limit.quantity for limit in limits])
    bounds = np.array([limit.bound for limit in limits])
    low, high = np.minimum(front.values, bounds), np.maximum(front.values, bounds)
    met = np.stack([limit.met(front.values[:, k]) for k, limit in enumerate(limits)], axis=1)
    excess = np.where(met, 0.0, high / np.maximum(low, 1e-300) - 1)
    best = int(np.argmin(excess.max(axis=1)))
    return front.indices[best], front.values[best], excess[best]
