"""Which designs a search with a training budget may choose: those within the user's limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError, UsageError
from flash.optimize import Limit, SeparableProblem
from flash.optimize import within as within_all
from flash.optimize.infeasibility import none_drawn, none_meets
from flash.optimize.objectives import meets
from flash.search.budgeted.candidates import Ints, all_designs
from flash.search.problem import Problem
from flash.search.problem.relaxation import real_values
from flash.spaces.space import SearchSpace

__all__ = ["LISTED_WHOLE", "distinct_networks", "listed", "within_limits"]

Within = Callable[[Ints], NDArray[np.bool_]]

#: Spaces of at most so many designs are listed whole.
LISTED_WHOLE = 50_000
#: Designs drawn before the limits are taken for too tight to sample: some seconds of work.
_DRAWS = 2_000_000
#: Designs drawn at a time; only memory depends on it.
_BATCH = 50_000
#: The same two where designs are priced one by one: a minute of work.
_WHOLE_DRAWS, _WHOLE_BATCH = 20_000, 1_000


def within_limits(problem: Problem, tables: SeparableProblem, limits: Sequence[Limit]) -> Within:
    """A function that says which designs (indices) hold every limit on the target.

    Where the tables' costs are lower bounds, designs that hold them are priced for real.
    """

    def within(designs: Ints) -> NDArray[np.bool_]:
        mask = meets(tables, designs, limits)
        if problem.target.exact or not limits or not mask.any():
            return mask
        rows = np.flatnonzero(mask)
        priced = problem.evaluate(designs[rows])
        limited = real_values(tables, designs[rows], priced, [limit.quantity for limit in limits])
        mask[rows] = within_all(limited, limits)
        return mask

    return within


def listed(
    space: SearchSpace,
    within: Within,
    most: int,
    rng: np.random.Generator,
    *,
    tabulated: bool = True,
) -> tuple[Ints, bool]:
    """Designs within the limits, and whether these are all there are.

    A small space is listed whole; of a large one ``most`` different networks are drawn, fewer
    where ``within`` has no tables to look up. Raises ``InfeasibleError`` if there is none, or
    none was found.
    """
    draws, batch = (_DRAWS, _BATCH) if tabulated else (_WHOLE_DRAWS, _WHOLE_BATCH)
    if most < 1:
        raise UsageError(f"the number of candidates must be 1 or more, got {most}")
    if space.size <= LISTED_WHOLE:
        designs = all_designs([len(grid) for grid in space.grids])
        designs = distinct_networks(space, designs[within(designs)])
        if not len(designs):
            raise InfeasibleError(none_meets(space.name))
        return designs, True
    kept = space.sample(0, rng)
    for _ in range(draws // batch):
        drawn = space.sample(batch, rng)
        kept = distinct_networks(space, np.concatenate([kept, drawn[within(drawn)]]))
        if len(kept) >= most:
            break
    if not len(kept):
        raise InfeasibleError(none_drawn(space.name, draws))
    return kept[:most], False


def distinct_networks(space: SearchSpace, designs: Ints) -> Ints:
    """The first design of each network, in the order given."""
    values = space.decode(designs)
    columns = {name: values[:, k] for k, name in enumerate(space.variables)}
    canonical = space.family.canonical(columns)
    rows = np.stack([np.broadcast_to(canonical[n], len(values)) for n in space.variables], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    return designs[np.sort(first)]
