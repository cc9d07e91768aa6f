"""Values of designs whose stage tables only bound their costs."""

from __future__ import annotations

from collections.abc import Sequence

from flash.evaluation import Evaluation
from flash.optimize import Objective, SeparableProblem, values_of
from flash.search.problem.base import Ints
from flash.spaces.stage_tables import Floats

__all__ = ["real_values"]


def real_values(
    tables: SeparableProblem,
    indices: Ints,
    priced: Evaluation,
    objectives: Sequence[Objective],
) -> Floats:
    """Objectives of designs that were priced for real (``priced``), shape (designs, objectives).

    Scores that no pricing changes are those of the tables.
    """
    values = values_of(tables, indices, objectives)
    for column, of in enumerate(objectives):
        if of.name in priced:
            values[:, column] = priced.quantity(of.name)
    return values
