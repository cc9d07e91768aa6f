"""Hierarchical SHGO in the manner of FLASH, on integers and under limits.

``scipy.optimize.shgo`` (simplicial homology global optimisation; Endres, Sandrock & Focke
2018) samples a simplicial complex and starts a local search from each of its minimisers. It
is used here for every global step, on levels of at most five variables (see
``flash.optimize.hierarchy``); the complex is scored in one vectorised call, rounding
happens inside, the local search works on integers, and limits are checked by us. FLASH's own
listing could not be read: coarse level, box around the winner, fine level is what is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError, UsageError
from flash.optimize.infeasibility import none_found
from flash.optimize.levels import Effort, Search, Solve, penalised
from flash.optimize.objectives import Limit, Objective, Scalar, meets, single, values_of
from flash.optimize.optimizer import Optimizer
from flash.optimize.pareto import non_dominated
from flash.optimize.polish import spread, steps
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["SHGO", "Effort", "shgo_best", "shgo_front"]

Ints = NDArray[np.int64]


def _columns(
    objectives: Sequence[Objective], limits: Sequence[Limit]
) -> tuple[tuple[Objective, ...], list[tuple[int, Limit]]]:
    """All that has to be scored, and the column of each limit in it."""
    needed = tuple(dict.fromkeys((*objectives, *(limit.quantity for limit in limits))))
    return needed, [(needed.index(limit.quantity), limit) for limit in limits]


def _peak_bound(problem: SeparableProblem, limits: Sequence[Limit]) -> float:
    """No maximum of a feasible design exceeds this (only a hint for where to look)."""
    bounds = [
        limit.bound
        for limit in limits
        if limit.quantity.sense == "min"
        and any(problem.combine[q] == "max" for q in limit.quantity.checked(problem).quantities)
    ]
    return min(bounds, default=np.inf)


def shgo_best(
    problem: SeparableProblem,
    scalar: Scalar,
    limits: Sequence[Limit] = (),
    seed: int = 0,
    effort: Effort | None = None,
) -> OptimizerResult:
    """One design that maximises a scalar under limits. The same seed gives the same design.

    Raises ``InfeasibleError`` if it finds no design within the limits.
    """
    began = time.perf_counter()
    needed, held = _columns(scalar.objectives, limits)
    search = Search(problem, needed, seed, effort or Effort(), _peak_bound(problem, limits))
    columns = list(range(len(scalar.objectives)))
    solve = Solve(search, penalised(scalar.function, columns, held))
    solve.run()
    best = _within(problem, search.cheapest(solve.cost_of), limits)
    values = values_of(problem, best, scalar.objectives)
    top = [int(np.argmax(scalar.function(values)))]
    return _result(search, scalar.objectives, best[top], values[top], began, f"best {scalar.name}")


def shgo_front(
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit] = (),
    seed: int = 0,
    effort: Effort | None = None,
) -> OptimizerResult:
    """A Pareto front: a sweep of scalar solves, each started from the one before.

    One objective (the first to maximise, else the first) is optimised under a series of
    bounds on the others. Every design scored on the way is kept and filtered; then the
    neighbours of the front are tried until it stops moving. Sorted by the first objective.
    """
    if not objectives:
        raise UsageError("shgo needs an objective")
    began = time.perf_counter()
    needed, held = _columns(objectives, limits)
    search = Search(problem, needed, seed, effort or Effort(), _peak_bound(problem, limits))
    primary = next((k for k, of in enumerate(objectives) if of.sense == "max"), 0)
    others = [k for k in range(len(objectives)) if k != primary]
    for k in (*others, primary):
        Solve(search, penalised(single(objectives[k]).function, [k], held)).run()
    place = None
    for bounds in _sweep(search, objectives, others):
        cost = penalised(single(objectives[primary]).function, [primary], [*held, *bounds])
        solve = Solve(search, cost)
        solve.round(place)
        place = solve.place
    signs = np.array([of.sign for of in objectives])
    indices = _within(problem, _spread(search, signs, held), limits)
    values = values_of(problem, indices, objectives)
    keep = np.flatnonzero(non_dominated(values, signs.tolist()))
    keep = keep[np.lexsort((values[keep] * signs).T[::-1])]
    return _result(search, objectives, indices[keep], values[keep], began, "front")


def _sweep(
    search: Search, objectives: Sequence[Objective], others: Sequence[int]
) -> list[list[tuple[int, Limit]]]:
    """Bounds on all objectives but the primary one, from loose to tight, log-spaced."""
    if not others:
        return []
    values = np.concatenate(search.values)
    signs = np.array([of.sign for of in objectives])
    front = values[non_dominated(values[:, : len(objectives)], signs.tolist())]
    share = np.linspace(1.0, 0.0, search.effort.levels + 2)[1:-1]
    sweep = []
    for number, place in enumerate(share):
        bounds = []
        for rank, k in enumerate(others):
            low, high = front[:, k].min(), front[:, k].max()
            # Golden-ratio steps decouple the bounds of third and further objectives.
            at = place if rank == 0 else (0.5 + 0.618034 * number * rank) % 1.0
            bound = low * (high / low) ** at if low > 0 else low + (high - low) * at
            bounds.append((k, Limit(objectives[k], float(bound))))
        sweep.append(bounds)
    return sweep


def _spread(search: Search, signs: Floats, held: Sequence[tuple[int, Limit]]) -> Ints:
    """The front of all designs scored, its neighbours tried until none is new on it."""

    def score(designs: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        values = search.score(designs, inside=False)
        allowed = np.ones(len(designs), dtype=np.bool_)
        for column, limit in held:
            allowed &= limit.met(values[:, column])
        return values[:, : len(signs)], allowed

    fresh, values = _best_archived(search, signs, held)
    every = np.ones(len(fresh), dtype=np.bool_)
    around, sweeps = steps(len(search.tops)), search.effort.sweeps
    front, _ = spread(
        fresh,
        values[:, : len(signs)],
        score,
        every,
        signs.tolist(),
        around,
        search.tops,
        sweeps,
    )
    return front


def _best_archived(
    search: Search, signs: Floats, held: Sequence[tuple[int, Limit]]
) -> tuple[Ints, Floats]:
    """The designs scored within the limits that none of them dominates, and their values."""
    values = np.concatenate(search.values)
    allowed = np.ones(len(values), dtype=np.bool_)
    for column, limit in held:
        allowed &= limit.met(values[:, column])
    rows = np.flatnonzero(allowed)
    rows = rows[non_dominated(values[rows, : len(signs)], signs.tolist())]
    return np.concatenate(search.designs)[rows].astype(np.int64), values[rows]


def _within(problem: SeparableProblem, designs: Ints, limits: Sequence[Limit]) -> Ints:
    """The designs within the limits by ``evaluate``'s own numbers.

    Raises ``InfeasibleError`` if there is none.
    """
    ok = meets(problem, designs, limits)
    if not ok.any():
        raise InfeasibleError(none_found(limits, "shgo"))
    return designs[ok]


def _result(
    search: Search,
    objectives: Sequence[Objective],
    indices: Ints,
    values: Floats,
    began: float,
    what: str,
) -> OptimizerResult:
    return OptimizerResult(
        "shgo",
        tuple(objectives),
        indices,
        values,
        search.inside + search.outside,
        time.perf_counter() - began,
        message=f"{what}: {search.inside} evaluations on shgo complexes, "
        f"{search.outside} in local search",
    )


class _Shgo:
    """Hierarchical SHGO: a sweep of scalar solves, each polished on integers."""

    name = "shgo"

    def optimize(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        seed: int,
    ) -> OptimizerResult:
        """See ``flash.optimize.optimizer.Optimizer``."""
        return shgo_front(problem, objectives, limits, seed=seed)


SHGO: Optimizer = _Shgo()
