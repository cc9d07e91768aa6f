"""The short form of a search: one screen, every number with its interval, what to do next."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from flash.quantities import quantity
from flash.report.brief import render_brief
from flash.report.table import print_report
from flash.search import search

TARGETS = (
    ("rpi3b", "cifar10-concat", {"optimizer": "exact"}),
    ("rpi4b", "nasbench201", {"optimizer": "exact"}),
    ("x86-avx512", "nasbench-macro", {"optimizer": "exact"}),
    ("systolic", "nasbench-macro", {"hardware": "default"}),
    ("edge-tpu-like", "cifar10-concat", {"hardware": "default", "optimizer": "exact"}),
    ("imc", "nasbench-macro", {"hardware": "default"}),
    ("imc", "nasbench-macro", {"certify_seconds": 0}),
)


@pytest.fixture(scope="module", params=TARGETS, ids=lambda given: "-".join((given[0], *given[2])))
def report(request, small_cells):
    target, space, options = request.param
    return search(target, small_cells if space == "nasbench201" else space, **options)


def test_it_fits_on_a_screen_of_24_lines_and_80_columns(report):
    lines = render_brief(report, ["out/front.json", "out/front.csv"], 80).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_a_narrow_screen_shows_every_word_that_a_wide_one_does(report):
    """Where lines would not fit, names lose their column, and nothing else."""
    files = ["out/front.json", "out/front.csv", "out/chip.svg"]
    wide, narrow = (render_brief(report, files, width) for width in (200, 60))
    assert max(map(len, narrow.splitlines())) <= 60

    def words(text: str) -> list[str]:
        return sorted(re.sub("[,;]", " ", text).split())

    assert words(narrow) == words(wide)


def test_it_says_how_many_designs_of_a_long_front_are_shown(report):
    told = "shown are 367 of 5,399 designs, 0.71 % of the hypervolume less"
    for certified in (True, False):
        done = replace(
            report.optimizer, certified=certified, gap=0.001, message=f"2 chips; {told}; and more"
        )
        text = " ".join(render_brief(replace(report, optimizer=done)).split())
        assert f"; {told}" in text and "and more" not in text


def test_no_row_that_is_written_dominates_another_in_six_digits(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    signs = [1.0 if quantity(name).sense == "min" else -1.0 for name in report.objectives]
    values = np.array([[float(f"{float(row[n]):.6g}") for n in report.objectives] for row in rows])
    costs = values * signs
    for row in costs:
        below = (costs <= row).all(axis=1) & (costs < row).any(axis=1)
        assert not below.any()


def test_every_pick_has_its_intervals(report):
    text = render_brief(report)
    picks = len({identity for _, identity in report.picks.items()})
    assert text.count("latency ") >= picks
    for design in {design.id: design for _, design in report.picked}.values():
        assert "".join(design.short.split()) in "".join(text.split())
    known = sum(
        value is not None
        for design in {d.id: d for _, d in report.picked}.values()
        for value in (design.accuracy, design.latency_ms, design.energy_mj, design.area_mm2)
    )
    assert text.count(" to ") >= known  # each interval is written "(low to high)"


def test_it_says_how_many_designs_nothing_measured_is_like(report):
    outside = sum(design.extrapolated for design in report.front)
    said = f"* {outside:,} of {len(report.front):,} designs are outside what was measured"
    assert (said in " ".join(render_brief(report).split())) == (outside > 0)


def test_it_says_what_the_figures_rest_on_and_what_a_design_says(report):
    text = " ".join(render_brief(report).split())
    assert report.target["basis"] in text
    if report.target["kind"] == "processor":
        error = float(report.target["provenance"][0].partition("median error ")[2].split()[0])
        assert f"median error {error:.2g} %" in text and report.target["framework"] in text
    else:
        assert "no chip was measured" in text
    assert ("w channels, d layers, t skip channels" in text) == ("concat" in report.space.name)


def test_the_next_command_names_the_file_written(report):
    text = render_brief(report, ["some/front.json", "some/front.csv"])
    assert "written to some: front.json, front.csv" in text
    assert "next: flash export some/front.json --format onnx" in text
    assert "export" not in render_brief(report)


def test_verbose_has_the_sources_and_quiet_no_next_command(report):
    shown = {}
    for name in ("brief", "verbose", "quiet"):
        options = {} if name == "brief" else {name: True}
        stream = io.StringIO()
        print_report(report, ["out/front.json"], stream=stream, **options)
        shown[name] = stream.getvalue()
    assert shown["brief"] == render_brief(report, ["out/front.json"], 80)
    assert "note: " in shown["verbose"] and "space      " in shown["verbose"]
    assert "next: " not in shown["quiet"]
    assert len(shown["quiet"]) < len(shown["brief"]) < len(shown["verbose"])


def test_a_chip_that_nobody_measured_is_not_said_to_be():
    report = search("systolic", "cifar10-concat", hardware="default,bits=5", optimizer="exact")
    text = " ".join(render_brief(report).split())
    assert "brackets are the errors that its profile states" in text
    assert "every design is inside what was trained" in text
    assert "those of floats: what 5 bits cost such networks in accuracy is not known" in text
