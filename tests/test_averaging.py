"""Averages of models: weights by held-out errors, intervals that hold for most single fits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flash.errors import ProfileError
from flash.fitting.averaging import weights_of
from flash.fitting.intervals import conformal_factors, rank_of
from flash.fitting.learning import learn
from flash.fitting.prior import unknown_prior
from flash.fitting.structure import Options
from flash.fitting.workload import workload
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.targets.processor.breakdown import breakdown
from flash.targets.processor.costs import costs, features, network_costs, network_features
from flash.targets.processor.profile import Profile, Variant, load_profile, parse_profile
from flash.targets.processor.profile_file import profile_text

CELLS = load_space("nasbench201")
RPI4 = load_profile("rpi4b")
TRUTH = RPI4.runtime.coefficients


def cells(count: int, seed: int, unread: bool | None = None) -> list[Network]:
    """Random cells with a live path; unread: with, or without, convolutions nothing reads."""
    found: list[Network] = []
    for design in CELLS.sample(600, np.random.default_rng(seed)):
        network = CELLS.network(design)
        has = len(network.kept().layers) > len(network.used().layers)
        if network.live().layers and (unread is None or has == unread):
            found.append(network)
        if len(found) == count:
            return found
    raise AssertionError("too few cells")


def test_the_better_model_weighs_more_and_a_hopeless_one_nothing() -> None:
    rng = np.random.default_rng(0)
    same = rng.normal(0, 0.05, 25)
    errors = np.stack([same, 1.05 * same, 6 * same])
    weights = weights_of(errors, 25, np.zeros(3))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > weights[1] > 0
    assert weights[2] == 0
    # One wild row does not outweigh 24 errors that are three times as small.
    one_wild = np.stack([same, 3 * same])
    one_wild[0, 0] = 1.5
    assert weights_of(one_wild, 25, np.zeros(2))[0] == 1


def test_structures_that_cannot_be_told_apart_are_averaged() -> None:
    """No cell has an unread convolution: whether the runtime runs those nobody can know."""
    networks = cells(25, 1, unread=False)
    measured = workload(networks, "kept").latency_ms(TRUTH)
    measured = measured * np.exp(np.random.default_rng(2).normal(0, 0.03, 25))
    fit = learn(networks, ["cell"] * 25, measured, None, unknown_prior(), baselines=False)
    modes = {v.executes for v in fit.variants}
    assert {"used", "kept"} <= modes
    asked = cells(20, 3, unread=True)
    both = [workload(asked, mode).latency_ms(TRUTH) for mode in ("used", "kept")]
    between = fit.latency_ms(asked)
    assert np.mean(np.abs(np.log(between / both[1]))) < np.mean(np.abs(np.log(both[0] / both[1])))


def test_networks_that_run_alike_in_every_mode_are_no_evidence_for_any() -> None:
    space = load_space("cifar10-add")
    networks = [space.network(d) for d in space.sample(8, np.random.default_rng(0))]
    executed = {option.structure.executes for option in Options(networks, 4).first}
    assert executed <= {"used", "all"}


@pytest.mark.parametrize("size", [25, 60])
def test_the_interval_covers_on_average_and_in_nearly_every_single_fit(size: int) -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(600):
        low, high = conformal_factors(rng.normal(0, 0.2, size))
        new = rng.normal(0, 0.2, 400)
        covered.append(np.mean((new >= np.log(low)) & (new <= np.log(high))))
    assert 0.895 < np.mean(covered) < 0.96
    assert np.mean(np.array(covered) < 0.85) < 0.08


def test_the_rank_approaches_the_coverage_asked_for() -> None:
    assert rank_of(0.9, 5) == 5
    assert 24 < rank_of(0.9, 25) < 25
    assert rank_of(0.9, 500) == pytest.approx(0.9 * 501)


def mixed() -> Profile:
    runtime = RPI4.runtime
    slower = replace(TRUTH, overhead_us=tuple(3 * x for x in TRUTH.overhead_us))
    others = (
        Variant(0.25, "all", "eager", 8, slower),
        Variant(0.125, "kept", "graph", 4, TRUTH),
    )
    runtime = replace(runtime, alternatives=others)
    only = {runtime.name: runtime}
    return replace(RPI4, runtimes=only, default_runtime=runtime.name, default_for={})


def test_a_runtimes_latency_is_the_average_of_its_variants() -> None:
    profile, runtime = mixed(), RPI4.runtime
    designs = CELLS.sample(12, np.random.default_rng(4))
    table = CELLS.table(designs)
    expected = np.zeros(12)
    for v in profile.runtime.variants:
        one = replace(runtime, executes=v.executes, fusion=v.fusion, lanes=v.lanes,
                      coefficients=v.coefficients)  # fmt: skip
        alone = replace(profile, runtimes={runtime.name: one})
        expected += v.weight * costs(table, alone)["latency_ms"]
    assert costs(table, profile)["latency_ms"] == pytest.approx(expected)
    totals = features(table, profile)
    assert np.array_equal(totals["kernels"], features(table, RPI4)["kernels"])
    for n, design in enumerate(designs):
        network = CELLS.network(design)
        single = network_costs(network, profile) | network_features(network, profile)
        for name, value in single.items():
            assert totals[name][n] == pytest.approx(np.max(value), rel=1e-12), name
        layers = breakdown(network, profile).layers
        assert sum(x.latency_ms for x in layers) == pytest.approx(expected[n])


def test_alternatives_survive_the_profile_file_and_are_checked() -> None:
    text = profile_text(mixed())
    assert parse_profile(text, Path("board.toml")) == mixed()
    with pytest.raises(ProfileError, match="weights of less than 1 together"):
        parse_profile(text.replace("weight = 0.25", "weight = 0.9"), Path("board.toml"))
    with pytest.raises(ProfileError, match='"eager" only where executes = "all"'):
        parse_profile(text.replace('executes = "all"', 'executes = "live"'), Path("board.toml"))
