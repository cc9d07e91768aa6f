"""A search goes down through the rooms of flash once and comes back once (``scripts/walk.py``)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def walking():
    spec = importlib.util.spec_from_file_location("walk", ROOT / "scripts" / "walk.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["walk"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["walk"]


def walked(walking, verb_code):
    """The rooms of code that stands in the folder of the verb ``search``."""
    import flash.optimize.objectives
    import flash.quantities
    import flash.spaces.space
    import flash.targets

    names = {
        "load_space": flash.spaces.space.load_space,
        "load_target": flash.targets.load_target,
        "quantity": flash.quantities.quantity,
        "Scalar": flash.optimize.objectives.Scalar,
        "Objective": flash.optimize.objectives.Objective,
        "ratio": flash.optimize.objectives.ratio,
    }
    code = compile(verb_code, str(ROOT / "flash" / "search" / "made_up.py"), "exec")
    exec(code, names)  # noqa: S102 (the code above)
    follow = walking.Walk("search")
    sys.setprofile(follow)
    try:
        names["verb"]()
    finally:
        sys.setprofile(None)
    return [stay.room for stay in follow.stays]


def test_consecutive_calls_into_a_room_are_one_stay(walking):
    code = (
        "def verb():\n    space = load_space('cifar10-add')\n    space.size\n"
        "    load_target('rpi3b')\n    abs(space.size)\n"
    )
    assert walked(walking, code) == ["spaces", "targets", "spaces"]


def test_ground_libraries_and_generated_code_are_no_rooms(walking):
    code = (
        "import math\ndef verb():\n    load_space('cifar10-add')\n    quantity('macs').label\n"
        "    math.sqrt(2)\n    load_space('cifar10-concat')\n    Scalar('x', (), None)\n"
    )
    assert walked(walking, code) == ["spaces"]


def test_what_a_callback_calls_belongs_to_the_stay_that_calls_back(walking):
    code = (
        "def verb():\n    goal = ratio((Objective('a', 'max'), Objective('b', 'min')), utility)\n"
        "    import numpy\n    goal.function(numpy.ones((3, 2)))\n"
        "def utility(values):\n    load_space('cifar10-add')\n    return values\n"
    )
    assert walked(walking, code) == ["optimize"]


def test_the_default_search_enters_no_room_more_than_twice(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "walk.py"), "flash", "search"]
    done = subprocess.run(
        [*command, "--target", "rpi3b", "--out", str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "front.json").exists()
    *stays, summary = done.stderr.splitlines()
    rooms = [line.split()[1] for line in stays]
    counts = {room: rooms.count(room) for room in rooms}
    assert summary == "stays: " + ", ".join(f"{room} {n}" for room, n in counts.items())
    assert {"spaces", "targets", "accuracy", "evaluation", "optimize", "report"} <= set(counts)
    assert max(counts.values()) <= 2, done.stderr


#: A space of 16 networks.
SMALL = """schema = "flash.space/1"
family = "concat"
classes = 10
[input]
channels = 3
height = 32
width = 32
[settings]
cells = 2
[variables]
w1 = [8, 32]
d1 = [3, 8]
t1 = [16]
w2 = [16, 128]
d2 = [3, 9]
t2 = [16]
"""
#: Targets with hardware variables: all but a few are given, or all.
CHIPS = (
    ("systolic", "buffer_kib=128,bits=8,frequency_mhz=800,cols=32,dataflow=os"),
    ("imc", "columns=128,crossbars_per_tile=8,noc_bits=64,mvm_limit=1024,columns_per_adc=16"),
    ("imc", "default"),
)


@pytest.mark.parametrize(("target", "given"), CHIPS)
def test_a_search_of_networks_and_chips_walks_as_any_other(walking, target, given, tmp_path):
    space = tmp_path / "small.toml"
    space.write_text(SMALL, encoding="utf-8")
    options = ["--space", str(space), "--quiet", "--out", str(tmp_path)]
    if given != "default":
        options += ["--certify-seconds", "0"]
    code, stays = walking.walk("search", ["--target", target, "--hardware", given, *options])
    rooms = [stay.room for stay in stays]
    assert code == 0 and {"targets", "evaluation", "optimize", "report"} <= set(rooms)
    assert max(map(rooms.count, rooms)) <= 2, rooms
