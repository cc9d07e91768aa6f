"""What a metric is: a data-free score of networks, more is better, declared once.

One object says everything the rest of flash asks of a metric. A new one takes a file that
defines it and one line in ``flash.metrics.METRICS`` (or an entry point of group
``flash.metrics`` in a package of your own). Three kinds, by how they add up:

* ``CellMetric``: a sum over the cells of a design, from the cell's own layers. An optimizer
  searches it exactly, together with hardware too.
* ``StageMetric``: a sum over the stages of a space (``flash.spaces.stage_tables``) that needs
  more than a cell's own layers. An optimizer searches it on one chip.
* ``NetworkMetric``: a number of the whole network. An optimizer takes it in spaces of one stage;
  in others it ranks what was found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.quantities import Quantity
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats, SeparableProblem, StageTable, with_cell_sum
from flash.spaces.table import LayerTable

__all__ = ["CellMetric", "Metric", "NetworkMetric", "StageMetric"]

Ints = NDArray[np.int64]

#: Designs looked at together: large enough to vectorise, small enough for the cache.
_CHUNK = 2048
#: Designs of a space of one stage that are scored one by one to tabulate it: at 1 ms each,
#: NAS-Bench-201 takes 16 s.
_MOST = 20_000


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A data-free score, more is better.

    quantity: its name and label, of sense "max" and without a unit.
    source: the paper or derivation the formula is from, and what is ours.
    positive: every network that leads its input to its output scores above 0, so 0 says that no
              path does.
    """

    quantity: Quantity
    source: str
    positive: bool = False

    @property
    def name(self) -> str:
        """What users and files call it."""
        return self.quantity.name

    @property
    def per_cell(self) -> bool:
        """A sum over cells, each from its own layers."""
        return False

    @abstractmethod
    def of_network(self, network: Network) -> Mapping[str, float]:
        """The score of one network by name, and others that cost nothing more.

        NaN where it is not defined.
        """

    @abstractmethod
    def of_designs(self, space: SearchSpace, indices: Ints) -> Mapping[str, Floats]:
        """Scores of designs (indices, shape (designs, variables)), each of shape (designs,).

        The metric's own is among them by name, beside others that cost nothing more.
        """

    @abstractmethod
    def tabulated(self, problem: SeparableProblem, space: SearchSpace) -> SeparableProblem:
        """``problem`` (stage tables of ``space``) with the metric, summed over stages.

        Raises ``UsageError`` if the metric of this space is no sum over stages.
        """


@dataclass(frozen=True, kw_only=True)
class CellMetric(Metric):
    """A sum over cells.

    table:   scores of the designs of a layer table, shape (designs,); a sum over the cells
             (``Layer.cell``) in the table, so that each stage's part can be tabulated alone.
    network: the score of a network whose layers name no cells (an ONNX file); NaN without.
    """

    table: Callable[[LayerTable], Floats]
    network: Callable[[Network], float] | None = None

    @property
    def per_cell(self) -> bool:
        """True."""
        return True

    def of_network(self, network: Network) -> Mapping[str, float]:
        """See ``Metric``."""
        if all(layer.cell < 0 for layer in network.layers):
            return {self.name: np.nan if self.network is None else float(self.network(network))}
        layers = LayerTable(network.layers, [True] * len(network.layers), network.output, 1)
        return {self.name: float(self.table(layers)[0])}

    def of_designs(self, space: SearchSpace, indices: Ints) -> Mapping[str, Floats]:
        """See ``Metric``."""
        parts = [
            self.table(space.table(indices[start : start + _CHUNK]))
            for start in range(0, len(indices), _CHUNK)
        ]
        return {self.name: np.concatenate(parts) if parts else np.zeros(0)}

    def tabulated(self, problem: SeparableProblem, space: SearchSpace) -> SeparableProblem:
        """See ``Metric``; never refused."""
        return with_cell_sum(problem, space, self.name, self.table)


@dataclass(frozen=True, kw_only=True)
class NetworkMetric(Metric):
    """A number of the whole network.

    network: the score of a network, or several that share the work, by name.
    designs: the same of many designs, where that is faster than one by one.
    """

    network: Callable[[Network], float | Mapping[str, float]]
    designs: Callable[[SearchSpace, Ints], Mapping[str, Floats]] | None = None

    def of_network(self, network: Network) -> Mapping[str, float]:
        """See ``Metric``."""
        found = self.network(network)
        return found if isinstance(found, Mapping) else {self.name: float(found)}

    def of_designs(self, space: SearchSpace, indices: Ints) -> Mapping[str, Floats]:
        """See ``Metric``."""
        if self.designs is not None:
            return self.designs(space, indices)
        found = [self.of_network(space.network(design))[self.name] for design in indices]
        return {self.name: np.array(found, dtype=np.float64)}

    def tabulated(self, problem: SeparableProblem, space: SearchSpace) -> SeparableProblem:
        """See ``Metric``; only of a space whose one stage owns every variable."""
        if len(problem.stages) != 1 or problem.size > _MOST:
            raise UsageError(
                f"{self.name} is no sum over the stages of space {space.name}, so an optimizer "
                f"cannot take it; search with another metric and rank what is found by {self.name}"
            )
        (stage,) = problem.stages
        mesh = np.indices(problem.sizes).reshape(len(problem.sizes), -1).T
        values = self.of_designs(space, mesh)[self.name].reshape(problem.sizes)
        table = StageTable(stage.name, stage.reads, stage.owns, {**stage.values, self.name: values})
        return SeparableProblem(problem.sizes, (table,), {**problem.combine, self.name: "sum"})


@dataclass(frozen=True, kw_only=True)
class StageMetric(NetworkMetric):
    """A sum over stages that needs more than a cell's own layers.

    tables: problem and space -> the problem with the metric, as ``Metric.tabulated``.
    """

    tables: Callable[[SeparableProblem, SearchSpace], SeparableProblem]

    def tabulated(self, problem: SeparableProblem, space: SearchSpace) -> SeparableProblem:
        """See ``Metric``; in a space of one stage designs are scored one by one at the least."""
        try:
            return self.tables(problem, space)
        except UsageError:
            if len(problem.stages) != 1:
                raise
            return super().tabulated(problem, space)
