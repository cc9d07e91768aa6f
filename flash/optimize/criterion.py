"""An objective or a limit seen from partial designs: what decides dominance, what is out of reach.

An objective ``W + max(A, a)``, W a sum so far and A a maximum so far, is compared at the
least and at the most value ``a`` that the remaining stages can have in this state: the
difference of two partial designs is monotone in ``a``, so its two ends decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize.objectives import Objective
from flash.spaces.stage_tables import Floats

__all__ = ["SLACK", "Criterion"]

#: Bounds are relaxed by this share of their size: the order of additions differs from evaluate's.
SLACK = 1e-12


@dataclass(frozen=True)
class Criterion:
    """An objective, or a limited quantity that is none, seen from partial designs."""

    of: Objective
    sums: tuple[int, ...]
    peak: int | None
    bound: float | None
    limit_only: bool

    @property
    def unlimited(self) -> Criterion:
        """The same where what tells designs apart may not depend on a limit."""
        return Criterion(self.of, self.sums, self.peak, None, False)

    def coordinates(self, columns: Floats, low: Floats, high: Floats) -> list[Floats]:
        """What decides dominance, small is good.

        low, high: what remains, a number a quantity, or one a quantity and partial design.
        """
        total = self._total(columns)
        if self.peak is None:
            ends = [self._signed(total)]
        else:
            peak = columns[self.peak]
            # If what else there is has no bound, only the sums tell two designs apart there.
            ends = [
                self._signed(
                    total
                    + np.where(rest[self.peak] < np.inf, np.maximum(peak, rest[self.peak]), 0.0)
                )
                for rest in (low, high)
            ]
            # A maximum alone is told by its lower end: the other one never tells more apart.
            if not self.sums or np.all(low[self.peak] == high[self.peak]):
                ends = ends[:1]
        if self.limit_only and self.bound is not None and (self.peak is None or self.of.sign > 0):
            # Below this, every completion meets the limit: how far below is of no interest.
            worst = sum((high if self.of.sign > 0 else low)[k] for k in self.sums)
            safe = self.of.sign * (self.bound - worst) - SLACK * (abs(self.bound) + np.abs(worst))
            ends = [np.maximum(end, safe) for end in ends]
        return ends

    def may_hold(self, columns: Floats, low: Floats, high: Floats) -> NDArray[np.bool_] | None:
        """Which partial designs have a completion within the limit; None if all have."""
        if self.bound is None:
            return None
        total = self.best(columns, low, high)
        slack = SLACK * (abs(self.bound) + np.abs(total))
        if self.of.sign > 0:
            return np.asarray(total <= self.bound + slack)
        return np.asarray(total >= self.bound - slack)

    def best(self, columns: Floats, low: Floats, high: Floats) -> Floats:
        """The best value that a completion can have, to rounding.

        low, high: what remains, a number a quantity, or one a quantity and partial design.
        """
        rest = low if self.of.sign > 0 else high
        total: Floats = self._total(columns) + sum(rest[k] for k in self.sums)
        if self.peak is not None:
            total = total + np.maximum(columns[self.peak], rest[self.peak])
        return total

    def _signed(self, values: Floats) -> Floats:
        return values if self.of.sign > 0 else -values

    def _total(self, columns: Floats) -> Floats:
        """The sums' part; a column itself where it is the only one."""
        if not self.sums:
            return np.zeros(columns.shape[1:])
        total: Floats = columns[self.sums[0]]
        for k in self.sums[1:]:
            total = total + columns[k]
        return total
