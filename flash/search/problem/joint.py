"""Networks and chips searched together: what a search asks of its problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.features import layer_sums, sums_over_cells
from flash.evaluation import CellScore, Evaluation, evaluate_on_chips, separable_on_chips
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem, within
from flash.optimize.infeasibility import all_at_once, best_of_any_chip, least_area
from flash.optimize.nested import How, Nested, search_nested
from flash.report.chip import ChipView
from flash.search.problem.base import Effort, Problem, adds_up
from flash.search.problem.joint_space import CoSpace, FamilyTarget
from flash.search.problem.networks import Networks
from flash.search.problem.relaxation import real_values
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable
from flash.targets import drawn_chip

__all__ = ["NetworksAndChips"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class NetworksAndChips:
    """The networks of a space with every chip of a family."""

    space: CoSpace

    one_chip: bool = False
    own_metric: str = "nn_degree"

    @property
    def target(self) -> FamilyTarget:
        """The family."""
        return self.space.target

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
        return adds_up(metric)

    @property
    def bits(self) -> tuple[int, ...]:
        """The chips'."""
        return self.space.bits

    @property
    def usual_bits(self) -> int:
        """Those of the profile's default chip, or the nearest."""
        return self.space.usual_bits

    def of_bits(self, bits: int) -> NetworksAndChips:
        """On chips with so many bits."""
        return replace(self, space=self.space.of_bits(bits))

    def without_bits(self, bits: Sequence[int], why: str) -> Problem:
        """On chips with others."""
        return replace(self, space=self.space.without_bits(bits, why)).with_choice()

    def with_choice(self) -> Problem:
        """The same; the networks on the one chip there is where no variable of it is left."""
        if self.space.free:
            return self
        chip: Problem = Networks(self.space.network, self.space.family.target(0))
        return chip

    def on_default_chip(self) -> Networks:
        """The networks on the profile's default chip; what was given of it is as given."""
        return Networks(self.space.network, self.space.family.example)

    def among_all(self, part: Problem, indices: Ints) -> Ints:
        """By the hardware of each design."""
        return np.stack(
            [
                self.space.locate(part.hardware(row), part.networks_of(row[None])[0])
                for row in indices
            ]
        )

    def networks_of(self, indices: Ints) -> Ints:
        """Without the hardware variables."""
        return indices[:, len(self.space.free) :]

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
        """Stage tables over hardware and network variables; ``sums`` are for one chip only."""
        space, further = self.space.network, sums_over_cells if cells else None

        def layers(table: LayerTable) -> Mapping[str, Floats]:
            return layer_sums(space, table)

        more = layers if sizes else None
        family = self.space.family
        return separable_on_chips(
            space, family, metric, index, more, sizes, further, cells, peaks=peaks
        )

    def of_networks(self, networks: SearchSpace) -> NetworksAndChips:
        """The same with other networks."""
        return NetworksAndChips(replace(self.space, network=networks))

    def evaluate(self, indices: Ints, tables: SeparableProblem | None = None) -> Evaluation:
        """Everything about designs, each on its own chip."""
        return evaluate_on_chips(self.space.network, self.space.family, indices, tables)

    def hardware(self, indices: Ints) -> Mapping[str, int]:
        """The chip of a design."""
        return self.space.hardware(indices)

    def chip(self, indices: Ints, title: str) -> ChipView | None:
        """What there is to draw of a design's chip."""
        chips, networks = self.space.split(indices[None])
        space, network = self.space.network, networks[0]
        words, drawn = space.describe(network), space.network(network)
        target = self.space.family.target(int(chips[0]))
        hardware, breakdown = drawn_chip(target, drawn)
        title = f"{title} of {self.space.name}, target {target.name}"
        return ChipView(title, [words], hardware, breakdown)

    def why_unmet(self, tables: SeparableProblem, limits: Sequence[Limit]) -> str:
        """Why no design meets the limits: the smallest area that would do, or what binds."""
        name, nested = self.space.name, self._nested(tables)
        area = [limit for limit in limits if limit.quantity.name == "area_mm2"]
        others = [limit for limit in limits if limit.quantity.name != "area_mm2"]
        implied = [limit for limit in limits if limit.implied]
        if area:
            least, design = nested.best(area[0].quantity, others)
            if design is not None and least > area[0].bound:
                where = self.space.describe(design)
                return least_area(name, area[0], least, where, others=len(others) > len(implied))
        for limit in limits:
            best, design = nested.best(limit.quantity, implied)
            if not limit.met(np.array([best]))[0]:
                where = "" if design is None else self.space.describe(design)
                return best_of_any_chip(name, limit, best, where)
        return all_at_once(limits)

    def optimize(
        self,
        tables: SeparableProblem,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        effort: Effort,
    ) -> OptimizerResult:
        """The front over chips and networks, with its certificate or bound."""

        def price(indices: Ints) -> tuple[Floats, NDArray[np.bool_]]:
            found = self.evaluate(indices)
            limited = real_values(tables, indices, found, [limit.quantity for limit in limits])
            return real_values(tables, indices, found, objectives), within(limited, limits)

        return search_nested(
            self._nested(tables),
            objectives,
            limits,
            How(
                effort.optimizer,
                effort.seed,
                effort.certify_seconds,
                effort.single,
                effort.utility,
                effort.most,
                effort.every,
                effort.rivals,
                effort.tell,
            ),
            None if self.target.exact else price,
        )

    def _nested(self, tables: SeparableProblem) -> Nested:
        space = self.space
        return Nested(tables, len(space.free), space.possible, space.size)
