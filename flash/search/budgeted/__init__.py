"""Searches that spend a small training budget: candidates, evaluators, strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.search.budgeted.candidates import (
        Candidates,
        Edges,
        LayerStatistics,
        all_designs,
    )
    from flash.search.budgeted.edges import removable_edges
    from flash.search.budgeted.evaluator import (
        Evaluator,
        FunctionEvaluator,
        TableEvaluator,
        TrainingError,
        Trial,
    )
    from flash.search.budgeted.outcome import Outcome, run_strategy
    from flash.search.budgeted.program import ProgramEvaluator
    from flash.search.budgeted.spending import spend
    from flash.search.budgeted.statistics import layer_statistics
    from flash.search.budgeted.strategy import STRATEGIES, Strategy

__all__ = [
    "STRATEGIES",
    "Candidates",
    "Edges",
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
    "removable_edges",
    "run_strategy",
    "spend",
]

_HOMES = {
    "candidates": ("Candidates", "Edges", "LayerStatistics", "all_designs"),
    "edges": ("removable_edges",),
    "evaluator": ("Evaluator", "FunctionEvaluator", "TableEvaluator", "TrainingError", "Trial"),
    "outcome": ("Outcome", "run_strategy"),
    "program": ("ProgramEvaluator",),
    "spending": ("spend",),
    "statistics": ("layer_statistics",),
    "strategy": ("STRATEGIES", "Strategy"),
}

__getattr__ = lazily(
    __name__, {name: (module, "") for module, names in _HOMES.items() for name in names}
)
