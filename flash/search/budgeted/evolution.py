"""Evolution on training-free scores, as in SWAP-NAS (Peng et al., ICLR 2024).

The fitness is a score, so thousands of designs are bred before the first is trained. Who dies is
the oldest (``evolution``; ageing evolution, Real et al., AAAI 2019), which keeps a lucky ancestor
from filling the population with its copies, or the worst (``evolution-worst``; SWAP-NAS's own
rule). Designs are born in broods, so that they are scored together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flash.search.budgeted.aggregate import LogRank
from flash.search.budgeted.breeding import crossed, founders, mutated
from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["EVOLUTION", "EVOLUTION_WORST", "evolution", "evolution_worst"]


#: Parameters in a million, the unit of a preferred size.
_MILLION = 1e6


def evolution(
    candidates: Candidates,
    evaluator: Evaluator,
    rng: np.random.Generator,
    population: int = 50,
    children: int = 1000,
    tournament: int = 10,
    brood: int = 10,
    *,
    worst_dies: bool = False,
    target_m: float | None = None,
) -> dict[str, Any]:
    """Breed by the log-rank aggregate of the metrics; train the fittest of all that lived.

    population: designs alive at a time.  children: bred in all, ``brood`` at a time.
    tournament: designs drawn, of which the fittest two are parents.
    worst_dies: who makes room for the newborn; else the oldest.
    target_m:   preferred size in million parameters, SWAP-NAS's mu and sigma, which are equal
                there: the fitness loses (params - mu)^2 / sigma. Needs the metric "params", which
                is then no part of the aggregate.
    """
    fitness_of = _fitness(candidates, target_m)
    lived = founders(candidates, population, rng)  # in order of birth
    fitness = fitness_of(candidates.score(lived))
    start = len(lived)
    alive = np.arange(start)
    for _ in range(20 * children // brood):  # most children of a narrow set are not admitted
        if len(lived) - start >= children:
            break
        drawn = alive[rng.integers(len(alive), size=(brood, tournament))]
        parents = np.take_along_axis(drawn, np.argsort(-fitness[drawn], axis=1)[:, :2], axis=1)
        born = mutated(
            crossed(lived[parents[:, 0]], lived[parents[:, 1]], rng)[0], candidates.sizes, rng
        )
        born = born[candidates.admitted(born)]
        if len(born):
            alive = np.concatenate([alive, len(lived) + np.arange(len(born))])
            lived = np.concatenate([lived, born])
            fitness = np.concatenate([fitness, fitness_of(candidates.score(born))])
            by_fitness = alive[np.argsort(fitness[alive], kind="stable")]
            alive = (by_fitness if worst_dies else alive)[-population:]
    _, first_seen = np.unique(lived, axis=0, return_index=True)
    order = first_seen[np.argsort(-fitness[first_seen], kind="stable")]
    fittest = lived[order]
    evaluator.accuracy(fittest[~evaluator.tried(fittest)][: evaluator.left])
    return {"metrics": list(candidates.names), "bred": len(lived) - start, "scored": len(order)}


def evolution_worst(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Evolution on training-free scores in which the worst dies, SWAP-NAS's rule."""
    return evolution(candidates, evaluator, rng, worst_dies=True)


def _fitness(candidates: Candidates, target_m: float | None) -> Callable[[Floats], Floats]:
    """Of scores, shape (designs, metrics): the aggregate, less what a wrong size costs."""
    if target_m is None:
        return LogRank(candidates.scores)
    size = candidates.metric("params")
    others = [k for k in range(len(candidates.names)) if k != size]
    aggregate = LogRank(candidates.scores[:, others])

    def fitness(scores: Floats) -> Floats:
        off = scores[:, size] / _MILLION - target_m
        return aggregate(scores[:, others]) - off**2 / target_m

    return fitness


EVOLUTION = Strategy(evolution, metrics=("rank_score",))
EVOLUTION_WORST = Strategy(evolution_worst, metrics=("rank_score",))
