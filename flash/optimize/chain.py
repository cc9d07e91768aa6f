"""The stages of a separable problem as a chain, and bounds on what remains of a design.

After some stages a partial design matters to the rest only through the *state*: the values
of the variables that later stages still read. In cell-type families that is one width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.stage_tables import Floats, SeparableProblem, StageTable

__all__ = ["Options", "Remaining", "Step", "aligned", "chain", "options_of", "remaining"]

#: More states than this and the chain is no chain in practice.
_MOST_STATES = 20_000


@dataclass(frozen=True)
class Step:
    """One stage of the chain.

    before, after: the state's variables when the stage begins and ends.
    kept, dropped: the stage's own variables that the later stages need, and do not need.
    """

    table: StageTable
    before: tuple[int, ...]
    after: tuple[int, ...]
    kept: tuple[int, ...]
    dropped: tuple[int, ...]


@dataclass(frozen=True)
class Options:
    """One stage's options.

    columns:    (quantities, states, kept, dropped) what each adds.
    next_state: (states, kept) the state each leads to.
    """

    columns: Floats
    next_state: NDArray[np.int64]


@dataclass(frozen=True)
class Remaining:
    """Least and most that the stages still to come add, per state (axes: its variables).

    For a quantity that combines by maximum, the least and most of their maximum.
    """

    low: Floats
    high: Floats


def chain(problem: SeparableProblem) -> tuple[Step, ...]:
    """The stages with the state between them.

    Raises ``UsageError`` if a variable is owned by no stage or twice, or read before it is
    owned, or if the state has more than 20,000 values: such a problem does not separate.
    """
    owned = [k for stage in problem.stages for k in stage.owns]
    if sorted(owned) != list(range(len(problem.sizes))):
        raise UsageError("the exact optimizer needs every variable owned by exactly one stage")
    steps: list[Step] = []
    state: tuple[int, ...] = ()
    for number, stage in enumerate(problem.stages):
        late = [k for k in stage.reads if k not in state]
        if late:
            raise UsageError(f"stage {stage.name} reads variable {late[0]} before it is decided")
        needed = {k for later in problem.stages[number + 1 :] for k in later.reads}
        kept = tuple(k for k in stage.owns if k in needed)
        after = tuple(k for k in state if k in needed) + kept
        dropped = tuple(k for k in stage.owns if k not in needed)
        if math.prod(problem.sizes[k] for k in after) > _MOST_STATES:
            raise UsageError(
                f"after stage {stage.name} the later stages depend on too many variables "
                f"({len(after)}) for a front that is proven: give some of them one value in the "
                "space's file, or fix the chip with --hardware default"
            )
        steps.append(Step(stage, state, after, kept, dropped))
        state = after
    return tuple(steps)


def aligned(array: Floats, axes: Sequence[int], onto: Sequence[int]) -> Floats:
    """``array`` with axes for variables ``axes`` as a view that broadcasts over ``onto``."""
    order = [axes.index(k) for k in onto if k in axes]
    shape = iter(np.transpose(array, order).shape)
    return np.transpose(array, order).reshape([next(shape) if k in axes else 1 for k in onto])


def options_of(problem: SeparableProblem, step: Step, quantities: Sequence[str]) -> Options:
    """The options of a step's stage, quantities in this order."""
    sizes, stage = problem.sizes, step.table
    axes = (*step.before, *step.kept, *step.dropped)
    full = tuple(sizes[k] for k in axes)
    before, kept = (math.prod(sizes[k] for k in part) for part in (step.before, step.kept))
    columns = [
        np.broadcast_to(aligned(stage.values[q], (*stage.reads, *stage.owns), axes), full).reshape(
            before, kept, -1
        )
        for q in quantities
    ]
    # The state each (state, kept values) leads to.
    both = (*step.before, *step.kept)
    grids = np.indices(tuple(sizes[k] for k in both)) if both else np.zeros((0,), int)
    following = np.zeros((before, kept), dtype=np.int64)
    if step.after:
        after = [grids[both.index(k)].reshape(before, kept) for k in step.after]
        following = np.ravel_multi_index(after, tuple(sizes[k] for k in step.after))
    return Options(np.stack(columns), following)


def remaining(problem: SeparableProblem, steps: Sequence[Step], quantity: str) -> list[Remaining]:
    """Bounds on the stages after each step; one more at the front, before the first."""
    adds = problem.combine[quantity] == "sum"
    nothing = np.array(0.0 if adds else -np.inf)
    found = [Remaining(nothing, nothing)]
    merge = np.add if adds else np.maximum
    for step in reversed(steps):
        stage = step.table
        axes = (*step.before, *stage.owns)
        full = tuple(problem.sizes[k] for k in axes)
        own = aligned(stage.values[quantity], (*stage.reads, *stage.owns), axes)
        over = tuple(range(len(step.before), len(axes)))
        ends = [
            np.broadcast_to(merge(own, aligned(rest, step.after, axes)), full)
            for rest in (found[-1].low, found[-1].high)
        ]
        found.append(Remaining(ends[0].min(axis=over), ends[1].max(axis=over)))
    return found[::-1]
