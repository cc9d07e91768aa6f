"""The exact optimizer against brute force, random designs and its own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_problems import device_problem, every_design, random_problem

from flash.errors import InfeasibleError, UsageError
from flash.optimize.exact import exact_best, exact_front
from flash.optimize.objectives import (
    Limit,
    Objective,
    Scalar,
    flash_scalar,
    meets,
    objective,
    single,
    values_of,
)
from flash.spaces.stage_tables import SeparableProblem, StageTable

NAMES = ("score", "latency_ms", "energy_mj", "memory_kb", "weight_kb", "activation_kb")
SCORE, LATENCY, ENERGY, MEMORY = map(objective, NAMES[:4])


def literal_front(points):
    """Rows that no other row dominates, by comparing all with all; equal rows once."""
    return {
        tuple(row)
        for row in points
        if not ((points <= row).all(axis=1) & (points < row).any(axis=1)).any()
    }


@st.composite
def cases(draw):
    """A random problem, objectives and limits, everything from one seed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    problem = random_problem(rng)
    designs = every_design(problem)
    chosen = rng.choice(NAMES, size=rng.integers(1, 4), replace=False)
    limits = []
    for name in rng.choice(NAMES, size=rng.integers(0, 4), replace=False):
        values = values_of(problem, designs, [objective(name)])
        limits.append(Limit.on(name, float(np.quantile(values, rng.uniform(0.1, 0.95)))))
    return problem, designs, [objective(name) for name in chosen], limits


@settings(max_examples=150, deadline=None)
@given(cases())
def test_front_is_that_of_brute_force(case):
    problem, designs, objectives, limits = case
    signs = np.array([o.sign for o in objectives])
    feasible = designs[meets(problem, designs, limits)]
    if len(feasible) == 0:
        with pytest.raises(InfeasibleError):
            exact_front(problem, objectives, limits)
        return
    found = exact_front(problem, objectives, limits)
    rows = [tuple(row) for row in found.values * signs]
    assert len(set(rows)) == len(rows)
    assert set(rows) == literal_front(values_of(problem, feasible, objectives) * signs)
    assert meets(problem, found.indices, limits).all()
    assert np.array_equal(values_of(problem, found.indices, objectives), found.values)


@pytest.mark.parametrize("seed", range(40))
def test_best_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, whole=False)
    designs = every_design(problem)
    limit = Limit.on("score", float(np.median(values_of(problem, designs, [SCORE]))))
    feasible = designs[meets(problem, designs, [limit])]
    scalar = flash_scalar()
    found = exact_best(problem, scalar, [limit])
    assert scalar.of(problem, found.indices)[0] == scalar.of(problem, feasible).max()


def test_no_random_design_beats_the_front_of_a_large_space(rng):
    problem = device_problem(seed=1)
    found = exact_front(problem, [SCORE, LATENCY])
    designs = np.stack([rng.integers(n, size=200_000) for n in problem.sizes], axis=1)
    score, latency = values_of(problem, designs, [SCORE, LATENCY]).T
    # The front is sorted by score, best first, so latency falls along it too.
    assert (np.diff(found.values, axis=0) < 0).all()
    at_least = np.searchsorted(-found.values[:, 0], -score, side="right") - 1
    assert (at_least >= 0).all()
    assert (found.values[at_least, 1] <= latency).all()


def test_memory_front_holds_against_random_designs(rng):
    problem = device_problem("cifar10-mobilenet-v2", seed=2)
    objectives = [SCORE, LATENCY, MEMORY]
    found = exact_front(problem, objectives)
    designs = np.stack([rng.integers(n, size=3000) for n in problem.sizes], axis=1)
    signs = np.array([o.sign for o in objectives])
    front = found.values * signs
    for row in values_of(problem, designs, objectives) * signs:
        assert (front <= row).all(axis=1).any()


def test_front_under_a_limit_is_the_feasible_part_of_the_front():
    problem = device_problem(seed=3)
    free = exact_front(problem, [SCORE, LATENCY])
    bound = float(np.median(free.values[:, 1]))
    limited = exact_front(problem, [SCORE, LATENCY], [Limit.on("latency_ms", bound)])
    assert np.array_equal(limited.values, free.values[free.values[:, 1] <= bound])
    assert limited.evaluations < free.evaluations


def test_blocks_do_not_change_the_front(monkeypatch):
    problem = device_problem("cifar10-mobilenet-v2", seed=4)
    whole = exact_front(problem, [SCORE, LATENCY])
    monkeypatch.setattr("flash.optimize.exact._BLOCK", 64)
    assert np.array_equal(exact_front(problem, [SCORE, LATENCY]).values, whole.values)


def test_one_stage_is_plain_enumeration():
    rng = np.random.default_rng(5)
    tables = {"score": rng.random((4, 5)), "latency_ms": rng.random((4, 5))}
    stage = StageTable("all", (), (0, 1), tables)
    problem = SeparableProblem((4, 5), (stage,), {"score": "sum", "latency_ms": "sum"})
    found = exact_front(problem, [SCORE, LATENCY])
    points = np.stack([-tables["score"].ravel(), tables["latency_ms"].ravel()], axis=1)
    assert {tuple(row) for row in found.values * [-1, 1]} == literal_front(points)


def test_no_design_within_a_limit_names_the_limit_and_the_best_there_is():
    problem = device_problem(seed=6)
    least = exact_best(problem, single(LATENCY)).values[0, 0]
    with pytest.raises(InfeasibleError, match=f"latency_ms <= .*best of the space is {least:.6g}"):
        exact_front(problem, [SCORE], [Limit.on("latency_ms", least * 0.99)])


def test_limits_that_exclude_one_another_are_said_to():
    problem = device_problem(seed=6)
    least = exact_best(problem, single(LATENCY)).values[0, 0]
    most = exact_best(problem, single(SCORE)).values[0, 0]
    limits = [Limit.on("latency_ms", least), Limit.on("score", most)]
    with pytest.raises(InfeasibleError, match="all limits at once"):
        exact_front(problem, [SCORE], limits)


def test_a_variable_of_two_stages_is_refused():
    table = {"score": np.zeros(2)}
    stages = (StageTable("a", (), (0,), table), StageTable("b", (), (0,), table))
    with pytest.raises(UsageError, match="exactly one stage"):
        exact_front(SeparableProblem((2,), stages, {"score": "sum"}), [SCORE])


def test_an_unknown_quantity_is_refused_with_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'latency_ms'"):
        exact_front(device_problem(seed=7), [Objective("latency_m", "min")])


def test_a_scalar_of_three_objectives_is_at_its_optimum_over_random_designs(rng):
    problem = device_problem(seed=8)
    scalar = Scalar(
        "score per memory and root latency",
        (SCORE, LATENCY, ENERGY),
        lambda v: v[:, 0] / (np.sqrt(v[:, 1]) * v[:, 2]),
    )
    best = scalar.function(exact_best(problem, scalar).values)[0]
    designs = np.stack([rng.integers(n, size=100_000) for n in problem.sizes], axis=1)
    assert (scalar.of(problem, designs) <= best).all()
