"""The exact optimizer against brute force, random designs and its own numbers."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_problems import device_problem, every_design, random_problem

from flash.errors import InfeasibleError, UsageError
from flash.optimize.exact import exact_best, exact_front
from flash.optimize.merging import Merge
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


@pytest.fixture(autouse=True, scope="module")
def stage_by_stage():
    """Small problems go through the stages too, where they would be enumerated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flash.optimize.exact._LOOK_UPS_A_STATE", 0)
        yield


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
    chosen = rng.choice(NAMES, size=rng.integers(1, 5), replace=False)
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


def test_designs_seen_before_spare_work_and_change_nothing():
    rng = np.random.default_rng(5)
    plainly, knowing = 0, 0
    for _ in range(40):
        problem = random_problem(rng)
        free = exact_front(problem, [SCORE, LATENCY])
        bound = float(np.median(values_of(problem, free.indices, [MEMORY])))
        limits = [Limit.on("memory_kb", bound)]
        plain = exact_front(problem, [SCORE, LATENCY], limits)
        for designs in (free.indices, free.indices[:0], plain.indices):
            found = exact_front(problem, [SCORE, LATENCY], limits, designs)
            assert np.array_equal(found.indices, plain.indices)
        plainly += plain.evaluations
        knowing += found.evaluations
    assert knowing < 0.9 * plainly


def sieved_always(monkeypatch, **sizes):
    """Sieve and group from the first product on, in blocks of a few."""
    few = {"_FEW": 0, "_BLOCK": 64, "_SAMPLE": 16, "_SAMPLED": 2, "_GROUP": 2, "_ROUNDS": 3}
    for name, value in (few | sizes).items():
        monkeypatch.setattr(f"flash.optimize.merging.{name}", value)


@pytest.mark.parametrize("sizes", [{"_FEW": 1 << 30}, {}, {"_BLOCK": 1 << 10, "_GROUP": 5}])
@pytest.mark.parametrize("names", [NAMES[:2], NAMES[:3], NAMES[:4]])
def test_blocks_sieves_and_groups_do_not_change_the_front(monkeypatch, names, sizes):
    problem = device_problem("cifar10-mobilenet-v2" if len(names) == 2 else "nasbench-macro", 4)
    objectives = [objective(name) for name in names]
    whole = exact_front(problem, objectives)
    sieved_always(monkeypatch, **sizes)
    found = exact_front(problem, objectives)
    assert np.array_equal(found.values, whole.values)
    assert np.array_equal(found.indices, whole.indices)  # of equal designs the same one


@settings(max_examples=150, deadline=None)
@given(cases())
def test_front_by_the_sieve_is_that_of_brute_force(case):
    problem, designs, objectives, limits = case
    signs = np.array([o.sign for o in objectives])
    feasible = designs[meets(problem, designs, limits)]
    if len(feasible) == 0:
        return
    with pytest.MonkeyPatch.context() as patch:
        sieved_always(patch)
        found = exact_front(problem, objectives, limits)
    rows = {tuple(row) for row in found.values * signs}
    assert rows == literal_front(values_of(problem, feasible, objectives) * signs)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_designs_that_exist_rule_out_nothing_of_the_front(case):
    problem, _, objectives, limits = case
    results = []
    for most in (1 << 30, -1):  # never and always
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flash.optimize.exact._MANY_STATES", most)
            try:
                results.append(exact_front(problem, objectives, limits).indices.tolist())
            except InfeasibleError:
                results.append([])
    assert results[0] == results[1]


def chain_of(stages, values, rng):
    """Stages that each read the variable before: a larger value scores more and costs more."""
    tables = []
    for k in range(stages):
        reads = (k - 1,) if k else ()
        shape = (values,) * (len(reads) + 1)
        size = 1.0 + np.arange(values) + np.zeros(shape)
        cost = {name: size**1.5 * rng.uniform(0.8, 1.2, shape) for name in NAMES[1:3]}
        score = {"score": size * rng.uniform(0.9, 1.1, shape)}
        tables.append(StageTable(f"stage{k}", reads, (k,), score | cost))
    return SeparableProblem((values,) * stages, tuple(tables), dict.fromkeys(NAMES[:3], "sum"))


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[:2]])
def test_designs_that_exist_save_work_in_many_stages(monkeypatch, rng, names):
    problem, objectives = chain_of(8, 9, rng), [objective(name) for name in names]
    limits = [Limit.on("latency_ms", 120.0), Limit.on("energy_mj", 110.0)]
    plain = exact_front(problem, objectives, limits)
    monkeypatch.setattr("flash.optimize.exact._MANY_STATES", 0)
    quick = exact_front(problem, objectives, limits)
    assert quick.indices.tolist() == plain.indices.tolist()
    assert quick.evaluations < plain.evaluations


