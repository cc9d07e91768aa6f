"""Number formats searched with network and chip: brute force, bounds, where they are fixed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flash.accuracy import accuracy_of
from flash.accuracy.bits import quantization_drop
from flash.errors import InfeasibleError
from flash.evaluation import evaluate, evaluate_on_chips
from flash.files.locations import data_file
from flash.optimize import hypervolume_gap, non_dominated
from flash.report.brief import render_brief
from flash.report.reading import read_search
from flash.search import search
from flash.search.picks import written_apart
from flash.search.problem.joint_space import joint_space
from flash.spaces.space import load_space
from flash.targets import load_hardware

#: Few values of each variable of ``cifar10-concat``, some of them beyond what was trained.
_FEW = {
    "w1": (8, 32), "d1": (3, 6), "t1": (0,), "w2": (16, 64), "d2": (3,), "t2": (0, 32),
    "w3": (32, 144), "d3": (3,), "t3": (0, 64),
}  # fmt: skip
_SIGNS = {
    "accuracy": -1.0,
    "latency_ms": 1.0,
    "energy_mj": 1.0,
    "area_mm2": 1.0,
    "memory_kb": 1.0,
}
#: Few chips, so that every design can be priced.
_CHIPS = "cols=32,frequency_mhz=800,dataflow=ws,buffer_kib=256"


def _small(folder, values, name="cifar10-concat"):
    """The shipped space, and its accuracy model, with few values."""
    text = data_file("models", name).read_text(encoding="utf-8")
    for name, own in values.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {list(own)}", text, flags=re.M)
    path = folder / "few.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return _small(tmp_path_factory.mktemp("space"), _FEW)


@pytest.fixture(scope="module")
def searched(small):
    """Formats, networks and chips searched within what was trained."""
    return search("systolic", small, hardware=_CHIPS)


def _every(space, hardware):
    """Bits, and values by name, of every network on every chip: nothing is looked up in tables."""
    joint = joint_space(load_space(space), load_hardware("systolic"), hardware)
    sizes = [len(grid) for grid in joint.grids]
    indices = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    found = evaluate_on_chips(joint.network, joint.family, indices)
    chips, networks = joint.split(indices)
    bits = np.array([chip["bits"] for chip in joint.chips])[chips]
    accuracy = np.empty(len(indices))
    memory = np.empty(len(indices))
    outside = np.zeros(len(indices), dtype=np.bool_)
    for width in np.unique(bits):
        own = bits == width
        predicted = accuracy_of(joint.network, int(width)).predict(joint.network, networks[own])
        accuracy[own], outside[own] = predicted.value, predicted.outside
        memory[own] = (found.weight_kb + found.activation_kb)[own]
    costs = {n: found.quantity(n) for n in ("latency_ms", "energy_mj", "area_mm2")}
    return bits, {"accuracy": accuracy, "memory_kb": memory, "outside": outside, **costs}


def _front(columns, signs):
    values = np.stack(columns, axis=1)
    best = values[non_dominated(values, signs)]
    return best[written_apart(best, signs)]


def _as_good(values, row, signs):
    return (np.array(signs) * (values - row) <= 1e-5 * row).all(axis=1)


def _of(design, name):
    return design.accuracy.value if name == "accuracy" else design.quantity(name)


@settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a search takes a second
    deadline=None,
    derandomize=True,
)
@given(
    dataflow=st.sampled_from(["os", "ws", "is"]),
    buffer_kib=st.sampled_from([64, 256, 2048]),
    objectives=st.sampled_from(
        [
            ("score", "latency"),
            ("score", "latency", "area"),
            ("score", "energy", "memory"),
            ("latency", "area"),
        ]
    ),
    least=st.sampled_from([None, 84.0, 87.5]),
)
def test_the_front_over_formats_is_that_of_all_their_designs(
    small, dataflow, buffer_kib, objectives, least
):
    hardware = f"cols=32,frequency_mhz=800,dataflow={dataflow},buffer_kib={buffer_kib}"
    names = [
        {
            "score": "accuracy",
            "latency": "latency_ms",
            "energy": "energy_mj",
            "area": "area_mm2",
        }.get(word, "memory_kb")
        for word in objectives
    ]
    if "score" not in objectives and least is None:
        least = 80.0
    report = search(
        "systolic",
        small,
        hardware=hardware,
        objectives=objectives,
        min_accuracy_percent=least,
        extrapolate=True,
    )
    _, every = _every(small, hardware)
    reached = every["accuracy"] >= (least or 0.0)
    signs = [_SIGNS[name] for name in names]
    best = _front([every[name][reached] for name in names], signs)
    got = np.array([[_of(design, name) for name in names] for design in report.front])
    assert report.optimizer.certified and report.optimizer.gap == 0
    # In six digits, which is what is written: sums in another order differ in the last ones.
    for row in best:
        assert _as_good(got, row, signs).any()
    for row in got:
        apart = np.abs(best / row - 1) > 1e-5
        assert not (_as_good(best, row, signs) & apart.any(axis=1)).any()


def test_what_is_missing_when_time_is_up_is_bounded_over_all_formats(small):
    names = ("accuracy", "latency_ms", "area_mm2")
    signs = [_SIGNS[name] for name in names]
    report = search(
        "systolic", small, hardware=_CHIPS, extrapolate=True, certify_seconds=0.0, optimizer="shgo"
    )
    _, every = _every(small, _CHIPS)
    best = _front([every[name] for name in names], signs)
    got = np.array([[_of(design, name) for name in names] for design in report.front])
    assert not report.optimizer.certified
    assert hypervolume_gap(got, best, signs) <= 100 * report.optimizer.gap + 1e-6


def test_each_design_carries_its_bits_and_is_priced_and_judged_in_them(small):
    report = search("systolic", small, hardware=_CHIPS, extrapolate=True)
    assert {design.hardware["bits"] for design in report.front} == {4, 8, 16}
    ids = [design.id for design in report.front]
    assert len(ids) == len(set(ids))
    space, profile = load_space(small), load_hardware("systolic")
    for design in report.front[:: len(report.front) // 12]:
        bits = design.hardware["bits"]
        assert f"bits={bits}" in design.description
        assert design.weight_kb == pytest.approx(design.params * bits / 8 / 1e3)
        found = evaluate(
            space, profile.target(dict(design.hardware)), space.design(design.design)[None]
        )
        for name in ("latency_ms", "energy_mj", "area_mm2", "memory_kb"):
            assert design.quantity(name) == pytest.approx(found.quantity(name)[0])
    assert read_search(report.to_json()) == report
    assert all(str(quantization_drop(bits)) in report.notes for bits in (4, 8))


def test_the_same_search_over_formats_writes_the_same_bytes(small, searched):
    assert search("systolic", small, hardware=_CHIPS).to_json() == searched.to_json()


def test_the_front_is_that_of_the_designs_like_those_trained_whatever_their_format(small, searched):
    report = searched
    assert not any(design.accuracy.extrapolated for design in report.front)
    assert "searched are those with no more" in report.optimizer.message
    assert any(note.startswith("searched are networks with no more") for note in report.notes)
    names = ("accuracy", "latency_ms", "area_mm2")
    signs = [_SIGNS[name] for name in names]
    _, every = _every(small, _CHIPS)
    best = _front([every[name][~every["outside"]] for name in names], signs)
    got = np.array([[_of(design, name) for name in names] for design in report.front])
    assert all(_as_good(got, row, signs).any() for row in best)


def test_bits_that_are_given_are_not_searched(small):
    report = search("systolic", small, hardware=f"{_CHIPS},bits=16")
    assert {design.hardware["bits"] for design in report.front} == {16}
    assert "bits=" not in report.front[0].description


@pytest.mark.parametrize(
    "asked",
    [
        {"metric": "nn_degree"},
        {"objectives": ("latency", "area")},
        {"space": "cifar10-uncalibrated"},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_where_accuracy_is_not_maximised_bits_are_the_default_chips(small, tmp_path, asked):
    if "space" in asked:
        text = Path(small).read_text(encoding="utf-8").split("# Accuracy model")[0]
        (tmp_path / "bare.toml").write_text(text, encoding="utf-8")
        small, asked = str(tmp_path / "bare.toml"), {}
    report = search("systolic", small, hardware=_CHIPS, **asked)
    assert {design.hardware["bits"] for design in report.front} == {8}
    assert any("bits=8: fewer bits" in note for note in report.notes)
    # What was left out unasked is no part of what the certificate speaks of.
    assert report.target["hardware"]["options"] == 5


def test_four_bits_are_searched_only_where_their_cost_is_known(tmp_path):
    few = {"width": (50, 100), "expand": (3,), "kernel": (3,), "depth": (2,), "skip": (1,)}
    values = {f"{name}{stage}": own for name, own in few.items() for stage in range(1, 8)}
    space = _small(tmp_path, values, "cifar10-mobilenet-v2")
    assert load_space(space).size == 2**7
    report = search("systolic", space, hardware=_CHIPS)
    assert {design.hardware["bits"] for design in report.front} == {8, 16}
    assert any("4 left out" in note for note in report.notes)


def test_the_best_ratio_over_formats_is_that_of_every_design(small):
    hardware = _CHIPS
    (design,) = search(
        "systolic", small, hardware=hardware, objective="flash", extrapolate=True
    ).front
    _, every = _every(small, hardware)
    product = every["latency_ms"] * every["energy_mj"] * every["area_mm2"]
    own = design.latency_ms.value * design.energy_mj.value * design.area_mm2.value
    best = (every["accuracy"] / product).max()
    assert design.accuracy.value / own == pytest.approx(best)


def test_limits_that_no_format_meets_are_told_for_each(small):
    with pytest.raises(InfeasibleError, match=r"of 4 bits: .*; of 8 bits: .*; of 16 bits: "):
        search("systolic", small, hardware=_CHIPS, max_latency_ms=1e-5)


def test_a_limit_on_accuracy_counts_after_the_drop(small):
    floats = accuracy_of(load_space(small), 16)
    space = load_space(small)
    sizes = [len(grid) for grid in space.grids]
    every = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    top = float(floats.predict(space, every).value.max())
    least = top - quantization_drop(8).points / 2
    report = search(
        "systolic", small, hardware=_CHIPS, min_accuracy_percent=least, extrapolate=True
    )
    assert {design.hardware["bits"] for design in report.front} == {16}


def test_limits_at_the_far_end_of_intervals_hold_over_formats(small):
    report = search("systolic", small, hardware=_CHIPS, min_accuracy_percent=80.0, confidence=0.9)
    assert all(design.accuracy.low >= 80.0 - 1e-9 for design in report.front)


def test_bits_of_which_nothing_is_known_are_told_and_cost_nothing(small):
    chip = "rows=32,cols=32,frequency_mhz=800,dataflow=ws,buffer_kib=256"
    twelve, floats = (
        search("systolic", small, hardware=f"{chip},bits={bits}") for bits in (12, 16)
    )
    assert any("what 12 bits cost such networks" in note for note in twelve.notes)
    assert not any("bits cost" in note for note in floats.notes)
    most = [max(design.accuracy.value for design in x.front) for x in (twelve, floats)]
    assert most[0] == pytest.approx(most[1])


def test_the_screen_says_nothing_of_an_optimizer_alone_where_formats_were_searched(searched):
    text = render_brief(searched)
    assert "certified: no design searched beats one shown" in text
    assert "alone" not in text and "shgo came" not in text
