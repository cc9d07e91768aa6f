"""Fit hw_profiles/rpi3b.toml and rpi4b.toml to published measurements, and derive their sisters.

    python scripts/fit_raspberry_pi.py           write the profiles
    python scripts/fit_raspberry_pi.py --check   compare with the shipped ones (exit 1 if not);
                                                 a minute of processor time, told board by board

Reads ``shared/data`` beside the repository folder (or the folder FLASH_SHARED names). Every
choice that was made on held-out errors is named in ``CHOICES``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from fit_detectors import rpi4b_runtimes
from raspberry_pi_data import (
    HW_NAS,
    MLPERF,
    NCNN,
    NCNN_PI4,
    ROOT,
    SHARED,
    TOPHUB,
    TVM,
    Floats,
    Measured,
    draw,
    kernel_times,
    nas_bench_table,
    nas_bench_workload,
    read_hw_nas,
    read_kernels,
    read_mlperf,
    read_ncnn_pi4,
    read_pi3,
)  # fmt: skip

from flash.fit.derived import derived_profile
from flash.fitting.fit import fit_runtimes
from flash.fitting.fitted import (
    bounding_box_of,
    energy_terms,
    fit_energy,
    held_out_energy,
    interval_of,
    quality,
    rounded,
    significant,
)  # fmt: skip
from flash.fitting.intervals import conformal_factors
from flash.fitting.learning import Learned, learn
from flash.fitting.prior import PARAMETERS, Prior, data_sheet_prior, pack, unpack
from flash.fitting.workload import Workload, workload
from flash.targets.processor.costs import kernel_ms
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.kernel_evidence import KernelEvidence, KernelRange
from flash.targets.processor.profile import (
    Coefficients,
    Device,
    Energy,
    Interval,
    Profile,
    Provenance,
    Runtime,
    Tvm,
    load_profile,
)  # fmt: skip
from flash.targets.processor.profile_file import profile_text, write_profile

DATE = "2026-11-29"

CHOICES = """Chosen by the held-out errors reported here, among a few variants each:
Pi 3B: spread 0.6 and noise 0.1 (of 9 pairs tried before kernels were in the fit, 5 with them).
Pi 4: spread 0.6 (of 0.3, 0.45, 0.6), noise 0.05; executes = "used" (of all, used, live), on 10
draws of 50 cells of HW-NAS-Bench, then taken over for every runtime.
Kernels measured alone, and cells measured with unknown threads: spread 1.0 (of 0.6, 1.0)."""

#: Single kernels lack what a network adds, and HW-NAS-Bench does not state its threads: both may
#: be far from runtimes of whole networks at four threads.
KERNELS, CELLS = "kernels", "tflite_hw_nas"
SPREADS = {KERNELS: 1.0, CELLS: 1.0}
#: Boards whose kernels TVM's tuner timed: with the Pi 3B's cores, and with the Pi 4's.
KERNELS_PI3, KERNELS_PI4 = "Raspberry Pi 3B", "Firefly-RK3399"

Evidence = Mapping[str, tuple[Workload, Floats]]

# ------------------------------------------------------------------------------ held out


def held_out(
    measured: Mapping[str, Measured],
    fixed: Evidence,
    prior: Prior,
    groups_of: Callable[[Measured], Sequence[str]],
) -> dict[str, Floats]:
    """Latencies (ms) each network is predicted to have by a fit without its group.

    A group leaves all runtimes at once; ``fixed`` runtimes are always in the fit.
    """
    loads = {name: workload(m.networks(), "used") for name, m in measured.items()}
    groups = {name: np.array(groups_of(m)) for name, m in measured.items()}
    predicted = {name: np.zeros(len(m.models)) for name, m in measured.items()}
    for group in sorted(set(np.concatenate(list(groups.values())))):
        training = dict(fixed)
        for name, m in measured.items():
            keep = np.flatnonzero(groups[name] != group)
            training[name] = loads[name].subset(keep), m.latency_ms[keep]
        fitted = fit_runtimes({k: v for k, v in training.items() if len(v[1])}, prior, SPREADS)
        for name in measured:
            left = np.flatnonzero(groups[name] == group)
            if name in fitted:
                predicted[name][left] = loads[name].subset(left).latency_ms(fitted[name])
    return predicted


def kernels_held_out(
    kernels: tuple[Workload, Floats], others: Evidence, prior: Prior, draws: int = 3
) -> tuple[dict[str, float], Floats]:
    """Kernels, a random half left out: mean quality over draws, and all log residuals."""
    load, latency_ms = kernels
    figures, residuals = [], []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(latency_ms))
        kept, left = np.array_split(order, 2)
        fitted = fit_runtimes(
            {KERNELS: (load.subset(kept), latency_ms[kept]), **others}, prior, SPREADS
        )
        predicted = load.subset(left).latency_ms(fitted[KERNELS])
        figures.append(quality(latency_ms[left], predicted))
        residuals.append(np.log(latency_ms[left] / predicted))
    means = {k: float(np.mean([f[k] for f in figures])) for k in figures[0]}
    return means, np.concatenate(residuals)


def evidence_of(
    board: str, in_network: tuple[float, float, float], error_percent: float
) -> KernelEvidence:
    """What a profile says of kernels measured alone on a board."""
    load, latency_ms = read_kernels(board)
    ranges = {}
    for name in CONVOLUTIONS:
        own = np.asarray(load.kernels.kind) == KERNEL_CLASSES.index(name)
        sizes = {
            size: np.asarray(getattr(load.kernels, size))[own]
            for size in ("reduction", "outputs", "positions")
        }
        ranges[name] = KernelRange(
            **{k: (float(v.min()), float(v.max())) for k, v in sizes.items()}
        )
    return KernelEvidence(
        len(latency_ms), in_network, significant(error_percent), ranges, (TOPHUB,)
    )


def in_network_factor(fitted: Coefficients, networks: Measured) -> tuple[float, float, float]:
    """What networks took over the sum of their convolutions: median, smallest, largest.

    fitted: coefficients of the kernels measured alone on the same board.
    """
    whole = workload(networks.networks(), "used")
    kinds = np.asarray(whole.kernels.kind)
    convolutions = np.isin(kinds, [KERNEL_CLASSES.index(c) for c in CONVOLUTIONS])
    alone = whole.counts @ (kernel_ms(whole.kernels, fitted, 4) * convolutions)
    factors = networks.latency_ms / alone
    return (
        significant(float(np.median(factors)), 3), significant(float(factors.min()), 3),
        significant(float(factors.max()), 3),
    )  # fmt: skip


# ----------------------------------------------------------------------------- the profiles


def pi3_evidence() -> dict[str, tuple[Workload, Floats]]:
    """All that was measured on the Pi 3B: whole networks, and kernels alone."""
    loads = {k: (workload(m.networks(), "used"), m.latency_ms) for k, m in read_pi3().items()}
    return {**loads, KERNELS: read_kernels(KERNELS_PI3)}


def pi3_profile() -> Profile:
    """The Raspberry Pi 3B."""
    measured, everything = read_pi3(), pi3_evidence()
    kernels = everything[KERNELS]
    fitted = fit_runtimes(everything, PI3_PRIOR, SPREADS)
    near = held_out(measured, {KERNELS: kernels}, PI3_PRIOR, lambda m: m.groups)
    far = held_out(measured, {KERNELS: kernels}, PI3_PRIOR, lambda m: m.families)
    others = {k: v for k, v in everything.items() if k != KERNELS}
    alone, _ = kernels_held_out(kernels, others, PI3_PRIOR)
    texts = {
        "tvm": ("TVM AutoTVM", "2018-10 on a 32-bit system", TVM),
        "ncnn": ("ncnn", "2019-02", NCNN),
    }
    runtimes = {}
    for name, (framework, version, source) in texts.items():
        m, one = measured[name], {name: measured[name]}
        provenance = Provenance(
            how="fitted", networks=len(m.models), held_out="each network, in all runtimes",
            **quality(m.latency_ms, near[name]), date=DATE, sources=(source,),
        )  # fmt: skip
        # Ten networks of four families: the largest error counts, whichever way one was left out.
        # Unlike networks err as those of the other runtime may.
        inside = np.concatenate([log_residuals(one, near), log_residuals(one, far)])
        interval = interval_of(
            bounding_box_of(everything[name][0]), inside, log_residuals(measured, far)
        )
        evidence = None
        if name == "tvm":
            error = alone["median_error_percent"]
            evidence = evidence_of(KERNELS_PI3, in_network_factor(fitted[KERNELS], m), error)
        runtimes[name] = Runtime(
            name, framework, version, 4, 1200.0, "fp32", "used", rounded(fitted[name]),
            interval, PI3_ENERGY, provenance, kernels=evidence,
        )  # fmt: skip
    return Profile(
        "rpi3b", "Raspberry Pi 3 Model B", "processor", PI3, dict(sorted(runtimes.items())), "tvm",
        Tvm("aarch64-linux-gnu", "cortex-a53"),
    )  # fmt: skip


def log_residuals(measured: Mapping[str, Measured], predicted: Mapping[str, Floats]) -> Floats:
    """log(measured / predicted) of all runtimes."""
    return np.concatenate([np.log(m.latency_ms / predicted[k]) for k, m in measured.items()])


def measured_energy(m: Measured, load: Workload, source: str) -> Energy:
    """Energy of a runtime whose power was measured; interval from networks left out."""
    power, gmac, gb = fit_energy(energy_terms(load, m.latency_ms), m.energy_mj)
    left_out = held_out_energy(load, m.latency_ms, m.latency_ms, m.energy_mj)
    low, high = conformal_factors(np.log(m.energy_mj / left_out))
    return Energy(
        significant(power), significant(gmac), significant(gb), significant(low),
        significant(high), "fitted to wall power of the whole board, idle included",
        len(m.models), (source,),
    )  # fmt: skip


def pi3_sisters() -> Iterator[Profile]:
    """Boards with the Pi 3B's cores at other clocks, on which no network was measured."""
    known = load_profile("rpi3b")
    for name, title, soc, clock_mhz in (
        ("rpi3b-plus", "Raspberry Pi 3 Model B+", "BCM2837B0", 1400.0),
        ("rpi-zero-2w", "Raspberry Pi Zero 2 W", "RP3A0 (BCM2710A1)", 1000.0),
    ):
        device = replace(
            PI3, soc=soc, clock_mhz=clock_mhz, peak_gflops=PI3.peak_gflops * clock_mhz / 1200.0,
            memory_gb_s=0.0, sources=(*PI3.sources, "https://www.raspberrypi.com/documentation"),
        )  # fmt: skip
        yield derived_profile(
            known, name, clock_mhz, device, f"{title}, derived from rpi3b: nothing measured on it"
        )


