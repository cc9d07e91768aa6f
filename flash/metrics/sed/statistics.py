"""The covariances of one network, each computed once.

Stages begin anew from an image (``SED.md``, section 2), and branches that read one map start
alike: many layers repeat, at other widths, what another has computed. Equal results are the
same array here, so what is asked again is found by who its operands are.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from flash.metrics.sed.maps import (
    IMAGE,
    SIZE,
    Floats,
    Rectified,
    Route,
    correlation,
    rectified,
    resample,
    route_operator,
)

__all__ = ["Statistics", "stacked"]

_UNCHANGED: frozenset[Route] = frozenset([()])


class Statistics:
    """Operations on covariances of shape (SIZE,), each made once.

    Operands are ``IMAGE`` or results, which live as long as this object: so identities are good
    keys. Nobody may write into the arrays.
    """

    def __init__(self) -> None:
        self._unit: dict[int, Floats] = {id(IMAGE): IMAGE}
        self._rectified: dict[tuple[int, float], tuple[Floats, Rectified]] = {}
        self._other: dict[Hashable, Floats] = {}

    def unit(self, x: Floats) -> Floats:
        """``x`` scaled to unit variance."""
        y = self._unit.get(id(x))
        if y is None:
            y = self._unit[id(x)] = correlation(x)
        return y

    def rectified(self, x: Floats, mean: float) -> tuple[Floats, Rectified]:
        """After ReLU, where the numbers have this mean."""
        key = (id(x), mean)
        y = self._rectified.get(key)
        if y is None:
            y = self._rectified[key] = rectified(x, mean)
        return y

    def resampled(self, x: Floats, stride: int) -> Floats:
        """At every ``stride``-th position."""
        key = (id(x), stride, "stride")
        y = self._other.get(key)
        if y is None:
            y = self._other[key] = resample(x, stride)
        return y

    def routed(self, x: Floats, routes: frozenset[Route]) -> Floats:
        """After parallel linear routes."""
        if routes == _UNCHANGED:
            return x
        key = (id(x), routes)
        y = self._other.get(key)
        if y is None:
            y = self._other[key] = x @ route_operator(routes)
        return y

    def scaled(self, x: Floats, factor: float) -> Floats:
        """``x`` times a number."""
        if factor == 1.0:
            return x
        key = (id(x), factor, "times")
        y = self._other.get(key)
        if y is None:
            y = self._other[key] = factor * x
        return y

    def plus(self, x: Floats, y: Floats) -> Floats:
        """Of the sum of two independent maps."""
        key = (id(x), id(y))
        z = self._other.get(key)
        if z is None:
            z = self._other[key] = x + y
        return z

    def mean(self, shares: Sequence[float], xs: Sequence[Floats]) -> Floats:
        """Of maps laid side by side, with their shares of the channels."""
        key = (*shares, *map(id, xs))
        y = self._other.get(key)
        if y is None:
            y = self._other[key] = np.array(shares) @ stacked(xs)
        return y


def stacked(covariances: Sequence[Floats]) -> Floats:
    """Shape (len(covariances), SIZE); many times faster than ``np.stack`` for few numbers."""
    return np.concatenate(covariances).reshape(-1, SIZE)
