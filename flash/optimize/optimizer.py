"""What an optimizer is, and the optimizers by name.

A new one is a file of this room and one line in ``OPTIMIZERS``, or an entry point of group
``flash.optimizers`` in a package of your own. ``flash.testing.OptimizerConformance`` holds it to
what is promised here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from flash.plugins import Registry

if TYPE_CHECKING:  # the names are known without numpy
    from flash.optimize.objectives import Limit, Objective
    from flash.optimize.result import OptimizerResult
    from flash.spaces.stage_tables import SeparableProblem

__all__ = ["OPTIMIZERS", "Optimizer"]


class Optimizer(Protocol):
    """Finds the Pareto front of a separable problem.

    name: what users call it; also ``OptimizerResult.name``.

    A search certifies the front of any but "exact" with the exact one.
    """

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    def optimize(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        seed: int,
    ) -> OptimizerResult:
        """Designs within the limits, none dominating another; the same seed gives the same.

        ``values`` are those of ``SeparableProblem.evaluate``. Raises ``InfeasibleError`` if it
        finds no design within the limits, and ``UsageError`` if a library it needs is missing.
        """
        ...


#: Optimizers by the name users give.
OPTIMIZERS: Registry[Optimizer] = Registry(
    "flash.optimizers",
    "optimizer",
    {
        "shgo": "flash.optimize.shgo:SHGO",
        "exact": "flash.optimize.exact:EXACT",
        "nsga2": "flash.optimize.nsga2:NSGA2",
    },
)
