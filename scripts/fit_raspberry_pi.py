"""Fit hw_profiles/rpi3b.toml and rpi4b.toml to published measurements.

    python scripts/fit_raspberry_pi.py           write both profiles
    python scripts/fit_raspberry_pi.py --check   compare with the shipped ones (exit 1 if not)

Reads ``shared/data`` beside the repository folder (or the folder FLASH_SHARED names). Every
choice that was made on held-out errors is named in ``CHOICES``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from raspberry_pi_data import (
    HW_NAS,
    MLPERF,
    NCNN,
    ROOT,
    SHARED,
    TVM,
    Floats,
    Measured,
    draw,
    nas_bench_table,
    nas_bench_workload,
    read_hw_nas,
    read_mlperf,
    read_pi3,
)  # fmt: skip

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
from flash.fitting.prior import Prior, data_sheet_prior
from flash.fitting.workload import Workload, workload
from flash.targets.processor.profile import (
    Coefficients,
    Device,
    Energy,
    Interval,
    Profile,
    Provenance,
    Runtime,
    Tvm,
)  # fmt: skip
from flash.targets.processor.profile_file import profile_text, write_profile

DATE = "2026-11-22"

CHOICES = """Chosen by the held-out errors reported here, among a few variants each:
Pi 3B: spread 0.6 and noise 0.15 (of 9 pairs tried: median error 10 to 17 %).
Pi 4: noise 0.05 (of 0.03 to 0.2: no difference to speak of); executes = "used" (of all, used,
live), on 10 draws of 50 cells of HW-NAS-Bench, then taken over for every runtime."""

# ------------------------------------------------------------------------------ held out


def held_out(
    measured: Mapping[str, Measured],
    fixed: Mapping[str, tuple[Workload, Floats]],
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
        fitted = fit_runtimes({k: v for k, v in training.items() if len(v[1])}, prior)
        for name in measured:
            left = np.flatnonzero(groups[name] == group)
            if name in fitted:
                predicted[name][left] = loads[name].subset(left).latency_ms(fitted[name])
    return predicted


# ----------------------------------------------------------------------------- the profiles


def pi3_profile() -> Profile:
    """The Raspberry Pi 3B."""
    measured = read_pi3()
    prior = PI3_PRIOR
    loads = {k: (workload(m.networks(), "used"), m.latency_ms) for k, m in measured.items()}
    fitted = fit_runtimes(loads, prior)
    near = held_out(measured, {}, prior, lambda m: m.groups)
    far = held_out(measured, {}, prior, lambda m: m.families)
    texts = {"tvm": ("TVM AutoTVM", "2018-10", TVM), "ncnn": ("ncnn", "2019-02", NCNN)}
    runtimes = {}
    for name, (framework, version, source) in texts.items():
        m = measured[name]
        provenance = Provenance(
            how="fitted", networks=len(m.models), held_out="each network, in all runtimes",
            **quality(m.latency_ms, near[name]), date=DATE, sources=(source,),
        )  # fmt: skip
        # Residuals of both runtimes: ten rows alone cannot give a 90 % interval.
        interval = interval_of(
            bounding_box_of(loads[name][0]),
            log_residuals(measured, near),
            log_residuals(measured, far),
        )
        runtimes[name] = Runtime(
            name, framework, version, 4, 1200.0, "fp32", "used", rounded(fitted[name]),
            interval, PI3_ENERGY, provenance,
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


def pi4_profile() -> Profile:
    """The Raspberry Pi 4B: MLPerf's TFLite and ArmNN, and HW-NAS-Bench's TFLite."""
    systems = {"tflite": "rpi4-tflite-v2.7.1-ruy", "armnn": "rpi4-armnn-v21.11-neon"}
    measured = {name: read_mlperf(system) for name, system in systems.items()}
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    chosen = draw(table, 0, SHIPPED_CELLS)[0]
    load = nas_bench_workload(table, "used")
    fixed = {"tflite_hw_nas": (load.subset(chosen), latency_ms[chosen])}
    loads = {k: (workload(m.networks(), "used"), m.latency_ms) for k, m in measured.items()}
    fitted = fit_runtimes(loads | fixed, PI4_PRIOR)
    near = held_out(measured, fixed, PI4_PRIOR, lambda m: m.groups)
    far = held_out(measured, fixed, PI4_PRIOR, lambda m: m.families)
    unlike = cells_never_seen(loads)
    texts = {"tflite": ("TFLite (ruy)", "2.7.1"), "armnn": ("ArmNN (Neon)", "21.11")}
    runtimes = {}
    for name, (framework, version) in texts.items():
        m = measured[name]
        one = {name: m}
        runtimes[name] = Runtime(
            name, framework, version, 4, 1800.0, "fp32", EXECUTES_PI4, rounded(fitted[name]),
            interval_of(
                bounding_box_of(loads[name][0]), log_residuals(one, near),
                np.concatenate([log_residuals(one, far), unlike]),
            ),
            measured_energy(m, loads[name][0], MLPERF),
            Provenance(
                how="fitted", networks=len(m.models), held_out="each network, in all runtimes",
                **quality(m.latency_ms, near[name]), date=DATE, sources=(MLPERF,),
            ),
        )  # fmt: skip
    runtimes["tflite_hw_nas"] = hw_nas_runtime(
        rounded(fitted["tflite_hw_nas"]), load, runtimes["tflite"]
    )
    return Profile(
        "rpi4b", "Raspberry Pi 4 Model B", "processor", PI4, runtimes, "tflite",
        Tvm("aarch64-linux-gnu", "cortex-a72"),
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
    e = tflite.energy
    energy = Energy(
        e.power_w, e.mj_per_gmac, e.mj_per_gb, 0.7, 1.3,
        "assumed: the power of TFLite 2.7.1 at 1800 MHz with 4 threads, within 30 %", 0, e.sources,
    )  # fmt: skip
    figures = nas_bench_draws("used")
    return Runtime(
        "tflite_hw_nas", "TFLite", "as in HW-NAS-Bench (version not stated)", 0, 0.0, "fp32",
        EXECUTES_PI4, c, interval, energy,
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
    "assumed 3.7 W of the board at full load, 2.5 to 4.5 W: no CNN's power was measured", 0,
    ("https://lumotechgateless.pages.dev/114740.html", "https://github.com/castorini/honk"),
)  # fmt: skip
PI3_PRIOR = data_sheet_prior(PI3.peak_gflops / 2, PI3.memory_gb_s, spread=0.6, noise=0.15)
PI4_PRIOR = data_sheet_prior(PI4.peak_gflops / 2, PI4.memory_gb_s, spread=0.3, noise=0.05)
#: What TFLite runs; the errors of the three are in ``scripts/validate/latency.py``.
EXECUTES_PI4 = "used"
#: Cells of HW-NAS-Bench in the shipped fit.
SHIPPED_CELLS = 500


def main(arguments: Sequence[str]) -> int:
    """Write or check both profiles; returns the exit code."""
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    wrong = 0
    for profile in (pi3_profile(), pi4_profile()):
        path = ROOT / "hw_profiles" / f"{profile.name}.toml"
        comment = f"Written by scripts/fit_raspberry_pi.py; do not edit.\n{CHOICES}"
        if list(arguments) == ["--check"]:
            same = path.exists() and path.read_text("utf-8") == profile_text(profile, comment)
            print(f"{path.name}: {'as shipped' if same else 'DIFFERS'}")
            wrong += not same
        else:
            write_profile(profile, path, comment)
            for runtime in profile.runtimes.values():
                print(f"{profile.name}: {runtime.provenance_line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
