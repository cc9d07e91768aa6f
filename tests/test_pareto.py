"""Pareto tools against literal definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flash.errors import UsageError
from flash.optimize.pareto import (
    distance_to_ideal,
    hypervolume,
    non_dominated,
    non_dominated_within,
    reference_point,
)


def points(columns):
    shape = st.tuples(st.integers(0, 25), columns)
    return hnp.arrays(float, shape, elements=st.integers(0, 6).map(float))


@settings(max_examples=200, deadline=None)
@given(points(st.integers(1, 4)))
def test_filter_keeps_each_best_point_once(values):
    kept = values[non_dominated(values)]
    literal = {
        tuple(a) for a in values if not any((b <= a).all() and (b < a).any() for b in values)
    }
    assert {tuple(row) for row in kept} == literal
    assert len(kept) == len(literal)


@pytest.mark.parametrize("distinct", [3, 40, 10**9])
def test_many_points_are_filtered_as_few_are(distinct):
    rng = np.random.default_rng(distinct)
    values = np.floor(rng.random((30_000, 2)) * distinct)
    values[:, 1] += distinct - values[:, 0]
    kept = non_dominated(values)
    best: dict[float, float] = {}
    for x, y in values.tolist():
        best[x] = min(y, best.get(x, np.inf))
    literal, lowest = set(), np.inf
    for x in sorted(best):
        if best[x] < lowest:
            lowest = best[x]
            literal.add((x, lowest))
    assert {tuple(row) for row in values[kept].tolist()} == literal
    assert kept.sum() == len(literal)


@settings(max_examples=200, deadline=None)
@given(points(st.integers(1, 4)), st.integers(1, 5))
def test_groups_are_filtered_each_by_itself(values, groups):
    group = np.sort(np.arange(len(values)) % groups)
    parts = [non_dominated(values[group == k]) for k in range(groups)]
    assert non_dominated_within(values, group).tolist() == np.concatenate(parts).tolist()


def test_first_of_equal_points_is_kept():
    values = np.array([[2.0, 2.0], [1.0, 3.0], [1.0, 3.0], [2.0, 2.0]])
    assert non_dominated(values).tolist() == [True, True, False, False]


def test_signs_turn_an_objective_round():
    values = np.array([[1.0, 1.0], [2.0, 1.0]])
    assert non_dominated(values, [-1, 1]).tolist() == [False, True]


@settings(max_examples=100, deadline=None)
@given(points(st.integers(1, 3)))
def test_volume_is_the_share_of_unit_cells_covered(values):
    """Whole-number points: count the unit cubes below the reference that a point covers."""
    size = 7
    columns = values.shape[1]
    cells = np.indices((size,) * columns).reshape(columns, -1).T
    covered = [(values <= cell).all(axis=1).any() for cell in cells]
    reference = np.full(columns, float(size))
    assert hypervolume(values, [1] * columns, reference) == pytest.approx(sum(covered))


def test_volume_counts_nothing_beyond_the_reference():
    values = np.array([[3.0, 1.0], [1.0, 9.0]])
    assert hypervolume(values, [-1, 1], np.array([2.0, 4.0])) == pytest.approx(3.0)


def test_reference_point_is_a_little_worse_than_the_worst():
    values = np.array([[10.0, 1.0], [20.0, 3.0]])
    assert reference_point(values, [-1, 1]) == pytest.approx([9.9, 3.02])


def test_reference_of_wrong_length_is_refused():
    with pytest.raises(UsageError, match="3 values for 2 objectives"):
        hypervolume(np.ones((1, 2)), [1, 1], np.ones(3))


def test_balanced_pick_is_the_bend():
    # Score 9 of 10 at a tenth of the latency; one step further costs ten times as much.
    values = np.array([[1.0, 1.0], [9.0, 10.0], [10.0, 1000.0]])
    assert distance_to_ideal(values, [-1, 1]).argmin() == 1


def test_balanced_pick_does_not_depend_on_units():
    rng = np.random.default_rng(0)
    values = np.stack([np.sort(rng.random(30)), np.sort(rng.random(30)) + 0.1], axis=1)
    scaled = distance_to_ideal(values * [7.0, 1000.0], [-1, 1])
    assert distance_to_ideal(values, [-1, 1]) == pytest.approx(scaled)
