"""Measurements of one runtime -> its part of a profile, with errors on networks left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.fitting.averaging import Average, averaged
from flash.fitting.baselines import Baseline, baseline_rows
from flash.fitting.fitted import (
    bounding_box_of,
    classes_of,
    coverage_of_groups,
    energy_terms,
    fit_energy,
    held_out_energy,
    interval_of,
    quality,
    rounded,
    significant,
)
from flash.fitting.intervals import conformal_factors
from flash.fitting.prior import Prior, unpack
from flash.fitting.selection import candidates, folds_of, kinds_apart
from flash.fitting.structure import Options, Structure
from flash.fitting.workload import Workload, workload
from flash.spaces.network import Network
from flash.targets.processor.profile import Coefficients, Energy, Interval, Variant

__all__ = ["Learned", "Structure", "latency_by", "learn"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Progress = Callable[[str], None]


#: A network of fewer distinct kernels is a kernel measured alone, or nearly; fewest networks
#: that an interval comes from.
_WHOLE, _FEWEST_WHOLE = 6, 10


@dataclass(frozen=True)
class Learned:
    """A fitted runtime.

    variants:  the models that predictions average over, the heaviest first; weights sum to one.
    fitted_by: candidate -> the weight of its models.
    errors:    mean absolute log error of every candidate tried.
    figures:   held-out quality; models and weights never saw the network they predict.
    kinds:     quality on each kind of network by fits without that kind.
    coverage:  share of networks inside an interval made from the other folds' errors; of those
               with several kernels, where there are enough; None of too few networks to leave any
               out. coverage_of_kinds: the same for kinds left out, in the interval for unlike
               networks made from the other kinds' errors; None of one kind.
    far:       log residuals of each kind by fits without it, of networks with several kernels.
    contradicted: of few runs and a sister board, how many lie outside what it and the other runs
               let expect, where that is most of them and the interval was widened for it.
    """

    variants: tuple[Variant, ...]
    fitted_by: dict[str, float]
    errors: dict[str, float]
    figures: dict[str, float]
    kinds: dict[str, dict[str, float]]
    interval: Interval
    coverage: float | None
    coverage_of_kinds: float | None
    far: dict[str, Floats]
    baselines: tuple[Baseline, ...]
    energy: Energy | None
    energy_figures: dict[str, float] | None
    contradicted: int = 0

    def latency_ms(self, networks: Sequence[Network], element_bytes: int = 4) -> Floats:
        """Predicted latency of each network, shape (networks,)."""
        return latency_by(self.variants, networks, element_bytes)


def latency_by(
    variants: Sequence[Variant], networks: Sequence[Network], element_bytes: int = 4
) -> Floats:
    """Latency (ms) of networks by models that are averaged, shape (networks,)."""
    total = np.zeros(len(networks))
    for v in variants:
        load = workload(networks, v.executes, element_bytes, v.fusion, v.lanes)
        total += v.weight * load.latency_ms(v.coefficients)
    return total


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
    """Fit, weigh and judge.

    kinds: of the networks, for errors on kinds left out. data_sheet: whether the prior's
    medians mean something on their own. known: what the runtime runs, where that is known.
    told: what it executes and merges, if somebody says so. baselines: whether to judge them too.
    """
    folds = folds_of([str(k) for k in range(len(networks))])
    progress("what the runtime may run and merge")
    options = Options(networks, element_bytes, known, told)
    apart = kinds_apart(kinds)
    average = averaged(
        options,
        candidates(prior, known is not None, [network.macs for network in networks]),
        latency_ms,
        folds,
        list(apart.values()),
        progress,
    )
    variants = _variants(average, latency_ms)
    load = next(
        m.option.load for m in average.models if _structure(variants[0], m.option.structure)
    )
    residuals = np.log(latency_ms / average.predicted)
    figures = {k: quality(latency_ms[rows], average.far[rows]) for k, rows in apart.items()}
    far, whole = np.log(latency_ms / average.far), _whole(load)
    of_kinds = coverage_of_groups(residuals[whole], far[whole], list(np.array(kinds)[whole]))
    tried = whole & ~np.isnan(far)
    near, far, families = residuals[whole], far[tried], np.array(kinds)[tried].tolist()
    # One kind only: nothing says how others do, so the interval is taken twice as wide (ours).
    interval = interval_of(
        bounding_box_of(load), near, far if len(far) else 2 * near, classes_of(load), families
    )
    energy, energy_figures = _energy(load, latency_ms, average, energy_mj)
    sheet = unpack(np.log(prior.median)) if data_sheet else None
    rows = baseline_rows(load, latency_ms, folds, sheet) if baselines else []
    return Learned(
        variants,
        _by_candidate(average),
        dict(average.errors),
        quality(latency_ms, average.predicted),
        figures,
        interval,
        _coverage(residuals, folds, whole),
        of_kinds,
        {k: far[[k == other for other in families]] for k in sorted(set(families))},
        tuple(rows),
        energy,
        energy_figures,
    )


def _by_candidate(average: Average) -> dict[str, float]:
    """Candidate -> the weight of its models."""
    by = {model.candidate.name: 0.0 for model in average.models}
    for model, weight in zip(average.models, average.weights, strict=True):
        by[model.candidate.name] += float(weight)
    return by


def _whole(load: Workload) -> NDArray[np.bool_]:
    """The networks that an interval is made from, shape (networks,).

    One kernel errs more than a network, in which errors of many average out: the interval is for
    networks, so it comes from them where there are enough.
    """
    whole = load.distinct() >= _WHOLE
    return whole if whole.sum() >= _FEWEST_WHOLE else np.ones_like(whole)


def _variants(average: Average, latency_ms: Floats) -> tuple[Variant, ...]:
    """One variant for all linear fits of a structure, whose average is one of them, and one for
    each fit under a prior."""
    solutions: dict[Structure, tuple[float, Floats]] = {}
    found: list[tuple[float, Structure, Coefficients]] = []
    linear = None
    for model, weight in zip(average.models, average.weights, strict=True):
        candidate, option = model.candidate, model.option
        if candidate.linear is None:
            coefficients = candidate.fit(option.load, latency_ms)
            found.append((float(weight), option.structure, coefficients))
            continue
        linear = candidate.linear
        solution = linear.solution(linear.columns(option.load), latency_ms)
        before, total = solutions.get(option.structure, (0.0, np.zeros(len(solution))))
        solutions[option.structure] = before + float(weight), total + weight * solution
    if linear is not None:
        for structure, (weight, total) in solutions.items():
            found.append((weight, structure, linear.coefficients(total / weight)))
    found.sort(key=lambda x: -x[0])
    weights = [significant(weight, 3) for weight, _, _ in found]
    # Rounded weights sum to one again, to their last digit.
    weights[0] = round(1.0 - sum(weights[1:]), 12)
    return tuple(
        Variant(weight, s.executes, s.fusion, s.lanes, rounded(c))
        for weight, (_, s, c) in zip(weights, found, strict=True)
    )


def _structure(variant: Variant, structure: Structure) -> bool:
    return structure == Structure(variant.executes, variant.fusion, variant.lanes)


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
    load: Workload, latency_ms: Floats, average: Average, energy_mj: Floats | None
) -> tuple[Energy | None, dict[str, float] | None]:
    if energy_mj is None:
        return None, None
    power, gmac, gb = fit_energy(energy_terms(load, latency_ms), energy_mj)
    # The interval is of the energy at the true latency; the figures are of both together.
    at_truth = held_out_energy(load, latency_ms, latency_ms, energy_mj)
    predicted = held_out_energy(load, latency_ms, average.predicted, energy_mj)
    low, high = conformal_factors(np.log(energy_mj / np.maximum(at_truth, 1e-9)))
    energy = Energy(
        max(significant(power), 1e-6),
        significant(gmac),
        significant(gb),
        max(significant(low), 1e-3),
        min(significant(high), 1e3),
        "fitted to measured energies",
        len(energy_mj),
        (),
    )
    return energy, quality(energy_mj, predicted)
