"""A processor with a fitted profile as a target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flash.errors import UsageError
from flash.spaces.network import Network
from flash.spaces.stage_tables import Combine, Floats
from flash.spaces.table import LayerTable
from flash.targets.base import Costs, SumLimit
from flash.targets.breakdown import Breakdown
from flash.targets.processor.breakdown import breakdown
from flash.targets.processor.costs import costs, features
from flash.targets.processor.intervals import (
    energy_interval,
    latency_interval,
    measured_limits,
    measured_share,
)
from flash.targets.processor.kernel_classes import LANES
from flash.targets.processor.profile import BYTES, NO_ENERGY, Profile
from flash.targets.processor.runtime import AS_READ

__all__ = ["ProcessorTarget"]


@dataclass(frozen=True)
class ProcessorTarget:
    """A board one buys: latency and energy fitted to measurements, no area of its own.

    named: whether the user named the runtime in use.
    """

    profile: Profile

    weight_limit_kb: float = math.inf
    area_how: str = ""
    exact: bool = True
    named: bool = False

    @property
    def chip(self) -> Mapping[str, int]:
        """None: the board is what it is."""
        return {}

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.profile.name

    @property
    def channel_block(self) -> int:
        """Output channels that the runtime computes at once."""
        return self.profile.runtime.lanes

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight in the runtime's precision."""
        return BYTES[self.profile.runtime.precision]

    @property
    def activation_bytes(self) -> float:
        """Bytes of an activation in the runtime's precision."""
        return self.weight_bytes

    @property
    def latency_how(self) -> str:
        """The held-out errors behind the interval."""
        found = self.profile.runtime.provenance
        return f"90 % of held-out errors ({found.held_out})"

    @property
    def energy_how(self) -> str:
        """How the profile came by its power; empty where nobody measured it."""
        return self.profile.energy.how if self.profile.energy != NO_ENERGY else ""

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Sums over stages."""
        return {"latency_ms": "sum", "energy_mj": "sum"}

    @property
    def notes(self) -> tuple[str, ...]:
        """The profile's own."""
        return self.profile.notes

    def summary(self) -> dict[str, Any]:
        """The profile's own."""
        return self.profile.summary()

    def costs(self, table: LayerTable, totals: Mapping[str, Floats] | None = None) -> Costs:
        """Costs with the 90 % intervals of the held-out errors."""
        return self.costs_of_sums(self.sums(table) | dict(totals or {}))

    def sums(self, table: LayerTable) -> dict[str, Floats]:
        """The costs and what their intervals depend on, additive."""
        return features(table, self.profile)

    def costs_of_sums(self, sums: Mapping[str, Floats]) -> Costs:
        """Costs with the 90 % intervals of the held-out errors."""
        latency, energy = sums["latency_ms"], sums["energy_mj"]
        low, high, extrapolated = latency_interval(latency, sums, self.profile)
        energy_low, energy_high = energy_interval(energy, (latency, low, high), self.profile)
        details = {}
        if self.profile.runtime.kernels is not None:
            details["measured_share"] = measured_share(latency, sums)
        return Costs(
            (latency, low, high), (energy, energy_low, energy_high), extrapolated, details=details
        )

    @property
    def measured(self) -> Sequence[Sequence[SumLimit]]:
        """Enough of the time in kernels like those measured, or all within the fitted networks."""
        return measured_limits(self.profile)

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Latency and energy, additive."""
        return costs(table, self.profile)

    def of_optimised(self, optimizer: str) -> tuple[ProcessorTarget, bool]:
        """For networks read from the graph that ``optimizer`` makes of a model on a CPU."""
        profile, runtime = self.profile, self.profile.runtime
        words = runtime.framework.lower()
        if not words.startswith(optimizer) or "gpu" in words or "cuda" in words:
            raise UsageError(
                f"--optimized-by {optimizer}: {profile.name}:{runtime.name} runs "
                f"{runtime.framework}, not {optimizer} on a CPU"
            )
        alternatives = tuple(replace(v, fusion=AS_READ[v.fusion]) for v in runtime.alternatives)
        as_read = replace(runtime, fusion=AS_READ[runtime.fusion], alternatives=alternatives)
        runtimes = {**profile.runtimes, runtime.name: as_read}
        blocks = any(v.lanes > LANES[0] for v in runtime.variants)
        return replace(self, profile=replace(profile, runtimes=runtimes)), blocks

    def of_format(self, number_format: str) -> ProcessorTarget | None:
        """With the runtime of the same framework that has the format, else with the first."""
        own = self.profile.runtime
        if own.precision == number_format:
            return self
        others = [r for r in self.profile.runtimes.values() if r.precision == number_format]
        if self.named or not others:
            return None
        framework = own.framework.split()[0].rstrip(",")
        alike = [r for r in others if r.framework.startswith(framework)]
        return replace(self, profile=self.profile.select((alike or others)[0].name))

    def breakdown(self, network: Network) -> Breakdown:
        """Kernel by kernel, as the runtime merges them; a board has no area and no drawing."""
        return breakdown(network, self.profile)
