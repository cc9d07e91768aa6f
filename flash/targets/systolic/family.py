"""All chips of a systolic profile at once, for searching them with the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable
from flash.targets.base import ANALYTICAL
from flash.targets.chips import ChipGrid
from flash.targets.systolic.chip import systolic_area_mm2
from flash.targets.systolic.costs import systolic_costs
from flash.targets.systolic.profile import SystolicHardware
from flash.targets.systolic.target import SystolicTarget

__all__ = ["SystolicFamily", "pruned"]

#: The hardware variable that is the number format.
_BITS = "bits"


def pruned(grid: ChipGrid) -> ChipGrid:
    """The grid without the clocks that another value beats."""
    if "frequency_mhz" in grid.free:
        fastest = max(grid.free["frequency_mhz"])
        grid = grid.without(
            "frequency_mhz",
            fastest,
            f"frequency_mhz={fastest}: a faster clock costs nothing in this "
            "model (no voltage scaling), so slower ones are dominated",
        )
    return grid


@dataclass(frozen=True)
class SystolicFamily:
    """The chips of ``grid``; all can be built, and each has an area whatever the network."""

    hardware: SystolicHardware
    grid: ChipGrid
    example: SystolicTarget

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.hardware.name

    @cached_property
    def chips(self) -> tuple[Mapping[str, int], ...]:
        """Every chip."""
        return self.grid.chips()

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(self.chips), dtype=np.bool_)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out, and which chips were left out beforehand."""
        return (ANALYTICAL, *self.grid.pruned)

    @property
    def bits(self) -> tuple[int, ...]:
        """Operand widths of the chips."""
        grid = self.grid
        return grid.free[_BITS] if _BITS in grid.free else (grid.fixed[_BITS],)

    @property
    def usual_bits(self) -> int:
        """The profile's default, or the nearest to it that there is."""
        usual = self.example.chip[_BITS]
        return min(self.bits, key=lambda bits: abs(bits - usual))

    def of_bits(self, bits: int) -> SystolicFamily:
        """The chips with operands of so many bits."""
        if _BITS not in self.grid.free:
            return self
        return self._over(self.grid.only(_BITS, (bits,)), bits)

    def without_bits(self, bits: Sequence[int], why: str) -> SystolicFamily:
        """The chips with operands of other widths."""
        kept = tuple(value for value in self.bits if value not in bits)
        if len(kept) == 1:
            return self._over(self.grid.only(_BITS, kept).without(_BITS, kept[0], why), kept[0])
        grid = replace(self.grid.only(_BITS, kept), pruned=(*self.grid.pruned, why))
        return self._over(grid, self.usual_bits if self.usual_bits in kept else kept[0])

    def _over(self, grid: ChipGrid, bits: int) -> SystolicFamily:
        chip = {**self.example.chip, _BITS: bits}
        return SystolicFamily(self.hardware, grid, SystolicTarget(self.hardware, chip))

    def target(self, chip: int) -> SystolicTarget:
        """One chip."""
        return SystolicTarget(self.hardware, self.chips[chip])

    def own_costs(self) -> Mapping[str, Floats]:
        """The area, shape (chips,)."""
        return {"area_mm2": systolic_area_mm2(self.hardware, self._columns)[:, 0]}

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Latency and energy, each of shape (chips, designs)."""
        return systolic_costs(table, self.hardware, self._columns)

    @cached_property
    def _columns(self) -> dict[str, NDArray[np.int64]]:
        """Each hardware variable, shape (chips, 1)."""
        return {name: np.array([[chip[name]] for chip in self.chips]) for name in self.chips[0]}
