"""Which designs to train: a few that span a space, so that a score is tested and not only size.

The i-th design is the i-th point of an evenly spread sequence in the unit cube (additive
recurrence in powers of the generalised golden ratio, M. Roberts 2018, with a random shift: every
point is uniform in the cube), read as

1. a place on the logarithmic range of NN-Degree,
2. a quantile of depth among the designs of about that NN-Degree,
3. a quantile of mean width among those of about that NN-Degree and depth,

(networks of equal NN-Degree then differ in depth, and at equal depth in width against skips).
Every point follows the same law and a longer sample begins with the shorter one: train 25,
then 15 more to hold out, then more, and none is wasted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.features import features_of, size_problem
from flash.errors import InfeasibleError, UsageError
from flash.optimize import SeparableProblem, exact_front, objective
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["sample_designs", "split_designs"]

Ints = NDArray[np.int64]

#: Spaces of at most this many designs are listed whole; of larger ones a pool is drawn.
_LISTED = 1 << 15
#: Designs drawn at a time, designs that do for a pool, and how often to draw at most.
_DRAWN, _POOL, _DRAWS = 1 << 16, 1 << 15, 24
#: Share of the pool that counts as "about equal" in NN-Degree, then in depth as well.
_NEAR, _NEARER = 1 / 16, 1 / 8
#: Share of the pool cut off at either end: extremes of NN-Degree are few and alike.
_TRIM = 0.002
#: Steps of the sequence: powers of 1/phi with phi^4 = phi + 1.
_STEP = 1.2207440846057596 ** -np.arange(1.0, 4.0)


def sample_designs(space: SearchSpace, n: int, seed: int, max_macs: float | None = None) -> Ints:
    """Indices, shape (n, variables), of ``n`` different networks that span ``space``.

    seed:     the same seed gives the same designs, and ``n + 1`` of them begin with the ``n``.
    max_macs: take only networks of at most so many multiply-accumulates.

    Raises ``UsageError`` for an impossible ``n`` and ``InfeasibleError`` if fewer than ``n``
    networks are small enough.
    """
    if n < 1 or seed < 0:
        raise UsageError(f"expected 1 or more designs and a seed of 0 or more, got {n} and {seed}")
    problem = size_problem(space)
    most = math.inf if max_macs is None else float(max_macs)
    pool = _pool(space, problem, most, np.random.default_rng([seed, 1]))
    if len(pool) < n:
        raise _too_few(space, problem, n, len(pool), most)
    values = problem.evaluate(pool)
    # Where NN-Degree has few values (NAS-Bench-201) it spans nothing; size stands in for it.
    first = "log_nn_degree" if len(np.unique(values["nn_degree"])) > n else "log_macs"
    features = features_of(values, (first, "log_depth", "log_width"))
    # Ties (few depths, few widths) are broken at random, not by the order of the pool.
    jitter = np.random.default_rng([seed, 2]).uniform(-1e-6, 1e-6, features.shape)
    picked = _spread(features + jitter, n, seed)
    return pool[picked]


def split_designs(
    space: SearchSpace, fit: int, held_out: int, seed: int, max_macs: float | None = None
) -> tuple[Ints, Ints]:
    """``fit`` designs and ``held_out`` others, both by the law of ``sample_designs``."""
    designs = sample_designs(space, fit + held_out, seed, max_macs)
    return designs[:fit], designs[fit:]


def _pool(
    space: SearchSpace, problem: SeparableProblem, most: float, rng: np.random.Generator
) -> Ints:
    """Different networks within ``most`` MACs: all of a small space, else many of every size."""
    if space.size <= _LISTED:
        listed: Ints = np.indices(problem.sizes).reshape(len(problem.sizes), -1).T
        return _different(space, listed[_usable(problem, listed, most)])
    found = np.zeros((0, len(problem.sizes)), dtype=np.int64)
    for _ in range(_DRAWS):
        drawn = _draw(space, rng)
        drawn = drawn[_usable(problem, drawn, most)]
        found = _different(space, np.concatenate([found, drawn]))
        if len(found) >= _POOL:
            break
    return found


def _usable(problem: SeparableProblem, indices: Ints, most: float) -> NDArray[np.bool_]:
    """Which designs have a path from input to output and at most so many MACs on it."""
    macs = problem.evaluate(indices, "macs")["macs"]
    usable: NDArray[np.bool_] = (macs > 0) & (macs <= most)
    return usable


def _draw(space: SearchSpace, rng: np.random.Generator) -> Ints:
    """Random designs of every size: variables of one role (widths, depths ...) go together.

    Independent uniform variables would add up to nearly the same size in every design. Here
    each role of a design has a level of its own, often low (small networks are few among all
    designs), about which its variables scatter.
    """
    roles = [name.rstrip("0123456789") for name in space.variables]
    tilt = rng.choice([1.0, 2.0, 4.0], size=(_DRAWN, 1))
    level = rng.random((_DRAWN, len(set(roles)))) ** tilt
    column = [sorted(set(roles)).index(role) for role in roles]
    spread = rng.choice([0.05, 0.2, 1.0], size=(_DRAWN, 1))
    place = level[:, column] + spread * rng.uniform(-0.5, 0.5, (_DRAWN, len(roles)))
    sizes = np.array([len(grid) for grid in space.grids])
    indices: Ints = np.floor(np.clip(place, 0.0, 1.0 - 1e-9) * sizes).astype(np.int64)
    return indices


def _different(space: SearchSpace, indices: Ints) -> Ints:
    """Each network once, in the order given; values without effect make no difference."""
    if not len(indices):
        return indices
    values = space.decode(indices)
    named = {name: values[:, k] for k, name in enumerate(space.variables)}
    canonical = space.family.canonical(named)
    rows = np.stack([canonical[name] for name in space.variables], axis=1)
    # One number a row, as sorting rows is slow; were two equal by chance, one would be left out.
    key = np.random.default_rng(0).integers(1 << 62, size=rows.shape[1]) | 1
    return indices[np.sort(np.unique(rows @ key, return_index=True)[1])]


def _spread(features: Floats, n: int, seed: int) -> Ints:
    """Rows for the first ``n`` points; features: (pool, 3), NN-Degree, depth, width."""
    degree = features[:, 0]
    low, high = np.quantile(degree, [_TRIM, 1 - _TRIM])
    shift = np.random.default_rng([seed, 3]).random(3)
    points = (shift + np.arange(1, n + 1)[:, None] * _STEP) % 1.0
    left = np.ones(len(features), dtype=np.bool_)
    picked = []
    for place, depth, width in points:
        free = np.flatnonzero(left)
        near = _nearest(free, degree, low + place * (high - low), _NEAR)
        target = float(np.quantile(features[near, 1], depth))
        nearer = _nearest(near, features[:, 1], target, _NEARER)
        target = float(np.quantile(features[nearer, 2], width))
        row = int(_nearest(nearer, features[:, 2], target, 0.0)[0])
        picked.append(row)
        left[row] = False
    return np.array(picked, dtype=np.int64)


def _nearest(rows: Ints, values: Floats, target: float, share: float) -> Ints:
    """The ``share`` of ``rows`` (at least one, at most 512) whose values are nearest."""
    count = min(max(math.ceil(share * len(rows)), 1), 512)
    distance = np.abs(values[rows] - target)
    nearest: Ints = rows[np.argsort(distance, kind="stable")[:count]]
    return nearest


def _too_few(
    space: SearchSpace, problem: SeparableProblem, n: int, found: int, most: float
) -> InfeasibleError:
    least = float(exact_front(problem, [objective("macs")], []).values[0, 0])
    within = "" if math.isinf(most) else f" of at most {most:.4g} MACs"
    return InfeasibleError(
        f"found {found} different networks{within} in space {space.name}, {n} are wanted; its "
        f"smallest has {least:.4g} MACs"
    )
