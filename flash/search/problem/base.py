"""The problem of a search: designs, what they are priced on, and how they are optimised.

Two kinds implement ``Problem``: ``Networks`` (networks on one device or chip) and, in ``joint``,
``NetworksAndChips`` (each network with every chip of a family). A search asks for nothing else,
so it need not know which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flash.evaluation import CellScore, Evaluation
from flash.metrics import METRICS
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem
from flash.report.chip import ChipView
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats

__all__ = ["DesignSpace", "Effort", "Ints", "Problem", "ReportedTarget", "adds_up"]

Ints = NDArray[np.int64]


def adds_up(metric: str) -> bool:
    """Whether a metric is a sum over cells, as an accuracy model's own index ("accuracy") is."""
    return metric == "accuracy" or (metric != "" and METRICS[metric].per_cell)


@dataclass(frozen=True)
class Effort:
    """How to search.

    certify_seconds: for the certificate where hardware is searched; None counts work instead.
    single:          not the front but the design of most score over the product of the costs.
    utility:         what the score counts for there, if not for itself; it never falls.
    most:            score -> what designs may have of it and still count as trained; where costs
                     are bounds, neither the front nor what it misses is of others.
    exact:           the exact front of the same tables, objectives and limits, if it is known:
                     it is what certifies, and need not be computed again.
    every:           all designs of the front, however many.
    rivals:          objectives of designs of other problems: what one of them dominates is left
                     out where hardware is searched.
    seen:            good designs that may be within the limits, to spare work on what they beat.
    tell:            hears the share of a long certificate that is done, 0 to 1.
    """

    optimizer: str
    seed: int
    certify_seconds: float | None
    single: bool = False
    utility: Callable[[Floats], Floats] | None = None
    exact: OptimizerResult | None = None
    most: Mapping[str, float] = field(default_factory=dict)
    every: bool = False
    rivals: Floats | None = None
    seen: Ints | None = None
    tell: Callable[[float], None] = lambda share: None


class DesignSpace(Protocol):
    """Designs given as indices into the grids of their variables, shape (designs, variables)."""

    @property
    def name(self) -> str:
        """Name of the space."""

    @property
    def size(self) -> int:
        """Number of designs, exactly."""

    @property
    def distinct(self) -> int:
        """Number of different designs, exactly."""

    def sample(self, designs: int, rng: np.random.Generator) -> Ints:
        """Designs drawn uniformly."""

    def named(self, indices: Ints) -> dict[str, int]:
        """The network of one design, shape (variables,), by the names of its variables."""

    def identify(self, indices: Ints) -> str:
        """A short name of one design, the same in every run."""

    def describe(self, indices: Ints) -> str:
        """One design in short, for people."""


class ReportedTarget(Protocol):
    """What a search and its report ask of a target; see ``flash.targets.base.Target``."""

    @property
    def name(self) -> str:
        """Name of the profile."""

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Costs that can be objectives and limits."""

    @property
    def weight_limit_kb(self) -> float:
        """Weights (10^3 bytes) that the chip can hold; infinite where they may stay outside."""

    @property
    def exact(self) -> bool:
        """Stage costs add up to the costs; else they are lower bounds of them."""

    @property
    def latency_how(self) -> str:
        """Where the interval of a latency comes from."""

    @property
    def energy_how(self) -> str:
        """Where the interval of an energy comes from; empty where none is known."""

    @property
    def area_how(self) -> str:
        """Where the interval of an area comes from; empty without area."""

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures should know, a sentence each."""

    def summary(self) -> dict[str, Any]:
        """Name, description and provenance as plain values, for reports."""


class Problem(Protocol):
    """Designs, what they cost, and how the best are found.

    Designs are given as indices, shape (designs, variables); one design has shape (variables,).
    """

    @property
    def space(self) -> DesignSpace:
        """The designs."""

    @property
    def target(self) -> ReportedTarget:
        """What they are priced on."""

    @property
    def networks(self) -> SearchSpace:
        """The space of the designs' networks."""

    @property
    def one_chip(self) -> bool:
        """All designs run on the same device or chip: a design is its network."""

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of weights and activations that there are to choose from, rising."""

    @property
    def usual_bits(self) -> int:
        """Those where nobody chooses."""

    def of_bits(self, bits: int) -> Problem:
        """The designs with so many bits."""

    def without_bits(self, bits: Sequence[int], why: str) -> Problem:
        """The designs with others; ``why`` for the reader of the report."""

    def among_all(self, part: Problem, indices: Ints) -> Ints:
        """Designs of ``of_bits(...)`` as designs of this problem."""

    def on_default_chip(self) -> Problem:
        """The networks on the profile's default chip, where hardware is searched; else the same."""

    @property
    def own_metric(self) -> str:
        """The score maximised where the user names none."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """Words of the objectives where the user names none, e.g. ``("score", "latency")``."""

    def stands_for_accuracy(self, metric: str) -> bool:
        """Whether ``metric`` can be maximised in place of the accuracy that rises with it.

        metric: the name of one, "accuracy" for an accuracy model's own index, "" for none.
        """

    def networks_of(self, indices: Ints) -> Ints:
        """The networks of designs, as indices of ``networks``."""

    def tables(
        self,
        metric: str,
        index: CellScore | None = None,
        sizes: Sequence[str] = (),
        sums: Sequence[str] = (),
        cells: Sequence[str] = (),
        *,
        peaks: bool = True,
    ) -> SeparableProblem:
        """Stage tables of the metric and of all costs.

        index: what the metric is, for one that is none of ``flash.metrics.METRICS``.
        sizes: names of ``flash.accuracy.features.layer_sums`` to tabulate too.
        sums:  names of the target's ``sums`` to tabulate too (``flash.evaluation.sum_name``).
        cells: names of ``flash.accuracy.features.sums_over_cells`` to tabulate with ``index``.
        peaks: ``activation_kb`` too: of use where memory is an objective or limited.
        """

    def of_networks(self, networks: SearchSpace) -> Problem:
        """The same with other networks: the space narrowed to some of its designs."""

    def evaluate(self, indices: Ints, tables: SeparableProblem | None = None) -> Evaluation:
        """Everything about designs.

        tables: what ``tables`` returned. Where the target is exact their sums are the costs;
        ``Evaluation.sums`` has them, the metric's included.
        """

    def hardware(self, indices: Ints) -> Mapping[str, int]:
        """The hardware variables of one design's chip; none where hardware is bought ready-made."""

    def chip(self, indices: Ints, title: str) -> ChipView | None:
        """What there is to draw of one design's chip; None where nothing is known."""

    def why_unmet(self, tables: SeparableProblem, limits: Sequence[Limit]) -> str:
        """Why no design meets the limits, in one line; empty if some may."""

    def optimize(
        self,
        tables: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        effort: Effort,
    ) -> OptimizerResult:
        """The front, or the single best design, with its certificate or bound.

        Raises ``InfeasibleError`` if no design is within the limits.
        """
