"""One chip with a systolic array as a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from flash.quantities import format_memory
from flash.spaces.network import Network
from flash.spaces.stage_tables import Combine, Floats
from flash.spaces.table import LayerTable
from flash.targets.base import ANALYTICAL, Costs
from flash.targets.breakdown import Breakdown
from flash.targets.foreign import refuse_foreign
from flash.targets.systolic.breakdown import breakdown
from flash.targets.systolic.chip import Chip, systolic_area_mm2, systolic_weight_kb
from flash.targets.systolic.costs import systolic_costs
from flash.targets.systolic.gemm import DATAFLOWS
from flash.targets.systolic.profile import SystolicHardware

__all__ = ["MAC_MODELS", "SystolicTarget"]

#: Models of a MAC whose disagreement is the interval of the energy.
MAC_MODELS: Final = ("aladdin", "horowitz")
#: Operations priced besides those that families emit.
_FROM_FILES: Final = ("matmul", "conv_transpose", "layer_norm", "reduce", "gather", "resize")
_ALSO: Final = ("input", "output", *_FROM_FILES)
#: Formats that files are stored in -> bits of the operands that compute them.
_STORED_BITS: Final = MappingProxyType({"int8": 8, "fp16": 16})


@dataclass(frozen=True)
class SystolicTarget:
    """A profile and a value for each of its hardware variables.

    named: the user chose the width of the operands.
    """

    hardware: SystolicHardware
    chip: Mapping[str, int]
    named: bool = False

    exact: bool = True

    def __post_init__(self) -> None:
        # A chip that cannot be is refused here, not at the first network.
        Chip.of(self.hardware, self.chip)

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.hardware.name

    @property
    def latency_how(self) -> str:
        """What others' latencies of the same networks and layers are, over this model's."""
        return self.hardware.sources["latency_low"]

    @property
    def energy_how(self) -> str:
        """The models of a MAC compared, and what chips take over this model."""
        compared = f"published figures of a MAC ({', '.join(MAC_MODELS)})"
        source = self.hardware.sources.get("energy_low")
        return f"{compared}; {source}" if source else compared

    @property
    def area_how(self) -> str:
        """Where the interval of the area comes from."""
        return self.hardware.sources["area_low"]

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight."""
        return self.chip["bits"] / 8

    @property
    def activation_bytes(self) -> float:
        """Bytes of an activation."""
        return self.chip["bits"] / 8

    @property
    def weight_limit_kb(self) -> float:
        """Weights that fit where they must stay on the chip."""
        return float(systolic_weight_kb(self.hardware, self.chip))

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Area is the chip's: each stage says so, and it counts once."""
        return {"latency_ms": "sum", "energy_mj": "sum", "area_mm2": "max"}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out."""
        notes = [ANALYTICAL]
        if np.isfinite(self.weight_limit_kb):
            limit = format_memory(self.weight_limit_kb)
            notes.append(
                f"weights stay on the chip, so networks above {limit} of weights are left out"
            )
        return tuple(notes)

    def summary(self) -> dict[str, Any]:
        """Name, chip and provenance as plain values, for reports."""
        chip: dict[str, Any] = dict(self.chip)
        chip["dataflow"] = DATAFLOWS[chip["dataflow"]]
        words = ", ".join(f"{name}={value}" for name, value in chip.items())
        return {
            "name": self.name,
            "description": self.hardware.description,
            "kind": "systolic",
            "basis": ANALYTICAL,
            "hardware": chip,
            "provenance": [self.hardware.provenance_line, f"chip: {words}"],
        }

    def costs(self, table: LayerTable, totals: Mapping[str, Floats] | None = None) -> Costs:
        """Costs; intervals are the profile's, of energy at least over the models of a MAC."""
        refuse_foreign(table, self.name, _ALSO)
        found = self._costs(table, self.hardware) | dict(totals or {})
        latency, energy = found["latency_ms"], found["energy_mj"]
        energies = [energy]
        for model in MAC_MODELS:
            if model != self.hardware.mac_model:
                energies.append(self._dynamic_mj(table, model) + self._leakage_mj(latency))
        hardware = self.hardware
        energies += [end * energy for end in (hardware.energy_low, hardware.energy_high) if end]
        area = np.full(table.designs, float(systolic_area_mm2(hardware, self.chip)))
        low, high = self._latency_factors(table)
        # The chips that the intervals come from ran convolutional networks that classify.
        foreign = np.isin(table.ops, _FROM_FILES)
        return Costs(
            (latency, low * latency, high * latency),
            (energy, np.minimum.reduce(energies), np.maximum.reduce(energies)),
            np.asarray(table.live[foreign].any(axis=0)),
            (area, hardware.area_low * area, hardware.area_high * area),
        )

    def _latency_factors(self, table: LayerTable) -> tuple[Floats, Floats]:
        """Least and most of others' latencies over this model's, of every design."""
        h = self.hardware
        in_groups = (table.ops == "conv")[:, None] & (table["groups"] > 1) & table.live
        grouped = in_groups.any(axis=0)
        low = h.latency_low if h.latency_low_grouped is None else h.latency_low_grouped
        high = h.latency_high if h.latency_high_grouped is None else h.latency_high_grouped
        return np.where(grouped, low, h.latency_low), np.where(grouped, high, h.latency_high)

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Latency and energy, additive, and the chip's area."""
        area = np.full(table.designs, float(systolic_area_mm2(self.hardware, self.chip)))
        return {**self._costs(table, self.hardware), "area_mm2": area}

    def of_format(self, number_format: str) -> SystolicTarget:
        """With operands as wide as numbers stored so, where the profile has that width."""
        bits = _STORED_BITS.get(number_format, self.chip["bits"])
        if self.named or bits == self.chip["bits"] or bits not in self.hardware.variables["bits"]:
            return self
        return replace(self, chip={**self.chip, "bits": bits})

    def breakdown(self, network: Network) -> Breakdown:
        """Layer by layer, with the profile's own model of a MAC."""
        return breakdown(network, self.hardware, self.chip)

    def _costs(self, table: LayerTable, hardware: SystolicHardware) -> dict[str, Floats]:
        found = systolic_costs(table, hardware, self.chip)
        return {name: np.broadcast_to(v, (table.designs,)) for name, v in found.items()}

    def _dynamic_mj(self, table: LayerTable, mac_model: str) -> Floats:
        hardware = replace(self.hardware, mac_model=mac_model, leakage_mw_per_mm2=0.0)
        return self._costs(table, hardware)["energy_mj"]

    def _leakage_mj(self, latency_ms: Floats) -> Floats:
        # The area, and with it the leakage, was fitted with the profile's own MAC.
        area = float(systolic_area_mm2(self.hardware, self.chip))
        return latency_ms * (area * self.hardware.leakage_mw_per_mm2 * 1e-3)
