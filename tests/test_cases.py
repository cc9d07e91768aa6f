"""Cases that were wrong once (``shared/cases``): each has its right value or refusal now.

ONNX files among them are in ``test_onnx_cases``; what a README there asks for is what is tested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flash.__main__ import _dispatch
from flash.command import run_command

ROOT = Path(__file__).resolve().parents[1]
CASES = Path(os.environ.get("FLASH_SHARED", ROOT.parent / "shared")) / "cases"
DEVICE = ROOT / "scripts" / "profile_device.py"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no {CASES}: cases of third parties")


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Copies a case into the working folder, an empty one."""

    def copied(name):
        shutil.copytree(CASES / name, tmp_path, dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return copied


def run(*words):
    """Output, errors and exit code of a Python program."""
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


def machine(name):
    """What a case's own program prints of a made-up machine; it gets the device program."""
    return run(CASES / name / "run.py", DEVICE)


def flash(*words):
    return run_command(_dispatch, list(map(str, words)))


@pytest.mark.parametrize("table, says", [("mixed", "fractions and per cents"), ("over", "116.86")])
def test_accuracies_of_two_scales_or_over_a_hundred_are_refused(case, table, says, capsys):
    words = ["search", "--space", "nasbench201", "--target", "rpi4b", "--search", "random"]
    case("accuracy_scales")
    assert flash(*words, "--budget", 6, "--evaluator", f"{table}.csv") == 4
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("table", ["nan", "empty"])
def test_an_accuracy_that_is_missing_is_a_training_that_failed(case, table, capsys):
    words = ["search", "--space", "nasbench201", "--target", "rpi4b", "--search", "random"]
    case("accuracy_scales")
    assert flash(*words, "--budget", 6, "--evaluator", f"{table}.csv", "--out", "out") == 0
    assert "failed     the table has no accuracy of this design" in capsys.readouterr().out


def test_half_a_core_is_one_thread():
    assert machine("container_cpu_quota").stdout.strip() == "1"


def test_all_rails_of_a_jetson_are_added_and_named():
    found = machine("ina3221_three_rails").stdout
    assert "hwmon0/1+hwmon0/2+hwmon0/3" in found and "8.0" in found


def test_a_meter_is_integrated_over_time():
    assert "'mean': 483.33" in machine("meter_uneven_samples").stdout


@pytest.mark.parametrize("name", ["rapl_counter_reset", "rapl_range_unreadable"])
def test_a_counter_that_cannot_be_trusted_gives_no_energy(name):
    found = machine(name)
    # The program of the first case multiplies the energy, which is None.
    assert "NoneType" in found.stderr or "energy_mj=None" in found.stdout


def test_a_meters_clock_is_set_by_the_edges_of_the_windows(case):
    case("meter_clock_off")
    done = run(DEVICE, "--meter", "meter.csv", "--out", "m.jsonl")
    assert done.returncode == 0 and "+4.00 s" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "name, says", [("meter_nan", "line 13"), ("meter_negative", "the other way round")]
)
def test_a_meter_that_lies_is_named_and_nothing_is_written(case, name, says):
    place = case(name)
    before = (place / "m.jsonl").read_bytes()
    done = run(DEVICE, "--meter", "meter.csv", "--out", "m.jsonl")
    assert done.returncode == 4 and says in done.stderr and done.stderr.count("\n") == 1
    assert (place / "m.jsonl").read_bytes() == before


def test_a_model_of_free_sizes_that_could_not_be_measured_is_no_success(case):
    pytest.importorskip("onnxruntime")
    case("profile_dynamic_shape")
    common = ["profile", "conv.onnx", "--threads", 1, "--budget", "5s", "--out", "a.jsonl"]
    assert flash(*common, "--quiet") == 5
    assert flash(*common, "--quiet", "--input", "x=1x16x32x32") == 0


def test_a_journal_that_is_none_stays_as_it_is(case, capsys):
    place = case("faults/journal_that_is_not_one")
    (place / "ev.sh").write_text("#!/bin/sh\necho 93\n")
    (place / "ev.sh").chmod(0o755)
    before = (place / "notes.txt").read_bytes()
    words = ["search", "--space", "nasbench201", "--target", "rpi4b", "--search", "random"]
    code = flash(*words, "--budget", 2, "--evaluator", "./ev.sh", "--results", "notes.txt")
    assert code == 4 and (place / "notes.txt").read_bytes() == before
    assert flash("profile", "--out", "notes.txt", "--budget", "1s") == 4
    assert (place / "notes.txt").read_bytes() == before


def test_a_measurement_of_400_digits_is_named(case, capsys):
    case("faults/measurement_integer_401_digits")
    assert flash("fit", "m.jsonl", "--name", "x", "--out", "x.toml") == 0
    assert "left out: m.jsonl:5: latency_ms.median is inf" in capsys.readouterr().err


def test_a_list_where_a_word_belongs_is_named(case, capsys):
    case("faults/profile_list_in_list")
    words = ["--space", "nasbench201", "--designs", "d.txt", "--target", "./t.toml"]
    assert flash("estimate", *words) == 4
    assert "codesign" in capsys.readouterr().err


def test_every_case_is_a_test():
    here = Path(__file__).read_text() + (ROOT / "tests" / "test_onnx_cases.py").read_text()
    #: Latencies of a host that measures itself; how far off they are is validated, not tested.
    measured = {"call_floor", "small_depthwise"}
    names = {path.name for path in (*CASES.iterdir(), *(CASES / "faults").iterdir())}
    assert {name for name in names - {"faults"} - measured if name not in here} == set()
