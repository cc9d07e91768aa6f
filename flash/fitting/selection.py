"""The ways to estimate the coefficients of one cost model, and the parts networks are left out in.

Candidates differ in how the coefficients are estimated: under a log-normal prior, with or without
an overhead for each kernel class, or by non-negative least squares. All give coefficients of the
same formula. How they are weighed against each other is in ``flash.fitting.averaging``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.fitting.fit import fit_left_out, fit_one
from flash.fitting.linear_fit import LinearFit
from flash.fitting.prior import Prior, unpack
from flash.fitting.workload import Workload
from flash.targets.processor.profile import Coefficients

__all__ = [
    "FOLDS",
    "Candidate",
    "candidates",
    "folds_of",
    "kinds_apart",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Up to so many networks are left out one by one, more in ten parts.
FOLDS = 25
_PARTS = 10
#: A kind of network is left out as a whole where it and the others have this many.
_FEWEST_OF_KIND = 4


@dataclass(frozen=True)
class Candidate:
    """One way to estimate the coefficients: under a prior, or linear."""

    name: str
    prior: Prior | None = None
    linear: LinearFit | None = None

    def fit(self, load: Workload, latency_ms: Floats) -> Coefficients:
        """Coefficients from all measurements."""
        if self.linear is not None:
            solution = self.linear.solution(self.linear.columns(load), latency_ms)
            return self.linear.coefficients(solution)
        return fit_one(load, latency_ms, self._given())[0]

    def left_out(self, load: Workload, latency_ms: Floats, folds: Sequence[Ints]) -> list[Floats]:
        """Latencies (ms) predicted for each fold's networks by a fit without it."""
        if self.linear is not None:
            return self.linear.left_out(self.linear.columns(load), latency_ms, folds)
        return fit_left_out(load, latency_ms, self._given(), folds)

    def _given(self) -> Prior:
        if self.prior is None:
            raise ValueError(f"candidate {self.name} has neither a prior nor a linear fit")
        return self.prior


#: Networks whose multiply-accumulates are so many times apart (ours): what explains them without a
#: cost of work would price whatever is wider as what was measured. NAS-Bench-201's live cells, of
#: which launches alone explain what GPUs take, are a factor of thirty apart.
_WORK_TELLS = 100.0


def candidates(prior: Prior, processor: bool = False, macs: Sequence[int] = ()) -> list[Candidate]:
    """Settings to weigh, those under a prior first.

    macs: multiply-accumulates of the networks; where they lie far apart, work has a cost.

    processor: it is known to be one, with a cache, and what it runs: one setting is enough. Of
    several, single kernels among the measured would choose one that does worse on networks of
    other kinds (MobileNets and the rest of the shipped x86 measurements, each from the other).
    """
    # What a kernel spills depends on no class, so linear fits know no cache.
    shape = replace(unpack(np.log(prior.median)), cache_mb=math.inf, spill_gb_s=math.inf)
    extended = replace(prior.extended(0.5, call=processor), noise=0.15)
    name = "prior, class overheads, cache"
    if processor:
        return [Candidate(name, extended)]
    under_priors = [
        Candidate("prior", prior.with_constant()),
        Candidate(name, extended.with_constant()),
    ]
    if prior.of_any:
        idle = replace(prior.extended(0.5, idle=True), noise=0.15)
        under_priors.append(Candidate(f"{name}, few positions", idle.with_constant()))
    linear = Candidate("linear", linear=LinearFit(shape, 0.003))
    if macs and max(macs) >= _WORK_TELLS * max(min(macs), 1):
        return [*under_priors, linear]
    return [
        *under_priors,
        Candidate("launches, convolutions alike", linear=LinearFit(shape, 0.003, busy=False)),
        Candidate("launches", linear=LinearFit(shape, 0.003, busy=False, alike=False)),
        linear,
    ]


def folds_of(groups: Sequence[str], seed: int = 0, most: int | None = None) -> list[Ints]:
    """Row numbers of each fold; a group (the same network twice) is never split.

    most: folds at most; not given, one a group up to ``FOLDS`` groups, and ten of more.
    """
    names = sorted(set(groups))
    if most is None:
        most = FOLDS if len(names) <= FOLDS else _PARTS
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[k]: position % most for position, k in enumerate(order)}
    number = np.array([fold_of[g] for g in groups])
    return [np.flatnonzero(number == k) for k in range(min(most, len(names)))]


def kinds_apart(kinds: Sequence[str]) -> dict[str, Ints]:
    """Row numbers of each kind of which, and besides which, there are enough to judge by."""
    labels = np.array(kinds)
    rows = {kind: np.flatnonzero(labels == kind) for kind in sorted(set(kinds))}
    return {k: r for k, r in rows.items() if min(len(r), len(labels) - len(r)) >= _FEWEST_OF_KIND}
