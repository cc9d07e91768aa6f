"""TG-NAS's search (Qiao et al. 2024, arXiv 2404.00271) over training-free scores: the best of two.

Pruning starts with every value of every variable and drops the least useful value of each, until
one design is left; evolution (``evolution``) breeds by the same score.

Ours: the source scores a cell that has all operations at once, and how much the score falls
without one. Few networks can be built so; here the usefulness of a value is the mean score of
designs drawn at random from what is left, those that have it. And as there is a budget, what
pruning found is trained first and the fittest of evolution with the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted.aggregate import LogRank
from flash.search.budgeted.candidates import Candidates, Ints
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.evolution import evolution
from flash.search.budgeted.strategy import Strategy

__all__ = ["TG_NAS", "pruned", "tg_nas"]

#: Designs scored a round of pruning: 40 for each operation of a cell of NAS-Bench-201.
_DRAWN = 200
#: Draws for each of them, where many are no candidates.
_TRIES = 10


def pruned(candidates: Candidates, rng: np.random.Generator) -> Ints:
    """The design that is left when each variable has dropped its least useful values.

    Shape (variables,). Where what is left holds no candidate any more, the best seen before.
    """
    fitness_of = LogRank(candidates.scores)
    alive = [np.arange(size) for size in candidates.sizes]
    best: Ints = candidates.designs[0]
    best_fitness = -np.inf
    while True:
        drawn = _drawn(candidates, alive, rng)
        if not len(drawn):
            return best
        fitness = fitness_of(candidates.score(drawn))
        if all(len(values) == 1 for values in alive):
            return np.array(drawn[0])
        if fitness.max() > best_fitness:
            best, best_fitness = drawn[int(np.argmax(fitness))], float(fitness.max())
        for k, values in enumerate(alive):
            if len(values) > 1:
                use = [fitness[drawn[:, k] == value] for value in values]
                mean = [own.mean() if len(own) else -np.inf for own in use]
                alive[k] = np.delete(values, int(np.argmin(mean)))


def _drawn(candidates: Candidates, alive: list[Ints], rng: np.random.Generator) -> Ints:
    """Different candidates whose values are all alive; from the list where it is closed."""
    if not candidates.open:
        left = np.ones(len(candidates), dtype=np.bool_)
        for column, values in zip(candidates.designs.T, alive, strict=True):
            left &= np.isin(column, values)
        return np.array(candidates.designs[rng.permutation(np.flatnonzero(left))[:_DRAWN]])
    columns = [rng.choice(values, size=_DRAWN * _TRIES) for values in alive]
    designs = np.unique(np.stack(columns, axis=1), axis=0)
    designs = designs[rng.permutation(len(designs))]
    return np.array(designs[candidates.admitted(designs)][:_DRAWN])


def tg_nas(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Train what pruning by a graph predictor leaves, then the fittest of evolution by it."""
    design = pruned(candidates, rng)
    evaluator.accuracy(design[None])
    told = evolution(candidates, evaluator, rng) if evaluator.left else {}
    return {**told, "metrics": list(candidates.names), "pruned": design.tolist()}


TG_NAS = Strategy(tg_nas, metrics=("tg_nas",))
