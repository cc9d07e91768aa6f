"""What verbs return: frozen results that show themselves, in one vocabulary."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import inspect
import io
import json
import re
import typing
from pathlib import Path

import pytest
from calibrated import made_up, space_file
from hypothesis import given, settings
from hypothesis import strategies as st
from test_calibrate_table import write_table

from flash import COMMANDS
from flash.accuracy import sample_designs
from flash.calibrate import Calibration, calibrate_from_table
from flash.errors import UsageError
from flash.estimate import check, estimate
from flash.files.cells import csv_text, safe_cell
from flash.fit import fit
from flash.info import catalogue, compare, compare_models, doctor
from flash.profile.result import read_result
from flash.quantities import QUANTITIES, known_quantities, quantity
from flash.report.base import Result, html_table, shortened
from flash.search import search
from flash.spaces.space import load_space
from flash.testing.small import small_network
from flash.training.campaign import Outcome
from flash.training.results import TrainedDesign

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "hw_profiles" / "measurements" / "x86-avx512-1-thread.jsonl"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    from flash.backends import network_model, random_weights

    network, path = small_network(), tmp_path_factory.mktemp("model") / "=small@.onnx"
    path.write_bytes(
        network_model(network, random_weights(network, 0), "small").SerializeToString()
    )
    return path


def searched(folder, model):
    return search("rpi4b", "nasbench-macro", optimizer="exact", max_memory_kb=20_000.0)


def priced(folder, model):
    designs = ["w=8,16,32 d=3,3,3 t=0,0,0", "w=8,16,32 d=4,3,5 t=8,0,64"]
    return estimate(space="cifar10-concat", designs=designs, target="rpi4b,systolic", layers=True)


def judged(folder, model):
    return check(model, target="rpi4b", max_latency_ms=1000.0, max_ram_kb=1e4, max_flash_kb=1e4)


def fitted(folder, model):
    return fit([MEASURED], "board", prior="x86-avx512", baselines=False)


def measured(folder, model):
    return read_result(MEASURED, "done")


def exported(folder, model):
    pytest.importorskip("onnxruntime")
    from flash.export import export

    report = search("rpi4b", "nasbench-macro", optimizer="exact")
    (folder / "front.json").write_text(report.to_json())
    return export(folder / "front.json", ["fastest", "balanced"], folder / "build")


def calibrated(folder, model):
    row = TrainedDesign("s", "=w1=8", "images", "fit", "quick", 0, 70.0, 1, 2.0, "cpu", 5, 6)
    done = Outcome([row], [row], [("w1=9", "no images")])
    return Calibration("s", "quick", folder / "t.csv", done, None, None, None)


def from_table(folder, model):
    space = load_space(str(space_file(folder)))
    designs = sample_designs(space, 30, 0)
    write_table(folder, [space.describe(x) for x in designs], made_up(space, designs))
    return calibrate_from_table(
        str(folder / "cifar10-concat.toml"), folder / "table.csv", out=folder / "out.toml"
    )


def listed(folder, model):
    return catalogue("targets")


def examined(folder, model):
    return doctor()


def compared(folder, model):
    report = search("rpi4b", "nasbench-macro", optimizer="exact")
    (folder / "front.json").write_text(report.to_json())
    return compare(folder, folder)


MAKERS = (
    listed,
    examined,
    compared,
    searched,
    priced,
    judged,
    fitted,
    measured,
    exported,
    calibrated,
    from_table,
)


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def result(request, tmp_path_factory, model):
    return request.param(tmp_path_factory.mktemp(request.param.__name__), model)


def verbs():
    """(verb, its function) of every package that is a command with a function of its name."""
    for place in sorted((ROOT / "flash").glob("*/__main__.py")):
        name = place.parent.name
        function = getattr(importlib.import_module(f"flash.{name}"), name, None)
        if callable(function):
            yield name, function


#: Functions of commands that are no package of their own.
OTHERS = (
    ("check", check),
    ("compare", compare),
    ("compare", compare_models),
    ("doctor", doctor),
    ("from_table", calibrate_from_table),
    ("list", catalogue),
)


def test_every_verb_returns_a_frozen_result():
    found = dict(verbs())
    assert set(COMMANDS) <= {*found, *dict(OTHERS)}
    assert {"search", "estimate", "fit", "profile", "calibrate", "export"} <= set(found)
    for name, function in [*found.items(), *OTHERS]:
        names = vars(importlib.import_module(function.__module__))
        returned = typing.get_type_hints(function, names)["return"]
        assert issubclass(returned, Result), name
        assert returned.__dataclass_params__.frozen, name


def test_a_result_is_short_at_a_prompt(result):
    lines = repr(result).splitlines()
    assert 1 <= len(lines) <= 10 and max(map(len, lines)) <= 100
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, None)


def test_rows_csv_frame_and_notebook_say_the_same(result):
    records = result.to_records()
    assert records and all(list(record) == list(records[0]) for record in records)
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert list(rows[0]) == list(records[0]) and len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        for name, value in record.items():
            if value is None or isinstance(value, bool):
                assert row[name] == {None: "", True: "true", False: "false"}[value]
            elif isinstance(value, int | float):
                assert float(row[name]) == value
    shown = result._repr_html_()
    assert "<table" in shown
    pytest.importorskip("pandas")
    frame = result.to_dataframe()
    assert list(frame.columns) == list(records[0]) and len(frame) == len(records)


def test_its_document_is_json(result):
    assert json.loads(result.to_json()) == json.loads(json.dumps(result.document()))


def test_without_pandas_a_line_says_what_to_install(result, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(UsageError, match="pandas"):
        result.to_dataframe()


def test_a_search_with_a_budget_shows_itself(tmp_path, monkeypatch, small_cells):
    from flash.search.budgeted import command

    kept = []
    monkeypatch.setattr(command, "_check_done", kept.append)
    rest = "|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    rows = [f"|{op}~0{rest},{90 + k}" for k, op in enumerate(("nor_conv_3x3", "nor_conv_1x1"))]
    (tmp_path / "table.csv").write_text("design,accuracy\n" + "\n".join(rows) + "\n")
    from flash.search.command import main

    main(["--space", small_cells, "--search", "aggregate", "--budget", "2",
          "--out", str(tmp_path), "--max-latency", "1s",
          "--evaluator", f"{tmp_path}/table.csv"])  # fmt: skip
    (report,) = kept
    assert isinstance(report, Result) and len(repr(report).splitlines()) <= 10
    test_rows_csv_frame_and_notebook_say_the_same(report)
    test_its_document_is_json(report)


# ------------------------------------------------------------------------- showing untrusted text
@pytest.mark.parametrize(
    "name", ["=1+1", "+x", "-x.onnx", "@SUM(A1)", "  =x", "\t=x", "\r=x", "a\x1b[31mred", "a\nb"]
)
def test_names_of_others_are_no_formulas_and_no_commands(name):
    report = dataclasses.replace(priced(None, None))
    rows = tuple(row | {"design": name} for row in report.rows)
    text = dataclasses.replace(report, rows=rows).to_csv()
    cell = next(csv.DictReader(io.StringIO(text)))["design"]
    assert cell.isprintable() and not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert text.replace("\n", "").isprintable()


_CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, _CELLS)), min_size=1)
    )
)
def test_rows_are_written_as_module_csv_writes_them(records):
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = list(records[0])
    for row in (names, *([record[name] for name in names] for record in records)):
        writer.writerow([safe_cell(value) for value in row])
    assert csv_text(records) == stream.getvalue()


def test_long_results_are_cut():
    assert shortened(["x" * 300] * 12).splitlines()[-1] == "... and 3 more lines"
    assert "<b>" not in html_table([{"<b>": "<b>"}]) and html_table([]) == ""
    assert "30 rows, 20 shown" in html_table([{"a": k} for k in range(30)])


# ------------------------------------------------------------------------------- one vocabulary
UNITS = {"ms": "ms", "mj": "mJ", "kb": "kB", "mb": "MB", "mm2": "mm²", "percent": "per cent",
         "w": "W", "s": "s", "mhz": "MHz", "c": "°C"}  # fmt: skip
#: Ends of an interval or percentiles of a quantity that has a field of its own.
ENDS = ("", "_low", "_high", "_p10", "_p90")


def documented_fields():
    """(section, last name of the field, unit in the table) of docs/formats.md."""
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        for field, unit in re.findall(r"^\| `([^`]+)` \| ([^|]*) \|", section, re.MULTILINE):
            names = re.findall(r"\w+", field)
            if names:
                yield section.partition("\n")[0], names[-1], unit.strip()


def parts_of(name):
    """The name without its unit, and the unit; empty where it has none."""
    stem, _, unit = name.rpartition("_")
    return (stem, unit) if stem and unit in UNITS else (name, "")


def names_of_verbs():
    """(where, name) of every field, column and keyword that a verb has."""
    for section, name, _ in documented_fields():
        yield f"docs/formats.md, {section}", name
    for verb, function in [*verbs(), *OTHERS]:
        for name in inspect.signature(function).parameters:
            yield f"{verb}()", name.removeprefix("max_").removeprefix("min_")
    for name in known_quantities():
        yield "quantities", name


def test_units_in_names_are_the_units_of_the_values():
    wrong = [
        f"{section}: {name} is in {unit!r}"
        for section, name, unit in documented_fields()
        if parts_of(name)[1] and unit and unit != UNITS[parts_of(name)[1]]
    ]
    assert not wrong, wrong


def test_a_quantity_has_one_name_and_one_unit_in_every_verb():
    units = {}
    for where, name in names_of_verbs():
        stem, unit = parts_of(name)
        if unit:
            units.setdefault(stem, {}).setdefault(unit, set()).add(where)
    # What measured files of before called the process's memory; it is read, not written.
    units["memory"].pop("mb")
    several = {stem: found for stem, found in units.items() if len(found) > 1}
    assert not several, several


def test_no_verb_calls_a_quantity_by_another_name(result):
    costs = {QUANTITIES[name].word: name for name in QUANTITIES if QUANTITIES[name].unit}
    for name in result.to_records()[0]:
        stem, unit = parts_of(name)
        plain = next(stem.removesuffix(end) for end in reversed(ENDS) if stem.endswith(end))
        if plain in costs:
            assert f"{plain}_{unit}".strip("_") == costs[plain], name
        if name in known_quantities():
            assert quantity(name).name == name
