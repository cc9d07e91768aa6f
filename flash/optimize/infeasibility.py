"""Every sentence about limits that no design meets: which limit binds, and what would do.

Optimizers and searches find out the facts; the words are made here, so that a user reads one
language whichever of them gives up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.objectives import Limit
from flash.quantities import quantity

__all__ = [
    "accuracy_unreached",
    "all_at_once",
    "best_of_any_chip",
    "best_of_space",
    "front_unreached",
    "least_area",
    "nearest",
    "nearest_priced",
    "none_drawn",
    "none_found",
    "none_known",
    "none_meets",
    "none_on_any_chip",
]

Floats = NDArray[np.float64]

#: The limit on weights is the chip's own, not one that a user gave.
_LABELS = {"weight_kb": "weights held on the chip"}


# ---------------------------------------------------------------------------- of optimizers
def best_of_space(limit: Limit, best: float) -> str:
    """No design meets one limit alone: the best there is."""
    return f"no design has {limit}: the best of the space is {best:.6g}; relax this limit"


def none_found(limits: Sequence[Limit], optimizer: str = "") -> str:
    """No design meets all limits; an optimizer by name found none, which is no proof."""
    names = ", ".join(map(str, _given(limits)))
    if optimizer:
        return f"{optimizer} found no design within {names}; relax a limit"
    return f"no design meets all limits at once ({names}); relax one of them"


# ------------------------------------------------------------------------------ of searches
def all_at_once(limits: Sequence[Limit]) -> str:
    """Each limit can be met alone, on some chip."""
    names = ", ".join(_label(limit) for limit in _given(limits))
    return f"no chip has a design within all limits at once ({names}); relax one of them"


def best_of_any_chip(space: str, limit: Limit, best: float, design: str) -> str:
    """``limit`` cannot be met on any chip: the best there is, and by which design."""
    return (
        f"{_unmet(space)}; {_label(limit)} {_amount(limit, limit.bound)} binds: the best of any "
        f"chip is {_amount(limit, best)} ({design})"
    )


def accuracy_unreached(
    space: str, least: float, best: float, design: str, others: Sequence[Limit] = ()
) -> str:
    """No design of the space has ``least`` per cent predicted accuracy; ``best`` is reached.

    others: further limits, under which the best was looked for; those that nobody gave are named.
    """
    stays = next((f" that {limit.implied}" for limit in others if limit.implied), "")
    within = " within the other limits" if _given(others) else ""
    return (
        f"no design of {space}{stays} is predicted to reach {least:g} %{within}; the best "
        f"reachable is {_rounded_down(best):.2f} % ({design})"
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
        if not limit.implied
    )
    return f"found no design within the limits; the nearest found has {has}; relax one of them"


def none_drawn(space: str, draws: int) -> str:
    """None of so many random designs is within the limits."""
    return f"none of {draws:,} random designs of {space} meets the limits; relax one"


def none_meets(space: str) -> str:
    """No design of a space that was gone through whole is within the limits."""
    return _unmet(space)


def none_known() -> str:
    """No design whose accuracy is known is within the limits."""
    return "no design with a known accuracy meets the limits"


def none_on_any_chip(*, proven: bool) -> str:
    """No chip has a design within the limits; without a proof, none was found in time."""
    return f"{'no design is' if proven else 'found no design'} within the limits on any chip"


def nearest(
    space: str, limits: Sequence[Limit], design: str, values: Floats, excess: Floats, *, exact: bool
) -> str:
    """The limit that binds, and the design that comes nearest to all of them.

    values: the design's values of the limited quantities; lower bounds unless ``exact``.
    excess: how far it is beyond each limit, above 0 where it is. A limit that nobody gave is named
        wherever it stands in the way, beside the one that binds.
    """
    has = ", ".join(
        f"{_label(limit)} {_amount(limit, value)}"
        for limit, value in zip(limits, values.tolist(), strict=True)
        if not limit.implied
    )
    kept = [limit.implied for limit, beyond in zip(limits, excess, strict=True) if beyond > 0]
    stays = next((f" and {words}" for words in kept if words), "")
    worst = limits[int(np.argmax(excess))]
    side = "at most" if worst.quantity.sense == "min" else "at least"
    binds = f"; {_label(worst)} {side} {_amount(worst, worst.bound)} binds"
    return (
        f"{_unmet(space)}{stays}{'' if worst.implied else binds}: the nearest "
        f"design ({design}) has {has}{'' if exact else ' at the least'}"
    )


def _given(limits: Sequence[Limit]) -> list[Limit]:
    """Those that somebody gave."""
    return [limit for limit in limits if not limit.implied]


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
