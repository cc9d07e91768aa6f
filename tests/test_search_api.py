"""``flash.search.search`` from Python: its signature, its result, and one evaluator behind it."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from flash.errors import InfeasibleError, UsageError
from flash.estimate.command import main as estimate
from flash.report.result import SearchReport
from flash.search import search
from flash.search.pipeline import evaluate_front, optimise, prepare
from flash.search.request import Request
from flash.spaces.space import load_space


@pytest.fixture(scope="module")
def report():
    return search(target="rpi3b")


# -------------------------------------------------------------------------------- signature
def test_the_signature_names_every_keyword_and_no_more():
    parameters = inspect.signature(search).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    assert set(parameters) == {field.name for field in dataclasses.fields(Request)}
    with pytest.raises(TypeError, match="max_latency"):
        search(max_latency=3)  # type: ignore[call-arg]


def test_a_type_checker_refuses_a_wrong_keyword(tmp_path):
    checker = pytest.importorskip("mypy.api")
    good = 'from flash.search import search\nsearch(target="rpi3b", max_latency_ms=3)\n'
    (tmp_path / "good.py").write_text(good)
    (tmp_path / "bad.py").write_text(good.replace("max_latency_ms", "max_latency"))
    # Only the package that is asked: .ci/run checks the types of what it imports.
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nfollow_imports = skip\n"
        "[mypy-flash.search]\nfollow_imports = silent\n"
        "[mypy-flash.search.pipeline]\nfollow_imports = silent\n"
    )
    told, _, code = checker.run(
        ["--strict", "--no-error-summary", "--config-file", str(tmp_path / "mypy.ini"),
         "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "good.py"),
         str(tmp_path / "bad.py")]
    )  # fmt: skip
    (line,) = (line for line in told.splitlines() if ": error:" in line)
    assert code == 1 and "bad.py:2" in line
    assert 'Unexpected keyword argument "max_latency" for "search"' in line


def test_a_request_is_frozen_and_checked_without_a_file():
    request = Request(target="no such target")
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.seed = 1  # type: ignore[misc]
    for wrong, told in [
        ({"seed": -1}, "the seed must be"),
        ({"max_latency_ms": float("nan")}, "the limit on latency_ms"),
        ({"optimizer": "shgoo"}, "did you mean 'shgo'"),
        ({"objectives": ["score"]}, "at least two different objectives"),
        ({"objectives": ["score", "weight"]}, "unknown objective 'weight'"),
        ({"objective": "flash", "objectives": ["score", "area"]}, "not both"),
        ({"shortlist": 1}, "2 designs or more"),
    ]:
        with pytest.raises(UsageError, match=told):
            Request(target="no such target", **wrong)


# ----------------------------------------------------------------------------------- result
def test_a_result_shows_itself_in_ten_lines(report):
    text = repr(report)
    assert len(text) < 1500
    assert len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines())) <= 100
    for label, design in report.picked:
        assert any(label in line and design.short in line for line in text.splitlines())
    assert len(repr(report.front[0]).splitlines()) == 1


def test_a_notebook_shows_the_picture_and_a_row_for_each_pick(report):
    page = ElementTree.fromstring(report._repr_html_())
    assert page.find("{http://www.w3.org/2000/svg}svg") is not None
    rows = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    assert len({len(row) for row in rows}) == 1
    for _, design in report.picked:
        assert sum(design.short in row for row in rows) == 1


def test_columns_are_the_fields_of_python_and_json(report):
    first = report.front[0]
    document = json.loads(report.to_json())["front"][0]
    assert set(document) == {field.name for field in dataclasses.fields(first)}
    record = report.to_records()[0]
    assert list(record) == report.to_csv().splitlines()[0].split(",")
    for name, value in document.items():
        if isinstance(value, dict) and "value" in value:
            assert record[name] == value["value"] == getattr(first, name).value
        elif name in record and not isinstance(value, dict):
            assert record[name] == value == getattr(first, name)


def test_a_data_frame_holds_what_the_csv_holds(report):
    pytest.importorskip("pandas")
    frame = report.to_dataframe()
    assert list(frame.columns) == list(report.to_records()[0])
    assert frame["latency_ms"].tolist() == [design.latency_ms.value for design in report.front]


def test_without_pandas_a_line_says_what_to_install(report, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install .*\[pandas\]'"):
        report.to_dataframe()


# ---------------------------------------------------------------------------- one evaluator
@pytest.mark.parametrize(
    "asked",
    [
        {"target": "rpi3b", "max_latency_ms": 40.0},
        {"target": "rpi4b", "metric": "nn_mass", "max_memory_kb": 3000.0},
        {"target": "eyeriss-like", "hardware": "default", "optimizer": "exact"},
        {"target": "systolic", "certify_seconds": 0.0, "max_area_mm2": 3.0},
    ],
)
def test_reported_numbers_are_those_on_which_limits_were_checked(asked):
    request = Request(**asked)
    setup = prepare(request)
    found = optimise(setup, request)
    front = evaluate_front(setup.problem, setup.tables, setup.goal, found, None, 0)
    totals = setup.tables.evaluate(found.indices)
    names = {"latency_ms", "energy_mj", "weight_kb", "activation_kb", setup.goal.metric, "area_mm2"}
    for name in names & set(totals) - {"accuracy"}:
        assert np.array_equal(front.costs.quantity(name), totals[name]), name
    for low, value, high in zip(
        front.costs.latency_ms[1], front.costs.latency_ms[0], front.costs.latency_ms[2], strict=True
    ):
        assert low <= value <= high


@pytest.mark.parametrize(
    ("asked", "tabulated"),
    [
        ({}, False),
        ({"max_latency_ms": 20.0}, False),
        ({"max_memory_kb": 900.0}, True),
        ({"objectives": ("score", "latency", "memory")}, True),
    ],
)
def test_peak_memory_is_tabulated_where_memory_is_asked_for(asked, tabulated):
    setup = prepare(Request(target="rpi4b", space="keywords-ds-cnn", **asked))
    assert ("activation_kb" in setup.tables.combine) is tabulated


@pytest.mark.parametrize("limits", [{}, {"max_latency_ms": 5.3}])
def test_costs_of_placed_tiles_are_those_that_were_compared(limits):
    request = Request(target="imc", hardware="default", optimizer="exact", **limits)
    setup = prepare(request)
    found = optimise(setup, request)
    front = evaluate_front(setup.problem, setup.tables, setup.goal, found, None, 0)
    column = [of.name for of in found.objectives].index("latency_ms")
    assert np.array_equal(front.costs.latency_ms[0], found.values[:, column])


def test_a_report_is_frozen(report):
    assert isinstance(report, SearchReport)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.notes = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.front[0].macs = 1


def test_placed_tiles_are_searched_by_a_score_that_is_no_sum_over_cells():
    report = search("imc", hardware="default", metric="sed", optimizer="exact")
    scores = [design.sed for design in report.front]
    assert scores == sorted(scores) and len(scores) > 10


#: No path leads from the input to the output: node 3 takes nothing that the input reaches.
DEAD = "|none~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"


@pytest.mark.parametrize("target", ["eyeriss-like", "rpi4b", "imc"])
@pytest.mark.parametrize("metric", ["nn_degree", "sed"])
def test_every_design_of_a_front_leads_its_input_to_its_output(target, metric, small_cells):
    hardware = None if target == "rpi4b" else "default"
    found = search(target, small_cells, hardware=hardware, metric=metric, optimizer="exact")
    space = load_space(small_cells)
    assert space.size == 729
    for design in found.front:
        assert space.network(space.design(design.design)).live().layers
        assert design.latency_ms.value > 0


def test_the_nearest_design_is_a_network_and_no_limit_is_named_that_nobody_gave():
    with pytest.raises(InfeasibleError) as error:
        search("rpi4b", "nasbench201", max_latency_ms=1e-3)
    cell = re.search(r"nearest design \((.*)\) has latency [0-9.]+ ms$", str(error.value))
    space = load_space("nasbench201")
    assert space.network(space.parse(cell[1])).live().layers
    with pytest.raises(InfeasibleError, match=r"\) has latency [0-9.]+ ms$"):  # sizes, trained
        search("rpi4b", "cifar10-concat", max_latency_ms=1e-4)
    with pytest.raises(InfeasibleError, match="stays within the sizes that were trained"):
        search("rpi4b", "cifar10-concat", metric="nn_degree", min_score=600)
    with pytest.raises(InfeasibleError, match=r"trained \(--ex.* is predicted to reach 99 %; the"):
        search("rpi4b", "cifar10-concat", min_accuracy_percent=99)


def test_designs_without_a_path_are_noted_where_they_cost_nothing(tmp_path, capsys):
    (tmp_path / "d.txt").write_text(f"{DEAD}\n")
    words = ["--space", "nasbench201", "--designs", str(tmp_path / "d.txt"), "--csv", "-"]
    estimate([*words, "--target", "eyeriss-like"])
    printed = capsys.readouterr()
    assert "note: 1 of 1 designs take no time on eyeriss-like" in printed.err
    assert float(next(csv.DictReader(printed.out.splitlines()))["latency_ms"]) == 0
    estimate([*words, "--target", "rpi4b"])  # runs what no output uses, too
    assert "note" not in capsys.readouterr().err


def test_accuracy_is_an_objective_where_it_is_what_is_maximised(report):
    same = search("rpi3b", objectives=["accuracy", "latency"])
    assert [d.id for d in same.front] == [d.id for d in report.front]
    with pytest.raises(UsageError, match="write score in its place"):
        search("rpi3b", "nasbench-macro", objectives=["accuracy", "latency"])
    with pytest.raises(UsageError, match="two different objectives"):
        search("rpi3b", objectives=["accuracy", "score"])
