"""Pareto tools: non-dominated designs, hypervolume, the balanced pick.

Arrays of values have shape (designs, objectives); ``signs`` is +1 for an objective to
minimise and -1 for one to maximise. Two objectives are handled here; three and more by
moocore (C; Lopez-Ibanez et al.), imported only then, without its tools to fetch data sets, which
take nine tenths of its import.

Values are compared exactly as they are, no tolerance. Of equal rows the first is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.extras import postpone
from flash.spaces.stage_tables import Floats

__all__ = [
    "distance_to_ideal",
    "each_once",
    "hypervolume",
    "non_dominated",
    "non_dominated_within",
    "reference_point",
]

Flags = NDArray[np.bool_]

#: The functions of moocore that are used here -> their module in it.
_MOOCORE = {"hypervolume": "_moocore", "is_nondominated": "_moocore"}
#: From this many points on it pays to drop the hopeless before sorting.
_MANY = 2048


def non_dominated(values: Floats, signs: Sequence[float] | None = None) -> Flags:
    """Mask, shape (designs,): no other design is as good everywhere and better somewhere.

    Minimises every objective unless ``signs`` says otherwise.
    """
    points = values if signs is None else values * np.asarray(signs)
    if points.ndim != 2:
        raise UsageError(f"expected values of shape (designs, objectives), got {points.shape}")
    if len(points) == 0:
        return np.zeros(0, dtype=np.bool_)
    # A constant objective decides nothing, and one dimension less is much cheaper.
    points = points[:, (points != points[0]).any(axis=0)]
    dimensions = points.shape[1]
    if dimensions <= 1:
        return _best_of_line(points)
    if dimensions == 2:
        return _staircase(points[:, 0], points[:, 1])
    postpone("moocore", _MOOCORE)
    import moocore  # noqa: PLC0415 (slow to import)

    if dimensions > 3 and len(points) > _MANY:
        # It divides by the first coordinate, points of one value at once: few values, few steps.
        sample = points[:: len(points) // _MANY]
        values_of = [len(each_once(column)) for column in sample.T]
        points = points[:, np.argsort(values_of, kind="stable")]
    mask: Flags = moocore.is_nondominated(np.ascontiguousarray(points))
    return mask


def each_once(values: Floats) -> Floats:
    """The values sorted, each once; ``np.unique`` imports ``numpy.ma`` for that."""
    ascending: Floats = np.sort(values)
    new: Flags = np.append(True, ascending[1:] != ascending[:-1])
    return np.compress(new[: len(ascending)], ascending)


def non_dominated_within(values: Floats, groups: NDArray[np.int64]) -> Flags:
    """``non_dominated`` of each group of rows by itself, minimising; ``groups`` never falls."""
    new = np.append(True, groups[1:] != groups[:-1])[: len(groups)]
    number = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    points = values[:, (values != values[starts[number]]).any(axis=0)]
    if points.shape[1] > 2:
        return np.concatenate([non_dominated(part) for part in np.split(points, starts[1:])])
    x, y = (*points.T, *np.zeros((2, len(points))))[:2]
    order = np.lexsort((y, x, number))
    # As ``_staircase``, by ranks of y that are below all of the groups before.
    rank = np.unique(y, return_inverse=True)[1][order] - number[order] * len(points)
    mask = np.empty_like(new)
    mask[order] = np.append(True, rank[1:] < np.minimum.accumulate(rank)[:-1])[: len(points)]
    return mask


def _best_of_line(points: Floats) -> Flags:
    mask = np.zeros(len(points), dtype=np.bool_)
    mask[points[:, 0].argmin() if points.shape[1] else 0] = True
    return mask


def _staircase(x: Floats, y: Floats) -> Flags:
    """In order of x, then y, a point survives if its y is below every y before it."""
    mask = np.zeros(len(x), dtype=np.bool_)
    rows = np.arange(len(x)) if len(x) < _MANY else _below_sample(x, y)
    rows = rows[np.lexsort((y[rows], x[rows]))]
    lowest = np.minimum.accumulate(y[rows])
    mask[rows[:1]] = True
    mask[rows[1:][y[rows[1:]] < lowest[:-1]]] = True
    return mask


def _below_sample(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Rows that no point of a small sample dominates: most drop out without being sorted."""
    sample = np.arange(0, len(x), len(x) // 256)
    sample = sample[np.lexsort((y[sample], x[sample]))]
    lowest = np.minimum.accumulate(y[sample])
    before = np.searchsorted(x[sample], x, side="right") - 1
    return np.flatnonzero((before < 0) | (y <= lowest[before]))


def reference_point(values: Floats, signs: Sequence[float]) -> Floats:
    """The worst value of each objective among ``values``, moved 1 % of the range further.

    The hypervolume's reference point, in the objectives' own units and signs; the margin
    lets the extreme designs count. (Ours; give the reference whenever volumes are compared.)
    """
    points = values * np.asarray(signs)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((high + 0.01 * (high - low)) * np.asarray(signs), dtype=np.float64)


def hypervolume(values: Floats, signs: Sequence[float], reference: Floats) -> float:
    """Volume of what ``values`` dominate, up to ``reference`` (Zitzler & Thiele 1999).

    In the product of the objectives' units. Designs beyond the reference count for nothing.
    """
    if values.shape[1] != len(reference):
        raise UsageError(
            f"the reference point has {len(reference)} values for {values.shape[1]} objectives"
        )
    points = values * np.asarray(signs)
    corner = np.asarray(reference, dtype=np.float64) * np.asarray(signs)
    points = points[(points < corner).all(axis=1)]
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(corner[0] - points.min())
    if points.shape[1] == 2:
        front = points[_staircase(points[:, 0], points[:, 1])]
        front = front[np.argsort(front[:, 0])]
        # Slabs from each point to the next; the staircase falls from left to right.
        widths = np.append(front[1:, 0], corner[0]) - front[:, 0]
        return float(np.sum(widths * (corner[1] - front[:, 1])))
    postpone("moocore", _MOOCORE)
    import moocore  # noqa: PLC0415 (slow to import)

    return float(moocore.hypervolume(np.ascontiguousarray(points), ref=corner))


def distance_to_ideal(values: Floats, signs: Sequence[float]) -> Floats:
    """How far each design of a front is from the best of every objective, shape (designs,).

    Compromise programming (Zeleny 1973): each objective is scaled to [0, 1] over the front,
    the ideal point has the best of each, the distance is Euclidean. Objectives to minimise
    that are positive enter by their logarithm, so that a factor of two in latency weighs
    the same at 2 ms and at 200 ms (our choice: costs of one space span decades).
    """
    points = np.array(values, dtype=np.float64)
    for column, sign in enumerate(signs):
        if sign > 0 and (points[:, column] > 0).all():
            points[:, column] = np.log(points[:, column])
    points *= np.asarray(signs)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    distances: Floats = (scaled**2).sum(axis=1)
    return distances
