"""Prediction intervals from held-out errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc

__all__ = ["conformal_factors", "rank_of"]

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
