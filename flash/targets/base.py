"""What every target offers to whoever prices networks on it, whatever kind of hardware it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flash.spaces.network import Network
from flash.spaces.stage_tables import Combine, Floats
from flash.spaces.table import LayerTable
from flash.targets.breakdown import Breakdown

__all__ = [
    "ANALYTICAL",
    "ChannelBlocks",
    "Costs",
    "MeasuredRange",
    "RunsFormats",
    "RunsGraphs",
    "SumLimit",
    "SummedCosts",
    "Target",
    "Triple",
    "bits_of",
    "drawn_chip",
]

#: Value, low and high.
Triple = tuple[Floats, Floats, Floats]

#: Of what is computed from published parts and formulas.
ANALYTICAL: Final = (
    "every figure is analytical: no chip was measured; brackets are the errors that its profile "
    "states"
)


@dataclass(frozen=True)
class Costs:
    """Costs of designs; arrays of shape (designs,).

    latency_ms, energy_mj, area_mm2: value, low and high; area is None where a target has none.
    extrapolated: the cost model was fitted to nothing like the design.
    details:      what else the target tells of a design (tiles, utilisation, ...).
    """

    latency_ms: Triple
    energy_mj: Triple
    extrapolated: NDArray[np.bool_]
    area_mm2: Triple | None = None
    details: Mapping[str, Floats] = field(default_factory=dict)


class Target(Protocol):
    """A device, or one chip of a family, that networks are priced on.

    weight_bytes, activation_bytes: of one element.
    weight_limit_kb: weights the chip can hold, 10^3 bytes; infinite where they may stay outside.
    latency_how, energy_how, area_how: how the intervals came about.
    exact:           stage costs add up to the costs; else they are lower bounds of them.
    quantities:      names of ``stage_costs`` and how each combines over stages.
    notes:           what a reader of the figures should know, a sentence each.
    """

    @property
    def name(self) -> str:
        """Name of the profile."""

    @property
    def chip(self) -> Mapping[str, int]:
        """Hardware variables; none where hardware is bought ready-made."""

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight."""

    @property
    def activation_bytes(self) -> float:
        """Bytes of an activation."""

    @property
    def weight_limit_kb(self) -> float:
        """Weights (10^3 bytes) that fit."""

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
    def exact(self) -> bool:
        """Whether stage costs add up to the costs."""

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Quantities of ``stage_costs`` and how they combine."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the reader."""

    def summary(self) -> dict[str, Any]:
        """Name, description and provenance as plain values, for reports.

        Under ``basis``, if there is one: what its figures rest on, in a few words.
        """

    def costs(self, table: LayerTable, totals: Mapping[str, Floats] | None = None) -> Costs:
        """Costs of every design of a table of whole networks.

        totals: the sums of ``stage_costs`` by name, each of shape (designs,), where they are
        known: if the target is ``exact`` they are the costs, and intervals lie around them.
        """

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Costs of some stages of every design, each of shape (designs,)."""

    def breakdown(self, network: Network) -> Breakdown:
        """Where time, energy and area of one network go, layer by layer."""


@runtime_checkable
class ChannelBlocks(Protocol):
    """What a target may offer beside: it computes channels in blocks, part of one costs it all."""

    @property
    def channel_block(self) -> int:
        """Channels of a block."""


@runtime_checkable
class SummedCosts(Protocol):
    """What a target may offer beside: its costs and their intervals are made of sums alone.

    Designs of a space are then priced by look-ups in the stages' tables.
    """

    def sums(self, table: LayerTable) -> Mapping[str, Floats]:
        """All that ``costs_of_sums`` needs of some stages, each of shape (designs,)."""

    def costs_of_sums(self, sums: Mapping[str, Floats]) -> Costs:
        """``Target.costs`` of designs whose stages' ``sums`` were added up."""


@runtime_checkable
class RunsGraphs(Protocol):
    """What a target may offer beside: to price the very graph that its runtime has optimised."""

    def of_optimised(self, optimizer: str) -> tuple[Target, bool]:
        """The target for networks whose layers are the kernels that ``optimizer`` left; and
        whether it lays out activations in blocks of channels.

        Raises ``UsageError`` where another runtime runs the networks.
        """


@runtime_checkable
class RunsFormats(Protocol):
    """What a target may offer beside: runtimes, or chips, for networks stored in several number
    formats."""

    def of_format(self, number_format: str) -> Target | None:
        """The target with a runtime for networks stored so: itself where its runtime is one, or
        runs any; None where it has none, or the user named another."""


@dataclass(frozen=True)
class SumLimit:
    """A condition on a network: the sum of weight x sum is at most ``bound``.

    weights: by the names that ``SummedCosts.sums`` gives the sums.
    """

    name: str
    weights: Mapping[str, float]
    bound: float = 0.0

    def value(self, sums: Mapping[str, Floats]) -> Floats:
        """What ``bound`` bounds, of stages or of designs, in the shape of the sums."""
        terms = [weight * sums[name] for name, weight in self.weights.items()]
        total: Floats = np.sum(terms, axis=0)
        return total


@runtime_checkable
class MeasuredRange(SummedCosts, Protocol):
    """What a target with summed costs may offer beside: which networks are like those measured."""

    @property
    def measured(self) -> Sequence[Sequence[SumLimit]]:
        """Sets of conditions; ``Costs.extrapolated`` is false of a network that meets one set.

        Sufficient, not necessary: a search that must stay inside takes them as limits. With the
        costs themselves, the sums they weigh are all that ``costs_of_sums`` needs.
        """


def bits_of(target: Target) -> int:
    """Bits of a weight."""
    return round(8 * target.weight_bytes)


def drawn_chip(target: Target, network: Network) -> tuple[Mapping[str, object], Breakdown]:
    """What there is to draw of a chip: its variables, and where one network's costs go."""
    hardware: Mapping[str, object] = target.summary().get("hardware", target.chip)
    return hardware, target.breakdown(network)
