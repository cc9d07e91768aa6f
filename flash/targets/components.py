"""Area and energy of the parts every accelerator has: SRAM, DRAM, multipliers, registers.

All figures are of published models, none of them of a measured chip:

* SRAM: CACTI 7 (Balasubramonian et al., TACO 2017), single port of 64 bits, run at 65, 45,
  32 and 22 nm for 1 to 4096 KiB. The coefficients below are our fits to those runs, with the
  smallest possible largest deviation: area within 10.2 %, read energy 19 %, write energy
  12 %. It is the bare macro; buffers of real chips have banks, arbiters and built-in test
  on top (about twice the area, see ``hw_profiles/systolic.toml``).
* Logic: post-synthesis tables of Aladdin (Shao et al., ISCA 2014) at 45 nm; and, as a second
  opinion, Horowitz (ISSCC 2014, 45 nm, 0.9 V), three to four times lower in energy. Their
  disagreement is the uncertainty of every estimate made from them.
* Other nodes: Stillmaker and Baas (Integration 58, 2017), at an equal supply of 0.8 V.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.errors import UsageError, did_you_mean

__all__ = [
    "DRAM_PJ_PER_BIT",
    "LEAKAGE_MW_PER_MM2",
    "MAC_MODELS",
    "NODES_NM",
    "area_scale",
    "dram_pj_per_bit",
    "energy_scale",
    "mac_area_um2",
    "mac_pj",
    "register_area_um2",
    "register_pj",
    "sram_area_mm2",
    "sram_read_pj",
    "sram_write_pj",
]

Floats = NDArray[np.float64]

#: Smallest and largest technology node (nm) the scaling below covers.
NODES_NM: Final = (7.0, 65.0)

# CACTI 7 by node: ln(value) = polynomial in ln(KiB), lowest power first. Ours (see above).
_SRAM_NODES: Final = (22.0, 32.0, 45.0, 65.0)
_SRAM_AREA_MM2: Final = (
    (0.0008737, 0.99298), (0.0017727, 0.99889), (0.0034924, 0.97905), (0.0069891, 0.98556),
)  # fmt: skip
_SRAM_READ_PJ: Final = (
    (0.41770, 0.70109, -0.01838), (0.89384, 0.74433, -0.02261),
    (1.43769, 0.75201, -0.01896), (2.62079, 0.72865, -0.01488),
)  # fmt: skip
_SRAM_WRITE_PJ: Final = (
    (0.75576, 0.36384, 0.01338), (1.82654, 0.36924, 0.01214),
    (3.40257, 0.40744, 0.00528), (7.22960, 0.37972, 0.00648),
)  # fmt: skip
_PORT_BITS: Final = 64

# Stillmaker & Baas: area relative to 32 nm, and energy a V^2 + b V + c.
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

#: Energy of moving one bit to or from DRAM, device and interface (CACTI-based figures of
#: the hwcomponents package; LPDDR4 also in Accelergy's tables at 1.6 pJ/bit, device only).
DRAM_PJ_PER_BIT: Final = {
    "DDR3": 70.0,
    "LPDDR": 40.0,
    "LPDDR4": 8.0,
    "HBM2": 6.25,
    "HBM3": 4.05,
}

# Multiply-accumulate of b x b bits at 45 nm: quadratic (multiplier) and linear (adder,
# registers of the operator) in b. Aladdin: through its 8 x 8 + 16 and 16 x 16 + 32 bits
# (1.03 pJ, 783 um2; 3.89 pJ, 2727 um2). Horowitz: int8 multiplication 0.2 pJ, 282 um2, growing
# with b^2 (3.1 pJ, 3495 um2 at 32 bits), and an adder 2b + 16 bits wide (0.1 pJ, 137 um2 at 32).
_MAC_45NM: Final = {
    "aladdin": ((0.0142969, 0.0143750, 0.0), (9.0703, 25.3125, 0.0)),
    "horowitz": ((0.2 / 64, 2 * 0.1 / 32, 16 * 0.1 / 32), (282 / 64, 2 * 137 / 32, 16 * 137 / 32)),
}
#: Models of a multiply-accumulate that ``mac_pj`` and ``mac_area_um2`` know.
MAC_MODELS: Final = tuple(_MAC_45NM)

# One bit of register at 45 nm (Aladdin's table): a write, and its area.
_REGISTER_PJ_45NM: Final = 0.009
_REGISTER_UM2_45NM: Final = 5.98

#: Leakage of synthesised logic (mW per mm2): Aladdin's multiplier, register and adder have
#: 10.9, 11.7 and 13.4 at 45 nm. Taken for every node and for SRAM as well, which is ours:
#: CACTI's own leakage columns span three orders of magnitude with the choice of cell.
LEAKAGE_MW_PER_MM2: Final = 12.0


# -------------------------------------------------------------------------------- technology
def area_scale(from_nm: float, to_nm: float) -> float:
    """Logic area at ``to_nm`` over that at ``from_nm`` (Stillmaker & Baas, 2017).

    Linear between their nodes. Analog parts, I/O and memory cells do not follow it.
    Raises ``UsageError`` outside 7 to 65 nm.
    """
    factors = [np.interp(_node(nm), _AREA_NODES, _AREA_FACTORS) for nm in (from_nm, to_nm)]
    return float(factors[1] / factors[0])


def energy_scale(from_nm: float, to_nm: float) -> float:
    """Energy of an operation at ``to_nm`` over that at ``from_nm``, both at 0.8 V.

    Stillmaker & Baas, 2017; linear between their nodes. A lower supply at the smaller node
    saves more than this says. Raises ``UsageError`` outside 7 to 65 nm.
    """
    at_supply = [np.polyval(poly, _SUPPLY_V) for poly in _ENERGY_POLYNOMIALS]
    energies = [np.interp(_node(nm), _ENERGY_NODES, at_supply) for nm in (from_nm, to_nm)]
    return float(energies[1] / energies[0])


def _node(node_nm: float) -> float:
    low, high = NODES_NM
    if not low <= node_nm <= high:
        raise UsageError(f"no figures for {node_nm:g} nm; known are {low:g} to {high:g} nm")
    return float(node_nm)


# -------------------------------------------------------------------------------------- SRAM
def sram_area_mm2(kib: ArrayLike, node_nm: float) -> Floats:
    """Area of a bare single-port SRAM macro of ``kib`` KiB, in the shape of ``kib``; 0 for 0.

    CACTI 7 within 10.2 % at its nodes for 1 to 4096 KiB (extrapolated beyond); logarithmic
    in the node between 22 and 65 nm, scaled like logic below 22 nm.
    """
    return _sram(kib, node_nm, _SRAM_AREA_MM2, area_scale)


def sram_read_pj(kib: ArrayLike, node_nm: float, bits: ArrayLike = _PORT_BITS) -> Floats:
    """Energy of reading ``bits`` bits from an SRAM of ``kib`` KiB, through 64-bit ports.

    CACTI 7 within 19 % (see ``sram_area_mm2`` for the range). Every bit of a wider word costs
    the same here; through CACTI's 256-bit port it costs 0.34 (1 KiB) to 1.04 of that.
    """
    return _sram(kib, node_nm, _SRAM_READ_PJ, energy_scale) * (np.asarray(bits) / _PORT_BITS)


def sram_write_pj(kib: ArrayLike, node_nm: float, bits: ArrayLike = _PORT_BITS) -> Floats:
    """Energy of writing ``bits`` bits, as ``sram_read_pj``; CACTI 7 within 12 %."""
    return _sram(kib, node_nm, _SRAM_WRITE_PJ, energy_scale) * (np.asarray(bits) / _PORT_BITS)


def _sram(
    kib: ArrayLike,
    node_nm: float,
    fits: tuple[tuple[float, ...], ...],
    scale: Callable[[float, float], float],
) -> Floats:
    """A fitted quantity at ``node_nm``, in the shape of ``kib``."""
    size = np.asarray(kib, dtype=np.float64)
    node = _node(node_nm)
    smallest = _SRAM_NODES[0]
    known = max(node, smallest)
    after = int(np.clip(np.searchsorted(_SRAM_NODES, known), 1, len(_SRAM_NODES) - 1))
    low, high = _SRAM_NODES[after - 1], _SRAM_NODES[after]
    share = math.log(known / low) / math.log(high / low)
    logarithm = np.log(np.maximum(size, np.finfo(np.float64).tiny))
    ends = [math.log(c[0]) + logarithm * _tail(c, logarithm) for c in fits[after - 1 : after + 1]]
    value = np.exp((1 - share) * ends[0] + share * ends[1])
    shrink = scale(smallest, node) if node < smallest else 1.0
    return np.where(size > 0, value * shrink, 0.0)


def _tail(coefficients: tuple[float, ...], logarithm: Floats) -> Floats:
    """The polynomial without its constant, over ``logarithm``."""
    return np.asarray(np.polyval(coefficients[:0:-1], logarithm), dtype=np.float64)


# -------------------------------------------------------------------------------------- DRAM
def dram_pj_per_bit(kind: str) -> float:
    """Energy of one bit to or from DRAM; raises ``UsageError`` for an unknown ``kind``."""
    if kind not in DRAM_PJ_PER_BIT:
        raise UsageError(f"unknown DRAM '{kind}'{did_you_mean(kind, DRAM_PJ_PER_BIT)}")
    return DRAM_PJ_PER_BIT[kind]


# ------------------------------------------------------------------------------------- logic
def mac_pj(bits: ArrayLike, node_nm: float, model: str = "aladdin") -> Floats:
    """Energy of one ``bits`` x ``bits`` multiply-accumulate, in the shape of ``bits``.

    model: one of ``MAC_MODELS``; raises ``UsageError`` for another.
    """
    return _mac(bits, 0, model) * energy_scale(45, node_nm)


def mac_area_um2(bits: ArrayLike, node_nm: float, model: str = "aladdin") -> Floats:
    """Cell area of one ``bits`` x ``bits`` multiply-accumulate unit, without registers."""
    return _mac(bits, 1, model) * area_scale(45, node_nm)


def _mac(bits: ArrayLike, which: int, model: str) -> Floats:
    if model not in _MAC_45NM:
        raise UsageError(f"unknown MAC model '{model}'{did_you_mean(model, _MAC_45NM)}")
    width = np.asarray(bits, dtype=np.float64)
    return np.asarray(np.polyval(_MAC_45NM[model][which], width), dtype=np.float64)


def register_pj(bits: ArrayLike, node_nm: float) -> Floats:
    """Energy of writing ``bits`` flip-flops once (Aladdin, scaled)."""
    width = np.asarray(bits, dtype=np.float64)
    return width * (_REGISTER_PJ_45NM * energy_scale(45, node_nm))


def register_area_um2(bits: ArrayLike, node_nm: float) -> Floats:
    """Cell area of ``bits`` flip-flops (Aladdin, scaled)."""
    width = np.asarray(bits, dtype=np.float64)
    return width * (_REGISTER_UM2_45NM * area_scale(45, node_nm))
