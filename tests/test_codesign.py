"""Network and chip searched together: brute force, bounds, limits, what a report says."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from flash.errors import InfeasibleError, UsageError
from flash.evaluation import evaluate_on_chips, separable_on_chips
from flash.optimize import (
    Effort,
    Limit,
    Objective,
    exact_front,
    hypervolume_gap,
    meets,
    non_dominated,
    nsga2_front,
    objective,
    shgo_front,
    values_of,
)
from flash.optimize.nested import Budget, Nested, certified_front
from flash.optimize.nested.planar import PlanarFronts
from flash.report.brief import render_brief
from flash.report.reading import read_search
from flash.search import search
from flash.search.picks import written_apart
from flash.search.pipeline import run
from flash.search.problem.joint_space import joint_space
from flash.search.request import Request
from flash.search.waiting import silent, teller
from flash.spaces.space import load_space
from flash.spaces.table import TableEmitter
from flash.targets import load_hardware

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
d1 = [3, 8]
t1 = [0, 16]
w2 = [16, 128]
d2 = [3, 9]
t2 = [0, 16]
"""
_NAMES = ("nn_degree", "latency_ms", "area_mm2")
_SIGNS = [-1.0, 1.0, 1.0]
#: Few chips, so that every design can be priced.
_GIVEN = {
    "systolic": "buffer_kib=128,bits=8,frequency_mhz=800,cols=32",
    "imc": "columns=128,crossbars_per_tile=8,noc_bits=64,mvm_limit=1024,columns_per_adc=16",
}


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(_SMALL, encoding="utf-8")
    return str(path)


def _joint(name, given=None, space="cifar10-concat"):
    return joint_space(load_space(space), load_hardware(name), given)


