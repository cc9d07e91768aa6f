"""Trainings that stop and go on: what a part costs, the same bits, and EcoNAS on top of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from searched_table import SIZES, accuracies, table

from flash.command import run_command
from flash.search import command as search_command
from flash.search.budgeted import (
    Candidates,
    FunctionEvaluator,
    TableEvaluator,
    TrainingError,
    all_designs,
    run_strategy,
)
from flash.search.budgeted.econas import _scale
from flash.search.budgeted.training import TrainingEvaluator
from flash.spaces.space import load_space
from flash.training.images import ImageSet
from flash.training.recipe import recipe_named

RUNGS = (0.25, 0.5, 1.0)


def _staged(budget, seed=0):
    """The table, with accuracies on the way that rank worse the earlier they are."""
    designs = all_designs(SIZES)
    final = accuracies(designs)
    noise = np.random.default_rng(seed).normal(size=(2, len(designs)))
    early = np.stack([final - 20 + 1.5 * noise[0], final - 8 + 0.7 * noise[1], final], axis=1)
    return TableEvaluator(budget, designs, early, RUNGS), early


# ------------------------------------------------------------------------------- the budget
def test_a_part_of_a_training_costs_that_part_and_going_on_the_rest():
    found, values = _staged(2)
    designs = all_designs(SIZES)
    np.testing.assert_array_equal(found.extend(designs[[3, 4, 3]], 0), values[[3, 4, 3], 0])
    assert (found.used, found.spent, found.left) == (0.5, 2, 1)
    assert found.extend(designs[[3]], 1)[0] == values[3, 1] and found.used == 0.75
    assert found.accuracy(designs[[3]])[0] == values[3, 2] and found.used == 1.25
    assert found.extend(designs[[3]], 0)[0] == values[3, 2] and found.used == 1.25  # it stays
    assert np.isnan(found.accuracy(designs[[5]])[0]) and found.used == 1.25  # no whole one is left
    assert found.extend(designs[[5]], 1)[0] == values[5, 1] and found.used == 1.75
    assert [trial.share for trial in found.trials] == [1.0, 0.25, 0.5]


def test_a_failure_costs_what_was_asked_for():
    def fails(design):
        raise TrainingError("no")

    found = FunctionEvaluator(3, fails)
    found.rungs = (0.5, 1.0)
    assert np.isnan(found.extend(all_designs(SIZES)[:1], 0)[0])
    assert found.used == 0.5 and found.trials[0].failure == "no"


# ------------------------------------------------------------------------------- the strategy
def test_at_the_source_s_budget_its_population_is_the_source_s():
    assert [_scale(n) for n in (1, 20, 100, 939, 10_000)] == [1, 2, 5, 16, 16]


@pytest.mark.parametrize("budget", [1, 2, 7, 30])
def test_the_budget_holds_and_something_is_trained_to_the_end(budget):
    found, _ = _staged(budget)
    outcome = run_strategy("econas", table(), found, 0)
    assert outcome.used <= budget + 1e-9
    assert outcome.used > budget - 1  # less than a whole training is left
    assert outcome.best.share == 1
    whole = [trial.accuracy for trial in outcome.trials if trial.share == 1]
    assert outcome.best.accuracy == max(whole)
    assert outcome.details["rungs"] == list(RUNGS)


def test_more_designs_are_seen_than_whole_trainings_and_the_best_go_on():
    found, values = _staged(40)
    outcome = run_strategy("econas", table(), found, 1)
    assert outcome.spent > 60
    rows = [np.ravel_multi_index(trial.design, SIZES) for trial in outcome.trials]
    shares = np.array([trial.share for trial in outcome.trials])
    first = values[rows, 0]
    assert first[shares == 1].mean() > first[shares == RUNGS[0]].mean()


def test_it_finds_better_designs_than_whole_trainings_at_equal_cost():
    def best(strategy, seed):
        found, _ = _staged(30, seed)
        return run_strategy(strategy, table(), found, seed).best.accuracy

    seeds = range(12)
    eco, whole, chance = (
        np.array([best(name, seed) for seed in seeds]) for name in ("econas", "ageing", "random")
    )
    assert eco.mean() > chance.mean() + 2 * np.hypot(eco.std(), chance.std()) / np.sqrt(len(seeds))
    assert eco.mean() > whole.mean()


def test_ageing_evolution_learns():
    def best(strategy, seed):
        designs = all_designs(SIZES)
        found = TableEvaluator(150, designs, accuracies(designs))
        return run_strategy(strategy, table(), found, seed).best.accuracy

    ageing, chance = ([best(name, seed) for seed in range(8)] for name in ("ageing", "random"))
    assert np.mean(ageing) > np.mean(chance) + 2 * np.std(chance) / np.sqrt(len(chance))


def test_a_space_of_one_design_is_trained():
    one = Candidates((1, 1), np.zeros((1, 2), dtype=np.int64), ("n",), np.zeros((1, 1)))
    for name in ("econas", "ageing"):
        found = FunctionEvaluator(5, lambda design: 50.0)
        assert run_strategy(name, one, found, 0).spent == 1


# ------------------------------------------------------------------------------ real trainings
pytest.importorskip("torch", reason="needs the extra train")

from image_sets import coloured, train_in_process, write_archive, write_space  # noqa: E402


def _trainings(folder, budget, trainer=None):
    space = load_space(str(write_space(folder)))
    images = ImageSet("colours", *coloured(60), *coloured(30, 1), classes=("r", "g", "b"))
    recipe = recipe_named("quick").varied(epochs=3)
    return TrainingEvaluator(
        budget, space, str(folder / "tiny.toml"), images, recipe,
        trainer or (lambda jobs, place: train_in_process(jobs, place, 1)), folder / "t.csv",
    )  # fmt: skip


def test_a_training_that_stops_twice_ends_as_one_that_does_not(tmp_path):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    parts.mkdir()
    whole.mkdir()
    design = np.zeros((1, 6), dtype=np.int64)
    evaluator = _trainings(parts, 2)
    assert evaluator.rungs == pytest.approx((1 / 3, 2 / 3, 1))
    early = [evaluator.extend(design, rung)[0] for rung in (0, 1)]
    assert not (parts / "t.csv").exists()  # what stopped is no row of a calibration
    assert list((parts / "t.training").glob("*.pt"))
    early.append(evaluator.accuracy(design)[0])
    assert not list(parts.glob("t.training/*.pt"))
    assert _trainings(whole, 2).accuracy(design)[0] == early[-1]
    rows = [(folder / "t.csv").read_text().splitlines()[1].split(",") for folder in (parts, whole)]
    columns = (parts / "t.csv").read_text().splitlines()[0].split(",")
    for name in ("test_accuracy", "validation_accuracy", "curve"):
        at = columns.index(name)
        assert rows[0][at] == rows[1][at]
    # An interrupted search that asks again hears the same, from the table's curve.
    again = _trainings(parts, 2, trainer=None)
    assert [again.extend(design, rung)[0] for rung in (0, 1)] == pytest.approx(early[:2], abs=6e-3)
    assert again.trials[0].reused


def test_econas_trains_on_images_by_name(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flash.training.trainer.train_here", train_in_process)
    space, images = write_space(tmp_path), write_archive(tmp_path)
    arguments = [
        "--space", space, "--target", "rpi3b", "--search", "econas", "--budget", "3",
        "--evaluator", f"calibrate:{images}", "--evaluator-epochs", "3",
        "--candidates", "20", "--out", tmp_path / "out",
    ]  # fmt: skip
    assert run_command(search_command.main, list(map(str, arguments))) == 0
    told = capsys.readouterr().out
    assert "of 3 whole trainings on" in told
    document = json.loads((tmp_path / "out" / "econas.json").read_text())
    shares = [one["share"] for one in document["evaluations"]]
    assert document["budget"]["used"] == pytest.approx(sum(shares), abs=1e-5) and max(shares) == 1
    assert document["budget"]["spent"] > document["budget"]["used"]
    assert run_command(search_command.main, list(map(str, arguments))) == 0
    capsys.readouterr()
    again = json.loads((tmp_path / "out" / "econas.json").read_text())
    assert [e["description"] for e in again["evaluations"]] == [
        e["description"] for e in document["evaluations"]
    ]
