"""Which candidates to measure, and in what order: the next one always says the most.

What a measurement says is judged under the model that will be fitted: log latency = what the
cost model gives for its coefficients + what the model cannot express. The coefficients are
uncertain as the data-sheet prior says (their effect is the Jacobian at the prior's median);
the rest is a smooth function of the network's shape (a Gaussian process). Which operations a
runtime runs of those that nobody reads, or that work on zeros, is uncertain as well: their effect
is what each reading of the network (``READINGS``) would add. The candidate of
the largest variance given all chosen before raises the determinant of their information
most: greedy D-optimal design, as a pivoted Cholesky factorisation (Fedorov 1972; Sacks et al.,
Statistical Science 1989, for the random-function part).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.fitting.prior import PARAMETERS, Prior, data_sheet_prior, unpack
from flash.fitting.workload import Workload, workload
from flash.profile.suites.pool import KINDS, Candidate
from flash.targets.processor.kernel_classes import KERNEL_CLASSES

__all__ = ["READINGS", "choose", "expected_ms"]

Floats = NDArray[np.float64]

#: A middling CPU core, 20 GMAC/s and 8 GB/s: only ratios matter to the choice.
_PRIOR: Final = data_sheet_prior(20.0, 8.0)
#: What the cost model misses: standard deviation of log latency, and over what distance of
#: standardised features two networks have it in common (ours).
_MISSED: Final = 0.25
_DISTANCE: Final = 1.5
#: Fewer multiply-accumulates than these take no time of their own.
_FEWEST_MACS: Final = 1e5
#: What a runtime may run of a network beside its live part, and the deviation of how far it does
#: (ours): cells whose operations nobody reads, zeros and identities among them tell these apart.
READINGS: Final = ("all", "used", "kept", "fed")
_READ: Final = 0.5
#: What a runtime that lays out activations in blocks merges, and its lanes: its kernels are others.
_BLOCKED: Final = ("blocks", 16)
#: Relative error of a measurement.
_NOISE: Final = 0.05


def choose(pool: Sequence[Candidate], count: int) -> list[Candidate]:
    """``count`` candidates, the most informative first, kinds mixed as ``KINDS`` says.

    Any first part of the list is itself such a choice, so a time limit may cut the rest.
    """
    networks = [c.live for c in pool]
    work = workload(networks, "all")
    read = _readings(pool, work)
    # Nobody knows yet which of these the runtime's structure is.
    structures = [work, workload(networks, "all", 4, *_BLOCKED)]
    covariance = np.mean([_covariance(x, _PRIOR) for x in structures], axis=0)
    covariance = covariance + _READ**2 * read @ read.T
    left = np.ones(len(pool), dtype=np.bool_)
    kinds = np.array([c.kind for c in pool])
    taken = dict.fromkeys(KINDS, 0)
    variance = np.diag(covariance).copy()
    factors = np.zeros((len(pool), 0))
    order: list[int] = []
    while len(order) < min(count, len(pool)):
        due = [k for k in KINDS if taken[k] < math.ceil(KINDS[k] * (len(order) + 1))]
        open_to = left & np.isin(kinds, due)
        if not open_to.any():
            open_to = left
        best = int(np.argmax(np.where(open_to, variance, -np.inf)))
        row = covariance[:, best] - factors @ factors[best]
        column = row / math.sqrt(variance[best] + _NOISE**2)
        factors = np.concatenate([factors, column[:, None]], axis=1)
        variance = np.maximum(variance - column**2, 0.0)
        left[best] = False
        taken[str(kinds[best])] += 1
        order.append(best)
    return [pool[i] for i in order]


def expected_ms(pool: Sequence[Candidate]) -> Floats:
    """Latencies at the prior's median, shape (candidates,): good for ratios only."""
    return workload([c.live for c in pool], "all").latency_ms(_median(_PRIOR))


def _readings(pool: Sequence[Candidate], live: Workload) -> Floats:
    """Log latency that each reading of a network has over its live part, (candidates, readings)."""
    base = live.latency_ms(_median(_PRIOR))
    unlike = [k for k, c in enumerate(pool) if len(c.network.layers) > len(c.live.layers)]
    found = np.zeros((len(pool), len(READINGS)))
    for column, reading in enumerate(READINGS):
        networks = [pool[k].network for k in unlike]
        if networks:
            times = workload(networks, reading).latency_ms(_median(_PRIOR))
            found[unlike, column] = np.log(times / base[unlike])
    return found


def _median(prior: Prior) -> Any:
    return unpack(np.log(prior.median))


def _covariance(work: Workload, prior: Prior) -> Floats:
    """Prior covariance of the candidates' log latencies, (candidates, candidates)."""
    jacobian = _jacobian(work, prior) * prior.deviation
    features = _features(work)
    gap = ((features[:, None, :] - features[None, :, :]) ** 2).sum(axis=2)
    result: Floats = jacobian @ jacobian.T + _MISSED**2 * np.exp(-gap / (2 * _DISTANCE**2))
    return result


def _jacobian(work: Workload, prior: Prior) -> Floats:
    """d log latency / d log coefficient at the prior's median, (candidates, parameters)."""
    step = 0.2  # wide enough to feel the other side of a roofline's corner
    columns = []
    for number in range(len(PARAMETERS)):
        shift = np.zeros(len(PARAMETERS))
        shift[number] = step
        up, down = (
            np.log(work.latency_ms(_median(replace(prior, median=prior.median * np.exp(s)))))
            for s in (shift, -shift)
        )
        columns.append((up - down) / (2 * step))
    return np.stack(columns, axis=1)


def _features(work: Workload) -> Floats:
    """Standardised shape of each candidate, (candidates, features).

    Work, traffic and kernels (logarithms); shares of the work by kernel class; and channels,
    positions and lanes left empty of its kernels, averaged by their expected time.
    """
    kernels, counts = work.kernels, work.counts
    area = np.asarray(kernels.positions)
    macs = np.asarray(kernels.weights) * area
    moved = np.asarray(kernels.elements) + np.asarray(kernels.weights)
    kind = np.asarray(kernels.kind)
    weight = macs + 20.0 * moved
    total = counts @ weight
    shares = [counts @ (weight * (kind == k)) / total for k in range(len(KERNEL_CLASSES))]
    means = [
        counts @ (weight * np.log(np.maximum(np.asarray(x, dtype=np.float64), 1.0))) / total
        for x in (kernels.reduction, kernels.outputs, area)
    ]
    off_lane = counts @ (weight * (np.asarray(kernels.outputs) % 16 != 0)) / total
    columns = [
        np.log(np.maximum(counts @ macs, _FEWEST_MACS)),
        np.log(counts @ moved),
        np.log(counts.sum(axis=1)),
    ]
    table = np.stack([*columns, *shares, *means, off_lane], axis=1)
    spread = table.std(axis=0)
    result: Floats = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return result / math.sqrt(table.shape[1] / 3)
