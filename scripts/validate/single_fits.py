"""How far one fit can be believed: ``flash.fit`` from 25 cells of NAS-Bench-201, draw by draw.

    python scripts/validate/single_fits.py [--draws 20] [--seeds 600] [COLUMN ...]

Every measured device of the tables (simulated ones left out), each draw's fit judged on all other
live cells: does its 90 % interval cover them, is the median error it says the true one, does its
ranking fall behind that of other draws. Rules of the fit were settled on draws 100 to 119; those
reported start at 600. Takes a second a fit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raspberry_pi_data import (  # noqa: E402
    SHARED,
    draw,
    nas_bench_network,
    nas_bench_table,
    nas_bench_workload,
    read_csv,
)  # fmt: skip

from flash.fitting.fitted import quality  # noqa: E402
from flash.fitting.learning import learn  # noqa: E402
from flash.fitting.prior import unknown_prior  # noqa: E402
from flash.fitting.workload import Workload  # noqa: E402
from flash.spaces.table import LayerTable  # noqa: E402

#: Random cells that a fit sees.
CELLS = 25
#: The same measurements as in the other table.
TWICE = "raspi4_ms"


def verdict(good: bool) -> str:
    """What a target's line ends in."""
    return "ok" if good else "MISSED"


class Device:
    """One device's latencies and fits to draws of them."""

    def __init__(self, cells: Sequence[str], latency_ms: np.ndarray) -> None:
        self._cells, self._latency_ms = cells, latency_ms

    def fits(self, table: LayerTable, loads: dict[tuple[str, str, int], Workload],
             seeds: Sequence[int]) -> np.ndarray:  # fmt: skip
        """Spearman, true and said median error (%), coverage and seconds of each draw's fit."""
        found = []
        for seed in seeds:
            train, test = draw(table, seed, CELLS)
            measured = self._latency_ms[train]
            start = time.perf_counter()
            networks = [nas_bench_network(self._cells[i]) for i in train]
            fit = learn(
                networks, ["cell"] * CELLS, measured, None, unknown_prior(), baselines=False
            )
            seconds = time.perf_counter() - start
            predicted = np.zeros(len(test))
            for v in fit.variants:
                key = v.executes, v.fusion, v.lanes
                if key not in loads:
                    loads[key] = nas_bench_workload(table, *key)
                predicted += v.weight * loads[key].subset(test).latency_ms(v.coefficients)
            figures = quality(self._latency_ms[test], predicted)
            ratio = self._latency_ms[test] / predicted
            inside = (ratio >= fit.interval.low) & (ratio <= fit.interval.high)
            found.append((
                figures["spearman"], figures["median_error_percent"],
                fit.figures["median_error_percent"], inside.mean(), seconds, len(fit.variants),
            ))  # fmt: skip
        return np.array(found)


def main(arguments: Sequence[str]) -> int:
    """Print a line a device and the targets; returns the exit code."""
    parser = argparse.ArgumentParser(description="Single fits of flash.fit, draw by draw.")
    parser.add_argument("column", nargs="*", help="of the tables, all measured ones by default")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=600, metavar="N", help="first seed")
    options = parser.parse_args(arguments)
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    rows = read_csv("nasbench201/hw_nas_bench_cifar10.csv.gz")
    cells = [r["arch"] for r in rows]
    by_cell = {r["arch"]: r for r in read_csv("nasbench201/help_latency.csv.gz")}
    columns = {name: rows for name in rows[0] if name != "arch"}
    columns |= {name: [by_cell[c] for c in cells] for name in by_cell[cells[0]] if name != "arch"}
    measured = [c for c in columns if "eyeriss" not in c and c != TWICE]
    table = nas_bench_table(cells)
    loads: dict[tuple[str, str, int], Workload] = {}
    seeds = range(options.seeds, options.seeds + options.draws)
    print(f"{CELLS} cells, {options.draws} draws from seed {options.seeds}")
    print(f"{'':22s}{'Spearman':>9s}{'least':>8s}{'error':>9s}{'said/true':>10s}{'covers':>8s}"
          f"{'< .85':>7s}{'s':>6s}{'models':>8s}")  # fmt: skip
    everything = []
    for column in options.column or measured:
        latency_ms = np.array([float(r[column]) for r in columns[column]])
        found = Device(cells, latency_ms).fits(table, loads, seeds)
        everything.append(found)
        rank, error, said, covers, seconds, models = found.T
        print(f"{column:22s}{np.median(rank):9.4f}{np.median(rank) - rank.min():8.4f}"
              f"{error.mean():7.2f} %{said.mean() / error.mean():10.2f}{covers.mean():8.3f}"
              f"{(covers < 0.85).mean():7.0%}{seconds.mean():6.1f}{models.mean():8.1f}",
              flush=True)  # fmt: skip
    grid = np.stack(everything)
    covers = grid[:, :, 3]
    low = float((covers < 0.85).mean())
    ratio = float(np.mean(grid[:, :, 2].mean(axis=1) / grid[:, :, 1].mean(axis=1)))
    gap = float(np.max(np.median(grid[:, :, 0], axis=1) - grid[:, :, 0].min(axis=1)))
    print(f"mean coverage {covers.mean():.3f}   .90 to .96: "
          f"{verdict(0.9 <= covers.mean() <= 0.96)}")  # fmt: skip
    print(f"single fits under .85: {low:.1%}   at most 10 %: {verdict(low <= 0.1)}")
    print(f"said / true median error {ratio:.2f}   .9 to 1.1: {verdict(0.9 <= ratio <= 1.1)}")
    print(f"Spearman of the worst draw below its device's median by {gap:.3f}   "
          f"at most .02: {verdict(gap <= 0.02)}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
