"""What may still become of partial designs, beside designs that exist.

A partial design whose best conceivable completion is beaten by a design within the limits is on no
front: the exact optimizer drops it, and whole stages' options for a state as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.chain import Options
from flash.optimize.criterion import SLACK, Criterion
from flash.optimize.pareto import non_dominated
from flash.spaces.stage_tables import Floats

__all__ = ["Incumbents", "Outlook"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Corners kept of what may follow on a state: with half as many a tenth more partial designs stay.
_CORNERS = 8


class Incumbents:
    """Designs that exist, by one or two objectives.

    points: shape (designs, objectives), small is good.
    """

    def __init__(self, points: Floats) -> None:
        # What is computed in another order differs in its last digits.
        points = points + SLACK * np.abs(points)
        points = points[np.lexsort(points.T[::-1])]
        self._first = points[:, 0]
        self._lowest = np.append(np.inf, np.minimum.accumulate(points[:, -1]))

    def beat(self, best: Sequence[Floats]) -> Flags:
        """Of what is at best so good, an array an objective, which one of the designs beats."""
        better = np.searchsorted(self._first, best[0], side="left")
        if len(best) == 1:
            return np.asarray(better > 0)
        return np.asarray(self._lowest[better] < best[1])


class Outlook:
    """Which partial designs may end on the front.

    goals: the objectives.
    adds:  which quantities add up; the others combine by maximum.
    known: designs within the limits; without any, every partial design may.
    """

    def __init__(self, goals: Sequence[Criterion], adds: Sequence[bool]) -> None:
        self._goals, self._adds = goals, adds
        self.known: Incumbents | None = None
        self._corners: list[list[Floats]] = []

    def open(self, columns: Floats, low: Floats, high: Floats) -> Flags:
        """Which partial designs may, given their totals so far and what remains, all of shape
        (quantities, n)."""
        if self.known is None:
            return np.ones(columns.shape[1], dtype=np.bool_)
        return ~self.known.beat([c.of.sign * c.best(columns, low, high) for c in self._goals])

    def foresee(self, stages: Sequence[Options]) -> None:
        """Learn what may follow on each state; ``stages`` are all there are, in order.

        Of all completions those are bounded that are best by the two goals: by few corners, so that
        each completion is as bad as one of them in both.
        """
        sums = all(c.peak is None for c in self._goals)
        if self.known is None or len(self._goals) != 2 or not sums:
            return
        self._corners = [[np.zeros((2, 1))]]
        for stage in reversed(stages):
            own, after = self._signed(stage.columns), self._corners[-1]
            self._corners.append(
                [
                    _corners_of(own[:, state], [after[k] for k in following])
                    for state, following in enumerate(stage.next_state.tolist())
                ]
            )
        self._corners.reverse()

    def hopeful(self, columns: Floats, number: int, state: int) -> Flags | None:
        """Which partial designs in a state after ``number`` stages may, by what is foreseen.

        None where that is nothing.  columns: (quantities, n) their totals.
        """
        if self.known is None or not self._corners:
            return None
        ends = self._signed(columns)[:, :, None] + self._corners[number][state][:, None]
        may: Flags = ~self.known.beat([*ends.reshape(2, -1)]).reshape(ends.shape[1:])
        return np.asarray(may.any(axis=1))

    def _signed(self, columns: Floats) -> Floats:
        """The goals, small is good, of totals or of what stages add."""
        return np.stack([sum(columns[k] for k in c.sums) * c.of.sign for c in self._goals])

    def pairs(
        self,
        columns: Floats,
        starts: Ints,
        stages: Sequence[Options],
        rest: tuple[Floats, Floats],
    ) -> Flags:
        """(states, kept): whether any partial design of the state may with any option so kept.

        columns: (quantities, n) totals of the partial designs before, sorted by state.
        starts:  (states + 1,) where each state begins.
        stages:  of one stage, and of those behind it that have no choice.
        rest:    (quantities, states) the least and the most that follows on all of them.
        """
        options, *then = stages
        found = np.ones(options.next_state.shape, dtype=np.bool_)
        sources, signs = np.flatnonzero(np.diff(starts)), self._signs()
        if self.known is None or signs is None or not len(sources):
            return found
        state = options.next_state[sources]
        before = np.minimum.reduceat(columns * signs, starts[sources], axis=1) * signs
        own = options.columns[:, sources] * signs[:, :, None, None]
        corner = self._joined(before[:, :, None], own.min(axis=3) * signs[:, :, None])
        for one in then:
            corner = self._joined(corner, one.columns[:, state, 0, 0])
            state = one.next_state[state, 0]
        low, high = (end[:, state].reshape(len(end), -1) for end in rest)
        found[sources] = self.open(corner.reshape(len(corner), -1), low, high).reshape(state.shape)
        return found

    def _joined(self, columns: Floats, more: Floats) -> Floats:
        """Totals with what stages add, the quantities along the first axis."""
        both = zip(columns, more, self._adds, strict=True)
        return np.stack([np.add(a, b) if adds else np.maximum(a, b) for a, b, adds in both])

    def _signs(self) -> Floats | None:
        """(quantities, 1): -1 where a goal wants more, else +1; None where goals disagree."""
        wanted = {(k, c.of.sign) for c in self._goals for k in (*c.sums, c.peak) if k is not None}
        signs = np.ones((len(self._adds), 1))
        for k, sign in wanted:
            signs[k] = sign
        return signs if len({k for k, _ in wanted}) == len(wanted) else None


def _corners_of(own: Floats, after: Sequence[Floats]) -> Floats:
    """Corners of a stage's options (2, kept, dropped) with what follows on each kept value."""
    ends = []
    for part, rest in zip(own.swapaxes(0, 1), after, strict=True):
        thin = part[:, non_dominated(part.T)] if part.shape[1] > 1 else part
        ends.append((thin[:, :, None] + rest[:, None]).reshape(2, -1))
    points = np.concatenate(ends, axis=1)
    front = points[:, non_dominated(points.T)]
    front = front[:, np.lexsort(front[::-1])]
    length = -(-front.shape[1] // _CORNERS)
    corners: Floats = np.minimum.reduceat(front, np.arange(0, front.shape[1], length), axis=1)
    return corners
