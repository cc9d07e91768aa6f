"""The exact front of the joint space by branch and bound over chips, or how far from it.

Given the chip, the network separates, and the exact optimizer takes a fraction of a second.
A group of chips is bounded by the *relaxed chip* that has, in every stage table and in area, the
best value of any of them: no network on any chip of the group beats the front of the relaxed
chip. So:

1. Chips that another one beats in every entry of every stage table and in area are dropped:
   a proof, checked number by number.
2. Groups are split, the least settled first. A group whose relaxed front the designs already
   known dominate holds nothing new; a group of one chip gives its exact front.
3. When time is up, the relaxed fronts of the groups left bound what may be missing.

Where stage tables are lower bounds (imc), fronts of single chips are bounds too; their designs
are priced for real, and the difference is part of what may be missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize import (
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    StageTable,
    exact_front,
    hypervolume_gap,
    non_dominated,
)
from flash.optimize.infeasibility import none_on_any_chip
from flash.search.joint.space import CoSpace
from flash.spaces.stage_tables import Floats

__all__ = ["Price", "certified_front", "relaxed_chip"]

Ints = NDArray[np.int64]
#: Joint indices -> real values (objectives) and whether the limits hold.
Price = Callable[[Ints], tuple[Floats, NDArray[np.bool_]]]


@dataclass
class _Known:
    """Designs priced for real; none dominates another."""

    indices: Ints
    values: Floats


@dataclass(frozen=True)
class _Group:
    """Chips not settled yet, and the front of their relaxed chip (designs x objectives)."""

    chips: Ints
    bound: Floats


def relaxed_chip(
    space: CoSpace, problem: SeparableProblem, chips: Ints, signs: Mapping[str, float]
) -> SeparableProblem:
    """The network's problem on a chip that is in everything as good as the best of ``chips``.

    signs: quantity -> +1 if small is good, -1 if large is; others are left out. Of one chip
    it is the problem itself.
    """
    shift, count = len(space.free), len(space.chips)
    stages = []
    for stage in problem.stages:
        best = {}
        for q, sign in signs.items():
            table = stage.values[q].reshape(count, *stage.values[q].shape[shift:])[chips]
            best[q] = table.min(axis=0) if sign > 0 else table.max(axis=0)
        reads = tuple(k - shift for k in stage.reads if k >= shift)
        owns = tuple(k - shift for k in stage.owns if k >= shift)
        stages.append(StageTable(stage.name, reads, owns, best))
    combine = {q: problem.combine[q] for q in signs}
    return SeparableProblem(problem.sizes[shift:], tuple(stages), combine)


def certified_front(
    space: CoSpace,
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    start: OptimizerResult | None,
    price: Price,
    exact: bool,
    seconds: float,
) -> OptimizerResult:
    """The best front known after ``seconds``, its ``gap_percent`` a proven bound.

    start: a front to begin with (a heuristic's).  price: real values of joint designs.
    exact: the problem's quantities are the costs. ``certified`` is true if so and nothing was
    left open. Raises ``InfeasibleError`` if no chip has a design within the limits.
    """
    return _Branching(space, problem, objectives, limits, price, exact).run(start, seconds)


class _Branching:
    def __init__(
        self,
        space: CoSpace,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        price: Price,
        exact: bool,
    ) -> None:
        self.space, self.problem, self.price, self.exact = space, problem, price, exact
        self.objectives, self.limits = tuple(objectives), tuple(limits)
        self.signs = np.array([of.sign for of in objectives])
        self.shift = len(space.free)
        self.evaluations = 0
        self.solved = 0
        self.bounds: list[Floats] = []
        needed = (*self.objectives, *(limit.quantity for limit in self.limits))
        self._signs = {q: of.sign for of in needed for q in of.quantities}
        self.quantities = tuple(self._signs)
        count = len(space.chips)
        self.tables = [
            {
                q: s.values[q].reshape(count, *s.values[q].shape[self.shift :])
                for q in self.quantities
            }
            for s in problem.stages
        ]
        self.known = _Known(
            np.zeros((0, len(problem.sizes)), dtype=np.int64), np.zeros((0, len(self.objectives)))
        )

    def run(self, start: OptimizerResult | None, seconds: float) -> OptimizerResult:
        began = time.perf_counter()
        if start is not None:
            self._learn(start.indices)
        chips = self._undominated()
        front = self._relaxed(chips)
        if front is None:
            raise InfeasibleError(none_on_any_chip(proven=True))
        groups = [_Group(chips, front)]
        while groups and time.perf_counter() - began < seconds:
            groups.sort(key=self._open)
            groups = [*groups[:-1], *self._split(groups[-1])]
        return self._result(groups, len(chips), start, time.perf_counter() - began)

    # ------------------------------------------------------------------------------ chips
    def _undominated(self) -> Ints:
        """Chips that no other beats, or equals, in every table entry."""
        signs = self._signs
        chips = np.flatnonzero(self.space.possible)
        # Means of the tables tell most pairs apart before their entries are compared.
        means = np.stack(
            [
                signs[q] * table[q].reshape(len(self.space.chips), -1).mean(axis=1)
                for table in self.tables
                for q in self.quantities
            ],
            axis=1,
        )
        slack = 1e-9 * np.abs(means).max(axis=0)
        kept: list[int] = []
        for chip in chips[np.argsort(means[chips].sum(axis=1), kind="stable")]:
            better = [k for k in kept if (means[k] <= means[chip] + slack).all()]
            if not any(self._beats(other, int(chip), signs) for other in better):
                kept.append(int(chip))
        return np.array(sorted(kept))

    def _beats(self, one: int, other: int, signs: Mapping[str, float]) -> bool:
        return all(
            bool((signs[q] * (table[q][one] - table[q][other]) <= 0).all())
            for table in self.tables
            for q in self.quantities
        )

    def _relaxed(self, chips: Ints) -> Floats | None:
        """The front of the relaxed chip; of one chip, its designs become known."""
        relaxed = relaxed_chip(self.space, self.problem, chips, self._signs)
        self.solved += 1
        try:
            front = exact_front(relaxed, self.objectives, self.limits)
        except InfeasibleError:
            return None
        self.evaluations += front.evaluations
        if len(chips) == 1:
            self._learn(self.space.join(int(chips[0]), front.indices))
        return front.values

    def _split(self, group: _Group) -> list[_Group]:
        """The two halves of a group that may still hold something new; of one chip, none."""
        if len(group.chips) == 1:
            self.bounds.append(group.bound)
            return []
        halves = []
        for chips in self._halves(group.chips):
            front = self._relaxed(chips)
            if front is None:
                continue
            if len(chips) == 1:
                if not self.exact:
                    self.bounds.append(front)
            elif self._uncovered(front) > 0:
                halves.append(_Group(chips, front))
        return halves

    def _halves(self, chips: Ints) -> tuple[Ints, Ints]:
        """Apart by the cost in which they differ most."""
        means = np.array(
            [
                [sum(float(t[q][c].mean()) for t in self.tables) for q in self.quantities]
                for c in chips
            ]
        )
        spread = np.log(np.maximum(means, 1e-12)).std(axis=0)
        order = np.argsort(means[:, int(np.argmax(spread))], kind="stable")
        half = len(chips) // 2
        return chips[np.sort(order[:half])], chips[np.sort(order[half:])]

    # ----------------------------------------------------------------------------- fronts
    def _learn(self, indices: Ints) -> None:
        values, within = self.price(indices)
        known = self.known
        indices = np.concatenate([known.indices, indices[within]])
        values = np.concatenate([known.values, values[within]])
        keep = non_dominated(values, self.signs.tolist())
        self.known = _Known(indices[keep], values[keep])

    def _uncovered(self, bound: Floats) -> int:
        """How many points of a bound no known design dominates or equals."""
        known = self.known.values
        if len(known) == 0:
            return len(bound)
        both = np.concatenate([known, bound])
        # Of equal rows the first, a known one, is kept.
        return int(non_dominated(both, self.signs.tolist())[len(known) :].sum())

    def _open(self, group: _Group) -> float:
        return float(self._uncovered(group.bound))

    def _result(
        self, groups: Sequence[_Group], kept: int, start: OptimizerResult | None, seconds: float
    ) -> OptimizerResult:
        known = self.known
        if len(known.indices) == 0:
            raise InfeasibleError(none_on_any_chip(proven=False))
        bound = np.concatenate([known.values, *self.bounds, *(g.bound for g in groups)])
        bound = bound[non_dominated(bound, self.signs.tolist())]
        signs = self.signs.tolist()
        gap = hypervolume_gap(known.values, bound, signs)
        certified = self.exact and not groups
        order = np.lexsort((known.values * self.signs).T[::-1])
        own = self._heuristic(start) if start is not None and self.exact else ""
        left = sum(len(group.chips) for group in groups)
        words = (
            f"the exact front of {self.space.size:,} designs ({len(known.indices):,}); "
            if certified
            else f"at most {gap:.2g} % of any front's hypervolume is missing over "
            f"{self.space.size:,} designs; "
        )
        proof = (
            f"{len(self.space.chips)} chips, {kept} not beaten in every table, {self.solved} fronts"
            + (f", {left} chips left open" if left else "")
        )
        return OptimizerResult(
            start.name if start is not None else "exact",
            self.objectives,
            known.indices[order],
            known.values[order],
            self.evaluations + (start.evaluations if start is not None else 0),
            seconds,
            0.0 if certified else gap,
            certified,
            own + words + proof,
        )

    def _heuristic(self, start: OptimizerResult) -> str:
        """How close the front to begin with came to what is known in the end."""
        values = self.price(start.indices)[0]
        gap = hypervolume_gap(values, self.known.values, self.signs.tolist())
        return (
            f"{start.name.upper()} alone within {gap:.2g} % ({len(start):,} designs, "
            f"{start.seconds:.2g} s); "
        )
