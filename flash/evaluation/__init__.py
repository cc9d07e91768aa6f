"""Every quantity of designs, with and without a target: the one evaluator."""

from flash.evaluation.chips import evaluate_on_chips, separable_on_chips
from flash.evaluation.designs import (
    UNCONNECTED,
    CellScore,
    Evaluation,
    Metrics,
    costs_of_random,
    evaluate,
    evaluate_network,
    joined,
    measure,
    measure_network,
    separable,
    sum_name,
    sums_of_random,
)
from flash.evaluation.tabulated import DesignTables

__all__ = [
    "UNCONNECTED",
    "CellScore",
    "DesignTables",
    "Evaluation",
    "Metrics",
    "evaluate",
    "evaluate_network",
    "evaluate_on_chips",
    "joined",
    "measure",
    "measure_network",
    "separable",
    "separable_on_chips",
    "costs_of_random",
    "sum_name",
    "sums_of_random",
]
