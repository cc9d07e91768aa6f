"""Why no network of a space meets the limits: the facts, put into words by ``flash.optimize``."""

from __future__ import annotations

from collections.abc import Sequence

from flash.errors import InfeasibleError
from flash.optimize import Limit, SeparableProblem, exact_front, nearest_to_limits
from flash.optimize.infeasibility import least_area, nearest
from flash.spaces.space import SearchSpace

__all__ = ["why_unmet"]


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
    design = space.describe(indices)
    return nearest(space.name, limits, design, values, excess, exact=exact)


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
    given = any(not limit.implied for limit in others)
    return least_area(space.name, area[0], least, design, others=given)
