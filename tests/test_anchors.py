"""Levels by anchors, and power laws of the error in size."""

from dataclasses import replace

import numpy as np
import pytest
from calibrated import PROVENANCE

from flash.accuracy import (
    accuracy_of,
    accuracy_text,
    fit_space,
    sample_designs,
    write_accuracy,
)
from flash.accuracy.level import Anchor, Level, fit_anchors
from flash.accuracy.power import PowerLaw
from flash.accuracy.regression import Samples
from flash.accuracy.trend import depth_and_width_trend
from flash.calibrate.anchors import LongTraining, lift_of, long_trainings, pairs, read_anchors
from flash.errors import InputError
from flash.files.locations import data_file
from flash.spaces.layers import layer_params
from flash.spaces.space import load_space
from flash.training.results import TrainedDesign


def law(rng, space, count, level, noise=0.0):
    """Anchors of a known law: log error long = level + 0.7 log error short - 0.12 log size."""
    short, size = 60 + 30 * rng.random(count), np.exp(rng.uniform(10, 14, count))
    y = level + 0.7 * np.log(100 - short) - 0.12 * np.log(size) + noise * rng.normal(size=count)
    rows = zip(short, 100 - np.exp(y), size, strict=True)
    return [Anchor(space, f"d{k}", *row) for k, row in enumerate(rows)]


def test_many_anchors_give_the_law_and_spaces_keep_their_levels():
    rng = np.random.default_rng(0)
    anchors = law(rng, "a", 60, 2.0) + law(rng, "b", 60, 2.5)
    found = fit_anchors(anchors)
    assert found.slopes == pytest.approx([0.7, -0.12], abs=0.02)
    assert found.levels["b"] - found.levels["a"] == pytest.approx(0.5, abs=0.02)
    fresh = law(rng, "b", 20, 2.5)
    predicted = found.long(
        "b", np.array([x.short for x in fresh]), np.array([x.size for x in fresh])
    )
    assert predicted == pytest.approx([x.long for x in fresh], abs=0.3)


def test_three_anchors_set_the_level_and_their_interval_covers():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(100):
        few, fresh = law(rng, "a", 3, 2.2, 0.12), law(rng, "a", 10, 2.2, 0.12)
        found = fit_anchors(few)
        short, size = (np.array([getattr(x, n) for x in fresh]) for n in ("short", "size"))
        off = np.log(
            (100 - found.long("a", short, size)) / (100 - np.array([x.long for x in fresh]))
        )
        inside += (np.abs(off) <= found.spread("a", short, size)).tolist()
    assert 0.85 < np.mean(inside) <= 1.0


def test_two_anchors_are_too_few():
    with pytest.raises(InputError, match="b has 2 anchors; 3 are needed"):
        rng = np.random.default_rng(0)
        fit_anchors(law(rng, "a", 5, 2.0) + law(rng, "b", 2, 2.0))


def test_a_level_widens_intervals_by_independent_errors():
    level = Level("accuracy after long, by 5 anchors", 5, np.log(1.2))
    low, high = level.widened(np.array([90.0]), np.array([87.0]), np.array([92.0]))
    assert low == pytest.approx([90 - np.hypot(3, 2)])
    assert high == pytest.approx([90 + np.hypot(2, 10 - 10 / 1.2)])


def test_a_power_law_is_found_and_never_falls():
    size = np.log([2e6, 5e6, 2e7, 6e7, 3e8, 1e9])
    accuracy = 100 - np.exp(6.0 - 0.2 * size)
    found = PowerLaw(Samples(("log_macs",), size[:, None], accuracy), ("log_macs",))
    assert found.exponents == pytest.approx([0.2])
    assert found.left_out() == pytest.approx(accuracy)
    assert (np.diff(found.predict(np.linspace(10, 30, 50)[:, None])) > 0).all()
    falling = PowerLaw(Samples(("log_macs",), size[:, None], accuracy[::-1]), ("log_macs",))
    assert (np.diff(falling.predict(size[:, None])) >= 0).all()


