"""Trees beside the score: what they learn, what they are without a sample, how they are stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flash.accuracy import forest as forests
from flash.accuracy.calibration import fit_space, space_rivals
from flash.accuracy.features import design_features, structure_features
from flash.accuracy.forest import grow
from flash.accuracy.regression import Samples
from flash.accuracy.storage import accuracy_of, accuracy_text
from flash.accuracy.trees import ScoreAndTrees
from flash.errors import UsageError
from flash.files.reading import parse_toml
from flash.spaces.family import FAMILIES, InputShape
from flash.spaces.space import load_space

ABOUT = {
    "data": "numbers", "recipe": "a rule", "epochs": 1, "seeds": (0,), "hardware": "none",
    "date": "2026-11-29",
}  # fmt: skip


def samples(n, seed=0):
    """A score that tells a part, and a feature that decides the rest by a step."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.normal(size=n), rng.integers(0, 3, n), rng.normal(size=n)], axis=1)
    accuracy = 70 + 3 * rows[:, 0] + 6 * (rows[:, 1] == 2) + 0.1 * rng.normal(size=n)
    return Samples(("log_rank_score", "at_a", "at_b"), rows, accuracy)


def test_trees_find_a_step_that_no_line_has():
    known, unseen = samples(120), samples(200, 1)
    model = ScoreAndTrees(known, known.names)
    line = np.polyfit(known.rows[:, 0], known.accuracy, 1)
    off = model.predict(unseen.rows) - unseen.accuracy
    straight = np.polyval(line, unseen.rows[:, 0]) - unseen.accuracy
    assert np.sqrt(np.mean(off**2)) < 0.6 * np.sqrt(np.mean(straight**2))


def test_the_same_samples_give_the_same_model():
    known, unseen = samples(60), samples(30, 1)
    first, second = (ScoreAndTrees(known, known.names).predict(unseen.rows) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_tree_of_every_sample_is_the_sample_itself(monkeypatch):
    monkeypatch.setattr(forests, "_FEWEST_TRIED", 30)
    known = samples(40)
    counts = np.ones((1, 40), dtype=np.int64)
    forest = grow(known.rows, known.accuracy, counts, np.random.default_rng(0))
    np.testing.assert_allclose(forest.of(known.rows)[0], known.accuracy)


def test_what_is_left_out_does_not_reach_its_own_prediction():
    # A sample's accuracy moves; what the others say of it moves only by the shared line's part.
    known = samples(60)
    moved = known.accuracy.copy()
    moved[7] += 5.0
    models = [
        ScoreAndTrees(Samples(known.names, known.rows, a), known.names)
        for a in (known.accuracy, moved)
    ]
    inside = [m.predict(known.rows[7:8])[0] for m in models]
    left_out = [m.left_out()[7] for m in models]
    assert abs(left_out[1] - left_out[0]) < 0.2 * abs(inside[1] - inside[0])
    assert np.allclose(models[0].left_out()[7], models[0].without(known.rows[7:8])[7, 0])
    assert models[0].without(known.rows).shape == (60, 60)


def test_trees_are_chosen_where_places_decide_and_stored_as_they_are(tmp_path):
    space = load_space("nasbench201")
    designs = np.unique(space.sample(120, np.random.default_rng(0)), axis=0)
    names = ("log_rank_score", "at_is_5_3", "at_most_3")
    score, last, most = design_features(space, designs, names).T
    accuracy = np.clip(50 + 2 * (score - score.mean()) + 12 * last + 4 * most, 10, 99)
    model = fit_space(space, designs, accuracy, **ABOUT)
    assert model.regression.kind == "trees"
    stored = parse_toml(accuracy_text(model), tmp_path / "s.toml")["accuracy"]
    again = accuracy_of(replace(space, accuracy=stored))
    unseen = space.sample(20, np.random.default_rng(1))
    assert np.array_equal(again.predict(space, unseen).value, model.predict(space, unseen).value)


@pytest.mark.parametrize("staged", [False, True])
def test_few_samples_grow_no_trees(staged):
    space = load_space("cifar10-concat" if staged else "nasbench201")
    designs = np.unique(space.sample(25 if staged else 15, np.random.default_rng(0)), axis=0)
    accuracy = np.linspace(30, 90, len(designs))
    _, rivals = space_rivals(space, designs, accuracy)
    assert "trees" not in {rival.model.kind for rival in rivals}


def test_every_family_says_which_choice_stands_where():
    for name in ("nasbench201", "cifar10-concat", "nasbench101", "darts-cifar10"):
        space = load_space(name)
        names = structure_features(space)
        found = design_features(space, space.sample(5, np.random.default_rng(0)), names)
        assert found.shape == (5, len(names)) and np.isfinite(found).all()


def test_the_structure_of_a_cell_counts_live_paths_only():
    family = FAMILIES["nasbench201"](InputShape(3, 32, 32), 10, {})
    # Node 1 feeds nothing: its convolution is on no path.
    text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|skip_connect~2|"
    found = family.structure(family.parse(text))
    assert found["is_0_3"] == 0 and found["is_1_2"] == 1 and found["all_23"] == 1
    assert (found["longest_12"], found["shortest_12"], found["paths_12"]) == (2, 2, 1)
    assert (found["most_2"], found["least_3"], found["out_0_2"], found["in_3_1"]) == (1, 0, 1, 1)


def test_a_feature_that_no_family_has_is_named():
    space = load_space("nasbench201")
    with pytest.raises(UsageError, match="family nasbench201 has no feature 'at_nothing'"):
        design_features(space, space.sample(2, np.random.default_rng(0)), ["at_nothing"])


def test_trees_err_as_scikit_learns_extremely_randomised_trees_do():
    ensemble = pytest.importorskip("sklearn.ensemble", reason="needs scikit-learn")
    x = np.random.default_rng(3).lognormal(size=(400, 6))
    y = np.log(x @ [1.0, 5.0, 0.2, 3.0, 0.1, 1.0])
    known, asked = x[:100], x[100:]
    every = np.ones((100, 100), dtype=np.int64)
    ours = grow(known, y[:100], every, np.random.default_rng(0)).of(asked).mean(axis=0)
    peer = ensemble.ExtraTreesRegressor(100, max_features=5, random_state=0)
    theirs = peer.fit(known, y[:100]).predict(asked)
    error, of_peer = (np.sqrt(np.mean((found - y[100:]) ** 2)) for found in (ours, theirs))
    assert error == pytest.approx(of_peer, rel=0.1)
    assert error < 0.6 * y[100:].std()
