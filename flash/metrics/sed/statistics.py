"""The covariances of networks, each computed once.

Stages begin anew from an image (``SED.md``, section 2), and branches that read one map start
alike: many layers repeat, at other widths, what another has computed. Equal results are the
same array here, so what is asked again is found by who its operands are.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

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
    window_entropy,
)

__all__ = ["Statistics", "stacked"]

#: Results kept between networks, of 400 bytes each.
_MOST = 1 << 15
_UNCHANGED: frozenset[Route] = frozenset([()])


class Statistics:
    """Operations on covariances of shape (SIZE,), each made once.

    Operands are ``IMAGE`` or results, which live as long as this object: so identities are good
    keys. Nobody may write into the arrays.
    """

    _shared: ClassVar[Statistics | None] = None

    @classmethod
    def shared(cls) -> Statistics:
        """Those of the networks scored before, until there are many; then new ones."""
        if cls._shared is None or len(cls._shared._other) > _MOST:
            cls._shared = cls()
        return cls._shared

    def __init__(self) -> None:
        self._entropies: dict[Hashable, float] = {}
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

    def entropies(self, kernel: tuple[int, int], xs: Sequence[Floats]) -> list[float]:
        """Of a window of each of ``xs`` (of unit variance), nats a channel."""
        known = self._entropies
        new = {id(x): x for x in xs if (id(x), kernel) not in known}
        if new:
            found = window_entropy(stacked(list(new.values())), *kernel)
            for key, value in zip(new, found.tolist(), strict=True):
                known[key, kernel] = value
        return [known[id(x), kernel] for x in xs]

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
