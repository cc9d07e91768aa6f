"""Whether the intervals of every shipped runtime hold, each family of networks left out.

    python scripts/validate/coverage.py [--graphs DIR] [--only TEXT]

A family is left out of the fit and of the interval; the share of its networks inside the interval
for unlike networks counts. Ten networks (TVM, ncnn) can only be covered in steps of a tenth. Boards
whose networks come from timm (``jetson-nano``, the networks beside the suite of ``x86-epyc``) need
torch and timm; ``--graphs`` keeps what they export. Ten minutes, and fifteen for the first export.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detector_data import there  # noqa: E402
from fit_detectors import ALONE, FITTED, PI4, learned  # noqa: E402
from fit_raspberry_pi import (  # noqa: E402
    CELLS,
    INT8,
    KERNELS,
    PI3_PRIOR,
    PI4_PRIOR,
    SHIPPED_CELLS,
    Evidence,
    cells_never_seen,
    held_out,
    int8_learned,
    pi3_evidence,
    pi4_evidence,
    read_pi4,
)  # fmt: skip
from fit_raspberry_pi import (
    PI4 as PI4_DEVICE,
)
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
from flash.fitting.fitted import coverage_of_groups, interval_of  # noqa: E402
from flash.fitting.prior import Prior, data_sheet_prior  # noqa: E402
from flash.fitting.sisters import half_width  # noqa: E402
from flash.fitting.workload import workload  # noqa: E402
from flash.targets.processor.costs import network_costs  # noqa: E402
from flash.targets.processor.profile import load_profile  # noqa: E402


def show(name: str, networks: int, covered: float | None, note: str = "") -> None:
    """One line; the target is 85 to 95 per cent."""
    if covered is None:
        print(f"{name:24s}{networks:6d} networks   not known{note}")
        return
    verdict = "ok" if 0.85 <= covered <= 0.95 else "above" if covered > 0.95 else "MISSED"
    if verdict == "above":
        # How often as many of so few lie inside intervals that cover exactly 90 %.
        chance = binom.sf(round(covered * networks) - 1, networks, 0.9)
        verdict += f" (as {chance:.0%} of exact ones would be)"
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
    inside: dict[str, float] = {}
    for runtime, m in measured.items():
        families = list(m.families)
        alone = np.log(m.latency_ms / near[runtime])
        # As ``fit_raspberry_pi`` makes the interval for unlike networks.
        together = [k for k in measured if k in few] if runtime in few else []
        names = together or [runtime]
        others = np.zeros(0) if together else unlike
        pool = np.concatenate([*(logs[k] for k in names), others])
        groups = [f for k in names for f in measured[k].families] + ["unlike"] * len(others)
        covered = coverage_of_groups(alone, logs[runtime], families, (pool, groups))
        show(f"{name}:{runtime}", len(families), covered)
        if covered is None:
            continue
        inside[runtime] = covered * len(families)
        if len(others):
            cells = inside[runtime] + len(others) * of_cells(alone, pool, len(families))
            count = len(pool)
            show(
                f"{name}:{runtime}", count, cells / count, " (its networks and cells, each unlike)"
            )
    if len(few) > 1:
        total = sum(len(measured[k].families) for k in few)
        share = sum(inside[k] for k in few) / total
        show(f"{name}:{'+'.join(few)}", total, share, " (errors of both make one interval)")


def of_cells(near: Floats, pool: Floats, first: int) -> float:
    """Share of cells (from ``first`` on in ``pool``) inside the interval made without each."""
    inside = 0
    for k in range(first, len(pool)):
        interval = interval_of({}, near, np.delete(pool, k))
        inside += np.log(interval.outside_low) <= pool[k] <= np.log(interval.outside_high)
    return inside / (len(pool) - first)


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


def suites() -> None:
    """x86 machines: kinds of their suites left out."""
    for name in ("x86-avx512", "x86-epyc", "x86-avx2", "x86-zen4", "x86-xeon"):
        files = sorted((ROOT / "hw_profiles" / "measurements").glob(f"{name}-*.jsonl"))
        report = fit(files, name)
        for runtime, found in report.learned.items():
            networks = report.profile.runtimes[runtime].provenance.networks
            note = " (kinds of the suite)"
            show(f"{name}:{runtime}", networks, found.coverage_of_kinds, note)


def beside_the_suites(graphs: Path) -> None:
    """x86 machines: networks of timm and others, which took no part in the fit."""
    import x86  # noqa: PLC0415

    for machine in x86.MACHINES:
        profile = fit(x86.suites(machine), machine).profile
        for runtime, own in profile.runtimes.items():
            names, residuals = [], []
            for name, latency_ms, network in x86.others(machine, graphs, own.precision):
                predicted = network_costs(network, profile.select(runtime))["latency_ms"]
                names.append(name)
                residuals.append(np.log(latency_ms / predicted))
            inside = x86.covered(names, np.array(residuals))
            show(f"{machine}:{runtime}", len(names), float(inside.mean()), " (not fitted)")


def jetson_nano(graphs: Path) -> None:
    """Classifiers of timm: transformers from the others, and the others from them."""
    import fit_jetson  # noqa: PLC0415 (needs torch and timm)

    board_ = fit_jetson.board(graphs)
    every = np.arange(len(board_.networks))
    for runtime in fit_jetson.COLUMNS:
        found = fit_jetson.fitted(board_, runtime, every)
        show(f"jetson-nano:{runtime}", len(every), found.coverage_of_kinds)


def detectors() -> None:
    """Families of YOLOBench left out."""
    prior = data_sheet_prior(PI4_DEVICE.peak_gflops / 2, PI4_DEVICE.memory_gb_s)
    columns = [("rpi4b", runtime, of, prior) for runtime, of in PI4.items()]
    columns += [(name, runtime, of, own) for name, _, _, runtime, of, own in ALONE]
    for name, runtime, of, own in columns:
        found, _, _ = learned(of, own)
        show(f"{name}:{runtime}", FITTED, found.coverage_of_kinds)


def by_the_clock() -> None:
    """Boards derived from the Pi 3B: others with its cores, derived so, and measured."""
    from sisters import by_the_clock as pairs  # noqa: PLC0415
    from sisters import read_boards  # noqa: PLC0415

    logs = np.concatenate([np.abs(np.log(ratio)) for _, ratio in pairs(read_boards())])
    for name in ("rpi3b-plus", "rpi-zero-2w"):
        note = " (derived: as other A53 boards were, none of them is it)"
        show(name, len(logs), float(np.mean(logs <= half_width(0))), note)


def pis() -> None:
    """Whole networks of the Pi 3B and 4B."""
    kernels = {KERNELS: pi3_evidence()[KERNELS]}
    board("rpi3b", read_pi3(), kernels, PI3_PRIOR, ("tvm", "ncnn"), np.zeros(0))
    pi4 = read_pi4()
    loads = {k: (workload(m.networks(), "used"), m.latency_ms) for k, m in pi4.items()}
    board("rpi4b", pi4, pi4_evidence(), PI4_PRIOR, ("ncnn",), cells_never_seen(loads))
    for name, (_, _, system) in INT8.items():
        m, found = int8_learned(system)
        show(f"rpi4b:{name}", len(m.models), found.coverage_of_kinds)
    cells()
    derived()


def main(arguments: Sequence[str]) -> int:
    """Print a line a runtime; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--graphs", metavar="DIR", help="what timm exports is kept there")
    parser.add_argument("--only", default="", metavar="TEXT", help="parts whose name holds this")
    options = parser.parse_args(arguments)
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    timm = bool(importlib.util.find_spec("torch") and importlib.util.find_spec("timm"))
    with tempfile.TemporaryDirectory() as folder:
        graphs = Path(options.graphs or folder)
        graphs.mkdir(parents=True, exist_ok=True)
        parts = {
            "suites": (suites, True),
            "pis": (pis, True),
            "clock": (by_the_clock, True),
            "detectors": (detectors, there()),
            "beside": (lambda: beside_the_suites(graphs), timm),
            "jetson": (lambda: jetson_nano(graphs), timm),
        }
        for name, (part, possible) in parts.items():
            if options.only not in name:
                continue
            if possible:
                part()
            else:
                print(f"{name}: left out, torch and timm or YOLOBench are not here")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
