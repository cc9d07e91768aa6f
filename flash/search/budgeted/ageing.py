"""Ageing evolution (Real et al., AAAI 2019) over trained accuracies: every child is trained.

The source's settings are a population of 100 and tournaments of 25, of 20,000 trainings. Ours:
the population is a quarter of the budget at most, a tournament a quarter of the population, two
at least; a mutant that was trained before is drawn again.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from flash.search.budgeted.breeding import founders, mutant
from flash.search.budgeted.candidates import Candidates
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["AGEING", "ageing"]

#: Designs alive at a time, of the source.
_POPULATION = 100


def ageing(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Train mutants of tournament winners; the oldest dies."""
    size = max(2, min(_POPULATION, evaluator.budget // 4))
    first = founders(candidates, min(size, evaluator.left), rng)
    accuracy = evaluator.accuracy(first)
    alive = deque(zip(first, np.nan_to_num(accuracy, nan=-np.inf), strict=True), maxlen=size)
    while evaluator.left:
        drawn = rng.integers(len(alive), size=max(2, size // 4))
        mother = max((alive[k] for k in drawn), key=lambda one: float(one[1]))[0]
        child = mutant(candidates, evaluator, mother, rng)
        if child is None:  # all around her is known: another one is drawn from the list
            untried = np.flatnonzero(~evaluator.tried(candidates.designs))
            if not len(untried):
                break
            child = candidates.designs[rng.choice(untried)]
        (found,) = evaluator.accuracy(child[None])
        alive.append((child, np.nan_to_num(found, nan=-np.inf)))
    return {"population": size}


AGEING = Strategy(ageing)
