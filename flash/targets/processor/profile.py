"""Hardware profiles: what a device is, its fitted coefficients, and where they come from.

A profile is a TOML file in ``hw_profiles/`` or of the user's own. It holds one or more
*runtimes* (a framework with its version, threads, clock and precision): a latency without
those means nothing, so each has coefficients, held-out errors and sources of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flash.errors import ProfileError, UsageError, did_you_mean, shown
from flash.files.reading import parse_toml
from flash.files.section import Section
from flash.targets.processor.kernel_classes import BASE_CLASS, CALL, KERNEL_CLASSES, LANES
from flash.targets.processor.kernel_evidence import read_evidence
from flash.targets.processor.runtime import (
    BOX_FEATURES,
    BYTES,
    EXECUTES,
    FUSIONS,
    NO_ENERGY,
    Coefficients,
    Energy,
    Interval,
    Provenance,
    Runtime,
    Variant,
)
from flash.targets.profile_files import check_schema, find_profile, load_document, read_document

__all__ = [
    "BYTES",
    "EXECUTES",
    "FUSIONS",
    "BOX_FEATURES",
    "NO_ENERGY",
    "Coefficients",
    "Device",
    "Energy",
    "Interval",
    "Profile",
    "Provenance",
    "Runtime",
    "Tvm",
    "Variant",
    "load_profile",
    "parse_profile",
    "read_profile",
]

SCHEMA = "flash.profile/1"
#: Larger than any coefficient of hardware; keeps every cost a finite number.
_LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class Device:
    """The board: facts from data sheets and published measurements, none of them fitted.
    peak_gflops: fp32, all cores. memory_gb_s: read bandwidth of one thread. 0: not stated.
    """

    soc: str
    cpu: str
    cores: int
    clock_mhz: float
    peak_gflops: float
    memory_gb_s: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tvm:
    """What TVM compiles for: LLVM's target triple and CPU."""

    mtriple: str
    mcpu: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A device and the runtimes known for it; ``runtime`` is the one in use.

    tvm: None where nobody has said what TVM would compile for.
    default_for: family of networks -> the runtime in use for them unless somebody says another.
    """

    name: str
    description: str
    kind: str
    device: Device
    runtimes: Mapping[str, Runtime]
    default_runtime: str
    tvm: Tvm | None = None
    default_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def runtime(self) -> Runtime:
        """The runtime in use."""
        return self.runtimes[self.default_runtime]

    def select(self, runtime: str) -> Profile:
        """The same device with another runtime in use; ``UsageError`` if it has none such."""
        if runtime not in self.runtimes:
            raise UsageError(
                f"profile {self.name} has no runtime '{runtime}'"
                f"{did_you_mean(runtime, self.runtimes)}"
            )
        return replace(self, default_runtime=runtime)

    @property
    def energy(self) -> Energy:
        """The energy model of the runtime in use."""
        return self.runtime.energy

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of this profile's figures should know, a sentence each."""
        if self.energy == NO_ENERGY:
            return (f"energy: {self.energy.how}",)
        return (
            "energy on a CPU board is nearly its power times the latency: it is reported, and is "
            "an objective only if asked for",
        )

    @property
    def provenance_line(self) -> str:
        """Device, runtime in use and its provenance in one line."""
        return f"{self.name}: {self.description}; {self.runtime.provenance_line}"

    def summary(self) -> dict[str, Any]:
        """Name, runtime and provenance as plain values, for reports."""
        runtime = self.runtime
        return {
            "name": self.name,
            "description": self.description,
            "kind": self.kind,
            "runtime": runtime.name,
            "framework": runtime.in_words,
            "threads": runtime.threads,
            "clock_mhz": runtime.clock_mhz,
            "precision": runtime.precision,
            "basis": runtime.basis,
            "provenance": [
                f"latency: {runtime.provenance_line}",
                f"energy: {self.energy.how}"
                + (f", {self.energy.networks} networks" if self.energy.networks else ""),
                *(f"source: {source}" for source in runtime.provenance.sources),
            ],
        }


