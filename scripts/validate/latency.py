"""Held-out errors of the Raspberry Pi latency and energy models, beside simple baselines.

    python scripts/validate/latency.py [pi3] [nas] [pi4]

Every figure is of networks the fit has not seen. Takes about two minutes in all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fit_raspberry_pi import (  # noqa: E402
    KERNELS,
    PI3_PRIOR,
    PI4_PRIOR,
    held_out,
    kernels_held_out,
    nas_bench_draws,
    pi3_evidence,
    pi4_evidence,
    read_pi4,
)  # fmt: skip
from raspberry_pi_data import (  # noqa: E402
    SHARED,
    Floats,
    Measured,
    draw,
    nas_bench_table,
    nas_bench_workload,
    read_hw_nas,
    read_mlperf,
    read_pi3,
)  # fmt: skip

from flash.fitting.fit import fit_runtimes  # noqa: E402
from flash.fitting.fitted import held_out_energy, quality  # noqa: E402
from flash.fitting.workload import Workload, workload  # noqa: E402
from flash.targets.processor.kernel_classes import KERNEL_CLASSES  # noqa: E402


def show(title: str, figures: dict[str, float]) -> None:
    """One line of figures."""
    print(
        f"{title:58s} median {figures['median_error_percent']:6.2f} %  "
        f"MAPE {figures['mape_percent']:6.2f} %  Spearman {figures['spearman']:.4f}"
    )


def macs_only(m: Measured) -> Floats:
    """Baseline: latency = a MACs + b >= 0, each network left out in turn."""
    x = np.array([[n.macs / 1e9, 1.0] for n in m.networks()])
    rows, predicted = np.arange(len(x)), np.zeros(len(x))
    for i in rows:
        keep = rows != i
        solution, _ = nnls(x[keep] / m.latency_ms[keep, None], np.ones(keep.sum()))
        predicted[i] = x[i] @ solution
    return predicted


def pi3() -> None:
    """TVM and ncnn on the Pi 3B, each network or family left out of both; kernels alone."""
    measured, everything = read_pi3(), pi3_evidence()
    kernels = {KERNELS: everything[KERNELS]}
    for how, fixed in (("without kernels", {}), ("with kernels", kernels)):
        for title, groups in (("network", "groups"), ("family", "families")):
            predicted = held_out(measured, fixed, PI3_PRIOR, attrgetter(groups))
            for name, m in measured.items():
                figures = quality(m.latency_ms, predicted[name])
                show(f"Pi 3B {name}, {how}, each {title} left out", figures)
                if fixed and (title, name) == ("family", "tvm"):
                    good = figures["median_error_percent"] <= 11
                    print(f"    median <= 11 %: {'ok' if good else 'MISSED'}")
    others = {k: v for k, v in everything.items() if k != KERNELS}
    figures, residuals = kernels_held_out(kernels[KERNELS], others, PI3_PRIOR)
    show("Pi 3B, kernels measured alone, half left out, 3 draws", figures)
    within = float(np.exp(np.quantile(np.abs(residuals), 0.9)))
    good = figures["median_error_percent"] <= 12 and within <= 1.6
    print(f"    90 % within x{within:.2f}; median <= 12 %, x1.6: {'ok' if good else 'MISSED'}")
    for name, m in measured.items():
        show(f"    baseline, MACs only: {name}", quality(m.latency_ms, macs_only(m)))


def nas() -> None:
    """HW-NAS-Bench on the Pi 4: fits to 50 random cells, all other cells, mean of 10 draws."""
    for executes in ("all", "live", "used"):
        show(f"Pi 4 NAS-Bench-201, 50 cells, counting {executes}", nas_bench_draws(executes))
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    load = nas_bench_workload(table, "used")
    counts = operation_counts(load)
    figures = []
    for seed in range(10):
        train, test = draw(table, seed, 50)
        w, _ = nnls(counts[train] / latency_ms[train, None], np.ones(len(train)))
        figures.append(quality(latency_ms[test], counts[test] @ w))
    show("    baseline, NNLS on counts of used kernel classes",
         {k: float(np.mean([f[k] for f in figures])) for k in figures[0]})  # fmt: skip
    _, rest = draw(table, 0, 0)
    show("    ceiling of any count of used kernels (leave one out)",
         quality(*same_kernels(load.subset(rest), latency_ms[rest])))  # fmt: skip
    mlperf = read_mlperf("rpi4-tflite-v2.7.1-ruy")
    alone = fit_runtimes({"t": (workload(mlperf.networks(), "used"), mlperf.latency_ms)}, PI4_PRIOR)
    show("    fitted to MLPerf's TFLite 2.7.1 alone, no cell seen",
         quality(latency_ms[rest], load.subset(rest).latency_ms(alone["t"])))  # fmt: skip


def operation_counts(load: Workload) -> Floats:
    """Kernels of each class in each network, and a constant."""
    kinds = np.asarray(load.kernels.kind)
    by_class = [load.counts[:, kinds == c].sum(axis=1) for c in range(len(KERNEL_CLASSES))]
    return np.stack([*by_class, np.ones(len(load.counts))], axis=1)


def same_kernels(load: Workload, latency_ms: Floats) -> tuple[Floats, Floats]:
    """Measured latencies of cells that share their kernels, and the median of the others'."""
    _, group = np.unique(load.counts, axis=0, return_inverse=True)
    measured, predicted = [], []
    for g in range(group.max() + 1):
        own = latency_ms[group == g]
        if len(own) > 3:
            measured.append(own)
            predicted.append(np.array([np.median(np.delete(own, i)) for i in range(len(own))]))
    return np.concatenate(measured), np.concatenate(predicted)


def pi4() -> None:
    """TFLite, ArmNN and ncnn on the Pi 4, each network (then each family) left out; energy."""
    measured, fixed = read_pi4(), pi4_evidence()
    for title, groups in (("network", "groups"), ("family", "families")):
        predicted = held_out(measured, fixed, PI4_PRIOR, attrgetter(groups))
        for name, m in measured.items():
            show(f"Pi 4 {name}, each {title} left out", quality(m.latency_ms, predicted[name]))
            if title == "network" and len(m.energy_mj):
                load = workload(m.networks(), "used")
                energy_mj = held_out_energy(load, m.latency_ms, predicted[name], m.energy_mj)
                show("    energy, from held-out latency", quality(m.energy_mj, energy_mj))
                energy_mj = held_out_energy(load, m.latency_ms, m.latency_ms, m.energy_mj)
                show("    energy, from measured latency", quality(m.energy_mj, energy_mj))
    for name, m in measured.items():
        show(f"    baseline, MACs only: {name}", quality(m.latency_ms, macs_only(m)))


def main(arguments: Sequence[str]) -> int:
    """Run the named parts, all by default."""
    parts = {"pi3": pi3, "nas": nas, "pi4": pi4}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)} (all)")
    chosen = parser.parse_args(arguments).parts or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}': one of {', '.join(parts)}")
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    for name in chosen:
        parts[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
