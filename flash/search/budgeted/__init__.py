"""Searches that spend a small training budget: candidates, evaluators, strategies."""

from __future__ import annotations

from flash.search.budgeted.candidates import Candidates, LayerStatistics, all_designs
from flash.search.budgeted.evaluator import (
    Evaluator,
    FunctionEvaluator,
    TableEvaluator,
    TrainingError,
    Trial,
)
from flash.search.budgeted.outcome import Outcome, run_strategy
from flash.search.budgeted.program import ProgramEvaluator
from flash.search.budgeted.statistics import layer_statistics
from flash.search.budgeted.strategy import STRATEGIES, Strategy

__all__ = [
    "STRATEGIES",
    "Candidates",
    "Evaluator",
    "FunctionEvaluator",
    "LayerStatistics",
    "Outcome",
    "ProgramEvaluator",
    "Strategy",
    "TableEvaluator",
    "TrainingError",
    "Trial",
    "all_designs",
    "layer_statistics",
    "run_strategy",
]
