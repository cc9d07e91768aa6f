"""Accuracy models: monotone where they must be, honest intervals, and the same after a file."""

from dataclasses import replace

import numpy as np
import pytest
from calibrated import PROVENANCE, calibrated_model, made_up, space_file
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import curve_fit
from scipy.stats import binom

from flash.accuracy import (
    accuracy_of,
    accuracy_text,
    fit_space,
    sample_designs,
    space_rivals,
    why_no_accuracy,
    write_accuracy,
)
from flash.accuracy.conformal import intervals
from flash.accuracy.features import CELL_BARE, CELL_SUMS, design_features, size_problem
from flash.accuracy.fit import choose, rivals
from flash.accuracy.kriging import Kriging, Ridge
from flash.accuracy.monotone import FlashForm, RisingLine, theta
from flash.accuracy.regression import Samples, Saturation
from flash.accuracy.tables import read_accuracy_cells
from flash.errors import InputError, SpaceError, UsageError
from flash.estimate import estimate
from flash.evaluation import measure
from flash.spaces.space import load_space


def drawn(rng, n=25, noise=1.0, features=3):
    """Samples whose accuracy rises with the first feature and bends with the second."""
    x = rng.normal(size=(n, features)) + 5
    y = 90 - 20 * np.exp(-(x[:, 0] - 4)) / 3 + 2 * np.sin(x[:, 1]) + noise * rng.normal(size=n)
    return Samples(tuple("abc"[:features]), x, np.clip(y, 0, 100))


MODELS = {
    "flash": lambda s: FlashForm(s, "a"),
    "line": lambda s: RisingLine(s, "a"),
    "kriging": lambda s: Kriging(s, (("a", "b"), ("c",)), ("a",)),
    "ridge": lambda s: Ridge(s, ("a", "b", "c")),
}


def without(samples, i):
    keep = np.arange(len(samples)) != i
    return replace(samples, rows=samples.rows[keep], accuracy=samples.accuracy[keep])


# ------------------------------------------------------------------------------------- models
def test_flash_form_fits_as_well_as_scipy_curve_fit():
    score = np.exp(np.random.default_rng(0).uniform(4, 7, 60))
    truth = theta(np.array([1.2, 90.0, -2.0, 0.1]), score)
    noisy = truth + 0.004 * np.random.default_rng(1).normal(size=60)
    samples = Samples(("g",), np.log(score)[:, None], 100 * noisy)
    model = FlashForm(samples, "g")

    def form(g, a, b, c, d):
        return 1 / (a + np.exp(b / g + c)) + d

    start = model.coefficients
    best, _ = curve_fit(form, score, noisy, p0=start, maxfev=20_000)
    ours = np.sqrt(np.mean((model.predict(samples.rows) / 100 - noisy) ** 2))
    theirs = np.sqrt(np.mean((form(score, *best) - noisy) ** 2))
    assert ours <= 1.01 * theirs
    assert np.abs(model.predict(samples.rows) / 100 - truth).max() < 0.004


@settings(max_examples=6, deadline=None)
@given(
    logs=arrays(np.float64, 12, elements=st.floats(0, 8), unique=True),
    accuracy=arrays(np.float64, 12, elements=st.floats(5, 99)),
    more=arrays(np.float64, 30, elements=st.floats(-3, 12)),
)
def test_models_of_one_score_never_fall(logs, accuracy, more):
    samples = Samples(("a",), logs[:, None], accuracy)
    for model in (FlashForm(samples, "a"), RisingLine(samples, "a")):
        predicted = model.predict(np.sort(more)[:, None])
        assert (np.diff(predicted) >= -1e-9).all()
        assert ((predicted >= 0) & (predicted <= 100)).all()


