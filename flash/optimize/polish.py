"""Local search on the integers: what turns a sampled design into a locally best one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.pareto import non_dominated
from flash.spaces.stage_tables import Floats

__all__ = ["moves", "polish", "spread", "steps"]

Ints = NDArray[np.int64]

#: At most this many moves of two variables at once; large spaces get a fixed random part.
_MOST_PAIRS = 600
#: Neighbours tried at a time: a few MB.
_BLOCK = 1 << 13


def steps(variables: int) -> Ints:
    """One variable up or down by one, shape (2 variables, variables)."""
    unit = np.eye(variables, dtype=np.int64)
    return np.concatenate([unit, -unit])


def moves(
    sizes: tuple[int, ...], rng: np.random.Generator, exchanges: Sequence[int] = (1, 2)
) -> Ints:
    """Changes to try, shape (moves, variables).

    One variable by 1, 2, 4, ... (less than its size), and every two variables against each
    other by any of ``exchanges``: along a limit, one cell can only gain what another gives up.
    """
    unit = np.eye(len(sizes), dtype=np.int64)
    single = [
        sign * (1 << power) * unit[k]
        for k, size in enumerate(sizes)
        for power in range(max(1, (size - 1).bit_length()))
        for sign in (1, -1)
    ]
    pairs = [
        a * unit[i] - b * unit[j]
        for i, j in itertools.permutations(range(len(sizes)), 2)
        for a, b in itertools.product(exchanges, repeat=2)
    ]
    if len(pairs) > _MOST_PAIRS:
        pairs = [pairs[k] for k in rng.choice(len(pairs), _MOST_PAIRS, replace=False)]
    return np.stack(single + pairs)


def polish(
    designs: Ints,
    costs: Floats,
    costs_of: Callable[[Ints, Ints], Floats],
    changes: Ints,
    tops: Ints,
    most: int = 60,
) -> tuple[Ints, Floats]:
    """Steepest descent from each of some designs: the best of all ``changes`` until none helps.

    costs_of: designs, and from which of those given each came -> their costs, less is better.
    tops:     largest index of each variable, or of each variable of each design.
    """
    designs, costs, left = designs.copy(), costs.copy(), np.arange(len(designs))
    tops = np.broadcast_to(tops, designs.shape)
    for _ in range(most):
        near = np.clip(designs[left, None] + changes, 0, tops[left, None])
        found = costs_of(near.reshape(-1, near.shape[2]), np.repeat(left, len(changes)))
        found = found.reshape(len(left), -1)
        best = found.argmin(axis=1)
        rows = np.flatnonzero(found[np.arange(len(left)), best] < costs[left])
        if not len(rows):
            break
        left, best = left[rows], best[rows]
        designs[left], costs[left] = near[rows, best], found[rows, best]
    return designs, costs


def spread(
    fresh: Ints,
    values: Floats,
    score: Callable[[Ints], tuple[Floats, NDArray[np.bool_]]],
    allowed: NDArray[np.bool_],
    signs: Sequence[float],
    changes: Ints,
    tops: Ints,
    sweeps: int,
) -> tuple[Ints, Floats]:
    """The front of designs, their neighbours tried until none is new, at most ``sweeps`` times.

    fresh, values: the first designs and their objectives, of which those ``allowed`` count.
    score:         designs -> their objectives, and which designs are allowed.
    """
    front = np.zeros((0, fresh.shape[1]), dtype=np.int64)
    known = np.zeros((0, len(signs)))
    tried = np.zeros(0, dtype=np.bool_)
    found = [(fresh[allowed], values[allowed])]
    for _ in range(sweeps):
        front = np.concatenate([front, *(designs for designs, _ in found)])
        known = np.concatenate([known, *(own for _, own in found)])
        tried = np.concatenate([tried, np.zeros(len(front) - len(tried), dtype=np.bool_)])
        keep = non_dominated(known, signs)
        front, known, tried = front[keep], known[keep], tried[keep]
        if tried.all():
            break
        found = list(_neighbours(front[~tried], score, signs, changes, tops))
        tried[:] = True
    return front, known


def _neighbours(
    designs: Ints,
    score: Callable[[Ints], tuple[Floats, NDArray[np.bool_]]],
    signs: Sequence[float],
    changes: Ints,
    tops: Ints,
) -> Iterator[tuple[Ints, Floats]]:
    """Neighbours of designs that are allowed, some at a time, and their objectives.

    Without those that another one of the same time dominates.
    """
    at_once = max(1, _BLOCK // len(changes))
    for start in range(0, len(designs), at_once):
        near = np.clip(designs[start : start + at_once, None] + changes, 0, tops)
        near = near.reshape(-1, len(tops))
        values, allowed = score(near)
        rows = np.flatnonzero(allowed)
        rows = rows[non_dominated(values[rows], signs)]
        yield near[rows], values[rows]
