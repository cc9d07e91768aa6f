"""What one tile is made of: so many units of each component, router and converters included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.targets.components import Component, component
from flash.targets.imc.profile import ImcHardware, Options, Part

__all__ = ["TilePart", "converter", "part_component", "router", "tile_parts", "tile_power_mw"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TilePart:
    """``units`` of a component in one tile; arrays of the shape of the options."""

    units: Floats
    component: Component

    @property
    def area_mm2(self) -> Floats:
        """Area of all units."""
        return self.units * self.component.area_mm2

    @property
    def leakage_mw(self) -> Floats:
        """Leakage of all units."""
        return self.units * self.component.leakage_mw


def tile_parts(hardware: ImcHardware, options: Options, adc_model: str) -> dict[str, TilePart]:
    """Each part of one tile, "adc" and "router" last."""
    parts = {
        name: TilePart(_units(part, options), part_component(hardware, name, options.node_nm))
        for name, part in hardware.parts.items()
    }
    per_crossbar = np.ceil(options.columns / options.columns_per_adc)
    adcs = options.crossbars_per_tile * per_crossbar
    parts["adc"] = TilePart(adcs, converter(options, adc_model))
    one = np.ones(np.shape(options.node_nm))
    parts["router"] = TilePart(one, router(hardware, options))
    return parts


def tile_power_mw(hardware: ImcHardware, options: Options, adc_model: str) -> dict[str, Floats]:
    """Power of each part of a tile that never pauses, every column converted once a ``cycle_ns``.

    That is how ISAAC states powers; 0 for parts of which no such figure is published.
    """
    parts = tile_parts(hardware, options, adc_model)
    power = {
        name: part.units * (0.0 if part.component.busy_mw is None else part.component.busy_mw)
        for name, part in parts.items()
    }
    conversions = options.crossbars_per_tile * options.columns
    energy_pj = parts["adc"].component.energy_pj["convert"]
    power["adc"] = conversions * energy_pj / hardware.settings.cycle_ns
    return power


def part_component(hardware: ImcHardware, name: str, node_nm: Floats) -> Component:
    """One unit of part ``name``; its action "use" is of one cell for the array."""
    part, settings = hardware.parts[name], hardware.settings
    duration = settings.array_read_ns if part.per == "cell" else settings.cycle_ns
    return part.model(node_nm, cycle_ns=duration, leakage_mw_per_mm2=settings.leakage_mw_per_mm2)


def converter(options: Options, adc_model: str) -> Component:
    """One analog-to-digital converter of the options' bits."""
    return component("adc", adc_model, options.node_nm, bits=options.adc_bits, rows=options.rows)


def router(hardware: ImcHardware, options: Options) -> Component:
    """The router of one tile."""
    return hardware.router(
        options.node_nm,
        width_bits=options.noc_bits,
        leakage_mw_per_mm2=hardware.settings.leakage_mw_per_mm2,
    )


def _units(part: Part, options: Options) -> Floats:
    """Units of ``part`` in one tile."""
    crossbars, rows, columns = options.crossbars_per_tile, options.rows, options.columns
    return {
        "row": crossbars * rows,
        "column": crossbars * columns,
        "cell": crossbars * rows * columns,
        "tile_row": crossbars * rows,
        "tile_column": crossbars * columns,
        "kib": options.buffer_kib,
    }[part.per]