def load_profile(name_or_path: str, runtime: str | None = None) -> Profile:
    """The profile ``hw_profiles/NAME.toml`` or a file of the user's, which is a processor's.

    ``runtime`` picks one of its runtimes; so does a name ``NAME:RUNTIME`` (``rpi4b:armnn``).
    Raises ``UsageError`` for an unknown name or runtime, ``ProfileError`` for a file that is
    no profile of a processor.
    """
    path, of_name = find_profile(name_or_path)
    profile = read_document(load_document(path), path, read_profile)
    chosen = runtime if runtime is not None else of_name
    return profile if chosen is None else profile.select(chosen)


def parse_profile(text: str, path: Path) -> Profile:
    """The profile in ``text``; ``path`` is named in errors (``ProfileError``)."""
    return read_document(parse_toml(text, path, ProfileError), path, read_profile)


def read_profile(top: Section) -> Profile:
    """The profile that a document holds; raises ``ProfileError`` naming what is wrong."""
    check_schema(top, SCHEMA)
    kind = top.choice("kind", ("processor",))
    device = _device(top.section("device"))
    listed = top.section("runtimes")
    runtimes = {name: _runtime(name, listed.section(name)) for name in listed.names()}
    default = top.text("default_runtime")
    if default not in runtimes:
        raise ProfileError(
            f"default_runtime is '{default}', which [runtimes] lacks"
            f"{did_you_mean(default, runtimes)}"
        )
    tvm = _tvm(top.section("tvm")) if top.has("tvm") else None
    preferred = _default_for(top.section("default_for"), runtimes) if top.has("default_for") else {}
    profile = Profile(
        top.text("name"), top.text("description"), kind, device, runtimes, default, tvm, preferred
    )
    top.done()
    return profile


def _default_for(s: Section, runtimes: Mapping[str, Runtime]) -> dict[str, str]:
    found = {family: s.choice(family, tuple(runtimes)) for family in s.names()}
    s.done()
    return found


def _device(s: Section) -> Device:
    device = Device(
        soc=s.text("soc"),
        cpu=s.text("cpu"),
        cores=s.integer("cores", least=0),
        clock_mhz=s.stated("clock_mhz"),
        peak_gflops=s.stated("peak_gflops"),
        memory_gb_s=s.stated("memory_gb_s"),
        sources=s.texts("sources"),
    )
    s.done()
    return device


def _tvm(s: Section) -> Tvm:
    tvm = Tvm(mtriple=s.text("mtriple"), mcpu=s.text("mcpu"))
    # Both become part of a compiler's name or arguments.
    for key in ("mtriple", "mcpu"):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", getattr(tvm, key)):
            s.refuse(key, f"is no name of LLVM's: {shown(getattr(tvm, key))}")
    s.done()
    return tvm


def _runtime(name: str, s: Section) -> Runtime:
    runtime = Runtime(
        name=name,
        framework=s.text("framework"),
        version=s.text("version"),
        threads=s.integer("threads", least=0),
        clock_mhz=s.number("clock_mhz", most=_LARGEST),
        precision=s.choice("precision", tuple(BYTES)),
        executes=s.choice("executes", EXECUTES),
        coefficients=_coefficients(s.section("coefficients")),
        interval=_interval(s.section("interval")),
        energy=_energy(s.section("energy")) if s.has("energy") else NO_ENERGY,
        provenance=_provenance(s.section("provenance")),
        fusion=s.choice("fusion", FUSIONS) if s.has("fusion") else FUSIONS[0],
        lanes=_lanes(s) if s.has("lanes") else LANES[0],
        alternatives=_alternatives(s.section("alternatives")) if s.has("alternatives") else (),
        kernels=read_evidence(s.section("kernels")) if s.has("kernels") else None,
    )
    _check_eager(s, runtime)
    if sum(v.weight for v in runtime.alternatives) >= 1.0:
        s.refuse("alternatives", "must have weights of less than 1 together")
    s.done()
    return runtime


def _alternatives(s: Section) -> tuple[Variant, ...]:
    found = []
    for name in s.names():
        own = s.section(name)
        variant = Variant(
            weight=own.number("weight", least=0.0, most=1.0),
            executes=own.choice("executes", EXECUTES),
            fusion=own.choice("fusion", FUSIONS),
            lanes=_lanes(own),
            coefficients=_coefficients(own.section("coefficients")),
        )
        _check_eager(own, variant)
        own.done()
        found.append(variant)
    s.done()
    return tuple(found)


