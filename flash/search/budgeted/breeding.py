"""New designs from old ones: what evolution and novelty search share."""

from __future__ import annotations

import numpy as np

from flash.search.budgeted.candidates import Candidates, Ints

__all__ = ["crossed", "founders", "mutated"]


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
