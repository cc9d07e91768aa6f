"""Regularised evolution on training-free scores, as in SWAP-NAS (Peng et al., ICLR 2024).

The fitness is a score, so thousands of designs are bred before the first is trained. Who dies is
the oldest, not the worst (ageing evolution: Real et al., AAAI 2019), which keeps a lucky
ancestor from filling the population with its copies.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from flash.strategies.aggregate import LogRank
from flash.strategies.breeding import crossed, founders, mutated
from flash.strategies.candidates import Candidates, Floats
from flash.strategies.evaluator import Evaluator

__all__ = ["evolution"]


def evolution(
    candidates: Candidates,
    evaluator: Evaluator,
    rng: np.random.Generator,
    population: int = 50,
    children: int = 1000,
    tournament: int = 10,
) -> dict[str, Any]:
    """Breed by the log-rank aggregate of the metrics; train the fittest of all that lived.

    population: designs alive at a time.  children: bred in all.
    tournament: designs drawn, of which the fittest two are parents.
    """
    fitness_of = LogRank(candidates.scores)

    def fitness(designs: np.ndarray[Any, Any]) -> Floats:
        return fitness_of(candidates.score(designs))

    start = founders(candidates, population, rng)
    alive = deque(zip(start, fitness(start), strict=True))
    lived = {design.tobytes(): (design, fit) for design, fit in alive}
    bred = 0
    for _ in range(20 * children):  # most children of a narrow set are not admitted
        if bred == children:
            break
        drawn = [alive[k] for k in rng.integers(len(alive), size=tournament)]
        drawn.sort(key=lambda one: -one[1])
        pair = np.array([drawn[0][0], drawn[1 % len(drawn)][0]])
        child = mutated(crossed(pair[:1], pair[1:], rng)[0], candidates.sizes, rng)
        if not candidates.admitted(child)[0]:
            continue
        fit = float(fitness(child)[0])
        alive.append((child[0], fit))
        alive.popleft()
        lived[child[0].tobytes()] = (child[0], fit)
        bred += 1
    best = sorted(lived.values(), key=lambda one: -one[1])[: evaluator.left]
    evaluator.accuracy(np.array([design for design, _ in best]))
    return {"metrics": list(candidates.names), "bred": bred, "scored": len(lived)}
