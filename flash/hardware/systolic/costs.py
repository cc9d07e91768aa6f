"""Latency, energy and area of networks on a systolic array, for many designs at once.

Time: a layer takes its fold and reload cycles (see ``gemm``) or the cycles its DRAM traffic
takes, whichever is longer, because buffers are double; and first waits for the data of its
first fold. Layers run one after the other, one image at a time.

Energy: MACs with the registers they pass, SRAM and DRAM accesses, operations of the vector
unit, and leakage of the whole chip while the network runs. DRAM counts its accesses only.

Area: processing elements, SRAM, one edge lane a row and column, control. All of it depends
on the hardware alone.

The vector unit (ours) has one lane a column: it adds, pools, normalises and activates at one
operation a lane and cycle. Activations of a convolution happen while its results drain and
take no time. Joining and cutting channels is addressing and free.

On the chip (where ``keeps_activations``): a tensor that fits half of the input buffer never
goes to DRAM. Each layer decides that from the tensor's own size, so costs stay additive over
layers; the network's input, and what long links keep alive beside it, are not accounted for.
Where ``keeps_weights``, weights are loaded once and for all and cost no DRAM traffic; that
holds for networks whose weights fit, ``systolic_weight_mb``, which is a limit for the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean
from flash.hardware.memories import (
    dram_pj_per_bit,
    energy_scale,
    mac_area_um2,
    mac_pj,
    register_area_um2,
    register_pj,
    sram_area_mm2,
    sram_read_pj,
    sram_write_pj,
)
from flash.hardware.systolic.gemm import Array, gemm_cycles, gemm_of, gemm_traffic
from flash.hardware.systolic.profile import VARIABLES, SystolicHardware
from flash.spaces.layers import Flags, Ints, Layer, layer_macs, out_elements, weight_elements
from flash.spaces.table import LayerTable

__all__ = [
    "LayerReport",
    "breakdown",
    "systolic_area_mm2",
    "systolic_areas_mm2",
    "systolic_costs",
    "systolic_weight_mb",
]

Floats = NDArray[np.float64]
Variables = Mapping[str, int | NDArray[np.int64]]

#: Bits a partial sum has beyond the product of two operands (int8: 32 bits, as TPU v1).
_GUARD_BITS = 16
#: Layers that only change where data is found.
_ADDRESSING = ("concat", "slice")
#: Bias and batch norm folded into one offset a channel.
_OFFSET_BYTES = 4


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer of one design on one chip.

    compute_cycles: as SCALE-Sim counts, without reloads and memory stalls.
    utilisation:    MACs over multipliers x cycles.
    Energies in uJ; leakage is the whole chip's while the layer runs.
    """

    name: str
    op: str
    macs: int
    compute_cycles: int
    cycles: float
    utilisation: float
    dram_bytes: float
    latency_ms: float
    mac_uj: float
    sram_uj: float
    dram_uj: float
    vector_uj: float
    leakage_uj: float

    @property
    def energy_mj(self) -> float:
        """Energy of the layer."""
        parts = self.mac_uj + self.sram_uj + self.dram_uj + self.vector_uj + self.leakage_uj
        return parts / 1e3


