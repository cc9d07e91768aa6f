"""The rule for passes: a network that was measured several times counts with its fastest pass.

Whoever else uses the device only ever adds time, now to one network and now to another, so the
fastest passes repeat best. Energy and memory are those of the first pass, the only one with a
sensor. ``tests/data/measurement_vectors.json`` holds every reader of measurements to this rule.
"""

from __future__ import annotations

import json
import math
from typing import Any, Sequence

#: Facts of a pass; of several the fastest one's.
_OF_A_PASS = (
    "latency_ms",
    "temperature_c",
    "frequency_mhz",
    "clock_mhz",
    "core_groups",
    "throttled",
    "quota_stopped_s",
)


def network_key(network: dict[str, Any]) -> str:
    """Equal for the same network: the SHA-256 of its file, else its description as JSON.

    A file with free sizes is another network at other shapes of its inputs.
    """
    key = str(network.get("sha256") or json.dumps(network, sort_keys=True))
    shapes = network.get("input_shapes")
    return f"{key} {json.dumps(shapes, sort_keys=True)}" if shapes else key


def merged_passes(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record a network: its fastest pass, with the medians of all."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        key = network_key(record["network"])
        before = found.get(key)
        if before is None or "error" in before:
            found[key] = record
        elif "error" not in record:  # a later refusal undoes no measurement
            found[key] = _merged(before, record)
    return list(found.values())


def _merged(before: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """A network's record with one pass more; energy and memory are those of the first pass."""
    both = (before, record)
    fastest = min(both, key=lambda r: r["latency_ms"]["median"])
    known = [key for key in _OF_A_PASS if key in before or key in record]
    return {
        **before,
        **{key: fastest.get(key) for key in known},
        # They are timed apart, so their fastest pass may be another.
        "kernels": min((r.get("kernels") for r in both), key=kernels_ms),
        "passes": sum(r.get("passes", 1) for r in both),
        "medians": [ms for r in both for ms in r.get("medians", [r["latency_ms"]["median"]])],
    }


def kernels_ms(kernels: list[dict[str, Any]] | None) -> float:
    """Time of all kernels of a network; endless where they were not timed."""
    return sum(k["ms"] for k in kernels) if kernels else math.inf
