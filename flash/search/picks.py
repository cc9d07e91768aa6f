"""The three designs of a front that most people want to see, and which rows are worth writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize import distance_to_ideal, non_dominated
from flash.spaces.stage_tables import Floats

__all__ = ["DIGITS", "Choice", "written_apart"]

#: Significant digits in which no row of a front that is written dominates another.
DIGITS = 6


@dataclass(frozen=True)
class Choice:
    """Designs of a front to pick from; arrays have shape (designs,).

    values:  the objectives as reports show them, shape (designs, objectives), by the quantities'
             ``names`` and ``signs``.
    ends:    quantity -> value, low and high where it has an interval.
    outside: which designs are outside what was measured.
    utility: what the most accurate design has most of.
    """

    names: Sequence[str]
    signs: Sequence[float]
    values: Floats
    ends: Mapping[str, tuple[Floats, Floats, Floats]]
    outside: NDArray[np.bool_]
    utility: Floats

    def best(self) -> tuple[int, int, int]:
        """Rows of the fastest, the balanced and the most accurate, as ``PICKS`` of a request says.

        Of equal ones the first.
        """
        highest = [name for name, sign in zip(self.names, self.signs, strict=True) if sign < 0][:1]
        return (
            self._pick(self.ends["latency_ms"][0], ["latency_ms"]),
            self._pick(distance_to_ideal(self.values, self.signs), self.names),
            self._pick(-self.utility, ["accuracy"] if "accuracy" in self.ends else highest),
        )

    def _pick(self, cost: Floats, names: Sequence[str]) -> int:
        """The design of least cost, or one inside what was measured that may be as good."""
        best = int(np.argmin(cost))
        if not self.outside[best]:
            return best
        inside = ~self.outside
        for name in names:
            inside &= self._reaching(name, best)
        return int(np.argmin(np.where(inside, cost, np.inf))) if inside.any() else best

    def _reaching(self, name: str, best: int) -> NDArray[np.bool_]:
        """Which designs have an interval of a quantity that reaches the value of another design."""
        if name in self.ends:
            value, low, high = self.ends[name]
        else:
            value = low = high = self.values[:, list(self.names).index(name)]
        most = name == "accuracy" or dict(zip(self.names, self.signs, strict=True)).get(name, 1) < 0
        reached: NDArray[np.bool_] = high >= value[best] if most else low <= value[best]
        return reached


def written_apart(values: Floats, signs: Sequence[float]) -> NDArray[np.bool_]:
    """Mask, shape (designs,): no other design dominates this one in ``DIGITS`` digits.

    values: objectives, shape (designs, objectives). Designs that are equal in these digits stay.
    """
    size = np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values))))
    scale = 10.0 ** (DIGITS - 1 - size)
    rounded = np.round(values * scale) / scale
    rows, place = np.unique(rounded, axis=0, return_inverse=True)
    kept: NDArray[np.bool_] = non_dominated(rows, signs)[place.ravel()]
    return kept