def systolic_costs(
    table: LayerTable, hardware: SystolicHardware, variables: Variables
) -> dict[str, Floats]:
    """``latency_ms`` and ``energy_mj`` of every design on the chip(s).

    variables: every one of ``VARIABLES``, an integer, or an array that broadcasts against
               (designs,): shape (designs,) pairs chips with designs, shape (chips, 1) gives
               results of shape (chips, designs).

    Additive over rows: the costs of the stages of a network add up to the network's. Only
    layers on a path from input to output count; in a table of some stages, all do.
    Raises ``UsageError`` for a variable that is missing, unknown or out of range.
    """
    chip = _Chip.of(hardware, variables)
    shape = np.broadcast_shapes((table.designs,), *(np.shape(v) for v in variables.values()))
    cycles, dynamic_pj = np.zeros(shape), np.zeros(shape)
    partial = int(np.max(np.asarray(table.output.producer))) < 0
    grid = table.active if partial else table.live
    for layer, present in zip(table.layers, grid, strict=True):
        if not present.any():
            continue
        with np.errstate(all="ignore"):  # entries of absent layers mean nothing
            cost = _layer_cost(layer, chip)
            energy = cost.mac_pj + cost.sram_pj + cost.dram_pj + cost.vector_pj
        cycles += np.where(present, cost.cycles, 0.0)
        dynamic_pj += np.where(present, energy, 0.0)
    latency_ms = cycles / (chip.frequency_mhz * 1e3)
    return {
        "latency_ms": latency_ms,
        "energy_mj": dynamic_pj * 1e-9 + latency_ms * chip.leakage_mw * 1e-3,
    }


def systolic_areas_mm2(hardware: SystolicHardware, variables: Variables) -> dict[str, Floats]:
    """Area of the chip by part: ``array``, ``sram``, ``edge`` and ``control``."""
    values = _checked(variables)
    rows, cols, bits = values["rows"], values["cols"], values["bits"]
    node = hardware.node_nm
    element_um2 = hardware.pe_factor * (
        mac_area_um2(bits, node, hardware.mac_model)
        + register_area_um2(3 * bits + _sum_bits(bits), node)
    ) + register_area_um2(8 * hardware.pe_scratchpad_bytes, node)
    parts = {
        "array": rows * cols * element_um2 / 1e6,
        "sram": hardware.sram_factor * sram_area_mm2(values["buffer_kib"], node),
        "edge": (rows + cols) * hardware.edge_um2 / 1e6,
        "control": np.broadcast_to(hardware.control_mm2, np.shape(rows * cols)),
    }
    return {name: np.asarray(area, dtype=np.float64) for name, area in parts.items()}


def systolic_area_mm2(hardware: SystolicHardware, variables: Variables) -> Floats:
    """Area of the chip, in the shape of its variables; no network has a part in it."""
    parts = systolic_areas_mm2(hardware, variables)
    return np.asarray(sum(parts.values()), dtype=np.float64)


def systolic_weight_mb(hardware: SystolicHardware, variables: Variables) -> Floats:
    """Weights (10^6 bytes) a network may have: unlimited where they stay in DRAM."""
    kib = np.asarray(_checked(variables)["buffer_kib"], dtype=np.float64)
    return kib * (hardware.weight_share * 1024 / 1e6) if hardware.keeps_weights else kib + np.inf


def breakdown(
    layers: Sequence[Layer], hardware: SystolicHardware, variables: Mapping[str, int]
) -> tuple[LayerReport, ...]:
    """Where time and energy go, layer by layer, for one design on one chip.

    layers: of one network, ``space.network(design).live().layers``.
    """
    chip = _Chip.of(hardware, variables)
    multipliers = int(chip.rows) * int(chip.cols)
    reports = []
    for layer in layers:
        cost, macs = _layer_cost(layer, chip), int(layer_macs(layer))
        cycles = float(cost.cycles)
        latency_ms = cycles / (float(chip.frequency_mhz) * 1e3)
        reports.append(
            LayerReport(
                layer.name, layer.op, macs, int(cost.compute_cycles), cycles,
                macs / (multipliers * cycles) if cycles else 0.0,
                float(cost.dram_bytes), latency_ms,
                float(cost.mac_pj) / 1e6, float(cost.sram_pj) / 1e6,
                float(cost.dram_pj) / 1e6, float(cost.vector_pj) / 1e6,
                latency_ms * float(chip.leakage_mw),
            )
        )  # fmt: skip
    return tuple(reports)


