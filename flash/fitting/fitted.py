"""From fits to a profile: held-out quality, intervals, bounding box, energy, rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr

from flash.fitting.intervals import conformal_factors
from flash.fitting.workload import Workload
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.profile import Coefficients, Interval

__all__ = [
    "bounding_box_of",
    "classes_of",
    "coverage_of_groups",
    "energy_terms",
    "fit_energy",
    "held_out_energy",
    "interval_of",
    "quality",
    "rounded",
    "significant",
]

Floats = NDArray[np.float64]


def quality(measured: Floats, predicted: Floats) -> dict[str, float]:
    """Median and mean absolute error (per cent) and Spearman's correlation."""
    error = np.abs(predicted / measured - 1)
    # Predictions that are all the same rank nothing; spearmanr would warn.
    varies = len(measured) > 1 and np.ptp(predicted) > 0 and np.ptp(measured) > 0
    # What differs by less than a millionth ranks alike: sums in another order do.
    ranked = np.round(predicted / np.median(np.abs(predicted)), 6) if varies else predicted
    rank = float(spearmanr(ranked, measured)[0]) if varies else 0.0
    return {
        "median_error_percent": round(100 * float(np.median(error)), 2),
        "mape_percent": round(100 * float(error.mean()), 2),
        "spearman": round(rank, 4),
    }


def significant(value: float, digits: int = 4) -> float:
    """Rounded to significant digits, so that the last bits of a fit do not show."""
    return float(f"{value:.{digits}g}")


def rounded(c: Coefficients) -> Coefficients:
    """Coefficients to four significant digits."""
    halves = ("reduction_half", "outputs_half", "positions_half")
    per_class = ("overhead_us", "gmac_s", "gb_s", *halves)
    return Coefficients(
        **{name: tuple(significant(v) for v in getattr(c, name)) for name in per_class},
        cache_mb=significant(c.cache_mb),
        spill_gb_s=significant(c.spill_gb_s),
    )


# ------------------------------------------------------------------------------- intervals
def bounding_box_of(load: Workload) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each of ``BOX_FEATURES`` over networks."""
    totals = load.totals()
    features = {
        "macs": totals["macs"],
        "bytes": totals["bytes"],
        "kernels": totals["kernels"],
        "conv_share": totals["conv_macs"] / np.maximum(totals["macs"], 1.0),
    }
    return {n: (significant(v.min(), 6), significant(v.max(), 6)) for n, v in features.items()}


def interval_of(
    box: Mapping[str, tuple[float, float]],
    near: Floats,
    far: Floats,
    classes: tuple[str, ...] = (),
    groups: Sequence[str] = (),
) -> Interval:
    """Interval from log residuals of networks left out alone, and with their family.

    box, classes: of what was fitted (``bounding_box_of``, ``classes_of``). groups: the family of
    each of ``far``, where the interval for unlike networks is to hold for one more family.
    """
    low, high = (_within(x) for x in conformal_factors(near))
    count = len(set(groups))
    power = _POWER_OF_FEW.get(count, 1.0)
    if many := count > max(_POWER_OF_FEW):
        power = _power_for_groups(far, np.array(groups))
    outside = [_within(x**power) for x in conformal_factors(far, sure=not many)]
    return Interval(
        significant(low),
        significant(high),
        significant(min(low, outside[0])),
        significant(max(high, outside[1])),
        box,
        classes,
    )


def _power_for_groups(far: Floats, groups: NDArray[np.str_]) -> float:
    """Least power, of those tried, of the others' interval at which each family left out is covered
    well enough on average."""
    names = sorted(set(groups.tolist()))
    ends = {g: np.log(conformal_factors(far[groups != g], sure=False)) for g in names}
    low, high = (np.array([ends[g][k] for g in groups]) for k in (0, 1))
    for power in _POWERS:
        if np.mean((far >= power * low) & (far <= power * high)) >= _LEAST_COVERED:
            return power
    return _POWERS[-1]


#: Families that are unlike each other lie further from one more than pooled errors say. Where the
#: others' interval covers less than this of a family left out, on average, it is widened until it
#: does; tried are so many powers (ours). What that leaves to chance is not made up for by a rank of
#: independent errors besides, which errors of one family are not: suites of 43 to 90 networks were
#: covered to 95 % and more.
_LEAST_COVERED = 0.9
_POWERS = tuple(1.0 + 0.1 * k for k in range(21))
#: One or two families do not show how far a third lies. Their interval, with that rank, is widened
#: by the power with which the errors of any one or two families of other suites cover their others
#: to 90 % on average: of eight of x86 and six of detectors (``scripts/validate/few_kinds.py``).
_POWER_OF_FEW = {1: 1.4, 2: 1.1}


def coverage_of_groups(
    near: Floats,
    far: Floats,
    groups: Sequence[str],
    pool: tuple[Floats, Sequence[str]] | None = None,
) -> float | None:
    """Share of networks, left out with their group, inside an interval that knows nothing of it.

    near, far: log residuals of each network left out alone, and with its group (not a number where
    that was not tried). pool: log residuals and groups that the interval for unlike networks is
    made from, where those are more than ``far``. None where there are not two groups.
    """
    own, inside = np.array(groups), []
    pool_far, pool_groups = (far, own) if pool is None else (pool[0], np.array(pool[1]))
    tried = ~np.isnan(far)
    for group in sorted(set(own[tried])):
        others = pool_far[(pool_groups != group) & ~np.isnan(pool_far)]
        if not len(others) or not np.any(own != group):
            return None
        known = own[tried & (own != group)].tolist() if pool is None else ()
        interval = interval_of({}, near[own != group], others, groups=known)
        r = far[tried & (own == group)]
        inside.append((r >= np.log(interval.outside_low)) & (r <= np.log(interval.outside_high)))
    return float(np.mean(np.concatenate(inside))) if inside else None


def classes_of(load: Workload) -> tuple[str, ...]:
    """Classes of the kernels of networks."""
    measured = set(np.asarray(load.kernels.kind).tolist())
    return tuple(name for kind, name in enumerate(KERNEL_CLASSES) if kind in measured)


def _within(factor: float) -> float:
    """Factors a profile may hold; beyond a thousand nothing is known anyway."""
    return min(max(factor, 1e-3), 1e3)


# ---------------------------------------------------------------------------------- energy
def energy_terms(load: Workload, latency_ms: Floats) -> Floats:
    """Columns ms, GMAC, GB of each network, shape (networks, 3)."""
    totals = load.totals()
    return np.stack([latency_ms, totals["macs"] / 1e9, totals["bytes"] / 1e9], axis=1)


def fit_energy(terms: Floats, energy_mj: Floats) -> Floats:
    """(W, mJ/GMAC, mJ/GB) >= 0 of energy = W t + a GMAC + b GB, least relative squares."""
    solution, _ = nnls(terms / energy_mj[:, None], np.ones(len(terms)))
    return np.asarray(solution)


def held_out_energy(load: Workload, fitted_ms: Floats, asked_ms: Floats, mj: Floats) -> Floats:
    """Energies (mJ) by fits without each network itself.

    fitted_ms: latencies the fits see. asked_ms: latency of the network asked for, held out or
    measured.
    """
    seen, asked = energy_terms(load, fitted_ms), energy_terms(load, asked_ms)
    rows = np.arange(len(mj))
    return np.array([asked[i] @ fit_energy(seen[rows != i], mj[rows != i]) for i in rows])
