"""The page of a front: one file, small, nothing in it but what the report says."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flash.__main__ import _dispatch
from flash.errors import InputError, UsageError
from flash.explorer import OwnModel, Source, explorer_html
from flash.explorer.facts import projection
from flash.files.toml_text import toml_text
from flash.search import search

ROOT = Path(__file__).resolve().parents[1]
CONCAT = Source("cifar10-concat", "rpi3b")


def bench():
    spec = importlib.util.spec_from_file_location("bench", ROOT / "scripts/bench/explorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def facts_of(page):
    block = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.S)
    return json.loads(block.group(1))


@pytest.fixture(scope="module")
def report():
    return search("rpi3b", optimizer="exact", max_latency_ms=8.0)


@pytest.fixture(scope="module")
def facts(report):
    return facts_of(explorer_html(report, CONCAT))


def test_the_page_holds_every_design_with_the_values_of_the_report(report, facts):
    assert facts["ids"] == [design.id for design in report.front]
    by_name = {one["name"]: one for one in facts["quantities"]}
    for name in ("accuracy", "latency_ms", "energy_mj"):
        for end in ("value", "low", "high"):
            wanted = [getattr(getattr(design, name), end) for design in report.front]
            assert by_name[name][end] == pytest.approx(wanted, rel=1e-3)
    assert by_name["params"]["value"] == pytest.approx([d.params for d in report.front], rel=1e-5)
    for k, design in enumerate(report.front):
        read = {v["name"]: v["grid"][v["of"][k]] for v in facts["variables"]}
        assert read == design.design


def test_layers_add_up_to_the_latency_of_their_design(report, facts):
    """One of the two is a sum of stage tables, the other of the target's layers."""
    assert len(facts["layers"]) == len(report.front)
    for k, entry in facts["layers"].items():
        latency = sum(row[2] for row in entry["rows"])
        assert latency == pytest.approx(report.front[int(k)].latency_ms.value, rel=2e-3)


def test_baselines_lie_under_the_front_and_have_the_most_of_their_size(report, facts):
    names = [one["name"] for one in facts["baselines"]]
    assert names == ["most parameters", "most MACs", "random designs"]
    latency = np.array([d.latency_ms.value for d in report.front])
    accuracy = np.array([d.accuracy.value for d in report.front])
    for one in facts["baselines"]:
        for x, y in zip(one["x"], one["y"], strict=True):
            assert y <= accuracy[latency <= x * 1.001].max() + 0.05


def test_the_spaces_file_is_the_space_again(facts):
    lines = "".join(f"{one['name']} = {one['grid']}\n" for one in facts["variables"])
    written = tomllib.loads(f"{facts['toml']}\n[variables]\n{lines}")
    own = tomllib.loads((ROOT / "models/cifar10-concat.toml").read_text())
    assert written["name"] == "cifar10-concat-narrowed"
    assert written["accuracy"] == own["accuracy"]
    assert {**written, "name": 0, "variables": 0} == {**own, "name": 0, "variables": 0}


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("models/*.toml")) + sorted(ROOT.glob("hw*/*.toml"))
)
def test_toml_is_read_back_as_it_was(path):
    document = tomllib.loads(path.read_text())
    assert tomllib.loads(toml_text(document)) == document


def test_toml_of_awkward_text():
    document = {"a b": "\x7f\t\"'\\\n\u00e9\U0001f600", "t": {"": {"x": [{"y": True}]}}, "e": {}}
    assert tomllib.loads(toml_text(document)) == document
    with pytest.raises(ValueError, match="NoneType"):
        toml_text({"a": None})


def test_names_stay_text(report):
    evil = "</script><script>window.hacked=1</script><img src=x onerror=hacked=1>\u2028"
    front = [replace(design, description=evil) for design in report.front]
    target = {**report.target, "name": evil, "description": evil, "provenance": [evil]}
    hostile = replace(report, front=front, target=target, notes=[evil])
    page = explorer_html(hostile, replace(CONCAT, own=(OwnModel(evil, {}),), command=(evil,)))
    assert page.count("<script") == 2 and page.count("</script>") == 2 and "<img src" not in page
    assert facts_of(page)["notes"] == [evil]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert "default-src 'none'" in policy and "unsafe-inline'; img" in policy
    assert "script-src 'sha256-" in policy and "http" not in policy


def test_five_thousand_designs_take_less_than_a_megabyte():
    page = explorer_html(bench().many_designs(5000), CONCAT)
    assert len(page.encode()) < 1_000_000
    found = facts_of(page)
    assert len(found["ids"]) == 5000 and len(found["layers"]) > 20
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)