# --------------------------------------------------------------------------------- the chip
def _checked(variables: Variables) -> dict[str, Any]:
    """The variables, all there and in range."""
    for name in variables:
        if name not in VARIABLES:
            raise UsageError(f"'{name}' is no hardware variable{did_you_mean(name, VARIABLES)}")
    missing = [name for name in VARIABLES if name not in variables]
    if missing:
        raise UsageError(f"the hardware lacks a value for {', '.join(missing)}")
    for name, value in variables.items():
        low, high = VARIABLES[name]
        if np.min(value) < low or np.max(value) > high:
            raise UsageError(
                f"{name} must lie in {low} to {high}, got {np.min(value)} to {np.max(value)}"
            )
    return dict(variables)


def _sum_bits(bits: Ints) -> Ints:
    return 2 * bits + _GUARD_BITS


class _Buffer(NamedTuple):
    """Energy of one bit in a part of the buffer."""

    read_pj: Floats
    write_pj: Floats

    @classmethod
    def of(cls, kib: Any, hardware: SystolicHardware) -> _Buffer:
        bank = np.minimum(kib, hardware.bank_kib)
        node = hardware.node_nm
        return cls(sram_read_pj(bank, node, 1), sram_write_pj(bank, node, 1))


class _Chip(NamedTuple):
    """A hardware with its variables, and what follows from both."""

    rows: Ints
    cols: Ints
    bits: Ints
    frequency_mhz: Ints
    array: Array
    inputs: _Buffer
    weights: _Buffer
    sums: _Buffer
    mac_pj: Floats
    vector_pj: float
    dram_pj_per_byte: float
    bytes_per_cycle: Floats
    leakage_mw: Floats
    keeps_activations: bool
    keeps_weights: bool

    @classmethod
    def of(cls, hardware: SystolicHardware, variables: Variables) -> _Chip:
        values = _checked(variables)
        bits, kib, node = values["bits"], values["buffer_kib"], hardware.node_nm
        sum_bits = _sum_bits(bits)
        shares = (hardware.input_share, hardware.weight_share, hardware.sum_share)
        halves = [kib * (share * 1024 / 2) for share in shares]
        array = Array(
            values["rows"], values["cols"], values["dataflow"],
            halves[0], halves[1], halves[2], bits / 8, sum_bits / 8,
        )  # fmt: skip
        inputs, weights, sums = (_Buffer.of(kib * share, hardware) for share in shares)
        # Output stationary: both operands move on and the sum stays; else one and the sum.
        moved = np.where(np.asarray(values["dataflow"]) == 0, 2 * bits, bits) + sum_bits
        scratchpad_kib = hardware.pe_scratchpad_bytes / 1024
        per_mac = (
            mac_pj(bits, node, hardware.mac_model)
            + register_pj(moved, node)
            + sram_read_pj(scratchpad_kib, node, bits)
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
            dram_pj_per_byte=8 * dram_pj_per_bit(hardware.dram),
            bytes_per_cycle=np.asarray(hardware.dram_gb_s * 1e3 / values["frequency_mhz"]),
            leakage_mw=systolic_area_mm2(hardware, variables) * hardware.leakage_mw_per_mm2,
            keeps_activations=hardware.keeps_activations,
            keeps_weights=hardware.keeps_weights,
        )

    def keeps(self, elements: Ints) -> Flags:
        """Whether a tensor stays on the chip."""
        if not self.keeps_activations:
            return False
        fits: Flags = elements * self.array.element_bytes <= self.array.input_bytes
        return fits


# ------------------------------------------------------------------------------- the layers
class _LayerCost(NamedTuple):
    """Costs of a layer; numbers, or one value a design and chip."""

    compute_cycles: Any
    cycles: Any
    dram_bytes: Any
    mac_pj: Any
    sram_pj: Any
    dram_pj: Any
    vector_pj: Any


def _layer_cost(layer: Layer, chip: _Chip) -> _LayerCost:
    if layer.op in ("conv", "linear"):
        return _product_cost(layer, chip)
    if layer.op in _ADDRESSING:
        return _LayerCost(0, 0, 0, 0, 0, 0, 0)
    return _vector_cost(layer, chip)


