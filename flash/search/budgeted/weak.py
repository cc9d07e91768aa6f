"""Weak predictors (Wu et al., NeurIPS 2021): many small fits, each of the region that matters.

A predictor of all accuracies is hard to learn and mostly useless: only the best designs count.
So a small one is fitted to what was trained, designs are drawn from the top of its ranking and
trained, and it is fitted again; the region it has to get right shrinks to the best designs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.extras import need
from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.robot import unit_interval
from flash.search.budgeted.strategy import Strategy

__all__ = ["WEAK", "weak_predictors"]


def weak_predictors(
    candidates: Candidates,
    evaluator: Evaluator,
    rng: np.random.Generator,
    first: int = 10,
    batch: int = 10,
    top: int = 100,
) -> dict[str, Any]:
    """Random forests on the design and its scores; ``batch`` designs from the ``top`` a round.

    first: designs trained before the first fit, drawn at random (published: 10 on
           NAS-Bench-201); at most half of the budget.
    The published predictors see the design alone (one value in five is a column each); the
    scores as further columns are ours. Needs the extra of the strategies (scikit-learn).
    """
    forests = need("sklearn.ensemble", "strategies", "the weak predictors' search")
    features = _features(candidates)
    designs = candidates.designs
    open_rows = rng.permutation(len(candidates))
    start = min(first, max(1, evaluator.left // 2))
    evaluator.accuracy(designs[open_rows[:start]])
    rounds = 0
    while evaluator.left:
        known = evaluator.known(designs)
        untried = np.flatnonzero(~evaluator.tried(designs))
        if not len(untried):
            break
        drawn = untried
        trained = np.flatnonzero(np.isfinite(known))
        if len(trained):
            forest = forests.RandomForestRegressor(
                n_estimators=100, random_state=int(rng.integers(2**31))
            )
            forest.fit(features[trained], known[trained])
            predicted = forest.predict(features[untried])
            drawn = untried[np.argsort(-predicted, kind="stable")[:top]]
            rounds += 1
        evaluator.accuracy(designs[rng.permutation(drawn)[: min(batch, evaluator.left)]])
    return {"metrics": list(candidates.names), "fits": rounds}


def _features(candidates: Candidates) -> Floats:
    """One column for each value of each variable with few values, one for the others; scores."""
    columns = []
    for k, size in enumerate(candidates.sizes):
        of = candidates.designs[:, k]
        columns.append(np.eye(size)[of] if size <= 8 else (of / (size - 1))[:, None])
    return np.concatenate([*columns, unit_interval(candidates.scores)], axis=1)


WEAK = Strategy(weak_predictors)
