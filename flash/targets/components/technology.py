"""Technology nodes: how area and energy of a part change from one to another, and leakage.

Stillmaker and Baas (Integration 58, 2017), at an equal supply of 0.8 V.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.errors import UsageError

__all__ = [
    "LEAKAGE_MW_PER_MM2",
    "NODES_NM",
    "area_scale",
    "by_node",
    "checked_node",
    "energy_scale",
]

Floats = NDArray[np.float64]

#: Smallest and largest technology node (nm) the scaling below covers.
NODES_NM: Final = (7.0, 65.0)

# Area relative to 32 nm, and energy a V^2 + b V + c.
_AREA_NODES: Final = (7.0, 10.0, 14.0, 16.0, 20.0, 32.0, 45.0, 65.0)
_AREA_FACTORS: Final = (0.13, 0.22, 0.38, 0.41, 0.46, 1.0, 2.2, 3.3)
_ENERGY_NODES: Final = (7.0, 16.0, 20.0, 32.0, 45.0, 65.0)
_ENERGY_POLYNOMIALS: Final = (
    (0.1776, -0.09097, 0.02447),
    (0.2958, -0.1241, 0.03024),
    (0.373, -0.1582, 0.04104),
    (0.9559, -0.7823, 0.471),
    (1.103, -0.362, 0.2767),
    (3.755, -4.398, 1.975),
)
_SUPPLY_V: Final = 0.8

#: Leakage of synthesised logic (mW per mm2): Aladdin's multiplier, register and adder have
#: 10.9, 11.7 and 13.4 at 45 nm. Taken for every node and for SRAM as well, which is ours:
#: CACTI's own leakage columns span three orders of magnitude with the choice of cell.
LEAKAGE_MW_PER_MM2: Final = 12.0


def area_scale(from_nm: float, to_nm: float) -> float:
    """Logic area at ``to_nm`` over that at ``from_nm`` (Stillmaker & Baas, 2017).

    Linear between their nodes. Analog parts, I/O and memory cells do not follow it.
    Raises ``UsageError`` outside 7 to 65 nm.
    """
    factors = [np.interp(checked_node(nm), _AREA_NODES, _AREA_FACTORS) for nm in (from_nm, to_nm)]
    return float(factors[1] / factors[0])


def energy_scale(from_nm: float, to_nm: float) -> float:
    """Energy of an operation at ``to_nm`` over that at ``from_nm``, both at 0.8 V.

    Stillmaker & Baas, 2017; linear between their nodes. A lower supply at the smaller node
    saves more than this says. Raises ``UsageError`` outside 7 to 65 nm.
    """
    at_supply = [np.polyval(poly, _SUPPLY_V) for poly in _ENERGY_POLYNOMIALS]
    energies = [np.interp(checked_node(nm), _ENERGY_NODES, at_supply) for nm in (from_nm, to_nm)]
    return float(energies[1] / energies[0])


def by_node(scale: Callable[[float, float], float], start_nm: float, nodes_nm: ArrayLike) -> Floats:
    """``scale(start_nm, node)`` for an array of nodes, each different node looked up once."""
    nodes = np.asarray(nodes_nm, dtype=np.float64)
    if nodes.size and (nodes == nodes.flat[0]).all():  # far faster than sorting them
        return np.full(nodes.shape, scale(start_nm, float(nodes.flat[0])))
    known, where = np.unique(nodes, return_inverse=True)
    values = np.array([scale(start_nm, float(node)) for node in known])
    picked: Floats = values[where.reshape(np.shape(nodes_nm))]
    return picked


def checked_node(node_nm: float) -> float:
    """The node; raises ``UsageError`` for one without figures."""
    low, high = NODES_NM
    if not low <= node_nm <= high:
        raise UsageError(f"no figures for {node_nm:g} nm; known are {low:g} to {high:g} nm")
    return float(node_nm)
