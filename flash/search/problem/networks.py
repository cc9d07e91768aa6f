"""Networks of a space on one device or chip: tabulated, optimised, certified, priced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flash.accuracy.features import layer_sums, sums_over_cells
from flash.errors import InfeasibleError, UsageError
from flash.evaluation import CellScore, Evaluation, evaluate, separable
from flash.metrics import own_metric
from flash.optimize import (
    OPTIMIZERS,
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    bounded_front,
    certify_front,
    exact_best,
    exact_front,
    ratio,
)
from flash.report.chip import ChipView
from flash.search.problem.base import Effort, Ints, Problem, adds_up
from flash.search.problem.infeasibility import why_unmet
from flash.search.problem.relaxation import real_values
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable
from flash.targets import Target, bits_of, drawn_chip

__all__ = ["Networks"]


@dataclass(frozen=True)
class Networks:
    """The networks of a space on one device or chip."""

    space: SearchSpace
    target: Target

    one_chip: bool = True
    objectives: tuple[str, ...] = ("score", "latency")

    @property
    def networks(self) -> SearchSpace:
        """The space itself."""
        return self.space

    @property
    def bits(self) -> tuple[int, ...]:
        """The target's."""
        return (bits_of(self.target),)

    @property
    def usual_bits(self) -> int:
        """The target's."""
        return bits_of(self.target)

    def of_bits(self, bits: int) -> Networks:
        """The same: there is nothing to choose."""
        return self

    def without_bits(self, bits: Sequence[int], why: str) -> Networks:
        """The same: there is nothing to choose."""
        return self

    def among_all(self, part: Problem, indices: Ints) -> Ints:
        """The same: there is nothing to choose."""
        return indices

    def on_default_chip(self) -> Networks:
        """The same: the chip is given."""
        return self

    @property
    def own_metric(self) -> str:
        """The space's own."""
        return own_metric(self.space).name

    def stands_for_accuracy(self, metric: str) -> bool:
        """Any that there is; where tables are bounds, sums over cells only."""
        return metric != "" and (self.target.exact or adds_up(metric))

    def networks_of(self, indices: Ints) -> Ints:
        """The designs themselves."""
        return indices

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
        """Stage tables of the metric and of all costs on the target."""

        def layers(table: LayerTable) -> Mapping[str, Floats]:
            return layer_sums(self.space, table)

        more = layers if sizes else None
        further = sums_over_cells if cells else None
        return separable(
            self.space,
            self.target,
            metric,
            index,
            more,
            sizes,
            sums,
            further,
            cells,
            peaks=peaks,
        )

    def of_networks(self, networks: SearchSpace) -> Networks:
        """The same with other networks."""
        return replace(self, space=networks)

    def evaluate(self, indices: Ints, tables: SeparableProblem | None = None) -> Evaluation:
        """Everything about designs; where tables are no bounds, their sums are the costs."""
        return evaluate(self.space, self.target, indices, tables)

    def hardware(self, indices: Ints) -> Mapping[str, int]:
        """The chip of a design: the target's."""
        return self.target.chip

    def chip(self, indices: Ints, title: str) -> ChipView | None:
        """What there is to draw of a design's chip."""
        if not self.target.chip:
            return None
        network, words = self.space.network(indices), self.space.describe(indices)
        hardware, breakdown = drawn_chip(self.target, network)
        title = f"{title} of {self.space.name}, target {self.target.name}"
        return ChipView(title, [words], hardware, breakdown)

    def why_unmet(self, tables: SeparableProblem, limits: Sequence[Limit]) -> str:
        """Why no design meets the limits, in one line; empty if some may, or nobody can tell."""
        if not tables.tabulated:
            return ""
        return why_unmet(self.space, tables, limits, self.target.exact)

    def optimize(
        self,
        tables: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        effort: Effort,
    ) -> OptimizerResult:
        """The exact front, and how close the optimizer asked for came to it.

        Without stage tables it is what the optimizer found, and nothing is proven.
        """
        if not tables.tabulated:
            return _unproven(self.space, tables, objectives, limits, effort)
        if effort.single:
            return self._single(tables, objectives, limits, effort)
        heuristic = _heuristic(tables, objectives, limits, effort)
        if not self.target.exact:
            more = [heuristic] if heuristic else []

            def price(designs: Ints, of: Sequence[Objective]) -> Floats:
                return real_values(tables, designs, self.evaluate(designs), of)

            return bounded_front(tables, objectives, limits, price, more)
        exact = effort.exact or exact_front(tables, objectives, limits, effort.seen)
        if effort.optimizer == "exact":
            return exact
        return _certified(tables, heuristic, limits, exact, effort.optimizer)

    def _single(
        self,
        tables: SeparableProblem,
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
        return exact_best(tables, ratio(objectives, effort.utility), limits)


def _unproven(
    space: SearchSpace,
    tables: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    effort: Effort,
) -> OptimizerResult:
    """What an optimizer that asks for no tables finds; ``UsageError`` for one that does."""
    if effort.single or effort.optimizer in ("exact", "shgo"):
        asked = "--objective flash" if effort.single else f"--optimizer {effort.optimizer}"
        raise UsageError(
            f"space {space.name} does not separate into stages, which {asked} needs: search it "
            "with --optimizer nsga2 (nothing is certified) or spend trainings with --search NAME"
        )
    found = OPTIMIZERS[effort.optimizer].optimize(tables, objectives, limits, effort.seed)
    return replace(found, message=f"space {space.name} does not separate; {found.message}")


def _heuristic(
    tables: SeparableProblem,
    objectives: Sequence[Objective],
    limits: Sequence[Limit],
    effort: Effort,
) -> OptimizerResult | None:
    """What the optimizer finds; None if it finds nothing, or the exact front was asked for."""
    if effort.optimizer == "exact":
        return None
    try:
        return OPTIMIZERS[effort.optimizer].optimize(tables, objectives, limits, effort.seed)
    except InfeasibleError:
        return None  # no proof: the exact optimizer has the last word


def _certified(
    tables: SeparableProblem,
    heuristic: OptimizerResult | None,
    limits: Sequence[Limit],
    exact: OptimizerResult,
    optimizer: str,
) -> OptimizerResult:
    """The exact front, and how close the optimizer came to it."""
    name, shown = optimizer.upper(), f"shown is the exact front ({len(exact):,} designs)"
    if heuristic is None:
        message = f"{name} found no design within the limits; {shown}"
        return replace(exact, name=optimizer, gap_percent=100.0, message=message)
    graded = certify_front(tables, heuristic, limits, exact)
    gap = graded.gap_percent or 0.0
    # Below a millionth of a per cent only rounding is left.
    message = (
        f"{name} within {gap if gap >= 1e-6 else 0:.2g} % of the exact hypervolume "
        f"({len(heuristic):,} designs); {shown}"
    )
    return replace(graded, indices=exact.indices, values=exact.values, message=message)
