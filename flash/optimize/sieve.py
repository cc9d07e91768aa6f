"""A sieve for points: it drops most of those that others dominate, for a few look-ups each.

Small is good. One coordinate is kept as it is, every other one is ruled by edges; a table holds,
for each combination of edges, the least kept coordinate of the points known so far that lie at or
below those edges. A point whose edges (the last ones it reaches) stand for less than its own is
dominated. Nothing that should stay is ever dropped; what falls through goes to an exact filter
(``flash.optimize.pareto``). The table has a fixed size, whatever the number of points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.pareto import each_once
from flash.spaces.stage_tables import Floats

__all__ = ["Sieve"]

#: Entries of the table, at least and at most; 2^21 in single precision are 8 MB.
_FEWEST, _MOST = 1 << 12, 1 << 21
#: Points asked about for each entry: a larger table takes longer to fill than it saves.
_ASKED = 8
#: Points whose density the edges follow.
_SAMPLE = 1 << 12
#: Points are gathered until they are this share of the entries, then entered together.
_GATHERED = 8

Flags = NDArray[np.bool_]
Places = NDArray[np.int32]


class Sieve:
    """What is known to be reached.

    points:   shape (points, coordinates), two coordinates or more: the first that are known, and
              what the edges follow.
    expected: how many points will be asked about.
    kept:     which coordinate is kept: -1 the one of most values, -2 the next and so on.
    """

    def __init__(self, points: Floats, expected: int, kept: int = -1) -> None:
        entries = min(max(expected // _ASKED, _FEWEST), _MOST)
        sample = points[:: max(1, len(points) // _SAMPLE)]
        distinct = [each_once(column) for column in sample.T]
        # The coordinate of most values is kept: where there are few, edges tell all of them apart.
        self._kept = int(np.argsort([len(values) for values in distinct], kind="stable")[kept])
        self._ruled = [k for k in range(points.shape[1]) if k != self._kept]
        self._rulers = _rulers([distinct[k] for k in self._ruled], sample[:, self._ruled], entries)
        shape = tuple(len(ruler) for ruler in self._rulers)
        self._least = np.full(shape, np.inf, dtype=np.float32)
        self._gathered: list[list[Floats]] = []
        self._enter(list(points.T))

    def add(self, coordinates: Sequence[Floats]) -> None:
        """More points that are reached, an array a coordinate."""
        self._gathered.append(list(coordinates))
        if sum(len(one[0]) for one in self._gathered) * _GATHERED >= self._least.size:
            self._enter([np.concatenate(one) for one in zip(*self._gathered, strict=True)])
            self._gathered.clear()

    def _enter(self, coordinates: Sequence[Floats]) -> None:
        # Rounded up: a point must not be dropped for a difference that is not there.
        kept = np.nextafter(coordinates[self._kept].astype(np.float32), np.float32(np.inf))
        place = np.zeros(len(kept), dtype=np.int32)
        for k, ruler in zip(self._ruled, self._rulers, strict=True):
            place *= len(ruler)
            place += ruler.above(coordinates[k])
        np.minimum.at(self._least.reshape(-1), place, kept)
        for axis in range(self._least.ndim):
            np.minimum.accumulate(self._least, axis=axis, out=self._least)

    def may_stay(self, coordinates: Sequence[Floats]) -> Flags:
        """Which points no known one dominates as far as the table can tell, an array of them."""
        place = np.zeros(len(coordinates[0]), dtype=np.int32)
        for k, ruler in zip(self._ruled, self._rulers, strict=True):
            place *= len(ruler)
            place += ruler.below(coordinates[k])
        # Above, not at: a point does not dominate itself.
        return np.asarray(coordinates[self._kept] <= self._least.reshape(-1).take(place))


class _Ruler:
    """Edges of one coordinate, -inf before and inf after them.

    Found by a step of equal length, then by one comparison: no step holds two edges.
    """

    _STEPS = 1 << 14

    def __init__(self, edges: Floats) -> None:
        self._low = edges[0]
        width = edges[-1] - edges[0]
        self._scale = (self._STEPS - 2) / width if width > 0 else 0.0
        steps = self._step(edges)
        alone = np.append(True, steps[1:] != steps[:-1])
        edges, steps = edges[alone], steps[alone]
        self._edges = np.concatenate([[-np.inf], edges, [np.inf]])
        self._last = np.searchsorted(steps, np.arange(self._STEPS), side="right").astype(np.int32)

    def __len__(self) -> int:
        return len(self._edges)

    def _step(self, values: Floats) -> Places:
        step = values - self._low
        step *= self._scale
        step += 1.0
        np.maximum(step, 0.0, out=step)
        np.minimum(step, self._STEPS - 1.0, out=step)
        places: Places = step.astype(np.int32)
        return places

    def below(self, values: Floats) -> Places:
        """The last edge at or below each value."""
        last = self._last.take(self._step(values))
        last -= values < self._edges.take(last)
        return last

    def above(self, values: Floats) -> Places:
        """The first edge at or above each value."""
        first = self.below(values)
        first += self._edges.take(first) < values
        return first


def _rulers(distinct: Sequence[Floats], points: Floats, entries: int) -> list[_Ruler]:
    """Edges of each coordinate: all its values where they are few, else equal shares of them."""
    left, rulers = entries, dict[int, _Ruler]()
    order = np.argsort([len(values) for values in distinct], kind="stable")
    for done, k in enumerate(order.tolist()):
        share = max(4, int(left ** (1 / (len(distinct) - done))))
        values = distinct[k]
        if len(values) > 2 * share - 2:
            at = np.linspace(0, len(points) - 1, share - 2).astype(np.int64)
            values = np.unique(np.sort(points[:, k])[at])
        rulers[k] = _Ruler(values)
        left = max(4, left // len(rulers[k]))
    return [rulers[k] for k in range(len(distinct))]
