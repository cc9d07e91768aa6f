"""Designs by the hundred thousand: every quantity from tables of the stages.

``DesignTables`` tells the same of designs as ``evaluate`` and ``measure`` do, to the rounding of
sums, a few hundred times as fast once its tables are made. Costs come from tables where the target
says that they are sums (``flash.targets.base.SummedCosts``); others go layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.evaluation.designs import (
    Evaluation,
    Metrics,
    cost_columns,
    evaluate,
    evaluation_of,
    measure,
    plain_metrics,
    sum_name,
)
from flash.metrics.registry import METRICS
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats, SeparableProblem, tabulate
from flash.spaces.table import LayerTable
from flash.targets.base import SummedCosts, Target

__all__ = ["DesignTables"]

Ints = NDArray[np.int64]

#: Those that are sums over cells: the stage that completes a cell has the cell's.
_OF_CELLS = ("nn_degree", "nn_mass")
#: Random designs that must come out the same both ways before tables are trusted.
_CHECKED = 32


class DesignTables:
    """Tables of a space on a target (or on none).

    Raises ``UsageError`` where the quantities of the space do not add up over its stages.
    """

    def __init__(self, space: SearchSpace, target: Target | None) -> None:
        self.space, self.target = space, target
        offered: object = target
        self._summed = offered if isinstance(offered, SummedCosts) else None
        self._problem = self._tabulated()
        self._scores: dict[str, SeparableProblem] = {}
        self._check()

    def evaluate(self, indices: Ints) -> Metrics:
        """As ``measure``; with a target as ``evaluate``: an ``Evaluation``."""
        if self.target is not None and self._summed is None:
            return evaluate(self.space, self.target, indices)
        found = self._problem.evaluate(indices)
        metrics = {name: found.pop(name) for name in Metrics.__dataclass_fields__}
        if self._summed is None:
            return Metrics(**metrics)
        sums = {name.removeprefix(sum_name("")): values for name, values in found.items()}
        return evaluation_of(metrics | cost_columns(self._summed.costs_of_sums(sums)))

    def score(self, metric: str, indices: Ints) -> Floats | None:
        """A metric of designs, shape (designs,); None where it is no sum over the stages."""
        if metric not in self._scores:
            try:
                self._scores[metric] = METRICS[metric].tabulated(self._problem, self.space)
            except UsageError:
                return None
        return self._scores[metric].evaluate(indices, metric)[metric]

    def _tabulated(self) -> SeparableProblem:
        target, summed = self.target, self._summed
        sizes = (target.weight_bytes, target.activation_bytes) if target else ()

        def of_layers(table: LayerTable) -> Mapping[str, Floats]:
            metrics = plain_metrics(table, *sizes)
            costs: Mapping[str, Floats] = {} if summed is None else summed.sums(table)
            return metrics | {sum_name(name): values for name, values in costs.items()}

        def of_cells(table: LayerTable) -> Mapping[str, Floats]:
            metrics = plain_metrics(table)
            return {name: metrics[name] for name in _OF_CELLS}

        names = [*Metrics.__dataclass_fields__]
        if summed is not None:
            one = self.space.table(np.zeros((1, len(self.space.grids)), dtype=np.int64))
            names += [sum_name(name) for name in summed.sums(one)]
        combine: dict[str, Combine] = dict.fromkeys(names, "sum")
        return tabulate(self.space, of_layers, of_cells, combine | {"activation_kb": "max"})

    def _check(self) -> None:
        """Raise ``UsageError`` if random designs come out another way layer by layer."""
        designs = self.space.sample(_CHECKED, np.random.default_rng(0))
        found = self.evaluate(designs)
        known = (
            measure(self.space, designs)
            if self.target is None
            else evaluate(self.space, self.target, designs)
        )
        names = [*Metrics.__dataclass_fields__]
        pairs = [(getattr(found, name), getattr(known, name)) for name in names]
        if isinstance(found, Evaluation) and isinstance(known, Evaluation):
            pairs += [*zip(found.latency_ms, known.latency_ms, strict=True)]
            pairs += [*zip(found.energy_mj, known.energy_mj, strict=True)]
        if not all(np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True) for a, b in pairs):
            raise UsageError(f"what designs of space {self.space.name} cost is no sum over stages")
