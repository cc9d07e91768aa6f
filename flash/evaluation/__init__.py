"""Every quantity of designs, with and without a target: the one evaluator."""

from flash.evaluation.designs import (
    CellScore,
    Evaluation,
    Metrics,
    evaluate,
    evaluate_network,
    measure,
    measure_network,
    separable,
)

__all__ = [
    "CellScore",
    "Evaluation",
    "Metrics",
    "evaluate",
    "evaluate_network",
    "measure",
    "measure_network",
    "separable",
]
