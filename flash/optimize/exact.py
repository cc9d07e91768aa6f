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
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError, UsageError
from flash.optimize.chain import Options, Step, chain, options_of, remaining
from flash.optimize.criterion import Criterion
from flash.optimize.infeasibility import best_of_space, none_found
from flash.optimize.many_states import FEW_OPTIONS, ManyStates, Pieces
from flash.optimize.merging import Merge, Piece
from flash.optimize.objectives import Limit, Objective, Scalar, values_of, within
from flash.optimize.optimizer import Optimizer
from flash.optimize.outlook import Incumbents, Outlook
from flash.optimize.pareto import non_dominated
from flash.optimize.result import OptimizerResult
from flash.optimize.scouting import incumbents, scout
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["EXACT", "exact_best", "exact_front", "least_possible"]

Ints = NDArray[np.int64]

#: Look-ups in the tables of stages that take as long as going through one state.
_LOOK_UPS_A_STATE = 2_000
#: With more states than this, designs that exist are looked for first, to rule out others by.
_MANY_STATES = 1_000
#: With no more states than this, what may follow on each is foreseen.
_FORESEEN = 100
#: Designs evaluated one by one at most: their indices are held at once.
_MOST_ENUMERATED = 1 << 18


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


def _with_followers(steps: Sequence[Step]) -> Iterator[tuple[Step, list[Step]]]:
    """Each stage that has a choice, with those behind it that have none."""
    start = 0
    while start < len(steps):
        end = start + 1
        while end < len(steps) and not steps[end].table.owns:
            end += 1
        yield steps[start], list(steps[start + 1 : end])
        start = end


