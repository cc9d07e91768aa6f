"""Why no design meets the limits, in one line: which limit binds, and what would do.

Every sentence a search says about limits that cannot be met is made here, from the facts that
``why_unmet`` and the searches of networks with chips find out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flash.errors import InfeasibleError
from flash.optimize import Limit, SeparableProblem, exact_front, nearest_to_limits
from flash.quantities import quantity
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = [
    "accuracy_unreached",
    "all_at_once",
    "best_of_any_chip",
    "front_unreached",
    "least_area",
    "nearest_priced",
    "none_drawn",
    "none_known",
    "none_on_any_chip",
    "why_unmet",
]

#: The limit on weights is the chip's own, not one that a user gave.
_LABELS = {"weight_mb": "weights held on the chip"}


# ------------------------------------------------------------------------------- the sentences
def all_at_once(limits: Sequence[Limit]) -> str:
    """Each limit can be met alone, on some chip."""
    names = ", ".join(_label(limit) for limit in limits)
    return f"no chip has a design within all limits at once ({names}); relax one of them"


def best_of_any_chip(space: str, limit: Limit, best: float, design: str) -> str:
    """``limit`` cannot be met on any chip: the best there is, and by which design."""
    return (
        f"{_unmet(space)}; {_label(limit)} {_amount(limit, limit.bound)} binds: the best of any "
        f"chip is {_amount(limit, best)} ({design})"
    )


def accuracy_unreached(
    space: str, least: float, best: float, design: str, *, others: bool = False
) -> str:
    """No design of the space has ``least`` per cent predicted accuracy; ``best`` is reached.

    others: there are further limits, under which the best was looked for.
    """
    within = " within the other limits" if others else ""
    return (
        f"no design of {space} is predicted to reach {least:g} %{within}; the best reachable is "
        f"{_rounded_down(best):.2f} % ({design})"
    )


def front_unreached(metric: str, least: float, best: float) -> str:
    """No design of a front by another metric has ``least`` per cent predicted accuracy."""
    return (
        f"no design on the front of {metric} is predicted to reach {least:g} %; the best of them "
        f"reaches {_rounded_down(best):.2f} %"
    )


def least_area(space: str, limit: Limit, least: float, design: str, *, others: bool) -> str:
    """The smallest area that would do.

    others: there are further limits, under which it was looked for.
    """
    within = " within the other limits" if others else ""
    return (
        f"no design of {space} fits in {_amount(limit, limit.bound)}{within}; the smallest area "
        f"that would do is {_amount(limit, _rounded_up(least))} ({design})"
    )


def nearest_priced(limits: Sequence[Limit], values: Floats) -> str:
    """Of designs priced for real none is within the limits; values: (designs, limits)."""
    excess = [
        values[:, k] / limit.bound
        if limit.quantity.sign > 0
        else limit.bound / np.maximum(values[:, k], 1e-300)
        for k, limit in enumerate(limits)
    ]
    nearest = int(np.argmin(np.max(excess, axis=0)))
    has = ", ".join(
        f"{_label(limit)} {_amount(limit, values[nearest, k])} (limit "
        f"{_amount(limit, limit.bound)})"
        for k, limit in enumerate(limits)
    )
    return f"found no design within the limits; the nearest found has {has}; relax one of them"


def none_drawn(space: str, draws: int) -> str:
    """None of so many random designs is within the limits."""
    return f"none of {draws:,} random designs of {space} meets the limits; relax one"


def none_known() -> str:
    """No design whose accuracy is known is within the limits."""
    return "no design with a known accuracy meets the limits"


def none_on_any_chip(*, proven: bool) -> str:
    """No chip has a design within the limits; without a proof, none was found in time."""
    return f"{'no design is' if proven else 'found no design'} within the limits on any chip"


def _nearest(
    space: SearchSpace, limits: Sequence[Limit], design: str, values: Floats, binding: int,
    exact: bool,
) -> str:  # fmt: skip
    has = ", ".join(
        f"{_label(limit)} {_amount(limit, value)}"
        for limit, value in zip(limits, values.tolist(), strict=True)
    )
    worst = limits[binding]
    side = "at most" if worst.quantity.sense == "min" else "at least"
    return (
        f"{_unmet(space.name)}; {_label(worst)} {side} {_amount(worst, worst.bound)} binds: the "
        f"nearest design ({design}) has {has}{'' if exact else ' at the least'}"
    )


def _unmet(space: str) -> str:
    return f"no design of {space} meets the limits"


def _label(limit: Limit) -> str:
    name = limit.quantity.name
    return _LABELS.get(name) or quantity(name).label


def _amount(limit: Limit, value: float) -> str:
    of = quantity(limit.quantity.name)
    # Areas of chips in the unit of --max-area, however small.
    return f"{of.number(value)} {of.unit}" if of.name == "area_mm2" else of.format(float(value))


def _rounded_down(percent: float) -> float:
    """So that the accuracy printed really is reached."""
    return float(np.floor(100 * percent) / 100)


def _rounded_up(value: float) -> float:
    """To the digits shown, so that the number printed really does."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 2)
    return float(np.ceil(value / unit) * unit)


# -------------------------------------------------------------------------------- the facts
def why_unmet(
    space: SearchSpace, tables: SeparableProblem, limits: Sequence[Limit], exact: bool = True
) -> str:
    """Why no network of the space meets the limits; empty if the tables hold some that do.

    exact: the tables' quantities are the costs, no lower bounds of them.

    Too little area: the smallest that would do under the other limits. Else the limit that
    binds and the design that comes nearest to all of them.
    """
    line = _too_small(space, tables, limits)
    if line:
        return line
    indices, values, excess = nearest_to_limits(tables, limits)
    if excess.max() <= 0:
        return ""
    binding = int(np.argmax(excess))
    return _nearest(space, limits, space.describe(indices), values, binding, exact)


def _too_small(space: SearchSpace, tables: SeparableProblem, limits: Sequence[Limit]) -> str:
    area = [limit for limit in limits if limit.quantity.name == "area_mm2"]
    others = [limit for limit in limits if limit.quantity.name != "area_mm2"]
    if not area:
        return ""
    try:
        smallest = exact_front(tables, [area[0].quantity], others)
    except InfeasibleError:
        return ""
    least = float(smallest.values[0, 0])
    if least <= area[0].bound:
        return ""
    design = space.describe(smallest.indices[0])
    return least_area(space.name, area[0], least, design, others=bool(others))
