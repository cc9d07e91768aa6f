"""Good designs found in hundredths of a second, by which the exact optimizer rules out others.

Random designs within the limits, of which the best climb: neighbours are tried until the front
stands still. Nothing is proven of them, and nothing needs to be: whatever cannot become better than
a design that exists is on no front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.lookup import Lookup
from flash.optimize.objectives import Limit, Objective, meets, values_of
from flash.optimize.outlook import Incumbents
from flash.optimize.polish import spread, steps
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["incumbents", "scout"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Random designs.
_DRAWN = 1024
#: Rounds of climbing, at most.
_SWEEPS = 20


def scout(
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    start: Ints | None = None,
) -> Ints:
    """Designs within the limits, near the front, the same each time; shape (k, variables).

    objectives: one or two.
    start:      further designs to climb from, shape (k, variables), say of fewer limits.
    """
    needed = tuple(dict.fromkeys((*objectives, *(limit.quantity for limit in limits))))
    look_up = Lookup(problem, needed)
    held = [(needed.index(limit.quantity), limit) for limit in limits]

    def score(designs: Ints) -> tuple[Floats, Flags]:
        values = look_up(designs)
        allowed = np.ones(len(designs), dtype=np.bool_)
        for column, limit in held:
            allowed &= limit.met(values[:, column])
        return values[:, : len(objectives)], allowed

    tops = np.array(problem.sizes) - 1
    rng = np.random.default_rng(0)
    # Half of them from all, half from small designs, which limits on costs let through.
    reach = np.where(np.arange(_DRAWN) % 2, 1.0, rng.random(_DRAWN))[:, None] * (tops + 1)
    drawn = (rng.random((_DRAWN, len(tops))) * reach).astype(np.int64)
    drawn = drawn if start is None else np.concatenate([drawn, start])
    values, allowed = score(drawn)
    around = steps(len(tops))[np.tile(tops > 0, 2)]  # no step leads to another of one value
    around = np.concatenate([around, 2 * around])
    signs = [of.sign for of in objectives]
    front, _ = spread(drawn, values, score, allowed, signs, around, tops, _SWEEPS)
    return front[meets(problem, front, limits)]


def incumbents(
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    designs: Ints,
) -> Incumbents | None:
    """Those of the designs that are within the limits, by the numbers that count; None if none is.

    objectives: one or two.
    """
    designs = designs[meets(problem, designs, limits)]
    if not len(designs):
        return None
    return Incumbents(values_of(problem, designs, objectives) * [of.sign for of in objectives])
