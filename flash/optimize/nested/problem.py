"""A problem inside choices: given its first variables, the rest separates and is cheap to solve.

The first variables are the *choices* (of a chip: its hardware variables); every stage reads them.
A group of choices is bounded by its *relaxed* problem, which has in every entry of every stage
table the best value of any of them: no design of the group beats the front of that.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.exact import exact_front
from flash.optimize.objectives import Limit, Objective
from flash.spaces.stage_tables import Floats, SeparableProblem, StageTable

__all__ = ["Nested", "signs_of"]

Ints = NDArray[np.int64]


def signs_of(objectives: Sequence[Objective], limits: Sequence[Limit]) -> dict[str, float]:
    """Quantity -> +1 if small is good, -1 if large is, of all that objectives and limits need."""
    needed = (*objectives, *(limit.quantity for limit in limits))
    return {name: of.sign for of in needed for name in of.quantities}


@dataclass(frozen=True)
class Nested:
    """A problem whose first ``outer`` variables are choices.

    possible: which of the choices can be made, in the order of their product.
    size:     how many designs to speak of: those left out beforehand count too.
    """

    problem: SeparableProblem
    outer: int
    possible: NDArray[np.bool_]
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each choice."""
        return self.problem.sizes[: self.outer]

    @property
    def count(self) -> int:
        """Number of choices, those that cannot be made included."""
        return len(self.possible)

    def join(self, choice: int, indices: Ints) -> Ints:
        """Indices of designs of one choice -> indices of the whole problem."""
        own = np.array(np.unravel_index(choice, self.shape), dtype=np.int64)
        return np.concatenate([np.repeat(own[None], len(indices), axis=0), indices], axis=1)

    def table(self, stage: StageTable, quantity: str) -> Floats:
        """A stage's table, its first axis the choice."""
        values = stage.values[quantity]
        return values.reshape(self.count, *values.shape[self.outer :])

    def relaxed(self, choices: Ints, signs: Mapping[str, float]) -> SeparableProblem:
        """The rest's problem, as good in everything as the best of ``choices``; of one, its own.

        signs: as ``signs_of`` says; other quantities are left out.
        """
        stages = []
        for stage in self.problem.stages:
            best = {}
            for name, sign in signs.items():
                table = self.table(stage, name)[choices]
                best[name] = table.min(axis=0) if sign > 0 else table.max(axis=0)
            reads, owns = (
                tuple(k - self.outer for k in part if k >= self.outer)
                for part in (stage.reads, stage.owns)
            )
            stages.append(StageTable(stage.name, reads, owns, best))
        combine = {name: self.problem.combine[name] for name in signs}
        return SeparableProblem(self.problem.sizes[self.outer :], tuple(stages), combine)

    def own(self, of: Objective) -> Floats | None:
        """An objective that is the same for all designs of a choice, (choices,); else None."""
        if len(of.quantities) > 1 or self.problem.combine[of.quantities[0]] != "sum":
            return None
        total = np.zeros(self.count)
        for stage in self.problem.stages:
            table = self.table(stage, of.quantities[0]).reshape(self.count, -1)
            if (table != table[:, :1]).any():
                return None
            total += table[:, 0]
        return total

    def undominated(self, signs: Mapping[str, float]) -> Ints:
        """Choices that no other one beats, or equals, in every entry of every table."""
        choices = np.flatnonzero(self.possible)
        means = self._means(signs)
        # Means of the tables tell most pairs apart before their entries are compared.
        slack = 1e-9 * np.abs(means).max(axis=0)
        kept: list[int] = []
        for choice in choices[np.argsort(means[choices].sum(axis=1), kind="stable")]:
            better = [k for k in kept if (means[k] <= means[choice] + slack).all()]
            if not any(self._beats(other, int(choice), signs) for other in better):
                kept.append(int(choice))
        return np.array(sorted(kept), dtype=np.int64)

    def halves(self, choices: Ints, signs: Mapping[str, float]) -> tuple[Ints, Ints]:
        """Two groups, apart by the quantity in which the choices differ most."""
        means = np.abs(self._totals(signs)[choices])
        spread = np.log(np.maximum(means, 1e-12)).std(axis=0)
        order = np.argsort(means[:, int(np.argmax(spread))], kind="stable")
        half = len(choices) // 2
        return choices[np.sort(order[:half])], choices[np.sort(order[half:])]

    def best(self, of: Objective, limits: Sequence[Limit]) -> tuple[float, Ints | None]:
        """The best value of a quantity over all choices, and the design; None if there is none.

        Best-first over groups: no choice of a group is better than its relaxed problem, so the
        first single choice whose turn comes is the best of all.
        """
        signs = signs_of([of], limits)
        waiting: list[tuple[float, int, Ints, Ints]] = []

        def wait(choices: Ints) -> None:
            try:
                front = exact_front(self.relaxed(choices, signs), [of], limits)
            except InfeasibleError:
                return
            bound = float(front.values[0, 0]) * of.sign
            heapq.heappush(waiting, (bound, int(choices[0]), choices, front.indices[:1]))

        if self.possible.any():
            wait(np.flatnonzero(self.possible))
        while waiting:
            bound, first, choices, rest = heapq.heappop(waiting)
            if len(choices) == 1:
                return bound * of.sign, self.join(first, rest)[0]
            wait(choices[: len(choices) // 2])
            wait(choices[len(choices) // 2 :])
        return np.inf * of.sign, None

    # ---------------------------------------------------------------------------- comparisons
    @cached_property
    def _averages(self) -> Mapping[str, Floats]:
        """Quantity -> mean of each stage's table, shape (choices, stages)."""
        return {
            name: np.stack(
                [
                    self.table(stage, name).reshape(self.count, -1).mean(axis=1)
                    for stage in self.problem.stages
                ],
                axis=1,
            )
            for name in self.problem.combine
        }

    def _means(self, signs: Mapping[str, float]) -> Floats:
        return np.concatenate([sign * self._averages[q] for q, sign in signs.items()], axis=1)

    def _totals(self, signs: Mapping[str, float]) -> Floats:
        return np.stack([self._averages[q].sum(axis=1) for q in signs], axis=1)

    def _beats(self, one: int, other: int, signs: Mapping[str, float]) -> bool:
        for stage in self.problem.stages:
            for name, sign in signs.items():
                table = self.table(stage, name)
                if not (sign * (table[one] - table[other]) <= 0).all():
                    return False
        return True
