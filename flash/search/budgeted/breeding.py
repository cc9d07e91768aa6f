"""New designs from old ones: what evolution and novelty search share."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from flash.search.budgeted.candidates import Candidates, Ints
from flash.search.budgeted.evaluator import Evaluator

__all__ = ["crossed", "founders", "mutant", "mutated"]

#: Draws for a mutant that is a candidate and was not trained yet.
_DRAWS = 50


def founders(candidates: Candidates, count: int, rng: np.random.Generator) -> Ints:
    """Designs drawn from the list without replacement."""
    return candidates.designs[rng.permutation(len(candidates))[:count]]


def mutated(designs: Ints, sizes: Ints, rng: np.random.Generator) -> Ints:
    """Each variable takes another value with probability 1 / variables; shape as given."""
    variables = designs.shape[1]
    hit = (rng.uniform(size=designs.shape) < 1 / variables) & (sizes > 1)
    step = 1 + rng.integers(np.maximum(sizes - 1, 1), size=designs.shape)
    return np.where(hit, (designs + step) % sizes, designs)


def crossed(mothers: Ints, fathers: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Two-point crossover: two children a pair, what lies between two cuts swapped."""
    cuts = np.sort(rng.integers(mothers.shape[1] + 1, size=(2, len(mothers))), axis=0)
    columns = np.arange(mothers.shape[1])
    inside = (columns >= cuts[0][:, None]) & (columns < cuts[1][:, None])
    return np.where(inside, fathers, mothers), np.where(inside, mothers, fathers)


def mutant(
    candidates: Candidates,
    evaluator: Evaluator,
    mother: Ints,
    rng: np.random.Generator,
    known: Container[bytes] = (),
) -> Ints | None:
    """The mother with another value of one variable; None where no candidate so made is new.

    known: designs, as bytes, that are not new beside those that the evaluator was asked for.
    """
    free = np.flatnonzero(candidates.sizes > 1)
    for _ in range(_DRAWS if len(free) else 0):
        child = mother.copy()
        variable = free[rng.integers(len(free))]
        size = candidates.sizes[variable]
        child[variable] = (child[variable] + 1 + rng.integers(size - 1)) % size
        old = child.tobytes() in known or evaluator.tried(child[None])[0]
        if not old and candidates.admitted(child[None])[0]:
            return child
    return None