@pytest.mark.parametrize("kind", MODELS)
def test_left_out_predictions_are_those_of_a_fit_without_the_sample(kind):
    samples = drawn(np.random.default_rng(3))
    model = MODELS[kind](samples)
    scale = Saturation.of(samples)
    for i in (0, 11, 24):
        fewer = without(samples, i)
        if kind in ("kriging", "ridge"):
            # Same weights and scalings, solved afresh; flash adds a millionth to the trend.
            expected = textbook_kriging(model, fewer, samples, i, scale)
        elif kind == "line":
            continue
        else:
            expected = FlashForm(fewer, "a").predict(samples.rows[i : i + 1, :1])[0]
        assert model.left_out()[i] == pytest.approx(expected, abs=0.02 if kind == "flash" else 1e-4)
        columns = [samples.names.index(name) for name in model.features]
        at_itself = model.without(samples.rows[i : i + 1, columns])[i, 0]
        assert at_itself == pytest.approx(model.left_out()[i], abs=1e-8)


def textbook_kriging(model, fewer, samples, i, scale):
    """Prediction at sample i by generalised least squares from the other samples, averaged."""
    centre, spread = samples.rows.mean(axis=0), samples.rows.std(axis=0)
    x, at = (fewer.rows - centre) / spread, (samples.rows[i] - centre) / spread
    blocks = [slice(0, 3)] if model.kind == "ridge" else [slice(0, 2), slice(2, 3)]
    trend, here = np.ones((len(x), 1)), np.ones(1)
    if model.kind == "kriging":
        trend, here = np.column_stack([trend, x[:, 0]]), np.array([1.0, at[0]])
        at[1:] = np.clip(at[1:], x[:, 1:].min(axis=0), x[:, 1:].max(axis=0))
    u, total = scale.apply(fewer.accuracy), 0.0
    for *lines, smooth, weight in model.mixture:
        reach = 2 * 3 * model.length**2
        covariance = np.eye(len(x)) + smooth * np.exp(
            -((x[:, None] - x[None]) ** 2).sum(-1) / reach
        )
        near = smooth * np.exp(-((x - at) ** 2).sum(-1) / reach)
        for block, variance in zip(blocks, lines, strict=True):
            width = block.stop - block.start
            covariance += variance * x[:, block] @ x[:, block].T / width
            near += variance * x[:, block] @ at[block] / width
        beta = np.linalg.solve(
            trend.T @ np.linalg.solve(covariance, trend), trend.T @ np.linalg.solve(covariance, u)
        )
        total += weight * (here @ beta + near @ np.linalg.solve(covariance, u - trend @ beta))
    return scale.undo(total)


def test_beyond_the_samples_only_the_score_goes_on():
    samples = drawn(np.random.default_rng(6))
    model = Kriging(samples, (("a", "b"), ("c",)), ("a",))
    edge = np.tile(samples.rows.max(axis=0), (4, 1))
    edge[:, 0] += [0, 0.1, 0.1, 0.1]
    edge[2:, 1] += [1, 50]
    edge[3, 2] += 50
    predicted, lacking = model.predict(edge), model.without(edge)
    assert predicted[1] != predicted[0]
    assert predicted[2:] == pytest.approx(predicted[1], abs=1e-12)
    assert lacking[:, 2:] == pytest.approx(np.repeat(lacking[:, 1:2], 2, axis=1), abs=1e-12)


def test_ridge_rises_with_its_index():
    samples = drawn(np.random.default_rng(4))
    model = Ridge(samples, ("a", "b", "c"))
    x = np.random.default_rng(5).normal(size=(200, 3)) + 5
    index = x @ model.index_weights
    assert model.from_index(index) == pytest.approx(model.predict(x), abs=1e-9)
    order = np.argsort(index)
    assert (np.diff(model.predict(x)[order]) >= -1e-9).all()


def test_a_model_an_optimizer_can_search_wins_when_errors_are_alike():
    samples = drawn(np.random.default_rng(6), n=40)
    found = rivals(samples, (("a", "b"), ("c",)), (("a", "b", "c"),))
    least = min(found, key=lambda rival: rival.loss)
    assert choose(found).searchable
    assert choose(found).loss <= 1.3 * least.loss


