"""A strategy: train the best by one score, then whatever is nearest to the best trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted import Candidates, Evaluator, Strategy

__all__ = ["CLIMB", "climb"]


def climb(candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator) -> dict[str, Any]:
    """Half of the budget on the best by the first score, the rest around the best of them."""
    order = np.argsort(-candidates.scores[:, 0], kind="stable")
    evaluator.accuracy(candidates.designs[order[: max(1, evaluator.budget // 2)]])
    steps = 0
    while evaluator.left and evaluator.spent < len(candidates):
        known = evaluator.known(candidates.designs)
        best = int(np.nanargmax(known)) if np.isfinite(known).any() else int(order[0])
        distance = np.abs(candidates.designs - candidates.designs[best]).sum(axis=1)
        nearest = np.lexsort((rng.random(len(distance)), distance))
        untried = nearest[~evaluator.tried(candidates.designs[nearest])]
        evaluator.accuracy(candidates.designs[untried[:1]])
        steps += 1
    return {"steps": steps, "metric": candidates.names[0]}


CLIMB = Strategy(climb, metrics=("rank_score",))
