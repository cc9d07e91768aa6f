"""Raspberry Pi profiles against published measurements, on networks left out of the fit."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from flash.fitting.fit import fit_runtimes
from flash.fitting.fitted import held_out_energy, quality
from flash.fitting.prior import data_sheet_prior, unpack
from flash.fitting.workload import workload
from flash.spaces.reference import reference_network
from flash.spaces.space import load_space
from flash.targets.processor.costs import costs, network_costs
from flash.targets.processor.profile import load_profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import fit_raspberry_pi as fit  # noqa: E402
import raspberry_pi_data as data  # noqa: E402

needs_data = pytest.mark.skipif(
    not (data.SHARED / "data" / "raspberry_pi").is_dir(),
    reason="needs shared/data beside the repository (or FLASH_SHARED)",
)
NETWORKS = [
    reference_network(name)
    for name in ("resnet18", "mobilenet_v1", "mobilenet_v2", "squeezenet_1.1", "vgg16", "mnasnet")
]


def test_a_fit_recovers_latencies_made_by_the_model() -> None:
    prior = data_sheet_prior(20.0, 2.0)
    load = workload(NETWORKS, "used")
    other = data_sheet_prior(12.0, 3.0)
    made = fit_runtimes({"x": (load, load.latency_ms(_median(other)))}, prior)["x"]
    error = load.latency_ms(made) / load.latency_ms(_median(other)) - 1
    assert np.abs(error).max() < 0.04


def _median(prior):
    return unpack(np.log(prior.median))


def test_one_wild_row_does_not_move_the_fit() -> None:
    prior = data_sheet_prior(20.0, 2.0)
    load = workload(NETWORKS, "used")
    latency = load.latency_ms(_median(prior))
    wild = latency * np.array([1, 1, 5, 1, 1, 1])
    fitted = fit_runtimes({"x": (load, wild)}, prior)["x"]
    assert np.median(np.abs(load.latency_ms(fitted) / latency - 1)) < 0.03


def test_a_runtime_learns_from_another_what_it_was_not_measured_on() -> None:
    prior = data_sheet_prior(20.0, 2.0)
    load = workload(NETWORKS, "used")
    truth = _median(data_sheet_prior(20.0, 2.0))
    slow = load.latency_ms(truth) * np.where([True, False, False, True, True, False], 2.0, 1.0)
    mobile = np.array([1, 2, 5])
    alone = fit_runtimes({"a": (load.subset(mobile), slow[mobile])}, prior)["a"]
    both = fit_runtimes({"a": (load.subset(mobile), slow[mobile]), "b": (load, slow)}, prior)["a"]
    dense = np.array([0, 4])
    errors = [np.abs(np.log(load.latency_ms(c) / slow))[dense].mean() for c in (alone, both)]
    assert errors[1] < 0.6 * errors[0]


@needs_data
def test_every_row_of_the_pi3_is_used_or_named_as_left_out() -> None:
    measured = data.read_pi3()
    rows = {(r["framework"], r["model"]) for r in data.read_csv(
        "raspberry_pi/published_latency.csv.gz") if r["framework"] in data.PI3_ROWS}  # fmt: skip
    left_out = sum(model in data.PI3_LEFT_OUT for _, model in rows)
    assert (len(measured["tvm"].models), len(measured["ncnn"].models)) == (10, 9)
    assert len(rows) == 19 + left_out


@needs_data
def test_pi3_predicts_left_out_networks_within_a_fifth() -> None:
    measured = data.read_pi3()
    kernels = {fit.KERNELS: data.read_kernels(fit.KERNELS_PI3)}
    predicted = fit.held_out(measured, kernels, fit.PI3_PRIOR, lambda m: m.groups)
    truth = np.concatenate([m.latency_ms for m in measured.values()])
    figures = quality(truth, np.concatenate([predicted[k] for k in measured]))
    assert figures["median_error_percent"] < 15
    assert figures["spearman"] > 0.95
    shipped = load_profile("rpi3b").runtime.provenance
    own = quality(measured["tvm"].latency_ms, predicted["tvm"])
    assert own["median_error_percent"] == pytest.approx(shipped.median_error_percent, abs=0.5)


@needs_data
@pytest.mark.slow
def test_kernels_measured_alone_help_with_families_never_seen() -> None:
    measured, everything = data.read_pi3(), fit.pi3_evidence()
    errors = {}
    for how, fixed in (("without", {}), ("with", {fit.KERNELS: everything[fit.KERNELS]})):
        predicted = fit.held_out(measured, fixed, fit.PI3_PRIOR, lambda m: m.families)
        errors[how] = quality(measured["tvm"].latency_ms, predicted["tvm"])["mape_percent"]
    assert errors["with"] < 0.95 * errors["without"]
    others = {k: v for k, v in everything.items() if k != fit.KERNELS}
    figures, residuals = fit.kernels_held_out(everything[fit.KERNELS], others, fit.PI3_PRIOR, 1)
    assert figures["median_error_percent"] <= 12
    assert np.quantile(np.abs(residuals), 0.9) <= np.log(1.6)


@needs_data
def test_a_small_network_on_the_pi4_is_within_a_quarter() -> None:
    """ResNet-8, in no fit: two cores at 1.8 GHz against the four at 1.5 GHz it ran on."""
    predicted = network_costs(data.resnet8(), load_profile("rpi4b", "tvm"))["latency_ms"]
    assert 12.4e6 < data.resnet8().macs < 12.6e6
    assert predicted * 3.6 / 6.0 == pytest.approx(data.read_resnet8_ms(), rel=0.25)


@pytest.mark.parametrize("space", ["cifar10-concat", "cifar10-mobilenet-v2"])
@pytest.mark.parametrize("runtime", ["tvm", "ncnn"])
def test_no_design_is_slower_on_a_pi4_than_on_a_pi3(space: str, runtime: str) -> None:
    found = load_space(space)
    table = found.table(found.sample(200, np.random.default_rng(7)))
    pi3, pi4 = (costs(table, load_profile(board, runtime)) for board in ("rpi3b", "rpi4b"))
    assert np.all(pi4["latency_ms"] < pi3["latency_ms"])


@needs_data
def test_pi4_ranks_unseen_cells_from_fifty() -> None:
    used = fit.nas_bench_draws("used")
    assert used["spearman"] >= 0.965
    assert used["median_error_percent"] <= 6.0
    for other in ("all", "live"):
        assert fit.nas_bench_draws(other, seeds=2)["spearman"] < 0.93


@needs_data
def test_the_default_pi4_runtime_ranks_the_cells_too() -> None:
    cells, latency_ms = data.read_hw_nas()
    table = data.nas_bench_table(cells)
    _, rest = data.draw(table, 0, fit.SHIPPED_CELLS)
    predicted = costs(table, load_profile("rpi4b"))["latency_ms"]
    assert spearmanr(predicted[rest], latency_ms[rest])[0] > 0.96


@needs_data
def test_counting_kernels_by_table_and_by_network_is_the_same() -> None:
    cells, _ = data.read_hw_nas()
    cells = cells[::1500]
    c = load_profile("rpi4b").runtime.coefficients
    for executes in ("all", "used", "live"):
        by_table = data.nas_bench_workload(data.nas_bench_table(cells), executes).latency_ms(c)
        networks = [data.nas_bench_network(cell) for cell in cells]
        assert np.allclose(by_table, workload(networks, executes).latency_ms(c))


@needs_data
def test_pi4_energy_from_measured_latency_is_within_a_few_per_cent() -> None:
    m = data.read_mlperf("rpi4-tflite-v2.7.1-ruy")
    assert len(m.models) == 46
    load = workload(m.networks(), "used")
    figures = quality(m.energy_mj, held_out_energy(load, m.latency_ms, m.latency_ms, m.energy_mj))
    assert figures["median_error_percent"] < 3
    assert 3 < load_profile("rpi4b").energy.power_w < 6


@needs_data
def test_shipped_pi4_profile_reproduces_what_it_was_fitted_to() -> None:
    systems = {"tflite": "rpi4-tflite-v2.7.1-ruy", "armnn": "rpi4-armnn-v21.11-neon"}
    for runtime, system in systems.items():
        profile, m = load_profile("rpi4b", runtime), data.read_mlperf(system)
        found = [network_costs(n, profile) for n in m.networks()]
        latency = np.array([f["latency_ms"] for f in found])
        energy = np.array([f["energy_mj"] for f in found])
        assert np.median(np.abs(latency / m.latency_ms - 1)) < 0.05
        assert np.median(np.abs(energy / m.energy_mj - 1)) < 0.06
        low, high = profile.runtime.interval.low, profile.runtime.interval.high
        inside = (m.latency_ms > latency * low) & (m.latency_ms < latency * high)
        assert inside.mean() >= 0.85


@needs_data
@pytest.mark.slow
def test_the_fit_reproduces_the_shipped_profiles() -> None:
    assert fit.main(["--check"]) == 0