def test_a_preferred_model_gives_way_only_to_clearly_smaller_errors():
    samples = drawn(np.random.default_rng(6), n=40)
    found = rivals(samples, (("a", "b"), ("c",)), (("a", "b", "c"),))
    kriging = next(r for r in found if r.model.kind == "kriging")
    noise = np.random.default_rng(0).normal(size=40)
    alike = replace(kriging, scaled=found[0].scaled * (0.99 + 0.2 * noise))
    better = replace(kriging, scaled=found[0].scaled * 0.3)
    assert choose([found[0], alike]) is found[0]
    assert choose([found[0], better]) is better


@pytest.mark.parametrize("broken", ["nan", "few"])
def test_samples_that_say_nothing_are_refused(broken):
    samples = drawn(np.random.default_rng(0), n=7 if broken == "few" else 25)
    if broken == "nan":
        samples.accuracy[3] = np.nan
    with pytest.raises(UsageError, match="too few" if broken == "few" else "not finite"):
        rivals(samples, (("a", "b"),))


# ---------------------------------------------------------------------------------- intervals
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(sorted(MODELS)))
def test_intervals_contain_their_value_and_stay_between_0_and_100(seed, kind):
    rng = np.random.default_rng(seed)
    samples = drawn(rng, n=15, noise=4.0)
    model = MODELS[kind](samples)
    rows = 5 + 6 * rng.normal(size=(50, 3))
    columns = [samples.names.index(name) for name in model.features]
    value, low, high, _ = intervals(model, samples, rows, rows[:, columns])
    assert ((low >= 0) & (low <= value) & (value <= high) & (high <= 100)).all()


