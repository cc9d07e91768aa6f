"""The commands as a stranger uses them: results, exit codes, one-line errors."""

from __future__ import annotations

import csv
import importlib
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from flash.command import run_command
from flash.estimate import estimate
from flash.evaluation import evaluate, separable
from flash.optimize.pareto import non_dominated
from flash.report.reading import read_search
from flash.search import search
from flash.spaces.space import load_space
from flash.targets import load_target

_SMALL = """schema = "flash.space/1"
family = "concat"
classes = 10
[input]
channels = 3
height = 32
width = 32
[settings]
cells = 2
[variables]
w1 = [8, 16]
d1 = [3, 4]
t1 = [0, 8, 16]
w2 = [16, 32]
d2 = [3, 5]
t2 = [0, 16]
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(_SMALL, encoding="utf-8")
    return str(path)


def _run(command, *arguments):
    """Exit code of a command run in this process."""
    main = importlib.import_module(f"flash.{command}.command").main
    return run_command(main, list(map(str, arguments)))


# ------------------------------------------------------------------------------- results


def test_default_search_prints_a_certified_table_and_writes_three_files(tmp_path, capsys):
    assert _run("search", "--target", "rpi3b", "--out", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "certified" in printed.out
    assert "fastest" in printed.out
    assert printed.err == ""
    report = read_search((tmp_path / "out/front.json").read_text())
    assert report.optimizer.certified
    assert report.space.size > 63_000_000_000
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/front.csv").read_text())))
    assert len(rows) == len(report.front)
    ElementTree.parse(tmp_path / "out/front.svg")


def test_json_on_stdout_is_one_document_and_nothing_else(capsys):
    assert _run("search", "--json", "-", "--max-latency", "30ms") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "flash.search/1"
    assert all(design["latency_ms"]["value"] <= 30 for design in document["front"])


def test_same_seed_gives_the_same_front():
    found = [search(target="rpi3b", max_latency_ms=40.0, seed=3) for _ in range(2)]
    first, second = (json.loads(report.to_json()) for report in found)
    assert first == second


def test_front_of_a_small_space_equals_brute_force(small):
    report = search(target="rpi4b", space=small)
    space, target = load_space(small), load_target("rpi4b")
    every = np.stack(np.unravel_index(np.arange(space.size), [len(g) for g in space.grids]), axis=1)
    found = evaluate(space, target, every)
    values = np.stack([found.nn_degree, found.latency_ms[0]], axis=1)
    best = values[non_dominated(values, [-1.0, 1.0])]
    got = np.array([[d.nn_degree, d.latency_ms.value] for d in report.front])
    assert np.sort(got, axis=0) == pytest.approx(np.sort(best, axis=0), rel=1e-9)


def test_stage_tables_give_the_costs_of_whole_designs(rng):
    space, target = load_space("cifar10-concat"), load_target("rpi3b")
    designs = space.sample(300, rng)
    problem = separable(space, target, "nn_degree")
    table, whole = problem.evaluate(designs), evaluate(space, target, designs)
    assert table["latency_ms"] == pytest.approx(whole.latency_ms[0], rel=1e-9)
    assert table["energy_mj"] == pytest.approx(whole.energy_mj[0], rel=1e-9)
    assert table["nn_degree"] == pytest.approx(whole.nn_degree, rel=1e-12)
    assert table["weight_kb"] == pytest.approx(whole.weight_kb, rel=1e-12)
    assert table["activation_kb"] == pytest.approx(whole.activation_kb, rel=1e-12)


def test_every_limit_holds_on_the_front():
    report = search(
        target="rpi3b", metric="nn_degree", max_latency_ms=60.0, max_memory_kb=6000.0,
        max_energy_mj=200.0, min_score=200.0,
    )  # fmt: skip
    for design in report.front:
        assert design.latency_ms.value <= 60.0
        assert design.memory_kb <= 6000.0
        assert design.energy_mj.value <= 200.0
        assert design.nn_degree >= 200.0


def test_a_dead_cell_is_no_design_of_a_front(small_cells):
    report = search(target="rpi4b", space=small_cells)
    assert report.objectives[0] == "rank_score"
    assert all(design.rank_score > 0 for design in report.front)


def test_a_search_by_sed_reports_the_sed_of_the_very_graphs(small):
    from flash.metrics.sed import score_network

    report, space = search(target="rpi3b", space=small, metric="sed"), load_space(small)
    for design in report.front:
        network = space.network(space.design(design.design))
        assert design.sed == pytest.approx(score_network(network).sed, rel=1e-9)


def test_intervals_contain_their_value_and_name_their_origin():
    report = search(target="rpi3b", max_latency_ms=30.0)
    for design in report.front:
        assert design.latency_ms.low < design.latency_ms.value < design.latency_ms.high
        assert design.latency_ms.how


def test_estimate_writes_one_row_a_design(tmp_path, capsys):
    cells = [
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
    ]
    path = tmp_path / "cells.txt"
    path.write_text("\n".join(cells) + "\n")
    assert _run("estimate", "--space", "nasbench201", "--designs", path, "--target", "rpi4b") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["design"] for row in rows] == cells
    assert all(float(row["latency_low_ms"]) < float(row["latency_ms"]) for row in rows)
    assert int(rows[1]["macs"]) > 0


def test_estimate_takes_designs_as_json_and_needs_no_target():
    design = {"w1": 8, "d1": 4, "t1": 8, "w2": 16, "d2": 3, "t2": 0, "w3": 32, "d3": 3, "t3": 608}
    text = "w=8,16,32 d=4,3,3 t=8,0,608"
    rows = estimate(space="cifar10-concat", designs=[json.dumps(design), text])
    assert rows[0] | {"design": ""} == rows[1] | {"design": ""}
    assert (
        rows[0]["params"]
        == load_space("cifar10-concat").network(load_space("cifar10-concat").design(design)).params
    )


# ---------------------------------------------------------------------------- wrong inputs


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--target", "rpi3"], 2, "did you mean 'rpi3b'"),
        (["--space", "cifar10-dense"], 2, "unknown space 'cifar10-dense'"),
        (["--space", __file__], 2, "there is such a file, but"),
        (["--target", __file__], 2, "meant here ends in .toml"),
        (["--max-latency", "20"], 2, "20ms"),
        (["--max-latency", "fast"], 2, "--max-latency"),
        (["--max-latency", "nanms"], 2, "--max-latency"),
        (["--max-latency", "-3ms"], 2, "--max-latency"),
        (["--max-latncy", "20ms"], 2, "did you mean '--max-latency'"),
        (["--metric", "nn_degre"], 2, "did you mean 'nn_degree'"),
        (["--optimizer", "sgho"], 2, "did you mean 'shgo'"),
        (["--objectives", "score"], 2, "two different objectives"),
        (["--objectives", "score,latncy"], 2, "did you mean 'latency'"),
        (["--seed", "one"], 2, "--seed one"),
        (["--min-score", ""], 2, "--min-score"),
        (["--max-latency", ""], 2, "--max-latency"),
        (["--json", ""], 2, "--json: is empty"),
        (["--metric", "rank_score"], 2, "no sum over the stages"),
        (["--space", "nasbench-macro", "--min-accuracy", "92"], 2, "not calibrated"),
        (["--min-accuracy", "99"], 3, "(--extrapolate leaves them) is predicted to reach 99 %"),
        (["--min-score", "800"], 2, "use --min-accuracy"),
        (["--max-area", "40mm2"], 2, "no chip area"),
        (["--out", "/dev/null/front"], 2, "/dev/null"),
        (["--max-latency", "1us"], 3, "has latency 2.10 ms"),
        (["--max-memory", "1kB"], 3, "memory at most 1.00 kB binds: the nearest design (w="),
        (
            ["--max-latency", "3ms", "--min-score", "800", "--metric", "nn_degree"],
            3,
            "has latency",
        ),
        (
            ["--min-score", "1000000", "--metric", "nn_degree"],
            3,
            "NN-Degree at least 1000000 binds",
        ),
    ],
)
def test_wrong_arguments_get_one_line_and_their_exit_code(
    arguments, code, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert _run("search", *arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_profile_with_a_typo_is_named_with_the_key(tmp_path, capsys):
    from flash.files.locations import data_file

    text = data_file("hw_profiles", "rpi3b").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("default_runtime", "defalt_runtime", 1), encoding="utf-8")
    assert _run("search", "--target", path) == 4
    error = capsys.readouterr().err
    assert str(path) in error
    assert "defa" in error
    assert error.count("\n") == 1


def test_a_design_that_is_not_of_the_space_is_named_by_its_number(tmp_path, capsys):
    path = tmp_path / "designs.txt"
    path.write_text('{"e0": 1}\n')
    assert _run("estimate", "--space", "nasbench201", "--designs", path) == 4
    assert "design 1: the design lacks a value for e1" in capsys.readouterr().err
    assert _run("estimate", "--designs", tmp_path / "none.txt") == 4
    assert "none.txt" in capsys.readouterr().err


def test_interruption_leaves_with_130(capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    assert run_command(interrupted, []) == 130
    assert capsys.readouterr().err == "flash: interrupted\n"


# --------------------------------------------------------------------------------- imports


def _in_new_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_flash_loads_no_heavy_library():
    code = "import flash, sys; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = set(_in_new_python(code).split())
    assert not loaded & {"torch", "tvm", "onnxruntime", "onnx", "scipy", "numpy", "rich"}


def test_importing_the_search_command_leaves_scipys_libraries_alone():
    code = "import flash.search, sys; print(*sorted(sys.modules))"
    loaded = set(_in_new_python(code).split())
    assert not loaded & {"scipy.sparse", "scipy.optimize", "scipy.stats", "scipy.linalg"}


def test_a_search_loads_neither_torch_nor_tvm_nor_plotting():
    code = (
        "import sys; from flash.search import search; search(max_latency_ms=20.0);"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = set(_in_new_python(code).split())
    assert not loaded & {"torch", "tvm", "onnxruntime", "onnx", "matplotlib", "pandas", "pymoo"}


def test_after_a_search_scipy_is_what_it_is_without():
    packages = ("scipy.optimize", "scipy.spatial", "scipy.special", "numpy.testing", "numpy.f2py")
    code = f"import {', '.join(packages)}\nfor module in ({', '.join(packages)}):\n"
    code += "    module.__all__, print(*sorted(set(dir(module)) - {'_'}))\n"
    search = "import sys; from flash.search import search; search();"
    left = "print(*(name for name in sys.modules if name.startswith('scipy.fft')))\n"
    later = _in_new_python(search + left + code)
    assert later == "\n" + _in_new_python(code)


def test_python_dash_m_and_the_console_command_agree():
    for command in (["-m", "flash.search"], ["-m", "flash", "search"]):
        done = subprocess.run(
            [sys.executable, *command, "--target", "nope"], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stderr.startswith("flash: unknown target 'nope'")
        assert "Traceback" not in done.stderr


def test_estimate_by_one_metric_keeps_the_order_and_needs_no_target(tmp_path, capsys):
    cells = [
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|",
    ]
    path = tmp_path / "cells.txt"
    path.write_text("\n".join(cells))
    options = ["--space", "nasbench201", "--designs", path, "--metric", "sed", "--csv", "-"]
    assert _run("estimate", *options) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [list(row) for row in rows] == [["design", "sed"]] * 2
    assert [row["design"] for row in rows] == cells
    assert float(rows[0]["sed"]) == 0 < float(rows[1]["sed"])
    assert _run("estimate", *options[:-3], "sad") == 2
    assert "did you mean 'sed'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-m", "flash.search"], "python -m flash.search"),
        (["-m", "flash", "search"], "python -m flash search"),
        (["-m", "flash", "check"], "python -m flash check"),
        (["-m", "flash", "doctor"], "python -m flash doctor"),
        (["-m", "flash.info", "compare"], "python -m flash.info compare"),
        (["-c", "from flash.__main__ import main; exit(main())", "compare"], "flash compare"),
        (["-c", "from flash.__main__ import main; exit(main())", "check"], "flash check"),
    ],
)
def test_help_is_pointed_to_as_the_command_was_typed(words, shown):
    words = [sys.executable, *words, "--no-such-option"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"(see {shown} --help)" in done.stderr
