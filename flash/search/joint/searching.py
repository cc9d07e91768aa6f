"""One search of network and chip: a heuristic's front, the certificate, what is shown."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize import (
    OPTIMIZERS,
    Effort,
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    exact_front,
    hypervolume_gap,
    meets,
    ratio,
    shgo_best,
    shgo_front,
    values_of,
    within,
)
from flash.optimize.infeasibility import all_at_once, best_of_any_chip, least_area
from flash.search.joint.certificate import certified_front, relaxed_chip
from flash.search.joint.pricing import evaluate_joint
from flash.search.joint.scalar import best_design
from flash.search.joint.space import CoSpace
from flash.search.problem.relaxation import real_values
from flash.spaces.stage_tables import Floats

__all__ = ["search_joint", "why_no_chip"]

Ints = NDArray[np.int64]
#: Rounds of the front's neighbours. Six stay under a second and within a per cent of the
#: hypervolume that forty reach (systolic, 6e14 designs); thinning to what is shown costs as much.
_ROUNDS = Effort(sweeps=6)
#: Where costs are bounds, designs must be priced again: fewer rounds of the front's neighbours.
_FEWER = Effort(sweeps=3)
#: Designs shown at most.
_SHOWN = 1500


def search_joint(
    space: CoSpace,
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    *,
    exact: bool,
    optimizer: str,
    seed: int,
    seconds: float,
    single: bool = False,
    utility: Callable[[Floats], Floats] | None = None,
) -> OptimizerResult:
    """The front of the joint space, at most 1,500 designs of it, and its certificate or bound.

    exact: the problem's quantities are the costs, no lower bounds.  seconds: for the
    certificate.  single: instead the one design of most score over the product of the other
    objectives; ``utility`` is what the score counts for there. Raises ``InfeasibleError`` if no
    chip has a design within the limits.
    """

    def price(indices: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        if exact:
            return values_of(problem, indices, objectives), meets(problem, indices, limits)
        found = evaluate_joint(space, indices)
        limited = real_values(problem, indices, found, [limit.quantity for limit in limits])
        return real_values(problem, indices, found, objectives), within(limited, limits)

    start = None
    product = ratio(objectives, utility)
    try:
        if optimizer == "shgo" and single:
            start = shgo_best(problem, product, limits, seed=seed)
        elif optimizer == "shgo":
            start = shgo_front(
                problem, objectives, limits, seed=seed, effort=_ROUNDS if exact else _FEWER
            )
        elif optimizer != "exact":
            start = OPTIMIZERS[optimizer].optimize(problem, objectives, limits, seed)
    except InfeasibleError:
        start = None  # the certificate says whether there is none
    if single:
        return best_design(space, problem, product, limits, start, price, seconds)
    if start is not None and not exact:
        start = _thin(start, 4 * _SHOWN)
    result = certified_front(space, problem, objectives, limits, start, price, exact, seconds)
    return _thin(result, _SHOWN)


def _thin(result: OptimizerResult, most: int) -> OptimizerResult:
    """At most about ``most`` designs, spread over the front; the message tells.

    Of designs in one cell of a grid over the objectives (costs on a logarithmic scale) the
    first is kept; the best of each objective always is.
    """
    if len(result) <= most:
        return result
    values = np.array(result.values)
    for column, sign in enumerate(result.signs):
        if sign > 0 and (values[:, column] > 0).all():
            values[:, column] = np.log(values[:, column])
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    cells, keep = 2 * most, np.arange(len(values))
    while len(keep) > most:
        grid = np.floor(scaled * cells).astype(np.int64)
        keep = np.unique(grid, axis=0, return_index=True)[1]
        cells = int(cells * 0.8)
    ends = [int(np.argmin(sign * values[:, k])) for k, sign in enumerate(result.signs)]
    keep = np.unique([*keep, *ends])
    missing = hypervolume_gap(result.values[keep], result.values, result.signs)
    return replace(
        result,
        indices=result.indices[keep],
        values=result.values[keep],
        message=f"{result.message}; shown are {len(keep):,} of {len(result):,} designs, "
        f"{missing:.2g} % of the hypervolume less",
    )


# ------------------------------------------------------------------------ nothing fits
def why_no_chip(space: CoSpace, problem: SeparableProblem, limits: Sequence[Limit]) -> str:
    """One line: the smallest area that would do, or the best of any chip for what binds."""
    area = [limit for limit in limits if limit.quantity.name == "area_mm2"]
    others = [limit for limit in limits if limit.quantity.name != "area_mm2"]
    if area:
        least, where = _best(space, problem, area[0].quantity, others)
        if where and least > area[0].bound:
            return least_area(space.name, area[0], least, where, others=bool(others))
    for limit in limits:
        best, where = _best(space, problem, limit.quantity, [])
        if not limit.met(np.array([best]))[0]:
            return best_of_any_chip(space.name, limit, best, where)
    return all_at_once(limits)


def _best(
    space: CoSpace, problem: SeparableProblem, of: Objective, limits: Sequence[Limit]
) -> tuple[float, str]:
    """The best value of a quantity over all chips, and the design; empty if there is none.

    Best-first over groups of chips: no chip of a group is better than its relaxed chip, so the
    first single chip whose turn comes is the best of all.
    """
    needed = (of, *(limit.quantity for limit in limits))
    signs = {q: o.sign for o in needed for q in o.quantities}
    waiting: list[tuple[float, int, Ints, Ints]] = []

    def wait(chips: Ints) -> None:
        try:
            front = exact_front(relaxed_chip(space, problem, chips, signs), [of], limits)
        except InfeasibleError:
            return
        bound = float(front.values[0, 0]) * of.sign
        heapq.heappush(waiting, (bound, int(chips[0]), chips, front.indices[:1]))

    if space.possible.any():
        wait(np.flatnonzero(space.possible))
    while waiting:
        bound, first, chips, network = heapq.heappop(waiting)
        if len(chips) == 1:
            return bound * of.sign, space.describe(space.join(first, network)[0])
        wait(chips[: len(chips) // 2])
        wait(chips[len(chips) // 2 :])
    return math.inf * of.sign, ""
