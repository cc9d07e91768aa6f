"""The page of a front in a real browser; skipped where there is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_explorer import CONCAT, bench

from flash.accuracy.storage import accuracy_of
from flash.evaluation import evaluate
from flash.explorer import Source, explorer_html
from flash.optimize.pareto import non_dominated
from flash.search import search
from flash.spaces.space import load_space
from flash.targets import load_target

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
if BROWSER is None:
    pytest.skip("no chromium or google-chrome on this machine", allow_module_level=True)

#: A loaded machine once took longer than playwright's 30 s to open a page.
_PATIENCE_MS = 180_000


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=list(bench().FLAGS))
        yield found
        found.close()


@pytest.fixture
def open_page(browser, tmp_path):
    """Open a page from a file; what it asks of a network or says of errors fails the test."""
    wrong = []

    def opened(page, **options):
        file = tmp_path / "front.html"
        file.write_text(page, encoding="utf-8")
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
        tab.set_default_timeout(_PATIENCE_MS)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda m: m.type == "error" and wrong.append(m.text))
        tab.on("dialog", lambda dialog: wrong.append(dialog.message))
        outside = ("http:", "https:", "ws:")
        tab.on("request", lambda r: r.url.startswith(outside) and wrong.append(r.url))
        tab.goto(file.as_uri())
        return tab

    yield opened
    assert wrong == []


@pytest.fixture(scope="module")
def report():
    return search("rpi3b", optimizer="exact")


@pytest.fixture(scope="module")
def page(report):
    return explorer_html(report, CONCAT)


def ids_of(tab):
    if tab.locator("#more").is_visible():
        tab.click("#more")
    return tab.eval_on_selector_all("#designs tbody tr", "rows => rows.map(r => r.dataset.id)")


def picks_of(tab):
    return tab.eval_on_selector_all("#picks .card", "cards => cards.map(c => c.dataset.id)")


def six(value):
    """The value in the digits in which rows of a front are told apart."""
    return float(f"{value:.6g}")


def drag(tab, start, end):
    """Brush between two points, given as shares of the plot's width and height."""
    tab.evaluate("scrollTo(0, 0)")
    box = tab.locator("#chart .u-over").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    tab.mouse.move(*at[0])
    tab.mouse.down()
    tab.mouse.move(*at[1], steps=6)
    tab.mouse.up()


def test_a_brushed_limit_cuts_the_front_as_a_search_under_it_does(open_page, page, report):
    tab = open_page(page)
    assert ids_of(tab) == [design.id for design in report.front]
    drag(tab, (0.0, 0.02), (0.55, 0.98))
    limits = {
        name: tab.input_value(f"#limit-{name}")
        for name in ("latency_ms", "accuracy")
        if tab.input_value(f"#limit-{name}")
    }
    assert "latency_ms" in limits
    under = search(
        "rpi3b",
        optimizer="exact",
        max_latency_ms=float(limits["latency_ms"]),
        min_accuracy_percent=float(limits["accuracy"]) if "accuracy" in limits else None,
    )
    assert 1 < len(under.front) < len(report.front)
    assert ids_of(tab) == [design.id for design in under.front]
    assert picks_of(tab) == [identity for _, identity in under.picks.items()]
    assert f"{len(under.front)} of {len(report.front)} designs kept" in tab.inner_text("#count")
    command = tab.inner_text("#command")
    assert f"--max-latency {limits['latency_ms']}ms" in command
    tab.click("#reset")
    assert len(ids_of(tab)) == len(report.front)


def test_typed_limits_cut_on_objectives_and_name_the_command_for_others(open_page, page, report):
    tab = open_page(page)
    tab.fill("#limit-accuracy", "66")
    tab.fill("#limit-latency_ms", "20")
    under = search("rpi3b", optimizer="exact", max_latency_ms=20, min_accuracy_percent=66)
    assert ids_of(tab) == [design.id for design in under.front]
    assert picks_of(tab) == [identity for _, identity in under.picks.items()]
    tab.fill("#limit-energy_mj", "30")
    assert ids_of(tab) == [design.id for design in under.front]
    assert "energy is no objective" in tab.inner_text("#why")
    assert "--max-energy 30mJ" in tab.inner_text("#command")
    tab.fill("#limit-energy_mj", "thirty")
    assert tab.get_attribute("#limit-energy_mj", "aria-invalid") == "true"


