"""Designs by the thousand: from tables, streamed, gone on with; the same as one by one."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import InputError
from flash.estimate import designs as pricing
from flash.estimate import estimate, stream
from flash.estimate.command import main
from flash.estimate.pricing import load_targets
from flash.evaluation import DesignTables, evaluate, measure
from flash.metrics import scores
from flash.quantities import format_energy
from flash.spaces.space import load_space
from flash.targets import load_target

SPACES = [
    ("cifar10-concat", "rpi3b"),
    ("cifar10-add", "rpi4b"),
    ("cifar10-mobilenet-v2", "x86-avx512"),
    ("nasbench-macro", "rpi4b"),
    ("cifar10-concat", "systolic"),
]


@pytest.fixture
def small_lots(monkeypatch):
    """Tables from the first design on, a few designs at a time."""
    monkeypatch.setattr(pricing, "_TABLES_PAY", 0)
    monkeypatch.setattr(pricing, "_CHUNK", 7)
    monkeypatch.setattr(stream, "_ROWS", 3)


def some(space_name, count, seed=0):
    space = load_space(space_name)
    indices = space.sample(count, np.random.default_rng(seed))
    return space, indices, [space.describe(row) for row in indices]


@pytest.mark.parametrize(("space_name", "target_name"), SPACES)
def test_tables_say_what_layers_say(space_name, target_name):
    space, indices, _ = some(space_name, 50, seed=3)
    target = load_target(target_name)
    tables, layers = DesignTables(space, target).evaluate(indices), evaluate(space, target, indices)
    for name in ("params", "macs", "weight_kb", "activation_kb", "nn_degree", "nn_mass"):
        assert np.allclose(getattr(tables, name), getattr(layers, name), rtol=1e-12)
    for name in ("latency_ms", "energy_mj", "area_mm2"):
        ends = getattr(tables, name), getattr(layers, name)
        assert (ends[0] is None) == (ends[1] is None)
        if ends[0] is not None:
            assert np.allclose(ends[0], ends[1], rtol=1e-9)
    assert np.array_equal(tables.extrapolated, layers.extrapolated)
    assert tables.details.keys() == layers.details.keys()


def test_without_a_target_and_with_scores():
    space, indices, _ = some("cifar10-add", 30)
    tables, plain = DesignTables(space, None), measure(space, indices)
    assert np.allclose(tables.evaluate(indices).nn_mass, plain.nn_mass, rtol=1e-12)
    known = scores(space, indices, ("sed", "capacity"))
    for name, values in known.items():
        assert np.allclose(tables.score(name, indices), values, rtol=1e-9)


def test_what_does_not_add_up_goes_layer_by_layer(small_lots):
    space, _, texts = some("detector-voc", 5)
    rows = estimate(space="detector-voc", designs=texts, target="rpi4b")
    (target,) = load_targets("rpi4b", family=space.family.name)
    known = evaluate(space, target, pricing.read_designs(space, texts).astype(int))
    assert np.allclose([row["latency_ms"] for row in rows], known.latency_ms[0])


def test_rows_from_tables_are_those_without(small_lots, monkeypatch):
    _, _, texts = some("cifar10-concat", 20)
    given = {"space": "cifar10-concat", "designs": texts, "target": "rpi3b,rpi4b"}
    many = estimate(**given)
    monkeypatch.setattr(pricing, "_TABLES_PAY", 1 << 30)
    few = estimate(**given)
    assert [list(row) for row in many] == [list(row) for row in few]
    for a, b in zip(many, few, strict=True):
        for name, value in a.items():
            same = math.isclose(value, b[name], rel_tol=1e-9) if type(value) is float else None
            assert same if same is not None else value == b[name]


def test_scores_that_take_long_are_left_out_unless_asked_for(small_lots, monkeypatch, capsys):
    monkeypatch.setattr(pricing, "_UNASKED", 5)
    space, indices, texts = some("cifar10-concat", 9)
    rows = estimate(space="cifar10-concat", designs=texts)
    assert [row["rank_score"] for row in rows] == [None] * 9
    assert "no rank_score of so many designs" in capsys.readouterr().err
    asked = estimate(space="cifar10-concat", designs=texts, metrics=("rank_score",))
    known = scores(space, indices, ("rank_score",))["rank_score"]
    assert np.allclose([row["rank_score"] for row in asked], known)


def test_words_are_read_as_the_space_reads_them():
    space, indices, texts = some("cifar10-mobilenet-v2", 40)
    mixed = [
        json.dumps(space.named(row)) if k % 3 == 0 else " ".join(reversed(text.split()))
        if k % 3 == 1 else text
        for k, (row, text) in enumerate(zip(indices, texts, strict=True))
    ]  # fmt: skip
    assert np.array_equal(pricing.read_designs(space, mixed * 2), np.tile(indices, (2, 1)))
    for wrong in (
        "w=1",
        texts[0].replace("=", "=9", 1),
        "x=1 y=2",
        "{}",
        texts[0] + " " + texts[0],
    ):
        with pytest.raises(InputError, match="^design 2: "):
            pricing.read_designs(space, [texts[0], wrong])


def run(*words):
    return run_command(main, [str(word) for word in words])


def test_a_file_that_was_begun_is_gone_on_with(small_lots, tmp_path, monkeypatch, capsys):
    _, _, texts = some("cifar10-concat", 40)
    given, whole, file = tmp_path / "designs", tmp_path / "whole.csv", tmp_path / "out.csv"
    given.write_text("\n".join(texts) + "\n")
    words = ("--space", "cifar10-concat", "--designs", given, "--target", "rpi3b,rpi4b")
    assert run(*words, "--csv", whole) == 0
    assert len(whole.read_text().splitlines()) == 81
    priced, calls = pricing.DesignPricing._priced, []

    def interrupted(self, *arguments):
        if len(calls) == 8:
            raise KeyboardInterrupt
        calls.append(len(arguments[0]))
        return priced(self, *arguments)

    monkeypatch.setattr(pricing.DesignPricing, "_priced", interrupted)
    assert run(*words, "--csv", file) == 130
    assert not file.exists()
    (part,) = tmp_path.glob(".out.csv.*.part")
    with part.open("a") as stream:
        stream.write("half a line")
    monkeypatch.setattr(pricing.DesignPricing, "_priced", priced)
    capsys.readouterr()
    assert run(*words, "--csv", file) == 0
    assert f"{sum(calls)} rows were there already" in capsys.readouterr().err
    assert file.read_text() == whole.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["designs", "out.csv", "whole.csv"]


def test_other_questions_do_not_go_on_with_it(small_lots, tmp_path):
    _, _, texts = some("cifar10-concat", 3)
    marks = {
        stream.fingerprint(texts, "a"),
        stream.fingerprint(texts, "b"),
        stream.fingerprint(texts[:2], "a"),
        stream.fingerprint(reversed(texts), "a"),
    }
    assert len(marks) == 4


def test_standard_output_and_one_metric(small_lots, tmp_path, capsys):
    _, _, texts = some("cifar10-concat", 10)
    given = tmp_path / "designs"
    given.write_text("\n\n".join(texts))
    words = ("--space", "cifar10-concat", "--designs", given, "--target", "rpi3b")
    assert run(*words, "--csv", "-", "--metric", "sed") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0])[:3] == ["design", "sed", "latency_ms"]
    assert [row["design"] for row in rows] == texts
    given.write_text("")
    assert run(*words) == 4
    given.write_text(texts[0])
    assert run(*words, "--csv", tmp_path) == 2


def test_the_table_of_a_calibrated_spaces_designs_has_their_accuracy(tmp_path, capsys):
    (tmp_path / "d.txt").write_text("w=16,32,64 b=3,3,3 t=16,32,64\nw=64,128,256 b=9,9,9 t=0,0,0\n")
    words = ["--space", "cifar10-add", "--designs", str(tmp_path / "d.txt"), "--target", "rpi4b"]
    assert run_command(main, [*words, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert run_command(main, [*words, "--table"]) == 0
    title, first, second, *notes = capsys.readouterr().out.splitlines()
    assert "accuracy (90 %)" in title and f"{rows[0]['accuracy']:.1f} (" in first
    assert "%^" not in first and "%^" in second
    assert any(note.startswith("^ unlike the networks that were trained") for note in notes)


def test_the_table_shows_the_interval_of_every_cost_and_what_it_rests_on(tmp_path, capsys):
    (tmp_path / "d.txt").write_text("w=16,32,64 b=3,3,3 t=16,32,64\n")
    targets = "rpi3b,imc,systolic"
    words = ["--space", "cifar10-add", "--designs", str(tmp_path / "d.txt"), "--target", targets]
    assert run_command(main, [*words, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert run_command(main, [*words, "--table"]) == 0
    title, *lines, board, chips = capsys.readouterr().out.splitlines()
    assert all(f"{cost} (interval)" in title for cost in ("latency", "energy", "area"))
    for row, line in zip(rows, lines, strict=True):
        assert f"({format_energy(row['energy_low_mj'])} to " in line
        assert (" mm2 to " in line) == ("area_low_mm2" in row and row["area_low_mm2"] is not None)
    assert board.startswith("rpi3b:tvm: latency is that of TVM") and "90 % interval" in board
    assert chips.startswith("imc, systolic: every figure is analytical")


def test_the_layers_of_a_crossbar_chip_show_tiles_and_energy(tmp_path, capsys):
    (tmp_path / "d.txt").write_text("w=16,32,64 b=3,3,3 t=16,32,64\n")
    words = ["--space", "cifar10-add", "--designs", str(tmp_path / "d.txt"), "--target", "imc"]
    assert run_command(main, [*words, "--layers", "--table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (title,) = (line for line in lines if line.startswith("layer"))
    assert title.split()[4:] == ["tiles", "busy", "energy", "of", "which"]
    assert any("ADC" in line and " uJ " in line for line in lines)
