"""The front where costs are no sums over layers, only bounded by sums, with a proven bound.

On chips of crossbar tiles the distance between layers depends on the placement of all of
them. Stage costs are lower bounds of the costs (``Target.exact`` is false), so the exact
optimizer runs on those: every design of the space is dominated by one of that *bounding front*,
or equal to it, even with its real costs. Designs of the bounding front are then priced for real,
those beyond a limit or dominated are dropped, and the volume between the two fronts bounds what
any other design could add. It is a bound, no certificate.

Near a limit a design may hold it only by its bound. So the bounding front is searched under
limits that are tighter by a few shares as well; this adds candidates and no claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.certify import hypervolume_gap
from flash.optimize.exact import exact_front
from flash.optimize.infeasibility import nearest_priced
from flash.optimize.objectives import Limit, Objective, within
from flash.optimize.pareto import non_dominated
from flash.optimize.result import OptimizerResult
from flash.quantities import count_in_words
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["bounded_front"]

Ints = NDArray[np.int64]
#: Shares by which limits are tightened for further candidates.
_TIGHTER = (0.97, 0.94, 0.9, 0.85)
#: Quantities whose real value may exceed their bound.
_PLACED = ("latency_ms", "energy_mj")


def bounded_front(
    tables: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    price: Callable[[Ints, Sequence[Objective]], Floats],
    more: Sequence[OptimizerResult] = (),
) -> OptimizerResult:
    """The front of real costs among candidates, and how far it can be from the best.

    tables: stage tables of lower bounds.  more: further results whose designs are candidates.
    price:  real values of designs, shape (designs, objectives).
    ``gap_percent`` is at most that: the share of the bounding front's hypervolume that the
    front does not cover (costs on a logarithmic scale). Raises ``InfeasibleError`` if the
    bounds alone exceed a limit (a proof), or if no candidate holds them (none).
    """
    began = time.perf_counter()
    bound = exact_front(tables, objectives, limits)
    evaluations = bound.evaluations + sum(result.evaluations for result in more)
    candidates = [bound.indices, *(result.indices for result in more)]
    for share in _TIGHTER if any(limit.quantity.name in _PLACED for limit in limits) else ():
        try:
            tight = exact_front(tables, objectives, [_tightened(limit, share) for limit in limits])
        except InfeasibleError:
            break
        candidates.append(tight.indices)
        evaluations += tight.evaluations
    indices = np.unique(np.concatenate(candidates), axis=0)
    priced = price(indices, [*objectives, *(limit.quantity for limit in limits)])
    limited = priced[:, len(objectives) :]
    held = within(limited, limits)
    if not held.any():
        raise InfeasibleError(nearest_priced(limits, limited))
    values = priced[held, : len(objectives)]
    signs = [of.sign for of in objectives]
    keep = np.flatnonzero(non_dominated(values, signs))
    keep = keep[np.lexsort((values[keep] * np.array(signs)).T[::-1])]
    gap = hypervolume_gap(values[keep], bound.values, signs)
    result = OptimizerResult(
        "exact",
        tuple(objectives),
        indices[held][keep],
        values[keep],
        evaluations,
        time.perf_counter() - began,
        gap,
        False,
        f"the exact front of a lower bound over {count_in_words(tables.size)} designs "
        f"({len(bound):,} designs), priced with the real placement ({len(keep):,} stay); at most "
        f"{gap:.2g} % of any front's hypervolume is missing",
    )
    return result if not more else replace(result, name=more[0].name)


def _tightened(limit: Limit, share: float) -> Limit:
    if limit.quantity.name not in _PLACED:
        return limit
    return Limit(limit.quantity, limit.bound * share)
