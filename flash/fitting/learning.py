"""Measurements of one runtime -> its part of a profile, with errors on networks left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.fitting.baselines import Baseline, baseline_rows
from flash.fitting.fit import conformal_factors
from flash.fitting.fitted import (
    bounding_box_of,
    classes_of,
    energy_terms,
    fit_energy,
    held_out_energy,
    interval_of,
    quality,
    rounded,
    significant,
)
from flash.fitting.prior import Prior, unpack
from flash.fitting.selection import (
    Choice,
    candidates,
    choose,
    folds_of,
    kinds_apart,
)
from flash.fitting.structure import Structure, structures
from flash.fitting.workload import Workload
from flash.spaces.network import Network
from flash.targets.processor.profile import Coefficients, Energy, Interval

__all__ = ["Learned", "Structure", "learn"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Progress = Callable[[str], None]


#: A network of fewer distinct kernels is a kernel measured alone, or nearly; fewest networks
#: that an interval comes from.
_WHOLE, _FEWEST_WHOLE = 6, 10


@dataclass(frozen=True)
class Learned:
    """A fitted runtime.

    chosen:    the candidate. errors: mean absolute log error of every candidate tried.
    figures:   held-out quality, the candidate chosen without the fold it predicts.
    kinds:     quality on each kind of network by fits without that kind.
    coverage:  share of networks inside an interval made from the other folds' errors; of those
               with several kernels, where there are enough.
    """

    structure: Structure
    coefficients: Coefficients
    chosen: str
    errors: dict[str, float]
    figures: dict[str, float]
    kinds: dict[str, dict[str, float]]
    interval: Interval
    coverage: float
    baselines: tuple[Baseline, ...]
    energy: Energy | None
    energy_figures: dict[str, float] | None


def learn(
    networks: Sequence[Network],
    kinds: Sequence[str],
    latency_ms: Floats,
    energy_mj: Floats | None,
    prior: Prior,
    *,
    element_bytes: int = 4,
    data_sheet: bool = False,
    known: Structure | None = None,
    told: tuple[str, str] | None = None,
    baselines: bool = True,
    progress: Progress = lambda _: None,
) -> Learned:
    """Fit, choose and judge.

    kinds: of the networks, for errors on kinds left out. data_sheet: whether the prior's
    medians mean something on their own. known: what the runtime runs, where that is known.
    told: what it executes and merges, if somebody says so. baselines: whether to judge them too.
    """
    folds = folds_of([str(k) for k in range(len(networks))])
    tried = candidates(prior, processor=known is not None)
    progress("what the runtime runs and merges")
    runs = structures(networks, latency_ms, tried, element_bytes, known, told)
    loads = [load for _, load in runs]
    apart = kinds_apart(kinds)
    choice = choose(
        list(zip(tried, loads, strict=True)), latency_ms, folds, list(apart.values()), progress
    )
    candidate, (structure, load) = tried[choice.number], runs[choice.number]
    fitted = rounded(candidate.fit(load, latency_ms))
    residuals = np.log(latency_ms / choice.predicted)
    figures = {k: quality(latency_ms[rows], choice.far[rows]) for k, rows in apart.items()}
    far = np.log(latency_ms / choice.far)
    # One kernel errs more than a network, in which errors of many average out: the interval is
    # for networks, so it comes from them where there are enough.
    whole = load.distinct() >= _WHOLE
    if whole.sum() < _FEWEST_WHOLE:
        whole[:] = True
    near, far = residuals[whole], far[whole & ~np.isnan(far)]
    # One kind only: nothing says how others do, so the interval is taken twice as wide (ours).
    interval = interval_of(
        bounding_box_of(load), near, far if len(far) else 2 * near, classes_of(load)
    )
    energy, energy_figures = _energy(load, latency_ms, choice, energy_mj)
    sheet = unpack(np.log(prior.median)) if data_sheet else None
    rows = baseline_rows(load, latency_ms, folds, sheet) if baselines else []
    return Learned(
        structure, fitted, candidate.name, dict(choice.errors),
        quality(latency_ms, choice.predicted), figures, interval,
        _coverage(residuals, folds, whole),
        tuple(rows), energy, energy_figures,
    )  # fmt: skip


def _coverage(residuals: Floats, folds: Sequence[Ints], whole: NDArray[np.bool_]) -> float:
    """Share of whole networks inside the interval that the other folds' errors give."""
    inside = np.zeros(len(residuals), dtype=np.bool_)
    for fold in folds:
        others = whole.copy()
        others[fold] = False
        low, high = conformal_factors(residuals[others])
        inside[fold] = (residuals[fold] >= np.log(low)) & (residuals[fold] <= np.log(high))
    return float(inside[whole].mean())


def _energy(
    load: Workload, latency_ms: Floats, choice: Choice, energy_mj: Floats | None
) -> tuple[Energy | None, dict[str, float] | None]:
    if energy_mj is None:
        return None, None
    power, gmac, gb = fit_energy(energy_terms(load, latency_ms), energy_mj)
    # The interval is of the energy at the true latency; the figures are of both together.
    at_truth = held_out_energy(load, latency_ms, latency_ms, energy_mj)
    predicted = held_out_energy(load, latency_ms, choice.predicted, energy_mj)
    low, high = conformal_factors(np.log(energy_mj / np.maximum(at_truth, 1e-9)))
    energy = Energy(
        max(significant(power), 1e-6), significant(gmac), significant(gb),
        max(significant(low), 1e-3), min(significant(high), 1e3),
        "fitted to measured energies", len(energy_mj), (),
    )  # fmt: skip
    return energy, quality(energy_mj, predicted)
