"""Evolutionary search: NSGA-II (Deb et al. 2002) by pymoo, an optional extra.

For spaces that do not separate, and as an independent check of the other optimizers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError, UsageError
from flash.extras import install_command
from flash.optimize.infeasibility import none_found
from flash.optimize.objectives import Limit, Objective, meets, values_of
from flash.optimize.optimizer import Optimizer
from flash.optimize.pareto import non_dominated
from flash.optimize.result import OptimizerResult
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["NSGA2", "nsga2_front"]

Ints = NDArray[np.int64]

#: Population and generations where a design takes milliseconds: a thousand of them, half a minute.
_FEW = 40, 25


def nsga2_front(
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit] = (),
    seed: int = 0,
    population: int = 100,
    generations: int = 100,
) -> OptimizerResult:
    """A Pareto front by NSGA-II. Every design it scored is kept and filtered.

    Raises ``UsageError`` if pymoo is not installed, ``InfeasibleError`` if no design scored
    meets the limits.
    """
    if not objectives:
        raise UsageError("nsga2 needs an objective")
    minimize, algorithm, problem_class = _pymoo()
    began = time.perf_counter()
    scored: list[Ints] = []
    signs = np.array([of.sign for of in objectives])

    class Separable(problem_class):  # type: ignore[misc, valid-type]
        """The problem in pymoo's terms: all objectives minimised, limits as ``g <= 0``."""

        def __init__(self) -> None:
            super().__init__(
                n_var=len(problem.sizes),
                n_obj=len(objectives),
                n_ieq_constr=len(limits),
                xl=np.zeros(len(problem.sizes)),
                xu=np.array(problem.sizes) - 1,
                vtype=int,
            )

        def _evaluate(self, x: Floats, out: dict[str, Any], *_: Any, **__: Any) -> None:
            designs = np.asarray(x, dtype=np.int64)
            scored.append(designs)
            out["F"] = values_of(problem, designs, objectives) * signs
            if limits:
                out["G"] = _excess(problem, designs, limits)

    minimize(Separable(), algorithm(population), ("n_gen", generations), seed=seed, verbose=False)
    designs = np.unique(np.concatenate(scored), axis=0)
    designs = designs[meets(problem, designs, limits)]
    if len(designs) == 0:
        raise InfeasibleError(none_found(limits, "nsga2"))
    values = values_of(problem, designs, objectives)
    keep = np.flatnonzero(non_dominated(values, signs.tolist()))
    keep = keep[np.lexsort((values[keep] * signs).T[::-1])]
    return OptimizerResult(
        "nsga2",
        tuple(objectives),
        designs[keep],
        values[keep],
        sum(map(len, scored)),
        time.perf_counter() - began,
        message=f"population {population}, {generations} generations",
    )


def _excess(problem: SeparableProblem, designs: Ints, limits: Sequence[Limit]) -> Floats:
    """How far each design is beyond each limit, in shares of the bound; <= 0 is within."""
    values = values_of(problem, designs, [limit.quantity for limit in limits])
    bounds = np.array([limit.bound for limit in limits])
    signs = np.array([limit.quantity.sign for limit in limits])
    return np.asarray((values - bounds) * signs / (np.abs(bounds) + 1e-30))


def _pymoo() -> tuple[Any, Any, Any]:
    """pymoo's ``minimize``, an integer NSGA-II by population size, and its problem class."""
    # ruff: noqa: PLC0415 (an optional extra)
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
        from pymoo.optimize import minimize
    except ImportError:
        raise UsageError(
            f"nsga2 needs pymoo, which is not installed: {install_command('nsga2')}"
        ) from None

    def algorithm(population: int) -> Any:
        return NSGA2(
            pop_size=population,
            sampling=IntegerRandomSampling(),
            crossover=SBX(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
            mutation=PM(eta=3.0, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
        )

    return minimize, algorithm, Problem


class _Nsga2:
    """NSGA-II, an evolutionary search, by pymoo."""

    name = "nsga2"

    def optimize(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        seed: int,
    ) -> OptimizerResult:
        """See ``flash.optimize.optimizer.Optimizer``."""
        if problem.tabulated:
            return nsga2_front(problem, objectives, limits, seed=seed)
        return nsga2_front(
            problem, objectives, limits, seed, population=_FEW[0], generations=_FEW[1]
        )


NSGA2: Optimizer = _Nsga2()
