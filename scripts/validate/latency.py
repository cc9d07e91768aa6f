"""Held-out errors of the Raspberry Pi latency and energy models, beside simple baselines.

    python scripts/validate/latency.py [pi3] [nas] [pi4]

Every figure is of networks the fit has not seen. Takes about two minutes in all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fit_raspberry_pi import (  # noqa: E402
    PI3_PRIOR,
    PI4_PRIOR,
    SHIPPED_CELLS,
    held_out,
    nas_bench_draws,
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
from flash.targets.processor.kernels import KERNEL_CLASSES  # noqa: E402


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
    """TVM and ncnn on the Pi 3B: each network left out of both."""
    measured = read_pi3()
    for title, groups in (("network", "groups"), ("family", "families")):
        predicted = held_out(measured, {}, PI3_PRIOR, attrgetter(groups))
        both = [np.concatenate(x) for x in zip(
            *((m.latency_ms, predicted[k]) for k, m in measured.items()), strict=True
        )]  # fmt: skip
        show(f"Pi 3B, {len(both[0])} rows, each {title} left out", quality(*both))
        for name, m in measured.items():
            show(f"    {name}", quality(m.latency_ms, predicted[name]))
            for model, ms, p in zip(m.models, m.latency_ms, predicted[name], strict=True):
                print(f"        {model:28s} {ms:8.1f} ms, predicted {p:8.1f} ({p / ms - 1:+.0%})")
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
    """MLPerf on the Pi 4: latency and energy, each network (then each family) left out."""
    cells, latency_ms = read_hw_nas()
    table = nas_bench_table(cells)
    chosen, _ = draw(table, 0, SHIPPED_CELLS)
    fixed = {"cells": (nas_bench_workload(table, "used").subset(chosen), latency_ms[chosen])}
    measured = {
        "TFLite 2.7.1": read_mlperf("rpi4-tflite-v2.7.1-ruy"),
        "ArmNN 21.11": read_mlperf("rpi4-armnn-v21.11-neon"),
    }
    for title, groups in (("network", "groups"), ("family", "families")):
        predicted = held_out(measured, fixed, PI4_PRIOR, attrgetter(groups))
        for name, m in measured.items():
            show(f"Pi 4 {name}, each {title} left out", quality(m.latency_ms, predicted[name]))
            if title == "network":
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
    unknown = [a for a in arguments if a not in parts]
    if unknown:
        print(f"unknown part '{unknown[0]}': one of {', '.join(parts)}", file=sys.stderr)
        return 2
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    for name in arguments or parts:
        parts[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