@pytest.mark.parametrize("kind", ["kriging", "ridge", "line"])
def test_90_per_cent_intervals_cover_90_per_cent(kind):
    inside, trials = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        samples, fresh = drawn(rng, 25), drawn(rng, 20)
        model = MODELS[kind](samples)
        columns = [samples.names.index(name) for name in model.features]
        _, low, high, outside = intervals(model, samples, fresh.rows, fresh.rows[:, columns])
        inside += int(((low <= fresh.accuracy) & (fresh.accuracy <= high))[~outside].sum())
        trials += int((~outside).sum())
    # Trials of one seed share a fit, so an effective number a quarter as large.
    low, high = binom.interval(0.999, trials // 4, 0.9)
    assert low / (trials // 4) <= inside / trials <= high / (trials // 4)


def test_beyond_the_samples_intervals_widen_and_are_flagged():
    samples = drawn(np.random.default_rng(7))
    model = RisingLine(samples, "a")
    middle = samples.rows.mean(axis=0)
    rows = np.stack([middle, middle + [0, 9, 0], middle + [0, 20, 0]])
    _, low, high, outside = intervals(model, samples, rows, rows[:, :1])
    width = high - low
    assert outside.tolist() == [False, True, True]
    assert width[0] < width[1] < width[2]


def test_far_beyond_the_samples_an_interval_goes_down_to_what_they_reached_and_no_further():
    samples = drawn(np.random.default_rng(7))
    model = RisingLine(samples, "a")
    rows = samples.rows.mean(axis=0) + np.array([[0, 1e3, 0], [0, 1e4, 0], [-1e3, 0, 0]])
    _, low, _, _ = intervals(model, samples, rows, rows[:, :1])
    error = np.abs(model.left_out() - samples.accuracy).max()
    assert low[:2] == pytest.approx([samples.accuracy.min() - error] * 2)
    assert low[2] == 0  # itself predicted far below all of them


# ------------------------------------------------------------------------------ spaces, files
def test_bare_cells_are_those_without_skip_channels():
    space = load_space("cifar10-concat")
    designs = np.array([
        space.design(space.family.parse(text))
        for text in ("w=8,16,32 d=3,4,5 t=0,0,0", "w=8,16,32 d=3,4,5 t=8,0,32")
    ])  # fmt: skip
    found = design_features(space, designs, CELL_BARE)
    assert found.tolist() == [[3, 12], [1, 4]]


def test_cell_sums_are_those_of_the_whole_layer_table(space):
    designs = space.sample(30, np.random.default_rng(0))
    whole = size_problem(space).evaluate(designs)
    networks = [space.network(design) for design in designs]
    expected = np.zeros((len(designs), 2))
    for row, network in enumerate(networks):
        for cell in {x.cell for x in network.layers if x.cell >= 0}:
            convs = [x for x in network.layers if x.cell == cell and x.op == "conv"]
            if convs:
                width = np.mean([x.out_channels for x in convs])
                expected[row] += np.log(len(convs)), np.log(width)
    assert whole["cell_depth"] == pytest.approx(expected[:, 0])
    assert whole["cell_width"] == pytest.approx(expected[:, 1])


def test_features_are_those_of_measure_and_the_network():
    space = load_space("cifar10-add")
    designs = space.sample(20, np.random.default_rng(0))
    found = design_features(space, designs, ("log_nn_degree", "log_params", "log_macs", "log_sed"))
    known = measure(space, designs)
    assert np.exp(found[:, 0]) == pytest.approx(known.nn_degree)
    assert np.exp(found[:, 1]) == pytest.approx(known.params)
    assert np.exp(found[:, 2]) == pytest.approx(known.macs)


def test_shape_features_are_those_of_the_networks_convolutions(space):
    designs = space.sample(10, np.random.default_rng(2))
    names = ("log_activations", "mean_width", "mean_side", "spread_width", "spread_side")
    found = design_features(space, designs, names)
    for row, design in zip(found, designs, strict=True):
        network = space.network(design)
        whole = network.live() if len(space.family.stages) == 1 else network
        convs = [layer for layer in whole.layers if layer.op == "conv"]
        wide = np.log([layer.out_channels for layer in convs])
        large = np.log([layer.out_height * layer.out_width for layer in convs]) / 2
        written = np.log(np.exp(wide + 2 * large).sum())
        expected = (written, wide.mean(), large.mean(), wide.std(), large.std())
        assert row == pytest.approx(expected, abs=1e-6)


def test_a_calibrated_space_predicts_a_law_it_was_not_shown():
    space, model = calibrated_model()
    fresh = sample_designs(space, 40, seed=99)
    predicted = model.predict(space, fresh)
    truth = made_up(space, fresh, noise=0.0)
    assert np.sqrt(np.mean((predicted.value - truth) ** 2)) < 0.8
    assert model.provenance.networks == 25


@pytest.fixture(scope="module")
def samples():
    """What the calibrated model was chosen on."""
    space, _ = calibrated_model()
    designs = sample_designs(space, 25, 0)
    return space_rivals(space, designs, made_up(space, designs))[0]


@pytest.mark.parametrize("kind", ["flash", "line", "ridge", "kriging"])
def test_a_model_comes_back_from_its_file(tmp_path, kind, samples):
    space, model = calibrated_model()
    model, names = replace(model, samples=samples), samples.names
    made = {
        "flash": lambda s: FlashForm(s, "log_nn_degree"),
        "line": lambda s: RisingLine(s, "log_nn_degree"),
        "ridge": lambda s: Ridge(s, CELL_SUMS),
        "kriging": lambda s: Kriging(s, (names[:3], names[3:5]), names[:1]),
    }[kind](model.samples)
    error = float(np.sqrt(np.mean((made.left_out() - model.samples.accuracy) ** 2)))
    model = replace(model, regression=made, provenance=replace(model.provenance, loo_rmse=error))
    path = space_file(tmp_path)
    write_accuracy(path, model)
    again = accuracy_of(load_space(str(path)))
    designs = space.sample(50, np.random.default_rng(0))
    before, after = model.predict(space, designs), again.predict(space, designs)
    for name in ("value", "low", "high"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-12)
    assert again.provenance == model.provenance
    assert accuracy_text(again) == accuracy_text(model)


def test_writing_again_replaces_the_section_and_nothing_else(tmp_path):
    path = space_file(tmp_path)
    before = path.read_text(encoding="utf-8")
    _, model = calibrated_model()
    write_accuracy(path, model)
    once = path.read_text(encoding="utf-8")
    write_accuracy(path, model)
    assert path.read_text(encoding="utf-8") == once
    assert once.startswith(before.rstrip("\n"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("coverage = 0.9", "coverage = nan", "accuracy.coverage must be a number"),
        ("epochs = 1", "epochs = 1\nepoch = 2", "unknown key 'accuracy.epoch'"),
        ('data = "a made-up law"', "", "'accuracy.data' is missing"),
        ("networks = 25", "networks = 24", "accuracy.networks must be a whole number from 25"),
        ("accuracies = [", "accuracies = [101.0, ", "accuracy.rows has 25 networks, accuracies 26"),
        ("loo_rmse = ", "loo_rmse = 9", "accuracy.loo_rmse is 9"),
        ('"log_params"', '"log_parms"', r"accuracy.columns has 'log_parms' \(did you mean"),
        ("rows = [\n    [", "rows = [\n    [inf, ", "accuracy.rows must hold finite numbers"),
    ],
)
def test_a_wrong_section_is_one_clear_line(tmp_path, old, new, message):
    path = space_file(tmp_path)
    write_accuracy(path, calibrated_model()[1])
    text = path.read_text(encoding="utf-8")
    assert old in text
    head, _, section = text.partition("[accuracy]")
    path.write_text(f"{head}[accuracy]{section.replace(old, new, 1)}", encoding="utf-8")
    with pytest.raises(SpaceError, match=message) as error:
        accuracy_of(load_space(str(path)))
    assert "\n" not in str(error.value)


def test_accuracies_outside_0_to_100_are_refused():
    space = load_space("cifar10-concat")
    designs = sample_designs(space, 10, 0)
    with pytest.raises(UsageError, match="per cent, from 0 to 100"):
        fit_space(space, designs, np.full(10, np.nan), **PROVENANCE)


def test_a_design_trained_twice_counts_once_with_its_mean():
    space = load_space("cifar10-concat")
    designs = sample_designs(space, 12, 0)
    accuracy = made_up(space, designs)
    twice = np.concatenate([designs, designs])
    model = fit_space(space, twice, np.concatenate([accuracy - 1, accuracy + 1]), **PROVENANCE)
    once = fit_space(space, designs, accuracy, **PROVENANCE)
    assert accuracy_text(model) == accuracy_text(once)


# --------------------------------------------------------------------------------------- the task
@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("\nclasses = 10\n", "\nclasses = 100\n", "for 10 classes, not 100"),
        ("\nchannels = 3\n", "\nchannels = 1\n", "for images of 3x32x32, not 1x32x32"),
        ("\nheight = 32\n", "\nheight = 64\n", "for images of 3x32x32, not 3x64x32"),
    ],
)
def test_a_copy_of_a_space_for_another_task_has_no_accuracy(tmp_path, old, new, why):
    path = space_file(tmp_path)
    write_accuracy(path, calibrated_model()[1])
    assert accuracy_of(load_space(str(path))) is not None
    assert why_no_accuracy(load_space(str(path))) == ""
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    copy = load_space(str(path))
    assert accuracy_of(copy) is None
    assert why in why_no_accuracy(copy) and "flash.calibrate" in why_no_accuracy(copy)


