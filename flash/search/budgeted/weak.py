"""Weak predictors (Wu et al., NeurIPS 2021): many small fits, each of the region that matters.

A predictor of all accuracies is hard to learn and mostly useless: only the best designs count.
So a small one is fitted to what was trained, designs are drawn from the top of its ranking and
trained, and it is fitted again; the region it has to get right shrinks to the best designs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from flash.extras import need
from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.robot import unit_interval
from flash.search.budgeted.strategy import Strategy

__all__ = ["WEAK", "WEAK_MLP", "weak_mlp", "weak_predictors"]

#: A regression: features and accuracies of what was trained, features of the others -> predicted.
Predictor = Callable[[Floats, Floats, Floats, np.random.Generator], Floats]

#: The published multilayer perceptron and its iterations.
_LAYERS, _ITERATIONS = (1000, 1000, 1000, 1000), 100


def weak_predictors(
    candidates: Candidates,
    evaluator: Evaluator,
    rng: np.random.Generator,
    first: int = 10,
    batch: int = 10,
    top: int = 100,
) -> dict[str, Any]:
    """Random forests on the design and its scores; ``batch`` designs from the ``top`` a round.

    The light form: seconds for a hundred trainings.

    first: designs trained before the first fit, drawn at random (published: 10 on
           NAS-Bench-201); at most half of the budget.
    The published predictors see the design alone (one value in five is a column each); the
    scores as further columns are ours. Needs the extra of the strategies (scikit-learn).
    """
    features = np.concatenate([_choices(candidates), unit_interval(candidates.scores)], axis=1)
    return _search(candidates, evaluator, rng, features, _forest, (first, batch, top))


def weak_mlp(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """The published predictor: four layers of 1,000 units on the design alone.

    Ten designs first, then ten a round of the predicted 100 best of those untried. It reads no
    score, and takes about 20 s of a core for a hundred trainings.
    """
    return _search(candidates, evaluator, rng, _choices(candidates), _perceptron, (10, 10, 100))


def _forest(x: Floats, y: Floats, rest: Floats, rng: np.random.Generator) -> Floats:
    forests = need("sklearn.ensemble", "strategies", "the weak predictors' search")
    forest = forests.RandomForestRegressor(n_estimators=100, random_state=int(rng.integers(2**31)))
    predicted: Floats = forest.fit(x, y).predict(rest)
    return predicted


def _perceptron(x: Floats, y: Floats, rest: Floats, rng: np.random.Generator) -> Floats:
    networks = need("sklearn.neural_network", "strategies", "the weak predictors' search")
    seed = int(rng.integers(2**31))
    network = networks.MLPRegressor(
        hidden_layer_sizes=_LAYERS, max_iter=_ITERATIONS, random_state=seed
    )
    spread = float(y.std())
    with warnings.catch_warnings():  # it says that it stops after its iterations
        warnings.simplefilter("ignore")
        network.fit(x, (y - y.mean()) / (spread if spread > 0 else 1.0))
    predicted: Floats = network.predict(rest)
    return predicted


def _search(
    candidates: Candidates,
    evaluator: Evaluator,
    rng: np.random.Generator,
    features: Floats,
    predict: Predictor,
    sizes: tuple[int, int, int],
) -> dict[str, Any]:
    first, batch, top = sizes
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
            predicted = predict(features[trained], known[trained], features[untried], rng)
            drawn = untried[np.argsort(-predicted, kind="stable")[:top]]
            rounds += 1
        evaluator.accuracy(designs[rng.permutation(drawn)[: min(batch, evaluator.left)]])
    return {"metrics": list(candidates.names), "fits": rounds}


def _choices(candidates: Candidates) -> Floats:
    """One column for each value of each variable with few values, one for the others."""
    columns = []
    for k, size in enumerate(candidates.sizes):
        of = candidates.designs[:, k]
        columns.append(np.eye(size)[of] if size <= 8 else (of / (size - 1))[:, None])
    return np.concatenate(columns, axis=1)


WEAK = Strategy(weak_predictors)
WEAK_MLP = Strategy(weak_mlp)
