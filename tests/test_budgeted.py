"""``flash.search --search``: the user's own trainings, limits, interruption, results as JSON."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import InputError, NothingDoneError, UsageError
from flash.evaluation import evaluate
from flash.extras import need
from flash.optimize import Limit
from flash.search import command as search_command
from flash.search.budgeted import ProgramEvaluator, TableEvaluator, spend
from flash.search.budgeted.journal import Journal, read_accuracies
from flash.search.budgeted.program import command_words
from flash.search.loading import load_problem
from flash.spaces.space import load_space
from flash.targets import load_target

_TINY = """schema = "flash.space/1"
family = "nasbench201"
classes = 10
metric = "rank_score"
[input]
channels = 3
height = 32
width = 32
[settings]
cells = 1
channels = 4
[variables]
e0 = [2, 3]
e1 = [0, 1]
e2 = [2, 3]
e3 = [0, 1]
e4 = [3]
e5 = [2, 3]
"""

#: Prints the sum of the design's values; fails, idles or babbles where asked to.
_PROGRAM = """import json, sys, time
request = json.load(sys.stdin)
open(sys.argv[1], "a").write(request["id"] + "\\n")
total = sum(request["design"].values())
mode = sys.argv[2] if len(sys.argv) > 2 else ""
if mode == "fails" or (mode == "some" and total % 2):
    sys.exit(7)
if mode == "idles":
    time.sleep(60)