def _check_eager(s: Section, found: Runtime | Variant) -> None:
    if found.fusion == "eager" and found.executes != "all":
        s.refuse("fusion", 'can be "eager" only where executes = "all"')


def _lanes(s: Section) -> int:
    if (lanes := s.integer("lanes", most=max(LANES))) not in LANES:
        s.refuse("lanes", f"must be one of {', '.join(map(str, LANES))}, got {lanes}")
    return lanes


def _coefficients(s: Section) -> Coefficients:
    per_class: dict[str, Any] = {}
    for name in ("gmac_s", "gb_s", "reduction_half", "outputs_half"):
        least = 1e-6 if name in ("gmac_s", "gb_s") else 0.0
        per_class[name] = _by_class(s.section(name), least)
    if s.has("positions_half"):
        per_class["positions_half"] = _by_class(s.section("positions_half"), 0.0)
    if s.is_table("overhead_us"):
        overhead = _by_class(s.section("overhead_us"), 0.0)
    else:  # one for all classes
        overhead = (s.number("overhead_us", most=_LARGEST),) * len(KERNEL_CLASSES)
        overhead = (*overhead[:CALL], 0.0, *overhead[CALL + 1 :])
    cached = s.has("cache_mb")
    coefficients = Coefficients(
        overhead_us=overhead,
        **per_class,
        cache_mb=s.rate("cache_mb") if cached else math.inf,
        spill_gb_s=s.rate("spill_gb_s") if cached else math.inf,
    )
    s.done()
    return coefficients


def _by_class(table: Section, least: float) -> tuple[float, ...]:
    """A number a kernel class; what a profile does not give is that of its base class.

    Profiles written before a class was told apart have none of it.
    """
    found: dict[str, float] = {}
    for kind in KERNEL_CLASSES:
        if kind == "call":
            found[kind] = table.number(kind, 0.0, _LARGEST) if table.has(kind) else least
        elif kind in BASE_CLASS and not table.has(kind):
            found[kind] = found[BASE_CLASS[kind]]
        else:
            found[kind] = table.number(kind, least, _LARGEST)
    table.done()
    return tuple(found.values())


def _interval(s: Section) -> Interval:
    # Profiles written before it had this name say "hull".
    ranges, box = s.section("hull" if s.has("hull") else "bounding_box"), {}
    for name in BOX_FEATURES:
        box[name] = ranges.pair(name)
    ranges.done()
    classes = s.texts("classes") if s.has("classes") else ()
    unknown = [name for name in classes if name not in KERNEL_CLASSES]
    if unknown:
        s.refuse("classes", f"'{unknown[0]}' is not one of {', '.join(KERNEL_CLASSES)}")
    if "call" not in classes:
        # Written before these classes were told apart from their base class.
        both = (("grouped", "conv"), ("global_pool", "pool"))
        classes = (*classes, *(new for new, base in both if base in classes and new not in classes))
    interval = Interval(
        low=s.low_factor("low"),
        high=s.high_factor("high"),
        outside_low=s.low_factor("outside_low"),
        outside_high=s.high_factor("outside_high"),
        bounding_box=box,
        classes=classes,
    )
    # What nothing like it was measured for cannot be known better than what was fitted.
    if interval.outside_low > interval.low:
        s.refuse("outside_low", f"must be at most low, {interval.low:g}")
    if interval.outside_high < interval.high:
        s.refuse("outside_high", f"must be at least high, {interval.high:g}")
    s.done()
    return interval


def _energy(s: Section) -> Energy:
    energy = Energy(
        power_w=s.power("power_w"),
        mj_per_gmac=s.number("mj_per_gmac", most=_LARGEST),
        mj_per_gb=s.number("mj_per_gb", most=_LARGEST),
        low=s.low_factor("low"),
        high=s.high_factor("high"),
        how=s.text("how"),
        networks=s.integer("networks", least=0),
        sources=s.texts("sources"),
    )
    s.done()
    return energy


def _provenance(s: Section) -> Provenance:
    provenance = Provenance(
        how=s.choice("how", ("fitted", "prior")),
        networks=s.integer("networks", least=0),
        held_out=s.text("held_out"),
        median_error_percent=s.number("median_error_percent"),
        mape_percent=s.number("mape_percent"),
        spearman=s.correlation("spearman"),
        date=s.text("date"),
        sources=s.texts("sources"),
    )
    s.done()
    return provenance
