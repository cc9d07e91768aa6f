"""SRAM and DRAM.

SRAM: CACTI 7 (Balasubramonian et al., TACO 2017), single port of 64 bits, run at 65, 45, 32 and
22 nm for 1 to 4096 KiB. The coefficients are our fits to those runs, with the smallest possible
largest deviation: area within 10.2 %, read energy 19 %, write energy 12 %. It is the bare macro;
buffers of real chips have banks, arbiters and built-in test on top (about twice the area, see
``hw_profiles/systolic.toml``).

DRAM: energy of moving one bit, device and interface (CACTI-based figures of the hwcomponents
package; LPDDR4 also in Accelergy's tables at 1.6 pJ/bit, device only).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.targets.components.base import Component
from flash.targets.components.technology import (
    LEAKAGE_MW_PER_MM2,
    area_scale,
    checked_node,
    energy_scale,
)

__all__ = ["DDR3", "HBM2", "HBM3", "LPDDR", "LPDDR4", "SRAM_CACTI7", "Dram", "FittedSram"]

Floats = NDArray[np.float64]
#: One row a node: ln(value) = polynomial in ln(KiB), lowest power first, its constant as value.
Fit = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class FittedSram:
    """A single-port SRAM macro, fitted at some nodes over its size.

    port_bits: what one access of ``read_pj`` and ``write_pj`` moves. Every bit of a wider word
               costs the same here; through CACTI's 256-bit port it costs 0.34 (1 KiB) to 1.04.
    """

    nodes_nm: tuple[float, ...]
    area_mm2: Fit
    read_pj: Fit
    write_pj: Fit
    port_bits: int
    source: str

    def __call__(self, node_nm: ArrayLike, *, kib: ArrayLike, **attributes: Any) -> Component:
        """A macro of ``kib`` KiB at one node, in the shape of ``kib``; nothing for 0 KiB.

        Actions "read" and "write" are of one bit. Logarithmic in the node between those fitted,
        scaled like logic below the smallest.
        """
        node = checked_node(float(np.asarray(node_nm)))
        size = np.asarray(kib, dtype=np.float64)
        area = self._value(size, node, self.area_mm2, area_scale)
        energy = {
            "read": self._value(size, node, self.read_pj, energy_scale) * (1 / self.port_bits),
            "write": self._value(size, node, self.write_pj, energy_scale) * (1 / self.port_bits),
        }
        sources = dict.fromkeys(("read", "write", "area"), self.source)
        sources["leakage"] = "as logic (ours)"
        leakage = LEAKAGE_MW_PER_MM2 * area
        return Component("sram", node_nm, energy, area, leakage, sources)

    def _value(
        self, kib: Floats, node: float, fits: Fit, scale: Callable[[float, float], float]
    ) -> Floats:
        """A fitted quantity at ``node``, in the shape of ``kib``."""
        smallest = self.nodes_nm[0]
        known = max(node, smallest)
        after = int(np.clip(np.searchsorted(self.nodes_nm, known), 1, len(self.nodes_nm) - 1))
        low, high = self.nodes_nm[after - 1], self.nodes_nm[after]
        share = math.log(known / low) / math.log(high / low)
        logarithm = np.log(np.where(kib > 0, kib, 1.0))
        ends = [
            math.log(c[0]) + logarithm * _tail(c, logarithm) for c in fits[after - 1 : after + 1]
        ]
        value = np.exp((1 - share) * ends[0] + share * ends[1])
        shrink = scale(smallest, node) if node < smallest else 1.0
        return np.where(kib > 0, value * shrink, 0.0)


def _tail(coefficients: tuple[float, ...], logarithm: Floats) -> Floats:
    """The polynomial without its constant, over ``logarithm``."""
    return np.asarray(np.polyval(coefficients[:0:-1], logarithm), dtype=np.float64)


SRAM_CACTI7: Final = FittedSram(
    (22.0, 32.0, 45.0, 65.0),
    (
        (0.0008737, 0.99298),
        (0.0017727, 0.99889),
        (0.0034924, 0.97905),
        (0.0069891, 0.98556),
    ),
    (
        (0.41770, 0.70109, -0.01838),
        (0.89384, 0.74433, -0.02261),
        (1.43769, 0.75201, -0.01896),
        (2.62079, 0.72865, -0.01488),
    ),
    (
        (0.75576, 0.36384, 0.01338),
        (1.82654, 0.36924, 0.01214),
        (3.40257, 0.40744, 0.00528),
        (7.22960, 0.37972, 0.00648),
    ),
    64,
    "our fit to runs of CACTI 7, 1 to 4096 KiB: area 10.2 %, read 19 %, write 12 % off at most",
)


@dataclass(frozen=True)
class Dram:
    """Memory beside the chip: what moving a bit costs, and no area of the chip."""

    name: str
    pj_per_bit: float
    source: str = "hwcomponents-cacti: device and interface"

    def __call__(self, node_nm: ArrayLike, **attributes: Any) -> Component:
        """Actions "read" and "write" of one bit; the same whatever the node of the chip."""
        energy = np.asarray(self.pj_per_bit)
        none = np.zeros(())
        return Component(
            self.name,
            node_nm,
            {"read": energy, "write": energy},
            none,
            none,
            dict.fromkeys(("read", "write"), self.source),
        )


DDR3: Final = Dram("DDR3", 70.0)
LPDDR: Final = Dram("LPDDR", 40.0)
LPDDR4: Final = Dram("LPDDR4", 8.0)
HBM2: Final = Dram("HBM2", 6.25)
HBM3: Final = Dram("HBM3", 4.05)
