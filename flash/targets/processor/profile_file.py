"""Writing a hardware profile as the TOML file ``load_profile`` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flash.files.writing import write_text
from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES, LANES
from flash.targets.processor.kernel_evidence import KernelEvidence
from flash.targets.processor.profile import (
    FUSIONS,
    NO_ENERGY,
    SCHEMA,
    Coefficients,
    Profile,
    Runtime,
)

__all__ = ["profile_text", "write_profile"]


def profile_text(profile: Profile, comment: str = "") -> str:
    """The profile as TOML, ``comment`` on top; the same profile gives the same bytes."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    _table(
        lines,
        "",
        {
            "schema": SCHEMA,
            "name": profile.name,
            "description": profile.description,
            "kind": profile.kind,
            "default_runtime": profile.default_runtime,
        },
    )
    _table(lines, "device", _fields(profile.device))
    if profile.default_for:
        _table(lines, "default_for", profile.default_for)
    if profile.tvm is not None:
        _table(lines, "tvm", _fields(profile.tvm))
    for name, runtime in profile.runtimes.items():
        _runtime(lines, f"runtimes.{name}", runtime)
    return "\n".join(lines) + "\n"


def write_profile(profile: Profile, path: Path, comment: str = "") -> None:
    """Write the profile to ``path``: complete or not at all."""
    write_text(path, profile_text(profile, comment))


def _runtime(lines: list[str], place: str, runtime: Runtime) -> None:
    own = ["framework", "version", "threads", "clock_mhz", "precision", "executes"]
    own += ["fusion"] if runtime.fusion != FUSIONS[0] else []
    own += ["lanes"] if runtime.lanes != LANES[0] else []
    _table(lines, place, {name: getattr(runtime, name) for name in own})
    _coefficients(lines, f"{place}.coefficients", runtime.coefficients)
    for number, v in enumerate(runtime.alternatives, 1):
        own_place = f"{place}.alternatives.{number}"
        names = ("weight", "executes", "fusion", "lanes")
        _table(lines, own_place, {name: getattr(v, name) for name in names})
        _coefficients(lines, f"{own_place}.coefficients", v.coefficients)
    interval = _fields(runtime.interval)
    if not runtime.interval.classes:
        del interval["classes"]
    _table(lines, f"{place}.interval", interval)
    if runtime.kernels is not None:
        _kernels(lines, f"{place}.kernels", runtime.kernels)
    if runtime.energy != NO_ENERGY:
        _table(lines, f"{place}.energy", _fields(runtime.energy))
    _table(lines, f"{place}.provenance", _fields(runtime.provenance))


def _coefficients(lines: list[str], place: str, c: Coefficients) -> None:
    # The call is no kernel: without a cost of its own it is left out.
    of_kernels = {*c.overhead_us[:CALL], *c.overhead_us[CALL + 1 :]}
    shared = len(of_kernels) == 1 and not c.overhead_us[CALL]
    _table(
        lines,
        place,
        {
            "overhead_us": c.overhead_us[0]
            if shared
            else dict(zip(KERNEL_CLASSES, c.overhead_us, strict=True)),
            **{
                name: dict(zip(KERNEL_CLASSES, getattr(c, name), strict=True))
                for name in ("gmac_s", "gb_s", "reduction_half", "outputs_half")
            },
            **(
                {"positions_half": dict(zip(KERNEL_CLASSES, c.positions_half, strict=True))}
                if any(c.positions_half)
                else {}
            ),
            **({} if c.cache_mb == math.inf else _cache(c)),
        },
    )


def _kernels(lines: list[str], place: str, evidence: KernelEvidence) -> None:
    names = ("count", "median_error_percent", "sources")
    fields = {name: getattr(evidence, name) for name in names}
    in_network = dict(zip(("median", "low", "high"), evidence.in_network, strict=True))
    _table(lines, place, fields | {"in_network": in_network})
    ranges = {name: _fields(found) for name, found in evidence.ranges.items()}
    _table(lines, f"{place}.ranges", ranges)


def _cache(c: Coefficients) -> dict[str, float]:
    return {"cache_mb": c.cache_mb, "spill_gb_s": c.spill_gb_s}


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _table(lines: list[str], place: str, values: Mapping[str, Any]) -> None:
    if place:
        lines += ["", f"[{place}]"]
    lines += [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    items = [_value(v) for v in value]
    if all(isinstance(v, str) for v in value) and value:
        return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return "[" + ", ".join(items) + "]"
