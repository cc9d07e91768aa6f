"""One coordinate a group: the options of a group of variables that are worth having, in order.

A group (a cell: width, depth, skip budget) has thousands of options but few that another
one does not beat. Those, in order of cost, are the group's *menu*. A design is then a
position in each menu: a space of nine variables becomes one of three, and a step along a
menu trades score for cost and nothing else.

What "cost" means depends on the prices of latency, energy, memory, ...; one set of menus is
made for each of a few price mixes. A group's costs are taken with the other groups averaged
out or fixed, so menus are a guide and no proof: designs are always scored exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.chain import aligned, chain
from flash.optimize.objectives import Objective
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["Menus", "groups"]

Ints = NDArray[np.int64]

#: Larger groups are tabulated on a coarser grid.
_MOST_OPTIONS = 12_000
#: Shares of the second of two costs in the price mixes tried.
_SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
#: Caps tried on a quantity that combines by maximum, no cap included.
_CAPS = 6


def groups(problem: SeparableProblem) -> tuple[tuple[int, ...], ...]:
    """The variables in groups that belong together (a cell, a block).

    A group begins at a stage that owns a variable which later stages read, e.g. a width.
    """
    found: list[list[int]] = []
    for step in chain(problem):
        if step.table.owns and (step.kept or not found):
            found.append([])
        if step.table.owns:
            found[-1].extend(step.table.owns)
    return tuple(tuple(group) for group in found)


class Menus:
    """The menus of every group for every mix, made when first asked for.

    A mix is a price for each cost and a cap on peak activations. The peak of a design is the
    maximum over its cells, not their sum: under a cap, every option whose own peak is below it
    adds nothing to the cost, so the menu ranks options below the cap by their other costs alone.

    prices: (prices, costs), each row sums to 1.  caps: number of caps; mix = price * caps + cap.
    around: a design; each group is then seen with the others as they are in it. Without,
        the others are averaged out.
    peak_bound: the largest maximum of interest, if one is known.
    """

    def __init__(
        self,
        problem: SeparableProblem,
        gain: Objective,
        costs: Sequence[Objective],
        around: Ints | None = None,
        peak_bound: float = np.inf,
    ) -> None:
        self.groups = groups(problem)
        self.variables = len(problem.sizes)
        needed = dict.fromkeys(q for of in costs for q in of.quantities)
        sums = [q for q in needed if problem.combine[q] == "sum"]
        peak = next((q for q in needed if problem.combine[q] == "max"), None)
        signs = {q: of.sign for of in costs for q in of.quantities}
        self._tables = [
            _Table(problem, group, around, gain, {q: signs[q] for q in sums}, peak)
            for group in self.groups
        ]
        self.prices = _mixes(len(sums))
        self._levels = _caps([t.peak for t in self._tables if t.peak is not None], peak_bound)
        self.caps = len(self._levels)
        mixes = len(self.prices) * self.caps
        self._length = np.zeros((mixes, len(self.groups)), dtype=np.int64)
        self._menu = np.zeros((len(self.groups), mixes, 1), dtype=np.int64)

    def length(self, mix: Ints | int) -> Ints:
        """Number of options on each group's menu, shape (..., groups)."""
        for m in np.unique(mix):
            if self._length[m, 0] == 0:
                self._make(int(m))
        return np.asarray(self._length[mix])

    def _make(self, mix: int) -> None:
        price, cap = divmod(mix, self.caps)
        for g, table in enumerate(self._tables):
            menu = table.menu(self.prices[price], float(self._levels[cap]))
            if len(menu) > self._menu.shape[2]:
                more = np.zeros((*self._menu.shape[:2], 2 * len(menu) - self._menu.shape[2]), int)
                self._menu = np.concatenate([self._menu, more], axis=2)
            self._menu[g, mix, : len(menu)] = menu
            self._length[mix, g] = len(menu)

    def designs(self, mix: Ints, positions: Ints) -> Ints:
        """Designs at places on the menus: mix (n,), positions (n, groups) -> (n, variables)."""
        result = np.empty((len(positions), self.variables), dtype=np.int64)
        for g, (group, table) in enumerate(zip(self.groups, self._tables, strict=True)):
            result[:, group] = table.options[self._menu[g, mix, positions[:, g]]]
        return result