def test_left_out_predictions_are_those_of_a_law_without_the_sample():
    rng = np.random.default_rng(3)
    rows, accuracy = rng.uniform(14, 18, (9, 1)), rng.uniform(60, 90, 9)
    whole = PowerLaw(Samples(("log_macs",), rows, accuracy), ("log_macs",))
    for k in range(9):
        rest = np.arange(9) != k
        alone = PowerLaw(Samples(("log_macs",), rows[rest], accuracy[rest]), ("log_macs",))
        assert alone.predict(rows[[k]]) == pytest.approx(whole.left_out()[[k]])
        assert alone.predict(rows) == pytest.approx(whole.without(rows)[k])


# ------------------------------------------------------------------------------------ published
ADD = "cifar10-add"
RESNETS = {b: f"w=16,32,64 b={b},{b},{b} t=16,32,64" for b in (3, 5, 7, 9)}


def row(design, accuracy, split="anchor", recipe="quick", epochs=10):
    return TrainedDesign(
        ADD, design, "cifar10", split, recipe, 0, accuracy, epochs, 1.0, "none", digest="abc",
        validation_accuracy=accuracy,
    )  # fmt: skip


def cell_params(network):
    """Params of each cell of a network, added up layer by layer."""
    cells = sorted({layer.cell for layer in network.layers if layer.cell >= 0})
    return [int(sum(layer_params(x) for x in network.layers if x.cell == cell)) for cell in cells]


def test_published_anchors_lift_short_accuracies_to_long_ones(tmp_path):
    space = load_space(ADD)
    published = read_anchors(data_file("models", ADD).parent / "calibration/anchors.csv", space)
    assert [one.accuracy for one in published] == [92.56, 93.41, 93.85, 94.21]
    rows = [row(RESNETS[b], 80 + b) for b in (3, 5, 7)]
    found, recipe = pairs(space, rows, published)
    # Of each ResNet the three cells: geometric mean of their params.
    cells = [cell_params(space.network(space.parse(RESNETS[b]))) for b in (3, 5, 7)]
    assert [one.size for one in found] == pytest.approx([np.prod(c) ** (1 / 3) for c in cells])
    assert recipe == "200 epochs of SGD as published"
    assert lift_of(space, rows[:2], published) is None
    lift = lift_of(space, rows, published)
    short, size = np.array([83.0, 87.0]), np.array([one.size for one in found])[[0, 2]]
    assert lift.applied(short, size) == pytest.approx([92.56, 93.85], abs=0.6)
    level = lift.level(short, size)
    assert level.anchors == 3 and "200 epochs of SGD as published, by 3 anchors" in level.statement
    # The model says so, before and after a file.
    designs = np.array([space.parse(f"w=16,32,{w} b={b},3,3 t=16,0,64")
                        for w in (64, 128, 256) for b in (1, 2, 3, 4)])  # fmt: skip
    accuracy = 70 + 2 * np.arange(12.0)
    model = fit_space(space, designs, accuracy, level=level, **PROVENANCE)
    narrow = fit_space(space, designs, accuracy, **PROVENANCE).predict(space, designs)
    wide = model.predict(space, designs)
    assert (wide.low < narrow.low).all() and (wide.high > narrow.high).all()
    path = tmp_path / f"{ADD}.toml"
    path.write_text(data_file("models", ADD).read_text().split("# Accuracy model")[0])
    write_accuracy(path, model)
    again = accuracy_of(load_space(str(path)))
    assert accuracy_text(again) == accuracy_text(model)
    assert again.level == level and again.box == model.box
    assert "by 3 anchors" in again.statement and "3 anchors" in again.how


# ------------------------------------------------------------------------------------- ImageNet
def test_imagenet_widths_left_out_are_within_a_point():
    model = accuracy_of(load_space("imagenet-mobilenet-v2"))
    off = model.regression.left_out() - model.samples.accuracy
    assert np.abs(off).max() < 1.0
    assert model.regression.kind == "power" and model.metric == "accuracy"


