"""Searches with a training budget: better than chance, within the budget, the same every time."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searched_table import NAMES, SIZES, accuracies, evaluator, scores, statistics, table

import flash.search.budgeted.hnas as hnas_module
from flash.errors import UsageError
from flash.optimize.pareto import non_dominated
from flash.search.budgeted import (
    STRATEGIES,
    Candidates,
    FunctionEvaluator,
    TableEvaluator,
    TrainingError,
    all_designs,
    layer_statistics,
    run_strategy,
)
from flash.search.budgeted.aggregate import LogRank
from flash.search.budgeted.breeding import crossed, mutated
from flash.search.budgeted.formula import evolve, ingredients, tau_of
from flash.search.budgeted.pdns import _tournament, novelty_search
from flash.search.budgeted.reinforce import Policy

#: Strategies, the extra they need, and the metrics they are given.
LEARNING = {
    "robot": "sklearn", "hnas": "sklearn", "hnas-published": "sklearn", "weak": "sklearn",
    "weak-mlp": "sklearn", "eznas": "deap",
}  # fmt: skip
METRICS = {
    "hnas": ("deep", "cost"), "hnas-published": ("deep", "cost"),
    "aggregate": ("wide", "deep"), "evolution": ("wide", "deep"),
    "evolution-worst": ("wide", "deep"), "tg-nas": ("wide", "deep"),
}  # fmt: skip


@pytest.fixture(params=sorted(STRATEGIES))
def strategy(request):
    if request.param in LEARNING:
        pytest.importorskip(LEARNING[request.param])
    return request.param


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The published perceptron takes seconds a fit."""
    monkeypatch.setattr("flash.search.budgeted.weak._LAYERS", (32, 32))


def searched(strategy, budget=20, seed=0, candidates=None):
    found = evaluator(budget)
    return run_strategy(
        strategy, candidates or table(METRICS.get(strategy, NAMES)), found, seed
    ), found


@pytest.fixture(scope="module")
def chance():
    """The best accuracies that random search finds."""
    return [searched("random", seed=seed)[0].best.accuracy for seed in range(100)]


def test_every_strategy_beats_random_search_at_equal_budget(strategy, chance):
    slow = ("reinforce", "weak-mlp", "ageing", "econas")
    if strategy in ("random", "hnas", "hnas-published", "autoshrink", *slow):
        pytest.skip("yardsticks, slow learners, a bound tested below, a search for few MACs")
    seeds = range(5)
    best = [searched(strategy, seed=seed)[0].best.accuracy for seed in seeds]
    # Two standard errors of the difference of the means.
    margin = 2 * np.sqrt(np.var(best) / len(best) + np.var(chance) / 5)
    assert np.mean(best) > np.mean(chance) + margin


def test_a_policy_learns_which_values_pay():
    policy, rng = Policy((3, 4), rate=0.05), np.random.default_rng(0)
    for _ in range(300):
        designs = policy.draw(8, rng)
        policy.observe(designs, (designs[:, 0] == 2) + 0.5 * (designs[:, 1] == 1))
    assert policy.probabilities[0][2] > 0.9 and policy.probabilities[1][1] > 0.9
    assert all(p.sum() == pytest.approx(1) for p in policy.probabilities)


def test_a_policy_s_step_is_the_gradient_of_the_log_probability():
    policy = Policy((2,), rate=0.01)
    policy.observe(np.array([[0]]), np.array([1.0]))  # the baseline is the first reward itself
    assert np.array_equal(policy.logits[0], [0.0, 0.0])
    policy.observe(np.array([[0]]), np.array([2.0]))
    # Advantage 1 times (1 - 1/2, 0 - 1/2): up for what was drawn, as much down for the other.
    assert policy.logits[0][0] == pytest.approx(-policy.logits[0][1]) and policy.logits[0][0] > 0


