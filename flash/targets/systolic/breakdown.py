"""Where the time, energy and area of one network on one systolic array go."""

from __future__ import annotations

from collections.abc import Mapping

from flash.spaces.network import Network
from flash.targets.breakdown import Breakdown, LayerCost, added_up
from flash.targets.systolic.chip import systolic_areas_mm2
from flash.targets.systolic.costs import LayerReport, layer_reports
from flash.targets.systolic.drawing import draw
from flash.targets.systolic.profile import SystolicHardware

__all__ = ["breakdown"]


def breakdown(
    network: Network, hardware: SystolicHardware, variables: Mapping[str, int]
) -> Breakdown:
    """The layers on a path from input to output, one after the other.

    ``details`` of a layer: ``macs``, ``compute_cycles``, ``cycles``, ``stall_cycles``,
    ``sram_bytes``, ``dram_bytes`` (see ``LayerReport``).
    """
    bytes_per_cycle = hardware.dram_gb_s * 1e3 / variables["frequency_mhz"]
    reports = layer_reports(network.live().layers, hardware, variables)
    layers = [_layer_cost(x, bytes_per_cycle) for x in reports]
    area = {n: float(v) for n, v in systolic_areas_mm2(hardware, variables).items()}
    latency = {"array and vector unit": sum(layer.latency_ms for layer in layers)}
    return Breakdown(tuple(layers), area, latency, added_up(layers), draw(layers))


def _layer_cost(report: LayerReport, bytes_per_cycle: float) -> LayerCost:
    energy = {
        "multipliers": report.mac_uj / 1e3,
        "SRAM": report.sram_uj / 1e3,
        "DRAM": report.dram_uj / 1e3,
        "vector unit": report.vector_uj / 1e3,
        "leakage": report.leakage_uj / 1e3,
    }
    if report.clock_uj:
        energy["clock"] = report.clock_uj / 1e3
    details = {
        "macs": float(report.macs),
        "compute_cycles": float(report.compute_cycles),
        "cycles": report.cycles,
        "stall_cycles": report.stall_cycles,
        "sram_bytes": report.sram_bytes,
        "dram_bytes": report.dram_bytes,
    }
    slow_memory = report.dram_bytes > report.compute_cycles * bytes_per_cycle
    bound = "" if report.cycles == 0 else "memory" if slow_memory else "compute"
    return LayerCost(
        report.name, report.op, report.latency_ms, energy, report.utilisation, details, bound
    )
