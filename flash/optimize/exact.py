"""The exact optimizer of separable problems: dynamic programming over Pareto fronts.

Stage by stage, every partial design is extended by every option of the next stage; among
the partial designs of one state (the variable values that later stages still read) those
that another one dominates are dropped, and those that cannot meet a limit whatever follows.
What is left at the end holds the exact Pareto front.

Why nothing is lost: sums and maxima never fall when an operand rises, and floating-point
addition keeps that order, so a dominated partial design stays dominated whatever follows.
Totals are added up in the order of the stages, as ``SeparableProblem.evaluate`` does, so
the front is exact for the very numbers that ``evaluate`` returns, ties included (of designs
with equal values one is kept). For an objective made of several quantities (``memory_kb``)
this holds to the rounding of its last addition, about 1e-16 of its value.

An objective ``W + max(A, a)``, W a sum so far and A a maximum so far, is compared at the
least and at the most value ``a`` that the remaining stages can have in this state: the
difference of two partial designs is monotone in ``a``, so its two ends decide.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError, UsageError
from flash.optimize.chain import Step, aligned, chain, remaining
from flash.optimize.infeasibility import best_of_space, none_found
from flash.optimize.objectives import Limit, Objective, Scalar, values_of, within
from flash.optimize.optimizer import Optimizer
from flash.optimize.pareto import non_dominated
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["EXACT", "exact_best", "exact_front", "least_possible"]

#: Partial designs held at once while a stage is merged (bounds the memory).
_BLOCK = 1 << 17
#: Bounds are relaxed by this share of their size: the order of additions differs from evaluate's.
_SLACK = 1e-12

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Criterion:
    """An objective, or a limited quantity that is none, seen from partial designs."""

    of: Objective
    sums: tuple[int, ...]
    peak: int | None
    bound: float | None
    limit_only: bool

    def coordinates(self, columns: Floats, low: Floats, high: Floats) -> list[Floats]:
        """What decides dominance, small is good; ``low``/``high``: what remains, per quantity."""
        total = self._total(columns)
        if self.peak is None:
            ends = [total * self.of.sign]
        else:
            peak = columns[self.peak]
            # If what else there is has no bound, only the sums tell two designs apart there.
            ends = [
                (total + np.maximum(peak, rest[self.peak])) * self.of.sign
                if rest[self.peak] < np.inf
                else total * self.of.sign
                for rest in (low, high)
            ]
            if low[self.peak] == high[self.peak]:
                ends = ends[:1]
        if self.limit_only and self.bound is not None and (self.peak is None or self.of.sign > 0):
            # Below this, every completion meets the limit: how far below is of no interest.
            worst = sum(float((high if self.of.sign > 0 else low)[k]) for k in self.sums)
            safe = self.of.sign * (self.bound - worst)
            safe -= _SLACK * (abs(self.bound) + abs(worst))
            ends = [np.maximum(end, safe) for end in ends]
        return ends

    def may_hold(self, columns: Floats, low: Floats, high: Floats) -> NDArray[np.bool_] | None:
        """Which partial designs have a completion within the limit; None if all have."""
        if self.bound is None:
            return None
        best = low if self.of.sign > 0 else high
        total = self._total(columns) + sum(float(best[k]) for k in self.sums)
        if self.peak is not None:
            total = total + np.maximum(columns[self.peak], best[self.peak])
        slack = _SLACK * (abs(self.bound) + np.abs(total))
        if self.of.sign > 0:
            return np.asarray(total <= self.bound + slack)
        return np.asarray(total >= self.bound - slack)

    def _total(self, columns: Floats) -> Floats:
        return np.asarray(sum((columns[k] for k in self.sums), start=np.zeros(columns.shape[1])))


@dataclass(frozen=True)
class _Layer:
    """Partial designs after a stage, sorted by state.

    columns: (quantities, n) totals so far.  starts: (states + 1,) where each state begins.
    parents: (n,) the partial design before.  options: (n,) which of the stage's options.
    """

    columns: Floats
    starts: Ints
    parents: Ints
    options: Ints


@dataclass(frozen=True)
class _Options:
    """One stage's options: (states, kept, dropped) tables, and the state each leads to."""

    columns: Floats
    next_state: Ints


