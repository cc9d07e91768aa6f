"""A chip: a profile with its variables, what that takes in area, and what its parts cost.

Area: processing elements, SRAM, one edge lane a row and column, control. All of it depends
on the hardware alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean
from flash.spaces.layers import Flags, Ints
from flash.targets.components import (
    Component,
    component,
    energy_scale,
)
from flash.targets.systolic.gemm import DATAFLOWS, Array
from flash.targets.systolic.profile import (
    ROW_STATIONARY_VARIABLES,
    VARIABLES,
    SystolicHardware,
)
from flash.targets.systolic.row_stationary import RowStationary

__all__ = [
    "Chip",
    "Variables",
    "sum_bits_of",
    "systolic_area_mm2",
    "systolic_areas_mm2",
    "systolic_weight_kb",
]

Floats = NDArray[np.float64]
#: Hardware variables: integers, or arrays that broadcast against designs.
Variables = Mapping[str, int | NDArray[np.int64]]

#: Bits a partial sum has beyond the product of two operands (int8: 32 bits, as TPU v1).
_GUARD_BITS = 16


def systolic_areas_mm2(hardware: SystolicHardware, variables: Variables) -> dict[str, Floats]:
    """Area of the chip by part: ``array``, ``sram``, ``edge`` and ``control``."""
    values = _checked(variables)
    rows, cols, bits = values["rows"], values["cols"], values["bits"]
    node = hardware.node_nm
    mac = component("mac", hardware.mac_model, node, bits=bits)
    register_mm2 = component("register", "aladdin", node).area_mm2  # of one bit
    element_mm2 = (
        hardware.pe_factor * (mac.area_mm2 + (3 * bits + sum_bits_of(bits)) * register_mm2)
        + 8 * hardware.pe_scratchpad_bytes * register_mm2
    )
    parts = {
        "array": rows * cols * element_mm2,
        "sram": hardware.sram_factor * _sram(values["buffer_kib"], node).area_mm2,
        "edge": (rows + cols) * hardware.edge_um2 / 1e6,
        "control": np.broadcast_to(hardware.control_mm2, np.shape(rows * cols)),
    }
    return {name: np.asarray(area, dtype=np.float64) for name, area in parts.items()}


def systolic_area_mm2(hardware: SystolicHardware, variables: Variables) -> Floats:
    """Area of the chip, in the shape of its variables; no network has a part in it."""
    parts = systolic_areas_mm2(hardware, variables)
    return np.asarray(sum(parts.values()), dtype=np.float64)


def systolic_weight_kb(hardware: SystolicHardware, variables: Variables) -> Floats:
    """Weights (10^3 bytes) a network may have: unlimited where they stay in DRAM."""
    kib = np.asarray(_checked(variables)["buffer_kib"], dtype=np.float64)
    return kib * (hardware.weight_share * 1024 / 1e3) if hardware.keeps_weights else kib + np.inf


def _checked(variables: Variables) -> dict[str, Any]:
    """The variables, all there and in range."""
    known = {**VARIABLES, **ROW_STATIONARY_VARIABLES}
    for name in variables:
        if name not in known:
            raise UsageError(f"'{name}' is no hardware variable{did_you_mean(name, VARIABLES)}")
    missing = [name for name in VARIABLES if name not in variables]
    if missing:
        raise UsageError(f"the hardware lacks a value for {', '.join(missing)}")
    for name, value in variables.items():
        low, high = known[name]
        if np.min(value) < low or np.max(value) > high:
            given = " to ".join(str(end) for end in dict.fromkeys((np.min(value), np.max(value))))
            raise UsageError(f"{name} must lie in {low} to {high}, got {given}")
    return dict(variables)


def _stationary(hardware: SystolicHardware, dataflow: Ints) -> RowStationary | None:
    """The row-stationary array where that is the dataflow; raises ``UsageError`` without one."""
    rows = np.asarray(dataflow) == DATAFLOWS.index("rs")
    if not rows.any():
        return None
    if hardware.row_stationary is None:
        raise UsageError(f"target {hardware.name} has no row-stationary array; its dataflow is "
                         "os, ws or is")  # fmt: skip
    return hardware.row_stationary


def _sram(kib: Any, node_nm: float) -> Component:
    return component("sram", "cacti7", node_nm, kib=kib)


def sum_bits_of(bits: Ints) -> Ints:
    """Bits of a partial sum of products of two ``bits``-bit operands."""
    return 2 * bits + _GUARD_BITS


class Buffer(NamedTuple):
    """Energy of one bit in a part of the buffer."""

    read_pj: Floats
    write_pj: Floats

    @classmethod
    def of(cls, kib: Any, hardware: SystolicHardware) -> Buffer:
        bank = _sram(np.minimum(kib, hardware.bank_kib), hardware.node_nm)
        return cls(bank.energy_pj["read"], bank.energy_pj["write"])


class Chip(NamedTuple):
    """A hardware with its variables, and what follows from both."""

    rows: Ints
    cols: Ints
    bits: Ints
    frequency_mhz: Ints
    array: Array
    inputs: Buffer
    weights: Buffer
    sums: Buffer
    mac_pj: Floats
    vector_pj: float
    dram_pj_per_byte: float
    bytes_per_cycle: Floats
    leakage_mw: Floats
    keeps_activations: bool
    keeps_weights: bool
    clock_pj: Floats
    stationary: RowStationary | None
    mac_only_pj: Floats
    scratchpad_pj: Floats
    batch: Ints
    zeros: Floats

    @classmethod
    def of(cls, hardware: SystolicHardware, variables: Variables) -> Chip:
        """The chip of a profile; raises ``UsageError`` for wrong variables."""
        values = _checked(variables)
        bits, kib, node = values["bits"], values["buffer_kib"], hardware.node_nm
        sum_bits = sum_bits_of(bits)
        shares = (hardware.input_share, hardware.weight_share, hardware.sum_share)
        halves = [kib * (share * 1024 / 2) for share in shares]
        array = Array(
            values["rows"],
            values["cols"],
            values["dataflow"],
            halves[0],
            halves[1],
            halves[2],
            bits / 8,
            sum_bits / 8,
        )
        inputs, weights, sums = (Buffer.of(kib * share, hardware) for share in shares)
        stationary = _stationary(hardware, values["dataflow"])
        clocked_bits = 0.0 if stationary is None else stationary.clocked_bits
        register = component("register", "aladdin", node)
        # Output stationary: both operands move on and the sum stays; else one and the sum.
        moved = np.where(np.asarray(values["dataflow"]) == 0, 2 * bits, bits) + sum_bits
        scratchpad_kib = hardware.pe_scratchpad_bytes / 1024
        mac_only = component("mac", hardware.mac_model, node, bits=bits).energy_pj["mac"]
        per_mac = (
            mac_only
            + moved * register.energy_pj["write"]
            + _sram(scratchpad_kib, node).energy_pj["read"] * bits
        )
        return cls(
            values["rows"],
            values["cols"],
            bits,
            values["frequency_mhz"],
            array,
            inputs,
            weights,
            sums,
            mac_pj=per_mac,
            vector_pj=hardware.vector_op_pj_45nm * energy_scale(45, node),
            dram_pj_per_byte=8 * float(component("dram", hardware.dram, node).energy_pj["read"]),
            bytes_per_cycle=np.asarray(hardware.dram_gb_s * 1e3 / values["frequency_mhz"]),
            leakage_mw=systolic_area_mm2(hardware, variables) * hardware.leakage_mw_per_mm2,
            keeps_activations=hardware.keeps_activations,
            keeps_weights=hardware.keeps_weights,
            clock_pj=values["rows"] * values["cols"] * clocked_bits * register.energy_pj["clock"],
            stationary=stationary,
            mac_only_pj=mac_only,
            # A weight is read and a sum written for each multiplication.
            scratchpad_pj=_sram(scratchpad_kib, node).energy_pj["read"] * bits
            + register.energy_pj["write"] * bits,
            batch=values.get("batch", 1),
            zeros=np.asarray(values.get("zeros_percent", 0)) / 100,
        )

    def keeps(self, elements: Ints) -> Flags:
        """Whether a tensor stays on the chip."""
        if not self.keeps_activations:
            return False
        fits: Flags = elements * self.array.element_bytes <= self.array.input_bytes
        return fits
