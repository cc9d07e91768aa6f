"""RoBoT (He et al., ICLR 2024): learn how to weigh metrics while spending the budget.

Bayesian optimization over the weights of a sum of metrics, each scaled to [0, 1] over the
candidates; a query trains the design that leads under the weights. Queries that lead to a design
trained before cost nothing, so fewer than ``budget`` designs are trained in ``budget`` queries;
the rest of the budget goes down the ranking of the best weights found.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted.bayes import suggest
from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["ROBOT", "filled", "robot", "unit_interval"]


def robot(candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator) -> dict[str, Any]:
    """Weights in [-1, 1] per metric, upper confidence bound; then greedy.

    A design whose training failed counts as the worst accuracy seen.
    """
    metrics = unit_interval(candidates.scores)
    bounds = np.tile([-1.0, 1.0], (metrics.shape[1], 1))
    weights: list[Floats] = []
    leaders: list[int] = []
    rounds = evaluator.left
    for _ in range(rounds):
        values = filled(evaluator.known(candidates.designs[leaders]))
        weights.append(suggest(np.array(weights), values, bounds, rng))
        leaders.append(int(np.argmax(metrics @ weights[-1])))
        evaluator.accuracy(candidates.designs[leaders[-1:]])
    explored = evaluator.spent
    values = filled(evaluator.known(candidates.designs[leaders]))
    best = weights[len(values) - 1 - int(np.argmax(values[::-1]))]  # of equals the latest
    order = np.argsort(-(metrics @ best), kind="stable")
    evaluator.accuracy(candidates.designs[order[: evaluator.budget]])
    named = dict(zip(candidates.names, best.tolist(), strict=True))
    return {"metrics": list(candidates.names), "weights": named, "explored": explored}


def unit_interval(scores: Floats) -> Floats:
    """Each metric scaled to [0, 1] by its least and largest value; a constant one is 0."""
    low = scores.min(axis=0)
    span = scores.max(axis=0) - low
    return np.asarray((scores - low) / np.where(span > 0, span, 1.0))


def filled(values: Floats) -> Floats:
    """Failed trainings as the worst seen (0 where all failed)."""
    failed = np.isnan(values)
    worst = 0.0 if failed.all() else float(np.nanmin(values))
    return np.where(failed, worst, values)


ROBOT = Strategy(robot)