def pi4_evidence() -> dict[str, tuple[Workload, Floats]]:
    """What was measured beside whole networks: cells with unknown threads, kernels of an RK3399."""
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    chosen = draw(table, 0, SHIPPED_CELLS)[0]
    load = nas_bench_workload(table, "used").subset(chosen)
    return {CELLS: (load, latency_ms[chosen]), KERNELS: read_kernels(KERNELS_PI4)}


def read_pi4() -> dict[str, Measured]:
    """Whole networks measured on the Pi 4B with four threads."""
    return {
        "tflite": read_mlperf("rpi4-tflite-v2.7.1-ruy"),
        "armnn": read_mlperf("rpi4-armnn-v21.11-neon"),
        "ncnn": read_ncnn_pi4(),
    }


def pi4_profile() -> Profile:
    """The Raspberry Pi 4B: TFLite and ArmNN of MLPerf, ncnn, HW-NAS-Bench's TFLite, and TVM
    derived from kernels of the same cores."""
    measured, fixed = read_pi4(), pi4_evidence()
    loads = {k: (workload(m.networks(), "used"), m.latency_ms) for k, m in measured.items()}
    fitted = fit_runtimes(loads | fixed, PI4_PRIOR, SPREADS)
    near = held_out(measured, fixed, PI4_PRIOR, lambda m: m.groups)
    far = held_out(measured, fixed, PI4_PRIOR, lambda m: m.families)
    unlike = cells_never_seen(loads)
    texts = {
        "tflite": ("TFLite (ruy)", "2.7.1", MLPERF),
        "armnn": ("ArmNN (Neon)", "21.11", MLPERF),
        "ncnn": ("ncnn", "2023-08", NCNN_PI4),
    }
    runtimes: dict[str, Runtime] = {}
    for name, (framework, version, source) in texts.items():
        m, one = measured[name], {name: measured[name]}
        inside, outside = log_residuals(one, near), log_residuals(one, far)
        far_off = np.concatenate([outside, unlike])
        if name == "ncnn":  # ten networks of four families: as on the Pi 3B, the largest errors
            inside, far_off = np.concatenate([inside, outside]), outside
        energy = (
            assumed_energy(runtimes["tflite"]) if name == "ncnn"
            else measured_energy(m, loads[name][0], MLPERF)
        )  # fmt: skip
        runtimes[name] = Runtime(
            name, framework, version, 4, 1800.0, "fp32", EXECUTES_PI4, rounded(fitted[name]),
            interval_of(
                bounding_box_of(loads[name][0]), inside, far_off
            ),
            energy,
            Provenance(
                how="fitted", networks=len(m.models), held_out="each network, in all runtimes",
                **quality(m.latency_ms, near[name]), date=DATE, sources=(source,),
            ),
        )  # fmt: skip
    cells, _ = read_hw_nas()
    load = nas_bench_workload(nas_bench_table(cells), "used")
    runtimes[CELLS] = hw_nas_runtime(rounded(fitted[CELLS]), load, runtimes["tflite"])
    detectors = rpi4b_runtimes(
        data_sheet_prior(PI4.peak_gflops / 2, PI4.memory_gb_s), assumed_energy(runtimes["tflite"])
    )
    runtimes |= detectors | int8_runtimes()
    others = loads | {CELLS: fixed[CELLS]}
    runtimes["tvm"] = derived_tvm(fitted[KERNELS], fixed[KERNELS], others, runtimes["tflite"])
    return Profile(
        "rpi4b", "Raspberry Pi 4 Model B", "processor", PI4, dict(sorted(runtimes.items())),
        "tflite", Tvm("aarch64-linux-gnu", "cortex-a72"), {"detector": "ort"},
    )  # fmt: skip


