"""Genetic programming over typed trees (DEAP, an extra): what any evolution of formulas shares."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from flash.extras import need

__all__ = ["fittest", "random_trees"]

#: Functions and terminals in a tree at most; longer ones are not looked at.
_MOST_NODES = 24


def fittest(
    grammar: Any,
    first: Sequence[str],
    fitness: Callable[[Any], float],
    rng: np.random.Generator,
    population: int,
    generations: int,
) -> tuple[float, Any]:
    """The tree of the highest fitness that evolution comes upon, and the fitness.

    grammar: DEAP's typed set of primitives.
    first:   trees, as text, that the first generation holds beside ``population`` random ones.
    fitness: of a tree; one that has died may be asked for again.

    Children come of tournament winners by crossover or mutation, and the best so far always
    survives: the result is never worse than the best of ``first``.
    """
    gp = _gp()
    judged: list[tuple[float, Any]] = []
    with _drawing(rng):
        trees = [gp.PrimitiveTree.from_string(text, grammar) for text in first]
        trees += _drawn(grammar, population)
        seen: dict[str, float] = {}
        judged = _judge(trees, seen, fitness)
        for _ in range(generations):
            alive = sorted(judged, key=lambda one: -one[0])[:population]
            children = [_child(alive, grammar, gp) for _ in range(population)]
            known = {str(tree): fit for fit, tree in alive}
            judged = alive + _judge(children, known, fitness)
    return max(judged, key=lambda one: one[0])


def random_trees(grammar: Any, count: int, rng: np.random.Generator) -> list[Any]:
    """Trees as the first generation of ``fittest`` has them: what evolution has to beat."""
    with _drawing(rng):
        return [tree for tree in _drawn(grammar, count) if len(tree) <= _MOST_NODES]


def _gp() -> Any:
    return need("deap.gp", "strategies", "the eznas search")


@contextmanager
def _drawing(rng: np.random.Generator) -> Iterator[None]:
    """DEAP draws from Python's own generator, which is left as it was."""
    state = random.getstate()
    random.seed(int(rng.integers(2**31)))
    try:
        yield
    finally:
        random.setstate(state)


def _drawn(grammar: Any, count: int) -> list[Any]:
    gp = _gp()
    return [gp.PrimitiveTree(gp.genHalfAndHalf(grammar, 2, 4)) for _ in range(count)]


def _judge(
    trees: Sequence[Any], seen: dict[str, float], fitness: Callable[[Any], float]
) -> list[tuple[float, Any]]:
    """(fitness, tree) of trees not seen before."""
    judged = []
    for tree in trees:
        text = str(tree)
        if text in seen or len(tree) > _MOST_NODES:
            continue
        seen[text] = fitness(tree)
        judged.append((seen[text], tree))
    return judged


def _child(alive: Sequence[tuple[float, Any]], grammar: Any, gp: Any) -> Any:
    """Crossover of two tournament winners, or a mutant of one."""

    def winner() -> Any:
        drawn = [random.randrange(len(alive)) for _ in range(4)]
        return gp.PrimitiveTree(alive[min(drawn)][1])

    if random.random() < 0.6:
        return gp.cxOnePoint(winner(), winner())[0]
    if random.random() < 0.5:
        return gp.mutNodeReplacement(winner(), grammar)[0]

    def sprout(pset: Any, type_: Any) -> Any:
        return gp.genHalfAndHalf(pset, 0, 2, type_)

    return gp.mutUniform(winner(), sprout, grammar)[0]
