"""Spending the budget on what a sampler of shared weights proposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted.candidates import Candidates
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import STRATEGIES, Strategy

__all__ = ["SAMPLED", "strategy_for"]

#: Proposals asked for at a time, for each design that is left of the budget.
_DRAWS = 10


def sampled(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Judge the design that the sampler would choose, then designs that it draws.

    Those outside the candidates are left out. What a sampler that is sure leaves of the budget is
    not spent.
    """
    proposed = evaluator.propose(_DRAWS * evaluator.budget, rng)
    admitted = proposed[candidates.admitted(proposed)]
    evaluator.accuracy(admitted)
    first = bool(candidates.admitted(proposed[:1])[0])
    return {"proposed": len(np.unique(proposed, axis=0)), "choice_admitted": first}


SAMPLED = Strategy(sampled)


def strategy_for(name: str, evaluator: Evaluator) -> Strategy:
    """The strategy of this name, or what follows the sampler where the evaluator has one."""
    return SAMPLED if evaluator.proposes else STRATEGIES[name]
