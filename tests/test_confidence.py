"""Limits held at the far end of an interval."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import InfeasibleError, UsageError
from flash.evaluation import evaluate
from flash.optimize import hypervolume_gap
from flash.optimize.pareto import non_dominated
from flash.quantities import parse_confidence
from flash.report import read_search
from flash.report.brief import render_brief
from flash.report.interval import far_factor
from flash.search import search
from flash.search.picks import written_apart
from flash.spaces.space import load_space
from flash.targets import load_target

Z = {0.9: 1.0, 0.5: 0.6744897501960817 / 1.6448536269514722}


@pytest.mark.parametrize(
    ("target", "bound"), [("rpi4b", 9.0), ("rpi3b", 12.0), ("x86-avx512", 1.0)]
)
@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_the_front_is_that_of_every_design_whose_far_end_holds(
    target, bound, confidence, every_macro_design
):
    """By brute force."""
    file, every, score = every_macro_design
    space, chip = load_space(file), load_target(target)
    latency, _, high = evaluate(space, chip, every).latency_ms
    far = latency * (high / latency) ** Z[confidence]
    own = space.metric
    holds = np.flatnonzero(far <= bound)
    values = np.stack([score[holds], latency[holds]], axis=1)
    best = values[non_dominated(values, [-1, 1])]
    best = best[written_apart(best, [-1, 1])]
    report = search(target, file, max_latency_ms=bound, confidence=confidence, extrapolate=True)
    found = {(f"{d.quantity(own):.9g}", f"{d.latency_ms.value:.9g}") for d in report.front}
    wanted = {(f"{s:.9g}", f"{v:.9g}") for s, v in best}
    assert found <= {(f"{s:.9g}", f"{v:.9g}") for s, v in values}
    reached = np.array([[d.quantity(own), d.latency_ms.value] for d in report.front])
    assert hypervolume_gap(reached, best, [-1, 1]) <= 100 * (report.optimizer.gap or 0) + 1e-6
    assert wanted & found
    for design in report.front:
        value, end = design.latency_ms.value, design.latency_ms.high
        assert value * (end / value) ** Z[confidence] <= bound * (1 + 1e-9)


def test_accuracy_holds_at_its_low_end():
    options = {"max_latency_ms": 100.0, "optimizer": "exact"}
    plain = search("rpi4b", "imagenet-mobilenet-v2", min_accuracy_percent=68, **options)
    sure = search(
        "rpi4b", "imagenet-mobilenet-v2", min_accuracy_percent=68, confidence=0.9, **options
    )
    assert min(d.accuracy.low for d in plain.front) < 68
    assert min(d.accuracy.low for d in sure.front) >= 68
    assert max(d.latency_ms.high for d in sure.front) <= 100
    assert "at the far end of the 90 % interval" in " ".join(render_brief(sure).split())
    again = read_search(sure.to_json())
    assert again.confidence == 0.9 and read_search(plain.to_json()).confidence is None


def test_a_limit_that_no_far_end_holds_is_told_with_the_best():
    with pytest.raises(InfeasibleError, match="the best far end is"):
        search("rpi3b", "nasbench-macro", max_latency_ms=1.7, confidence=0.99)


def test_chips_searched_with_the_network_hold_their_far_ends():
    report = search(
        "systolic",
        "nasbench-macro",
        hardware="dataflow=os,buffer_kib=64",
        max_latency_ms=1.0,
        max_area_mm2=3.0,
        confidence=0.9,
    )
    assert max(d.latency_ms.high for d in report.front) <= 1.0
    assert max(d.area_mm2.high for d in report.front) <= 3.0


def test_what_confidence_cannot_be_asked_for_with():
    for options in ({}, {"max_memory_kb": 100.0}, {"max_latency_ms": 9.0, "objective": "flash"}):
        with pytest.raises(UsageError, match="--confidence"):
            search("rpi3b", "nasbench-macro", confidence=0.9, **options)
    with pytest.raises(UsageError, match=r"0\.5 to 0\.99"):
        search("rpi3b", "nasbench-macro", confidence=90, max_latency_ms=9.0)
    assert parse_confidence("90%") == parse_confidence("90") == 0.9
    for text in ("9", "100%", "ninety", "nan"):
        with pytest.raises(UsageError, match="--confidence"):
            parse_confidence(text, "--confidence")


def test_intervals_of_other_confidences():
    assert far_factor(0.9) == pytest.approx(1)
    assert far_factor(0.5) == pytest.approx(Z[0.5])
