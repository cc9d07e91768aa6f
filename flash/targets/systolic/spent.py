"""What one layer takes on one chip: cycles, traffic and energies."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["NOTHING", "Spent"]


class Spent(NamedTuple):
    """Of one layer and one image; numbers, or one value a design and chip.

    compute_cycles: without stalls.  sram_bytes: read and written in the buffer.
    mac_pj holds registers and scratchpads of the processing elements.
    """

    compute_cycles: Any
    cycles: Any
    dram_bytes: Any
    sram_bytes: Any
    mac_pj: Any
    sram_pj: Any
    dram_pj: Any
    vector_pj: Any

    @property
    def dynamic_pj(self) -> Any:
        """Energy without clock and leakage."""
        return self.mac_pj + self.sram_pj + self.dram_pj + self.vector_pj


#: Of a layer that only changes where data is found.
NOTHING: Final = Spent(0, 0, 0, 0, 0, 0, 0, 0)