def _thinned(space, most):
    """With at most so many values of each variable, from the least on."""
    grids = tuple(grid[:: -(-len(grid) // most)] for grid in space.grids)
    return dataclasses.replace(space, grids=grids)


def _tables(space):
    return separable_on_chips(space.network, space.family, "nn_degree")


def _priced(space, indices):
    return evaluate_on_chips(space.network, space.family, indices)


def _every(space):
    sizes = [len(grid) for grid in space.grids]
    indices = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    return indices[space.possible[space.split(indices)[0]]]


def _values(found):
    return np.stack([found.quantity(name) for name in _NAMES], axis=1)


@pytest.mark.parametrize("name", ["systolic", "imc"])
def test_the_joint_space_has_ten_to_the_thirteen_designs(name):
    space = _joint(name)
    assert space.size == 134_217_728_000 * space.family.grid.options
    assert space.size >= 10**13


@pytest.mark.parametrize("name", ["systolic", "imc"])
def test_joint_tables_price_designs_as_their_own_chip_does(name, small, rng):
    space = _joint(name, space=small)
    indices = space.sample(150, rng)
    indices = indices[space.possible[space.split(indices)[0]]]
    table = _tables(space).evaluate(indices)
    real = _priced(space, indices)
    assert table["area_mm2"] == pytest.approx(real.area_mm2[0], rel=1e-9)
    assert table["nn_degree"] == pytest.approx(real.nn_degree)
    for quantity in ("latency_ms", "energy_mj"):
        if name == "systolic":
            assert table[quantity] == pytest.approx(real.quantity(quantity), rel=1e-9)
        else:
            assert (table[quantity] <= real.quantity(quantity) * (1 + 1e-9)).all()


@pytest.mark.parametrize("family", ["concat", "add"])
def test_imc_tables_are_those_of_whole_cells_and_of_stages_that_choose_nothing_beside_them(
    family, small, rng
):
    from flash.evaluation import separable

    text = Path(small).read_text(encoding="utf-8")
    if family == "add":
        text = text.replace('"concat"', '"add"').replace("d1 =", "b1 =").replace("d2 =", "b2 =")
        Path(small).write_text(text, encoding="utf-8")
    space = _joint("imc", space=small)
    joint, networks_of = _tables(space), space.network
    indices = space.sample(40, rng)
    chips, networks = space.split(indices)
    cells = [set(x.cell) for x in networks_of.family.stages if x.cell]
    groups = [{"stem"} | cells[0], cells[1] | {"head"}]
    grids = dict(zip(networks_of.variables, networks_of.grids, strict=True))
    values = {n: grid[networks[:, k]] for k, (n, grid) in enumerate(grids.items())}
    tables = []
    for names in groups:
        emitter = TableEmitter(len(networks), only=names)
        tables.append(emitter.table(networks_of.family.emit(emitter, values)[1]))
    for chip in np.unique(chips)[:4]:
        target = space.family.target(chip)
        found = [target.stage_costs(table) for table in tables]
        apart = separable(networks_of, target, "nn_degree").evaluate(networks)
        joined = joint.evaluate(space.join(chip, networks))
        for quantity in ("latency_ms", "energy_mj", "area_mm2"):
            whole = sum(costs[quantity] for costs in found)
            assert joined[quantity] == pytest.approx(whole, rel=1e-9)
            assert (apart[quantity] <= joined[quantity] * (1 + 1e-9)).all()
        # A body that knows its entry says more than one that does not, where copies go there.
        gained = (apart["latency_ms"] < joined["latency_ms"] * (1 - 1e-6)).any()
        assert gained or family == "add"


@pytest.mark.parametrize("name", ["cifar10-add", "cifar10-mobilenet-v2"])
def test_every_stage_of_imc_tables_has_a_choice_and_bounds_the_placement(name, rng):
    # All values of each variable take 13 s of tabulating and check the same.
    space = joint_space(_thinned(load_space(name), 5), load_hardware("imc"), _GIVEN["imc"])
    tables = _tables(space)
    assert all(stage.owns for stage in tables.stages)
    indices = space.sample(60, rng)
    indices = indices[space.possible[space.split(indices)[0]]]
    real = _priced(space, indices)
    for quantity in ("latency_ms", "energy_mj", "area_mm2"):
        bound = tables.evaluate(indices)[quantity]
        assert (bound <= real.quantity(quantity) * (1 + 1e-9)).all()


def test_systolic_front_equals_brute_force_and_is_certified(small):
    report = search(
        "systolic",
        small,
        hardware=_GIVEN["systolic"],
        metric="nn_degree",
        certify_seconds=60.0,
    )
    space = _joint("systolic", _GIVEN["systolic"], small)
    values = _values(_priced(space, _every(space)))
    best = values[non_dominated(values, _SIGNS)]
    best = best[written_apart(best, _SIGNS)]
    got = np.array([[d.quantity(name) for name in _NAMES] for d in report.front])
    assert report.optimizer.certified
    assert report.optimizer.gap == 0
    assert np.sort(got, axis=0) == pytest.approx(np.sort(best, axis=0), rel=1e-9)


@pytest.mark.parametrize("name", ["systolic", "imc"])
@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_the_bound_holds_whenever_time_is_up(name, seconds, small):
    report = search(name, small, hardware=_GIVEN[name], certify_seconds=seconds, max_area_mm2=8.0)
    space = _joint(name, _GIVEN[name], small)
    values = _values(_priced(space, _every(space)))
    values = values[values[:, 2] <= 8.0]
    best = values[non_dominated(values, _SIGNS)]
    got = np.array([[d.quantity(of) for of in _NAMES] for d in report.front])
    assert (got[:, 2] <= 8.0).all()
    missing = hypervolume_gap(got, best, _SIGNS)
    assert missing <= 100 * report.optimizer.gap + 1e-6
    assert report.optimizer.certified == (name == "systolic" and seconds > 0)


@pytest.mark.parametrize("partial_designs", [0, 10**9])
def test_what_a_capped_front_misses_is_bounded_among_designs_that_have_no_more(
    partial_designs, small
):
    space = _joint("imc", _GIVEN["imc"], small)
    every = _values(_priced(space, _every(space)))
    most = float(np.median(every[:, 0]))
    tables = _tables(space)
    nested = Nested(tables, len(space.free), space.possible, space.size)
    objectives = [objective(name) for name in _NAMES]

    def price(indices):
        return _values(_priced(space, indices)), meets(tables, indices, [])

    def found(most):
        caps = {"nn_degree": most}
        budget = Budget(partial_designs)
        start = shgo_front(tables, objectives)
        return certified_front(nested, objectives, [], start, price, False, budget, caps)

    capped = found(most)
    assert (capped.values[:, 0] <= most).all()
    among = every[every[:, 0] <= most]
    best = among[non_dominated(among, _SIGNS)]
    assert hypervolume_gap(capped.values, best, _SIGNS) <= capped.gap_percent + 1e-6
    assert "no more nn_degree than trained ones" in capped.message
    # Where nothing has so little, the cap is no reason to find nothing.
    assert len(found(-1.0)) > 0


def test_designs_carry_their_chip_through_json_and_csv(small, tmp_path):
    report = search("systolic", small, hardware=_GIVEN["systolic"])
    design = report.front[0]
    assert set(design.hardware) == {
        "rows", "cols", "buffer_kib", "dataflow", "bits", "frequency_mhz",
    }  # fmt: skip
    assert design.hardware["cols"] == 32
    assert "rows=" in design.description
    assert "cols=32" not in design.description
    document = json.loads(report.to_json())
    assert document["front"][0]["hardware"] == dict(design.hardware)
    assert read_search(report.to_json()) == report
    assert document["target"]["hardware"]["options"] == 15


def test_too_little_area_names_the_smallest_of_any_chip(small):
    with pytest.raises(InfeasibleError, match="smallest area that would do is") as caught:
        search("systolic", small, max_area_mm2=0.1)
    least = float(str(caught.value).split("would do is ")[1].split(" mm2")[0])
    report = search("systolic", small, max_area_mm2=least, certify_seconds=0.0)
    assert all(design.area_mm2.value <= least for design in report.front)
    with pytest.raises(InfeasibleError, match="latency .* binds: the best of any chip is"):
        search("systolic", small, max_latency_ms=1e-4)


def test_default_stands_for_one_chip_and_single_valued_profiles_have_none_to_search():
    assert joint_space(load_space("cifar10-concat"), load_hardware("systolic"), "default") is None
    assert joint_space(load_space("cifar10-concat"), load_hardware("eyeriss-like"), None) is None
    with pytest.raises(UsageError, match="did you mean 'rows'"):
        _joint("systolic", "row=8")


def test_a_chip_of_which_everything_is_given_is_searched_as_one_chip(small):
    given = "rows=16,cols=16,buffer_kib=128,dataflow=ws,bits=8"
    report = search("systolic", small, hardware=given)
    assert {design.hardware["rows"] for design in report.front} == {16}
    same = search("systolic", small, hardware=f"{given},frequency_mhz=1000")
    assert [d.description for d in report.front] == [d.description for d in same.front]
    (all_formats,) = {
        design.hardware["bits"]
        for design in search(
            "systolic", small, hardware=given.replace(",bits=8", ""), metric="sed"
        ).front
    }
    assert all_formats == 8  # a score cannot tell what bits cost


def test_converters_lose_nothing_of_an_exact_sum():
    space = _joint("imc")
    for chip, possible in zip(space.chips, space.possible, strict=True):
        assert chip["adc_bits"] == np.log2(chip["rows"]) + chip["cell_bits"] - 1
        assert possible == (chip["adc_bits"] <= 8)
    assert _joint("imc", "adc_bits=5").chips[0]["adc_bits"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["systolic", "imc"])
def test_fifty_random_limit_settings_are_all_satisfied(name, rng):
    space = _joint(name)
    found = _priced(space, space.sample(400, rng))
    for _ in range(25):
        limits = {
            "max_latency_ms": float(rng.choice(found.latency_ms[0])),
            "max_area_mm2": float(rng.choice(found.area_mm2[0])),
            "max_energy_mj": float(rng.choice(found.energy_mj[0])),
        }
        try:
            report = search(name, certify_seconds=0.0, **limits)
        except InfeasibleError as error:
            assert "no " in str(error)
            within = np.stack(
                [found.quantity(key[4:]) <= bound for key, bound in limits.items()]
            ).all(axis=0)
            assert not within.any()
            continue
        for design in report.front:
            for key, bound in limits.items():
                assert design.quantity(key[4:]) <= bound


@pytest.mark.slow
def test_nsga2_adds_next_to_nothing_to_the_front():
    pytest.importorskip("pymoo")
    problem = _tables(_joint("systolic"))
    objectives = [objective(name) for name in _NAMES]
    other = nsga2_front(problem, objectives, population=200, generations=500).values
    ours = shgo_front(problem, objectives, effort=Effort(sweeps=40)).values
    both = np.concatenate([ours, other])
    # A heuristic against a heuristic: a design in thousands may be dominated, no volume is won.
    assert (~non_dominated(both, _SIGNS)[: len(ours)]).mean() < 1e-3
    assert hypervolume_gap(ours, both, _SIGNS) < 1e-3
    assert hypervolume_gap(other, ours, _SIGNS) > 1.0


@pytest.mark.slow
def test_the_whole_systolic_space_is_certified_and_nsga2_dominates_nothing_of_its_front():
    pytest.importorskip("pymoo")
    space = _joint("systolic")
    problem = _tables(space)
    objectives = [objective(name) for name in _NAMES]

    def price(indices):
        return values_of(problem, indices, objectives), meets(problem, indices, [])

    start = shgo_front(problem, objectives)
    nested = Nested(problem, len(space.free), space.possible, space.size)
    found = certified_front(nested, objectives, [], start, price, True, Budget(10**9))
    assert found.certified
    other = nsga2_front(problem, objectives, population=200, generations=500).values
    both = np.concatenate([found.values, other])
    # Sums in another order differ in the last digits: what beats a design at all is equal to it.
    for row in np.flatnonzero(~non_dominated(both, _SIGNS)[: len(found)]):
        better = (other * _SIGNS <= found.values[row] * _SIGNS).all(axis=1)
        assert np.allclose(other[better], found.values[row], rtol=1e-9)
    assert hypervolume_gap(found.values, both, _SIGNS) < 1e-6


def test_the_flash_objective_finds_the_best_ratio_and_bounds_it(small):
    space = _joint("systolic", _GIVEN["systolic"], small)
    every = _priced(space, _every(space))
    costs = [every.quantity(name) for name in ("latency_ms", "energy_mj", "area_mm2")]
    best = float((every.nn_degree / np.prod(costs, axis=0)).max())
    for seconds in (0.0, 30.0):
        report = search(
            "systolic", small, hardware=_GIVEN["systolic"], objective="flash",
            certify_seconds=seconds,
        )  # fmt: skip
        (design,) = report.front
        got = design.nn_degree / (
            design.latency_ms.value * design.energy_mj.value * design.area_mm2.value
        )
        assert got <= best * (1 + 1e-9)
        assert best * (1 - report.optimizer.gap) <= got * (1 + 1e-9)
    assert got == pytest.approx(best)
    with pytest.raises(UsageError, match="not both"):
        search("systolic", objective="flash", objectives=("score", "area"))
    with pytest.raises(UsageError, match="leave --hardware out"):
        search("imc", small, hardware="default", objective="flash")


@pytest.mark.parametrize("name", ["systolic", "imc"])
def test_the_same_search_writes_the_same_bytes(name, small):
    first, second = (search(name, small, hardware=_GIVEN[name]).to_json() for _ in range(2))
    assert first == second


def test_planar_fronts_are_the_exact_ones_of_each_choice(small):
    space = _joint("systolic", _GIVEN["systolic"], small)
    problem = _tables(space)
    nested = Nested(problem, len(space.free), space.possible, space.size)
    objectives = [objective(name) for name in _NAMES[:2]]
    signs = {of.name: of.sign for of in objectives}
    choices = np.flatnonzero(space.possible)
    designs, _ = PlanarFronts(nested, objectives).of(choices, np.zeros((0, 2)))
    for choice in choices:
        own = designs[space.split(designs)[0] == choice]
        exact = exact_front(nested.relaxed(np.array([choice]), signs), objectives)
        got = values_of(problem, own, objectives)
        assert np.unique(got, axis=0) == pytest.approx(np.unique(exact.values, axis=0), rel=1e-12)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_planar_fronts_under_limits_on_other_sums_are_the_exact_ones_of_each_choice(share, small):
    space = _joint("systolic", _GIVEN["systolic"], small)
    problem = _tables(space)
    nested = Nested(problem, len(space.free), space.possible, space.size)
    objectives = [objective(name) for name in _NAMES[:2]]
    every = problem.evaluate(_every(space))
    limits = [
        Limit(objective("weight_kb"), float(np.quantile(every["weight_kb"], share))),
        Limit(Objective("energy_mj", "max"), float(np.quantile(every["energy_mj"], 0.3))),
    ]
    signs = {"energy_mj": -1.0, "weight_kb": 1.0} | {of.name: of.sign for of in objectives}
    choices = np.flatnonzero(space.possible)
    designs, _ = PlanarFronts(nested, objectives, limits).of(choices, np.zeros((0, 2)))
    assert meets(problem, designs, limits).all()
    for choice in choices:
        own = designs[space.split(designs)[0] == choice]
        try:
            exact = exact_front(nested.relaxed(np.array([choice]), signs), objectives, limits)
        except InfeasibleError:
            assert not len(own)
            continue
        got = values_of(problem, own, objectives)
        assert np.unique(got, axis=0) == pytest.approx(np.unique(exact.values, axis=0), rel=1e-12)


def test_a_limit_on_a_sum_that_is_no_objective_leaves_the_front_of_all_chips_exact(small):
    space = _joint("systolic", _GIVEN["systolic"], small)
    priced = _priced(space, _every(space))
    most = float(np.median(priced.energy_mj[0]))
    report = search(
        "systolic", small, hardware=_GIVEN["systolic"], metric="nn_degree", max_energy_mj=most
    )
    values = _values(priced)[priced.energy_mj[0] <= most]
    best = values[non_dominated(values, _SIGNS)]
    best = best[written_apart(best, _SIGNS)]
    got = np.array([[d.quantity(name) for name in _NAMES] for d in report.front])
    assert report.optimizer.certified
    assert np.sort(got, axis=0) == pytest.approx(np.sort(best, axis=0), rel=1e-9)


def test_planar_fronts_leave_out_what_a_known_design_dominates(small):
    space = _joint("systolic", _GIVEN["systolic"], small)
    problem = _tables(space)
    nested = Nested(problem, len(space.free), space.possible, space.size)
    objectives = [objective(name) for name in _NAMES[:2]]
    choices = np.flatnonzero(space.possible)
    fronts = PlanarFronts(nested, objectives)
    every, looked_at = fronts.of(choices, np.zeros((0, 2)))
    values = values_of(problem, every, objectives)
    known = values[len(values) // 2][None]
    left, fewer = fronts.of(choices, known)
    beaten = (values[:, 0] <= known[0, 0]) & (values[:, 1] >= known[0, 1])
    rest = values_of(problem, left, objectives)
    assert fewer < looked_at
    assert {tuple(row) for row in values[~beaten]} <= {tuple(row) for row in rest}
    assert len(rest) < len(values)


def test_whoever_waits_for_chips_hears_how_far_it_is(small):
    heard = []
    for target in ("systolic", "imc"):
        heard.clear()
        run(Request(target=target, space=small, hardware=_GIVEN[target], tell=heard.append))
        assert heard[-1] == 1.0 and all(0 <= share <= 1 for share in heard)
        assert heard == sorted(heard)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_counts_on_a_terminal_after_two_seconds_and_goes_when_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("flash.search.waiting.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr", _Terminal())
    tell = teller(quiet=False)
    tell(0.1)
    now[0] = 4.0
    tell(0.25)
    assert "chips settled: 25 %, about 12 s left" in sys.stderr.getvalue()
    tell(1.0)
    assert sys.stderr.getvalue().endswith("\r")
    assert teller(quiet=True) is silent
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert teller(quiet=False) is silent


def test_another_score_than_the_spaces_own_is_named_on_the_screen():
    chips = "rows=8,cols=8,buffer_kib=128,frequency_mhz=1000,bits=8"
    report = search("systolic", "nasbench-macro", hardware=chips)
    assert report.score == "nn_degree"
    assert any(
        "nn_degree or nn_mass" in note and "in place of capacity" in note for note in report.notes
    )
    assert "NN-Degree is searched in place of capacity" in " ".join(render_brief(report).split())
