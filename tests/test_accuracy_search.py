"""Searching a calibrated space: the accuracy column, limits on accuracy, FLASH's objective."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from calibrated import PROVENANCE, calibrated_model, made_up, space_file

from flash.accuracy import accuracy_of, fit_space, sample_designs, space_rivals, write_accuracy
from flash.accuracy.kriging import Kriging, Ridge
from flash.errors import InfeasibleError, UsageError
from flash.evaluation import evaluate
from flash.report.reading import read_search
from flash.report.table import render_plain
from flash.search import search
from flash.search.command import main
from flash.search.objective import choose_goal
from flash.spaces.space import load_space
from flash.targets import load_target


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """The model of a small space, and every model fitted to its samples: (model, samples, all)"""
    space = load_space(str(space_file(tmp_path_factory.mktemp("fitted"), small=True)))
    designs = sample_designs(space, 25, 0)
    accuracy = made_up(space, designs)
    model = fit_space(space, designs, accuracy, **PROVENANCE)
    return model, *space_rivals(space, designs, accuracy)


@pytest.fixture(scope="session", params=["flash", "ridge", "kriging"])
def calibrated(request, tmp_path_factory, fitted):
    """(kind, file of a calibrated space, the space, its model)"""
    path = space_file(tmp_path_factory.mktemp(request.param), small=True)
    model, samples, found = fitted
    if request.param != model.regression.kind:
        rival = next(r for r in found if r.model.kind == request.param)
        provenance = replace(model.provenance, loo_rmse=rival.loo_rmse)
        model = replace(model, regression=rival.model, samples=samples, provenance=provenance)
    write_accuracy(path, model)
    return request.param, str(path), load_space(str(path)), model


def designs_of(space, report):
    return np.array([space.design(found.design) for found in report.front])


def test_a_limit_on_accuracy_holds_for_every_design_and_drops_no_better_one(calibrated):
    kind, path, space, _ = calibrated
    least = 84.0
    options = {"max_latency_ms": 30, "optimizer": "exact", "extrapolate": True}
    whole = search("rpi3b", path, **options)
    limited = search("rpi3b", path, min_accuracy_percent=least, **options)
    assert limited.limits["accuracy"] == least
    assert all(design.accuracy.value >= least for design in limited.front)
    # On the front of accuracy (or of the metric), the limit cuts and changes nothing else.
    assert {d.id for d in limited.front} == {d.id for d in whole.front if d.accuracy.value >= least}
    assert len(limited.front) < len(whole.front)
    assert limited.objectives[0] == ("nn_degree" if kind == "kriging" else "accuracy")


def test_accuracies_are_the_models_and_lie_in_their_intervals(calibrated):
    _, path, space, model = calibrated
    report = search("rpi3b", path, max_latency_ms=15, optimizer="exact")
    found = model.predict(space, designs_of(space, report))
    for row, design in enumerate(report.front):
        assert design.accuracy.value == pytest.approx(found.value[row], abs=1e-7)
        assert design.accuracy.low <= design.accuracy.value <= design.accuracy.high
        assert ("widened" in design.accuracy.how) == found.outside[row]
    best = max(report.front, key=lambda design: design.accuracy.value)
    picked = {design.id: design for design in report.front}[report.picks.most_accurate]
    assert picked.accuracy.value == best.accuracy.value
    assert report.accuracy.calibrated
    assert "25 networks trained on a made-up law" in report.accuracy.statement


def test_designs_beyond_the_trained_networks_are_marked_and_never_0_per_cent():
    report = search("rpi3b", max_latency_ms=40, optimizer="exact", extrapolate=True)
    model = accuracy_of(load_space("cifar10-concat"))
    beyond = [design for design in report.front if design.accuracy.extrapolated]
    assert 0 < len(beyond) < len(report.front)
    least = model.samples.accuracy.min()
    assert all(least - 15 < design.accuracy.low < design.accuracy.value for design in beyond)
    text = render_plain(report, width=120)
    marked = [line for line in text.splitlines() if ")^" in line]
    shown = [design for design in report.front if any(design.short in line for line in marked)]
    assert marked
    assert len(shown) == len(marked)
    assert all(design.accuracy.extrapolated for design in shown)
    assert "^ beyond the trained networks" in text
    assert any(
        f"{len(beyond)} of {len(report.front)} designs lie beyond" in n for n in report.notes
    )


def test_no_random_design_beats_the_front_of_accuracy(calibrated):
    kind, path, space, model = calibrated
    if kind == "kriging":
        pytest.skip("the front is one of NN-Degree")
    report = search("rpi3b", path, optimizer="exact", extrapolate=True)
    designs = space.sample(3000, np.random.default_rng(0))
    latency = flash_latency(space, designs)
    accuracy = model.predict(space, designs).value
    front = sorted((d.latency_ms.value, d.accuracy.value) for d in report.front)
    for at, value in zip(latency, accuracy, strict=True):
        reached = max((a for slow, a in front if slow <= at * (1 + 1e-9)), default=0.0)
        assert value <= reached + 1e-6


def test_a_search_stays_within_what_was_trained_and_its_front_is_the_best_there(calibrated):
    kind, path, space, model = calibrated
    report = search("rpi3b", path, optimizer="exact")
    found = model.predict(space, designs_of(space, report))
    assert not found.outside.any()
    assert not any(design.accuracy.extrapolated for design in report.front)
    assert (report.space.searched or 0) <= report.space.size == space.size
    assert read_search(report.to_json()).space == report.space
    wide = search("rpi3b", path, optimizer="exact", extrapolate=True)
    assert model.predict(space, designs_of(space, wide)).outside.any()
    searched = [note for note in report.notes if "networks within what was trained" in note]
    assert len(searched) == 1 and f"of {space.size:,}" in searched[0]
    assert not any("within what was trained" in note for note in wide.notes)
    # A design has one name, whichever of the two searches found it.
    ids = {design.id: design.design for design in wide.front}
    for design in report.front:
        row = space.design(design.design)
        assert design.id == space.identify(row)
        assert ids.get(design.id, design.design) == design.design
    if kind == "kriging":
        return
    designs = space.sample(5000, np.random.default_rng(0))
    inside = ~model.predict(space, designs).outside
    assert inside.any()
    designs = designs[inside & like_those_measured(space, designs)]
    assert len(designs) > 100
    latency = flash_latency(space, designs)
    accuracy = model.predict(space, designs).value
    front = sorted((d.latency_ms.value, d.accuracy.value) for d in report.front)
    for at, value in zip(latency, accuracy, strict=True):
        reached = max((a for slow, a in front if slow <= at * (1 + 1e-9)), default=0.0)
        # Designs smaller than all that were trained may hide one: they are left out of the front.
        assert value <= reached + 0.5


def like_those_measured(space, designs):
    """Most of the time in kernels that were measured alone: where the search stays."""
    board = load_target("rpi3b")
    sums = board.sums(space.table(designs))
    return np.all([one.value(sums) <= one.bound for one in board.measured[0]], axis=0)


def flash_latency(space, designs):
    return evaluate(space, load_target("rpi3b"), designs).latency_ms[0]


def test_an_accuracy_out_of_reach_names_the_best_there_is(calibrated):
    kind, path, _, _ = calibrated
    with pytest.raises(InfeasibleError) as error:
        search("rpi3b", path, min_accuracy_percent=99.9, max_latency_ms=20)
    assert "99.9 %" in str(error.value)
    assert "reach" in str(error.value)
    if kind != "kriging":
        with pytest.raises(InfeasibleError, match="within the other limits; the best reachable"):
            search("rpi3b", path, min_accuracy_percent=90, max_latency_ms=5)


def test_reports_hold_the_interval(calibrated):
    _, path, _, _ = calibrated
    report = search("rpi3b", path, max_latency_ms=10, optimizer="exact")
    assert read_search(report.to_json()) == report
    document = json.loads(report.to_json())
    assert set(document["front"][0]["accuracy"]) == {"value", "low", "high", "how", "extrapolated"}
    row = next(csv.DictReader(io.StringIO(report.to_csv())))
    low, value, high = (float(row[f"accuracy{e}"]) for e in ("_low", "", "_high"))
    assert low <= value <= high


def test_flashs_objective_uses_predicted_accuracy(calibrated):
    kind, path, space, model = calibrated
    if kind == "kriging":
        pytest.skip("no optimizer can search it")
    report = search("rpi3b", path, objective="flash", min_accuracy_percent=85.0)
    (best,) = report.front

    def worth(design):
        return design.accuracy.value / (design.latency_ms.value * design.energy_mj.value)

    others = search(
        "rpi3b", path, objectives=("score", "latency", "energy"), min_accuracy_percent=85.0,
        optimizer="exact",
    )  # fmt: skip
    assert best.accuracy.value >= 85.0
    assert worth(best) >= max(map(worth, others.front)) * (1 - 1e-9)


def test_a_metric_of_ones_own_is_searched_and_still_shows_accuracy(calibrated):
    _, path, _, _ = calibrated
    report = search("rpi3b", path, metric="nn_mass", max_latency_ms=10, optimizer="exact")
    assert report.objectives[0] == "nn_mass"
    assert all(design.accuracy is not None for design in report.front)


def test_chips_and_networks_together_keep_a_limit_on_accuracy(calibrated):
    _, path, _, _ = calibrated
    report = search(
        "systolic", path, hardware="rows=16,cols=16,buffer_kib=256", min_accuracy_percent=85.0,
        max_latency_ms=20, certify_seconds=0.2,
    )  # fmt: skip
    assert all(design.accuracy.value >= 85.0 for design in report.front)


def test_the_command_takes_the_limit_with_and_without_its_unit(calibrated, capsys):
    _, path, _, _ = calibrated
    for text in ("85", "85%"):
        main(["--space", path, "--min-accuracy", text, "--max-latency", "20ms", "--json", "-"])
        document = json.loads(capsys.readouterr().out)
        assert document["limits"]["accuracy"] == 85.0
    with pytest.raises(UsageError, match=r"did you mean 85%"):
        main(["--space", path, "--min-accuracy", "0.85"])


def test_a_score_limit_is_refused_where_the_score_is_accuracy(calibrated):
    kind, path, _, _ = calibrated
    if kind == "kriging":
        pytest.skip("the score is NN-Degree")
    with pytest.raises(UsageError, match="use --min-accuracy"):
        search("rpi3b", path, min_score=100)


def test_the_least_metric_reaches_the_accuracy_and_no_smaller_one_does():
    _, model = calibrated_model()
    bound = model.least_metric(85.0, 1383.0)
    assert model.from_metric(np.array([bound]))[0] >= 85.0
    assert model.from_metric(np.array([bound * (1 - 1e-9)]))[0] < 85.0
    assert model.least_metric(99.99, 1383.0) > 1383.0
    assert accuracy_of(load_space("nasbench-macro")) is None


def test_models_are_of_the_kinds_the_tests_mean(calibrated):
    kind, path, space, _ = calibrated
    found = accuracy_of(space).regression
    assert found.kind == kind
    assert isinstance(found, Ridge) == (kind == "ridge")
    assert isinstance(found, Kriging) == (kind in ("ridge", "kriging"))


def test_a_front_that_would_leave_what_was_trained_is_searched_within_it(tmp_path, monkeypatch):
    """What is left out had hidden designs that were trained: with them the front is longer."""
    path = space_file(tmp_path)
    space = load_space(str(path))
    every = sample_designs(space, 120, 0)
    macs = np.array([space.network(design).macs for design in every])
    designs = every[(macs > 1.5e7) & (macs < 4e7)][:14]
    write_accuracy(path, fit_space(space, designs, made_up(space, designs, 0.1), **PROVENANCE))
    found = search("x86-zen4", str(path), optimizer="exact")
    monkeypatch.setattr(
        "flash.search.pipeline.choose_goal",
        lambda *given, closely: choose_goal(*given, closely=False),
    )
    loosely = search("x86-zen4", str(path), optimizer="exact")
    assert "lie beyond the trained networks" in loosely.optimizer.message
    assert "lie beyond the trained networks" not in found.optimizer.message
    assert not any(design.accuracy.extrapolated for design in found.front)
    assert {design.id for design in loosely.front} < {design.id for design in found.front}


def test_one_chip_whose_costs_are_bounds_is_searched_by_the_models_own_index():
    assert accuracy_of(load_space("cifar10-add")).metric == "accuracy"
    report = search("imc", "cifar10-add", hardware="default")
    assert report.objectives[0] == "accuracy"
    accuracy = [design.accuracy.value for design in report.front]
    assert accuracy == sorted(accuracy) and len(accuracy) > 3
