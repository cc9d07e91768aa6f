"""docs/formats.md names the fields of real documents, all of them and no other."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest

from flash.__main__ import _dispatch
from flash.accuracy.calibration import Provenance
from flash.calibrate.fitting import HeldOut
from flash.command import run_command
from flash.profile import command as profile_command
from flash.search import command as search_command
from flash.training.results import TrainedDesign

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def documented(section):
    """Patterns of the fields of a section, "?" at the end of those that may be absent."""
    body = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return ROW.findall(body)


def expression(pattern):
    """A regular expression for whole field names."""
    parts = re.split(r"(\*\*|\*)", pattern.rstrip("?"))
    words = {"**": r".+", "*": r"[^\[\]]+?"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts))


def flat(value, name=""):
    """Names of all fields: ``a.b`` in objects, ``a[]`` in lists; empty ones have no fields."""
    if isinstance(value, dict):
        return {f for key, inner in value.items() for f in flat(inner, f"{name}.{key}".strip("."))}
    if isinstance(value, list):
        return {field for inner in value for field in flat(inner, f"{name}[]")}
    return {name}


def compare(section, *documents):
    found = set().union(*(flat(document) for document in documents))
    patterns = {pattern: expression(pattern) for pattern in documented(section)}
    unknown = [name for name in found if not any(p.fullmatch(name) for p in patterns.values())]
    assert not unknown, f"{section} lacks {sorted(unknown)[:10]}"
    missing = [
        pattern
        for pattern, regex in patterns.items()
        if not pattern.endswith("?") and not any(map(regex.fullmatch, found))
    ]
    assert not missing, f"{section} has what no document has: {missing}"


def golden(verb):
    for path in sorted((ROOT / "tests" / "golden").glob(f"{verb}-*.json.gz")):
        yield json.loads(gzip.decompress(path.read_bytes()))["document"]


def toml(name):
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def test_what_golden_documents_hold():
    compare("flash.search/1", *golden("search"))
    compare("estimate", *golden("estimate"))
    compare("flash.manifest/1", *(document["manifest"] for document in golden("export")))
    reports = [dict(document["report"]) for document in golden("fit")]
    profiles = [report.pop("profile") for report in reports]
    compare("flash.fit/1", *reports)
    compare("flash.profile/1", *profiles, *(toml(f"hw_profiles/{n}.toml") for n in BOARDS))


BOARDS = ("rpi3b", "rpi4b", "x86-avx512")


def test_what_shipped_files_hold():
    compare("flash.systolic/1", *(toml(f"hw_profiles/{n}.toml") for n in ARRAYS))
    compare("flash.imc/1", toml("hw_profiles/imc.toml"))
    spaces = [path.relative_to(ROOT) for path in (ROOT / "models").glob("*.toml")]
    compare("flash.space/1", *map(toml, spaces))
    for path in (ROOT / "hw_profiles" / "measurements").glob("*.jsonl"):
        header, *records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        compare("flash.measurements/1", {"header": header}, *({"record": r} for r in records))


ARRAYS = ("systolic", "eyeriss-like", "edge-tpu-like")


def test_what_commands_print(capsys):
    for topic in ("spaces", "strategies"):
        assert run_command(_dispatch, ["list", topic, "--json"]) == 0
        compare("flash.list/1", json.loads(capsys.readouterr().out))
    assert run_command(_dispatch, ["doctor", "--json"]) == 0
    compare("flash.doctor/1", json.loads(capsys.readouterr().out))


def test_a_check(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    from onnx_models import model, node, normal

    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [1, 64]}, {"w": normal(64, 8)})
    onnx.save(made, tmp_path / "m.onnx")
    words = ["check", str(tmp_path / "m.onnx"), str(tmp_path / "none.onnx"), "--target", "rpi4b",
             "--max-latency", "1s", "--json", "-"]  # fmt: skip
    assert run_command(_dispatch, words) == 4
    compare("flash.check/1", json.loads(capsys.readouterr().out))


def test_a_shrunk_model(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx_models import model, node, normal

    nodes = [
        node("Conv", ["x", "stem"], ["a"], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "w"], ["b"], pads=[1, 1, 1, 1]),
        node("Add", ["a", "b"], ["c"]),
        node("GlobalAveragePool", ["c"], ["d"]),
        node("Flatten", ["d"], ["e"]),
        node("Gemm", ["e", "head"], ["y"]),
    ]
    weights = {"stem": normal(16, 3, 3, 3), "w": normal(16, 16, 3, 3), "head": normal(16, 4)}
    made = model(nodes, {"x": [1, 3, 8, 8]}, weights)
    onnx.save(made, tmp_path / "m.onnx")
    words = ["shrink", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "out"), "--json", "-"]
    assert run_command(_dispatch, words) == 0
    compare("flash.shrink/1", json.loads(capsys.readouterr().out))
    compare("flash.model-graph/1", json.loads((tmp_path / "out" / "m.graph.json").read_text()))
    compare("flash.space/1", tomllib.loads((tmp_path / "out" / "m.toml").read_text()))


def test_a_training(tmp_path, capsys):
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    import numpy as np
    from onnx_models import model, node, normal

    nodes = [
        node("GlobalAveragePool", ["x"], ["a"]),
        node("Flatten", ["a"], ["b"]),
        node("Gemm", ["b", "w"], ["y"]),
    ]
    onnx.save(model(nodes, {"x": [1, 3, 8, 8]}, {"w": normal(3, 2)}), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (20, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "c.npz", images=images, labels=np.arange(20) % 2)
    np.savez(tmp_path / "r.npz", x=images.astype(np.float32), y=rng.random((20, 2)))
    documents, scalings = [], []
    for name in ("c", "r"):
        words = ["train", str(tmp_path / "m.onnx"), "--data", str(tmp_path / f"{name}.npz")]
        words += ["--epochs", "2", "--quiet", "--json", "-", "--out", str(tmp_path / name)]
        assert run_command(_dispatch, words) == 0
        documents.append(json.loads(capsys.readouterr().out))
        scalings.append(json.loads((tmp_path / name / "preprocessing.json").read_text()))
    compare("flash.train/1", *documents)
    compare("flash.preprocessing/1", *scalings)


def test_a_search_with_a_budget(tmp_path, capsys, small_cells):
    rest = "|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    rows = [f"|{op}~0{rest},{90 + k}" for k, op in enumerate(("nor_conv_3x3", "nor_conv_1x1"))]
    (tmp_path / "table.csv").write_text("design,accuracy\n" + "\n".join(rows) + "\n")
    words = ["--space", small_cells, "--search", "aggregate", "--budget", "2", "--max-latency",
             "1s", "--evaluator", str(tmp_path / "table.csv"), "--json", "-"]  # fmt: skip
    assert run_command(search_command.main, words) == 0
    compare("flash.budgeted/1", json.loads(capsys.readouterr().out))


def test_models_and_their_verdicts(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    from flash.backends import network_model, random_weights
    from flash.testing.small import small_network

    network, place = small_network(), tmp_path / "small.onnx"
    model = network_model(network, random_weights(network, 0), "small")
    place.write_bytes(model.SerializeToString())
    words = [str(place), "--target", "rpi4b,systolic"]
    assert run_command(_dispatch, ["estimate", *words, "--layers", "--json", "-"]) == 0
    compare("estimate", *golden("estimate"), json.loads(capsys.readouterr().out))
    limits = ["--max-latency", "1s", "--json", "-"]
    assert run_command(_dispatch, ["check", *words, *limits]) == 0
    compare("flash.check/1", json.loads(capsys.readouterr().out))


def test_a_suite(tmp_path):
    pytest.importorskip("onnx")
    place = tmp_path / "suite.zip"
    assert run_command(profile_command.main, ["--write-suite", str(place), "--count", "4"]) == 0
    with zipfile.ZipFile(place) as archive:
        compare("flash.suite/1", json.loads(archive.read("suite.json")))


def test_a_calibration_is_made_of_these_parts():
    """The document takes minutes to make; its parts are dataclasses."""
    from flash.calibrate.command import Calibration

    source = Path(Calibration.document.__code__.co_filename).read_text(encoding="utf-8")
    body = source.split("def document(self)")[1].split("\n    def ")[0]
    written = re.findall(r'^            "(\w+)":', body, re.MULTILINE)
    top = {pattern.split(".")[0].split("[")[0] for pattern in documented("flash.calibration/1")}
    assert set(written) == top
    for part in (TrainedDesign, HeldOut, Provenance):
        assert fields(part)


def test_every_section_has_a_reader():
    sections = set(re.findall(r"^## (\S+)$", TEXT, re.MULTILINE))
    here = set(re.findall(r'(?:compare|documented)\("([^"]+)"', Path(__file__).read_text()))
    assert sections == here


def test_runs_and_comparisons(tmp_path, capsys):
    words = ["search", "--target", "rpi4b", "--space", "nasbench-macro", "--optimizer", "exact"]
    _dispatch([*words, "--out", str(tmp_path / "a")])
    _dispatch([*words, "--out", str(tmp_path / "b"), "--max-latency", "20ms"])
    compare("flash.run/1", json.loads((tmp_path / "a/run.json").read_text()))
    capsys.readouterr()
    _dispatch(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json", "-"])
    compare("flash.compare/1", json.loads(capsys.readouterr().out))
