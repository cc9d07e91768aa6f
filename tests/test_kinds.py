"""Accuracy models of spaces whose cells are of several kinds: detectors and their styles."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from flash.accuracy.calibration import fit_space
from flash.accuracy.features import (
    CELL_SHAPES,
    CELL_SIDES,
    CELL_SUMS,
    cell_features,
    design_features,
    kind_features,
    size_problem,
)
from flash.accuracy.kinds import interval_factor, strangers
from flash.accuracy.storage import accuracy_of, narrow_to_trained, write_accuracy
from flash.spaces.space import load_space

STYLES = (5, 7, 8, 61)
ABOUT = {"data": "d", "recipe": "r", "epochs": 0, "seeds": (), "hardware": "h", "date": "2026"}


@pytest.fixture(scope="module")
def space():
    return load_space("detector-voc")


@pytest.fixture(scope="module")
def designs(space):
    """120 designs of four styles."""
    every = space.sample(600, np.random.default_rng(0))
    styles = space.decode(every)[:, space.variables.index("style")]
    return np.concatenate([every[styles == style][:30] for style in STYLES])


def made_up(space, designs):
    """Accuracies that rise with width, depth and side, by an offset of each style."""
    x = design_features(space, designs, (*CELL_SUMS, *CELL_SIDES))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    style = space.decode(designs)[:, space.variables.index("style")]
    offset = np.array([{5: 0.0, 7: 1.0, 8: 2.0, 61: -3.0}[int(s)] for s in style])
    noise = np.random.default_rng(1).normal(size=len(designs)) * 0.2
    return 50 + 4 * x[:, 3] + 3 * x[:, 2] + offset + noise


@pytest.fixture(scope="module")
def model(space, designs):
    return fit_space(space, designs, made_up(space, designs), **ABOUT)


def test_squares_and_kinds_are_those_of_the_layers(space, designs):
    design = designs[-1]
    kinds = kind_features(space, designs)
    assert kinds == ("cell_kind_5", "cell_kind_7", "cell_kind_8", "cell_kind_61")
    names = (*CELL_SHAPES, *kinds)
    found = dict(zip(names, design_features(space, design[None], names)[0], strict=True))
    convs = defaultdict(list)
    for layer in space.network(design).layers:
        if layer.op == "conv" and layer.cell >= 0:
            convs[layer.cell].append((int(layer.out_channels), int(layer.out_height)))
    width = {c: np.log(np.mean([w for w, _ in own])) for c, own in convs.items()}
    depth = {c: np.log(len(own)) for c, own in convs.items()}
    side = {c: np.mean([np.log(s) for _, s in own]) for c, own in convs.items()}
    assert found["cell_width2"] == pytest.approx(sum(w**2 for w in width.values()))
    assert found["cell_depth_side"] == pytest.approx(sum(depth[c] * side[c] for c in convs))
    assert found["cell_width_depth"] == pytest.approx(sum(width[c] * depth[c] for c in convs))
    assert found["cell_kind_61"] == len(convs) == 8
    assert found["cell_kind_5"] == found["cell_kind_7"] == found["cell_kind_8"] == 0


def test_tables_of_stages_add_up_to_the_features(space, designs):
    names = (*CELL_SUMS, *CELL_SIDES, *CELL_SHAPES, *kind_features(space, designs))
    together = cell_features(space.table(designs), names)
    tables = size_problem(space, kinds=names[-4:])
    by_stage = tables.evaluate(designs, *names)
    np.testing.assert_allclose(np.stack([by_stage[n] for n in names], axis=1), together, rtol=1e-12)


def test_many_samples_teach_what_a_style_is_worth(space, designs, model):
    assert "cell_kind_7" in model.regression.features
    few = fit_space(space, designs[::12], made_up(space, designs)[::12], **ABOUT)
    assert model.provenance.loo_rmse < 1.0 < few.provenance.loo_rmse


def test_an_optimizer_sees_what_the_model_predicts(space, designs, model):
    values = model.index(space.table(designs))
    whole = model.predict(space, designs).value
    np.testing.assert_allclose(model.from_metric(values), whole, atol=1e-6)


def test_a_strange_kind_has_wider_intervals_and_is_outside(space, designs):
    accuracy = made_up(space, designs)
    known = space.decode(designs)[:, space.variables.index("style")] != 7
    without = fit_space(space, designs[known], accuracy[known], **ABOUT)
    found = without.predict(space, designs)
    rows = design_features(space, designs, without.samples.names)
    assert (strangers(without.samples, rows) == ~known).all()
    assert (found.outside | known).all()
    factor = interval_factor(without.regression, without.samples)
    assert factor > 3  # styles differ by whole points, networks of one by tenths
    width = found.high - found.low
    assert np.median(width[~known]) > 0.8 * factor * np.median(width[known])
    inside = (found.low <= accuracy) & (accuracy <= found.high)
    assert inside[~known].mean() > 0.8


def test_a_search_stays_among_the_styles_that_were_trained(space, designs, tmp_path):
    known = space.decode(designs)[:, space.variables.index("style")] != 7
    without = fit_space(space, designs[known], made_up(space, designs)[known], **ABOUT)
    file = tmp_path / "space.toml"
    file.write_text(_without_section(), encoding="utf-8")
    write_accuracy(file, without)
    again = load_space(str(file))
    assert accuracy_of(again).box.ranges["style"] == (5, 8, 61)
    inside = narrow_to_trained(again)
    assert inside.grids[inside.variables.index("style")].tolist() == [5, 8, 61]


def _without_section():
    from flash.accuracy.storage import without_accuracy
    from flash.files.locations import data_file

    return without_accuracy(data_file("models", "detector-voc").read_text())
