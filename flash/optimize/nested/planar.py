"""The exact fronts of many choices at once, where two objectives decide within each.

The dynamic programme of ``flash.optimize.exact``, with every state of every choice of a block
side by side in one array: partial designs are sorted by (choice, state) and by the first
objective, and those above the running minimum of the second are dropped. Sums in the order of
the stages, as ``SeparableProblem.evaluate`` forms them.

Partial designs are dropped too where no completion reaches below the *ceiling*, the staircase of
designs already known that are no worse in all that is the choice's own (a chip's area). What can
still follow is told by a few corners for each state, each as good as the best of some completions.

Limited sums that are none of the objectives (a network's MACs) tell partial designs apart as well,
as far as completions may break them: one that is dominated stays if it has less of such a sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize.chain import Step, aligned, chain
from flash.optimize.nested.problem import Nested, signs_of
from flash.optimize.objectives import Limit, Objective
from flash.optimize.pareto import non_dominated
from flash.spaces.stage_tables import Floats

__all__ = ["PlanarFronts"]

Ints = NDArray[np.int64]
#: Choices whose fronts are found together: enough to vectorise, few enough for a low ceiling.
_BLOCK = 12
#: Slices of the first objective in which the least of the second drops most designs unsorted.
_SLICES = 64
#: Corners by which completions from one state are told.
_CORNERS = 8
#: Sets of partial designs with little of the limited sums, by which others are dropped.
_LEVELS = 12
#: Bounds are relaxed by this share: sums are formed in another order than designs' own.
_SLACK = 1e-12


@dataclass(frozen=True)
class _Partial:
    """Partial designs sorted by group: a group is a choice and a state of the chain.

    values: (2 + limited sums, n), small is good.  parents, options: how each came about.
    """

    group: Ints
    values: Floats
    parents: Ints
    options: Ints

    def rows(self, keep: Ints) -> _Partial:
        """Some of them."""
        return _Partial(
            self.group[keep], self.values[:, keep], self.parents[keep], self.options[keep]
        )


class PlanarFronts:
    """The fronts of choices over two objectives, each one sum over stages.

    limits: on other sums.
    """

    block = _BLOCK

    def __init__(
        self, nested: Nested, objectives: Sequence[Objective], limits: Sequence[Limit] = ()
    ) -> None:
        signs = signs_of(objectives, limits)
        self.nested, self.objectives, self.limits = nested, objectives, limits
        self.steps = chain(nested.relaxed(np.flatnonzero(nested.possible)[:1], signs))

    def of(self, choices: Ints, known: Floats) -> tuple[Ints, int]:
        """Designs that may be on the front of a choice, and how many partial ones were looked at.

        known: (designs, 2) values of the objectives; what one of them dominates may be left out.
        """
        signs = np.array([of.sign for of in self.objectives])
        ceiling = _Ceiling(known * signs)
        found = _Block(self.nested, choices, self.steps, self.objectives, self.limits, ceiling)
        return found.run(), found.looked_at


class _Ceiling:
    """The staircase of known points, small is good."""

    def __init__(self, points: Floats) -> None:
        points = points[non_dominated(points)] if len(points) else points
        self.x, self.y = points[np.argsort(points[:, 0])].T

    def above(self, points: Floats) -> NDArray[np.bool_]:
        """Which of ``points`` (2, n) a known one dominates by more than rounding."""
        x, y = points - _SLACK * np.abs(points)
        if not len(self.x):
            return np.zeros(len(x), dtype=np.bool_)
        at = np.searchsorted(self.x, x, side="right") - 1
        above: NDArray[np.bool_] = (at >= 0) & (self.y[np.maximum(at, 0)] <= y)
        return above


@dataclass(frozen=True)
class _Options:
    """A stage's options that no other one of the same (choice, state, kept values) dominates.

    starts: where the options of each (choice, state) begin; one more at the end.
    after:  (choice, state) that each leads to.
    """

    values: Floats
    starts: Ints
    after: Ints
    number: Ints
    states: int


class _Block:
    """One run over a block of choices."""

    def __init__(
        self,
        nested: Nested,
        choices: Ints,
        steps: Sequence[Step],
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        ceiling: _Ceiling,
    ) -> None:
        self.nested, self.choices, self.steps = nested, choices, steps
        self.sums = [*objectives, *(limit.quantity for limit in limits)]
        self.bounds = np.array([limit.quantity.sign * limit.bound for limit in limits])[:, None]
        self.ceiling = ceiling
        self.sizes = nested.problem.sizes[nested.outer :]
        self.looked_at = 0
        self.options = [self._options(step, number) for number, step in enumerate(steps)]

    def run(self) -> Ints:
        """The designs, indices of the whole problem."""
        count = len(self.choices)
        none = np.zeros(count, dtype=np.int64)
        layers = [_Partial(np.arange(count), np.zeros((len(self.sums), count)), none, none)]
        follows = zip(self.options, self._corners()[1:], self._ends()[1:], strict=True)
        for options, rest, ends in follows:
            found = self._products(layers[-1].group, layers[-1].values, options)
            if len(self.bounds):
                found = self._within(found, *ends)
            else:
                found = found.rows(_staircases(found.group, found.values))
            layers.append(found.rows(self._promising(found, rest)))
        return self._recover(layers)

    def _within(self, found: _Partial, least: Floats, most: Floats) -> _Partial:
        """Partial designs that may hold the limits, without those that others beat for certain.

        least, most: (limited sums, groups) what the stages to come add.
        """
        sums, least, most = found.values[2:], least[:, found.group], most[:, found.group]
        # Sums are in another order than designs' own, but for those that nothing is added to.
        slack = _SLACK * (np.abs(self.bounds) + np.abs(sums) + np.abs(most) + np.abs(least))
        slack[:, :] = np.where((least == 0) & (most == 0), 0.0, slack)
        hold = np.flatnonzero((sums + least <= self.bounds + slack).all(axis=0))
        # Below this, every completion holds the limit: how far below is of no interest.
        safe = self.bounds - most - slack
        level = np.maximum(sums, safe)[:, hold]
        return found.rows(hold[_levelled(found.group[hold], found.values[:2, hold], level)])

    def _ends(self) -> list[tuple[Floats, Floats]]:
        """Before each stage, and after the last: the least and the most of each limited sum that
        can follow from each (choice, state)."""
        none = np.zeros((len(self.bounds), len(self.choices)))
        ends = [(none, none)]
        for options in reversed(self.options):
            least, most = (options.values[2:] + end[:, options.after] for end in ends[-1])
            ends.append(
                (
                    np.minimum.reduceat(least, options.starts[:-1], axis=1),
                    np.maximum.reduceat(most, options.starts[:-1], axis=1),
                )
            )
        return ends[::-1]

    def _products(self, group: Ints, values: Floats, options: _Options) -> _Partial:
        """Every partial design with every option of its state."""
        many = np.diff(options.starts)[group]
        parents = np.repeat(np.arange(len(many)), many)
        which = np.arange(len(parents)) + np.repeat(
            options.starts[group] - np.cumsum(many) + many, many
        )
        self.looked_at += len(parents)
        joined = values[:, parents] + options.values[:, which]
        return _Partial(options.after[which], joined, parents, options.number[which])

    def _promising(self, found: _Partial, rest: _Partial) -> Ints:
        """Partial designs with a completion that may reach below the ceiling."""
        starts = np.searchsorted(rest.group, np.arange(int(rest.group[-1]) + 2))
        many = np.diff(starts)[found.group]
        rows = np.repeat(np.arange(len(many)), many)
        which = np.arange(len(rows)) + np.repeat(starts[found.group] - np.cumsum(many) + many, many)
        hopeless = self.ceiling.above(found.values[:2, rows] + rest.values[:, which])
        return np.unique(rows[~hopeless])

    def _corners(self) -> list[_Partial]:
        """Before each stage, and after the last: what can follow from each (choice, state)."""
        count = len(self.choices)
        corners = [_Partial(np.arange(count), np.zeros((2, count)), *np.zeros((2, count), int))]
        for options in reversed(self.options):
            last = corners[-1]
            starts = np.searchsorted(last.group, np.arange(count * options.states + 1))
            many = np.diff(starts)[options.after]
            rows = np.repeat(np.arange(len(many)), many)
            which = np.arange(len(rows)) + np.repeat(
                starts[options.after] - np.cumsum(many) + many, many
            )
            group = np.repeat(np.arange(len(options.starts) - 1), np.diff(options.starts))[rows]
            found = _Partial(group, options.values[:2, rows] + last.values[:, which], rows, rows)
            corners.append(_coarse(found.rows(_staircases(found.group, found.values))))
        return corners[::-1]

    def _options(self, step: Step, number: int) -> _Options:
        nested, stage = self.nested, self.nested.problem.stages[number]
        axes = (*step.before, *step.kept, *step.dropped)
        full = tuple(self.sizes[k] for k in axes)
        before, kept, dropped = (
            math.prod(self.sizes[k] for k in part)
            for part in (step.before, step.kept, step.dropped)
        )
        place = (*step.table.reads, *step.table.owns)
        count = len(self.choices)
        values = np.empty((len(self.sums), count * before * kept * dropped))
        for row, of in enumerate(self.sums):
            table = nested.table(stage, of.quantities[0])[self.choices]
            # The choice is one more variable, in front of all others.
            wide = np.broadcast_to(aligned(table, (-1, *place), (-1, *axes)), (count, *full))
            values[row] = of.sign * wide.ravel()
        group = np.repeat(np.arange(count * before * kept), dropped)
        useful = _levelled(group, values[:2], values[2:])
        both = (*step.before, *step.kept)
        following = np.zeros(before * kept, dtype=np.int64)
        if step.after:
            grids = np.indices(tuple(self.sizes[k] for k in both))
            after = [grids[both.index(k)].ravel() for k in step.after]
            following = np.ravel_multi_index(after, tuple(self.sizes[k] for k in step.after))
        states = math.prod(self.sizes[k] for k in step.after)
        choice, state = np.divmod(useful // dropped, before * kept)
        starts = np.searchsorted(useful // (dropped * kept), np.arange(count * before + 1))
        number_of = useful % (kept * dropped)
        return _Options(
            values[:, useful], starts, choice * states + following[state], number_of, states
        )

    def _recover(self, layers: Sequence[_Partial]) -> Ints:
        rows = np.arange(len(layers[-1].group))
        indices = np.zeros((len(rows), len(self.sizes)), dtype=np.int64)
        for step, layer in zip(reversed(self.steps), reversed(layers[1:]), strict=True):
            own = (*step.kept, *step.dropped)
            if own:
                sizes = tuple(self.sizes[k] for k in own)
                places = np.unravel_index(layer.options[rows], sizes)
                for k, values in zip(own, places, strict=True):
                    indices[:, k] = values
            rows = layer.parents[rows]
        chosen = np.array(np.unravel_index(self.choices[rows], self.nested.shape))
        return np.concatenate([chosen.T, indices], axis=1)


def _staircases(group: Ints, values: Floats) -> Ints:
    """Rows that no other one of their group dominates, by group and rising first value.

    Of equal rows the first is kept.
    """
    rows = np.arange(len(group))
    if len(rows) > 1 << 12:
        rows = _below_slices(group, values)
    x, y, own = values[0, rows], values[1, rows], group[rows]
    order = np.lexsort((y, x, own))
    rows, y, own = rows[order], y[order], own[order]
    # A running minimum that begins anew with each group: whole ranks, lower groups far above.
    ranks = np.unique(y, return_inverse=True)[1] - own * (len(y) + 1)
    least = np.minimum.accumulate(ranks)
    keep = np.ones(len(rows), dtype=np.bool_)
    keep[1:] = ranks[1:] < least[:-1]
    kept: Ints = rows[keep]
    return kept


def _levelled(group: Ints, values: Floats, level: Floats) -> Ints:
    """Rows, by group and rising first value, without such as others of their group dominate.

    level: (sums, rows) of which none may be more. All are found that one of ``_LEVELS`` sets of
    rows with no more of these sums than one of them dominates; a few others stay.
    """
    if not level.size:
        return _staircases(group, values)
    if len(group) > 1 << 12:
        least = np.full((len(level), int(group.max()) + 1), np.inf)
        for own, sums in zip(least, level, strict=True):
            np.minimum.at(own, group, sums)
        lowest = np.all(level <= least[:, group], axis=0)
        near = _below_slices(group, values, lowest)
        return near[_sorted_levelled(group[near], values[:, near], level[:, near])]
    return _sorted_levelled(group, values, level)


def _sorted_levelled(group: Ints, values: Floats, level: Floats) -> Ints:
    """``_levelled`` of rows that are worth sorting."""
    ranks = np.unique(values[1], return_inverse=True)[1]
    total = sum((sums - sums.min()) / max(np.ptp(sums), 1e-300) for sums in level)
    rows = np.lexsort((total, ranks, values[0], group))
    first = np.flatnonzero(np.diff(group[rows], prepend=-1))
    size = np.diff(first, append=len(rows))
    rising = np.lexsort((total, group))
    own = np.cumsum(np.diff(group[rows], prepend=-1) != 0) - 1
    far = len(group) + 1
    for turn in range(_LEVELS):
        sample = level[:, rising[first + size * turn // _LEVELS]][:, own]
        here = level[:, rows]
        rank = ranks[rows] - own * far
        # A running minimum that begins anew with each group: lower groups are far above.
        dominating = np.where(np.all(here <= sample, axis=0), rank, far - 1 - own * far)
        least = np.minimum.accumulate(dominating)
        keep = np.any(here < sample, axis=0)
        keep[:1] = True
        keep[1:] |= least[:-1] > rank[1:]
        rows, own = rows[keep], own[keep]
    return rows


def _below_slices(group: Ints, values: Floats, best: NDArray[np.bool_] | None = None) -> Ints:
    """Rows below the least second value of all slices of their group with less of the first.

    best: rows of which that least value is, of all where it is not given.
    """
    x, y = values
    groups = int(group.max()) + 1
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, group, x)
    np.maximum.at(high, group, x)
    with np.errstate(invalid="ignore"):
        width = np.where(high > low, (high - low) / _SLICES, 1.0)
    at = np.minimum(((x - low[group]) / width[group]).astype(np.int64), _SLICES - 1)
    least = np.full(groups * _SLICES, np.inf)
    place = group * _SLICES + at
    if best is None:
        np.minimum.at(least, place, y)
    else:
        np.minimum.at(least, place[best], y[best])
    before = np.full((groups, _SLICES), np.inf)
    before[:, 1:] = np.minimum.accumulate(least.reshape(groups, _SLICES), axis=1)[:, :-1]
    return np.flatnonzero(y < before.ravel()[place])


def _coarse(found: _Partial) -> _Partial:
    """Corners below runs of each group's staircase, at most ``_CORNERS`` a group."""
    first = np.flatnonzero(np.diff(found.group, prepend=-1))
    size = np.diff(first, append=len(found.group))
    place = np.arange(len(found.group)) - np.repeat(first, size)
    run = place * _CORNERS // np.repeat(size, size)
    begins = np.flatnonzero((np.diff(run, prepend=-1) != 0) | (place == 0))
    ends = np.append(begins[1:], len(run)) - 1
    # Rising in the first value, falling in the second.
    values = np.stack([found.values[0, begins], found.values[1, ends]])
    return _Partial(found.group[begins], values, begins, begins)
