"""Regularised evolution on training-free scores, as in SWAP-NAS (Peng et al., ICLR 2024).

The fitness is a score, so thousands of designs are bred before the first is trained. Who dies is
the oldest, not the worst (ageing evolution: Real et al., AAAI 2019), which keeps a lucky
ancestor from filling the population with its copies. Designs are born in broods, so that they
are scored together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted.aggregate import LogRank
from flash.search.budgeted.breeding import crossed, founders, mutated
from flash.search.budgeted.candidates import Candidates
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["EVOLUTION", "evolution"]


def evolution(
    candidates: Candidates,
    evaluator: Evaluator,
    rng: np.random.Generator,
    population: int = 50,
    children: int = 1000,
    tournament: int = 10,
    brood: int = 10,
) -> dict[str, Any]:
    """Breed by the log-rank aggregate of the metrics; train the fittest of all that lived.

    population: designs alive at a time.  children: bred in all, ``brood`` at a time.
    tournament: designs drawn, of which the fittest two are parents.
    """
    fitness_of = LogRank(candidates.scores)
    lived = founders(candidates, population, rng)  # in order of birth: the last are alive
    fitness = fitness_of(candidates.score(lived))
    start = len(lived)
    for _ in range(20 * children // brood):  # most children of a narrow set are not admitted
        if len(lived) - start >= children:
            break
        first = max(0, len(lived) - population)
        drawn = rng.integers(first, len(lived), size=(brood, tournament))
        parents = np.take_along_axis(drawn, np.argsort(-fitness[drawn], axis=1)[:, :2], axis=1)
        born = mutated(
            crossed(lived[parents[:, 0]], lived[parents[:, 1]], rng)[0], candidates.sizes, rng
        )
        born = born[candidates.admitted(born)]
        if len(born):
            lived = np.concatenate([lived, born])
            fitness = np.concatenate([fitness, fitness_of(candidates.score(born))])
    _, first_seen = np.unique(lived, axis=0, return_index=True)
    order = first_seen[np.argsort(-fitness[first_seen], kind="stable")]
    evaluator.accuracy(lived[order[: evaluator.left]])
    return {"metrics": list(candidates.names), "bred": len(lived) - start, "scored": len(order)}


EVOLUTION = Strategy(evolution, metrics=("rank_score",))
