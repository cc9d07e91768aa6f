"""A search stays inside what was measured on its target, exactly, unless told otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from flash.optimize import exact_front, non_dominated, scout
from flash.search import pipeline, search
from flash.search.problem import networks
from flash.spaces.space import load_space
from flash.targets import load_target


@pytest.mark.parametrize("target", ["rpi3b", "rpi4b", "rpi-zero-2w"])
def test_the_front_is_that_of_all_designs_that_meet_a_set_of_conditions(target, every_macro_design):
    file, every, score = every_macro_design
    space, board = load_space(file), load_target(target)
    table = space.table(every)
    sums = board.sums(table)
    costs = board.costs(table)
    report = search(target, file, optimizer="exact")
    assert search(target, file, optimizer="exact", extrapolate=True) != report
    for conditions in board.measured:
        inside = np.all([one.value(sums) <= one.bound for one in conditions], axis=0)
        assert not costs.extrapolated[inside].any()
        if inside.any():
            break
    values = np.stack([score[inside], costs.latency_ms[0][inside]], axis=1)
    best = values[non_dominated(values, (-1.0, 1.0))]
    # Fronts as sets of points: the report leaves out what six digits do not tell apart.
    shown = np.array([[d.estimate("capacity"), d.latency_ms.value] for d in report.front])
    for point in shown:
        assert np.isclose(best, point, rtol=1e-9).all(axis=1).any()
    assert len(shown) == pytest.approx(len(np.unique(best.round(9), axis=0)), abs=3)
    assert report.space.measured == pytest.approx(inside.mean(), abs=0.1)
    assert not any(design.extrapolated for design in report.front)


def test_where_nothing_was_measured_the_whole_front_is_shown_and_marked():
    report = search("jetson-nano", "nasbench-macro", optimizer="exact")
    assert report.space.measured is None
    assert all(design.extrapolated for design in report.front)


def test_limits_that_only_unmeasured_designs_meet_are_met_by_those():
    inside = search("rpi4b", "nasbench-macro", optimizer="exact")
    whole = search("rpi4b", "nasbench-macro", optimizer="exact", extrapolate=True)
    least = min(design.latency_ms.value for design in inside.front)
    fastest = min(design.latency_ms.value for design in whole.front)
    assert fastest < least
    between = (fastest + least) / 2
    report = search("rpi4b", "nasbench-macro", optimizer="exact", max_latency_ms=between)
    assert report.space.measured is None and all(d.extrapolated for d in report.front)


@pytest.mark.parametrize(
    "limits", [{}, {"max_latency_ms": 20.0}, {"max_latency_ms": 20.0, "confidence": 0.9}]
)
def test_the_front_that_keeps_a_search_inside_certifies_it_too(limits, monkeypatch):
    asked = []

    def counted(tables, objectives, held=(), seen=None):
        asked.append(tuple(held))
        return exact_front(tables, objectives, held, seen)

    monkeypatch.setattr(networks, "exact_front", counted)
    report = search("rpi4b", "nasbench-macro", **limits)
    assert len(asked) == len(set(asked))  # none is computed twice
    assert report.optimizer.certified
    exact = search("rpi4b", "nasbench-macro", optimizer="exact", **limits)
    assert [design.id for design in report.front] == [design.id for design in exact.front]


@pytest.mark.parametrize("found", [0, 1, 5])
def test_the_front_is_the_same_however_few_designs_near_it_are_found(found, monkeypatch):
    whole = search("rpi3b", optimizer="exact")
    monkeypatch.setattr(pipeline, "scout", lambda *given: scout(*given)[:found])
    assert search("rpi3b", optimizer="exact").front == whole.front
