"""All chips of a systolic profile at once, for searching them with the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


def pruned(grid: ChipGrid) -> ChipGrid:
    """The grid without the clocks and operand widths that another value beats."""
    if "frequency_mhz" in grid.free:
        fastest = max(grid.free["frequency_mhz"])
        grid = grid.without(
            "frequency_mhz",
            fastest,
            f"frequency_mhz={fastest}: a faster clock costs nothing in this "
            "model (no voltage scaling), so slower ones are dominated",
        )
    if "bits" in grid.free:
        fewest = min(grid.free["bits"])
        grid = grid.without(
            "bits",
            fewest,
            f"bits={fewest}: fewer bits are smaller, faster and cheaper; what they cost "
            "in accuracy is said beside the front, which leaves it out; give --hardware bits=N "
            "for others",
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
