"""Routers of a mesh on the chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.targets.components.base import Component
from flash.targets.components.technology import (
    LEAKAGE_MW_PER_MM2,
    area_scale,
    by_node,
    energy_scale,
)

__all__ = ["ROUTER_BOOKSIM", "ROUTER_ISAAC", "FittedRouter", "FixedRouter"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedRouter:
    """A router whose energy a bit is linear in the width of its links, and its area quadratic."""

    reference_nm: float
    pj_per_bit: float
    pj_per_bit_and_width: float
    mm2_per_bit: float
    mm2_per_bit2: float
    source: str

    def __call__(
        self, node_nm: ArrayLike, *, width_bits: ArrayLike, **attributes: Any
    ) -> Component:
        """Action "route" of one bit; arrays of widths and nodes broadcast."""
        width = np.asarray(width_bits, dtype=np.float64)
        energy = self.pj_per_bit + self.pj_per_bit_and_width * width
        area = self.mm2_per_bit * width + self.mm2_per_bit2 * width**2
        energy = energy * by_node(energy_scale, self.reference_nm, node_nm)
        area = area * by_node(area_scale, self.reference_nm, node_nm)
        return _router(node_nm, energy, area, self.source, attributes)


@dataclass(frozen=True)
class FixedRouter:
    """A published router, whatever the width of its links: area and power of one tile's share."""

    reference_nm: float
    area_mm2: float
    power_mw: float
    pj_per_bit: float
    source: str

    def __call__(
        self, node_nm: ArrayLike, *, width_bits: ArrayLike, **attributes: Any
    ) -> Component:
        """Action "route" of one bit, in the shape of widths and nodes."""
        like = np.ones(np.broadcast_shapes(np.shape(width_bits), np.shape(node_nm)))
        thrift = like * by_node(energy_scale, self.reference_nm, node_nm)
        area = self.area_mm2 * like * by_node(area_scale, self.reference_nm, node_nm)
        made = _router(node_nm, self.pj_per_bit * thrift, area, self.source, attributes)
        return replace(made, busy_mw=self.power_mw * thrift)


def _router(
    node_nm: ArrayLike,
    energy_pj: Floats,
    area_mm2: Floats,
    source: str,
    attributes: Mapping[str, Any],
) -> Component:
    sources = dict.fromkeys(("route", "area"), source)
    leakage = attributes.get("leakage_mw_per_mm2", LEAKAGE_MW_PER_MM2) * area_mm2
    return Component("router", node_nm, {"route": energy_pj}, area_mm2, leakage, sources)


#: BookSim2 at 32 nm, 0.9 V, one virtual channel, 5 ports; our fits at widths 32, 64, 128.
ROUTER_BOOKSIM: Final = FittedRouter(
    32.0, 0.048, 0.001125, 1.01e-5, 6.413e-7, "BookSim2 at 32 nm, 5 ports; fits ours"
)
ROUTER_ISAAC: Final = FixedRouter(
    32.0,
    0.03775,
    10.5,
    0.081,
    "ISAAC: router of 32-bit flits and 8 ports (0.151 mm2, 42 mW), shared by four tiles",
)