def in_network_on_pi4(pi3: Mapping[str, Coefficients], kernels: Coefficients) -> Coefficients:
    """Coefficients of networks under TVM on two Cortex-A72.

    Those that kernels timed alone tell (``TIMED_ALONE``): the kernels', times what the Pi 3B's
    networks took over theirs. A tuner runs one kernel many times, its operands in the cache, so of
    memory such kernels say nothing: bandwidths are those of the Pi 3B's networks times the ratio of
    the two boards' memories. All other classes: the Pi 3B's rates, times how much faster the same
    kernels ran on the A72.
    """
    networks = pack(pi3["tvm"])
    faster = {
        "memory": np.log(PI4.memory_gb_s / PI3.memory_gb_s),
        "cores": np.log(faster_kernels()),
    }
    found = networks + pack(kernels) - pack(pi3[KERNELS])
    for k, name in enumerate(PARAMETERS):
        if name not in TIMED_ALONE:
            found[k] = networks[k] + faster["memory" if name.endswith("gb_s") else "cores"]
    return unpack(found[: len(PARAMETERS)])


def faster_kernels() -> float:
    """How many times as fast the same kernels ran on the RK3399 as on the Pi 3B: the median."""
    pi3, pi4 = kernel_times(KERNELS_PI3), kernel_times(KERNELS_PI4)
    return float(np.median([pi3[k] / pi4[k] for k in pi3.keys() & pi4.keys()]))


