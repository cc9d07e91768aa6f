"""Results that stay: a folder a run, what made it, and two of them side by side."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.errors import InputError, UsageError
from flash.info import Comparison, compare, compare_models
from flash.report.runs import command_of, dated_folder, point_latest, read_run, remove_stale
from flash.targets import load_hardware

WORDS = ["search", "--target", "rpi4b", "--space", "nasbench-macro", "--quiet"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_run_has_a_folder_and_a_manifest_of_what_made_it(here, capsys):
    _dispatch(WORDS)
    first = (here / "flash-out/latest").resolve()
    _dispatch([*WORDS, "--max-latency", "20ms", "--seed", "3"])
    second = (here / "flash-out/latest").resolve()
    assert first != second and first.parent == second.parent == here / "flash-out"
    assert (first / "front.json").exists()
    run = json.loads((second / "run.json").read_text())
    assert run["command"] == ["flash", *WORDS, "--max-latency", "20ms", "--seed", "3"]
    assert run["seed"] == 3 and run["seconds"] > 0
    assert datetime.datetime.fromisoformat(run["began"]).tzinfo is not None
    for name, known in run["files"].items():
        assert digest(second / name) == known
    root = Path(__file__).resolve().parents[1]
    assert run["inputs"]["space"]["sha256"] == digest(root / "models/nasbench-macro.toml")
    assert run["inputs"]["target"]["sha256"] == digest(root / "hw_profiles/rpi4b.toml")
    assert "flash-out/latest" not in capsys.readouterr().out  # --quiet
    assert command_of(second)[:2] == ["flash", "search"]


def test_a_front_written_to_a_file_says_where_and_makes_no_folder(here, capsys):
    words = [word for word in WORDS if word != "--quiet"]
    _dispatch([*words, "--json", "mine.json"])
    told = capsys.readouterr().out.splitlines()
    assert "written to mine.json" in told
    assert "next: flash export mine.json --format onnx (more: --verbose)" in told
    assert [path.name for path in here.iterdir()] == ["mine.json"]
    _dispatch([*words, "--json", "mine.json", "--verbose"])
    assert "mine.json" in capsys.readouterr().out
    _dispatch([*words, "--json", "sub.json", "--out", "o", "--html", "page.html"])
    text = " ".join(capsys.readouterr().out.split())
    told = text.partition("written to ")[2].partition(" next:")[0]
    assert told.startswith("o: front.json, ")
    assert told.endswith(", and to page.html, and to sub.json")


def test_what_an_earlier_run_left_in_a_folder_goes_and_what_is_others_stays(here):
    _dispatch([*WORDS, "--out", "o", "--html"])
    page = here / "o/front.html"
    assert page.exists()
    (here / "o/mine.txt").write_text("mine")
    _dispatch([*WORDS, "--out", "o"])
    assert not page.exists() and (here / "o/mine.txt").exists()
    _dispatch([*WORDS, "--out", "o", "--html"])
    page.write_text("edited by hand")
    _dispatch([*WORDS, "--out", "o"])
    assert page.read_text() == "edited by hand"


def test_no_path_in_a_manifest_is_followed(here):
    (here / "o").mkdir()
    outside = here / "outside.txt"
    outside.write_text("x")
    (here / "o/link").symlink_to(outside)
    files = {name: digest(outside) for name in ("../outside.txt", str(outside), "link")}
    for manifest in (
        {"schema": "flash.run/1", "files": files},
        {"schema": "flash.run/1", "files": [1]},
        {"schema": "flash.run/1"},
        [],
    ):
        (here / "o/run.json").write_text(json.dumps(manifest))
        remove_stale(here / "o", read_run(here / "o"), {})
        assert outside.exists() and (here / "o/link").is_symlink()
    (here / "o/run.json").write_text("{")
    remove_stale(here / "o", read_run(here / "o"), {})


def test_a_folder_of_the_users_called_latest_is_left_alone(here):
    (here / "flash-out/latest").mkdir(parents=True)
    (here / "flash-out/run").mkdir()
    assert point_latest(here / "flash-out/run") == here / "flash-out/run"
    assert (here / "flash-out/latest").is_dir() and not (here / "flash-out/latest").is_symlink()


def test_names_of_folders_are_safe(here):
    began = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    place = dated_folder(here, ["../a b/\n", "x" * 90, ""], began)
    assert place.parent == here and place.name == f"2026-01-02T03.04.05-a-b-{'x' * 40}"


# ----------------------------------------------------------------------------------- comparison
def test_a_search_under_a_limit_is_compared_with_the_one_without(here, capsys):
    _dispatch([*WORDS, "--out", "a"])
    _dispatch([*WORDS, "--out", "b", "--max-latency", "9ms"])
    found = compare("a", "b/front.json")
    fronts = [json.loads((here / side / "front.json").read_text())["front"] for side in "ab"]
    ids = [{design["id"] for design in front} for front in fronts]
    assert found.facts["in_both"] == len(ids[0] & ids[1]) == len(ids[1])
    assert found.facts["only_a"] == len(ids[0] - ids[1]) > 0
    assert found.facts["covered_by_a"] == pytest.approx(1.0)
    assert 0 < found.facts["covered_by_b"] < 1
    assert set(found.differs) == {"limits"}
    fastest = next(r for r in found.rows if r["quantity"] == "latency_ms")
    assert fastest["ratio"] == 1.0 and fastest["apart"] is False
    capsys.readouterr()
    _dispatch(["compare", "a", "b"])
    text = capsys.readouterr().out
    assert "limits: none | latency 9.00 ms" in text and "hypervolume" in text
    _dispatch(["compare", "a", "b", "--json", "-"])
    assert json.loads(capsys.readouterr().out)["facts"] == compare("a", "b").facts


def test_searches_on_two_targets_say_what_differs(here):
    _dispatch([*WORDS, "--out", "a"])
    _dispatch([*WORDS, "--out", "b", "--target", "rpi3b"])
    found = compare("a", "b")
    assert found.differs["target"] == ("rpi4b", "rpi3b")
    assert "rpi3b.toml" in found.differs["inputs"][1]
    (here / "b/run.json").unlink()
    assert "inputs" not in compare("a", "b").differs


@pytest.mark.parametrize("sides", ["ab", "ba"])
def test_a_search_by_accuracy_is_compared_with_one_by_a_score(here, capsys, sides):
    _dispatch([*WORDS, "--out", "a", "--space", "cifar10-concat"])
    _dispatch([*WORDS, "--out", "b"])
    found = compare(*sides)
    picks = [name.partition(":")[0] for name in dict.fromkeys(row["what"] for row in found.rows)]
    both = {"fastest", "balanced"}
    assert set(picks) == {*both, "most accurate", "best score"} and set(picks[:2]) == both
    own, other = ("a", "b") if sides == "ab" else ("b", "a")
    for label, side in (("most accurate", own), ("best score", other)):
        rows = [row for row in found.rows if row["what"].startswith(label)]
        assert {row["quantity"] for row in rows} >= {"latency_ms", "params"}
        for row in rows:
            lacking = "b" if side == "a" else "a"
            assert row[side] is not None and row[lacking] is None and row["ratio"] is None
    capsys.readouterr()
    _dispatch(["compare", *sides])
    lines = capsys.readouterr().out.splitlines()
    (header,) = [line for line in lines if line.startswith("most accurate: ")]
    assert header.endswith(" | -") if sides == "ab" else header.startswith("most accurate: - | ")


def test_columns_of_a_comparison_stay_apart_however_long_their_numbers():
    long = {"a": 123456.0, "a_low": 100001.0, "a_high": 234567.0}
    row = {"what": "fastest", "quantity": "latency_ms", "ratio": 1.0, "apart": False}
    row |= long | {side.replace("a", "b", 1): value for side, value in long.items()}
    last = Comparison("one", "other", (row,)).lines()[-1]
    assert last.count("123456 (100001 to 234567)") == 2
    assert "234567)  123456" in last


def test_two_models_are_compared_on_a_target(here, capsys):
    pytest.importorskip("onnx")
    for pick, name in (("fastest", "a"), ("most_accurate", "b")):
        _dispatch([*WORDS, "--out", name])
        _dispatch(["export", f"{name}/front.json", "--design", pick, "--out", name])
    small, large = (str(next((here / side).glob("*.onnx"))) for side in "ab")
    found = compare_models(small, large, "rpi4b")
    latency = next(row for row in found.rows if row["quantity"] == "latency_ms")
    assert latency["ratio"] > 1 and latency["a_low"] < latency["a"] < latency["a_high"]
    assert latency["apart"] == (latency["a_high"] < latency["b_low"])
    by_op = [row for row in found.rows if row["what"].startswith("operation")]
    assert sum(row["b"] for row in by_op) == pytest.approx(latency["b"], rel=1e-6)
    capsys.readouterr()
    _dispatch(["compare", small, large])
    assert "params" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a.onnx", "b"], UsageError),
        (["a", "b", "--target", "rpi4b"], UsageError),
        (["a", "b", "--input", "x=1x3x32x32"], UsageError),
        (["a.onnx", "b.onnx", "--target", "rpi4b,rpi5"], UsageError),
        (["nowhere", "b"], InputError),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(words, error, here):
    with pytest.raises(error) as told:
        _dispatch(["compare", *words])
    assert "\n" not in str(told.value)


# -------------------------------------------------------------------------------------- targets
def test_a_profile_in_this_folder_needs_no_ending(here):
    root = Path(__file__).resolve().parents[1]
    (here / "laptop.toml").write_text((root / "hw_profiles/rpi4b.toml").read_text())
    (here / "rpi3b.toml").write_text("not a profile: the name is one of flash's own")
    assert load_hardware("laptop").name == "rpi4b"
    assert load_hardware("rpi3b").name == "rpi3b"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jetson-tx2", "flash profile --ssh USER@BOARD --out jetson-tx2.jsonl"),
        ("stm32f746", "microcontroller"),
        ("coral", "edge-tpu-like"),
        ("pixel-6", "phones"),
        ("x" * 5000 + "-jetson", "--name board"),
        ("rpi44b", "did you mean 'rpi4b'"),
        ("nothing-like-it", "known: "),
        ("a\0b", "unknown target"),
    ],
)
def test_hardware_without_a_profile_is_answered(name, said, capsys):
    assert run_command(_dispatch, ["search", "--target", name]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