def test_a_report_of_another_space_is_refused(report):
    with pytest.raises(InputError, match="w1"):
        explorer_html(report, replace(CONCAT, space="nasbench201"))


def test_the_projection_keeps_what_differs_most():
    rng = np.random.default_rng(0)
    long, short = rng.normal(size=(2, 300))
    columns = np.stack([long, long + 0.01 * short, short, np.ones(300)], axis=1)
    found = projection(["a", "b", "c", "fixed"], columns)
    assert abs(np.corrcoef(found.points[:, 0], long)[0, 1]) > 0.99
    assert "(67 %)" in found.axes[0] and "fixed" not in "".join(found.axes)
    assert not projection(["a"], np.ones((3, 1))).points.any()


# ------------------------------------------------------------------------------- commands
def test_search_writes_the_page_and_export_writes_it_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["search", "--target", "rpi4b", "--space=nasbench-macro", "--max-latency=20ms"]
    _dispatch([*words, "--optimizer", "exact", "--html", "--out", "found", "--quiet"])
    first = facts_of((tmp_path / "found/front.html").read_text())
    assert first["command"] == [
        "flash", "search", "--target", "rpi4b", "--space", "nasbench-macro", "--optimizer", "exact",
    ]  # fmt: skip
    assert first["limits"] == {"latency_ms": 20.0}
    _dispatch(["export", "found/front.json", "--format", "html", "--out", "build"])
    assert "build/nasbench-macro-rpi4b.html" in capsys.readouterr().out
    again = facts_of((tmp_path / "build/nasbench-macro-rpi4b.html").read_text())
    assert again == first


def test_a_page_of_hardware_searched_with_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--space", "nasbench-macro", "--hardware", "dataflow=os,buffer_kib=64"]
    _dispatch(["search", "--target", "systolic", *words, "--html", "page.html", "--json", "f.json"])
    found = facts_of((tmp_path / "page.html").read_text())
    chip = [one["name"] for one in found["variables"] if one["chip"]]
    assert chip and set(chip) <= {"rows", "cols"} and found["chip"].startswith("data:image/svg")
    _dispatch(["export", "f.json", "--format", "html"])
    assert list((tmp_path / "build").iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "m.onnx"], "add --html"),
        (["--html", "--model-accuracy", "91%"], "needs --model"),
        (["--html", "--input", "1x3x32x32"], "add the model"),
        (["--html", "--model", "a", "--model", "b", "--model-accuracy", "9%"], "of one --model"),
    ],
)
def test_what_the_page_cannot_show_is_told(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        _dispatch(["search", "--space", "nasbench-macro", *words])


def test_the_users_own_model_is_priced_on_the_target(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    words = ["--target", "rpi3b", "--space", "nasbench-macro"]
    _dispatch(["search", *words, "--out", "o", "--export", "onnx", "--quiet"])
    (model,) = (tmp_path / "o").glob("*.onnx")
    own = ["--model", str(model), "--model-accuracy", "91%"]
    _dispatch(["search", *words, "--html", "p.html", *own, "--out", "o"])
    found = facts_of((tmp_path / "p.html").read_text())
    (shown,) = found["own"]
    at = found["ids"].index(found["picks"]["balanced"])
    latency = next(one for one in found["quantities"] if one["name"] == "latency_ms")
    assert shown["latency_ms"][0] == pytest.approx(latency["value"][at], rel=1e-3)
    assert shown["accuracy"] == [91, 91, 91]


def test_a_users_model_of_free_sizes_takes_them_from_input(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    from onnx_models import model, node, normal  # noqa: PLC0415 (an extra)

    monkeypatch.chdir(tmp_path)
    made = model(
        [node("Conv", ["x", "w"], ["y"])], {"x": [1, 3, "height", "width"]},
        {"w": normal(8, 3, 3, 3)},
    )  # fmt: skip
    onnx.save(made, "free.onnx")
    words = ["search", "--target", "rpi3b", "--space", "nasbench-macro", "--html", "p.html"]
    with pytest.raises(InputError, match=r"'height'.* e\.g\. --input 1x3x224x224"):
        _dispatch([*words, "--model", "free.onnx"])
    _dispatch([*words, "--model", "free.onnx", "--input", "1x3x40x30"])
    (shown,) = facts_of((tmp_path / "p.html").read_text())["own"]
    assert shown["macs"][0] == 38 * 28 * 8 * 27
    assert "--input" not in (tmp_path / "p.html").read_text()
