"""Why no design meets the limits: which one binds, and what would do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flash.errors import InfeasibleError
from flash.optimize import Limit, SeparableProblem, exact_front, nearest_to_limits
from flash.quantities import quantity
from flash.spaces.space import SearchSpace

__all__ = ["why_unmet"]

#: The limit on weights is the chip's own, not one that a user gave.
_NAMES = {"weight_mb": "weights held on the chip"}


def why_unmet(
    space: SearchSpace, problem: SeparableProblem, limits: Sequence[Limit], exact: bool = True
) -> str:
    """One line; empty if the problem has designs within the limits after all.

    exact: the problem's quantities are the costs, no lower bounds of them.

    Too little area: the smallest that would do under the other limits. Else the limit that
    binds and the design that comes nearest to all of them.
    """
    line = _too_small(space, problem, limits)
    if line:
        return line
    indices, values, excess = nearest_to_limits(problem, limits)
    if excess.max() <= 0:
        return ""
    worst = limits[int(np.argmax(excess))]
    has = ", ".join(
        f"{_label(limit.quantity.name)} {_amount(limit.quantity.name, float(value))}"
        for limit, value in zip(limits, values, strict=True)
    )
    by = "" if exact else " at the least"
    side = "at most" if worst.quantity.sense == "min" else "at least"
    name = worst.quantity.name
    return (
        f"no design of {space.name} meets the limits; {_label(name)} {side} "
        f"{_amount(name, worst.bound)} binds: the nearest design "
        f"({space.describe(indices)}) has {has}{by}"
    )


def _too_small(space: SearchSpace, problem: SeparableProblem, limits: Sequence[Limit]) -> str:
    area = [limit for limit in limits if limit.quantity.name == "area_mm2"]
    others = [limit for limit in limits if limit.quantity.name != "area_mm2"]
    if not area:
        return ""
    try:
        smallest = exact_front(problem, [area[0].quantity], others)
    except InfeasibleError:
        return ""
    least = float(smallest.values[0, 0])
    if least <= area[0].bound:
        return ""
    within = " within the other limits" if others else ""
    given, needed = _amount("area_mm2", area[0].bound), _amount("area_mm2", _up(least))
    return (
        f"no design of {space.name} fits in {given}{within}; the smallest area that would do is "
        f"{needed} ({space.describe(smallest.indices[0])})"
    )


def _up(value: float) -> float:
    """Rounded up to the digits shown, so that the number printed really does."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 2)
    return float(np.ceil(value / unit) * unit)


def _amount(name: str, value: float) -> str:
    return quantity(name).format(value)


def _label(name: str) -> str:
    return _NAMES.get(name) or quantity(name).label
