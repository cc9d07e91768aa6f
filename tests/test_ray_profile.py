"""Measuring over a Ray cluster ends as measuring here: one file, nothing measured twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flash.command import run_command
from flash.profile import command as profile_command
from flash.profile.transports import ray_cluster
from flash.workers import Done, Lost

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

pytestmark = pytest.mark.usefixtures("measured_quickly")

TEXTS = [f"4x8x8: conv k3 {width}" for width in (4, 6, 8, 10, 12, 16)]


def _profile(*arguments):
    return run_command(profile_command.main, list(map(str, arguments)))


@pytest.fixture
def options(tmp_path):
    """The command's options, and the file it fills."""
    workloads = tmp_path / "workloads.txt"
    workloads.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    out = tmp_path / "out.jsonl"
    given = ["--workloads", workloads, "--budget", "20s", "--threads", 1, "--out", out]
    return [*given, "--quiet", "--ray"], out


@pytest.fixture
def here(monkeypatch):
    """A cluster of this process alone; the tasks it was given."""
    given = []

    def run_on_ray(function, shared, tasks, address):
        for task in tasks:
            given.append((address, task))
            yield Done(task, function(shared, task))

    monkeypatch.setattr(ray_cluster, "run_on_ray", run_on_ray)
    return given


def _lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_tasks_fill_one_file_and_share_the_budget(options, here, capsys):
    command, out = options
    assert _profile(*command, "local") == 0
    assert "6 networks measured" in capsys.readouterr().out
    head, *records = _lines(out)
    assert head["schema"] == "flash.measurements/1"
    assert [record["network"]["workload"] for record in records] == TEXTS
    assert all(record["latency_ms"]["median"] > 0 for record in records)
    assert [address for address, _ in here] == ["local", "local"]
    budgets = [float(budget.removeprefix("--budget=").removesuffix("s")) for _, (_, budget) in here]
    assert sum(budgets) == pytest.approx(20.0, abs=1.0)
    assert _profile(*command, "local") == 0
    assert "6 networks measured, 6 of them before" in capsys.readouterr().out
    assert len(here) == 2, "nothing is measured twice"


def test_a_task_that_fails_leaves_the_others_and_is_made_up_for(options, here, monkeypatch, capsys):
    command, out = options
    whole = ray_cluster.run_on_ray

    def half(function, shared, tasks, address):
        yield Lost(tasks[0], "its machine went away")
        yield from whole(function, shared, tasks[1:], address)

    monkeypatch.setattr(ray_cluster, "run_on_ray", half)
    assert _profile(*command, "local") == 1
    error = capsys.readouterr().err
    assert "1 of 2 tasks failed, the first with: its machine went away" in error
    assert error.count("\n") == 1
    assert len(_lines(out)) == 1 + 2
    monkeypatch.setattr(ray_cluster, "run_on_ray", whole)
    assert _profile(*command, "local") == 0
    assert {record["network"]["workload"] for record in _lines(out)[1:]} == set(TEXTS)


def test_unlike_machines_are_refused_and_what_fits_stays(options, here, monkeypatch, capsys):
    command, out = options
    real, seen = ray_cluster.measure_part, []

    def measure(shared, task):
        head, records = real(shared, task)
        seen.append(head)
        other = {"model": "another board"} if len(seen) > 1 else {}
        return head | {"device": head["device"] | other}, records

    monkeypatch.setattr(ray_cluster, "measure_part", measure)
    assert _profile(*command, "local") == 2
    assert "measurements of another device or runtime" in capsys.readouterr().err
    assert len(_lines(out)) == 1 + 4


def test_what_the_measuring_program_says_comes_back(options, here, capsys):
    command, out = options
    assert _profile(*command, "local", "--provider", "cuda") == 1
    assert "tasks failed, the first with: " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("other", ["--ssh=a@b", "--meter=m.csv", "--key=rpi3b"])
def test_options_of_other_devices_are_refused(options, other, capsys):
    command, _ = options
    assert _profile(*command, "local", other) == 2
    assert "cannot be had with --ray" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_local_cluster_measures(options, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(profile_command.__file__).parents[2]))
    command, out = options
    assert _profile(*command, "local", "--budget", "2min") == 0
    assert {record["network"]["workload"] for record in _lines(out)[1:]} == set(TEXTS)
