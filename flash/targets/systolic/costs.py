"""Latency, energy and area of networks on a systolic array, for many designs at once.

Time: a layer takes its fold and reload cycles (see ``gemm``) or the cycles its DRAM traffic
takes, whichever is longer, because buffers are double; and first waits for the data of its
first fold. Layers run one after the other, one image at a time.

Energy: MACs with the registers they pass, SRAM and DRAM accesses, operations of the vector
unit, and leakage of the whole chip while the network runs. DRAM counts its accesses only.

A product of two activations (attention) runs on the array like any other, its second matrix where
weights go; that matrix is no weight, so ``keeps_weights`` does not hold it. What a transposed
convolution's windows overlap is added as its results drain.

The vector unit (ours) has one lane a column: it adds, pools, normalises and activates at one
operation a lane and cycle; what looks at all of a row first (softmax, layer norm) takes four an
element: two to reduce, two to apply. Activations of a convolution happen while its results drain
and take no time. Joining and cutting channels is addressing and free; padding them is not, so an
ADD network whose skips are as wide as its blocks, which need no padding, can be predicted faster
(by 4 % at most) than one with fewer skip channels. Nothing else that is larger is.

On the chip (where ``keeps_activations``): a tensor that fits half of the input buffer never
goes to DRAM. Each layer decides that from the tensor's own size, so costs stay additive over
layers; the network's input, and what long links keep alive beside it, are not accounted for.
Where ``keeps_weights``, weights are loaded once and for all and cost no DRAM traffic; that
holds for networks whose weights fit, ``systolic_weight_kb``, which is a limit for the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Layer, in_elements, layer_macs, out_elements
from flash.spaces.table import LayerTable
from flash.targets.shapes import distinct_layers
from flash.targets.systolic.chip import Chip, Variables, sum_bits_of
from flash.targets.systolic.gemm import gemm_cycles, gemm_of, gemm_traffic
from flash.targets.systolic.passes import Zeros, passes_cost
from flash.targets.systolic.profile import SystolicHardware
from flash.targets.systolic.spent import NOTHING, Spent

__all__ = ["LayerReport", "layer_reports", "systolic_costs"]

Floats = NDArray[np.float64]

#: Layers that only change where data is found.
_ADDRESSING = ("concat", "slice", "input", "output")
#: Layers that the array computes.
_PRODUCTS = ("conv", "linear", "matmul", "conv_transpose")
#: Bias and batch norm folded into one offset a channel.
_OFFSET_BYTES = 4
#: Operations an element of what looks at all of a row first; ours.
_PASSES_OF_A_NORM = 4


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer of one design on one chip.

    compute_cycles: as SCALE-Sim counts, without reloads and memory stalls; of row stationary,
                    without waiting for DRAM.
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
    sram_bytes: float
    latency_ms: float
    mac_uj: float
    sram_uj: float
    dram_uj: float
    vector_uj: float
    clock_uj: float
    leakage_uj: float

    @property
    def energy_mj(self) -> float:
        """Energy of the layer."""
        moved = self.sram_uj + self.dram_uj
        return (self.mac_uj + moved + self.vector_uj + self.clock_uj + self.leakage_uj) / 1e3

    @property
    def stall_cycles(self) -> float:
        """Cycles beyond ``compute_cycles``: reloads, and waiting for memory."""
        return max(self.cycles - self.compute_cycles, 0.0)


def systolic_costs(
    table: LayerTable, hardware: SystolicHardware, variables: Variables
) -> dict[str, Floats]:
    """``latency_ms`` and ``energy_mj`` of every design on the chip(s).

    variables: every one of ``VARIABLES``, an integer, or an array that broadcasts against
               (designs,): shape (designs,) pairs chips with designs, shape (chips, 1) gives
               results of shape (chips, designs), and is the fast way for many chips.

    Additive over rows: the costs of the stages of a network add up to the network's. Only
    layers on a path from input to output count; in a table of some stages, all do.
    Raises ``UsageError`` for a variable that is missing, unknown or out of range.
    """
    chip = Chip.of(hardware, variables)
    partial = int(np.max(np.asarray(table.output.producer))) < 0
    present = table.active if partial else table.live
    chips = np.broadcast_shapes(*(np.shape(v) for v in variables.values()))
    total = _every_chip if len(chips) > 1 and chips[-1] == 1 else _row_by_row
    with np.errstate(all="ignore"):  # entries of absent layers mean nothing
        cycles, dynamic_pj = total(table, present, chip, chips)
    latency_ms = cycles / (chip.frequency_mhz * 1e3)
    return {
        "latency_ms": latency_ms,
        "energy_mj": dynamic_pj * 1e-9 + latency_ms * chip.leakage_mw * 1e-3,
    }


def _row_by_row(
    table: LayerTable, present: NDArray[np.bool_], chip: Chip, chips: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """Cycles and dynamic energy (pJ) of designs on one chip, or each on its own."""
    shape = np.broadcast_shapes((table.designs,), chips)
    cycles, dynamic_pj = np.zeros(shape), np.zeros(shape)
    for layer, where in zip(table.layers, present, strict=True):
        if where.any():
            cost = _layer_cost(layer, chip)
            cycles += np.where(where, cost.cycles, 0.0)
            dynamic_pj += np.where(where, cost.dynamic_pj + cost.cycles * chip.clock_pj, 0.0)
    return cycles, dynamic_pj


def _every_chip(
    table: LayerTable, present: NDArray[np.bool_], chip: Chip, chips: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """Cycles and dynamic energy (pJ) of all designs on all chips, shape (chips, designs)."""
    layers, counts = distinct_layers(table, present)
    found = []
    for layer in layers:
        cost = _layer_cost(layer, chip)
        shape = (*chips[:-1], len(layer.out_channels))  # type: ignore[arg-type]  # an array here
        dynamic = cost.dynamic_pj + cost.cycles * chip.clock_pj
        found.append([np.broadcast_to(x, shape) for x in (cost.cycles, dynamic)])
    totals = []
    for parts in zip(*found, strict=True):
        by_shape = np.concatenate(parts, axis=-1)
        flat = (counts @ by_shape.reshape(-1, by_shape.shape[-1]).T).T
        totals.append(flat.reshape(*chips[:-1], table.designs))
    none = np.zeros((*chips[:-1], table.designs))
    return (totals[0], totals[1]) if totals else (none, none)


def layer_reports(
    layers: Sequence[Layer],
    hardware: SystolicHardware,
    variables: Mapping[str, int],
    zeros: Mapping[str, Zeros] | None = None,
) -> tuple[LayerReport, ...]:
    """Where time and energy go, layer by layer, for one design on one chip; of one image.

    layers: of one network, ``space.network(design).live().layers``.
    zeros:  of layers by name, on a row-stationary array, where they are known one by one.
    """
    chip = Chip.of(hardware, variables)
    multipliers = int(chip.rows) * int(chip.cols)
    reports = []
    for layer in layers:
        cost = _layer_cost(layer, chip, (zeros or {}).get(layer.name))
        macs = int(layer_macs(layer))
        cycles = float(cost.cycles)
        latency_ms = cycles / (float(chip.frequency_mhz) * 1e3)
        reports.append(
            LayerReport(
                layer.name,
                layer.op,
                macs,
                int(cost.compute_cycles),
                cycles,
                macs / (multipliers * cycles) if cycles else 0.0,
                float(cost.dram_bytes),
                float(cost.sram_bytes),
                latency_ms,
                float(cost.mac_pj) / 1e6,
                float(cost.sram_pj) / 1e6,
                float(cost.dram_pj) / 1e6,
                float(cost.vector_pj) / 1e6,
                cycles * float(chip.clock_pj) / 1e6,
                latency_ms * float(chip.leakage_mw),
            )
        )
    return tuple(reports)


# ------------------------------------------------------------------------------- the layers
def _layer_cost(layer: Layer, chip: Chip, zeros: Zeros | None = None) -> Spent:
    if layer.op in _PRODUCTS:
        if chip.stationary is not None:
            return passes_cost(layer, chip, chip.stationary, zeros)
        return _product_cost(layer, chip)
    if layer.op in _ADDRESSING:
        return NOTHING
    return _vector_cost(layer, chip)


def _product_cost(layer: Layer, chip: Chip) -> Spent:
    array, bits, gemm = chip.array, chip.bits, gemm_of(layer)
    if layer.op == "matmul":
        kept_in = chip.keeps(gemm.groups * gemm.inputs)
        held = chip.keeps(gemm.groups * gemm.weights)
    else:
        kept_in, held = chip.keeps(in_elements(layer)), chip.keeps_weights
    outputs = out_elements(layer)
    added = np.maximum(gemm.groups * gemm.m * gemm.n - outputs, 0)  # overlapping windows
    kept_out = chip.keeps(outputs)
    compute = gemm.groups * gemm_cycles(
        gemm.m, gemm.n, gemm.k, array.rows, array.cols, array.dataflow
    )
    from_dram = gemm._replace(
        inputs=np.where(kept_in, 0, gemm.inputs),
        weights=np.where(held, 0, gemm.weights),
    )
    moved = gemm_traffic(from_dram, array)
    has_offsets = (layer.norm or layer.bias) and not chip.keeps_weights
    offsets = layer.out_channels * (_OFFSET_BYTES if has_offsets else 0)
    fetched = gemm.groups * (moved.input_bytes + moved.weight_bytes) + offsets
    drained = np.where(kept_out, 0, outputs * array.element_bytes)
    dram_bytes = fetched + drained
    sum_bits = np.where(np.asarray(array.dataflow) == 0, bits, sum_bits_of(bits))
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
    return Spent(
        compute_cycles=compute,
        sram_bytes=(
            gemm.groups
            * (
                moved.input_reads * bits
                + moved.weight_reads * bits
                + (moved.sum_writes + moved.sum_reads) * sum_bits
            )
            + outputs * sum_bits
        )
        / 8
        + fetched,
        cycles=np.maximum(
            compute + gemm.groups * moved.reload_cycles, dram_bytes / chip.bytes_per_cycle
        )
        + moved.fill_bytes / chip.bytes_per_cycle,
        dram_bytes=dram_bytes,
        mac_pj=gemm.groups * gemm.m * gemm.n * gemm.k * chip.mac_pj,
        sram_pj=sram_pj,
        dram_pj=dram_bytes * chip.dram_pj_per_byte,
        vector_pj=(outputs + added) * chip.vector_pj,
    )


def _vector_cost(layer: Layer, chip: Chip) -> Spent:
    one_operand = layer.in_channels * layer.in_height * layer.in_width * layer.batch
    operands = layer.operands if layer.op == "add" else 1
    outputs = out_elements(layer)
    operations = outputs
    if layer.op in ("max_pool", "avg_pool"):
        operations = outputs
    if layer.op == "gather":  # of a table only what is looked up is read
        one_operand = outputs
    if layer.op in ("max_pool", "avg_pool"):
        operations = outputs * layer.kernel_height * layer.kernel_width
    elif layer.op in ("global_pool", "reduce"):
        operations = one_operand
    elif layer.op == "layer_norm" or layer.act.endswith("softmax"):
        operations = _PASSES_OF_A_NORM * one_operand
    elif layer.op == "add":
        operations = outputs * (operands - 1)
    read_bits = np.where(chip.keeps(one_operand), 0, one_operand) * operands * chip.bits
    written_bits = np.where(chip.keeps(outputs), 0, outputs) * chip.bits
    dram_bytes = (read_bits + written_bits) / 8
    compute = -(-operations // chip.cols)
    sram_pj = (one_operand * operands * chip.bits + written_bits) * chip.inputs.read_pj + (
        outputs * chip.bits + read_bits
    ) * chip.inputs.write_pj
    return Spent(
        compute_cycles=compute,
        sram_bytes=(one_operand * operands + outputs) * chip.bits / 8 + dram_bytes,
        cycles=np.maximum(compute, dram_bytes / chip.bytes_per_cycle),
        dram_bytes=dram_bytes,
        mac_pj=0,
        sram_pj=sram_pj,
        dram_pj=dram_bytes * chip.dram_pj_per_byte,
        vector_pj=operations * chip.vector_pj,
    )
