"""Quantities with units: read from what people type, written for people to read."""

from flash.quantities.text import (
    format_area,
    format_count,
    format_energy,
    format_latency,
    format_memory,
    format_number,
    parse_accuracy_percent,
    parse_area_mm2,
    parse_duration_s,
    parse_energy_mj,
    parse_latency_ms,
    parse_memory_mb,
    parse_seed,
)

__all__ = [
    "format_area",
    "format_count",
    "format_energy",
    "format_latency",
    "format_memory",
    "format_number",
    "parse_accuracy_percent",
    "parse_area_mm2",
    "parse_duration_s",
    "parse_energy_mj",
    "parse_latency_ms",
    "parse_memory_mb",
    "parse_seed",
]
