"""Choosing among settings of the one cost model by cross-validation.

Candidates differ in how the coefficients are estimated (a log-normal prior, looser or tighter,
with or without an overhead for each kernel class; non-negative least squares with more or
less ridge) and in what the runtime is taken to run and merge, which is found together with
them (``flash.fitting.structure``). All give coefficients of the same formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.fitting.fit import fit_one
from flash.fitting.linear_fit import LinearFit
from flash.fitting.prior import Prior, unpack
from flash.fitting.workload import Workload
from flash.targets.processor.profile import Coefficients

__all__ = [
    "Candidate", "Choice", "candidates", "choose", "first_not_beaten", "folds_of", "kinds_apart",
    "log_errors",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Errors beyond a factor of e^0.7 = 2 count as that: single wild rows decide nothing.
WORST = 0.7
#: A kind of network is left out as a whole where it and the others have this many.
_FEWEST_OF_KIND = 4
#: A later candidate must be better than an earlier, simpler one by this part to be chosen.
_CLEARLY = 0.03
#: and by this many standard errors of the difference. Both chosen on NAS-Bench-201's devices, on
#: other draws than those that scripts/validate/fit.py reports.
_NOISE = 0.5


@dataclass(frozen=True)
class Candidate:
    """One way to estimate the coefficients: under a prior, or linear."""

    name: str
    prior: Prior | None = None
    linear: LinearFit | None = None

    def fit(self, load: Workload, latency_ms: Floats) -> Coefficients:
        """Coefficients from all measurements."""
        if self.linear is not None:
            return self.linear.coefficients(self.linear.fit(self.linear.columns(load), latency_ms))
        return fit_one(load, latency_ms, self._given())[0]

    def left_out(self, load: Workload, latency_ms: Floats, folds: Sequence[Ints]) -> Floats:
        """Latencies (ms) predicted for each fold by a fit without it."""
        if self.linear is not None:
            return self.linear.left_out(self.linear.columns(load), latency_ms, folds)
        predicted, rows = np.zeros(len(latency_ms)), np.arange(len(latency_ms))
        # The fit to all rows is only where the search starts; its end depends on the prior.
        _, start = fit_one(load, latency_ms, self._given())
        for fold in folds:
            keep = np.setdiff1d(rows, fold)
            found, _ = fit_one(load.subset(keep), latency_ms[keep], self._given(), start)
            predicted[fold] = load.subset(fold).latency_ms(found)
        return predicted

    def _given(self) -> Prior:
        if self.prior is None:
            raise ValueError(f"candidate {self.name} has neither a prior nor a linear fit")
        return self.prior


@dataclass(frozen=True)
class Choice:
    """The candidate chosen, and how all did.

    number:    of the candidate, in the order tried.
    predicted: held-out latencies of the chosen one, shape (networks,), ms. Where a candidate
               is chosen by the other folds (``nested``) they may come from several.
    far:       latencies predicted by the chosen one without the network's kind, shape
               (networks,), ms; not a number where no fit was made without it.
    errors:    mean absolute log error of each candidate, in the order tried, on networks left
               out and on kinds left out.
    """

    number: int
    predicted: Floats
    far: Floats
    errors: Mapping[str, float]


def candidates(prior: Prior, processor: bool = False) -> list[Candidate]:
    """Settings to try, simplest first.

    processor: it is known to be one, with a cache, and what it runs: one setting is enough. Of
    several, single kernels among the measured would choose one that does worse on networks of
    other kinds (MobileNets and the rest of the shipped x86 measurements, each from the other).
    """
    # What a kernel spills depends on no class, so linear fits know no cache.
    shape = replace(unpack(np.log(prior.median)), cache_mb=math.inf, spill_gb_s=math.inf)
    cached = Candidate("prior, class overheads, cache", replace(prior.extended(0.5), noise=0.3))
    if processor:
        return [cached]
    return [
        Candidate("prior", prior),
        Candidate("tight prior", prior.tightened(0.5)),
        cached,  # before the linear ones: it errs less on networks unlike those measured
        Candidate("launches, convolutions alike", linear=LinearFit(shape, 0.003, busy=False)),
        Candidate("launches", linear=LinearFit(shape, 0.003, busy=False, alike=False)),
        Candidate("linear", linear=LinearFit(shape, 0.003)),
    ]


def folds_of(groups: Sequence[str], seed: int = 0, most: int = 10) -> list[Ints]:
    """Row numbers of each fold; a group (the same network twice) is never split."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[k]: position % most for position, k in enumerate(order)}
    number = np.array([fold_of[g] for g in groups])
    return [np.flatnonzero(number == k) for k in range(min(most, len(names)))]


def kinds_apart(kinds: Sequence[str]) -> dict[str, Ints]:
    """Row numbers of each kind of which, and besides which, there are enough to judge by."""
    labels = np.array(kinds)
    rows = {kind: np.flatnonzero(labels == kind) for kind in sorted(set(kinds))}
    return {k: r for k, r in rows.items() if min(len(r), len(labels) - len(r)) >= _FEWEST_OF_KIND}


def choose(
    tried: Sequence[tuple[Candidate, Workload]],
    latency_ms: Floats,
    folds: Sequence[Ints],
    kinds: Sequence[Ints] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Choice:
    """The candidate with the least held-out error, and its honest predictions.

    tried: candidates, each with the networks as it takes them to be run.
    kinds: networks to leave out together as well: those asked for may be of another kind than
           those measured, and a fit that only interpolates well then errs most.

    The predictions of each fold are those of the candidate that is best on the other folds, so
    that choosing does not flatter the error.
    """
    near, far, errors = [], [], []
    of_kinds = np.concatenate([np.array([], dtype=np.intp), *kinds])
    rows = np.append(np.arange(len(latency_ms)), of_kinds)
    for candidate, load in tried:
        progress(f"cross-validating: {candidate.name}")
        near.append(candidate.left_out(load, latency_ms, folds))
        far.append(candidate.left_out(load, latency_ms, kinds))
        predicted = np.append(near[-1], far[-1][of_kinds])
        errors.append(log_errors(predicted, latency_ms[rows]))
    grid = np.stack(errors)
    nested = np.zeros(len(latency_ms))
    for fold in folds:
        others = ~np.isin(rows, fold)
        nested[fold] = near[first_not_beaten(grid[:, others])][fold]
    means = {c.name: float(e) for (c, _), e in zip(tried, grid.mean(axis=1), strict=True)}
    number = first_not_beaten(grid)
    without = np.full(len(latency_ms), np.nan)
    without[of_kinds] = far[number][of_kinds]
    return Choice(number, nested, without, means)


def log_errors(predicted: Floats, measured: Floats) -> Floats:
    """Absolute errors of logarithms, none above ``WORST``."""
    result: Floats = np.minimum(np.abs(np.log(predicted / measured)), WORST)
    return result


def first_not_beaten(errors: Floats) -> int:
    """The first candidate that no later one beats clearly.

    errors: (candidates, networks). Clearly is by a part of the error and by a part of the
    standard error of the difference, network by network.
    """
    best = 0
    for k in range(1, len(errors)):
        gain = errors[best] - errors[k]
        noise = float(gain.std()) / math.sqrt(max(len(gain) - 1, 1))
        if gain.mean() > max(_CLEARLY * errors[best].mean(), _NOISE * noise):
            best = k
    return best
