"""``flash list`` and ``flash doctor``: what is known and what is there, with the core alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flash import COMMANDS
from flash.__main__ import _dispatch
from flash.accuracy import accuracy_of
from flash.command import run_command
from flash.extras import install_command
from flash.info import TOPICS, catalogue, doctor
from flash.metrics import METRICS
from flash.plugins import GROUPS
from flash.spaces.space import load_space
from flash.targets import load_target

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "files"

#: A Python in which no library of an extra can be imported, and a command in it.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    absent = {"torch", "onnx", "onnxruntime", "tvm", "ray", "sklearn", "deap", "pymoo", "PIL"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
CORE = f"""{WITHOUT}
sys.argv = ["flash", *sys.argv[1:]]
from flash.__main__ import main
sys.exit(main())
"""


def flash(*words):
    return run_command(_dispatch, words)


@pytest.mark.parametrize("topic", TOPICS)
def test_everything_is_listed_by_name_in_a_line_of_100_columns(topic, capsys):
    assert flash("list", topic) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert flash("list", topic, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "flash.list/1"
    for entry in document[topic]:
        assert entry["name"] in text
        assert entry["description"] and entry["origin"] == "flash"
    keys = {tuple(entry) for entry in document[topic]}
    assert len(keys) == 1, "every entry of a topic has the same fields"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "metric"], "nothing to list under 'metric' (did you mean 'metrics'?)"),
        (["list"], "give what to list: targets, runtimes, spaces"),
        (["lits"], "unknown command 'lits' (did you mean 'list'?)"),
        (["doctor", "--jsn"], "unknown option --jsn (did you mean '--json'?)"),
    ],
)
def test_near_misses_are_met_with_the_closest(words, says, capsys):
    assert flash(*words) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_spaces_are_listed_with_whether_they_predict_accuracy():
    told = {entry.name: entry for entry in catalogue("spaces").entries}
    assert told["cifar10-add"].description.endswith("; predicts accuracy")
    assert accuracy_of(load_space("nasbench-macro")) is None
    assert "predicts" not in told["nasbench-macro"].description


def test_runtimes_are_listed_as_targets_name_them():
    rows = {row["name"]: row for row in catalogue("runtimes").to_records()}
    assert rows["rpi4b:tflite_int8"]["precision"] == "int8"
    assert [name for name, row in rows.items() if name.startswith("rpi4b:") and row["usual"]] == [
        f"rpi4b:{load_target('rpi4b').summary()['runtime']}"
    ]
    for name in rows:
        assert load_target(name.partition(":")[0], name.partition(":")[2]) is not None


def test_the_core_is_enough(tmp_path):
    for words in (["list", "strategies", "--json"], ["list", "targets"], ["doctor", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", CORE, *words], capture_output=True, text=True, cwd=tmp_path,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("raspberrypi4", "'rpi4b'"),
        ("raspberry-pi-3b", "'rpi3b'"),
        ("pi5", "'rpi5'"),
        ("raspberrypi3b+", "'rpi3b-plus'"),
        ("pizero2w", "'rpi-zero-2w'"),
        ("raspberrypi2", "three commands make one"),
        ("stm32h7", "runs no Python"),
    ],
)
def test_boards_under_other_names_are_answered_with_the_profile_there_is(name, answer, capsys):
    assert flash("search", "--target", name) == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "answer"),
    [
        ("--target", "bord", "(did you mean 'board', the file board.toml here?)"),
        ("--space", "myspce", "(did you mean 'myspace', the file myspace.toml here?)"),
        ("--target", "rpi4", "(did you mean 'rpi4b'?)"),
        ("--space", "cifar10-ad", "(did you mean 'cifar10-add'?)"),
    ],
)
def test_a_name_nearly_that_of_an_own_file_is_met_with_it(
    option, name, answer, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for own in ("board", "myspace"):
        Path(f"{own}.toml").write_text("")
    assert flash("search", option, name) == 2
    assert answer in capsys.readouterr().err


def test_every_command_has_its_help_and_the_core_is_enough_to_read_it(tmp_path):
    help_of_each = f"""{WITHOUT}
from flash.__main__ import _dispatch
from flash.command import run_command
for command in sys.argv[1:]:
    code = run_command(_dispatch, [command, "--help"])
    print(f"{{command}} left with {{code}}", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", help_of_each, *COMMANDS], capture_output=True, text=True,
        cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert not done.stderr
    *texts, rest = re.split(r"^(\w+) left with 0\n", done.stdout, flags=re.MULTILINE)
    assert texts[1::2] == [*COMMANDS] and not rest
    assert all("usage: " in text for text in texts[::2])


def test_a_table_of_trained_networks_needs_nothing_but_the_core(tmp_path):
    words = ["calibrate", "--space", "cifar10-concat", "--trained", EXAMPLES / "table.csv"]
    done = subprocess.run(
        [sys.executable, "-c", CORE, *map(str, words), "--out", "mine.toml"],
        capture_output=True, text=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and (tmp_path / "mine.toml").is_file(), done.stderr


def test_help_shows_both(capsys):
    assert flash("--help") == 0
    text = capsys.readouterr().out
    assert "\n  list " in text and "\n  doctor " in text


def test_the_doctor_names_what_is_missing_and_the_command_that_mends_it(monkeypatch, capsys):
    from importlib import metadata

    real = metadata.version

    def version(name):
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = doctor()
    (onnx,) = [extra for extra in found.extras if extra.name == "onnx"]
    assert "onnxruntime" in onnx.missing
    assert onnx.remedy == install_command("onnx")
    assert {library.name for library in found.libraries} >= {"numpy", "scipy", "moocore", "rich"}
    assert flash("doctor") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"onnxruntime: {install_command('onnx')}" in text


def test_every_source_of_power_is_told_with_a_reason_where_it_has_none():
    from flash.device.registry import SENSORS

    found = doctor().sensors
    assert len(found) >= len(SENSORS.builtin)
    for sensor in found:
        assert sensor.problem or (sensor.kind in ("counter", "power") and sensor.scope)
        assert "\n" not in sensor.problem


def test_a_member_that_cannot_be_used_is_listed_with_the_reason():
    METRICS._places["broken"] = "no_such_package:METRIC"
    try:
        (entry,) = [entry for entry in catalogue("metrics").entries if entry.name == "broken"]
        assert entry.origin == "no_such_package"
        assert "not usable: metric 'broken' (no_such_package:METRIC) cannot be loaded" in (
            entry.description
        )
        assert "cannot be loaded" in doctor().plugins["flash.metrics: broken"]
    finally:
        del METRICS._places["broken"]


def test_the_doctor_looks_into_every_group():
    assert all(isinstance(problem, str) for problem in doctor().plugins.values())
    assert len(GROUPS) == 11
