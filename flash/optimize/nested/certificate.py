"""The exact front of a problem inside choices, or how far from it: branch and bound over choices.

1. Choices that another one beats in every entry of every stage table are dropped: a proof,
   checked number by number.
2. Where two objectives decide within a choice and the others are its own (a chip's area), choices
   are settled in the order of their own objectives, many at once (``planar``).
3. Else groups of choices are split, the least settled first. A group whose relaxed front the
   designs already known dominate holds nothing new; a group of one choice gives its exact front.
4. Effort is counted in partial designs looked at, so the same search gives the same answer on any
   machine; only a search that is given seconds is stopped by a clock. What is left open then is
   bounded by the relaxed fronts of the groups left.

Where stage tables are lower bounds (crossbar tiles), fronts of single choices are bounds too; their
designs are priced for real, and the difference is part of what may be missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.certify import hypervolume_gap
from flash.optimize.exact import exact_front
from flash.optimize.infeasibility import none_on_any_chip
from flash.optimize.nested.planar import PlanarFronts
from flash.optimize.nested.problem import Nested, signs_of
from flash.optimize.objectives import Limit, Objective
from flash.optimize.pareto import non_dominated
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import Floats

__all__ = ["Budget", "Price", "certified_front"]

Ints = NDArray[np.int64]
_NO_MOST: Mapping[str, float] = {}
#: Indices -> real values of the objectives, and whether the limits hold.
Price = Callable[[Ints], tuple[Floats, NDArray[np.bool_]]]


@dataclass
class Budget:
    """What a certificate may spend: partial designs looked at, or seconds where a user says so.

    tell: hears the share of the work that is done, 0 to 1.
    """

    partial_designs: int
    seconds: float | None = None
    tell: Callable[[float], None] = lambda share: None
    spent: int = 0
    began: float = 0.0

    def start(self) -> None:
        """The clock runs from here."""
        self.began = time.perf_counter()

    @property
    def left(self) -> bool:
        """Whether there is something left to spend."""
        if self.seconds is None:
            return self.spent < self.partial_designs
        return self.elapsed < self.seconds

    @property
    def share(self) -> float:
        """The share that is spent, 0 to 1."""
        whole = self.partial_designs if self.seconds is None else self.seconds
        spent = self.spent if self.seconds is None else self.elapsed
        return min(spent / whole, 1.0) if whole else 1.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.began


@dataclass(frozen=True)
class _Group:
    """Choices not settled yet, and the front of their relaxed problem (designs x objectives)."""

    choices: Ints
    bound: Floats


def certified_front(
    nested: Nested,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    start: OptimizerResult | None,
    price: Price,
    exact: bool,
    budget: Budget,
    most: Mapping[str, float] = _NO_MOST,
    rivals: Floats | None = None,
) -> OptimizerResult:
    """The best front known when the budget is spent, its ``gap_percent`` a proven bound.

    start: a front to begin with (a heuristic's).  price: real values of designs.
    most: objective -> the most of it that designs may have; others are no part of the front nor of
    what it misses, unless no design within the limits has less. Heeded where costs are bounds:
    elsewhere a larger one may take a design's place.
    rivals: values of designs that are none of the problem's, but that a user may have instead; what
    one of them dominates or equals is left out, and is no part of what is missing.
    exact: the problem's quantities are the costs. ``certified`` is true if so and nothing was
    left open. Raises ``InfeasibleError`` if no choice has a design within the limits.
    """
    others = np.zeros((0, len(objectives))) if rivals is None else rivals
    caps = np.array([np.inf if exact else most.get(of.name, np.inf) for of in objectives])
    try:
        found = _Branching(nested, objectives, limits, price, exact, budget, caps, others)
        return found.run(start)
    except InfeasibleError:
        if np.isinf(caps).all():
            raise
    budget.spent, anything = 0, np.full(len(caps), np.inf)
    found = _Branching(nested, objectives, limits, price, exact, budget, anything, others)
    return found.run(start)


class _Branching:
    def __init__(
        self,
        nested: Nested,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        price: Price,
        exact: bool,
        budget: Budget,
        caps: Floats,
        rivals: Floats,
    ) -> None:
        self.caps, self.rivals = caps, rivals
        self.nested, self.price, self.exact, self.budget = nested, price, exact, budget
        self.objectives, self.limits = tuple(objectives), tuple(limits)
        self.signs = [of.sign for of in objectives]
        self.needed = signs_of(objectives, limits)
        self.solved = 0
        self.bounds: list[Floats] = []
        self.indices = np.zeros((0, len(nested.problem.sizes)), dtype=np.int64)
        self.values = np.zeros((0, len(self.objectives)))

    def run(self, start: OptimizerResult | None) -> OptimizerResult:
        self.budget.start()
        if start is not None:
            self._learn(start.indices)
        choices = self.nested.undominated(self.needed)
        root = self._relaxed(choices)
        if root is None:
            raise InfeasibleError(none_on_any_chip(proven=True))
        own = self._own_values()
        if self.exact and own is not None:
            groups = self._in_order(choices, own)
        else:
            groups = self._split_up([_Group(choices, root)])
        return self._result(groups, len(choices), start)

    # -------------------------------------------------------------------- two objectives decide
    def _own_values(self) -> dict[Objective, Floats] | None:
        """Objectives and limited quantities that are the choice's own; None if ``planar`` can't."""
        own = {}
        for of in dict.fromkeys((*self.objectives, *(limit.quantity for limit in self.limits))):
            values = self.nested.own(of)
            if values is not None:
                own[of] = values
        within = [of for of in self.objectives if of not in own]
        combine = self.nested.problem.combine
        separate = all(
            len(of.quantities) == 1 and combine[of.quantities[0]] == "sum"
            for of in (*within, *(limit.quantity for limit in self._sums(own)))
        )
        return own if len(within) == 2 and separate else None

    def _sums(self, own: Mapping[Objective, Floats]) -> list[Limit]:
        """The limits on neither an objective nor what is the choice's own."""
        return [
            x for x in self.limits if x.quantity not in own if x.quantity not in self.objectives
        ]

    def _in_order(self, choices: Ints, own: dict[Objective, Floats]) -> list[_Group]:
        """Settle choices, those best in their own objectives first; the groups left open."""
        for limit in self.limits:
            if limit.quantity in own:
                choices = choices[limit.met(own[limit.quantity][choices])]
        within = [k for k, of in enumerate(self.objectives) if of not in own]
        outer = [k for k, of in enumerate(self.objectives) if of in own]
        keys = [self.signs[k] * own[self.objectives[k]][choices] for k in outer]
        choices = choices[np.lexsort(keys[::-1])] if keys else choices
        objectives = [self.objectives[k] for k in within]
        fronts = PlanarFronts(self.nested, objectives, self._sums(own))
        done = 0
        while done < len(choices) and self.budget.left:
            block = choices[done : done + fronts.block]
            every = np.concatenate([self.rivals, self.values])
            known = np.ones(len(every), dtype=np.bool_)
            for k in outer:  # no worse than any choice of the block
                best = (self.signs[k] * own[self.objectives[k]][block]).min()
                known &= self.signs[k] * every[:, k] <= best
            designs, looked_at = fronts.of(block, every[known][:, within])
            self.budget.spent += looked_at
            self.solved += len(block)
            self._learn(designs)
            done += len(block)
            self.budget.tell(done / len(choices))
        rest = choices[done:]
        bound = self._relaxed(rest) if len(rest) else None
        return [] if bound is None else [_Group(rest, bound)]

    # ------------------------------------------------------------------------------- groups
    def _split_up(self, groups: list[_Group]) -> list[_Group]:
        """Split groups until the budget is spent; the groups left open."""
        while groups and self.budget.left:
            groups.sort(key=lambda group: self._uncovered(group.bound))
            groups = [*groups[:-1], *self._split(groups[-1])]
            self.budget.tell(self.budget.share)
        self.budget.tell(1.0)
        return groups

    def _relaxed(self, choices: Ints) -> Floats | None:
        """The front of the relaxed problem; of one choice, its designs become known."""
        self.solved += 1
        try:
            front = exact_front(
                self.nested.relaxed(choices, self.needed), self.objectives, self.limits
            )
        except InfeasibleError:
            return None
        self.budget.spent += front.evaluations
        if len(choices) == 1:
            self._learn(self.nested.join(int(choices[0]), front.indices))
        return self._capped(front.values)

    def _capped(self, bound: Floats) -> Floats:
        """A bound of designs that have no more of an objective than they may."""
        if np.isinf(self.caps).all():
            return bound
        values = np.minimum(bound, self.caps)
        return values[non_dominated(values, self.signs)]

    def _split(self, group: _Group) -> list[_Group]:
        """The two halves of a group that may still hold something new; of one choice, none."""
        if len(group.choices) == 1:
            self.bounds.append(group.bound)
            return []
        halves = []
        for choices in self.nested.halves(group.choices, self.needed):
            front = self._relaxed(choices)
            if front is None:
                continue
            if len(choices) == 1:
                if not self.exact:
                    self.bounds.append(front)
            elif self._uncovered(front) > 0:
                halves.append(_Group(choices, front))
        return halves

    # ------------------------------------------------------------------------------- fronts
    def _learn(self, indices: Ints) -> None:
        values, within = self.price(indices)
        within = within & (values <= self.caps).all(axis=1)
        indices = np.concatenate([self.indices, indices[within]])
        values = np.concatenate([self.values, values[within]])
        # Of equal rows the first, a rival, is kept.
        every = np.concatenate([self.rivals, values])
        keep = non_dominated(every, self.signs)[len(self.rivals) :]
        self.indices, self.values = indices[keep], values[keep]

    def _uncovered(self, bound: Floats) -> int:
        """How many points of a bound no known design dominates or equals."""
        both = np.concatenate([self.rivals, self.values, bound])
        # Of equal rows the first, a known one, is kept.
        return int(non_dominated(both, self.signs)[-len(bound) :].sum())

    def _result(
        self, groups: Sequence[_Group], kept: int, start: OptimizerResult | None
    ) -> OptimizerResult:
        if len(self.indices) + len(self.rivals) == 0:
            raise InfeasibleError(none_on_any_chip(proven=not groups and self.exact))
        known = np.concatenate([self.rivals, self.values])
        bound = np.concatenate([known, *self.bounds, *(g.bound for g in groups)])
        bound = bound[non_dominated(bound, self.signs)]
        gap = hypervolume_gap(known, bound, self.signs)
        certified = self.exact and not groups
        order = np.lexsort((self.values * self.signs).T[::-1])
        own = self._heuristic(start) if start is not None and self.exact else ""
        alone = " that no other's beats" if len(self.rivals) else ""
        left = sum(len(group.choices) for group in groups)
        size = self.nested.size
        among = "".join(
            f", those with no more {of.name} than trained ones"
            for of, cap in zip(self.objectives, self.caps, strict=True)
            if np.isfinite(cap)
        )
        words = (
            f"the exact front of {size:,} designs ({len(self.indices):,}{alone}); "
            if certified
            else f"at most {gap:.2g} % of any front's hypervolume is missing over "
            f"{size:,} designs{among}; "
        )
        proof = (
            f"{self.nested.count} chips, {kept} not beaten in every table, {self.solved} fronts"
            + (f", {left} chips left open" if left else "")
        )
        return OptimizerResult(
            start.name if start is not None else "exact",
            self.objectives,
            self.indices[order],
            self.values[order],
            self.budget.spent + (start.evaluations if start is not None else 0),
            self.budget.elapsed,
            0.0 if certified else gap,
            certified,
            own + words + proof,
            None if certified else bound,
        )

    def _heuristic(self, start: OptimizerResult) -> str:
        """How close the front to begin with came to what is known in the end."""
        both = (self.price(start.indices)[0], self.values)
        values, known = (np.concatenate([self.rivals, own]) for own in both)
        gap = hypervolume_gap(values, known, self.signs)
        return f"{start.name.upper()} alone within {gap:.2g} % ({len(start):,} designs); "
