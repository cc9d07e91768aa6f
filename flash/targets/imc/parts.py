"""What one tile is made of: area and power of each part, and the energy of using it once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.targets.components import area_scale, energy_scale
from flash.targets.imc.converters import by_node, convert
from flash.targets.imc.noc import router_area_mm2
from flash.targets.imc.profile import ImcHardware, Options, Part

__all__ = ["NOT_LEAKING", "part_pj", "tile_parts"]

Floats = NDArray[np.float64]

#: Parts whose standby current is no logic leakage: cells, wires and capacitors have none, and
#: a converter's is part of its energy a conversion.
NOT_LEAKING: Final = ("adc", "array", "bus", "sample_hold")


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


def tile_parts(
    hardware: ImcHardware, options: Options, adc_model: str
) -> dict[str, tuple[Floats, Floats]]:
    """Area (mm2) and power (mW) of each part of one tile, router included.

    The power is that of a tile without a pause, in cycles of the profile's ``cycle_ns``,
    every column converted once a cycle: ISAAC's way of stating it. Arrays of the shape
    of the options.
    """
    shrink = by_node(area_scale, hardware.settings.reference_nm, options.node_nm)
    thrift = by_node(energy_scale, hardware.settings.reference_nm, options.node_nm)
    result: dict[str, tuple[Floats, Floats]] = {}
    for name, part in hardware.parts.items():
        units = _units(part, options)
        area = units * part.unit_area_mm2 * (shrink if part.scales else 1.0)
        power = units * part.power_mw / part.count * (thrift if part.scales else 1.0)
        result[name] = (area, power)
    converter = convert(adc_model, options.adc_bits, options.rows, options.node_nm)
    per_crossbar = np.ceil(options.columns / options.columns_per_adc)
    adcs = options.crossbars_per_tile * per_crossbar
    conversions = options.crossbars_per_tile * options.columns
    adc_power = conversions * converter.energy_pj / hardware.settings.cycle_ns
    result["adc"] = (adcs * converter.area_um2 * 1e-6, adc_power)
    model = hardware.settings.router_model
    router = router_area_mm2(hardware.noc, model, options.noc_bits) * shrink
    fixed = hardware.noc.isaac.power_mw if model == "isaac" else 0.0
    result["router"] = (router, np.full(np.shape(router), fixed) * thrift)
    return result


def part_pj(hardware: ImcHardware, name: str, node_nm: Floats) -> Floats:
    """Energy (pJ) of using part ``name`` once; for the array, of reading one cell once."""
    part, settings = hardware.parts[name], hardware.settings
    duration = settings.array_read_ns if part.per == "cell" else settings.cycle_ns
    scale = by_node(energy_scale, settings.reference_nm, node_nm)
    return part.use_pj(duration) * (scale if part.scales else np.ones_like(scale))
