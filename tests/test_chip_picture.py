"""The picture of a chip: every tile, every layer, the whole breakdown, and valid SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from flash.command import run_command
from flash.evaluation import evaluate
from flash.report.chip import ChipView, chip_svg
from flash.search import command as search_command
from flash.search.problem.chip_view import chip_view
from flash.spaces.space import load_space
from flash.targets import Breakdown, LayerCost, load_target
from flash.targets.imc.drawing import draw

_SVG = "{http://www.w3.org/2000/svg}"


def _view(name):
    space, target = load_space("cifar10-concat"), load_target(name)
    indices = space.design(space.family.parse("w=32,64,128 d=4,5,6 t=16,64,128"))
    view = chip_view(target, space.network(indices), f"a chip <{name}>", space.describe(indices))
    return view, space, target, indices


def _view_of(area_mm2, layers=(), drawing=None):
    return ChipView("x", [], Breakdown(tuple(layers), area_mm2, {}, {"adc": 1.0}, drawing))


def test_every_tile_is_drawn_once():
    view, space, target, indices = _view("imc")
    found = evaluate(space, target, indices[None])
    parts = view.breakdown
    assert sum(x.details["tiles"] for x in parts.layers) == found.details["tiles"][0]
    assert sum(parts.area_mm2.values()) == pytest.approx(found.area_mm2[0][0])
    assert sum(parts.energy_mj.values()) == pytest.approx(found.energy_mj[0][0])
    root = ElementTree.fromstring(chip_svg(view))
    drawn = [r for r in root.iter(f"{_SVG}rect") if r.find(f"{_SVG}title") is not None]
    cell = 390.0 * parts.drawing.cell
    tiles = sum(round((float(r.get("width")) + 1) / cell) for r in drawn)
    assert tiles == found.details["tiles"][0]


def test_names_on_faint_tiles_are_dark_on_paper():
    view, *_ = _view("imc")
    root = ElementTree.fromstring(chip_svg(view))
    pale = {b.words.partition(":")[0] for b in view.breakdown.drawing.blocks if b.opacity <= 0.7}
    names = {t.text: t.get("class") for t in root.iter(f"{_SVG}text") if "layer" in t.get("class")}
    assert names and all((css == "layer faint") == (name in pale) for name, css in names.items())


def test_layers_of_an_array_fill_its_time():
    view, space, target, indices = _view("systolic")
    found = evaluate(space, target, indices[None])
    parts = view.breakdown
    assert sum(layer.latency_ms for layer in parts.layers) == pytest.approx(found.latency_ms[0][0])
    assert sum(parts.area_mm2.values()) == pytest.approx(found.area_mm2[0][0])
    assert sum(parts.energy_mj.values()) == pytest.approx(found.energy_mj[0][0])
    assert all(0 <= layer.utilisation <= 1 for layer in parts.layers)
    ElementTree.fromstring(chip_svg(view))


def test_a_row_of_the_snake_that_runs_back_is_mirrored():
    layers = [
        LayerCost(name, "conv", 1.0, {}, 0.5, {"tiles": tiles, "first_tile": first})
        for name, tiles, first in (("a", 3, 0), ("b", 1, 3))
    ]
    text = chip_svg(_view_of({"adc": 1.0}, layers, draw(layers, 2)))
    places = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"[^>]*fill-opacity', text)
    # a: the whole first row, then the right end of the second; b: its left end.
    assert places == [
        ("30.00", "106.00", "389.00"),
        ("225.00", "301.00", "194.00"),
        ("30.00", "301.00", "194.00"),
    ]


def test_long_breakdowns_are_cut_and_add_up():
    parts = {f"part_{k}": float(k + 1) for k in range(12)}
    text = chip_svg(_view_of(parts))
    assert "4 others" in text
    assert "10.0 mm²" in text


def test_a_search_writes_the_chip_and_a_board_has_none(tmp_path):
    main = search_command.main
    chip, board = tmp_path / "chip", tmp_path / "board"
    arguments = ["--target", "systolic", "--hardware", "default", "--out", str(chip), "--quiet"]
    assert run_command(main, arguments) == 0
    assert "Balanced design" in (chip / "chip.svg").read_text(encoding="utf-8")
    assert run_command(main, ["--out", str(board), "--quiet"]) == 0
    assert not (board / "chip.svg").exists()


@pytest.mark.parametrize("name", ["imc", "systolic"])
def test_layers_are_named_inside_their_blocks_where_the_name_fits(name):
    view, *_ = _view(name)
    root = ElementTree.fromstring(chip_svg(view))
    named = [item for item in root.iter(f"{_SVG}text") if item.get("class") == "layer"]
    known = {layer.name for layer in view.breakdown.layers}
    assert 3 < len(named) <= len(known) and {item.text for item in named} <= known
    titles = {item.text for item in root.iter(f"{_SVG}text") if item.get("class") == "tick"}
    assert ({"multipliers at work", "time"} <= titles) == (name == "systolic")