def test_narrowing_and_searching_again_gives_the_exact_front(open_page, page, tmp_path):
    tab = open_page(page)
    tab.fill("#limit-latency_ms", "4.5")
    tab.click("#tick-kept")
    grid = tab.locator("input[data-variable=w3]:checked")
    assert grid.count() > 2
    grid.last.uncheck()
    last = tab.locator("input[data-variable=d2]:checked")
    while last.count() > 1:
        last.last.uncheck()
    last.last.click()  # the only value stays
    assert last.count() == 1
    file = tmp_path / "narrowed.toml"
    file.write_text(tab.text_content("#toml"))
    assert "--space ./narrowed.toml" in tab.inner_text("#narrow-command")

    space, target = load_space(str(file)), load_target("rpi3b")
    whole = load_space("cifar10-concat")
    assert 1 < space.size <= 100_000
    assert str(f"{space.size:,} designs") in tab.inner_text("#narrow-count")
    every = np.stack(np.unravel_index(np.arange(space.size), [len(g) for g in space.grids]), 1)
    latency = evaluate(space, target, every).latency_ms[0]
    accuracy = accuracy_of(whole).predict(space, every).value
    values = np.stack([[six(x), six(y)] for x, y in zip(latency, accuracy, strict=True)])
    wanted = {tuple(row) for row in values[non_dominated(values, [1.0, -1.0])].tolist()}
    for optimizer in ("shgo", "exact"):
        found = search("rpi3b", str(file), optimizer=optimizer, extrapolate=True)
        designs = found.front
        assert {(six(d.latency_ms.value), six(d.accuracy.value)) for d in designs} == wanted


def test_hostile_names_stay_text(open_page, report):
    evil = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    front = [replace(design, description=evil) for design in report.front[:30]]
    hostile = replace(
        report,
        front=front,
        picks=type(report.picks)(front[0].id, front[1].id, front[2].id),
        target={**report.target, "name": evil, "description": evil},
        notes=[evil],
    )
    tab = open_page(explorer_html(hostile, CONCAT))
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("script").count() == 2 and tab.locator("img:not(#chip)").count() == 0
    assert evil in tab.text_content("#title") and evil in tab.text_content("#designs")


def test_the_keyboard_and_the_dark(open_page, page, report):
    tab = open_page(page, color_scheme="dark")
    assert tab.get_attribute("html", "data-theme") == "dark"
    tab.click("#theme")
    assert tab.get_attribute("html", "data-theme") == "light"
    chosen = "document.querySelector('#designs tr[aria-selected=true]')?.dataset.id"
    tab.focus("#chart")
    tab.keyboard.press("Home")
    assert tab.evaluate(chosen) == report.front[0].id
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(chosen) == report.front[1].id
    assert "accuracy" in tab.inner_text("#announce")
    tab.fill("#limit-latency_ms", "10")
    tab.focus("#chart")
    tab.keyboard.press("Escape")
    assert tab.input_value("#limit-latency_ms") == ""
    tab.focus("#designs tbody tr:nth-child(5)")
    tab.keyboard.press("Enter")
    assert tab.evaluate(chosen) == report.front[4].id
    assert tab.locator("#layers tbody tr").count() > 5


def test_a_click_on_a_marker_chooses_the_design(open_page, page, report):
    tab = open_page(page)
    tab.focus("#chart")
    tab.keyboard.press("End")
    box = tab.locator("#chart .u-over").bounding_box()
    spot = tab.evaluate("[chart.plot.valToPos(valueOf('latency_ms', 0), 'x'),"
                        " chart.plot.valToPos(valueOf('accuracy', 0), 'y')]")  # fmt: skip
    tab.mouse.click(box["x"] + spot[0], box["y"] + spot[1])
    assert tab.inner_text("#design-text").startswith(f"{report.front[0].id}: ")


def test_a_narrow_screen_and_five_thousand_designs(open_page):
    many = bench().many_designs(5000)
    tab = open_page(explorer_html(many, CONCAT))
    tab.set_viewport_size({"width": 420, "height": 800})
    tab.wait_for_function("document.documentElement.scrollWidth <= 420")
    tab.fill("#limit-latency_ms", "100")
    wanted = [design.id for design in many.front if design.latency_ms.value <= 100]
    assert ids_of(tab) == wanted


def test_chips_searched_with_the_network(open_page, tmp_path):
    found = search("systolic", "nasbench-macro", hardware="dataflow=os,buffer_kib=64")
    tab = open_page(explorer_html(found, Source("nasbench-macro", "systolic"), "<svg/>"))
    assert tab.locator("#chip-panel").is_visible()
    assert tab.locator("input[data-variable=rows]").first.is_disabled()
    areas = sorted(design.area_mm2.value for design in found.front)
    bound = f"{areas[len(areas) // 2]:.4g}"
    tab.fill("#limit-area_mm2", bound)
    kept = [d.id for d in found.front if d.area_mm2.value <= float(bound)]
    assert ids_of(tab) == kept
    assert json.loads(tab.text_content("#facts"))["variables"][0]["chip"] is True
    assert Path(tmp_path / "front.html").stat().st_size < 1_000_000
