"""Kinds of target: one from another package does all that ours do, and nothing names ours."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flash.errors import ProfileError
from flash.evaluation import evaluate
from flash.spaces.space import load_space
from flash.targets import KINDS, load_hardware, load_target
from flash.testing import TargetConformance

_HERE = Path(__file__).parent
_PROFILE = """schema = "acme.lookup/1"
name = "lookup"
mm2_per_lane = 0.01
[ns_per_mac]
conv = 2.0
linear = 5.0
[variables]
lanes = [8, 16, 32, 64]
[default]
lanes = 16
"""


@pytest.fixture
def installed(tmp_path):
    """A folder with the package and its entry point as pip installs them, and a profile."""
    shutil.copy(_HERE / "toy_target" / "acme_lookup.py", tmp_path)
    info = tmp_path / "acme_lookup-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-lookup\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flash.targets]\nacme.lookup = acme_lookup:KIND\n")
    (tmp_path / "lookup.toml").write_text(_PROFILE, encoding="utf-8")
    return tmp_path


def _run(folder, *words):
    path = os.pathsep.join([str(folder), str(_HERE.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONPATH": path}, cwd=folder, capture_output=True, text=True,
        timeout=300, check=True,
    ).stdout  # fmt: skip


def test_another_packages_kind_is_searched_with_the_network(installed):
    _run(installed, "flash.search", "--target", "lookup.toml", "--out", "out", "--quiet",
         "--certify-seconds", "30")  # fmt: skip
    document = json.loads((installed / "out" / "front.json").read_text(encoding="utf-8"))
    assert document["optimizer"]["certified"]
    assert document["objectives"] == ["accuracy", "latency_ms", "area_mm2"]
    assert document["target"]["hardware"]["searched"] == {"lanes": [8, 16, 32, 64]}
    for design in document["front"]:
        lanes = design["hardware"]["lanes"]
        assert design["area_mm2"]["value"] == pytest.approx(0.01 * lanes)
        # All multiply-accumulates but those of the head, ten classes, are convolutions.
        head = 1e6 * lanes * design["latency_ms"]["value"] - 2.0 * design["macs"]
        assert 0 < head < 1e-2 * design["macs"]
    assert "one block of lanes" in (installed / "out" / "chip.svg").read_text(encoding="utf-8")


def test_another_packages_kind_as_one_chip(installed):
    _run(installed, "flash.search", "--target", "lookup.toml", "--hardware", "default",
         "--out", "out", "--quiet")  # fmt: skip
    document = json.loads((installed / "out" / "front.json").read_text(encoding="utf-8"))
    assert {design["hardware"]["lanes"] for design in document["front"]} == {16}
    (installed / "designs.txt").write_text("w=8,16,32 d=3,3,3 t=0,0,0\n")
    text = _run(installed, "flash.estimate", "--space", "cifar10-concat", "--designs",
                "designs.txt", "--target", "lookup.toml", "--hardware", "lanes=8",
                "--json", "-")  # fmt: skip
    (row,) = json.loads(text)
    assert row["latency_high_ms"] == pytest.approx(1.5 * row["latency_ms"])
    assert row["area_mm2"] == pytest.approx(0.08)


@pytest.fixture
def added(monkeypatch, tmp_path):
    """A profile of the toy kind, which running code has added."""
    monkeypatch.syspath_prepend(str(_HERE / "toy_target"))
    from acme_lookup import KIND

    path = tmp_path / "lookup.toml"
    path.write_text(_PROFILE, encoding="utf-8")
    KINDS.add("acme.lookup", KIND)
    yield str(path)
    KINDS.remove("acme.lookup")


class TestToyTarget(TargetConformance):
    @pytest.fixture
    def hardware(self, added):
        return load_hardware(added)


def test_a_kind_that_nobody_registered_is_refused_with_those_that_are(tmp_path):
    path = tmp_path / "lookup.toml"
    path.write_text(_PROFILE, encoding="utf-8")
    with pytest.raises(ProfileError, match=r"expected a schema of a target .*got 'acme.lookup/1'"):
        load_hardware(str(path))


@pytest.mark.parametrize("name", ["rpi4b", "rpi4b:tflite", "x86-avx512", "systolic", "imc"])
def test_a_breakdown_adds_up_to_the_costs(name, rng):
    space, target = load_space("cifar10-concat"), load_target(name)
    design = space.sample(1, rng)
    found, parts = evaluate(space, target, design), target.breakdown(space.network(design[0]))
    assert sum(x.latency_ms for x in parts.layers) == pytest.approx(found.latency_ms[0][0])
    assert sum(parts.latency_ms.values()) == pytest.approx(found.latency_ms[0][0])
    if target.energy_how:
        assert sum(parts.energy_mj.values()) == pytest.approx(found.energy_mj[0][0])
        every = [sum(layer.energy_mj.values()) for layer in parts.layers]
        assert sum(every) == pytest.approx(found.energy_mj[0][0])
    if found.area_mm2 is not None:
        assert sum(parts.area_mm2.values()) == pytest.approx(found.area_mm2[0][0])
    assert (parts.drawing is None) == (not target.chip)


@pytest.mark.parametrize("name", ["systolic", "imc"])
def test_a_drawing_stays_in_the_unit_square_and_its_blocks_do_not_overlap(name, rng):
    space, target = load_space("cifar10-add"), load_target(name)
    drawing = target.breakdown(space.network(space.sample(1, rng)[0])).drawing
    assert drawing.layers == len({block.layer for block in drawing.blocks})
    grid = np.zeros((400, 400), dtype=int)
    for block in drawing.blocks:
        assert 0 <= block.left <= block.left + block.width <= 1 + 1e-9
        assert 0 <= block.top <= block.top + block.height <= 1 + 1e-9
        rows, columns = (
            slice(round(400 * start), round(400 * (start + size)))
            for start, size in ((block.top, block.height), (block.left, block.width))
        )
        grid[rows, columns] += 1
    assert grid.max() == 1


def test_nothing_outside_its_room_imports_a_kind_of_accelerator():
    root = _HERE.parent / "flash"
    rooms = ("flash.targets.imc", "flash.targets.systolic")
    for path in root.rglob("*.py"):
        if path.is_relative_to(root / "targets" / "imc") or path.is_relative_to(
            root / "targets" / "systolic"
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith(rooms) for name in names), path
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                kinds = ("Hardware", "Profile", "Target")
                assert not ast.unparse(node.args[1]).endswith(kinds), (path, ast.unparse(node))


def test_a_search_on_a_board_imports_no_accelerator():
    code = (
        "import sys; from flash.targets import load_target; load_target('rpi3b');"
        "print([m for m in sys.modules if m.startswith(('flash.targets.imc',"
        "'flash.targets.systolic', 'flash.targets.components'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
