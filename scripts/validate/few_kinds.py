"""How far a kind of networks lies from one or two others, on suites that hold more.

    python scripts/validate/few_kinds.py

An interval for unlike networks that was made from the errors of one or two kinds cannot show how
far a third lies. So every one and every two kinds of a suite with three or more make an interval,
widened by a power; the share of each other kind inside it counts, every suite alike. Least powers
with 90 % on average are those of ``flash.fitting.fitted``. Detectors need YOLOBench. Three minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detector_data import there  # noqa: E402
from fit_detectors import ALONE, PI4, learned  # noqa: E402
from fit_raspberry_pi import PI4 as PI4_DEVICE  # noqa: E402
from raspberry_pi_data import ROOT  # noqa: E402

from flash.fit import fit  # noqa: E402
from flash.fitting.intervals import conformal_factors  # noqa: E402
from flash.fitting.prior import data_sheet_prior  # noqa: E402

Floats = NDArray[np.float64]
MACHINES = ("x86-avx512", "x86-epyc", "x86-avx2", "x86-zen4", "x86-xeon")
POWERS = tuple(round(1.0 + 0.1 * k, 1) for k in range(7))
#: Fewer errors make no interval.
FEWEST = 3


def suites() -> Iterator[tuple[str, dict[str, Floats]]]:
    """Name and log residuals by kind of every suite with three kinds or more."""
    for name in MACHINES:
        files = sorted((ROOT / "hw_profiles" / "measurements").glob(f"{name}-*.jsonl"))
        for runtime, found in fit(files, name).learned.items():
            yield f"{name}:{runtime}", found.far
    if not there():
        return
    prior = data_sheet_prior(PI4_DEVICE.peak_gflops / 2, PI4_DEVICE.memory_gb_s)
    for runtime, of in PI4.items():
        yield f"rpi4b:{runtime}", learned(of, prior)[0].far
    for name, _, _, runtime, of, own in ALONE:
        yield f"{name}:{runtime}", learned(of, own)[0].far


def covered(far: dict[str, Floats], count: int) -> Floats:
    """Mean share of another kind inside the interval of ``count`` kinds, shape (powers,)."""
    shares = []
    for known in combinations(sorted(far), count):
        errors = np.concatenate([far[kind] for kind in known])
        if len(errors) < FEWEST:
            continue
        low, high = np.log(conformal_factors(errors))
        for kind in far.keys() - set(known):
            shares.append(
                [np.mean((far[kind] >= p * low) & (far[kind] <= p * high)) for p in POWERS]
            )
    mean: Floats = np.array(shares).mean(axis=0)
    return mean


def main() -> int:
    """Print a line a suite and number of kinds, and their means."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print("kinds known, power:", *(f"{p:6.1f}" for p in POWERS))
    rows: dict[int, list[Floats]] = {1: [], 2: []}
    for name, far in suites():
        for count, found in rows.items():
            found.append(covered(far, count))
            print(f"{count}  {name:28s}", *(f"{share:6.1%}" for share in found[-1]), flush=True)
    for count, found in rows.items():
        print(f"{count}  {'mean':28s}", *(f"{share:6.1%}" for share in np.mean(found, axis=0)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
