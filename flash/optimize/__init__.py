"""Optimizers: exact for spaces that separate, hierarchical SHGO, NSGA-II; Pareto tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.optimize.bounding import bounded_front
    from flash.optimize.certify import certify_best, certify_front, hypervolume_gap
    from flash.optimize.confining import Confined, Confining, confine
    from flash.optimize.exact import exact_best, exact_front, least_possible
    from flash.optimize.nearest import nearest_to_limits
    from flash.optimize.nsga2 import nsga2_front
    from flash.optimize.objectives import (
        Limit,
        Objective,
        Scalar,
        flash_scalar,
        meets,
        objective,
        ratio,
        single,
        values_of,
        within,
    )
    from flash.optimize.optimizer import OPTIMIZERS, Optimizer
    from flash.optimize.pareto import distance_to_ideal, hypervolume, non_dominated, reference_point
    from flash.optimize.result import OptimizerResult
    from flash.optimize.scouting import scout
    from flash.optimize.shgo import Effort, shgo_best, shgo_front
    from flash.spaces.stage_tables import SeparableProblem, StageTable, tabulate

__all__ = [
    "OPTIMIZERS",
    "Confined",
    "Confining",
    "Effort",
    "Limit",
    "Objective",
    "Optimizer",
    "OptimizerResult",
    "Scalar",
    "SeparableProblem",
    "StageTable",
    "bounded_front",
    "certify_best",
    "certify_front",
    "confine",
    "distance_to_ideal",
    "exact_best",
    "exact_front",
    "flash_scalar",
    "hypervolume",
    "hypervolume_gap",
    "least_possible",
    "meets",
    "nearest_to_limits",
    "non_dominated",
    "nsga2_front",
    "objective",
    "ratio",
    "reference_point",
    "scout",
    "shgo_best",
    "shgo_front",
    "single",
    "tabulate",
    "values_of",
    "within",
]

_HOMES = {
    "bounding": ("bounded_front",),
    "certify": (
        "certify_best",
        "certify_front",
        "hypervolume_gap",
    ),
    "confining": ("Confined", "Confining", "confine"),
    "exact": (
        "exact_best",
        "exact_front",
        "least_possible",
    ),
    "nearest": ("nearest_to_limits",),
    "nsga2": ("nsga2_front",),
    "objectives": (
        "Limit",
        "Objective",
        "Scalar",
        "flash_scalar",
        "meets",
        "objective",
        "ratio",
        "single",
        "values_of",
        "within",
    ),
    "optimizer": (
        "OPTIMIZERS",
        "Optimizer",
    ),
    "pareto": (
        "distance_to_ideal",
        "hypervolume",
        "non_dominated",
        "reference_point",
    ),
    "result": ("OptimizerResult",),
    "scouting": ("scout",),
    "shgo": (
        "Effort",
        "shgo_best",
        "shgo_front",
    ),
    "flash.spaces.stage_tables": (
        "SeparableProblem",
        "StageTable",
        "tabulate",
    ),
}

__getattr__ = lazily(
    __name__, {name: (module, "") for module, names in _HOMES.items() for name in names}
)
