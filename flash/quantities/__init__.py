"""Quantities: declared once, read from what people type, written for people to read."""

from flash.quantities.numbers import (
    number_of,
    parse_confidence,
    parse_count,
    parse_number,
    parse_seed,
    parse_sizes,
    parse_whole,
)
from flash.quantities.registry import (
    QUANTITIES,
    Quantity,
    Sense,
    known_quantities,
    quantity,
)
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
    parse_memory_kb,
)

__all__ = [
    "QUANTITIES",
    "Quantity",
    "Sense",
    "format_area",
    "format_count",
    "format_energy",
    "format_latency",
    "format_memory",
    "format_number",
    "known_quantities",
    "number_of",
    "parse_accuracy_percent",
    "parse_area_mm2",
    "parse_confidence",
    "parse_count",
    "parse_duration_s",
    "parse_energy_mj",
    "parse_latency_ms",
    "parse_memory_kb",
    "parse_number",
    "parse_seed",
    "parse_sizes",
    "parse_whole",
    "quantity",
]
