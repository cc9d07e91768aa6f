"""Which designs to train: a few that span a space, so that a score is tested and not only size.

The i-th design is the i-th point of an evenly spread sequence in the unit cube (additive
recurrence in powers of the generalised golden ratio, M. Roberts 2018, with a random shift: every
point is uniform in the cube), read as

1. a place on the logarithmic range of MACs,
2. a quantile of NN-Degree among the designs of about so many MACs,
3. a quantile of depth among those of about that NN-Degree as well,
4. a quantile of mean width among those of about that depth as well,

(networks of one size then differ in shape). Deep cells without skips, which train badly and which
nobody deploys, are in two designs at most. Every point follows the same law and a longer sample
begins with the shorter one: train 25, then 15 more to hold out, then more, and none is wasted.
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
#: The first two where a design takes a good part of a millisecond (spaces without tables).
_FEW = 1 << 11, 1 << 10
#: What a sample spans, in this order.
_SPANNED = ("log_macs", "log_nn_degree", "log_depth", "log_width")
#: Share of the designs that counts as "about equal" in MACs, of those in NN-Degree, of those in
#: depth.
_NEAR = (1 / 128, 1 / 4, 1 / 4)
#: Share of the pool cut off at either end: extremes of size are few and alike.
_TRIM = 0.0002
#: Steps of the sequence. Size, which counts most, has the golden ratio's: nothing spreads better
#: along one axis. The others have powers of 1/phi with phi^4 = phi + 1.
_STEP = np.array([2 / (1 + 5**0.5), *1.2207440846057596 ** -np.arange(1.0, 4.0)])
#: Layers a depth variable of a cell stands for (layers of a concat cell, blocks of an add cell).
_LAYERS = {"d": 1, "b": 2}
#: A cell of more layers is deep; designs with a deep cell of no skips in a sample.
_DEEP, _MOST_SKIPLESS = 8, 2


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
    features = features_of(values, _SPANNED)
    # Ties (few depths, few widths) are broken at random, not by the order of the pool.
    jitter = np.random.default_rng([seed, 2]).uniform(-1e-6, 1e-6, features.shape)
    picked = _spread(features + jitter, _skipless(space, pool), n, seed)
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
    count, enough = (_DRAWN, _POOL) if problem.tabulated else _FEW
    for _ in range(_DRAWS):
        drawn = _draw(space, count, rng)
        drawn = drawn[_usable(problem, drawn, most)]
        found = _different(space, np.concatenate([found, drawn]))
        if len(found) >= enough:
            break
    return found


def _usable(problem: SeparableProblem, indices: Ints, most: float) -> NDArray[np.bool_]:
    """Which designs have a path from input to output and at most so many MACs on it."""
    macs = problem.evaluate(indices, "macs")["macs"]
    usable: NDArray[np.bool_] = (macs > 0) & (macs <= most)
    return usable


def _draw(space: SearchSpace, count: int, rng: np.random.Generator) -> Ints:
    """``count`` random designs of every size; variables of one role (widths ...) go together.

    Independent uniform variables would add up to nearly the same size in every design. Here
    each role of a design has a level of its own, often low (small networks are few among all
    designs), about which its variables scatter.
    """
    roles = [name.rstrip("0123456789") for name in space.variables]
    tilt = rng.choice([1.0, 2.0, 4.0], size=(count, 1))
    level = rng.random((count, len(set(roles)))) ** tilt
    column = [sorted(set(roles)).index(role) for role in roles]
    spread = rng.choice([0.05, 0.2, 1.0], size=(count, 1))
    place = level[:, column] + spread * rng.uniform(-0.5, 0.5, (count, len(roles)))
    sizes = np.array([len(grid) for grid in space.grids])
    indices: Ints = np.floor(np.clip(place, 0.0, 1.0 - 1e-9) * sizes).astype(np.int64)
    return indices


def _skipless(space: SearchSpace, indices: Ints) -> NDArray[np.bool_]:
    """Which designs have a deep cell without skip channels; none in spaces of no such cells."""
    values = space.decode(indices)
    named = {name: values[:, k] for k, name in enumerate(space.variables)}
    found = np.zeros(len(indices), dtype=np.bool_)
    for name, depth in named.items():
        role, cell = name[:1], name[1:]
        if role in _LAYERS and f"t{cell}" in named:
            found |= (named[f"t{cell}"] == 0) & (depth * _LAYERS[role] > _DEEP)
    return found


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


def _spread(features: Floats, skipless: NDArray[np.bool_], n: int, seed: int) -> Ints:
    """Rows for the first ``n`` points; features: (pool, 4), in the order of ``_SPANNED``."""
    low, high = np.quantile(features[:, 0], [_TRIM, 1 - _TRIM])
    shift = np.random.default_rng([seed, 3]).random(4)
    points = (shift + np.arange(1, n + 1)[:, None] * _STEP) % 1.0
    left = np.ones(len(features), dtype=np.bool_)
    picked: list[int] = []
    for size, *quantiles in points:
        free = np.flatnonzero(left)
        if skipless[picked].sum() >= _MOST_SKIPLESS and not skipless[free].all():
            free = free[~skipless[free]]
        near = _nearest(free, features[:, 0], low + size * (high - low), _NEAR[0])
        for column, quantile, share in zip((1, 2, 3), quantiles, (*_NEAR[1:], 0.0), strict=True):
            target = float(np.quantile(features[near, column], quantile))
            near = _nearest(near, features[:, column], target, share)
        picked.append(int(near[0]))
        left[picked[-1]] = False
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
    within = "" if math.isinf(most) else f" of at most {most:.4g} MACs"
    if not problem.tabulated:
        return InfeasibleError(
            f"found {found} different networks{within} in space {space.name}, {n} are wanted"
        )
    least = float(exact_front(problem, [objective("macs")], []).values[0, 0])
    return InfeasibleError(
        f"found {found} different networks{within} in space {space.name}, {n} are wanted; its "
        f"smallest has {least:.4g} MACs"
    )
