"""An optimizer: the front of designs drawn at random, or of all where there are few."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flash.errors import InfeasibleError
from flash.optimize import (
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    meets,
    non_dominated,
    values_of,
)

__all__ = ["SAMPLING", "Sampling"]


@dataclass(frozen=True)
class Sampling:
    """Uniform random sampling: what every optimizer has to beat."""

    draws: int = 20_000
    name: str = "sampling"

    def optimize(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        seed: int,
    ) -> OptimizerResult:
        """The front of the designs drawn; raises ``InfeasibleError`` if none is within limits."""
        began = time.perf_counter()
        if problem.size <= self.draws:
            designs = np.indices(problem.sizes).reshape(len(problem.sizes), -1).T
        else:
            rng = np.random.default_rng(seed)
            drawn = [rng.integers(size, size=self.draws) for size in problem.sizes]
            designs = np.unique(np.stack(drawn, axis=1), axis=0)
        evaluations = len(designs)
        designs = designs[meets(problem, designs, limits)]
        if not len(designs):
            raise InfeasibleError(f"none of {evaluations:,} designs drawn is within the limits")
        values = values_of(problem, designs, objectives)
        keep = np.flatnonzero(non_dominated(values, [of.sign for of in objectives]))
        keep = keep[np.unique(values[keep], axis=0, return_index=True)[1]]
        return OptimizerResult(
            self.name, tuple(objectives), designs[keep], values[keep], evaluations,
            time.perf_counter() - began, message=f"{evaluations:,} designs drawn",
        )  # fmt: skip


SAMPLING = Sampling()
