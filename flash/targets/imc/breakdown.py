"""Where area, latency and energy of one design come from, for reports."""

from __future__ import annotations

import numpy as np

from flash.errors import UsageError
from flash.spaces.table import LayerTable
from flash.targets.breakdown import Breakdown, LayerCost, added_up
from flash.targets.imc.drawing import draw
from flash.targets.imc.model import Chip, Values, Work, evaluate, prepare
from flash.targets.imc.noc import mesh_side
from flash.targets.imc.profile import ImcHardware

__all__ = ["breakdown"]


def breakdown(
    table: LayerTable, hardware: ImcHardware, variables: Values, adc_model: str = ""
) -> Breakdown:
    """A table of one design on one hardware configuration, with one converter model.

    ``energy_mj`` has a component "leakage", ``latency_ms`` has "compute" and "noc".
    ``details`` of a layer: ``crossbars``, ``tiles``, ``first_tile`` (along the snake),
    ``compute_ms`` and ``noc_ms``.

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
    chip = evaluate(work, model)
    tiles = float(work.mapped.tiles.sum())
    layers = _layer_costs(work, chip)
    area = {name: tiles * float(np.ravel(a)[0]) for name, a in chip.parts_mm2.items()}
    if hardware.settings.chip_link:
        area["chip_link"] = hardware.link.area_mm2
    latency = {
        "compute": float(chip.compute_ns.sum()) * 1e-6,
        "noc": float(chip.noc_ns.sum()) * 1e-6,
    }
    side = int(mesh_side(tiles))
    return Breakdown(layers, area, latency, added_up(layers), draw(layers, side))


def _layer_costs(work: Work, chip: Chip) -> tuple[LayerCost, ...]:
    mapped, options, settings = work.mapped, work.options, work.hardware.settings
    tiles = mapped.tiles[:, 0]
    layer_ns = (chip.compute_ns + chip.noc_ns)[:, 0]
    leaking = tiles if settings.idle_tiles == "gated" else np.full_like(tiles, tiles.sum())
    first = np.cumsum(tiles) - tiles
    cells = float(options.crossbars_per_tile[0] * options.rows[0] * options.columns[0])
    filled_cells = (mapped.used_cells * mapped.copies)[:, 0]
    link_mw = work.hardware.link.power_mw if settings.chip_link else 0.0
    layers = []
    for row, layer in enumerate(work.table.layers):
        # mW x ns = pJ.
        energy = {name: float(e[row, 0]) * 1e-9 for name, e in chip.energy_pj.items()}
        energy["leakage"] = float(chip.leakage_mw[0] * leaking[row] * layer_ns[row]) * 1e-9
        if settings.chip_link:
            energy["chip_link"] = link_mw * float(layer_ns[row]) * 1e-9
        details = {
            "crossbars": float(mapped.crossbars[row, 0]),
            "tiles": float(tiles[row]),
            "first_tile": float(first[row]),
            "compute_ms": float(chip.compute_ns[row, 0]) * 1e-6,
            "noc_ms": float(chip.noc_ns[row, 0]) * 1e-6,
        }
        used = float(filled_cells[row] / (tiles[row] * cells)) if tiles[row] else 0.0
        latency_ms = float(layer_ns[row]) * 1e-6
        layers.append(LayerCost(layer.name, layer.op, latency_ms, energy, used, details))
    return tuple(layers)
