"""A predicted value with its interval."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

__all__ = ["COVERAGE", "Interval", "far_factor", "finite", "json_flag", "json_text"]

#: Share of values that an interval is made to hold.
COVERAGE = 0.9


@dataclass(frozen=True)
class Interval:
    """A predicted value, the interval it is expected in, and how that interval came about.

    how:          e.g. ``"90 % jackknife+"``, or ``"exact"`` where low = value = high.
    extrapolated: nothing like it was measured or trained, so the interval was widened.

    Raises ``ValueError`` for numbers that are not finite and a value outside low to high.
    """

    value: float
    low: float
    high: float
    how: str
    extrapolated: bool = False

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
        object.__setattr__(self, "extrapolated", bool(self.extrapolated))
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"the interval {self.low} to {self.high} misses its value {self.value}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON document."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "how": self.how,
            "extrapolated": self.extrapolated,
        }

    def to_json(self) -> str:
        """``to_dict`` as JSON, several times as fast as by the encoder."""
        return (
            f'{{"value": {self.value!r}, "low": {self.low!r}, "high": {self.high!r}, '
            f'"how": {json_text(self.how)}, "extrapolated": {json_flag(self.extrapolated)}}}'
        )


@lru_cache(maxsize=1024)
def json_text(text: str) -> str:
    """A text as JSON; the few that fronts repeat are encoded once."""
    return json.dumps(text, ensure_ascii=False)


def json_flag(value: bool) -> str:
    """A truth value as JSON."""
    return "true" if value else "false"


def finite(name: str, value: Any) -> float:
    """The value as a plain float; raises ``ValueError`` unless it is finite."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}")
    return number


def far_factor(confidence: float) -> float:
    """How much wider than the 90 % interval that of another confidence (0 to 1) is: errors normal.

    Of logarithms for costs, whose errors are factors.

    >>> far_factor(0.9), round(far_factor(0.5), 3)
    (1.0, 0.41)
    """
    normal = NormalDist()
    return normal.inv_cdf((1 + confidence) / 2) / normal.inv_cdf((1 + COVERAGE) / 2)
