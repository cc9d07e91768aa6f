"""Where area, latency and energy of one design come from, for reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.table import LayerTable
from flash.targets.imc.model import Values, evaluate, prepare
from flash.targets.imc.profile import ImcHardware

__all__ = ["Breakdown", "LayerCost", "breakdown"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerCost:
    """One row of the table; ``first_tile`` is its first tile along the snake."""

    name: str
    op: str
    crossbars: int
    tiles: int
    first_tile: int
    utilisation: float
    compute_ms: float
    noc_ms: float
    energy_mj: float


@dataclass(frozen=True)
class Breakdown:
    """One design on one chip, with one converter model.

    area_mm2, energy_mj: component -> of the chip; "leakage" is part of the energy.
    latency_ms:          "compute" and "noc".
    """

    adc_model: str
    mesh_side: int
    layers: tuple[LayerCost, ...]
    area_mm2: dict[str, float]
    latency_ms: dict[str, float]
    energy_mj: dict[str, float]

    def share(self, quantity: str, *components: str) -> float:
        """Part of ``area_mm2``, ``latency_ms`` or ``energy_mj`` due to ``components``."""
        values: dict[str, float] = getattr(self, quantity)
        return sum(values[name] for name in components) / sum(values.values())

    def __str__(self) -> str:
        lines = []
        for title in ("area_mm2", "latency_ms", "energy_mj"):
            values: dict[str, float] = getattr(self, title)
            total = sum(values.values())
            lines.append(f"{title:<12}{total:10.4g}")
            for name, value in sorted(values.items(), key=lambda item: -item[1]):
                lines.append(f"  {name:<18}{value:10.4g}{100 * value / total:7.1f} %")
        return "\n".join(lines)


def breakdown(
    table: LayerTable, hardware: ImcHardware, variables: Values, adc_model: str = ""
) -> Breakdown:
    """The breakdown of a table of one design on one hardware configuration.

    adc_model: one of the profile's ``adc_models``; its ``adc_model`` if empty.
    Raises ``UsageError`` for more than one design or an unknown model.
    """
    model = adc_model or hardware.settings.adc_model
    if model not in hardware.settings.adc_models:
        known = ", ".join(hardware.settings.adc_models)
        raise UsageError(f"ADC model '{model}' is none of the profile's: {known}")
    work = prepare(table, hardware, variables, "placed")
    if work.mapped.tiles.shape[1] != 1:
        raise UsageError("a breakdown is of one design on one hardware configuration")
    chip, mapped, options = evaluate(work, model), work.mapped, work.options
    tiles = mapped.tiles[:, 0]
    total = float(tiles.sum())
    layer_ns = (chip.compute_ns + chip.noc_ns)[:, 0]
    dynamic = sum((e for e in chip.energy_pj.values()), np.zeros((1, 1)))
    busy = layer_ns * tiles if hardware.settings.idle_tiles == "gated" else layer_ns * total
    first = np.cumsum(tiles) - tiles
    cells = float(options.crossbars_per_tile[0] * options.rows[0] * options.columns[0])
    held = (mapped.used_cells * mapped.copies)[:, 0]
    layers = tuple(
        LayerCost(
            name=layer.name, op=layer.op, crossbars=int(mapped.crossbars[row, 0]),
            tiles=int(tiles[row]), first_tile=int(first[row]),
            utilisation=float(held[row] / (tiles[row] * cells)) if tiles[row] else 0.0,
            compute_ms=float(chip.compute_ns[row, 0]) * 1e-6,
            noc_ms=float(chip.noc_ns[row, 0]) * 1e-6,
            energy_mj=float(dynamic[row, 0]) * 1e-9,
        )
        for row, layer in enumerate(table.layers)
    )  # fmt: skip
    energy = {name: float(e.sum()) * 1e-9 for name, e in chip.energy_pj.items()}
    energy["leakage"] = float(chip.leakage_mw[0] * busy.sum()) * 1e-9
    area = {name: total * float(np.ravel(a)[0]) for name, a in chip.parts_mm2.items()}
    if hardware.settings.chip_link:
        area["chip_link"] = hardware.link.area_mm2
        energy["chip_link"] = hardware.link.power_mw * float(layer_ns.sum()) * 1e-9
    latency = {
        "compute": float(chip.compute_ns.sum()) * 1e-6,
        "noc": float(chip.noc_ns.sum()) * 1e-6,
    }
    side = int(np.ceil(np.sqrt(total)))
    return Breakdown(model, side, layers, area, latency, energy)
