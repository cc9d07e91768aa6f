"""Boards with the cores of a known one: few runs, or the clock alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from flash.command import run_verb
from flash.errors import InputError, UsageError
from flash.fit import fit
from flash.fitting.sisters import at_clock, half_width
from flash.fitting.workload import workload
from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space
from flash.targets.processor.costs import network_features
from flash.targets.processor.intervals import latency_interval
from flash.targets.processor.profile import load_profile
from flash.targets.processor.profile_file import write_profile

SPACE = load_space("cifar10-add")
DESIGNS = SPACE.sample(30, np.random.default_rng(3))
NETWORKS = [SPACE.network(d) for d in DESIGNS]
KNOWN = load_profile("rpi3b").runtime


def measured(path: Path, count: int, factor: float = 0.6, overhead: float = 1.0) -> Path:
    """A CSV file of a sister: 1 / factor times as fast, its overhead ``overhead`` times that."""
    truth = at_clock(KNOWN.coefficients, 1 / factor)
    own = tuple(x * overhead for x in truth.overhead_us)
    bandwidth = tuple(x / factor for x in truth.gb_s)
    slower = type(truth)(own, truth.gmac_s, bandwidth, truth.reduction_half, truth.outputs_half)
    ms = workload(NETWORKS, "used").latency_ms(slower)
    rows = [f'"{SPACE.describe(d)}",{t:.6g}' for d, t in zip(DESIGNS, ms, strict=True)]
    path.write_text("\n".join(["design,latency_ms", *rows[:count]]) + "\n", encoding="utf-8")
    return path


def errors(path: Path, count: int, **changes: float) -> float:
    """Median error on networks not measured, of a fit to the first ``count``."""
    report = fit([measured(path, count, **changes)], "b", prior="rpi3b", space="cifar10-add")
    c = report.profile.runtime.coefficients
    everything = measured(path, 30, **changes).read_text().splitlines()[1:]
    ms = np.array([float(line.rsplit(",", 1)[1]) for line in everything])
    predicted = workload(NETWORKS, "used").latency_ms(c)
    return float(np.median(np.abs(predicted[count:] / ms[count:] - 1)))


def test_one_run_finds_the_speed(tmp_path: Path) -> None:
    assert errors(tmp_path / "m.csv", 1) < 0.05


def test_more_runs_find_what_one_cannot(tmp_path: Path) -> None:
    one = errors(tmp_path / "m.csv", 1, overhead=40.0)
    five = errors(tmp_path / "m.csv", 5, overhead=40.0)
    assert five < 0.6 * one


def test_few_runs_say_what_they_can_fix_and_how_wrong_they_may_be(tmp_path: Path) -> None:
    report = fit([measured(tmp_path / "m.csv", 1)], "b", prior="rpi3b", space="cifar10-add")
    text = str(report)
    assert "1 run can fix its speed, the proportions are the sister board's" in text
    runtime = report.profile.runtime
    assert np.log(runtime.interval.high) >= half_width(1)
    assert runtime.kernels == KNOWN.kernels
    assert "from as many runs" in runtime.provenance.held_out
    path = tmp_path / "b.toml"
    write_profile(report.profile, path)
    assert load_profile(str(path)) == report.profile
    assert half_width(1) > half_width(3) > half_width(5)


def test_runs_that_contradict_the_known_board_say_so_and_widen_the_interval(
    tmp_path: Path,
) -> None:
    alike = fit([measured(tmp_path / "a.csv", 4)], "b", prior="rpi3b", space="cifar10-add")
    assert not alike.doubts and not alike.learned["measured"].contradicted
    lines = (tmp_path / "a.csv").read_text().splitlines()
    factors = 0.2, 1.0, 5.0, 25.0
    wrong = [
        f"{line.rsplit(',', 1)[0]},{float(line.rsplit(',', 1)[1]) * factor:.6g}"
        for line, factor in zip(lines[1:], factors, strict=True)
    ]
    (tmp_path / "w.csv").write_text("\n".join([lines[0], *wrong]) + "\n", encoding="utf-8")
    report = fit([tmp_path / "w.csv"], "b", prior="rpi3b", space="cifar10-add")
    assert any("the runs contradict the prior: " in doubt for doubt in report.doubts)
    interval, learned = report.profile.runtime.interval, report.learned["measured"]
    assert learned.contradicted >= 3
    assert interval.high > 5 and interval.outside_high > interval.high
    assert report.profile.runtime.provenance.held_out == "each network"
    # What is said of its error is what was seen, not what other boards had.
    assert learned.figures["median_error_percent"] > 100 * (1 - 1 / 1.6)


@pytest.mark.parametrize("known", ["rpi4b", "x86-zen4"])
def test_what_was_measured_on_a_sister_lies_inside_its_profile(known: str, tmp_path: Path) -> None:
    """Whatever the known board's networks were, and not what is far from both."""
    network = GraphEmitter()
    x = network.source(3, 2, 2)
    small = network.network(x, network.linear(network.global_pool(network.conv(x, 4)), 2))
    file = tmp_path / "m.jsonl"
    header = {"schema": "flash.measurements/1", "device": {}, "runtime": {"name": "r"}}
    record = {"network": {"workload": "3x2x2: conv k3 4; gap; linear 2"}}
    latency = {"median": 0.1, "p10": 0.1, "p90": 0.1, "runs": 9}
    lines = [
        header | {"threads": 1, "precision": "fp32", "batch": 1},
        record | {"latency_ms": latency},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    profile = fit([file], "b", prior=known).profile
    inside = network_features(small, profile)
    assert not latency_interval(np.array([0.1]), inside, profile)[2][0]
    before = load_profile(known)
    assert latency_interval(np.array([0.1]), network_features(small, before), before)[2][0]


def test_runs_of_several_images_at_once_are_no_runs_of_one(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    header = {"schema": "flash.measurements/1", "device": {}, "runtime": {}, "threads": 1}
    latency = {"median": 0.1, "p10": 0.1, "p90": 0.1, "runs": 9}
    record = {"network": {"workload": "3x8x8: conv k3 4; gap; linear 2"}, "latency_ms": latency}
    lines = [header | {"precision": "fp32", "batch": 4}, record]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(InputError, match="4 images at a time"):
        fit([file], "b", prior="rpi3b")


def test_without_a_sister_few_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a fit needs 5 or more"):
        fit([measured(tmp_path / "m.csv", 3)], "b", space="cifar10-add")


def test_a_profile_is_derived_by_the_clock(tmp_path: Path) -> None:
    out = tmp_path / "plus.toml"
    arguments = ["--prior", "rpi3b", "--clock", "1.4GHz", "--name", "plus", "--out", str(out)]
    assert run_verb("fit", [*arguments, "--quiet"]) == 0
    derived = load_profile(str(out)).runtime
    assert derived.clock_mhz == 1400.0
    ratio = np.array(derived.coefficients.gmac_s) / np.array(KNOWN.coefficients.gmac_s)
    assert ratio == pytest.approx(1400 / 1200, rel=1e-3)
    assert derived.coefficients.gb_s == KNOWN.coefficients.gb_s
    assert (derived.provenance.how, derived.provenance.networks) == ("prior", 0)
    assert derived.interval.high > KNOWN.interval.high


def test_clocks_need_a_unit_and_a_prior() -> None:
    with pytest.raises(UsageError, match="give a file of measurements"):
        fit([], "b", clock_mhz=1400.0)
    for wrong in ("1400", "0MHz", "fast"):
        assert run_verb("fit", ["--prior", "rpi3b", "--clock", wrong, "--name", "b"]) == 2


def test_a_profile_cannot_take_the_name_of_one_that_comes_with_flash(capsys) -> None:
    assert run_verb("fit", ["--prior", "rpi3b", "--clock", "1400MHz", "--name", "rpi4b"]) == 2
    assert "a profile of that name comes with flash" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "clock"), [("rpi3b-plus", 1400.0), ("rpi-zero-2w", 1000.0)])
def test_shipped_sisters_are_labelled_as_derived(name: str, clock: float) -> None:
    profile = load_profile(name)
    assert "derived from rpi3b: nothing measured on it" in profile.description
    assert all(r.clock_mhz == clock for r in profile.runtimes.values())
