"""The picture and the sheet of a chip: every tile, every layer, the whole breakdown."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ElementTree

import pytest

from flash.backends import network_model, random_weights
from flash.command import run_command
from flash.estimate import command as estimate_command
from flash.evaluation import evaluate
from flash.quantities import format_energy, format_latency
from flash.report.chip import ChipView, chip_svg
from flash.report.chip_sheet import chip_html
from flash.search import command as search_command
from flash.spaces.space import load_space
from flash.targets import Breakdown, LayerCost, drawn_chip, load_target
from flash.targets.imc.drawing import draw

_SVG = "{http://www.w3.org/2000/svg}"


def _view(name):
    space, target = load_space("cifar10-concat"), load_target(name)
    indices = space.design(space.family.parse("w=32,64,128 d=4,5,6 t=16,64,128"))
    drawn = drawn_chip(target, space.network(indices))
    view = ChipView(f"a chip <{name}>", [space.describe(indices)], *drawn)
    return view, space, target, indices


def _view_of(area_mm2, layers=(), drawing=None):
    return ChipView("x", [], {}, Breakdown(tuple(layers), area_mm2, {}, {"adc": 1.0}, drawing))


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
    assert "Layer by layer" in (chip / "chip.html").read_text(encoding="utf-8")
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


# ------------------------------------------------------------------------------- the sheet
def _table(page):
    """Heading, rows and foot of the table of layers, as text."""
    found = re.search(r"<table>.*</table>", page, re.S)[0].replace("</meter>", "")
    root = ElementTree.fromstring(re.sub(r"<meter[^>]*>", "", found))
    lines = [["".join(cell.itertext()).strip() for cell in row] for row in root.iter("tr")]
    return lines[0], lines[1:-1], lines[-1]


@pytest.mark.parametrize("name", ["imc", "systolic", "eyeriss-like"])
def test_the_sheet_has_every_layer_with_its_energy_by_component(name):
    view, space, target, indices = _view(name)
    page = chip_html(view)
    heads, rows, foot = _table(page)
    layers = view.breakdown.layers
    assert [row[0] for row in rows] == [layer.name for layer in layers]
    energy = heads.index("energy")
    components = {k.replace("_", " ") for k in view.breakdown.energy_mj}
    assert set(heads[energy + 1 :]) == components
    found = evaluate(space, target, indices[None])
    assert foot[energy] == format_energy(found.energy_mj[0][0])
    assert foot[heads.index("time")] == format_latency(found.latency_ms[0][0])
    dearest = max(range(len(rows)), key=lambda k: sum(layers[k].energy_mj.values()))
    most = max(layers[dearest].energy_mj, key=layers[dearest].energy_mj.get)
    cell = rows[dearest][heads.index(most.replace("_", " "))]
    assert cell == format_energy(layers[dearest].energy_mj[most])
    wanted = (
        {"tiles", "crossbars"} if name == "imc" else {"stall cycles", "SRAM bytes", "DRAM bytes"}
    )
    assert wanted <= set(heads)


def test_the_sheet_has_the_picture_and_is_no_place_for_markup():
    layer = LayerCost("<b>one</b>", "conv", 1.0, {"a<i>c": 2.0}, 0.5, {"lanes_used": 3.0})
    page = chip_html(_view_of({"adc": 1.0}, [layer]))
    assert "<svg" in page and "<script" not in page
    assert "<b>" not in page and "<i>" not in page
    heads, (row,), _ = _table(page)
    assert row[heads.index("lanes used")] == "3.00" and row[0] == "<b>one</b>"


def _estimate(*arguments):
    return run_command(estimate_command.main, [*arguments])


def test_estimate_writes_the_sheet_of_a_file_and_of_a_design(tmp_path, capsys):
    design, one = "w=8,16,32 d=3,3,3 t=0,0,0", tmp_path / "one.txt"
    one.write_text(design + "\n", encoding="utf-8")
    page, picture, file = (tmp_path / name for name in ("s.html", "s.svg", "m.onnx"))
    chip = ["--target", "systolic", "--hardware", "rows=16"]
    assert _estimate("--designs", str(one), *chip, "--sheet", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    row = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert f"latency {format_latency(float(row['latency_ms']))} (" in text and "rows 16" in text
    space = load_space("cifar10-concat")
    network = space.network(space.design(space.family.parse(design)))
    file.write_bytes(network_model(network, random_weights(network, 0), "m").SerializeToString())
    assert _estimate(str(file), *chip, "--sheet", str(page)) == 0
    assert sorted(r[0] for r in _table(page.read_text(encoding="utf-8"))[1] if r[1] == "conv")
    assert _estimate(str(file), *chip, "--sheet", str(picture)) == 0
    ElementTree.fromstring(picture.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "rpi4b", "--sheet", "s.html"], "a board one buys"),
        (["--target", "systolic", "--sheet", "s.png"], "ends in .html or .svg"),
        (["--target", "systolic,imc", "--sheet", "s.html"], "one network on one accelerator"),
        (["--sheet", "s.html"], "needs the --target"),
    ],
)
def test_no_sheet_of_boards_of_many_or_in_other_formats(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("w=8,16,32 d=3,3,3 t=0,0,0\n", encoding="utf-8")
    assert _estimate("--designs", "one.txt", *arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("s.*"))
