"""Multiply-accumulate units and registers: post-synthesis figures at 45 nm, scaled to a node.

Aladdin (Shao et al., ISCA 2014); and, as a second opinion, Horowitz (ISSCC 2014, 45 nm, 0.9 V),
three to four times lower in energy. Their disagreement is the uncertainty of every estimate made
from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from flash.targets.components.base import Component
from flash.targets.components.technology import LEAKAGE_MW_PER_MM2, area_scale, energy_scale

__all__ = ["MAC_ALADDIN", "MAC_HOROWITZ", "REGISTER_ALADDIN", "FittedMac", "FlipFlops"]

_START_NM: Final = 45.0


@dataclass(frozen=True)
class FittedMac:
    """A multiply-accumulate unit of b x b bits without its registers.

    energy_pj, area_um2: polynomials in b at 45 nm, highest power first: a multiplier grows with
                         b^2, an adder and what is there once with b and 1.
    """

    energy_pj: tuple[float, ...]
    area_um2: tuple[float, ...]
    source: str

    def __call__(self, node_nm: ArrayLike, *, bits: ArrayLike, **attributes: Any) -> Component:
        """A unit for ``bits``-bit operands at one node, in the shape of ``bits``; action "mac"."""
        node, width = float(np.asarray(node_nm)), np.asarray(bits, dtype=np.float64)
        energy = np.asarray(np.polyval(self.energy_pj, width)) * energy_scale(_START_NM, node)
        area = np.asarray(np.polyval(self.area_um2, width)) * area_scale(_START_NM, node) / 1e6
        sources = dict.fromkeys(("mac", "area"), self.source) | {"leakage": "Aladdin's multiplier"}
        leakage = LEAKAGE_MW_PER_MM2 * area
        return Component("mac", node_nm, {"mac": energy}, area, leakage, sources)


#: Through Aladdin's 8 x 8 + 16 and 16 x 16 + 32 bits (1.03 pJ, 783 um2; 3.89 pJ, 2727 um2).
MAC_ALADDIN: Final = FittedMac(
    (0.0142969, 0.0143750, 0.0), (9.0703, 25.3125, 0.0), "Aladdin (Shao et al., ISCA 2014)"
)
#: int8 multiplication 0.2 pJ, 282 um2, growing with b^2 (3.1 pJ, 3495 um2 at 32 bits), and an
#: adder 2b + 16 bits wide (0.1 pJ, 137 um2 at 32).
MAC_HOROWITZ: Final = FittedMac(
    (0.2 / 64, 2 * 0.1 / 32, 16 * 0.1 / 32),
    (282 / 64, 2 * 137 / 32, 16 * 137 / 32),
    "Horowitz (ISSCC 2014)",
)


@dataclass(frozen=True)
class FlipFlops:
    """One bit of register at 45 nm: a write, a cycle of its clock without one, and its area."""

    write_pj: float
    clock_pj: float
    area_um2: float
    source: str

    def __call__(self, node_nm: ArrayLike, **attributes: Any) -> Component:
        """One flip-flop at one node; actions "write", and "clock" for each cycle of a clock."""
        node = float(np.asarray(node_nm))
        scale = energy_scale(_START_NM, node)
        energy = {
            "write": np.asarray(self.write_pj * scale),
            "clock": np.asarray(self.clock_pj * scale),
        }
        area = np.asarray(self.area_um2 * area_scale(_START_NM, node) / 1e6)
        sources = dict.fromkeys(("write", "clock", "area"), self.source)
        sources["leakage"] = "Aladdin's register"
        leakage = LEAKAGE_MW_PER_MM2 * area
        return Component("register", node_nm, energy, area, leakage, sources)


REGISTER_ALADDIN: Final = FlipFlops(0.009, 0.0079, 5.98, "Aladdin (Shao et al., ISCA 2014)")
