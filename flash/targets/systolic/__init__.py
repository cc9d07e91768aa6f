"""Systolic arrays: latency, energy and area of networks on an array of multipliers.

hardware = load_systolic("systolic")
chip = {"rows": 16, "cols": 32, "buffer_kib": 108, "dataflow": 1, "bits": 8,
        "frequency_mhz": 800}
systolic_costs(space.table(indices), hardware, chip)["latency_ms"]
systolic_area_mm2(hardware, chip)
"""

from flash.targets.systolic.chip import (
    systolic_area_mm2,
    systolic_areas_mm2,
    systolic_weight_mb,
)
from flash.targets.systolic.costs import LayerReport, breakdown, systolic_costs
from flash.targets.systolic.gemm import DATAFLOWS
from flash.targets.systolic.profile import (
    VARIABLES,
    SystolicHardware,
    load_systolic,
    parse_systolic,
)

__all__ = [
    "DATAFLOWS",
    "VARIABLES",
    "LayerReport",
    "SystolicHardware",
    "breakdown",
    "load_systolic",
    "parse_systolic",
    "systolic_area_mm2",
    "systolic_areas_mm2",
    "systolic_costs",
    "systolic_weight_mb",
]
