"""Several scores as one ranking, and training from its top: the simplest way to spend a budget.

The sum over metrics of log(rank / n) (rank 1 the worst) is AZ-NAS's aggregate (Lee and Ham,
CVPR 2024): a design that is bad by any one metric falls far, one that is good by all leads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["AGGREGATE", "RANDOM", "LogRank", "aggregate", "random_search"]


class LogRank:
    """The aggregate, relative to a list of designs; also for designs outside the list.

    reference: scores of the list, shape (n, metrics).
    """

    def __init__(self, reference: Floats) -> None:
        self._sorted = np.sort(reference, axis=0)

    def __call__(self, scores: Floats) -> Floats:
        """Aggregate of scores, shape (designs, metrics); 0 is the best there can be.

        Equal scores share the mean of their ranks; below all of the list counts as half a rank.
        """
        n = len(self._sorted)
        total = np.zeros(len(scores))
        for column, values in zip(self._sorted.T, scores.T, strict=True):
            below = np.searchsorted(column, values, side="left")
            upto = np.searchsorted(column, values, side="right")
            total += np.log(np.clip((below + upto + 1) / 2, 0.5, n) / n)
        return total


def aggregate(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Train the designs of the highest log-rank aggregate."""
    total = LogRank(candidates.scores)(candidates.scores)
    order = np.argsort(-total, kind="stable")[: evaluator.left]
    evaluator.accuracy(candidates.designs[order])
    return {"metrics": list(candidates.names)}


def random_search(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Train designs drawn uniformly without replacement: what every strategy has to beat."""
    drawn = rng.permutation(len(candidates))[: evaluator.left]
    evaluator.accuracy(candidates.designs[drawn])
    return {}


AGGREGATE = Strategy(aggregate, metrics=("rank_score",))
RANDOM = Strategy(random_search)