def _product_cost(layer: Layer, chip: _Chip) -> _LayerCost:
    array, bits, gemm = chip.array, chip.bits, gemm_of(layer)
    kept_in = chip.keeps(layer.in_channels * layer.in_height * layer.in_width)
    outputs = out_elements(layer)
    kept_out = chip.keeps(outputs)
    compute = gemm.groups * gemm_cycles(
        gemm.m, gemm.n, gemm.k, array.rows, array.cols, array.dataflow
    )
    from_dram = gemm._replace(
        inputs=np.where(kept_in, 0, gemm.inputs),
        weights=0 if chip.keeps_weights else gemm.weights,
    )
    moved = gemm_traffic(from_dram, array)
    has_offsets = (layer.norm or layer.bias) and not chip.keeps_weights
    offsets = layer.out_channels * (_OFFSET_BYTES if has_offsets else 0)
    fetched = gemm.groups * (moved.input_bytes + moved.weight_bytes) + offsets
    drained = np.where(kept_out, 0, outputs * array.element_bytes)
    dram_bytes = fetched + drained
    sum_bits = np.where(np.asarray(array.dataflow) == 0, bits, _sum_bits(bits))
    accesses = (
        moved.input_reads * bits * chip.inputs.read_pj
        + moved.weight_reads * bits * chip.weights.read_pj
        + moved.sum_writes * sum_bits * chip.sums.write_pj
        + moved.sum_reads * sum_bits * chip.sums.read_pj
    )
    sram_pj = (
        gemm.groups * accesses
        + 8 * gemm.groups * moved.input_bytes * chip.inputs.write_pj
        + 8 * (gemm.groups * moved.weight_bytes + offsets) * chip.weights.write_pj
        + outputs * sum_bits * chip.sums.read_pj
        + np.where(kept_out, outputs * bits * chip.inputs.write_pj, 0)
    )
    return _LayerCost(
        compute_cycles=compute,
        cycles=np.maximum(
            compute + gemm.groups * moved.reload_cycles, dram_bytes / chip.bytes_per_cycle
        )
        + moved.fill_bytes / chip.bytes_per_cycle,
        dram_bytes=dram_bytes,
        mac_pj=weight_elements(layer) * gemm.m * chip.mac_pj,
        sram_pj=sram_pj,
        dram_pj=dram_bytes * chip.dram_pj_per_byte,
        vector_pj=outputs * chip.vector_pj,
    )


def _vector_cost(layer: Layer, chip: _Chip) -> _LayerCost:
    one_operand = layer.in_channels * layer.in_height * layer.in_width
    operands = layer.operands if layer.op == "add" else 1
    outputs = out_elements(layer)
    operations = outputs * layer.kernel_height * layer.kernel_width
    if layer.op == "global_pool":
        operations = one_operand
    elif layer.op == "add":
        operations = outputs * (operands - 1)
    read_bits = np.where(chip.keeps(one_operand), 0, one_operand) * operands * chip.bits
    written_bits = np.where(chip.keeps(outputs), 0, outputs) * chip.bits
    dram_bytes = (read_bits + written_bits) / 8
    compute = -(-operations // chip.cols)
    sram_pj = (
        (one_operand * operands * chip.bits + written_bits) * chip.inputs.read_pj
        + (outputs * chip.bits + read_bits) * chip.inputs.write_pj
    )  # fmt: skip
    return _LayerCost(
        compute_cycles=compute,
        cycles=np.maximum(compute, dram_bytes / chip.bytes_per_cycle),
        dram_bytes=dram_bytes,
        mac_pj=0,
        sram_pj=sram_pj,
        dram_pj=dram_bytes * chip.dram_pj_per_byte,
        vector_pj=operations * chip.vector_pj,
    )