class _Table:
    """What the options of one group gain and cost by themselves, best gain first."""

    def __init__(
        self,
        problem: SeparableProblem,
        group: tuple[int, ...],
        around: Ints | None,
        gain: Objective,
        signs: Mapping[str, float],
        peak: str | None,
    ) -> None:
        self._problem, self._group, self._around = problem, group, around
        self._grids = _grids([problem.sizes[k] for k in group])
        loss = np.asarray(sum(gain.sign * self._values(q) for q in gain.quantities))
        order = np.argsort(loss, kind="stable")
        self._loss = loss[order]
        mesh = np.meshgrid(*self._grids, indexing="ij")
        self.options = np.stack([axis.ravel() for axis in mesh], axis=1)[order]
        costs = [sign * self._values(q)[order] for q, sign in signs.items()]
        self._costs = [cost / max(float(np.abs(cost).mean()), 1e-30) for cost in costs]
        self.peak = None if peak is None else self._values(peak)[order]

    def _values(self, quantity: str) -> Floats:
        """A quantity of all stages that depend on the group, shape (options,)."""
        merge = np.add if self._problem.combine[quantity] == "sum" else np.maximum
        total = np.zeros(tuple(len(grid) for grid in self._grids))
        for stage in self._problem.stages:
            variables = (*stage.reads, *stage.owns)
            inside = [k for k in variables if k in self._group]
            if not inside:
                continue
            table = stage.values[quantity]
            if self._around is None:
                outside = tuple(i for i, k in enumerate(variables) if k not in inside)
                table = table.mean(axis=outside)
            else:
                fixed = (slice(None) if k in inside else self._around[k] for k in variables)
                table = table[tuple(fixed)]
            places = np.ix_(*(self._grids[self._group.index(k)] for k in inside))
            total = merge(total, aligned(table[places], inside, self._group))
        return total.ravel()

    def menu(self, price: Floats, cap: float) -> Ints:
        """Rows of ``options`` that no other beats in gain and mixed cost, cheapest first."""
        mixed = np.zeros(len(self._loss))
        for share, cost in zip(price, self._costs, strict=True):
            if share:
                mixed += share * cost
        if self.peak is not None and cap < np.inf:
            mixed[self.peak > cap] = np.inf
        # In order of gain, best first, an option is worth having if it is cheaper than all
        # before it; of several with one gain the last, cheapest, counts.
        worth = np.ones(len(mixed), dtype=np.bool_)
        worth[1:] = mixed[1:] < np.minimum.accumulate(mixed)[:-1]
        kept = np.flatnonzero(worth & (mixed < np.inf))
        last = np.append(self._loss[kept[1:]] > self._loss[kept[:-1]], True)
        return np.asarray(kept[last][::-1])


def _mixes(costs: int) -> Floats:
    """Price mixes of several costs: each alone, pairs, all alike."""
    if costs <= 1:
        return np.ones((1, costs))
    if costs == 2:
        return np.array([(1 - share, share) for share in _SHARES])
    unit = np.eye(costs)
    pairs = [(unit[a] + unit[b]) / 2 for a, b in itertools.combinations(range(costs), 2)]
    return np.array([*unit, *pairs, np.full(costs, 1 / costs)])


def _caps(peaks: Sequence[Floats], bound: float) -> Floats:
    """Caps on a maximum, from the least that every group can meet to none."""
    if not peaks:
        return np.array([np.inf])
    low = max(float(peak.min()) for peak in peaks) * (1 + 1e-9)
    high = max(low, min(bound, max(float(peak.max()) for peak in peaks)))
    spaced = np.geomspace(low, high, _CAPS) if low > 0 else np.linspace(low, high, _CAPS)
    return np.array([*spaced[:-1], np.inf])


def _grids(sizes: Sequence[int]) -> list[Ints]:
    """Indices of each variable to tabulate: all, or evenly spaced ones of a large group."""
    counts = list(sizes)
    while np.prod(counts) > _MOST_OPTIONS and max(counts) > 2:
        counts[int(np.argmax(counts))] -= 1
    return [
        np.rint(np.linspace(0, size - 1, count)).astype(np.int64)
        for size, count in zip(sizes, counts, strict=True)
    ]