def test_imagenet_accuracies_agree_with_other_peoples_trainings():
    space = load_space("imagenet-mobilenet-v2")
    model = accuracy_of(space)
    # top-1 of MobileNet v2 x0.5, x0.75, x1.0 as imgclsmob and timm have it, other recipes
    others = {50: (64.4, 65.93), 75: (70.2,), 100: (73.2, 72.91)}
    rest = "expand=1,6,6,6,6,6,6 kernel=3,3,3,3,3,3,3 depth=1,2,3,4,3,3,1 skip=1,1,1,1,1,1,1"
    designs = np.array([space.parse(f"width={','.join([str(w)] * 7)} {rest}") for w in others])
    found = model.predict(space, designs)
    assert not found.outside.any() and (np.diff(found.value) > 0).all()
    for (_, published), low, high in zip(others.items(), found.low, found.high, strict=True):
        assert all(low <= accuracy <= high for accuracy in published)
    without = space.parse(f"width={','.join(['100'] * 7)} {rest}".replace("skip=1,1", "skip=1,0"))
    assert model.predict(space, without[None]).outside.all()


def test_published_mobilenets_come_out_in_order_and_inside():
    space = load_space("cifar10-mobilenet-v2")
    published = read_anchors(data_file("models", ADD).parent / "calibration/anchors.csv", space)
    designs = np.array([space.parse(one.design) for one in published])
    found = accuracy_of(space).predict(space, designs)
    assert (np.diff(found.value) > 0).all() and not found.outside.any()
    for one, low, high in zip(published, found.low, found.high, strict=True):
        assert low <= one.accuracy <= high


# ---------------------------------------------------------------------------------------- trend
@pytest.mark.parametrize(("sign", "word"), [(1, ""), (-1, "falls with depth")])
def test_a_model_that_contradicts_full_training_is_told(sign, word):
    space = load_space("cifar10-concat")
    designs = sample_designs(space, 25, 0)
    depth = np.log(space.decode(designs)[:, [1, 4, 7]].sum(axis=1))
    width = np.log(space.decode(designs)[:, [0, 3, 6]].sum(axis=1))
    accuracy = 50 + sign * 6 * (depth - depth.mean()) + 4 * (width - width.mean())
    trend = depth_and_width_trend(space, fit_space(space, designs, accuracy, **PROVENANCE))
    assert np.sign(trend.depth) == sign and trend.width > 0
    assert (word in trend.contradiction) if word else trend.contradiction == ""
    assert len(trend.lines()) == (2 if word else 1)


def test_depth_that_hurts_without_shortcuts_alone_contradicts_nothing():
    space = load_space("cifar10-mobilenet-v2")
    designs = sample_designs(space, 25, 0)
    named = dict(zip(space.variables, space.decode(designs).T, strict=True))
    stages = range(1, 8)
    bare = sum(named[f"depth{k}"] * (1 - named[f"skip{k}"]) for k in stages)
    whole = sum(named[f"depth{k}"] * named[f"skip{k}"] for k in stages)
    accuracy = 70 - bare + 0.5 * whole
    for effect, told in ((accuracy, False), (70 - bare - whole, True)):
        model = fit_space(space, designs, effect.astype(float), **PROVENANCE)
        found = depth_and_width_trend(space, model)
        assert bool(found.contradiction) is told and (found.depth < 0) is told


def test_long_trainings_of_the_same_images_are_anchors_and_of_others_are_not():
    space = load_space(ADD)
    rows = [row(RESNETS[b], 80 + b) for b in (3, 5, 7)]
    long = [row(RESNETS[b], 86 + b, recipe="long", epochs=50) for b in (3, 5, 7)]
    strange = replace(row(RESNETS[9], 95.0, recipe="long", epochs=50), digest="other")
    found = long_trainings([*rows, *long, strange], space, "abc", 10)
    assert [one.accuracy for one in found] == [89, 91, 93]
    lift = lift_of(space, rows, found)
    assert lift.recipe == "recipe long, 50 epochs" and lift.law.counts == {ADD: 3}
    # Of two recipes that with most anchors counts: a level has one.
    published = [LongTraining(RESNETS[b], 93.0, "published") for b in (3, 5)]
    assert pairs(space, rows, [*found, *published])[1] == "recipe long, 50 epochs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("design,accuracy\n", "lacks the column recipe"),
        ("design,accuracy,recipe\nw=1,2 b=3,4 t=5,6,90,r\n", "line 2: "),
        ('design,accuracy,recipe\n"w=16,32,64 b=3,3,3 t=16,32,64",190,r\n', "line 2: expected an"),
    ],
)
def test_wrong_anchors_are_one_line(tmp_path, text, message):
    path = tmp_path / "anchors.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_anchors(path, load_space(ADD))