def test_released_tournaments_of_pdns_judge_by_another_s_fitness():
    fitness = np.array([0.0, 1.0, 2.0, 3.0])
    kept = {
        released: [
            _tournament(fitness, 2, np.random.default_rng(s), released=released).tolist()
            for s in range(40)
        ]
        for released in (False, True)
    }
    # The best of all wins every fair tournament; as released it is sometimes thrown away.
    assert all(3 in winners for winners in kept[False])
    assert not all(3 in winners for winners in kept[True])


def test_hnas_as_published_probes_both_ends_of_nu_in_a_pool_that_grows(monkeypatch):
    """With nu = 0 the smallest M of the pool leads, with nu = 5,000 the largest."""
    pytest.importorskip("sklearn")
    designs = all_designs(SIZES)
    metric = np.random.default_rng(0).permutation(np.linspace(1.0, 5000.0, len(designs)))
    candidates = Candidates(SIZES, designs, ("M",), metric[:, None])
    rows = {tuple(design): row for row, design in enumerate(designs.tolist())}

    def first_five():
        trainings = TableEvaluator(20, designs, metric)
        trials = run_strategy("hnas-published", candidates, trainings, 0).trials[:5]
        return metric[[rows[tuple(trial.design)] for trial in trials]]

    step = 5000 / len(designs)
    assert np.abs(first_five() - np.linspace(0, 5000, 5)).max() < 2 * step
    few = dataclasses.replace(hnas_module._PUBLISHED, growth=3)
    monkeypatch.setattr(hnas_module, "_PUBLISHED", few)
    assert np.abs(first_five() - np.linspace(0, 5000, 5)).max() > 10 * step


def test_hnas_finds_the_best_value_of_its_metric_among_outliers():
    """Accuracy peaks at M = 30, where networks of huge M stretch the range to 5,000."""
    pytest.importorskip("sklearn")
    designs = all_designs(SIZES)
    rng = np.random.default_rng(0)
    metric = np.exp(rng.normal(3, 1.5, len(designs)))
    metric[:10] = np.linspace(3000, 5000, 10)
    accuracy = 94 - np.abs(np.log(metric / 30)) + 0.5 * rng.normal(size=len(designs))
    candidates = Candidates(SIZES, designs, ("M",), metric[:, None])

    def found(strategy, seed):
        trainings = TableEvaluator(12, designs, accuracy)
        return run_strategy(strategy, candidates, trainings, seed).best.accuracy

    hnas = [found("hnas", seed) for seed in range(3)]
    chance = [found("random", seed) for seed in range(50)]
    assert np.mean(hnas) > np.mean(chance)


@pytest.mark.parametrize("budget", [1, 8, 23])
def test_the_budget_is_never_exceeded_and_no_design_is_paid_twice(strategy, budget):
    if strategy == "eznas" and budget < 8:
        pytest.skip("refused below 8")
    found = searched(strategy, budget)[0]
    assert 1 <= found.spent <= budget
    designs = [trial.design for trial in found.trials]
    assert len(set(designs)) == len(designs)
    if strategy not in ("pdns", "autoshrink"):  # an archive, or edges, may be fewer
        assert found.spent == budget


def test_the_same_seed_gives_the_same_search_and_another_another(strategy):
    first, again = (searched(strategy, 10)[0] for _ in range(2))
    assert first == again
    if strategy not in ("aggregate", "autoshrink"):
        # Deterministic rankings may still train the same designs.
        others = (searched(strategy, 10, seed)[0].trials for seed in (1, 2, 3))
        assert (
            "evolution" in strategy
            or strategy == "tg-nas"
            or any(other != first.trials for other in others)
        )


def test_a_budget_beyond_the_candidates_trains_them_all(strategy):
    found = searched(strategy, 60, candidates=table(METRICS.get(strategy, NAMES), slice(0, 30)))[0]
    assert found.spent <= 30
    if strategy not in (
        "pdns",
        "hnas",
        "hnas-published",
        "evolution",
        "evolution-worst",
        "autoshrink",
        "tg-nas",
    ):
        assert found.spent == 30