print("epoch 1: 13.5")
print({"babbles": "good", "boasts": 1e9}.get(mode, 80 + total))
"""
_CELL = "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(_TINY, encoding="utf-8")
    return load_space(str(path)), path


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(_PROGRAM, encoding="utf-8")
    calls = tmp_path / "calls"
    calls.touch()
    return [sys.executable, "-S", "-E", str(path), str(calls)], calls


def command(*arguments):
    return run_command(search_command.main, list(map(str, arguments)))


def designs_of(space):
    return np.indices([len(g) for g in space.grids]).reshape(len(space.grids), -1).T


def table_file(space, path, rows=slice(None)):
    designs = designs_of(space)[rows]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["design", "accuracy"])
        for d in designs:
            writer.writerow([json.dumps(space.named(d)), 80 + int(space.decode(d[None]).sum())])
    return path


# ------------------------------------------------------------------------------- the command


def test_a_table_of_accuracies_is_searched_and_told_as_json(tiny, tmp_path, capsys):
    space, path = tiny
    table = table_file(space, tmp_path / "t.csv")
    code = command(
        "--space", path, "--target", "rpi4b", "--search", "aggregate", "--budget", "3",
        "--evaluator", table, "--json", "-",
    )  # fmt: skip
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (code, printed.err) == (0, "")
    assert document["schema"] == "flash.budgeted/1"
    assert document["strategy"] == "aggregate"
    assert document["budget"] == {
        "limit": 3,
        "spent": 3,
        "used": 3.0,
        "reused": 0,
        "failed": 0,
    }
    accuracies = [one["accuracy"] for one in document["evaluations"]]
    assert document["best"]["trained_accuracy"] == max(accuracies)
    assert document["best"]["latency_ms"]["value"] > 0
    assert document["candidates"] == {"count": 32, "all": True}


def test_a_search_with_a_budget_from_python_shows_itself(tiny):
    space, path = tiny
    problem = load_problem("rpi4b", None, None, str(path))
    designs = designs_of(space)
    accuracies = 80.0 + space.decode(designs).sum(axis=1)
    limits = [Limit.on("latency_ms", 1e3)]
    report = spend(
        problem, problem.tables("nn_degree"), limits, "random",
        lambda budget: TableEvaluator(budget, designs, accuracies), "a table", budget=4,
    )  # fmt: skip
    text = repr(report)
    assert len(text.splitlines()) <= 10 and len(text) < 1500
    assert f"best       {report.outcome.best.accuracy:g}" in text
    document = json.loads(report.to_json())
    assert document["limits"] == {"latency_ms": 1e3}
    pytest.importorskip("pandas")
    frame = report.to_dataframe()
    assert list(frame.columns) == list(document["evaluations"][0])
    assert frame["accuracy"].tolist() == [one["accuracy"] for one in document["evaluations"]]


def test_limits_of_the_search_restrict_the_candidates(tmp_path, capsys):
    space = load_space("nasbench201")
    target = load_target("rpi4b")
    rng = np.random.default_rng(0)
    designs = np.unique(space.sample(40, rng), axis=0)
    latency = evaluate(space, target, designs).latency_ms[0]
    limit = float(np.median(latency))
    table = tmp_path / "t.csv"
    lines = [f"{space.describe(d)},{50 + k}" for k, d in enumerate(designs)]
    table.write_text("\n".join(["design,accuracy", *lines]) + "\n")
    code = command(
        "--space", "nasbench201", "--target", "rpi4b", "--search", "random", "--budget", "40",
        "--evaluator", table, "--max-latency", f"{limit}ms", "--json", "-",
    )  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    within = {space.describe(d) for d, ms in zip(designs, latency, strict=True) if ms <= limit}
    assert code == 0
    trained = {one["description"] for one in document["evaluations"]}
    assert trained <= within
    assert len(within) - 1 <= len(trained)  # a cell without any path is no candidate


def test_the_program_s_accuracies_are_kept_and_found_again(tiny, program, tmp_path, capsys):
    _, path = tiny
    words, calls = program
    arguments = (
        "--space", path, "--target", "rpi4b", "--search", "random", "--budget", "3",
        "--evaluator", " ".join(words), "--out", tmp_path / "out",
    )  # fmt: skip
    assert command(*arguments) == 0
    first = json.loads((tmp_path / "out/random.json").read_text())
    printed = capsys.readouterr()
    assert "best" in printed.out
    assert printed.err.count("flash: ") == 3
    assert command(*arguments, "--quiet") == 0
    again = json.loads((tmp_path / "out/random.json").read_text())
    assert capsys.readouterr().err == ""
    assert len(calls.read_text().split()) == 3
    assert again["budget"]["reused"] == 3
    assert [e["accuracy"] for e in again["evaluations"]] == [
        e["accuracy"] for e in first["evaluations"]
    ]


PROGRAM = ("--search", "random", "--evaluator", "true")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--search", "robot"], 2, "no table of accuracies; give --evaluator"),
        (["--search", "robt", "--evaluator", "x"], 2, "did you mean 'robot'"),
        (["--search", "hnas", "--evaluator", "true"], 2, "no default metrics"),
        (["--budget", "5"], 2, "--budget needs --search"),
        (["--search", "random", "--budget", "0", "--evaluator", "x"], 2, "number from 1 to"),
        (["--search", "random", "--evaluator", "nowhere.csv"], 4, "no such file"),
        (["--search", "random", "--evaluator", "'"], 2, "No closing quotation"),
        (["--search", "random", "--evaluator", "/nonexistent/x"], 2, "cannot run"),
        ([*PROGRAM, "--metrics", "sedd"], 2, "did you mean 'sed'"),
        ([*PROGRAM, "--max-latency", "1us"], 3, "latency"),
        ([*PROGRAM, "--target", "imc"], 2, "--hardware default"),
    ],
)
def test_mistakes_are_one_line(tiny, tmp_path, monkeypatch, capsys, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    target = [] if "--target" in arguments else ["--target", "rpi4b"]
    assert command("--space", tiny[1], *target, *arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("flash: ")
    assert error.count("\n") == 1
    assert told in error


def test_where_every_training_fails_nothing_was_done(tiny, program, tmp_path, capsys):
    words, _ = program
    code = command(
        "--space", tiny[1], "--target", "rpi4b", "--search", "random", "--budget", 3,
        "--evaluator", " ".join([*words, "fails"]), "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 5
    assert "all 3 trainings failed; left with exit status 7" in capsys.readouterr().err
    document = json.loads((tmp_path / "out" / "random.json").read_text())
    assert [trial["accuracy"] for trial in document["evaluations"]] == [None] * 3


def test_a_table_in_fractions_is_one_of_per_cents(tiny, tmp_path):
    space, _ = tiny
    table = table_file(space, tmp_path / "table.csv")
    designs, per_cent = read_accuracies(table, space)
    rows = list(csv.reader(table.read_text().splitlines()))
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([rows[0], *([d, float(a) / 100] for d, a in rows[1:])])
    same, fractions = read_accuracies(table, space)
    assert same.tolist() == designs.tolist() and fractions == pytest.approx(per_cent)


def test_ctrl_c_keeps_what_is_trained(tiny, program, tmp_path):
    space, path = tiny
    words, calls = program
    out = tmp_path / "out"
    Journal(out / "trained.csv", space, " ".join([*words, "idles"]))
    process = subprocess.Popen(
        [sys.executable, "-m", "flash.search", "--space", str(path), "--target", "rpi4b",
         "--search", "random", "--budget", "2", "--evaluator", " ".join([*words, "idles"]),
         "--out", str(out)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    for _ in range(600):
        if calls.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.endswith("flash: interrupted\n")


# ------------------------------------------------------------------- programs and journals


def evaluator(space, words, path, budget=4, timeout_s=None):
    journal = Journal(path, space, " ".join(words))
    return ProgramEvaluator(budget, space, words, journal, timeout_s)


def test_an_interrupted_search_goes_on_where_it_stopped(tiny, program, tmp_path):
    space, words, calls = tiny[0], *program
    designs = designs_of(space)
    whole = evaluator(space, words, tmp_path / "whole.csv").accuracy(designs[:4])
    evaluator(space, words, tmp_path / "r.csv").accuracy(designs[:2])
    with (tmp_path / "r.csv").open("a") as stream:
        stream.write('"{""e0"": 2')  # a line that a crash left half written
    before = len(calls.read_text().split())
    resumed = evaluator(space, words, tmp_path / "r.csv")
    np.testing.assert_array_equal(resumed.accuracy(designs[:4]), whole)
    assert len(calls.read_text().split()) == before + 2
    assert [trial.reused for trial in resumed.trials] == [True, True, False, False]
    assert resumed.spent == 4


def test_failed_designs_are_recorded_with_the_reason_and_tried_again(tiny, program, tmp_path):
    space, words = tiny[0], [*program[0], "some"]
    designs = designs_of(space)[:3]
    total = space.decode(designs).sum(axis=1)
    found = evaluator(space, words, tmp_path / "r.csv")
    values = found.accuracy(designs)
    np.testing.assert_array_equal(np.isnan(values), total % 2 == 1)
    np.testing.assert_array_equal(values[total % 2 == 0], 80 + total[total % 2 == 0])
    failures = {trial.failure for trial in found.trials if trial.failed}
    assert failures == {"left with exit status 7"}
    assert "exit status 7" in (tmp_path / "r.csv").read_text()
    assert len(Journal(tmp_path / "r.csv", space, " ".join(words))) == (total % 2 == 0).sum()


@pytest.mark.parametrize(
    ("mode", "timeout_s", "reason"),
    [
        ("babbles", None, "printed 'good'"),
        ("boasts", None, "printed 1e+09: is that an accuracy"),
        ("idles", 0.3, "took more than 0.3 s"),
    ],
)
def test_what_is_no_accuracy_is_a_failure(tiny, program, tmp_path, mode, timeout_s, reason):
    words = [*program[0], mode]
    found = evaluator(tiny[0], words, tmp_path / "r.csv", timeout_s=timeout_s)
    began = time.perf_counter()
    assert np.isnan(found.accuracy(designs_of(tiny[0])[:1])).all()
    assert reason in found.trials[0].failure
    assert time.perf_counter() - began < 30


def test_a_program_that_never_works_is_given_up_after_five_designs(tiny, program, tmp_path):
    words, calls = program
    found = evaluator(tiny[0], [*words, "fails"], tmp_path / "r.csv", budget=20)
    with pytest.raises(NothingDoneError, match="failed on the first 5 designs: left with"):
        found.accuracy(designs_of(tiny[0]))
    assert len(calls.read_text().split()) == 5


def test_results_of_another_program_are_refused(tiny, program, tmp_path):
    evaluator(tiny[0], program[0], tmp_path / "r.csv").accuracy(designs_of(tiny[0])[:1])
    with pytest.raises(UsageError, match="name another file with --results"):
        Journal(tmp_path / "r.csv", tiny[0], "./other.sh")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("design,accuracy\nhello,3\n", "line 2"),
        ("design,accuracy\n|none~0|,3\n", "no cell"),
        ("name,accuracy\nx,3\n", "expected columns design,accuracy"),
        ("", "no rows; expected columns design,accuracy"),
        (f"design,accuracy\n{_CELL},nan\n{_CELL},\n", "none of its 2 rows has an accuracy"),
        ('design,accuracy\n"{""e0"": 2}",3\n', "lacks a value"),
    ],
)
def test_tables_that_are_none_are_refused_by_line(tiny, tmp_path, text, told):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_accuracies(path, tiny[0])


def test_two_accuracies_of_one_design_are_refused(tiny, tmp_path):
    space = tiny[0]
    line = space.describe(designs_of(space)[0])
    path = tmp_path / "t.csv"
    path.write_text(f"design,accuracy\n{line},3\n{line},4\n")
    with pytest.raises(InputError, match="line 3: the design has another accuracy"):
        read_accuracies(path, space)


def test_commands_are_split_like_a_shell_s_but_run_without_one():
    assert command_words("./train.sh --name 'a b' $HOME") == [
        "./train.sh",
        "--name",
        "a b",
        "$HOME",
    ]


def test_a_missing_library_names_the_extra():
    with pytest.raises(UsageError, match=r"pip install .*\[strategies\]'"):
        need("no_such_library", "strategies", "the search")
