"""Prediction intervals from held-out errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, stdtrit

__all__ = ["conformal_factors", "new_kind_factors", "rank_of"]

Floats = NDArray[np.float64]

#: A single fit's interval covers less than this much below what was asked for ...
_SHORT = 0.05
#: ... in so small a part of all fits.
_MISSED = 0.05
#: Below so many errors single tails cannot be told, so the interval is symmetric (in logarithms).
_FEW = 40


def rank_of(coverage: float, count: int) -> float:
    """Which order statistic of ``count`` absolute errors the interval ends at; between 0 and count.

    The k-th of n covers k / (n + 1) of new errors on average, but a single fit's coverage is
    distributed as Beta(k, n + 1 - k): of intervals that cover 90 % on average, made from 25 errors
    each, one in six covers less than 85 %. So k is the least for which the average is as asked for
    and at most one fit in twenty falls short by 5 % points or more (a tolerance interval, Wilks
    1941). With 25 errors that is 24.5, which covers 94 % on average; above 170 it makes no
    difference; below 19 no error is large enough, and the largest is taken.
    """

    def too_low(rank: float) -> float:
        return float(betainc(rank, count + 1 - rank, coverage - _SHORT)) - _MISSED

    average = coverage * (count + 1)
    if average >= count or too_low(count) > 0:
        return float(count)
    if too_low(average) <= 0:
        return average
    return float(brentq(too_low, average, count))


def conformal_factors(
    log_residuals: Floats, coverage: float = 0.9, *, sure: bool = True
) -> tuple[float, float]:
    """Factors (low, high) that a measurement over its held-out prediction lies between.

    log_residuals: log(measured / predicted) of networks left out of their fit (jackknife). Ends lie
    between order statistics where ``rank_of`` does. sure: whether few single fits may fall short
    (``rank_of``); else the interval covers as asked for on average, at rank (n + 1) coverage.
    """
    r = np.sort(np.asarray(log_residuals, dtype=np.float64))
    n = len(r)
    rank = rank_of(coverage, n) if sure else min(coverage * (n + 1), float(n))
    ranks = np.arange(1, n + 1)
    if n < _FEW:
        half = float(np.interp(rank, ranks, np.sort(np.abs(r))))
        return float(np.exp(-half)), float(np.exp(half))
    tail = (n + 1 - rank) / 2
    low, high = np.interp([tail, n + 1 - tail], ranks, r)
    return float(np.exp(min(low, 0.0))), float(np.exp(max(high, 0.0)))


def new_kind_factors(
    kinds: Sequence[ArrayLike], coverage: float = 0.9, *, holds_one: bool = True
) -> tuple[float, float]:
    """Factors (low, high) that a measurement over its model lies between, on a kind not seen.

    kinds: log(measured / modelled) of every kind known (a chip, a board), one array a kind.
    holds_one: stretch the interval to the model's own value where it lies outside.

    Kinds are drawn at random, and measurements from each: y = m + b_kind + e. So kinds count, not
    measurements: the interval is the mean of the kinds' means and Student's t with one degree of
    freedom less than kinds times the deviation of one measurement on a new kind, the mean's own
    error included. With three kinds t is 2.9, with eight 1.9. The deviation between kinds comes
    from their means, which already holds 1/n of that inside a kind; the rest is added.
    Raises ``ValueError`` for less than three kinds: two say nothing of a third.

    >>> [round(x, 2) for x in new_kind_factors([[-0.5, -0.3], [0.1], [0.0, 0.4]])]
    [0.31, 3.05]
    """
    logs = [np.asarray(kind, dtype=np.float64) for kind in kinds]
    count, measured = len(logs), sum(len(kind) for kind in logs)
    if count < 3:
        raise ValueError(f"an interval for a new kind needs at least 3 kinds, got {count}")
    means = np.array([kind.mean() for kind in logs])
    within = 0.0
    if measured > count:
        squares = sum(float(np.sum((kind - kind.mean()) ** 2)) for kind in logs)
        within = squares / (measured - count)
    not_in_means = 1 - float(np.mean([1 / len(kind) for kind in logs]))
    variance = float(means.var(ddof=1)) * (1 + 1 / count) + within * not_in_means
    half = float(stdtrit(count - 1, (1 + coverage) / 2)) * variance**0.5
    low, high = float(means.mean()) - half, float(means.mean()) + half
    if holds_one:
        low, high = min(low, 0.0), max(high, 0.0)
    return float(np.exp(low)), float(np.exp(high))
