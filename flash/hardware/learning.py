"""Measurements of one runtime -> its part of a profile, with errors on networks left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.hardware.baselines import Baseline, baseline_rows
from flash.hardware.fit import conformal_factors
from flash.hardware.fitted import (
    energy_terms,
    fit_energy,
    held_out_energy,
    hull_of,
    interval_of,
    quality,
    rounded,
    significant,
)
from flash.hardware.kernels import LANES
from flash.hardware.prior import Prior, unpack
from flash.hardware.profile import EXECUTES, FUSIONS, Coefficients, Energy, Interval
from flash.hardware.selection import Candidate, Choice, candidates, choose, folds_of
from flash.hardware.workload import Workload, workload
from flash.spaces.network import Network

__all__ = ["Learned", "Structure", "learn"]

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

#: Another structure must fit better by this factor to be preferred, by the second one where it
#: changes what is executed: few networks may hold few dead ends. Both factors were chosen on
#: NAS-Bench-201's devices, on other draws than those scripts/validate/fit.py reports.
_CLEARLY = 0.95
_CLEARLY_EXECUTES = 0.8
#: A kind of network is left out as a whole where it and the others have this many.
_FEWEST_OF_KIND = 4


@dataclass(frozen=True)
class Structure:
    """What a runtime runs of a network: fields of the same names in ``Runtime``."""

    executes: str
    fusion: str
    lanes: int


@dataclass(frozen=True)
class Learned:
    """A fitted runtime.

    chosen:    the candidate. errors: mean absolute log error of every candidate tried.
    figures:   held-out quality, the candidate chosen without the fold it predicts.
    kinds:     quality on each kind of network by fits without that kind.
    coverage:  share of networks inside an interval made from the other folds' errors.
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
    baselines: bool = True,
    progress: Progress = lambda _: None,
) -> Learned:
    """Fit, choose and judge.

    kinds: of the networks, for errors on kinds left out. data_sheet: whether the prior's
    medians mean something on their own. baselines: whether to judge them too.
    """
    folds = folds_of([str(k) for k in range(len(networks))])
    tried = candidates(prior)
    progress("what the runtime runs and merges")
    structure, load = _structure(networks, latency_ms, tried, element_bytes)
    choice = choose(load, latency_ms, tried, folds, progress)
    fitted = rounded(choice.candidate.fit(load, latency_ms))
    residuals = np.log(latency_ms / choice.predicted)
    progress("leaving out kinds of networks")
    figures, far = _left_out_kinds(choice.candidate, load, latency_ms, kinds)
    # One kind only: nothing says how others do, so the interval is taken twice as wide (ours).
    interval = interval_of(hull_of(load), residuals, far if len(far) else 2 * residuals)
    energy, energy_figures = _energy(load, latency_ms, choice, energy_mj)
    sheet = unpack(np.log(prior.median)) if data_sheet else None
    rows = baseline_rows(load, latency_ms, folds, sheet) if baselines else []
    return Learned(
        structure, fitted, choice.candidate.name, dict(choice.errors),
        quality(latency_ms, choice.predicted), figures, interval, _coverage(residuals, folds),
        tuple(rows), energy, energy_figures,
    )  # fmt: skip


def _structure(
    networks: Sequence[Network], latency_ms: Floats, tried: Sequence[Candidate], element_bytes: int
) -> tuple[Structure, Workload]:
    """What the runtime executes, merges and computes at once: what fits best.

    One after the other (lanes, fusion, executes), each kept unless another fits clearly better.
    None adds a coefficient, so errors of fits to all networks compare fairly.
    """
    first = next(c for c in tried if c.prior is not None)
    some = [first, *(c for c in tried if c.linear is not None)]

    def judged(structure: Structure) -> tuple[float, Workload]:
        load = workload(
            networks, structure.executes, element_bytes, structure.fusion, structure.lanes
        )
        fitted = [load.latency_ms(c.fit(load, latency_ms)) for c in some]
        errors = np.minimum(np.abs(np.log(np.stack(fitted) / latency_ms)), 0.7)
        return float(errors.mean(axis=1).min()), load

    best = Structure("used", FUSIONS[0], LANES[0])
    error, load = judged(best)
    others = [{"lanes": n} for n in LANES] + [{"fusion": f} for f in FUSIONS]
    others += [{"executes": e} for e in EXECUTES]
    for change in others:
        option = replace(best, **change)
        if option == best:
            continue
        found, other = judged(option)
        enough = _CLEARLY_EXECUTES if "executes" in change else _CLEARLY
        if found < enough * error and not _same(other, load):
            best, error, load = option, found, other
    return best, load


def _same(a: Workload, b: Workload) -> bool:
    pairs = zip((*a.kernels, a.counts), (*b.kernels, b.counts), strict=True)
    return a.counts.shape == b.counts.shape and all(np.array_equal(x, y) for x, y in pairs)


def _left_out_kinds(
    candidate: Candidate, load: Workload, latency_ms: Floats, kinds: Sequence[str]
) -> tuple[dict[str, dict[str, float]], Floats]:
    """Quality on each kind by a fit without it, and all those log residuals."""
    labels = np.array(kinds)
    figures, far = {}, []
    for kind in sorted(set(kinds)):
        left, keep = np.flatnonzero(labels == kind), np.flatnonzero(labels != kind)
        if min(len(left), len(keep)) < _FEWEST_OF_KIND:
            continue
        fitted = candidate.fit(load.subset(keep), latency_ms[keep])
        predicted = load.subset(left).latency_ms(fitted)
        figures[kind] = quality(latency_ms[left], predicted)
        far.append(np.log(latency_ms[left] / predicted))
    return figures, np.concatenate(far) if far else np.zeros(0)


def _coverage(residuals: Floats, folds: Sequence[NDArray[np.intp]]) -> float:
    """Share of networks inside the interval that the other folds' errors give."""
    inside = np.zeros(len(residuals), dtype=np.bool_)
    for fold in folds:
        low, high = conformal_factors(np.delete(residuals, fold))
        inside[fold] = (residuals[fold] >= np.log(low)) & (residuals[fold] <= np.log(high))
    return float(inside.mean())


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
