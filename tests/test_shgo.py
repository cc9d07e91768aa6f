"""Hierarchical SHGO against the exact optimum, and NSGA-II and certification beside it."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import scipy.optimize
from optimizer_problems import COMBINE, device_problem, every_design, random_problem

from flash.errors import InfeasibleError, UsageError
from flash.optimize import (
    Limit,
    OptimizerResult,
    SeparableProblem,
    StageTable,
    certify_best,
    certify_front,
    exact_front,
    flash_scalar,
    hypervolume_gap,
    meets,
    non_dominated,
    nsga2_front,
    objective,
    shgo_best,
    shgo_front,
    single,
    values_of,
)
from flash.optimize.lookup import Lookup

SCORE, LATENCY, ENERGY, MEMORY = map(objective, ("score", "latency_ms", "energy_mj", "memory_kb"))


@pytest.fixture(scope="module")
def problem():
    return device_problem(seed=11)


def random_limits(problem, rng):
    """A scalar and limits between the tightest possible and slack."""
    designs = np.stack([rng.integers(n, size=4000) for n in problem.sizes], axis=1)
    if rng.random() < 0.25:
        scores = values_of(problem, designs, [SCORE])
        return flash_scalar(), [Limit.on("score", float(np.quantile(scores, rng.random())))]
    limits = []
    for of in (LATENCY, ENERGY, MEMORY):
        if rng.random() < 0.6 or not limits:
            values = values_of(problem, designs, [of])
            low, high = np.log(values.min() / 2), np.log(np.quantile(values, 0.9))
            limits.append(Limit(of, float(np.exp(rng.uniform(low, high)))))
    return single(SCORE), limits


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_scalar_optimum_is_within_two_per_cent(seed):
    """Any three devices, twelve settings of limits each; a setting nothing meets is skipped."""
    rng = np.random.default_rng(seed)
    problem = device_problem(seed=seed)
    gaps = []
    for _ in range(12):
        scalar, limits = random_limits(problem, rng)
        try:
            found = shgo_best(problem, scalar, limits)
        except InfeasibleError:
            with pytest.raises(InfeasibleError):
                exact_front(problem, [SCORE], limits)
            continue
        assert meets(problem, found.indices, limits).all()
        gaps.append(certify_best(problem, found, scalar, limits).gap_percent)
    assert len(gaps) >= 8
    assert max(gaps) <= 2.0


@pytest.mark.parametrize("space", ["cifar10-add", "cifar10-mobilenet-v2"])
def test_other_spaces_come_close_too(space):
    problem = device_problem(space, seed=3)
    bound = float(np.median(exact_front(problem, [SCORE, LATENCY]).values[:, 1]))
    limits = [Limit.on("latency_ms", bound)]
    found = shgo_best(problem, single(SCORE), limits)
    assert certify_best(problem, found, single(SCORE), limits).gap_percent <= 2.0


def test_front_covers_almost_all_of_the_exact_hypervolume(problem):
    found = certify_front(problem, shgo_front(problem, [SCORE, LATENCY]))
    assert found.certified
    assert found.gap_percent < 0.1
    assert non_dominated(found.values, found.signs).all()
    assert np.array_equal(values_of(problem, found.indices, found.objectives), found.values)


def test_front_respects_limits(problem):
    limits = [Limit.on("memory_kb", 6000.0), Limit.on("score", 120.0)]
    found = shgo_front(problem, [SCORE, LATENCY], limits)
    assert meets(problem, found.indices, limits).all()
    assert certify_front(problem, found, limits).gap_percent < 2.0


def test_front_of_three_objectives(problem):
    found = shgo_front(problem, [SCORE, LATENCY, MEMORY])
    assert certify_front(problem, found).gap_percent < 2.0


def test_same_seed_gives_the_same_bytes(problem):
    a, b = (shgo_front(problem, [SCORE, LATENCY], seed=5) for _ in range(2))
    assert a.indices.tobytes() == b.indices.tobytes()
    assert a.evaluations == b.evaluations


def test_every_global_step_is_shgo_on_at_most_five_variables(problem, monkeypatch):
    calls = []
    genuine = scipy.optimize.shgo

    def spy(func, bounds, **options):
        result = genuine(func, bounds, **options)
        calls.append((len(bounds), options["sampling_method"], result.nfev))
        return result

    monkeypatch.setattr(scipy.optimize, "shgo", spy)
    found = shgo_best(problem, single(SCORE), [Limit.on("latency_ms", 50.0)])
    assert calls
    assert all(d <= 5 and method == "simplicial" and n > d for d, method, n in calls)
    # Without the complexes nothing is found: they supply every starting point.
    monkeypatch.setattr(scipy.optimize, "shgo", lambda *_, **__: None)
    with pytest.raises(ValueError, match="empty"):
        shgo_best(problem, single(SCORE), [Limit.on("latency_ms", 50.0)])
    assert "evaluations on shgo complexes" in found.message


def test_no_design_within_the_limits_is_said(problem):
    with pytest.raises(InfeasibleError, match="latency_ms <= 1e-06"):
        shgo_best(problem, single(SCORE), [Limit.on("latency_ms", 1e-6)])


@pytest.mark.parametrize("seed", range(20))
def test_small_problems_of_any_shape_are_solved(seed):
    """No monotone structure to lean on: random tables, some states, some stages empty."""
    problem = random_problem(np.random.default_rng(seed), whole=False)
    best = values_of(problem, every_design(problem), [SCORE]).max()
    assert shgo_best(problem, single(SCORE)).values[0, 0] >= 0.9 * best


def test_one_stage_problem():
    rng = np.random.default_rng(0)
    tables = {name: rng.random((5,) * 4) for name in COMBINE}
    problem = SeparableProblem((5,) * 4, (StageTable("all", (), (0, 1, 2, 3), tables),), COMBINE)
    found = certify_front(problem, shgo_front(problem, [SCORE, LATENCY]))
    assert found.gap_percent < 1.0


def test_lookup_agrees_with_evaluate(problem, rng):
    objectives = [SCORE, LATENCY, MEMORY]
    designs = np.stack([rng.integers(n, size=500) for n in problem.sizes], axis=1)
    fast = Lookup(problem, objectives)(designs)
    assert fast == pytest.approx(values_of(problem, designs, objectives), rel=1e-12)


# ------------------------------------------------------------------------- certification
def test_exact_front_has_no_gap_and_part_of_it_has_one(problem):
    exact = exact_front(problem, [SCORE, LATENCY])
    assert hypervolume_gap(exact.values, exact.values, exact.signs) == pytest.approx(0.0, abs=1e-9)
    few = exact.values[:: len(exact) // 5]
    assert 1.0 < hypervolume_gap(few, exact.values, exact.signs) < 50.0


def test_gap_of_a_worse_design_is_its_share(problem):
    exact = exact_front(problem, [SCORE])
    least = np.zeros((1, len(problem.sizes)), dtype=np.int64)
    value = values_of(problem, least, [SCORE])
    found = OptimizerResult("given", (SCORE,), least, value, 1, 0.0)
    share = 100 * (1 - value[0, 0] / exact.values[0, 0])
    assert certify_best(problem, found, single(SCORE)).gap_percent == pytest.approx(share)


def test_front_of_other_objectives_is_refused(problem):
    exact = exact_front(problem, [SCORE])
    with pytest.raises(UsageError, match="other objectives"):
        certify_front(problem, shgo_front(problem, [SCORE, LATENCY]), exact=exact)


def test_result_prints_itself(problem):
    text = str(exact_front(problem, [SCORE, LATENCY]))
    assert "score (max), latency_ms (min)" in text
    assert "gap 0 % (certified)" in text


# ------------------------------------------------------------------------------- nsga2
def test_missing_pymoo_says_what_to_install(problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymoo.algorithms.moo.nsga2", None)
    with pytest.raises(UsageError, match=r"pip install -e '.*\[nsga2\]'"):
        nsga2_front(problem, [SCORE, LATENCY])


@pytest.mark.skipif(importlib.util.find_spec("pymoo") is None, reason="pymoo is not installed")
@pytest.mark.filterwarnings("ignore")
def test_nsga2_finds_a_front_within_limits(problem):
    limits = [Limit.on("memory_kb", 20000.0)]
    found = nsga2_front(problem, [SCORE, LATENCY], limits, population=60, generations=60)
    assert meets(problem, found.indices, limits).all()
    assert certify_front(problem, found, limits).gap_percent < 10.0
