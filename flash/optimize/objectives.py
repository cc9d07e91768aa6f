"""What is optimised and what limits hold: objectives, limits, scalar objectives.

An objective is a quantity of a problem, or the sum of several: ``memory_kb`` is the weights
(a sum over stages) plus the peak of the activations (a maximum over stages).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean
from flash.quantities import Sense, quantity
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = [
    "Limit",
    "Objective",
    "Scalar",
    "flash_scalar",
    "meets",
    "objective",
    "ratio",
    "single",
    "values_of",
    "within",
]


@dataclass(frozen=True, slots=True)
class Objective:
    """A quantity to make small ("min") or large ("max").

    terms: the quantities it is the sum of; its own name if empty.
    """

    name: str
    sense: Sense
    terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sense not in ("min", "max"):
            raise UsageError(
                f"objective {self.name}: expected sense min or max, got '{self.sense}'"
            )

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities of a problem that it needs."""
        return self.terms or (self.name,)

    @property
    def sign(self) -> float:
        """+1 if small is good, -1 if large is good."""
        return 1.0 if self.sense == "min" else -1.0

    def checked(self, problem: SeparableProblem) -> Objective:
        """Itself; raises ``UsageError`` if the problem lacks a quantity it needs."""
        for name in self.quantities:
            if name not in problem.combine:
                raise UsageError(
                    f"objective {self.name} needs '{name}', which this problem lacks"
                    f"{did_you_mean(name, problem.combine)}"
                )
        return self


def objective(name: str) -> Objective:
    """The objective of a registered quantity: scores up, costs down; others are costs."""
    try:
        known = quantity(name)
    except UsageError:
        return Objective(name, "min")
    return Objective(name, known.sense, known.terms)


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on an objective: at most ``bound`` where less is better, else at least.

    implied: what a design within it does, as in "no design ... and leads its input to its output";
             of a limit that nobody gave, so that nobody is told of it by name. Empty for others.
    """

    quantity: Objective
    bound: float
    implied: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.bound):
            raise UsageError(f"the limit on {self.quantity.name} is not a number")

    @staticmethod
    def on(name: str, bound: float) -> Limit:
        """The limit on a quantity by name, e.g. ``Limit.on("latency_ms", 20.0)``."""
        return Limit(objective(name), bound)

    def __str__(self) -> str:
        return (
            f"{self.quantity.name} {'<=' if self.quantity.sense == 'min' else '>='} {self.bound:g}"
        )

    def met(self, values: Floats) -> NDArray[np.bool_]:
        """Which values of the quantity respect the bound."""
        return values <= self.bound if self.quantity.sense == "min" else values >= self.bound


@dataclass(frozen=True)
class Scalar:
    """One number to maximise, made of objectives.

    function: values, shape (designs, objectives), to shape (designs,). It must never fall
        when one objective improves and the others stay: then some design of the exact
        Pareto front attains its optimum.
    """

    name: str
    objectives: tuple[Objective, ...]
    function: Callable[[Floats], Floats]

    def of(self, problem: SeparableProblem, indices: NDArray[np.int64]) -> Floats:
        """The scalar of designs, shape (designs,)."""
        return self.function(values_of(problem, indices, self.objectives))


def single(of: Objective) -> Scalar:
    """The scalar that is one objective (negated where less is better)."""
    sign = -of.sign
    return Scalar(of.name, (of,), lambda values: sign * values[:, 0])


def ratio(
    objectives: Sequence[Objective], utility: Callable[[Floats], Floats] | None = None
) -> Scalar:
    """The first objective, a score, over the product of the others, costs.

    utility: what the score counts for, if not for itself: the accuracy predicted from it.
    """
    first, *costs = (of.name for of in objectives)

    def function(values: Floats) -> Floats:
        score = values[:, 0] if utility is None else utility(values[:, 0])
        product: Floats = score / np.prod(values[:, 1:], axis=1)
        return product

    name = first if utility is None else "accuracy"
    return Scalar(f"{name}/({' '.join(costs)})", tuple(objectives), function)


def flash_scalar(
    score: str = "score", costs: Sequence[str] = ("latency_ms", "energy_mj")
) -> Scalar:
    """FLASH's objective ``score / (cost * cost ...)`` (Li et al. 2021; form as recalled)."""
    return ratio([objective(name) for name in (score, *costs)])


def values_of(
    problem: SeparableProblem, indices: NDArray[np.int64], objectives: Sequence[Objective]
) -> Floats:
    """Values of designs, shape (designs, objectives), each in its own unit and sign."""
    names = dict.fromkeys(name for o in objectives for name in o.quantities)
    found = problem.evaluate(indices, *names) if names else {}
    result = np.empty((len(indices), len(objectives)))
    for column, of in enumerate(objectives):
        first, *rest = (found[name] for name in of.quantities)
        result[:, column] = sum(rest, start=first)
    return result


def meets(
    problem: SeparableProblem, indices: NDArray[np.int64], limits: Sequence[Limit]
) -> NDArray[np.bool_]:
    """Which designs respect every limit, shape (designs,)."""
    values = values_of(problem, indices, [limit.quantity for limit in limits])
    return within(values, limits)


def within(values: Floats, limits: Sequence[Limit]) -> NDArray[np.bool_]:
    """Which rows of the limited quantities' values, shape (designs, limits), respect all limits."""
    ok = np.ones(len(values), dtype=np.bool_)
    for column, limit in enumerate(limits):
        ok &= limit.met(values[:, column])
    return ok
