"""Predicted beside measured: matched by content, and honest about what is missing."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import numpy as np
import pytest

from flash.command import run_command
from flash.estimate import command as estimate_command
from flash.estimate import estimate
from flash.spaces.space import load_space

pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'flash-codesign[onnx]'")

HEAD = {
    "schema": "flash.measurements/1", "device": {"model": "A board", "cpu": "Cortex-A53"},
    "runtime": {"name": "onnxruntime", "version": "1.0"}, "threads": 4, "precision": "fp32",
}  # fmt: skip


def _estimate(*arguments):
    return run_command(estimate_command.main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two ONNX files and their predicted latencies."""
    from flash.backends import network_model, random_weights

    folder = tmp_path_factory.mktemp("models")
    space, paths = load_space("nasbench201"), []
    for number, design in enumerate(space.sample(2, np.random.default_rng(1))):
        network = space.network(design)
        paths.append(folder / f"{number}.onnx")
        content = network_model(network, random_weights(network)).SerializeToString()
        paths[-1].write_bytes(content)
    rows = estimate(models=paths, target="rpi4b")
    return [(path, row["latency_ms"]) for path, row in zip(paths, rows, strict=True)]


def _record(path, median):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    latency = {"median": median, "p10": 0.9 * median, "p90": 1.2 * median, "runs": 9}
    # Not the name but the content says which network it was.
    return {"network": {"onnx": "elsewhere.onnx", "sha256": digest}, "latency_ms": latency}


def _file(tmp_path, *records):
    path = tmp_path / "measurements.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (HEAD, *records)), encoding="utf-8")
    return path


def test_ratio_and_interval_are_those_of_the_two_numbers(models, tmp_path, capsys):
    (first, value), (second, other) = models
    measured = _file(tmp_path, _record(second, 50 * other), _record(first, 1.01 * value))
    common = [first, second, "--target", "rpi4b", "--measured", measured]
    assert _estimate(*common, "--csv", "-") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["measured_over_predicted"]) for row in rows] == pytest.approx([1.01, 50])
    assert [row["in_interval"] for row in rows] == ["true", "false"]
    assert _estimate(*common) == 0
    table = capsys.readouterr().out
    assert "measured   A board, Cortex-A53, onnxruntime 1.0, 4 threads, fp32" in table
    assert "rpi4b, Raspberry Pi 4 Model B" in table
    (line,) = [line for line in table.splitlines() if line.startswith(str(first))]
    assert line.split()[-2:] == ["1.01", "yes"]
    (line,) = [line for line in table.splitlines() if line.startswith(str(second))]
    assert line.split()[-2:] == ["50.00", "no"]


def test_a_file_nobody_measured_says_so(models, tmp_path, capsys):
    (first, value), (second, _) = models
    failed = {"network": {"onnx": "x", "sha256": "0"}, "error": "out of memory"}
    measured = _file(tmp_path, _record(first, value), failed)
    assert _estimate(first, second, "--target", "rpi4b", "--measured", measured) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith(str(second))]
    assert line.endswith("not measured")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got None"),
        ("nothing\n", "m.jsonl:1: the header is not valid JSON"),
        ('{"schema": "flash.search/1"}\n', "m.jsonl:1: expected a header with"),
        (json.dumps(HEAD) + "\n[]\n", "m.jsonl:2: expected a record"),
        (
            json.dumps(HEAD) + '\n{"network": {"onnx": "a"}}\n',
            "m.jsonl:2: latency_ms must hold a median",
        ),
        (
            json.dumps(HEAD) + '\n{"network": {"onnx": "a"}, "latency_ms": '
            '{"median": 1, "p10": 2, "p90": 3}}\n',
            "m.jsonl:2: latency_ms must have p10 <= median <= p90",
        ),
    ],
)
def test_files_that_are_no_measurements_are_named(models, text, message, tmp_path, capsys):
    path = tmp_path / "m.jsonl"
    path.write_text(text, encoding="utf-8")
    assert _estimate(models[0][0], "--target", "rpi4b", "--measured", path) == 4
    error = capsys.readouterr().err
    assert f"{path}" in error
    assert message in error
    assert error.count("\n") == 1


def test_a_comparison_needs_models_and_a_target(models, tmp_path, capsys):
    path = _file(tmp_path)
    assert _estimate(models[0][0], "--measured", path) == 2
    assert "--measured needs ONNX files and a --target" in capsys.readouterr().err
