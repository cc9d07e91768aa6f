"""Searches that spend a small training budget: candidates, evaluators, strategies."""

from __future__ import annotations

from flash.strategies.candidates import Candidates, LayerStatistics, all_designs
from flash.strategies.evaluator import (
    Evaluator,
    FunctionEvaluator,
    TableEvaluator,
    TrainingError,
    Trial,
)
from flash.strategies.outcome import STRATEGIES, Outcome, run_strategy
from flash.strategies.program import ProgramEvaluator
from flash.strategies.statistics import layer_statistics

__all__ = [
    "STRATEGIES",
    "Candidates",
    "Evaluator",
    "FunctionEvaluator",
    "LayerStatistics",
    "Outcome",
    "ProgramEvaluator",
    "TableEvaluator",
    "TrainingError",
    "Trial",
    "all_designs",
    "layer_statistics",
    "run_strategy",
]
