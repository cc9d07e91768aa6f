"""One chip of crossbar tiles as a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flash.spaces.network import Network
from flash.spaces.stage_tables import Combine, Floats
from flash.spaces.table import LayerTable, network_table
from flash.targets.base import ANALYTICAL, Costs, Triple
from flash.targets.breakdown import Breakdown
from flash.targets.foreign import refuse_foreign
from flash.targets.imc.breakdown import breakdown
from flash.targets.imc.model import imc_costs
from flash.targets.imc.profile import ImcHardware

__all__ = ["ImcTarget"]


@dataclass(frozen=True)
class ImcTarget:
    """A profile and a value for each of its hardware variables.

    A chip has as many tiles as its network needs, so area is the design's, not the chip's.
    """

    hardware: ImcHardware
    chip: Mapping[str, int]

    weight_limit_kb: float = math.inf
    exact: bool = False

    def __post_init__(self) -> None:
        # A chip that cannot be is refused here, not at the first network.
        self.hardware.options(self.chip)

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.hardware.name

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight."""
        return self.hardware.precision.weight_bits / 8

    @property
    def activation_bytes(self) -> float:
        """Bytes of an activation."""
        return self.hardware.precision.activation_bits / 8

    @property
    def latency_how(self) -> str:
        """The converter models compared, and the model's own error where the profile says one."""
        models, source = self.hardware.settings.adc_models, self.hardware.errors.source
        compared = f"published converter models ({', '.join(models)})"
        return f"{compared}; {source}" if source else compared

    @property
    def energy_how(self) -> str:
        """The converter models compared."""
        return self.latency_how

    @property
    def area_how(self) -> str:
        """The converter models compared."""
        return self.latency_how

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Sums over stages: area exactly, the others as lower bounds."""
        return {"latency_ms": "sum", "energy_mj": "sum", "area_mm2": "sum"}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out."""
        notes = [ANALYTICAL]
        chip = self.chip
        exact = math.ceil(math.log2(chip["rows"])) + self.hardware.precision.dac_bits
        missing = exact + chip["cell_bits"] - 2 - chip["adc_bits"]
        if missing > 0:
            notes.append(
                f"converters of {chip['adc_bits']} bits fall {missing} short of an exact sum of "
                f"{chip['rows']} rows: accuracy may suffer"
            )
        return tuple(notes)

    def summary(self) -> dict[str, Any]:
        """Name, chip and provenance as plain values, for reports."""
        words = ", ".join(f"{name}={value}" for name, value in self.chip.items())
        settings = self.hardware.settings
        origin = (
            f"{self.name}: {self.hardware.provenance}, parts of {self.hardware.parts_of} at "
            f"{settings.reference_nm:g} nm, mesh as BookSim2, no measurement; converter "
            f"{settings.adc_model}, intervals over {', '.join(settings.adc_models)}"
        )
        return {
            "name": self.name,
            "description": self.hardware.description,
            "kind": "imc",
            "basis": ANALYTICAL,
            "hardware": dict(self.chip),
            "provenance": [origin, f"chip: {words}"],
        }

    def costs(self, table: LayerTable, totals: Mapping[str, Floats] | None = None) -> Costs:
        """Costs of the real placement, with intervals over the converter models.

        Sums of stage costs are lower bounds here, so ``totals`` are no costs and are not read.
        """
        refuse_foreign(table, self.name)
        found = imc_costs(table, self.hardware, self.chip)

        errors = self.hardware.errors

        def triple(name: str, factor: float) -> Triple:
            return found[name], found[f"{name}_low"] / factor, found[f"{name}_high"] * factor

        return Costs(
            triple("latency_ms", errors.latency),
            triple("energy_mj", errors.energy),
            np.zeros(table.designs, dtype=np.bool_),
            triple("area_mm2", errors.area),
            {name: found[name] for name in ("tiles", "utilisation")},
        )

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Area, and lower bounds of latency and energy, with the profile's own converter."""
        found = imc_costs(table, self._one_converter, self.chip, "least")
        return {name: found[name] for name in self.quantities}

    def breakdown(self, network: Network) -> Breakdown:
        """Tile by tile, with the profile's own converter model."""
        return breakdown(network_table(network), self.hardware, self.chip)

    @cached_property
    def _one_converter(self) -> ImcHardware:
        settings = self.hardware.settings
        return replace(self.hardware, settings=replace(settings, adc_models=(settings.adc_model,)))
