"""The three designs of a front that most people want to see, and which rows are worth writing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize import distance_to_ideal, non_dominated
from flash.quantities import quantity
from flash.report import DesignReport, Picks
from flash.report.interval import Interval
from flash.spaces.stage_tables import Floats

__all__ = ["DIGITS", "MEANING", "choose_picks", "written_apart"]

#: Significant digits in which no row of a front that is written dominates another.
DIGITS = 6
#: What the picks are, for help and for the reader of a report.
MEANING = (
    "picks: fastest has the least latency; most accurate the highest accuracy (or score); balanced "
    "is nearest to the ideal point that has the best of each objective, on scales from 0 to 1 over "
    "the front, costs by their logarithm. Where such a design is outside what was measured, one "
    "inside whose interval reaches its value (for balanced: in every objective) is the pick instead"
)


def choose_picks(
    designs: Sequence[DesignReport],
    objectives: Sequence[str],
    values: Floats,
    signs: Sequence[float],
    utility: Floats,
) -> Picks:
    """The picks of a front, as ``MEANING`` says; of equal ones the first.

    objectives: names; values: theirs, shape (designs, objectives), and their signs.
    utility:    what the most accurate design has most of, shape (designs,).
    """
    calibrated = designs[0].accuracy is not None
    highest = [name for name in objectives if quantity(name).sense == "max"][:1]
    latency = np.array([design.latency_ms.value for design in designs])
    chosen = (
        _pick(designs, latency, ["latency_ms"]),
        _pick(designs, distance_to_ideal(values, signs), objectives),
        _pick(designs, -utility, ["accuracy"] if calibrated else highest),
    )
    return Picks(*(designs[row].id for row in chosen))


def _pick(designs: Sequence[DesignReport], cost: Floats, names: Sequence[str]) -> int:
    """The design of least cost, or one inside what was measured that may be as good."""
    best = int(np.argmin(cost))
    if not designs[best].extrapolated:
        return best
    inside = [
        row
        for row, design in enumerate(designs)
        if not design.extrapolated and all(_reaches(design, designs[best], name) for name in names)
    ]
    return min(inside, key=lambda row: (cost[row], row), default=best)


def _reaches(design: DesignReport, best: DesignReport, name: str) -> bool:
    """Whether the interval of a design's quantity reaches the value of another's."""
    ours, theirs = design.estimate(name), best.quantity(name)
    if ours is None or theirs is None:
        return False
    low, high = (ours.low, ours.high) if isinstance(ours, Interval) else (ours, ours)
    return high >= theirs if quantity(name).sense == "max" else low <= theirs


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