def all_read_the_first(stages, values, rng):
    """Stages that each read the first variable: every value of it is a state of its own."""
    tables = []
    for k in range(stages):
        shape = (values,) * (1 + (k > 0))
        size = 1.0 + np.arange(values) + np.zeros(shape)
        cost = {name: size**1.5 * rng.uniform(0.8, 1.2, shape) for name in NAMES[1:3]}
        score = {"score": (size * rng.uniform(0.9, 1.1, shape)).round(1)}
        tables.append(StageTable(f"stage{k}", (0,) * (k > 0), (k,), score | cost))
    return SeparableProblem((values,) * stages, tuple(tables), dict.fromkeys(NAMES[:3], "sum"))


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[:2], NAMES[:3]])
@pytest.mark.parametrize("block", [1 << 16, 50])
def test_many_states_at_once_are_those_one_by_one(monkeypatch, rng, names, block):
    problem, objectives = all_read_the_first(4, 6, rng), [objective(name) for name in names]
    limits = [Limit.on("latency_ms", 40.0), Limit.on("energy_mj", 36.0)]
    with monkeypatch.context() as patch:
        patch.setattr("flash.optimize.many_states._BLOCK", block)
        by_themselves = mock.Mock(side_effect=Merge)
        patch.setattr("flash.optimize.exact.Merge", by_themselves)
        together = exact_front(problem, objectives, limits)
    assert by_themselves.call_count == 1  # of the last stage, which leaves one state
    monkeypatch.setattr("flash.optimize.exact.FEW_OPTIONS", 0)
    alone = exact_front(problem, objectives, limits)
    assert together.indices.tolist() == alone.indices.tolist()
    assert together.evaluations == alone.evaluations
    expected = every_design(problem)
    expected = values_of(problem, expected[meets(problem, expected, limits)], objectives)
    signs = np.array([o.sign for o in objectives])
    assert {tuple(row) for row in together.values * signs} == literal_front(expected * signs)


def test_a_goal_that_is_limited_the_other_way_has_no_best_corner(monkeypatch):
    """The score is maximised and held from above: groups of options do not apply."""
    rng = np.random.default_rng(3)
    tables = [{n: rng.random((12,)) for n in ("score", "latency_ms", "energy_mj")} for _ in "abc"]
    stages = tuple(StageTable(f"s{k}", (), (k,), table) for k, table in enumerate(tables))
    combine = dict.fromkeys(tables[0], "sum")
    problem = SeparableProblem((12, 12, 12), stages, combine)
    limits = [Limit(Objective("score", "min"), 1.8)]
    designs = every_design(problem)
    objectives = [Objective("score", "max"), LATENCY, ENERGY]
    signs = np.array([o.sign for o in objectives])
    sieved_always(monkeypatch)
    found = exact_front(problem, objectives, limits)
    feasible = designs[meets(problem, designs, limits)]
    expected = literal_front(values_of(problem, feasible, objectives) * signs)
    assert {tuple(row) for row in found.values * signs} == expected


def test_few_designs_of_many_states_are_evaluated_one_by_one(monkeypatch):
    rng = np.random.default_rng(2)
    sizes = (3,) * 7
    stages = tuple(
        StageTable(f"s{k}", tuple(range(k)), (k,), {n: rng.random(sizes[: k + 1]) for n in NAMES})
        for k in range(7)
    )
    problem = SeparableProblem(sizes, stages, dict.fromkeys(NAMES, "sum"))
    limits = [Limit.on("energy_mj", 3.5)]
    by_stages = exact_front(problem, [SCORE, LATENCY], limits)
    monkeypatch.setattr("flash.optimize.exact._LOOK_UPS_A_STATE", 2_000)
    found = exact_front(problem, [SCORE, LATENCY], limits)
    assert np.array_equal(found.values, by_stages.values)
    assert (found.evaluations, found.message[-14:]) == (3**7, "each evaluated")
    with pytest.raises(InfeasibleError, match="energy_mj <= "):
        exact_front(problem, [SCORE], [Limit.on("energy_mj", 0.0)])


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