class _Search:
    """One run of the dynamic programme."""

    def __init__(
        self, problem: SeparableProblem, objectives: Sequence[Objective], limits: Sequence[Limit]
    ) -> None:
        self.problem = problem
        self.steps = chain(problem)
        self.evaluations = 0
        bounds = _tightest(limits)
        targets = dict.fromkeys((*objectives, *bounds))
        self.quantities = tuple(
            dict.fromkeys(q for o in targets for q in o.checked(problem).quantities)
        )
        self.adds = [problem.combine[q] == "sum" for q in self.quantities]
        self.criteria = [
            self._criterion(of, bounds.get(of), of not in objectives) for of in targets
        ]
        self.rest = [remaining(problem, self.steps, q) for q in self.quantities]

    def _criterion(self, of: Objective, bound: float | None, limit_only: bool) -> _Criterion:
        at = [self.quantities.index(q) for q in of.quantities]
        peaks = [k for k in at if not self.adds[k]]
        if len(peaks) > 1:
            raise UsageError(f"objective {of.name}: the exact optimizer takes one maximum at most")
        sums = tuple(k for k in at if self.adds[k])
        return _Criterion(of, sums, peaks[0] if peaks else None, bound, limit_only)

    def run(self) -> Ints:
        """Indices of the designs that may be optimal, shape (k, variables)."""
        layers = [
            _Layer(
                np.zeros((len(self.quantities), 1)),
                np.array([0, 1]),
                np.zeros(1, int),
                np.zeros(1, int),
            )
        ]
        for number, step in enumerate(self.steps):
            layers.append(self._extend(layers[-1], step, number + 1))
        return self._recover(layers)

    # ------------------------------------------------------------------------ one stage
    def _extend(self, layer: _Layer, step: Step, number: int) -> _Layer:
        options = self._options(step)
        states = math.prod(self.problem.sizes[k] for k in step.after)
        low, high = (self._rest_after(number, end) for end in ("low", "high"))
        merged = [
            self._merge(layer, options, state, low[:, state], high[:, state])
            for state in range(states)
        ]
        sizes = [len(parents) for _, parents, _ in merged]
        return _Layer(
            np.concatenate([m[0] for m in merged], axis=1),
            np.concatenate([[0], np.cumsum(sizes)]),
            np.concatenate([m[1] for m in merged]),
            np.concatenate([m[2] for m in merged]),
        )

    def _rest_after(self, number: int, end: str) -> Floats:
        """(quantities, states): bounds on what follows after ``number`` stages."""
        return np.stack([np.ravel(getattr(rest[number], end)) for rest in self.rest])

    def _options(self, step: Step) -> _Options:
        sizes, stage = self.problem.sizes, step.table
        axes = (*step.before, *step.kept, *step.dropped)
        full = tuple(sizes[k] for k in axes)
        before, kept = (math.prod(sizes[k] for k in part) for part in (step.before, step.kept))
        columns = [
            np.broadcast_to(
                aligned(stage.values[q], (*stage.reads, *stage.owns), axes), full
            ).reshape(before, kept, -1)
            for q in self.quantities
        ]
        # The state each (state, kept values) leads to.
        both = (*step.before, *step.kept)
        grids = np.indices(tuple(sizes[k] for k in both)) if both else np.zeros((0,), int)
        following = np.zeros((before, kept), dtype=np.int64)
        if step.after:
            after = [grids[both.index(k)].reshape(before, kept) for k in step.after]
            following = np.ravel_multi_index(after, tuple(sizes[k] for k in step.after))
        return _Options(np.stack(columns), following)

    def _merge(
        self, layer: _Layer, options: _Options, state: int, low: Floats, high: Floats
    ) -> tuple[Floats, Ints, Ints]:
        """The surviving partial designs that arrive in ``state``: columns, parents, options."""
        pieces = list(self._pieces(layer, options, state, low, high))
        if not pieces:
            return np.zeros((len(self.quantities), 0)), np.zeros(0, int), np.zeros(0, int)
        columns = np.concatenate([p[0] for p in pieces], axis=1)
        parents = np.concatenate([p[1] for p in pieces])
        chosen = np.concatenate([p[2] for p in pieces])
        if len(pieces) > 1 or len(parents) <= _BLOCK >> 5:
            keep = non_dominated(self._coordinates(columns, low, high))
            columns, parents, chosen = columns[:, keep], parents[keep], chosen[keep]
        return columns, parents, chosen

    def _pieces(
        self, layer: _Layer, options: _Options, state: int, low: Floats, high: Floats
    ) -> Iterator[tuple[Floats, Ints, Ints]]:
        count = options.columns.shape[3]
        # Whatever else is in the design, its maximum is at least what must still follow.
        anything = np.where(self.adds, high, np.inf)
        for source, kept in zip(*np.nonzero(options.next_state == state), strict=True):
            first, last = layer.starts[source], layer.starts[source + 1]
            if first == last:
                continue
            own = options.columns[:, source, kept]
            useful = np.flatnonzero(self._useful(own, low, anything))
            own = own[:, useful]
            rows = max(1, _BLOCK // len(useful))
            for start in range(first, last, rows):
                part = layer.columns[:, start : min(start + rows, last)]
                columns = self._product(part, own)
                keep = self._survivors(columns, low, high)
                parents, which = np.divmod(keep, len(useful))
                yield columns[:, keep], start + parents, kept * count + useful[which]

    def _useful(self, own: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
        """Which options of a stage are not dominated by another one."""
        coordinates = [
            end
            for c in self.criteria
            for end in _Criterion(c.of, c.sums, c.peak, None, False).coordinates(own, low, high)
        ]
        return non_dominated(np.stack(coordinates, axis=1))

    def _product(self, part: Floats, own: Floats) -> Floats:
        """Every partial design with every option: (quantities, rows x options)."""
        self.evaluations += part.shape[1] * own.shape[1]
        result = np.empty((len(part), part.shape[1], own.shape[1]))
        for k, adds in enumerate(self.adds):
            merge = np.add if adds else np.maximum
            merge(part[k][:, None], own[k][None, :], out=result[k])
        return result.reshape(len(part), -1)

    def _survivors(self, columns: Floats, low: Floats, high: Floats) -> Ints:
        """Columns within reach of the limits and, in large blocks, not dominated."""
        keep = np.ones(columns.shape[1], dtype=np.bool_)
        for criterion in self.criteria:
            hold = criterion.may_hold(columns, low, high)
            if hold is not None:
                keep &= hold
        rows = np.flatnonzero(keep)
        if len(rows) > _BLOCK >> 5:
            rows = rows[non_dominated(self._coordinates(columns[:, rows], low, high))]
        return rows

    def _coordinates(self, columns: Floats, low: Floats, high: Floats) -> Floats:
        ends = [end for c in self.criteria for end in c.coordinates(columns, low, high)]
        return np.stack(ends, axis=1)

    # ------------------------------------------------------------------------- the way back
    def _recover(self, layers: Sequence[_Layer]) -> Ints:
        rows = np.arange(len(layers[-1].parents))
        indices = np.zeros((len(rows), len(self.problem.sizes)), dtype=np.int64)
        for step, layer in zip(reversed(self.steps), reversed(layers[1:]), strict=True):
            own = (*step.kept, *step.dropped)
            if own:
                sizes = tuple(self.problem.sizes[k] for k in own)
                for k, values in zip(
                    own, np.unravel_index(layer.options[rows], sizes), strict=True
                ):
                    indices[:, k] = values
            rows = layer.parents[rows]
        return indices


def exact_front(
    problem: SeparableProblem, objectives: Sequence[Objective], limits: Sequence[Limit] = ()
) -> OptimizerResult:
    """The exact Pareto front: every design of the space is dominated by one of it, or equal to it.

    Designs are sorted by the first objective, best first. Raises ``InfeasibleError`` if no
    design meets the limits, ``UsageError`` if the problem does not separate.
    """
    if not objectives:
        raise UsageError("the exact optimizer needs an objective")
    began = time.perf_counter()
    search = _Search(problem, objectives, limits)
    indices = search.run()
    held = values_of(problem, indices, [limit.quantity for limit in limits])
    indices = indices[within(held, limits)]
    if len(indices) == 0:
        raise InfeasibleError(_why_infeasible(problem, limits))
    values = values_of(problem, indices, objectives)
    signs = [o.sign for o in objectives]
    keep = np.flatnonzero(non_dominated(values, signs))
    keep = keep[np.lexsort((values[keep] * signs).T[::-1])]
    return OptimizerResult(
        "exact",
        tuple(objectives),
        indices[keep],
        values[keep],
        search.evaluations,
        time.perf_counter() - began,
        0.0,
        True,
        f"exact over {problem.size:.3g} designs",
    )


def exact_best(
    problem: SeparableProblem, scalar: Scalar, limits: Sequence[Limit] = ()
) -> OptimizerResult:
    """One design at the exact optimum of a scalar under limits.

    The optimum of a function that never falls when an objective improves lies on the exact
    Pareto front of its objectives. Raises as ``exact_front`` does.
    """
    front = exact_front(problem, scalar.objectives, limits)
    best = int(np.argmax(scalar.function(front.values)))
    return OptimizerResult(
        "exact",
        front.objectives,
        front.indices[best : best + 1],
        front.values[best : best + 1],
        front.evaluations,
        front.seconds,
        0.0,
        True,
        f"the optimum of {scalar.name} over {problem.size:.3g} designs",
    )


def least_possible(problem: SeparableProblem, of: Objective) -> float:
    """The best value of one objective over the whole space, without limits."""
    return float(exact_front(problem, [of]).values[0, 0])


def _tightest(limits: Sequence[Limit]) -> dict[Objective, float]:
    """One bound a quantity: of several limits on the same one the tightest."""
    bounds: dict[Objective, float] = {}
    for limit in limits:
        of = limit.quantity
        tighter = min if of.sense == "min" else max
        bounds[of] = tighter(bounds.get(of, limit.bound), limit.bound)
    return bounds


def _why_infeasible(problem: SeparableProblem, limits: Sequence[Limit]) -> str:
    for limit in limits:
        best = least_possible(problem, limit.quantity)
        if not limit.met(np.array([best]))[0]:
            return best_of_space(limit, best)
    return none_found(limits)


class _Exact:
    """The exact front, by dynamic programming over the stages; no seed changes it."""

    name = "exact"

    def optimize(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        seed: int,
    ) -> OptimizerResult:
        """See ``flash.optimize.optimizer.Optimizer``."""
        return exact_front(problem, objectives, limits)


EXACT: Optimizer = _Exact()
