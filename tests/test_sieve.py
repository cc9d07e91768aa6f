"""The sieve before the exact filter: it drops nothing that should stay, and most of the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.optimize.pareto import non_dominated
from flash.optimize.sieve import Sieve


@st.composite
def clouds(draw):
    """Points to know and points to ask about; whole numbers give many equal values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dimensions, whole = int(rng.integers(2, 6)), rng.random() < 0.5
    known, asked = rng.integers(1, 200, size=2)
    points = rng.normal(size=(known + asked, dimensions)) * 10.0 ** rng.integers(-6, 6)
    if whole:
        points = rng.integers(0, 5, size=points.shape).astype(float)
    return points[:known], points[known:]


@settings(max_examples=200, deadline=None)
@given(clouds(), st.integers(0, 4))
def test_nothing_is_dropped_that_nobody_dominates(cloud, turn):
    known, asked = cloud
    sieve = Sieve(known, len(asked), kept=-1 - turn % known.shape[1])
    everyone = np.concatenate([known, asked])
    stays = sieve.may_stay(list(everyone.T))
    dominated = [
        bool(((known <= point).all(axis=1) & (known < point).any(axis=1)).any())
        for point in everyone
    ]
    assert not (~stays & ~np.array(dominated)).any()


@pytest.mark.parametrize("dimensions", [3, 4])
def test_most_of_what_is_dominated_is_dropped(dimensions):
    rng = np.random.default_rng(1)
    points = rng.random((50_000, dimensions))
    front = points[non_dominated(points)]
    sieve = Sieve(front[::2], len(points))
    sieve.add(list(front[1::2].T))
    stays = sieve.may_stay(list(points.T))
    assert stays[non_dominated(points)].all()
    assert stays.sum() < 0.2 * len(points)


def test_points_added_in_small_lots_count_once_they_are_many():
    corner = np.ones((1, 3))
    sieve = Sieve(np.concatenate([corner, corner + 1]), 1)
    for _ in range(4096):
        sieve.add([np.zeros(1), np.zeros(1), np.zeros(1)])
    assert not sieve.may_stay([np.array([1.5]), np.array([1.5]), np.array([1.5])])[0]
