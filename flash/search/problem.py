"""What a search goes through: networks on one device or chip, or networks with their chips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import InfeasibleError, UsageError
from flash.evaluation import CellScore, Evaluation, evaluate, separable
from flash.optimize import (
    OPTIMIZERS,
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    certify_front,
    exact_best,
    exact_front,
)
from flash.report.chip import ChipView, chip_view
from flash.search.effort import Effort
from flash.search.infeasibility import why_unmet
from flash.search.joint import NetworksAndChips, joint_space, ratio
from flash.search.relaxation import bounded_front
from flash.spaces.space import SearchSpace, load_space
from flash.targets import Given, Target, load_hardware

__all__ = ["OPTIMIZERS", "Effort", "Networks", "NetworksAndChips", "Subject", "load_subject"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Networks:
    """The networks of a space on one device or chip."""

    space: SearchSpace
    target: Target

    def problem(self, metric: str, index: CellScore | None = None) -> SeparableProblem:
        """Stage tables of the metric (``index`` says what it is if we have none) and all costs."""
        return separable(self.space, self.target, metric, index)

    def evaluate(self, indices: Ints) -> Evaluation:
        """Everything about designs."""
        return evaluate(self.space, self.target, indices)

    def hardware(self, indices: Ints) -> Mapping[str, int]:
        """The chip of a design: the target's."""
        return self.target.chip

    def chip(self, indices: Ints, title: str) -> ChipView | None:
        """What there is to draw of a design's chip."""
        network, words = self.space.network(indices), self.space.describe(indices)
        return chip_view(self.target, network, title, words)

    def why_unmet(self, problem: SeparableProblem, limits: Sequence[Limit]) -> str:
        """Why no design meets the limits, in one line; empty if some may."""
        return why_unmet(self.space, problem, limits, self.target.exact)

    def optimize(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        effort: Effort,
    ) -> OptimizerResult:
        """The exact front, and how close the optimizer asked for came to it."""
        if effort.single:
            return self._single(problem, objectives, limits, effort)
        found = _heuristic(problem, objectives, limits, effort)
        if not self.target.exact:
            more = [found] if found else []
            return bounded_front(self.space, self.target, problem, objectives, limits, more)
        exact = exact_front(problem, objectives, limits)
        if effort.optimizer == "exact":
            return exact
        return _certified(problem, found, limits, exact, effort.optimizer)

    def _single(
        self,
        problem: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        effort: Effort,
    ) -> OptimizerResult:
        """The exact optimum of the ratio."""
        if not self.target.exact:
            raise UsageError(
                f"--objective flash needs exact sums, which one chip of {self.target.name} lacks; "
                "leave --hardware out"
            )
        return exact_best(problem, ratio(objectives, effort.worth), limits)


Subject = Networks | NetworksAndChips


def load_subject(target: str, runtime: str | None, hardware: Given | None, space: str) -> Subject:
    """The subject that a user names; raises as ``load_space`` and ``load_hardware`` do."""
    network, found = load_space(space), load_hardware(target, runtime)
    joint = joint_space(network, found, hardware)
    if joint is not None:
        return NetworksAndChips(*joint)
    return Networks(network, found.target(hardware))


def _heuristic(
    problem: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    effort: Effort,
) -> OptimizerResult | None:
    """What the optimizer finds; None if it finds nothing, or the exact front was asked for."""
    if effort.optimizer == "exact":
        return None
    try:
        return OPTIMIZERS[effort.optimizer].optimize(problem, objectives, limits, effort.seed)
    except InfeasibleError:
        return None  # no proof: the exact optimizer has the last word


def _certified(
    problem: SeparableProblem,
    found: OptimizerResult | None,
    limits: Sequence[Limit],
    exact: OptimizerResult,
    optimizer: str,
) -> OptimizerResult:
    """The exact front, and how close the optimizer came to it."""
    name, shown = optimizer.upper(), f"shown is the exact front ({len(exact):,} designs)"
    if found is None:
        message = f"{name} found no design within the limits; {shown}"
        return replace(exact, name=optimizer, gap_percent=100.0, message=message)
    found = certify_front(problem, found, limits, exact)
    gap = found.gap_percent or 0.0
    # Below a millionth of a per cent only rounding is left.
    message = (
        f"{name} within {gap if gap >= 1e-6 else 0:.2g} % of the exact hypervolume "
        f"({len(found):,} designs); {shown}"
    )
    return replace(found, indices=exact.indices, values=exact.values, message=message)