def int8_learned(system: str) -> tuple[Measured, Learned]:
    """MLPerf's quantized MobileNets and EfficientNets on the Pi 4B, as ``flash.fit`` fits them.

    Eight bits have rates of their own in every runtime, so nothing is shared with fp32.
    """
    m = read_mlperf(system, quantized=True)
    found = learn(
        m.networks(), m.families, m.latency_ms, None, INT8_PRIOR, element_bytes=1, baselines=False
    )
    return m, found


def int8_runtimes() -> dict[str, Runtime]:
    """The Pi 4B's runtimes of eight bits, each with its measured power."""
    runtimes = {}
    for name, (framework, version, system) in INT8.items():
        m, found = int8_learned(system)
        main, *others = found.variants
        load = workload(m.networks(), main.executes, 1, main.fusion, main.lanes)
        runtimes[name] = Runtime(
            name, framework, version, 4, 1800.0, "int8", main.executes, main.coefficients,
            found.interval, measured_energy(m, load, MLPERF),
            Provenance(
                how="fitted", networks=len(m.models), held_out="10 folds; outside, families",
                **found.figures, date=DATE, sources=(MLPERF,),
            ),
            fusion=main.fusion, lanes=main.lanes, alternatives=tuple(others),
        )  # fmt: skip
    return runtimes