def test_failed_trainings_are_skipped_and_counted(strategy):
    def half(design):
        if design[0] % 2:
            raise TrainingError("odd")
        return float(accuracies(design[None])[0])

    found = run_strategy(
        strategy, table(METRICS.get(strategy, NAMES)), FunctionEvaluator(12, half), 0
    )
    assert found.spent <= 12
    assert found.failed == sum(trial.design[0] % 2 for trial in found.trials)
    assert found.best is None or found.best.design[0] % 2 == 0


def test_python_s_random_numbers_are_left_alone():
    pytest.importorskip("deap")
    state = random.getstate()
    searched("eznas", 10)
    assert random.getstate() == state


def test_an_unknown_strategy_is_named_with_the_closest():
    with pytest.raises(UsageError, match="did you mean 'robot'"):
        run_strategy("robt", table(), evaluator(5), 0)


def test_eznas_says_what_it_needs():
    with pytest.raises(UsageError, match="layer statistics"):
        designs = all_designs(SIZES)
        run_strategy("eznas", Candidates(SIZES, designs, NAMES, scores(designs)), evaluator(9), 0)
    with pytest.raises(UsageError, match="8 or more"):
        searched("eznas", 7)


# -------------------------------------------------------------------------------- evaluators


def test_repeats_are_free_and_what_is_beyond_the_budget_is_not_trained():
    designs = all_designs(SIZES)
    found = evaluator(3)
    values = found.accuracy(designs[[5, 5, 9, 7, 8]])
    assert np.isnan(values).tolist() == [False, False, False, False, True]
    assert (found.spent, found.left) == (3, 0)
    np.testing.assert_array_equal(values[:4], accuracies(designs[[5, 5, 9, 7]]))
    assert np.isnan(found.known(designs[[8]])).all()
    assert found.tried(designs[[5, 8]]).tolist() == [True, False]


def test_a_design_outside_the_table_is_a_failure():
    designs = all_designs(SIZES)
    found = TableEvaluator(2, designs[:5], np.arange(5.0))
    assert np.isnan(found.accuracy(designs[[7]])).all()
    assert found.trials[0].failure


@pytest.mark.parametrize("budget", [0, -1, 2.5, True])
def test_a_budget_is_a_positive_whole_number(budget):
    with pytest.raises(UsageError, match="budget"):
        evaluator(budget)


# -------------------------------------------------------------------------------- candidates


def test_candidates_are_checked():
    designs = all_designs((2, 2))
    with pytest.raises(UsageError, match="listed twice"):
        Candidates((2, 2), designs[[0, 0]], ["a"], np.zeros((2, 1)))
    with pytest.raises(UsageError, match="no finite number for 1"):
        Candidates((2, 2), designs[:2], ["a"], np.array([[np.nan], [1.0]]))
    with pytest.raises(UsageError, match="shape"):
        Candidates((2, 2), designs, ["a"], np.zeros((2, 1)))
    with pytest.raises(UsageError, match="at least one candidate"):
        Candidates((2, 2), designs[:0], ["a"], np.zeros((0, 1)))


def test_designs_outside_the_list_are_scored_once_and_only_if_admitted():
    designs = all_designs((3, 3))
    asked = []

    def scoring(rows):
        asked.extend(map(tuple, rows))
        return rows.sum(axis=1, keepdims=True).astype(float)

    found = Candidates(
        (3, 3), designs[:2], ["sum"], scoring(designs[:2]), scoring, lambda rows: rows[:, 0] < 2
    )
    asked.clear()
    assert found.admitted(designs[[0, 4, 8]]).tolist() == [True, True, False]
    for _ in range(2):
        np.testing.assert_array_equal(found.score(designs[[0, 4, 4]])[:, 0], [0, 2, 2])
    assert asked == [(1, 1)]
    np.testing.assert_array_equal(found.bred(), [[1, 1]])


# ----------------------------------------------------------------------------- the parts


