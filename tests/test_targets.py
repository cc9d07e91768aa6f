"""Accelerators behind the commands: the same interface, their chips, areas and bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flash.errors import InfeasibleError, ProfileError, UsageError
from flash.estimate import estimate
from flash.evaluation import evaluate, separable
from flash.files.locations import data_file
from flash.optimize import (
    Limit,
    bounded_front,
    exact_front,
    hypervolume_gap,
    non_dominated,
    objective,
)
from flash.optimize.pareto import hypervolume, reference_point
from flash.search import search
from flash.spaces.space import load_space
from flash.targets import load_target, parse_hardware
from flash.targets.components import component
from flash.targets.imc.target import ImcTarget
from flash.targets.processor.target import ProcessorTarget
from flash.targets.systolic.profile import load_systolic
from flash.targets.systolic.target import SystolicTarget

_SMALL = """schema = "flash.space/1"
family = "concat"
classes = 10
[input]
channels = 3
height = 32
width = 32
[settings]
cells = 2
[variables]
w1 = [8, 32, 64]
d1 = [3, 4, 8]
t1 = [0, 8, 16]
w2 = [16, 32, 128]
d2 = [3, 5, 9]
t2 = [0, 16]
"""
_OBJECTIVES = [objective("nn_degree"), objective("latency_ms"), objective("area_mm2")]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(_SMALL, encoding="utf-8")
    return load_space(str(path))


def _systolic_file():
    return data_file("hw_profiles", "systolic")


def _every(space):
    sizes = [len(grid) for grid in space.grids]
    return np.stack(np.unravel_index(np.arange(space.size), sizes), axis=1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rpi3b", ProcessorTarget),
        ("rpi4b", ProcessorTarget),
        ("systolic", SystolicTarget),
        ("eyeriss-like", SystolicTarget),
        ("edge-tpu-like", SystolicTarget),
        ("imc", ImcTarget),
    ],
)
def test_every_shipped_profile_is_a_target_of_its_kind(name, kind, rng):
    target = load_target(name)
    assert isinstance(target, kind)
    assert target.summary()["name"] == name
    assert target.summary()["provenance"]
    space = load_space("cifar10-concat")
    found = evaluate(space, target, space.sample(5, rng))
    for value, low, high in filter(None, (found.latency_ms, found.energy_mj, found.area_mm2)):
        assert (low <= value).all()
        assert (value <= high).all()
        assert (low > 0).all()


@pytest.mark.parametrize("name", ["systolic", "edge-tpu-like", "imc"])
def test_stage_tables_add_up_to_the_costs_or_bound_them(name, rng):
    space, target = load_space("cifar10-concat"), load_target(name)
    designs = space.sample(200, rng)
    table = separable(space, target, "nn_degree").evaluate(designs)
    whole = evaluate(space, target, designs)
    for quantity in ("latency_ms", "energy_mj", "area_mm2"):
        real = whole.quantity(quantity)
        if target.exact or quantity == "area_mm2":
            assert table[quantity] == pytest.approx(real, rel=1e-9)
        else:
            assert (table[quantity] <= real * (1 + 1e-12)).all()
            assert (table[quantity] >= 0.5 * real).all()


def test_hardware_variables_reach_the_chip_by_number_and_by_name():
    target = load_target("systolic", hardware="rows=16, cols=64,dataflow=is")
    assert dict(target.chip) == {
        "rows": 16, "cols": 64, "buffer_kib": 256, "dataflow": 2, "bits": 8, "frequency_mhz": 800,
    }  # fmt: skip
    assert target.summary()["hardware"]["dataflow"] == "is"
    assert load_target("imc", hardware={"rows": 64}).chip["rows"] == 64
    assert parse_hardware("default") == {}


@pytest.mark.parametrize(
    ("target", "given", "words"),
    [
        ("systolic", "row=8", "did you mean 'rows'"),
        ("systolic", "rows", "expected NAME=VALUE"),
        ("systolic", "rows=8,rows=9", "given twice"),
        ("systolic", "rows=0", "rows must lie in 1 to 1024"),
        ("systolic", "dataflow=wss", "did you mean 'ws'"),
        ("imc", "rows=many", "expected a whole number"),
        ("imc", "columns=64,columns_per_adc=128", "columns_per_adc must not exceed columns"),
        ("rpi3b", "rows=8", "has no hardware variables"),
    ],
)
def test_a_chip_that_cannot_be_is_refused_in_one_line(target, given, words):
    with pytest.raises(UsageError, match=words):
        load_target(target, hardware=given)


def test_unknown_targets_and_runtimes_of_chips_are_refused():
    with pytest.raises(UsageError, match="did you mean 'systolic'"):
        load_target("systolc")
    with pytest.raises(UsageError, match="has no runtimes"):
        load_target("imc", "tvm")


def test_a_default_outside_the_grids_is_refused(tmp_path):
    text = _systolic_file().read_text(encoding="utf-8")
    path = tmp_path / "chip.toml"
    path.write_text(text.replace("[default]\nrows = 32", "[default]\nrows = 33"), "utf-8")
    with pytest.raises(ProfileError, match=r"default.rows is 33"):
        load_target(str(path))
    path.write_text(text.replace("[default]\nrows = 32", "[default]"), "utf-8")
    with pytest.raises(UsageError, match="no default rows; give --hardware rows=N"):
        load_target(str(path))
    assert load_target(str(path), hardware="rows=64").chip["rows"] == 64


def test_without_chips_the_energy_interval_is_the_difference_between_the_mac_models(rng):
    space, target = load_space("cifar10-concat"), load_target("systolic")
    hardware = dataclasses.replace(target.hardware, energy_low=None, energy_high=None)
    target = dataclasses.replace(target, hardware=hardware)
    found = evaluate(space, target, space.sample(20, rng))
    # The only energy that differs: every MAC, by the difference of the published figures.
    one, other = (component("mac", model, 16, bits=8) for model in ("aladdin", "horowitz"))
    difference = one.energy_pj["mac"] - other.energy_pj["mac"]
    expected_mj = found.macs * float(difference) * 1e-9
    value, low, high = found.energy_mj
    assert value == pytest.approx(high)
    assert value - low == pytest.approx(expected_mj, rel=1e-6)


def test_the_front_on_one_systolic_chip_is_exact_and_within_the_area(small):
    target = load_target("systolic")
    every = evaluate(small, target, _every(small))
    values = np.stack([every.nn_degree, every.latency_ms[0]], axis=1)
    best = values[non_dominated(values, [-1.0, 1.0])]
    found = exact_front(separable(small, target, "nn_degree"), _OBJECTIVES[:2])
    assert np.sort(found.values, axis=0) == pytest.approx(np.sort(best, axis=0), rel=1e-9)


def test_the_bound_of_an_imc_front_covers_what_it_really_misses(small):
    target = load_target("imc")
    every = evaluate(small, target, _every(small))
    limits = [Limit.on("latency_ms", float(np.quantile(every.latency_ms[0], 0.7)))]
    problem = separable(small, target, "nn_degree")

    def price(designs, objectives):
        found = evaluate(small, target, designs)
        return np.stack([found.quantity(of.name) for of in objectives], axis=1)

    found = bounded_front(problem, _OBJECTIVES, limits, price)
    values = np.stack([every.quantity(of.name) for of in _OBJECTIVES], axis=1)
    values = values[limits[0].met(values[:, 1])]
    best = values[non_dominated(values, found.signs)]
    # What was found is real, within the limit, and the true front misses at most the bound.
    assert (found.values[:, 1] <= limits[0].bound).all()
    rows = {tuple(np.round(row, 9)) for row in values}
    assert all(tuple(np.round(row, 9)) in rows for row in found.values)
    assert not found.certified
    assert hypervolume_gap(found.values, best, found.signs) <= found.gap_percent + 1e-9
    bound = exact_front(problem, _OBJECTIVES, limits)
    corner = reference_point(np.concatenate([bound.values, best]), found.signs)
    assert hypervolume(bound.values, found.signs, corner) >= hypervolume(best, found.signs, corner)


def test_imc_is_never_called_certified_and_systolic_is():
    report = search("imc", hardware="default", max_area_mm2=3.0)
    assert not report.optimizer.certified
    assert report.optimizer.gap is not None
    assert "not certified" in report.certificate
    assert all(design.area_mm2.value <= 3.0 for design in report.front)
    assert search("systolic", hardware="default", max_area_mm2=3.0).optimizer.certified


def test_too_little_area_names_the_smallest_that_would_do():
    with pytest.raises(InfeasibleError, match=r"smallest area that would do is ([\d.]+) mm2") as e:
        search("imc", hardware="default", max_area_mm2=0.5)
    least = float(str(e.value).split("would do is ")[1].split(" mm2")[0])
    assert search("imc", hardware="default", max_area_mm2=least).front
    with pytest.raises(InfeasibleError, match="smallest area that would do is 1.85 mm2"):
        search("systolic", hardware="default", max_area_mm2=1.0)


def test_weights_must_fit_where_they_stay_on_the_chip():
    held = load_target("edge-tpu-like").weight_limit_kb
    report = search("edge-tpu-like")
    assert max(design.weight_kb for design in report.front) <= held
    assert any("weights stay on the chip" in note for note in report.notes)
    small = dataclasses.replace(load_systolic("edge-tpu-like"), keeps_weights=False)
    assert SystolicTarget(small, dict(small.default)).weight_limit_kb == np.inf


def test_area_is_no_objective_of_a_board():
    with pytest.raises(UsageError, match="no chip area"):
        search("rpi3b", objectives=("score", "area"))


def test_estimates_on_a_chip_have_area_and_what_the_chip_tells():
    row = estimate(space="cifar10-concat", designs=["w=8,16,32 d=3,3,3 t=0,0,0"], target="imc")[0]
    assert row["area_low_mm2"] <= row["area_mm2"] <= row["area_high_mm2"]
    assert row["tiles"] >= 1
    assert 0 < row["utilisation"] <= 1
    with pytest.raises(UsageError, match="need a target"):
        estimate(space="cifar10-concat", designs=["w=8,16,32 d=3,3,3 t=0,0,0"], hardware="rows=8")