def derived_tvm(
    kernels: Coefficients, measured: tuple[Workload, Floats], others: Evidence, tflite: Runtime
) -> Runtime:
    """TVM on two of the Pi 4's cores: kernels of an RK3399's two Cortex-A72, and what the Pi 3B's
    networks took over their kernels, coefficient by coefficient (``in_network_on_pi4``).

    The interval joins the errors of the Pi 3B's networks and of kernels left out here: a kernel's
    error does not average out where a network is mostly one class.
    """
    pi3 = fit_runtimes(pi3_evidence(), PI3_PRIOR, SPREADS)
    coefficients = in_network_on_pi4(pi3, kernels)
    figures, residuals = kernels_held_out(measured, others, PI4_PRIOR)
    shipped = load_profile("rpi3b", "tvm").runtime
    networks = max(-np.log(shipped.interval.low), np.log(shipped.interval.high))
    half = float(np.exp(np.hypot(networks, np.median(np.abs(residuals)))))
    wider = float(np.exp(2 * np.log(half)))
    interval = Interval(
        significant(1 / half), significant(half), significant(1 / wider), significant(wider),
        shipped.interval.bounding_box,
    )  # fmt: skip
    return Runtime(
        "tvm", "TVM AutoTVM, derived", "2018-11", 2, 1800.0, "fp32", "used", rounded(coefficients),
        interval, assumed_energy(tflite),
        Provenance(
            how="fitted", networks=0,
            held_out="kernels of an RK3399, half of them; networks as on the Pi 3B",
            **{k: significant(v) for k, v in figures.items()}, date=DATE, sources=(TOPHUB, TVM),
        ),
        kernels=evidence_of(
            KERNELS_PI4,
            in_network_factor(pi3[KERNELS], read_pi3()["tvm"]),
            figures["median_error_percent"],
        ),
    )  # fmt: skip


def assumed_energy(tflite: Runtime) -> Energy:
    """Of a runtime whose power nobody measured: TFLite's."""
    e = tflite.energy
    return Energy(
        e.power_w, e.mj_per_gmac, e.mj_per_gb, 0.7, 1.3,
        "assumed: the power of TFLite 2.7.1 at 1800 MHz with 4 threads, within 30 %", 0, e.sources,
    )  # fmt: skip


def cells_never_seen(loads: Mapping[str, tuple[Workload, Floats]]) -> Floats:
    """log(measured / predicted) of as many cells as networks, by TFLite fitted without cells.

    MLPerf's families are all for 224 x 224 and close to each other: leaving one out says too
    little about CIFAR networks. The cells' clock and threads are not stated, so this errs on
    the wide side.
    """
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    _, rest = draw(table, 0, SHIPPED_CELLS)
    some = rest[: len(loads["tflite"][1])]
    tflite = fit_runtimes(loads, PI4_PRIOR)["tflite"]
    predicted = nas_bench_workload(table, "used").subset(some).latency_ms(tflite)
    return np.asarray(np.log(latency_ms[some] / predicted))


def hw_nas_runtime(c: Coefficients, load: Workload, tflite: Runtime) -> Runtime:
    """HW-NAS-Bench's measurements as a runtime; its power was not measured."""
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    chosen, rest = draw(table, 0, SHIPPED_CELLS)
    left_out = np.log(latency_ms[rest] / load.subset(rest).latency_ms(c))
    low, high = (significant(x) for x in conformal_factors(left_out))
    outside = tflite.interval
    interval = Interval(
        low, high, min(low, outside.outside_low), max(high, outside.outside_high),
        bounding_box_of(load.subset(chosen)),
    )  # fmt: skip
    figures = nas_bench_draws("used")
    return Runtime(
        "tflite_hw_nas", "TFLite", "as in HW-NAS-Bench (version not stated)", 0, 0.0, "fp32",
        EXECUTES_PI4, c, interval, assumed_energy(tflite),
        Provenance(
            how="fitted", networks=SHIPPED_CELLS,
            held_out="fits to 50 random cells, all other cells, mean of 10 draws",
            **{k: significant(v) for k, v in figures.items()}, date=DATE, sources=(HW_NAS,),
        ),
    )  # fmt: skip


def nas_bench_draws(executes: str, size: int = 50, seeds: int = 10) -> dict[str, float]:
    """Quality on all other cells of fits to ``size`` random cells alone, mean over seeds."""
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    load = nas_bench_workload(table, executes)
    results = []
    for seed in range(seeds):
        train, test = draw(table, seed, size)
        fitted = fit_runtimes({"pi4": (load.subset(train), latency_ms[train])}, PI4_PRIOR)
        results.append(quality(latency_ms[test], load.subset(test).latency_ms(fitted["pi4"])))
    return {k: float(np.mean([r[k] for r in results])) for k in results[0]}