def test_a_section_that_does_not_say_its_task_is_no_accuracy(tmp_path):
    path = space_file(tmp_path)
    write_accuracy(path, calibrated_model()[1])
    text = path.read_text(encoding="utf-8").replace("input_shape = [3, 32, 32]\n", "")
    head, _, section = text.partition("[accuracy]")
    path.write_text(f"{head}[accuracy]{section.replace('classes = 10', '')}", encoding="utf-8")
    space = load_space(str(path))
    assert accuracy_of(space) is None and "does not say its task" in why_no_accuracy(space)


@pytest.mark.parametrize(
    ("accuracy", "message"),
    [
        (np.full(11, 10.0), r"0 of 11 trained networks learned something \(above 14.5 %, where"),
        (np.array([60.0] * 7 + [10.0] * 5), "7 of 12 trained networks learned something"),
        (np.full(11, 50.0), "all 11 trained networks that learned have 50 %: no spread"),
    ],
)
def test_networks_that_teach_nothing_are_refused(accuracy, message):
    space = load_space("cifar10-concat")
    designs = sample_designs(space, len(accuracy), 0)
    with pytest.raises(InputError, match=message):
        fit_space(space, designs, accuracy, **PROVENANCE)


# -------------------------------------------------------------------------------- others' tables
def test_accuracies_are_read_in_per_cent_and_failed_trainings_are_nan():
    places = ["line 2", "line 3", "line 4"]
    values, fractions = read_accuracy_cells(["93.5", "", "nan"], places, 10.0)
    assert values[0] == 93.5 and np.isnan(values[1:]).all() and not fractions
    values, fractions = read_accuracy_cells(["0.935", " 0.5", ""], places, 10.0)
    assert values[:2].tolist() == [93.5, 50.0] and np.isnan(values[2]) and fractions
    # Half a per cent of a thousand classes is five times chance.
    many = ["0.5", *["70.0"] * 20]
    assert read_accuracy_cells(many, [""] * 21, 0.1)[0][0] == 0.5


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["93.5", "0.68"], "line 3: 0.68 beside 93.5: fractions and per cents in one table"),
        (["93.5", "108"], "line 3: expected an accuracy from 0 to 100 per cent, got 108"),
        (["-1", "50"], "line 2: expected an accuracy from 0 to 100"),
        (["93.5", "inf"], "line 3: the accuracy 'inf' is no number"),
        (["93.5", "high"], "line 3: the accuracy 'high' is no number"),
    ],
)
def test_accuracies_of_two_scales_or_none_are_refused_with_their_line(cells, message):
    with pytest.raises(InputError, match=message):
        read_accuracy_cells(cells, ["line 2", "line 3"], 10.0)


