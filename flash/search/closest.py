"""The one limit that keeps a front inside what was trained, where hardware is searched too.

Designs beyond the networks trained are left out of a front, and what only they dominate is missing
from it. A search of networks alone takes as many limits as its front would break, so nothing is.
With chips, a limit leaves more partial designs of every chip that no other one dominates, and a
second one many times as many. So a joint search takes one: that under which the designs inside
have the most hypervolume on the profile's default chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flash.errors import InfeasibleError
from flash.optimize import (
    Limit,
    Objective,
    SeparableProblem,
    exact_front,
    hypervolume_gap,
    meets,
    non_dominated,
)
from flash.search.objective import Goal, choose_criteria, choose_goal
from flash.search.problem import Problem
from flash.search.request import Request
from flash.spaces.stage_tables import Floats

__all__ = ["limited_to_trained"]


def limited_to_trained(
    problem: Problem, goal: Goal, request: Request
) -> tuple[Goal, tuple[Limit, ...]]:
    """The goal of a joint search with what its limit bounds, and the limit.

    The goal as it is, and no limit, where none adds a design to those inside.
    """
    if goal.model is None or not goal.inside:
        return goal, ()
    chip = problem.on_default_chip()
    least, bits = request.min_accuracy_percent, problem.bits[0]
    close = choose_goal(chip, request.metric, least, bits, closely=True)
    every = (*close.size_limits(), *close.width_limits(), *close.cell_limits())
    if close.metric != goal.metric or not every:
        return goal, ()
    cells = tuple(close.cells)
    tables = chip.tables(close.metric, close.index, close.sums, (), cells, peaks=request.memory)
    tables = close.with_width(tables)
    objectives = choose_criteria(chip, close, tables, request).objectives
    limit = _closest(tables, objectives, every)
    if limit is None:
        return goal, ()
    own = close.only(limit.quantity.name)
    words = f"searched are networks with no more {limit.quantity.name} than those trained"
    notes = (*goal.notes, f"{words}; of what else lies beyond them designs are left out")
    return replace(goal, sizes=own.sizes, cells=own.cells, width=own.width, notes=notes), (limit,)


def _closest(
    tables: SeparableProblem, objectives: Sequence[Objective], every: Sequence[Limit]
) -> Limit | None:
    """The limit under which designs of the front that hold all cover most; None if none adds any.

    Of upper limits only: what a front has outside is too large in something.
    """

    def inside(limits: Sequence[Limit]) -> Floats:
        try:
            found = exact_front(tables, objectives, limits)
        except InfeasibleError:
            return np.zeros((0, len(objectives)))
        return found.values[meets(tables, found.indices, every)]

    upper = [limit for limit in every if limit.quantity.sense == "min"]
    fronts = [inside(()), *(inside((limit,)) for limit in upper)]
    signs = [of.sign for of in objectives]
    both = np.concatenate(fronts)
    both = both[non_dominated(both, signs)]
    gaps = [hypervolume_gap(own, both, signs) if len(own) else np.inf for own in fronts]
    best = int(np.argmin(gaps))
    return None if best == 0 or not len(fronts[best]) else upper[best - 1]
