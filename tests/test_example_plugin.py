"""The example package is installed as anybody would, and flash's commands run with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package and its entry points, made by pip."""
    pytest.importorskip("hatchling", reason="needs the extra test")
    place = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "--target", str(place), str(EXAMPLE)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return place


@pytest.fixture
def run(installed, tmp_path):
    """Run a module with the package on the path, in an empty folder; returns its output."""

    def call(*words, **more):
        path = os.pathsep.join([str(installed), str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)], cwd=tmp_path, capture_output=True,
            text=True, timeout=600, env={**os.environ, "PYTHONPATH": path, **more},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    return call


def test_its_metric_and_family_are_searched_estimated_and_exported(run, installed, tmp_path):
    space = installed / "flash_example" / "plain.toml"
    run("flash.search", "--space", space, "--target", "rpi4b", "--out", "out", "--quiet")
    report = json.loads((tmp_path / "out" / "front.json").read_text())
    assert report["objectives"] == ["log_widths", "latency_ms"]
    assert report["optimizer"]["certified"]
    (tmp_path / "designs.txt").write_text(json.dumps(report["front"][0]["design"]))
    rows = json.loads(
        run("flash.estimate", "--space", space, "--designs", "designs.txt", "--metric",
            "log_widths", "--json", "-")
    )  # fmt: skip
    assert rows[0]["log_widths"] > 0
    pytest.importorskip("onnxruntime")
    run("flash.export", "out/front.json", "--space", space, "--format", "npz", "--out", "build")
    manifest = json.loads((tmp_path / "build" / "manifest.json").read_text())
    (build,) = manifest["designs"][0]["builds"]
    assert build["format"] == "npz" and (tmp_path / "build" / build["file"]).is_file()


def test_its_optimizer_searches_its_kind_of_target(run, installed, tmp_path):
    target = installed / "flash_example" / "lanes.toml"
    run("flash.search", "--target", target, "--hardware", "lanes=32", "--optimizer", "sampling",
        "--out", "out", "--quiet")  # fmt: skip
    report = json.loads((tmp_path / "out" / "front.json").read_text())
    assert report["optimizer"]["name"] == "sampling" and report["optimizer"]["certified"]
    assert 0 < report["optimizer"]["gap"] <= 1
    assert {design["hardware"]["lanes"] for design in report["front"]} == {32}


def test_its_strategy_spends_a_budget(run, tmp_path):
    rest = "|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    cells = [f"|{op}~0{rest}" for op in ("nor_conv_3x3", "nor_conv_1x1", "skip_connect")]
    table = "design,accuracy\n" + "".join(f"{cell},{90 + k}\n" for k, cell in enumerate(cells))
    (tmp_path / "table.csv").write_text(table)
    text = run("flash.search", "--space", "nasbench201", "--search", "climb", "--budget", "3",
               "--evaluator", "table.csv", "--json", "-")  # fmt: skip
    assert '"climb"' in text and json.loads(text)


def test_its_members_are_listed_with_their_package(run, tmp_path):
    members = {
        "metrics": "log_widths", "proxies": "output_spread", "families": "plain",
        "kinds": "example.lanes", "optimizers": "sampling", "strategies": "climb",
        "formats": "npz",
    }  # fmt: skip
    # One process lists them all: flash and its libraries are imported once.
    (tmp_path / "lists.py").write_text(
        "import sys\nfrom flash.__main__ import _dispatch\nfor topic in sys.argv[1:]:\n"
        "    _dispatch(['list', topic, '--json'])\n    print('end of a list')\n"
    )
    *lists, rest = run("lists", *members).split("end of a list\n")
    assert not rest
    for (topic, name), text in zip(members.items(), lists, strict=True):
        listed = json.loads(text)[topic]
        (entry,) = [entry for entry in listed if entry["origin"] == "flash_example"]
        assert entry["name"] == name and entry["description"]
    found = json.loads(run("flash", "doctor", "--json"))
    assert found["plugins"]["flash.sensors: power_file"] == ""
    assert {"power-file"} <= {sensor["name"] for sensor in found["sensors"]}


def test_its_proxy_is_a_metric_of_estimate(run, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "designs.txt").write_text("w=8,16,32 d=3,3,3 t=0,0,0\n")
    rows = json.loads(
        run("flash.estimate", "--designs", "designs.txt", "--metric", "output_spread",
            "--proxy-batch", "4", "--proxy-cache", "scores", "--json", "-")
    )  # fmt: skip
    assert isinstance(rows[0]["output_spread"], float)


def test_its_conformance_tests_pass(run):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    run("pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-c", os.devnull,
        "--rootdir", EXAMPLE, EXAMPLE / "tests")  # fmt: skip
