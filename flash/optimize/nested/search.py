"""A search over choices and what is inside: a heuristic's front, its certificate, what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError
from flash.optimize.certify import hypervolume_gap
from flash.optimize.nested.best import best_design
from flash.optimize.nested.certificate import Budget, Price, certified_front
from flash.optimize.nested.problem import Nested
from flash.optimize.objectives import Limit, Objective, meets, ratio, values_of
from flash.optimize.optimizer import OPTIMIZERS
from flash.optimize.result import OptimizerResult
from flash.optimize.shgo import Effort, shgo_best, shgo_front
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["SHOWN", "How", "search_nested", "thin"]

#: Rounds of the front's neighbours. Six stay under a second and within a per cent of the
#: hypervolume that forty reach (systolic, 6e14 designs); thinning to what is shown costs as much.
_ROUNDS = Effort(sweeps=6)
#: Where costs are bounds, designs must be priced again: fewer rounds of the front's neighbours.
_FEWER = Effort(sweeps=3)
#: Designs shown at most.
SHOWN = 1500
#: Partial designs that a certificate looks at where no time is given: enough to settle the shipped
#: systolic chips of any number format with the whole of ``cifar10-concat`` (38 million, 13 s of one
#: core); on crossbar chips with a space that does not close it is a minute or more.
_PARTIAL_DESIGNS = 80_000_000


@dataclass(frozen=True)
class How:
    """How to search.

    seconds: for the certificate; None counts work instead, the same on any machine.
    single:  the one design of most score over the product of the other objectives;
             ``utility`` is what the score counts for there.
    most:    objective -> the most of it that designs of the front may have, where costs are bounds.
    every:   all designs of the front, not ``SHOWN`` of them.
    rivals:  values of designs of other problems; what one of them dominates is left out.
    tell:    hears the share of the certificate's work that is done, 0 to 1.
    """

    optimizer: str
    seed: int
    seconds: float | None = None
    single: bool = False
    utility: Callable[[Floats], Floats] | None = None
    most: Mapping[str, float] = field(default_factory=dict)
    every: bool = False
    rivals: Floats | None = None
    tell: Callable[[float], None] = lambda share: None


def search_nested(
    nested: Nested,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    how: How,
    price: Price | None = None,
) -> OptimizerResult:
    """The front over all choices, at most 1,500 designs of it, and its certificate or bound.

    price: real costs of designs, where the problem's quantities are lower bounds of them.
    Raises ``InfeasibleError`` if no choice has a design within the limits.
    """
    exact, problem = price is None, nested.problem
    budget = Budget(_PARTIAL_DESIGNS, how.seconds, how.tell)
    product = ratio(objectives, how.utility)
    start = _heuristic(nested, objectives, limits, how, exact)
    price = _looked_up(problem, objectives, limits) if price is None else price
    if how.single:
        return best_design(nested, product, limits, start, price, budget)
    if start is not None and not exact:
        start = thin(start, 4 * SHOWN)
    result = certified_front(
        nested, objectives, limits, start, price, exact, budget, how.most, how.rivals
    )
    return result if how.every else thin(result, SHOWN)


def _looked_up(
    problem: SeparableProblem, objectives: Sequence[Objective], limits: Sequence[Limit]
) -> Price:
    """Prices where the problem's quantities are the costs."""

    def price(indices: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
        return values_of(problem, indices, objectives), meets(problem, indices, limits)

    return price


def _heuristic(
    nested: Nested,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    how: How,
    exact: bool,
) -> OptimizerResult | None:
    """What the optimizer finds; None if nothing (the certificate says whether there is none)."""
    problem = nested.problem
    try:
        if how.optimizer == "shgo" and how.single:
            return shgo_best(problem, ratio(objectives, how.utility), limits, seed=how.seed)
        if how.optimizer == "shgo":
            effort = _ROUNDS if exact else _FEWER
            return shgo_front(problem, objectives, limits, seed=how.seed, effort=effort)
        if how.optimizer != "exact":
            return OPTIMIZERS[how.optimizer].optimize(problem, objectives, limits, how.seed)
    except InfeasibleError:
        return None
    return None


def thin(result: OptimizerResult, most: int) -> OptimizerResult:
    """At most about ``most`` designs, spread over the front; the message tells.

    Of designs in one cell of a grid over the objectives (costs on a logarithmic scale) the
    first is kept; the best of each objective always is.
    """
    if len(result) <= most:
        return result
    values = np.array(result.values)
    for column, sign in enumerate(result.signs):
        if sign > 0 and (values[:, column] > 0).all():
            values[:, column] = np.log(values[:, column])
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    cells, keep = 2 * most, np.arange(len(values))
    while len(keep) > most:
        grid = np.floor(scaled * cells).astype(np.int64)
        keep = np.unique(grid, axis=0, return_index=True)[1]
        cells = int(cells * 0.8)
    ends = [int(np.argmin(sign * values[:, k])) for k, sign in enumerate(result.signs)]
    keep = np.unique([*keep, *ends])
    missing = hypervolume_gap(result.values[keep], result.values, result.signs)
    return replace(
        result,
        indices=result.indices[keep],
        values=result.values[keep],
        message=f"{result.message}; shown are {len(keep):,} of {len(result):,} designs, "
        f"{missing:.2g} % of the hypervolume less",
    )
