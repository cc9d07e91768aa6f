"""Formulas over layer statistics, evolved by genetic programming (DEAP, an extra).

A formula is a tree: statistics of layers, combined elementwise, then summed, averaged or
maximised over the layers of a network, and the results combined to one number a network. All
functions are defined everywhere, so every tree is a valid formula.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flash.extras import need
from flash.search.budgeted.candidates import Floats, LayerStatistics
from flash.search.budgeted.genetic import fittest

__all__ = ["Formula", "evolve", "ingredients", "tau_of"]

#: Kendall's tau that a node has to earn: a formula is to be read, and short ones generalise.
_PER_NODE = 0.002
#: Bound on every intermediate value, so that products and squares stay finite.
_LARGEST = 1e12
#: The one number a network that needs no statistic: how many layers it has.
_LAYERS = "layers"


class _Layers:
    """Type of a value a layer."""


class _Network:
    """Type of a value a network."""


@dataclass(frozen=True)
class Formula:
    """One number a network from its layers' statistics; higher ranks better.

    text: the formula, nested calls.  tau: Kendall's tau on the networks it was evolved on.
    """

    text: str
    tau: float
    _tree: Any

    def __call__(self, statistics: LayerStatistics) -> Floats:
        """Scores, shape (designs,)."""
        return _evaluate(self._tree, statistics)


def _bounded(values: Floats) -> Floats:
    """Within +-1e12: no function below makes a nan of such numbers, though an infinity it may."""
    return np.asarray(np.minimum(np.maximum(values, -_LARGEST), _LARGEST))


def _log(x: Floats) -> Floats:
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))


def _divided(x: Floats, y: Floats) -> Floats:
    return np.asarray(x * y / (y * y + 1e-6))


def _root(x: Floats) -> Floats:
    return np.asarray(np.sign(x) * np.sqrt(np.abs(x)))


_ELEMENTWISE: dict[str, tuple[Callable[..., Floats], int]] = {
    "add": (np.add, 2),
    "sub": (np.subtract, 2),
    "mul": (np.multiply, 2),
    "div": (_divided, 2),
    "log": (_log, 1),
    "root": (_root, 1),
    "square": (np.square, 1),
    "neg": (np.negative, 1),
}


def _mean(x: Floats, present: Floats) -> Floats:
    return np.asarray((x * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1))


def _sum(x: Floats, present: Floats) -> Floats:
    return np.asarray((x * present).sum(axis=1))


def _most(x: Floats, present: Floats) -> Floats:
    found = np.where(present > 0, x, -np.inf).max(axis=1)
    return np.where(np.isfinite(found), found, 0.0)


_OVER_LAYERS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "sum": _sum,
    "mean": _mean,
    "max": _most,
}


def _evaluate(tree: Sequence[Any], statistics: LayerStatistics) -> Floats:
    """Scores of a tree in prefix order; its nodes are looked up here, nothing is compiled."""
    present = statistics.present.astype(np.float64)
    stack: list[Floats] = []
    with np.errstate(all="ignore"):
        for node in reversed(tree):
            name, arity = node.name, node.arity
            if name == _LAYERS:
                stack.append(present.sum(axis=1))
            elif arity == 0:
                stack.append(statistics.values[statistics.names.index(name)])
            elif name in _OVER_LAYERS:
                stack.append(_bounded(_OVER_LAYERS[name](stack.pop(), present)))
            else:
                function = _ELEMENTWISE[name.removeprefix("net_")][0]
                stack.append(_bounded(function(*(stack.pop() for _ in range(arity)))))
    return stack.pop()


@functools.cache
def _primitives(names: tuple[str, ...]) -> Any:
    """DEAP's typed set of functions and statistics."""
    gp = need("deap.gp", "strategies", "the eznas search")
    grammar = gp.PrimitiveSetTyped("formula", [], _Network)
    for name, (function, arity) in _ELEMENTWISE.items():
        grammar.addPrimitive(function, [_Layers] * arity, _Layers, name)
        grammar.addPrimitive(function, [_Network] * arity, _Network, f"net_{name}")
    for name, reduce in _OVER_LAYERS.items():
        grammar.addPrimitive(reduce, [_Layers], _Network, name)
    for name in names:
        grammar.addTerminal(name, _Layers, name)
    grammar.addTerminal(_LAYERS, _Network, _LAYERS)
    return grammar


def ingredients(statistics: LayerStatistics) -> dict[str, Floats]:
    """The plainest formulas: each statistic summed, averaged, maximised over the layers."""
    present = statistics.present.astype(np.float64)
    return {
        f"{name}({of})": reduce(values, present)
        for of, values in zip(statistics.names, statistics.values, strict=True)
        for name, reduce in _OVER_LAYERS.items()
    }


def tau_of(scores: Floats, accuracy: Floats) -> float:
    """Kendall's tau-b over all pairs (memory grows with their number); -1 for constant scores."""
    ours = np.sign(scores[:, None] - scores)
    theirs = np.sign(accuracy[:, None] - accuracy)
    untied = np.abs(ours).sum() * np.abs(theirs).sum()
    if untied == 0:
        return -1.0
    return float((ours * theirs).sum() / np.sqrt(untied))


def evolve(
    statistics: LayerStatistics,
    accuracy: Floats,
    rng: np.random.Generator,
    population: int = 100,
    generations: int = 15,
) -> Formula:
    """The formula of highest Kendall's tau with the accuracies, less a little for each node.

    The first generation holds every single ingredient, and the best so far always survives:
    the result is never worse than the best ingredient on the networks it was evolved on.
    """
    first = [f"{reduce}({name})" for name in statistics.names for reduce in _OVER_LAYERS]

    def fitness(tree: Any) -> float:
        return tau_of(_evaluate(tree, statistics), accuracy) - _PER_NODE * len(tree)

    grammar = _primitives(statistics.names)
    _, tree = fittest(grammar, first, fitness, rng, population, generations)
    return Formula(str(tree), tau_of(_evaluate(tree, statistics), accuracy), tree)