def _followed(states: Ints, then: Sequence[Options]) -> tuple[Ints, list[Floats]]:
    """The states after stages without a choice, and what each adds, (quantities, states)."""
    constants = []
    for options in then:
        constants.append(options.columns[:, states, 0, 0])
        states = options.next_state[states, 0]
    return states, constants


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
        goals = [c for c in self.criteria if not c.limit_only]
        self.outlook = Outlook(goals, self.adds)

    def _criterion(self, of: Objective, bound: float | None, limit_only: bool) -> Criterion:
        at = [self.quantities.index(q) for q in of.quantities]
        peaks = [k for k in at if not self.adds[k]]
        if len(peaks) > 1:
            raise UsageError(f"objective {of.name}: the exact optimizer takes one maximum at most")
        sums = tuple(k for k in at if self.adds[k])
        return Criterion(of, sums, peaks[0] if peaks else None, bound, limit_only)

    @property
    def states(self) -> int:
        """Of all stages together."""
        return sum(math.prod(self.problem.sizes[k] for k in step.after) for step in self.steps)

    def ends_with(self, objectives: Sequence[Objective]) -> bool:
        """Whether the last stage compares designs by the very values of these and nothing else."""
        return all(
            c.of in objectives and c.bound is None and len(c.of.quantities) == 1
            for c in self.criteria
        )

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
        if self.states <= _FORESEEN:
            self.outlook.foresee(
                [options_of(self.problem, step, self.quantities) for step in self.steps]
            )
        groups = list(_with_followers(self.steps))
        number = 0
        for step, forced in groups:
            number += 1 + len(forced)
            layers.append(self._extend(layers[-1], step, forced, number))
        return self._recover(layers, [step for step, _ in groups])

    # ------------------------------------------------------------------------ one stage
    def _extend(self, layer: _Layer, step: Step, forced: Sequence[Step], number: int) -> _Layer:
        options, *then = (options_of(self.problem, one, self.quantities) for one in (step, *forced))
        low, high = (self._rest_after(number, end) for end in ("low", "high"))
        hopeful = self.outlook.pairs(layer.columns, layer.starts, (options, *then), (low, high))
        # A piece: the partial designs of a state, and the options with one kept value.
        source, kept = np.nonzero(hopeful & (np.diff(layer.starts) > 0)[:, None])
        state, then_adds = _followed(options.next_state[source, kept], then)
        first, last = layer.starts[source], layer.starts[source + 1]
        merged = [(layer.columns[:, :0], layer.parents[:0], layer.options[:0], state[:0])]
        width, left = options.columns.shape[3], np.arange(len(state))
        if width <= FEW_OPTIONS and len(state):
            pieces = Pieces(state, first, last, options.columns[:, source, kept], then_adds)
            many = ManyStates(
                layer.columns, self.adds, self.criteria, pieces, low[:, state], high[:, state]
            )
            self.evaluations += many.evaluations
            left = np.flatnonzero(~many.taken)
            for columns, parents, piece, which in many.survivors():
                merged.append((columns, parents, kept[piece] * width + which, state[piece]))
        arriving: dict[int, list[Piece]] = {}
        for k in left.tolist():
            own = options.columns[:, source[k], kept[k]]
            useful = np.flatnonzero(self._useful(own, low[:, state[k]], high[:, state[k]]))
            numbers = kept[k] * width + useful
            adds = [constant[:, k] for constant in then_adds]
            alone = Piece(int(first[k]), int(last[k]), own[:, useful], numbers, adds)
            arriving.setdefault(int(state[k]), []).append(alone)
        for end, found in arriving.items():
            merge = Merge(
                layer.columns,
                self.adds,
                self.criteria,
                low[:, end],
                high[:, end],
                partial(self.outlook.hopeful, number=number, state=end),
            )
            columns, parents, numbers = merge.of(found)
            self.evaluations += merge.evaluations
            merged.append((columns, parents, numbers, np.full(len(parents), end)))
        return self._open(merged, low, high)

    def _open(
        self, merged: Sequence[tuple[Floats, Ints, Ints, Ints]], low: Floats, high: Floats
    ) -> _Layer:
        """Those that may end on the front, sorted by state.

        merged: totals, partial designs, options, states.  low, high: (quantities, states) what
        remains.
        """
        columns = np.concatenate([m[0] for m in merged], axis=1)
        which = np.concatenate([m[3] for m in merged])
        order = np.argsort(which, kind="stable")
        keep = order[self.outlook.open(columns, low[:, which], high[:, which])[order]]
        return _Layer(
            columns[:, keep],
            np.append(0, np.cumsum(np.bincount(which[keep], minlength=low.shape[1]))),
            np.concatenate([m[1] for m in merged])[keep],
            np.concatenate([m[2] for m in merged])[keep],
        )

    def _rest_after(self, number: int, end: str) -> Floats:
        """(quantities, states): bounds on what follows after ``number`` stages."""
        return np.stack([np.ravel(getattr(rest[number], end)) for rest in self.rest])

    def _useful(self, own: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
        """Which options of a stage are not dominated by another one."""
        if own.shape[1] == 1:  # most stages of spaces with many states
            return np.ones(1, dtype=np.bool_)
        # Whatever else is in the design, its maximum is at least what must still follow.
        anything = np.where(self.adds, high, np.inf)
        coordinates = [
            end for c in self.criteria for end in c.unlimited.coordinates(own, low, anything)
        ]
        return non_dominated(np.stack(coordinates, axis=1))

    # ------------------------------------------------------------------------- the way back
    def _recover(self, layers: Sequence[_Layer], steps: Sequence[Step]) -> Ints:
        rows = np.arange(len(layers[-1].parents))
        indices = np.zeros((len(rows), len(self.problem.sizes)), dtype=np.int64)
        for step, layer in zip(reversed(steps), reversed(layers[1:]), strict=True):
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
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit] = (),
    seen: Ints | None = None,
) -> OptimizerResult:
    """The exact Pareto front: every design of the space is dominated by one of it, or equal to it.

    seen: good designs, shape (k, variables), say of a front under fewer limits: with one or two
          objectives those within the limits spare the work on whatever they beat. They do not
          change the front.

    Designs are sorted by the first objective, best first. Raises ``InfeasibleError`` if no
    design meets the limits, ``UsageError`` if the problem does not separate.
    """
    if not objectives:
        raise UsageError("the exact optimizer needs an objective")
    began = time.perf_counter()
    search = _Search(problem, objectives, limits)
    one_by_one = _few_enough(problem, search)
    if not one_by_one and len(objectives) <= 2:
        search.outlook.known = _known(search, objectives, limits, seen)
    indices = _every_design(problem) if one_by_one else search.run()
    held = values_of(problem, indices, [limit.quantity for limit in limits])
    indices = indices[within(held, limits)]
    if len(indices) == 0:
        raise InfeasibleError(_why_infeasible(problem, limits))
    values = values_of(problem, indices, objectives)
    signs = [o.sign for o in objectives]
    keep = np.arange(len(indices))
    if one_by_one or not search.ends_with(objectives):
        keep = np.flatnonzero(non_dominated(values, signs))
    keep = keep[np.lexsort((values[keep] * signs).T[::-1])]
    return OptimizerResult(
        "exact",
        tuple(objectives),
        indices[keep],
        values[keep],
        problem.size if one_by_one else search.evaluations,
        time.perf_counter() - began,
        0.0,
        True,
        f"exact over {problem.size:.3g} designs" + ", each evaluated" * one_by_one,
    )


def _known(
    search: _Search, objectives: Sequence[Objective], limits: Sequence[Limit], seen: Ints | None
) -> Incumbents | None:
    """Designs within the limits to rule out others by; None where there are none."""
    found = None if seen is None else incumbents(search.problem, objectives, limits, seen)
    if found is None and search.states > _MANY_STATES:
        found = incumbents(
            search.problem, objectives, limits, scout(search.problem, objectives, limits)
        )
    return found


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


def _few_enough(problem: SeparableProblem, search: _Search) -> bool:
    """Whether evaluating every design takes less time than to go through all states."""
    looked_up = problem.size * len(search.steps)
    return problem.size <= _MOST_ENUMERATED and looked_up <= _LOOK_UPS_A_STATE * (search.states - 1)


def _every_design(problem: SeparableProblem) -> Ints:
    """Indices of all designs, shape (designs, variables)."""
    mesh: Ints = np.indices(problem.sizes).reshape(len(problem.sizes), -1).T
    return mesh


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
