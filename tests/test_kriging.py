"""Kriging over blocks of features: how choices weigh, what it learns, what its file may hold."""

import re
from dataclasses import replace

import numpy as np
import pytest
from calibrated import calibrated_model, space_file
from scipy.linalg import null_space
from scipy.stats import multivariate_normal
from test_accuracy import drawn

from flash.accuracy import accuracy_of, write_accuracy
from flash.accuracy.fit import rivals
from flash.accuracy.kriging import Kriging
from flash.accuracy.monotone import RisingLine
from flash.accuracy.regression import Samples, Saturation
from flash.errors import SpaceError
from flash.spaces.space import load_space


def test_choices_weigh_by_the_likelihood_of_what_the_trend_cannot_follow():
    samples = drawn(np.random.default_rng(8), n=12)
    model = Kriging(samples, (("a", "b"), ("c",)), ("a",))
    x = (samples.rows - samples.rows.mean(axis=0)) / samples.rows.std(axis=0)
    contrasts = null_space(np.column_stack([np.ones(12), x[:, 0]]).T)
    u = contrasts.T @ Saturation.of(samples).apply(samples.accuracy)
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    logs = []
    for first, second, smooth, _ in model.mixture:
        covariance = np.eye(12) + first * x[:, :2] @ x[:, :2].T / 2
        covariance += second * np.outer(x[:, 2], x[:, 2])
        covariance += smooth * np.exp(-squares / (2 * 3 * model.length**2))
        shape = contrasts.T @ covariance @ contrasts
        noise = u @ np.linalg.solve(shape, u) / len(u)
        logs.append(multivariate_normal(np.zeros(len(u)), noise * shape).logpdf(u))
    weights = np.exp(np.array(logs) - max(logs))
    assert model.mixture[:, -1] == pytest.approx(weights / weights.sum(), rel=1e-3)


def test_kriging_learns_what_the_score_does_not_tell():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(225, 3))
    law = 80 + 2 * x[:, 0] + 4 * x[:, 2]
    fitted = Samples(tuple("abc"), x[:25], law[:25] + 0.5 * rng.normal(size=25))
    model = Kriging(fitted, (("a",), ("b",), ("c",)), ("a",))
    alone = RisingLine(fitted, "a")
    error = np.sqrt(np.mean((model.predict(x[25:]) - law[25:]) ** 2))
    assert error < 0.3 * np.sqrt(np.mean((alone.predict(x[25:, :1]) - law[25:]) ** 2))
    told = model.mixture[:, :3].T @ model.mixture[:, -1]
    assert told[2] > 3 * told[1]  # c tells, b does not


def test_models_are_compared_by_errors_that_chose_nothing_with_the_sample_in_sight():
    rng = np.random.default_rng(11)
    names = tuple("abcdefgh")
    flattered = []
    for _ in range(20):  # noise, of which seven features make what they like
        samples = Samples(names, rng.normal(size=(10, 8)), 70 + 5 * rng.normal(size=10))
        model = Kriging(samples, (names[:1], names[1:]), names[:1])
        anew = model.left_out_anew()
        one = Samples(names, samples.rows[1:], samples.accuracy[1:])
        refitted = Kriging(one, (names[:1], names[1:]), names[:1]).predict(samples.rows[:1])
        assert anew[0] == pytest.approx(refitted[0])
        errors = [np.sum((p - samples.accuracy) ** 2) for p in (model.left_out(), anew)]
        flattered.append(errors[0] < errors[1])
    assert np.mean(flattered) > 0.7


def test_kriging_of_fewer_samples_than_features_is_not_offered():
    rng = np.random.default_rng(12)
    names = tuple("abcdefghij")
    for count, offered in ((9, False), (10, True)):
        samples = Samples(names, rng.normal(size=(count, 10)), 70 + rng.normal(size=count))
        found = rivals(samples, (names[:1], names[1:]))
        assert any(isinstance(rival.model, Kriging) for rival in found) is offered


def test_of_many_samples_only_the_likeliest_choices_are_solved():
    few, many = (drawn(np.random.default_rng(10), n=n) for n in (25, 600))
    counts = [len(Kriging(s, (("a",), ("b", "c")), ("a",)).mixture) for s in (few, many)]
    assert counts[0] > 20
    assert counts[1] <= 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"blocks = .*", "blocks = [1, 1.5]", "accuracy.blocks must be whole numbers that add up"),
        (r"blocks = .*", "blocks = [9, 9]", "accuracy.blocks must be whole numbers that add up"),
        (
            r"mixture = \[\n    \[[0-9.]+",
            "mixture = [\n    [-1.0",
            "accuracy.mixture must be rows of",
        ),
        (r"mixture = \[\n", "mixture = [\n    [0, 0, 0.5],\n", "accuracy.mixture must have"),
        (r"length = .*", "length = 0", "accuracy.length must be a number"),
    ],
)
def test_a_wrong_mixture_is_one_clear_line(tmp_path, old, new, message):
    path = space_file(tmp_path)
    _, model = calibrated_model()
    made = Kriging(model.samples, (("log_nn_degree",), ("log_params",)), ("log_nn_degree",))
    write_accuracy(path, replace(model, regression=made))
    text, found = re.subn(old, new, path.read_text(encoding="utf-8"), count=1)
    assert found
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError, match=message):
        accuracy_of(load_space(str(path)))