# Facts and assumptions of the boards. Peaks: cpufp (github.com/pigirons/cpufp): 8 fp32
# operations a cycle and core on both. Bandwidth: one thread's NEON reads (sbc-bench).
PI3 = Device(
    "BCM2837", "4x Arm Cortex-A53", 4, 1200.0, 38.4, 2.07,
    ("https://github.com/pigirons/cpufp", "https://github.com/ThomasKaiser/sbc-bench"),
)  # fmt: skip
PI4 = Device(
    "BCM2711", "4x Arm Cortex-A72", 4, 1800.0, 57.6, 4.31,
    ("https://github.com/pigirons/cpufp", "https://github.com/ThomasKaiser/sbc-bench"),
)  # fmt: skip
PI3_ENERGY = Energy(
    3.7, 0.0, 0.0, 0.676, 1.216,
    "assumed 3.7 W of the board at full load, 2.5 to 4.5 W: as EfficientDet-lite0 in TFLite drew "
    "(3.64 to 3.81 W as means of its runs)", 0,
    ("https://github.com/haadi-gill/AI-Edge-Benchmarking (5b584ba)",
     "https://github.com/castorini/honk"),
)  # fmt: skip
PI3_PRIOR = data_sheet_prior(PI3.peak_gflops / 2, PI3.memory_gb_s, spread=0.6, noise=0.1)
PI4_PRIOR = data_sheet_prior(PI4.peak_gflops / 2, PI4.memory_gb_s, spread=0.6, noise=0.05)
#: Runtime of eight bits -> framework, version, system of MLPerf.
INT8 = {
    "armnn_int8": ("ArmNN (Neon)", "21.11", "rpi4-armnn-v21.11-neon"),
    "tflite_int8": ("TFLite (ruy)", "2.7.1", "rpi4-tflite-v2.7.1-ruy"),
}
#: Eight bits: twice the operations a cycle.
INT8_PRIOR = data_sheet_prior(PI4.peak_gflops, PI4.memory_gb_s)
#: What TFLite runs; the errors of the three are in ``scripts/validate/latency.py``.
EXECUTES_PI4 = "used"
#: Cells of HW-NAS-Bench in the shipped fit.
SHIPPED_CELLS = 500
#: Classes of the kernels that were timed alone.
CONVOLUTIONS = ("pointwise", "conv3x3", "conv", "depthwise")
#: Parameters that such kernels tell.
TIMED_ALONE = (
    "overhead_us", *CONVOLUTIONS, "grouped", "reduction_half", "outputs_half", "window_half",
    "group_half",
)  # fmt: skip


def every_profile() -> Iterator[Profile]:
    """All shipped profiles of Raspberry Pis; later ones read the first from its file."""
    yield pi3_profile()
    yield from pi3_sisters()
    yield pi4_profile()


#: Fits on another processor end elsewhere along what the measurements leave open: of the 1,349
#: numbers of ``rpi4b.toml`` fitted on two, 97.7 % were within this of each other; asked is this
#: share.
CLOSE, MOST = 0.01, 0.95
_NUMBER = re.compile(r"(?<![\w.\-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.\-])")


def alike(a: str, b: str) -> float:
    """Share of the numbers of two texts that are close; 0 where the texts differ otherwise."""
    if _NUMBER.sub("#", a) != _NUMBER.sub("#", b):
        return 0.0
    one, other = (np.array(_NUMBER.findall(text), dtype=float) for text in (a, b))
    return float(np.isclose(one, other, rtol=CLOSE, atol=0.0).mean())


def main(arguments: Sequence[str]) -> int:
    """Write or check all profiles; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    wrong = 0
    for profile in every_profile():
        path = ROOT / "hw_profiles" / f"{profile.name}.toml"
        comment = f"Written by scripts/fit_raspberry_pi.py; do not edit.\n{CHOICES}"
        if check:
            shipped = path.read_text("utf-8") if path.exists() else ""
            share = alike(shipped, profile_text(profile, comment))
            same = share >= MOST
            told = f"as shipped ({share:.1%} of its numbers within {CLOSE:.0%})"
            print(f"{path.name}: {told if same else 'DIFFERS'}", flush=True)
            wrong += not same
        else:
            write_profile(profile, path, comment)
            for runtime in profile.runtimes.values():
                print(f"{profile.name}: {runtime.provenance_line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
