"""Choosing among settings of the one cost model by cross-validation.

Candidates differ in how the coefficients are estimated (a log-normal prior, looser or tighter,
with or without an overhead for each kernel class; non-negative least squares with more or
less ridge) and in what the runtime is taken to run (``executes``, ``fusion``). All give
coefficients of the same formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.hardware.fit import fit_one
from flash.hardware.linear_fit import LinearFit
from flash.hardware.prior import Prior, unpack
from flash.hardware.profile import Coefficients
from flash.hardware.workload import Workload

__all__ = ["Candidate", "Choice", "candidates", "choose", "folds_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Errors beyond a factor of e^0.7 = 2 count as that: single wild rows decide nothing.
_WORST = 0.7
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
        return self._start(load, latency_ms)[0]

    def left_out(self, load: Workload, latency_ms: Floats, folds: Sequence[Ints]) -> Floats:
        """Latencies (ms) predicted for each fold by a fit without it."""
        predicted = np.zeros(len(latency_ms))
        rows = np.arange(len(latency_ms))
        if self.linear is not None:
            columns = self.linear.columns(load)
            for fold in folds:
                keep = np.setdiff1d(rows, fold)
                solution = self.linear.fit(columns[keep], latency_ms[keep])
                own = columns[fold] if self.linear.busy else columns[fold, : len(solution) // 2]
                predicted[fold] = own @ solution[: own.shape[1]]
            return np.maximum(predicted, 1e-9)
        # The fit to all rows is only where the search starts; its end depends on the prior.
        _, start = self._start(load, latency_ms)
        for fold in folds:
            keep = np.setdiff1d(rows, fold)
            found, _ = fit_one(load.subset(keep), latency_ms[keep], self._given(), start)
            predicted[fold] = load.subset(fold).latency_ms(found)
        return predicted

    def _given(self) -> Prior:
        if self.prior is None:
            raise ValueError(f"candidate {self.name} has neither a prior nor a linear fit")
        return self.prior

    def _start(self, load: Workload, latency_ms: Floats) -> tuple[Coefficients, Floats]:
        if self.linear is not None:
            solution = self.linear.fit(self.linear.columns(load), latency_ms)
            return self.linear.coefficients(solution), solution
        return fit_one(load, latency_ms, self._given())


@dataclass(frozen=True)
class Choice:
    """The candidate chosen, and how all did.

    predicted: held-out latencies of the chosen one, shape (networks,), ms. Where a candidate
               is chosen by the other folds (``nested``) they may come from several.
    errors:    mean absolute log error of each candidate, in the order tried.
    """

    candidate: Candidate
    predicted: Floats
    errors: Mapping[str, float]


def candidates(prior: Prior) -> list[Candidate]:
    """Settings to try, simplest first."""
    # What a kernel spills depends on no class, so linear fits know no cache.
    shape = replace(unpack(np.log(prior.median)), cache_mb=math.inf, spill_gb_s=math.inf)
    return [
        Candidate("prior", prior),
        Candidate("tight prior", prior.tightened(0.5)),
        # Before the linear ones: it errs less on networks unlike those measured.
        Candidate("prior, class overheads, cache", replace(prior.extended(1.5), noise=0.05)),
        Candidate("launches", linear=LinearFit(shape, 0.003, busy=False, alike=False)),
        Candidate("linear", linear=LinearFit(shape, 0.003)),
        Candidate("launches, convolutions alike", linear=LinearFit(shape, 0.01, busy=False)),
    ]


def folds_of(groups: Sequence[str], seed: int = 0, most: int = 10) -> list[Ints]:
    """Row numbers of each fold; a group (the same network twice) is never split."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[k]: position % most for position, k in enumerate(order)}
    number = np.array([fold_of[g] for g in groups])
    return [np.flatnonzero(number == k) for k in range(min(most, len(names)))]


def choose(
    load: Workload,
    latency_ms: Floats,
    tried: Sequence[Candidate],
    folds: Sequence[Ints],
    progress: Callable[[str], None] = lambda _: None,
) -> Choice:
    """The candidate with the least held-out error, and its honest predictions.

    The predictions of each fold are those of the candidate that is best on the other folds, so
    that choosing does not flatter the error.
    """
    predictions = []
    for candidate in tried:
        progress(f"cross-validating: {candidate.name}")
        predictions.append(candidate.left_out(load, latency_ms, folds))
    errors = np.minimum(np.abs(np.log(np.stack(predictions) / latency_ms)), _WORST)
    nested = np.zeros(len(latency_ms))
    for fold in folds:
        others = np.setdiff1d(np.arange(len(latency_ms)), fold)
        nested[fold] = predictions[_best(errors[:, others])][fold]
    best = _best(errors)
    means = {c.name: float(e) for c, e in zip(tried, errors.mean(axis=1), strict=True)}
    return Choice(tried[best], nested, means)


def _best(errors: Floats) -> int:
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
