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

    ``details`` of a layer: ``macs``, ``compute_cycles``, ``cycles``, ``dram_bytes`` (see
    ``LayerReport``).
    """
    layers = [_layer_cost(x) for x in layer_reports(network.live().layers, hardware, variables)]
    area = {n: float(v) for n, v in systolic_areas_mm2(hardware, variables).items()}
    latency = {"array and vector unit": sum(layer.latency_ms for layer in layers)}
    return Breakdown(tuple(layers), area, latency, added_up(layers), draw(layers))


def _layer_cost(report: LayerReport) -> LayerCost:
    energy = {
        "multipliers": report.mac_uj / 1e3,
        "SRAM": report.sram_uj / 1e3,
        "DRAM": report.dram_uj / 1e3,
        "vector unit": report.vector_uj / 1e3,
        "leakage": report.leakage_uj / 1e3,
    }
    details = {
        "macs": float(report.macs),
        "compute_cycles": float(report.compute_cycles),
        "cycles": report.cycles,
        "dram_bytes": report.dram_bytes,
    }
    return LayerCost(report.name, report.op, report.latency_ms, energy, report.utilisation, details)