@given(st.integers(0, 2**32 - 1))
def test_the_log_rank_aggregate_is_the_sum_of_logarithms_of_ranks(seed):
    values = np.random.default_rng(seed).permuted(np.arange(20.0).repeat(2).reshape(20, 2), axis=0)
    ranks = values + 1  # 0 ... 19 without ties
    expected = np.log(ranks / 20).sum(axis=1)
    np.testing.assert_allclose(LogRank(values)(values), expected, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_breeding_stays_inside_the_space(seed, sizes):
    rng = np.random.default_rng(seed)
    parents = np.stack([rng.integers(n, size=10) for n in sizes], axis=1)
    children = mutated(np.concatenate(crossed(parents[:5], parents[5:], rng)), np.array(sizes), rng)
    assert children.shape == parents.shape
    assert ((children >= 0) & (children < sizes)).all()


@given(st.integers(0, 2**32 - 1))
def test_crossover_only_exchanges_genes(seed):
    rng = np.random.default_rng(seed)
    mothers, fathers = rng.integers(9, size=(2, 6, 5))
    children = crossed(mothers, fathers, rng)
    np.testing.assert_array_equal(
        np.sort(np.stack(children), axis=0), np.sort(np.stack([mothers, fathers]), axis=0)
    )


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_novelty_archive_holds_what_is_not_dominated(seed):
    candidates = table()
    signs = [-1.0, -1.0, -1.0, 1.0]
    archive = novelty_search(candidates, signs, np.random.default_rng(seed), 10, 6)
    assert archive.evaluations == 60
    assert len(np.unique(archive.designs, axis=0)) == len(archive.designs)
    distinct = np.unique(archive.points, axis=0)
    assert non_dominated(distinct).all()
    np.testing.assert_array_equal(candidates.score(archive.designs) * signs, archive.points)


def test_robot_finds_weights_that_lead_to_the_best_design():
    pytest.importorskip("sklearn")
    designs = all_designs((6, 6))
    metrics = designs.astype(float)
    target = metrics @ [1.0, -1.0]  # best where the first is high and the second low
    found = run_strategy(
        "robot", Candidates((6, 6), designs, ["up", "down"], metrics),
        TableEvaluator(8, designs, target), 0,
    )  # fmt: skip
    assert found.best.design == (5, 0)
    assert found.details["weights"]["up"] > 0 > found.details["weights"]["down"]


# -------------------------------------------------------------------------------- formulas


def test_an_evolved_formula_is_no_worse_than_its_best_ingredient_on_held_out_designs():
    pytest.importorskip("deap")
    designs = all_designs(SIZES)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(designs))
        seen, held_out = designs[order[:40]], designs[order[40:]]
        formula = evolve(statistics(seen), accuracies(seen), rng)
        plain = ingredients(statistics(held_out))
        best = max(abs(tau_of(values, accuracies(held_out))) for values in plain.values())
        assert tau_of(formula(statistics(held_out)), accuracies(held_out)) >= best


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_formulas_are_finite_numbers_whatever_the_statistics(seed):
    pytest.importorskip("deap")
    rng = np.random.default_rng(seed)
    found = statistics(all_designs(SIZES)[rng.permutation(1024)[:12]])
    scale = 10.0 ** rng.integers(-12, 13, size=(3, 1, 1))
    present = rng.uniform(size=found.present.shape) < 0.7
    wild = type(found)(found.names, found.values * scale, present)
    formula = evolve(wild, rng.normal(size=12), rng, population=10, generations=3)
    assert np.isfinite(formula(wild)).all()
    assert formula(wild).shape == (12,)


def test_layer_statistics_count_live_layers_only(space, rng):
    designs = space.sample(3, rng)
    found = layer_statistics(space, designs)
    assert np.isfinite(found.values).all()
    network_table = space.table(designs)
    params = (2.0 ** found.values[found.names.index("params")] - 1).sum(axis=1)
    live = (network_table.params * network_table.live).sum(axis=0)
    np.testing.assert_allclose(params, live, rtol=1e-9)
    np.testing.assert_array_equal(found.present.sum(axis=1), network_table.live.sum(axis=0))
