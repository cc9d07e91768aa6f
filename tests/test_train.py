"""A model trained on the user's own samples: every kind of data, resumption, what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.errors import FlashError, InputError
from flash.files.labelled import read_labelled
from flash.train import train

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("onnxruntime")

from onnx_models import model, node, normal  # noqa: E402

import flash.training.own_data as own_data  # noqa: E402
from flash.backends import run_onnx  # noqa: E402
from flash.training import precision  # noqa: E402


def network(path, shape, outputs, channels=8):
    """A convolution over any number of axes, pooled, and a fully connected layer."""
    axes = len(shape) - 1
    nodes = [
        node("Conv", ["x", "w", "wb"], ["a"], pads=[1] * 2 * axes),
        node("Relu", ["a"], ["b"]),
        node("GlobalAveragePool", ["b"], ["c"]),
        node("Flatten", ["c"], ["d"]),
        node("Gemm", ["d", "v", "vb"], ["y"]),
    ]
    weights = {
        "w": normal(channels, shape[0], *[3] * axes) / 3,
        "wb": np.zeros(channels, np.float32),
        "v": normal(channels, outputs) / 3,
        "vb": np.zeros(outputs, np.float32),
    }
    made = model(nodes, {"x": [1, *shape]}, weights)
    onnx.save(made, path)
    return path


def stripes(n, side, rng):
    """Bytes (n, side, side): class 0 is dark with a bright column, class 1 bright."""
    labels = np.arange(n) % 2
    images = rng.integers(0, 60, (n, side, side))
    images[labels == 1] += 150
    images[labels == 0, :, side // 2] += 100
    return images.astype(np.uint8), labels


@pytest.fixture
def folders(tmp_path):
    images, labels = stripes(40, 12, np.random.default_rng(0))
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "set" / ("dark", "light")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{k}.png")
    return tmp_path / "set"


def test_class_folders_and_what_travels(tmp_path, folders):
    start = network(tmp_path / "m.onnx", (1, 8, 8), 5)  # of 5 outputs: the last layer is made anew
    out = tmp_path / "out"
    report = train(start, folders, epochs=12, out=out, augmentation="none")
    assert report.names == ("dark", "light") and report.metrics["accuracy"] == 100
    assert sum(map(sum, report.confusion)) == report.samples["test"]
    written = onnx.load(out / "m-trained.onnx")
    how = json.loads({p.key: p.value for p in written.metadata_props}["flash.preprocessing"])
    assert how == json.loads((out / "preprocessing.json").read_text())
    assert (how["shape"], how["colour"], how["names"]) == ([1, 8, 8], "L", ["dark", "light"])
    # What is beside the model classifies files that it has not seen, alone.
    for name, value in (("dark", 20), ("light", 200)):
        Image.fromarray(np.full((30, 20), value, np.uint8)).save(tmp_path / f"{name}.png")
    words = [sys.executable, str(out / "predict.py"), str(tmp_path / "dark.png")]
    found = subprocess.run([*words, str(tmp_path / "light.png")], capture_output=True, text=True)
    assert [line.split()[-1] for line in found.stdout.splitlines()] == ["dark", "light"], found


def test_predict_says_in_a_line_what_is_wrong(tmp_path, folders):
    start = network(tmp_path / "m.onnx", (1, 8, 8), 2)
    out = tmp_path / "out"
    train(start, folders, epochs=1, out=out)
    (tmp_path / "no.png").write_bytes(b"no image")
    Image.fromarray(np.full((9, 9), 20, np.uint8)).save(tmp_path / "good.png")
    np.save(tmp_path / "small.npy", np.zeros((3, 3)))
    (tmp_path / "no.npy").write_bytes(b"no array")

    def predict(*words):
        program = [sys.executable, str(out / "predict.py"), *words]
        found = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
        assert "Traceback" not in found.stderr
        return found.returncode, found.stdout, found.stderr

    code, printed, why = predict()
    assert code == 2 and not printed and why.count("\n") == 1 and "FILE" in why
    assert predict("--nosuch", "good.png")[0] == 2
    code, printed, why = predict("--help")
    assert code == 0 and not why and "Exit codes: 0 done, 2 wrong" in " ".join(printed.split())
    for name, reason in (
        ("none.png", "none.png: No such file or directory"),
        ("no.png", "no.png: is no image"),
        (".", ".: Is a directory"),
        ("no.npy", "no.npy: "),
        ("small.npy", "an array of shape (3, 3); the model reads (1, 8, 8)"),
    ):
        code, printed, why = predict(name, "good.png")  # the other file is done all the same
        assert code == 4 and printed.startswith("good.png ") and printed.count("\n") == 1
        assert reason in why and why.count("\n") == 1, why
    (out / "m-trained.onnx").unlink()
    code, printed, why = predict("good.png")
    assert (code, printed) == (4, "") and "beside the model" in why and why.count("\n") == 1


def test_the_guides_network_tells_plain_photos_apart(tmp_path):
    # The images of docs/guide/train.md; of epochs that all have every sample right it once kept the
    # first, whose outputs for a plain bright photo were 0.01 and -0.02.
    labels = np.arange(60) % 2
    noise = np.random.default_rng(0).integers(0, 80, (60, 32, 32, 3))
    images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=labels, classes=["dark", "bright"])
    start = Path(__file__).parents[1] / "examples" / "files" / "mine.onnx"
    report = train(start, tmp_path / "d.npz", epochs=10, out=tmp_path / "out", precision="fp32")
    assert report.score[report.best_epoch - 1] == max(report.score) == 1
    assert report.best_epoch > report.score.index(1) + 1
    shades = {"dark": 20, "bright": 235}
    for name, value in shades.items():
        Image.fromarray(np.full((40, 30, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    words = [sys.executable, str(tmp_path / "out" / "predict.py")]
    found = subprocess.run(
        [*words, *(str(tmp_path / f"{name}.png") for name in shades)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert [line.split()[-1] for line in found.stdout.splitlines()] == list(shades), found


def test_a_signal_of_several_channels(tmp_path):
    rng = np.random.default_rng(0)
    times = np.arange(64) / 64
    labels = rng.integers(0, 3, 90)
    tones = np.sin(2 * np.pi * 4 * times + rng.random(90)[:, None]) * (1 + 2 * labels)[:, None]
    x = np.stack([tones, 0.1 * rng.standard_normal(tones.shape)], 1)
    np.savez(tmp_path / "d.npz", x=x, y=labels)
    start = network(tmp_path / "m.onnx", (2, 64), 3)
    report = train(start, tmp_path / "d.npz", epochs=25, rate=2e-2, batch=8, out=tmp_path / "o")
    assert report.metrics["accuracy"] > 80
    assert report.task == "classification"


def test_labels_that_hold_together_and_numbers(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 2, 6, 6)).astype(np.float32) + rng.integers(-2, 3, (80, 2, 1, 1))
    means = x.mean((2, 3))
    np.savez(tmp_path / "l.npz", x=x, y=(means > 0).astype(int))
    np.savez(tmp_path / "r.npz", x=x, y=1000 + 50 * means)
    start = network(tmp_path / "m.onnx", (2, 6, 6), 2)
    both = train(start, tmp_path / "l.npz", epochs=25, rate=2e-2, out=tmp_path / "l")
    assert both.task == "multi-label" and both.metrics["accuracy"] > 80
    numbers = train(start, tmp_path / "r.npz", epochs=40, rate=2e-2, out=tmp_path / "r",
                    augmentation="none", patience=40)  # fmt: skip
    assert numbers.task == "regression" and numbers.metrics["r2"] > 0.8
    how = json.loads((tmp_path / "r" / "preprocessing.json").read_text())
    assert 900 < how["target_mean"][0] < 1100


def test_a_table_of_files(tmp_path):
    images, labels = stripes(30, 8, np.random.default_rng(1))
    rows = [("file", "kind")]
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
        rows.append((f"{k}.png", ("dark", "light")[label]))
    (tmp_path / "bad.png").write_bytes(b"no image")
    rows.append(("bad.png", "dark"))
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data = read_labelled(tmp_path / "t.csv", (1, 8, 8))
    assert data.names == ("dark", "light") and len(data.labels) == 30
    assert data.notes == (f"{tmp_path / 'bad.png'}: cannot be read; left out",)


def test_a_training_that_was_cut_goes_on_to_the_same_bits(tmp_path, folders, monkeypatch):
    start = network(tmp_path / "m.onnx", (1, 8, 8), 2)
    whole = train(start, folders, epochs=6, out=tmp_path / "whole", augmentation="strong")

    class Killed(Exception):
        pass

    class Countdown:
        left = 0

    save = own_data._save

    def cut(*arguments):
        save(*arguments)
        Countdown.left -= 1
        if Countdown.left == 0:
            raise Killed

    monkeypatch.setattr(own_data, "_save", cut)
    for epochs in (1, 2, 2):
        Countdown.left = epochs
        with pytest.raises(Killed):
            train(start, folders, epochs=6, out=tmp_path / "cut", augmentation="strong")
    Countdown.left = -1
    train(start, folders, epochs=6, out=tmp_path / "cut", augmentation="strong")
    for name in ("m-trained.onnx", "m-trained.pt"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "cut" / "flash-checkpoint.pt").exists()
    assert len(whole.loss) == 6


def test_products_are_in_bf16_where_the_processor_has_them(tmp_path, folders, monkeypatch):
    start = network(tmp_path / "m.onnx", (1, 8, 8), 2)
    monkeypatch.setattr(precision, "processor", lambda: {"flags": "avx2 avx512_bf16"})
    half = train(start, folders, epochs=2, out=tmp_path / "half")
    full = train(start, folders, epochs=2, out=tmp_path / "full", precision="fp32")
    assert "trained with products in bf16" in half.notes and not full.notes
    assert half.loss != full.loss
    np.testing.assert_allclose(half.loss, full.loss, rtol=0.05)
    weights = onnx.load(tmp_path / "half" / "m-trained.onnx").graph.initializer
    assert {w.data_type for w in weights} == {onnx.TensorProto.FLOAT}


def test_a_teacher_is_learnt_from(tmp_path, folders):
    start = network(tmp_path / "m.onnx", (1, 8, 8), 2)
    teacher = tmp_path / "t"
    train(start, folders, epochs=12, out=teacher, augmentation="none")
    small = network(tmp_path / "s.onnx", (1, 8, 8), 2, channels=4)
    given = {"epochs": 3, "out": tmp_path / "a", "augmentation": "none"}
    alone = train(small, folders, **given)
    given["out"] = tmp_path / "b"
    taught = train(small, folders, teacher=teacher / "m-trained.onnx", **given)
    assert alone.loss != taught.loss
    with pytest.raises(InputError, match="reads"):
        wide = network(tmp_path / "w.onnx", (3, 8, 8), 2)
        train(small, folders, teacher=wide, out=tmp_path / "c")


def test_a_design_of_a_front_is_trained(tmp_path, folders):
    words = ["search", "--space", "cifar10-mobilenet-v2", "--target", "rpi4b", "--extrapolate"]
    assert run_command(_dispatch, [*words, "--out", str(tmp_path / "s"), "--quiet"]) == 0
    front = tmp_path / "s" / "front.json"
    report = train(front, folders_of_colour(folders), design="fastest", epochs=1,
                   out=tmp_path / "o")  # fmt: skip
    assert report.samples["training"] > 0
    x = np.zeros((2, 3, 32, 32), np.float32)
    (found,) = run_onnx(onnx.load(tmp_path / "o" / "front-trained.onnx"), {"input": x[:1]}).values()
    assert found.shape == (1, 2)


def folders_of_colour(folders):
    return folders  # images become what the network reads


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda d: {}, 4, "no such file"),
        (lambda d: {"x": d["x"], "y": np.zeros(20, int)}, 4, "of one class"),
        (lambda d: {"x": d["x"], "y": np.arange(20) % 2 - 1}, 4, "whole numbers from 0"),
        (lambda d: {"x": d["x"][:, :1], "y": d["y"]}, 4, "the model reads (2, 6, 6)"),
        (lambda d: {"x": d["x"] * np.nan, "y": d["y"]}, 4, "not finite"),
        (lambda d: {"x": d["x"][:3], "y": d["y"][:3]}, 4, "too few"),
        (lambda d: {"x": d["x"], "y": d["y"] * 0.5 + 1e38}, 0, ""),
        (
            lambda d: {"x": d["x"], "y": np.arange(20) % 2, "classes": np.array(["one"])},
            4,
            "a label of 1, and 1 classes",
        ),
    ],
)
def test_bad_data_is_one_line(tmp_path, capsys, make, code, message):
    rng = np.random.default_rng(0)
    good = {"x": rng.standard_normal((20, 2, 6, 6)).astype(np.float32), "y": np.arange(20) % 2}
    given = make(good)
    data = tmp_path / "d.npz"
    if given:
        np.savez(data, **given)
    start = network(tmp_path / "m.onnx", (2, 6, 6), 2)
    words = ["train", str(start), "--data", str(data), "--epochs", "1", "--quiet", "--out"]
    assert run_command(_dispatch, [*words, str(tmp_path / "o")]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == (1 if code else 0)


def test_a_loss_that_is_no_number_is_told(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 2, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(40) % 2)
    start = network(tmp_path / "m.onnx", (2, 6, 6), 2)
    broken = onnx.load(start)
    for tensor in broken.graph.initializer:
        if tensor.name == "w":
            big = np.full((8, 2, 3, 3), 1e38, np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(big, "w"))
    onnx.save(broken, start)
    words = ["train", str(start), "--data", str(tmp_path / "d.npz"), "--quiet", "--out"]
    assert run_command(_dispatch, [*words, str(tmp_path / "o")]) == 5
    assert "finite number" in capsys.readouterr().err


def test_a_full_disk_is_told_and_keeps_what_was_there(tmp_path, folders, monkeypatch, capsys):
    start = network(tmp_path / "m.onnx", (1, 8, 8), 2)
    out = tmp_path / "o"
    train(start, folders, epochs=1, out=out)
    before = (out / "m-trained.onnx").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device", "flash-checkpoint.pt")

    monkeypatch.setattr(own_data, "_save", full)
    words = ["train", str(start), "--data", str(folders), "--quiet", "--out", str(out)]
    assert run_command(_dispatch, words) == 1
    assert "No space left" in capsys.readouterr().err
    assert (out / "m-trained.onnx").read_bytes() == before


def test_wrong_arguments(tmp_path, folders, capsys):
    start = str(network(tmp_path / "m.onnx", (1, 8, 8), 2))
    for words, message in (
        (["--augmentation", "lite"], "unknown augmentation"),
        (["--precision", "fp8"], "unknown precision"),
        (["--rate", "50"], "the rate must be"),
        (["--design", "x"], "--design is for"),
        (["--task", "words"], "unknown task"),
    ):
        assert run_command(_dispatch, ["train", start, "--data", str(folders), *words]) == 2
        assert message in capsys.readouterr().err
    assert issubclass(InputError, FlashError)
