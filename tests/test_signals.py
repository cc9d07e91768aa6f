"""Networks over time: published sizes, windows over one axis, searched and trained on signals."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.errors import InputError
from flash.spaces.family import InputShape
from flash.spaces.space import load_space
from flash.testing import small_space

DS_CNN = {"width0": 64} | {
    f"{name}{s}": value
    for s in (1, 2)
    for name, value in (("width", 64), ("kernel", 3), ("depth", 2))
}
TC_RESNET8 = {"width0": 16} | {
    name: value
    for s, width in ((1, 24), (2, 32), (3, 48))
    for name, value in ((f"width{s}", width), (f"kernel{s}", 9), (f"depth{s}", 1))
}


def test_the_ds_cnn_of_mlperf_tiny_has_its_published_size():
    """24,908 parameters in Keras, 576 biases and 1,152 statistics of norms among them."""
    space = load_space("keywords-ds-cnn")
    network = space.network(space.design(DS_CNN))
    assert network.params + 576 + 1152 == 24_908
    first = network.layers[0]
    assert (first.out_height, first.out_width) == (25, 5)


def test_tc_resnet8_has_its_published_size():
    """66 thousand parameters (Choi et al. 2019, table 1)."""
    space = load_space("keywords-tc-resnet")
    network = space.network(space.design(TC_RESNET8))
    assert round(network.params / 1000) in (65, 66)
    assert all(layer.kernel_height == 1 for layer in network.layers if layer.op == "conv")
    assert [layer.out_width for layer in network.layers if layer.op == "add"] == [49, 25, 13]


@pytest.mark.parametrize("name", ["keywords-ds-cnn", "keywords-tc-resnet"])
def test_they_are_searched_from_nothing(tmp_path, name):
    words = ["search", "--space", name, "--target", "rpi4b", "--optimizer", "exact", "--quiet"]
    assert run_command(_dispatch, [*words, "--out", str(tmp_path)]) == 0
    front = json.loads((tmp_path / "front.json").read_text())["front"]
    assert len(front) > 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("stem_kernel = [10, 4]", "stem_kernel = [10, 40]"), "fit into the input"),
        (("stem_kernel = [10, 4]", "stem_kernel = [10]"), "two sides"),
        (("kernel1 = [3, 5]", "kernel1 = [3, 4]"), "odd kernels"),
        (("strides = [1, 1]", "strides = []"), "strides must be a list"),
    ],
)
def test_a_wrong_space_is_one_line(tmp_path, capsys, change, message):
    source = Path(__file__).parents[1] / "models" / "keywords-ds-cnn.toml"
    (tmp_path / "s.toml").write_text(source.read_text().replace(*change))
    assert run_command(_dispatch, ["search", "--space", str(tmp_path / "s.toml")]) == 4
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


# --------------------------------------------------------------------------------- on signals
def tones(n, length=32, seed=0):
    """(n, 2, length) floats: slow tones and fast ones, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    time = np.arange(length) / length
    waves = np.sin(2 * np.pi * (2 + 6 * labels[:, None]) * (time + rng.random((n, 1))))
    return (waves[:, None] + 0.3 * rng.standard_normal((n, 2, length))).astype(np.float32), labels


SHAPE = InputShape(2, 1, 32)


@pytest.fixture
def written(tmp_path):
    def write(kind):
        pytest.importorskip("torch", reason="needs the extra train")
        x, y = tones(120)
        if kind == "x":
            np.savez(tmp_path / "d.npz", x=x, y=y)
        elif kind == "parts":
            np.savez(
                tmp_path / "d.npz",
                x_train=x[:90, :, None], y_train=y[:90], x_test=x[90:, :, None], y_test=y[90:],
            )  # fmt: skip
        else:
            with (tmp_path / "d.csv").open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["file", "tone"])
                for k, (sample, label) in enumerate(zip(x, y, strict=True)):
                    np.save(tmp_path / f"{k}.npy", sample)
                    rows.writerow([f"{k}.npy", ("slow", "fast")[label]])
            return tmp_path / "d.csv"
        return tmp_path / "d.npz"

    return write


@pytest.mark.parametrize("kind", ["x", "parts", "csv"])
def test_signals_are_read_as_images_are(written, kind):
    from flash.training.datasets import read_images

    found = read_images(written(kind), SHAPE, 2)
    assert found.train_images.shape[1:] == (1, 32, 2)
    assert found.train_images.dtype == np.float32
    count = len(found.test_labels)
    assert count == (30 if kind == "parts" else 18)
    assert len(found.train_labels) == 120 - count
    assert bool(found.notes) is (kind != "parts")
    assert set(found.classes) == ({"slow", "fast"} if kind == "csv" else {"0", "1"})
    mean, deviation = found.pixel_statistics()
    np.testing.assert_allclose(mean, found.train_images.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(deviation, found.train_images.std((0, 1, 2)), atol=1e-5)


def test_signals_of_another_shape_are_refused(written):
    from flash.training.datasets import read_images

    with pytest.raises(InputError, match="the model reads"):
        read_images(written("x"), InputShape(2, 1, 31), 2)
    with pytest.raises(InputError, match="has 2 classes"):
        read_images(written("x"), SHAPE, 3)


def test_a_sampled_design_is_trained_on_signals_which_run_forwards(written, monkeypatch):
    torch = pytest.importorskip("torch", reason="needs the extra train")
    from flash.training import loop
    from flash.training.batches import Batches
    from flash.training.datasets import read_images
    from flash.training.recipe import RECIPES

    space = small_space(
        "tc_resnet",
        {"width0": (4,), "width1": (6, 8), "kernel1": (3, 5), "depth1": (1, 2)},
        {"strides": (2,), "stem_kernel": (1, 3), "stem_stride": 1},
        SHAPE,
        2,
    )
    network = space.network(np.array([0, 1, 1, 0]))
    images = read_images(written("parts"), SHAPE, 2)
    recipe = replace(RECIPES["quick"], stages=((3, 0.5), (3, 1.0)), batch=10, peak_rate=0.1)
    assert loop.train(network, images, recipe, 0).test_accuracy > 85  # chance is 50
    batches = Batches(images, replace(recipe, shift=0.0), torch.device("cpu"))
    at = np.arange(4)
    forwards, backwards = (
        batches.changed(at, np.random.default_rng(0), 1.0, np.full(4, flag))[0].numpy()
        for flag in (False, True)
    )
    np.testing.assert_array_equal(forwards, backwards)
