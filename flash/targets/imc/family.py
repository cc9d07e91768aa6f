"""All chips of a profile of crossbar tiles at once, for searching them with the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import INPUT, Layer, Tensor
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable
from flash.targets.base import ANALYTICAL
from flash.targets.chips import ChipGrid
from flash.targets.imc.model import imc_costs, least_moved
from flash.targets.imc.moves import DistinctMoves, distinct_moves
from flash.targets.imc.profile import ImcHardware
from flash.targets.imc.target import ImcTarget
from flash.targets.shapes import SIZES, distinct_layers

__all__ = ["ImcFamily"]

#: Entries (chips x layers) priced together: large enough to vectorise, 2 MB an array.
_BLOCK = 200_000
_COSTS = ("latency_ms", "energy_mj", "area_mm2")


@dataclass(frozen=True)
class ImcFamily:
    """The chips of ``grid``; their area is the network's, which takes as many tiles as it needs.

    adc_cap: most bits of a converter, where each chip gets the fewest that lose nothing of an
             exact sum; None where the bits are given.
    """

    hardware: ImcHardware
    grid: ChipGrid
    example: ImcTarget
    adc_cap: int | None = None

    @classmethod
    def of(cls, hardware: ImcHardware, grid: ChipGrid, example: ImcTarget) -> ImcFamily:
        """The chips of a grid, converters not searched."""
        if "adc_bits" not in grid.free:
            return cls(hardware, grid, example)
        why = (
            "adc_bits: the fewest that lose nothing of an exact sum, for each chip; fewer are not "
            "searched because what they cost in accuracy is not modelled, more are dominated"
        )
        cap = max(grid.free["adc_bits"])
        return cls(hardware, grid.without("adc_bits", None, why), example, cap)

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.hardware.name

    @cached_property
    def chips(self) -> tuple[Mapping[str, int], ...]:
        """Every chip, with its own converter where none is given."""
        chips = self.grid.chips()
        if self.adc_cap is not None:
            for chip in chips:
                needed = math.ceil(math.log2(chip["rows"])) + chip["cell_bits"] - 2
                chip["adc_bits"] = max(needed + self.hardware.precision.dac_bits, 4)
        return chips

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """Chips whose crossbars hold a whole weight and whose converters are not too large."""
        return np.array([self._possible(chip) for chip in self.chips])

    def _possible(self, chip: Mapping[str, int]) -> bool:
        precision = self.hardware.precision
        slices = precision.columns_per_bit * math.ceil(precision.weight_bits / chip["cell_bits"])
        fits = max(chip["columns_per_adc"], slices) <= chip["columns"]
        return fits and (self.adc_cap is None or chip["adc_bits"] <= self.adc_cap)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out, and which chips were left out beforehand."""
        return (ANALYTICAL, *self.grid.pruned)

    def target(self, chip: int) -> ImcTarget:
        """One chip."""
        return ImcTarget(self.hardware, self.chips[chip])

    def own_costs(self) -> Mapping[str, Floats]:
        """None: without a network there are no tiles."""
        return {}

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Area, and lower bounds of latency and energy; each of shape (possible chips, designs).

        Worked out once for each distinct layer (or tensor that moves) and chip, and added up by
        counts.
        """
        built = [chip for chip, ok in zip(self.chips, self.possible, strict=True) if ok]
        total = {name: np.zeros((len(built), table.designs)) for name in _COSTS}
        for act in sorted({layer.act for layer in table.layers}):
            rows = np.array([layer.act == act for layer in table.layers])
            layers, counts = distinct_layers(table, table.active & rows[:, None])
            found = [self._shapes(layer, act, built) for layer in layers]
            for name in _COSTS:
                if found:
                    by_shape = np.concatenate([costs[name] for costs in found], axis=1)
                    total[name] += (counts @ by_shape.T).T
        moves = distinct_moves(table)
        if moves is not None:
            for name, moved in self._moved(moves, built).items():
                total[name] += (moves.counts @ moved.T).T
        return total

    def _moved(self, moves: DistinctMoves, chips: list[Mapping[str, int]]) -> dict[str, Floats]:
        """Lower bounds of what distinct moves add, shape (chips, moves)."""
        shapes = len(np.atleast_1d(moves.layer.out_channels))
        per_block = max(1, _BLOCK // max(shapes, len(moves.home)))
        parts = []
        for start in range(0, len(chips), per_block):
            block = chips[start : start + per_block]
            table = _one_row(moves.layer, moves.layer.act, shapes, len(block))
            variables = {name: np.array([c[name] for c in block]) for name in block[0]}
            parts.append(least_moved(moves, table, self._one_converter, variables))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _shapes(self, layer: Layer, act: str, chips: list[Mapping[str, int]]) -> dict[str, Floats]:
        """Lower bounds for distinct shapes of one operation, shape (chips, shapes)."""
        shapes = len(np.atleast_1d(layer.out_channels))
        parts: list[dict[str, Floats]] = []
        per_block = max(1, _BLOCK // shapes)
        for start in range(0, len(chips), per_block):
            block = chips[start : start + per_block]
            table = _one_row(layer, act, shapes, len(block))
            variables = {
                name: np.repeat(np.array([c[name] for c in block]), shapes) for name in block[0]
            }
            costs = imc_costs(table, self._one_converter, variables, "least")
            parts.append({n: costs[n].reshape(len(block), shapes) for n in _COSTS})
        return {name: np.concatenate([part[name] for part in parts]) for name in _COSTS}

    @cached_property
    def _one_converter(self) -> ImcHardware:
        settings = self.hardware.settings
        return replace(self.hardware, settings=replace(settings, adc_models=(settings.adc_model,)))


def _one_row(layer: Layer, act: str, shapes: int, repeats: int) -> LayerTable:
    """A table of one row: the shapes side by side, repeated for each chip; it takes nothing in."""
    sizes: dict[str, Any] = {
        name: np.tile(np.broadcast_to(np.asarray(getattr(layer, name)), (shapes,)), repeats)
        for name in SIZES
    }
    x = Tensor(sizes["in_channels"], sizes["in_height"], sizes["in_width"], INPUT, present=False)
    row = replace(layer, inputs=(x,), act=act, signal=True, **sizes)
    out = Tensor(sizes["out_channels"], sizes["out_height"], sizes["out_width"], 0)
    output = replace(out, producer=np.full(shapes * repeats, INPUT))
    return LayerTable([row], [True], output, shapes * repeats)
