"""Networks and chips searched together: what a search asks of its problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.evaluation import CellScore, Evaluation
from flash.metrics import METRICS
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem
from flash.report.chip import ChipView
from flash.search.joint.pricing import evaluate_joint
from flash.search.joint.searching import search_joint, why_no_chip
from flash.search.joint.space import CoSpace, FamilyTarget
from flash.search.joint.tables import joint_problem
from flash.search.problem.base import Effort
from flash.search.problem.chip_view import chip_view
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["NetworksAndChips"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class NetworksAndChips:
    """The networks of a space with every chip of a family."""

    space: CoSpace
    target: FamilyTarget

    one_chip: bool = False
    own_metric: str = "nn_degree"

    @property
    def objectives(self) -> tuple[str, ...]:
        """Score and latency, and area where the chips have one."""
        area = ("area",) if "area_mm2" in self.target.quantities else ()
        return ("score", "latency", *area)

    @property
    def networks(self) -> SearchSpace:
        """The network space."""
        return self.space.network

    def stands_for_accuracy(self, metric: str) -> bool:
        """Sums over cells, as an accuracy model's own index is: they add up whatever the chip."""
        return metric == "accuracy" or (metric != "" and METRICS[metric].per_cell)

    def networks_of(self, indices: Ints) -> Ints:
        """Without the hardware variables."""
        return indices[:, len(self.space.free) :]

    def tables(self, metric: str, index: CellScore | None = None) -> SeparableProblem:
        """Stage tables over hardware and network variables."""
        return joint_problem(self.space, metric, index)

    def evaluate(self, indices: Ints, totals: Mapping[str, Floats]) -> Evaluation:
        """Everything about designs, each on its own chip."""
        return evaluate_joint(self.space, indices, totals if self.target.exact else None)

    def hardware(self, indices: Ints) -> Mapping[str, int]:
        """The chip of a design."""
        return self.space.hardware(indices)

    def chip(self, indices: Ints, title: str) -> ChipView | None:
        """What there is to draw of a design's chip."""
        chips, networks = self.space.split(indices[None])
        target = self.space.family.target(int(chips[0]))
        space, network = self.space.network, networks[0]
        words = space.describe(network)
        return chip_view(target, space.network(network), title, words)

    def why_unmet(self, tables: SeparableProblem, limits: Sequence[Limit]) -> str:
        """Why no design meets the limits, in one line."""
        return why_no_chip(self.space, tables, limits)

    def optimize(
        self,
        tables: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        effort: Effort,
    ) -> OptimizerResult:
        """The front over chips and networks, with its certificate or bound."""
        return search_joint(
            self.space,
            tables,
            objectives,
            limits,
            exact=self.target.exact,
            optimizer=effort.optimizer,
            seed=effort.seed,
            seconds=effort.certify_seconds,
            single=effort.single,
            utility=effort.utility,
        )
