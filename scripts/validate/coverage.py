"""Whether the intervals of every shipped runtime hold, each family of networks left out.

    python scripts/validate/coverage.py

A family is left out of the fit and of the interval; the share of its networks inside the interval
for unlike networks counts. Ten networks (TVM, ncnn) can only be covered in steps of a tenth. Three
minutes; x86 is fitted from its measurements.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fit_raspberry_pi import (  # noqa: E402
    CELLS,
    KERNELS,
    PI3_PRIOR,
    PI4_PRIOR,
    SHIPPED_CELLS,
    Evidence,
    cells_never_seen,
    held_out,
    pi3_evidence,
    pi4_evidence,
    read_pi4,
)  # fmt: skip
from raspberry_pi_data import (  # noqa: E402
    ROOT,
    SHARED,
    Floats,
    Measured,
    draw,
    nas_bench_table,
    nas_bench_workload,
    read_hw_nas,
    read_pi3,
    read_resnet8_ms,
    resnet8,
)  # fmt: skip

from flash.fit import fit  # noqa: E402
from flash.fitting.fitted import coverage_of_groups  # noqa: E402
from flash.fitting.prior import Prior  # noqa: E402
from flash.fitting.workload import workload  # noqa: E402
from flash.targets.processor.costs import network_costs  # noqa: E402
from flash.targets.processor.profile import load_profile  # noqa: E402


def show(name: str, networks: int, covered: float | None, note: str = "") -> None:
    """One line; the target is 85 to 95 per cent."""
    if covered is None:
        print(f"{name:24s}{networks:6d} networks   not known{note}")
        return
    verdict = "ok" if 0.85 <= covered <= 0.95 else "above" if covered > 0.95 else "MISSED"
    print(f"{name:24s}{networks:6d} networks   {covered:6.1%}   .85 to .95: {verdict}{note}")


def board(
    name: str, measured: Mapping[str, Measured], fixed: Evidence, prior: Prior,
    few: Sequence[str], unlike: Floats,
) -> None:  # fmt: skip
    """The runtimes of a board whose networks were fitted together.

    few: runtimes of so few networks that their interval takes both kinds of errors. unlike: log
    residuals of other networks that widen the interval too.
    """
    near = held_out(measured, fixed, prior, lambda m: m.groups)
    far = held_out(measured, fixed, prior, lambda m: m.families)
    logs = {k: np.log(m.latency_ms / far[k]) for k, m in measured.items()}
    for runtime, m in measured.items():
        families = list(m.families)
        alone = np.log(m.latency_ms / near[runtime])
        # As ``fit_raspberry_pi`` makes the interval for unlike networks.
        together = [k for k in measured if k in few] if runtime in few and not len(unlike) else []
        names = together or [runtime]
        pool = np.concatenate([*(logs[k] for k in names), unlike])
        groups = [f for k in names for f in measured[k].families] + ["unlike"] * len(unlike)
        covered = coverage_of_groups(alone, logs[runtime], families, (pool, groups))
        show(f"{name}:{runtime}", len(families), covered)


def cells() -> None:
    """HW-NAS-Bench: no families, all cells that were not fitted."""
    names, latency_ms = read_hw_nas()
    table = nas_bench_table(names)
    _, rest = draw(table, 0, SHIPPED_CELLS)
    runtime = load_profile("rpi4b", CELLS).runtime
    load = nas_bench_workload(table, runtime.executes).subset(rest)
    ratio = latency_ms[rest] / load.latency_ms(runtime.coefficients)
    inside = (ratio >= runtime.interval.low) & (ratio <= runtime.interval.high)
    show(f"rpi4b:{CELLS}", len(rest), float(inside.mean()), " (no families: cells not fitted)")


def derived() -> None:
    """TVM on the Pi 4B was derived; one network was measured, under a compiler based on it."""
    profile = load_profile("rpi4b", "tvm")
    # Two cores at 1.8 GHz against four at 1.5.
    predicted = network_costs(resnet8(), profile)["latency_ms"] * 3.6 / 6.0
    ratio, interval = read_resnet8_ms() / predicted, profile.runtime.interval
    inside = interval.low <= ratio <= interval.high
    print(f"{'rpi4b:tvm':24s}     1 network    {'inside' if inside else 'OUTSIDE'} (derived)")


def x86() -> None:
    """The shipped measurements of the x86 machine."""
    files = sorted((ROOT / "hw_profiles" / "measurements").glob("x86-avx512-*.jsonl"))
    report = fit(files, "x86-avx512")
    for name, found in report.learned.items():
        networks = report.profile.runtimes[name].provenance.networks
        show(f"x86-avx512:{name}", networks, found.coverage_of_kinds)


def main(arguments: Sequence[str]) -> int:
    """Print a line a runtime; returns the exit code."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    x86()
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    kernels = {KERNELS: pi3_evidence()[KERNELS]}
    board("rpi3b", read_pi3(), kernels, PI3_PRIOR, ("tvm", "ncnn"), np.zeros(0))
    pi4 = read_pi4()
    loads = {k: (workload(m.networks(), "used"), m.latency_ms) for k, m in pi4.items()}
    board("rpi4b", pi4, pi4_evidence(), PI4_PRIOR, ("ncnn",), cells_never_seen(loads))
    cells()
    derived()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