# --------------------------------------------------------------------------------- in estimates
def test_estimates_of_a_calibrated_space_have_its_accuracy(tmp_path, capsys):
    path = space_file(tmp_path)
    space, model = calibrated_model()
    write_accuracy(path, model)
    designs = sample_designs(space, 5, 3)
    texts = [space.describe(design) for design in designs]
    predicted = model.predict(space, designs)
    for target in (None, "rpi3b"):
        rows = estimate(space=str(path), designs=texts, target=target)
        assert [row["accuracy"] for row in rows] == pytest.approx(predicted.value)
        assert [row["accuracy_low"] for row in rows] == pytest.approx(predicted.low)
        assert [row["accuracy_high"] for row in rows] == pytest.approx(predicted.high)
        assert [row["accuracy_extrapolated"] for row in rows] == predicted.outside.tolist()
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\nclasses = 10\n", "\nclasses = 100\n", 1), encoding="utf-8")
    capsys.readouterr()
    assert "accuracy" not in estimate(space=str(path), designs=texts)[0]
    assert "no accuracy: the accuracy model of space cifar10-concat is for 10" in (
        capsys.readouterr().err
    )


def test_few_samples_start_from_the_score_and_leave_it_for_good_reasons_only():
    rng = np.random.default_rng(3)
    score, size = np.exp(rng.normal(10, 0.5, (2, 6)))
    names = ("log_rank_score", "log_macs")
    rows = np.log(np.stack([score, size], axis=1))
    accuracy = 100 - np.exp(8 - 0.6 * np.log(score) + 0.3 * rng.normal(size=6))
    samples = Samples(names, rows, accuracy)
    found = rivals(samples, ((names[0],), (names[1],)), (), ("log_macs",))
    assert {rival.model.features for rival in found} == {(names[0],), (names[1],)}
    chosen = choose(found, names[0])
    assert chosen.model.features == (names[0],)
    assert chosen.searchable and chosen.model.metric == "rank_score"
    by_score, by_size = found
    lucky = replace(by_size, scaled=by_score.scaled * [0.1, 1.01, 0.1, 1.01, 1.01, 1.01])
    assert choose([by_score, lucky], names[0]) is by_score
    better = replace(by_size, scaled=by_score.scaled * 0.01)
    scattered = replace(by_score, scaled=np.ones(6) + 0.1 * rng.normal(size=6))
    assert choose([scattered, better], names[0]) is better
