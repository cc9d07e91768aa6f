"""What the header of a file of measurements says: the device, and the runtime fitted to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flash.errors import InputError, UsageError, shown
from flash.fitting.learning import Learned
from flash.fitting.selection import FOLDS
from flash.measurements.reading import Measurements
from flash.targets.processor.profile import BYTES, NO_ENERGY, Device, Provenance, Runtime
from flash.targets.processor.runtime import NOT_STATED

__all__ = [
    "check_one_device",
    "described",
    "device_of",
    "precision_of",
    "runtime_name",
    "runtime_of",
]


def runtime_name(file: Measurements, taken: Mapping[str, Runtime]) -> str:
    """Its runtime, threads and number format in one word that is not taken."""
    runtime = file.header.get("runtime", {})
    framework = {"onnxruntime": "ort"}.get(str(runtime.get("name")), str(runtime.get("name", "")))
    threads = file.header.get("threads")
    words = [re.sub(r"[^a-z0-9]+", "_", framework.lower()).strip("_") or "measured"]
    if isinstance(threads, int):
        words.append(f"{threads}_thread{'s' if threads != 1 else ''}")
    precision = file.header.get("precision", "fp32")
    words += [str(precision)] if precision != "fp32" else []
    name, number = "_".join(words), 2
    while name in taken:
        name, number = f"{'_'.join(words)}_{number}", number + 1
    return name


def described(file: Measurements) -> str:
    """The device in a few words."""
    device = file.header.get("device", {})
    words = [str(device.get(k)) for k in ("model", "cpu") if device.get(k)]
    return _one_line(", ".join(words)) or f"device of {file.path.name}"


def check_one_device(files: Sequence[Measurements]) -> None:
    """Refuse files that say they are of different devices: a profile is of one."""
    for key in ("model", "cpu"):
        named = [(f.path, f.header.get("device", {}).get(key)) for f in files]
        stated = [(path, value) for path, value in named if value]
        for path, value in stated[1:]:
            if value != stated[0][1]:
                raise UsageError(
                    f"{stated[0][0]} and {path} are of different devices ({stated[0][1]}, {value}):"
                    " fit a profile to each"
                )


def device_of(file: Measurements, peak_gflops: float | None, memory_gb_s: float | None) -> Device:
    """Facts of the header and those given; a fitted rate is none, and nothing is guessed."""
    given = file.header.get("device", {})
    model, cores = given.get("model"), given.get("cores")
    return Device(
        # A board without a name gives its architecture as its model.
        soc=_one_line(str(model)) if model and model != given.get("arch") else NOT_STATED,
        cpu=_one_line(str(given.get("cpu") or NOT_STATED)),
        cores=cores if isinstance(cores, int) and cores > 0 else 0,
        clock_mhz=_clock(file),
        peak_gflops=peak_gflops or 0.0,
        memory_gb_s=memory_gb_s or 0.0,
        sources=("given with the fit",) if peak_gflops else ("the header of the measurements",),
    )


def _clock(file: Measurements) -> float:
    clock = file.header.get("frequency_mhz")
    return float(clock) if isinstance(clock, int | float) and clock > 0 else 0.0


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def runtime_of(
    name: str, file: Measurements, found: Learned, precision: str, power_w: float | None
) -> Runtime:
    """The runtime that was fitted; power_w: assumed where no energy was measured."""
    header, runtime = file.header, file.header.get("runtime", {})
    threads = header.get("threads")
    provider = runtime.get("provider")
    framework = str(runtime.get("name") or NOT_STATED) + (f" ({provider})" if provider else "")
    energy = found.energy or (
        NO_ENERGY
        if power_w is None
        else replace(
            NO_ENERGY,
            power_w=power_w,
            low=0.5,
            high=2.0,
            how=f"not measured: {power_w:g} W given, taken as right within a factor of two",
        )
    )
    kinds = len(found.kinds)
    main, *others = found.variants
    how = "each network" if len(file.rows) <= FOLDS else "10 folds"
    if found.coverage is None and not found.contradicted:
        how = "other boards of the same cores, from as many runs"
    return Runtime(
        name=name,
        framework=_one_line(framework),
        version=_one_line(str(runtime.get("version") or NOT_STATED)),
        threads=threads if isinstance(threads, int) and threads >= 0 else 0,
        clock_mhz=_clock(file),
        precision=precision,
        executes=main.executes,
        fusion=main.fusion,
        lanes=main.lanes,
        alternatives=tuple(others),
        coefficients=main.coefficients,
        interval=found.interval,
        energy=energy,
        provenance=Provenance(
            how="fitted",
            networks=len(file.rows),
            held_out=how + (f"; outside, {kinds} kinds left out" if kinds else ""),
            **found.figures,
            date=_one_line(str(header.get("date") or NOT_STATED))[:10],
            sources=(f"measured: {file.path.name}",),
        ),
    )


def precision_of(file: Measurements) -> str:
    """The number format of a file's networks; raises ``InputError`` for one that none runs in."""
    precision = str(file.header.get("precision", "fp32"))
    if precision not in BYTES:
        raise InputError(
            f"{file.path}: precision {shown(precision)} is not one of {', '.join(BYTES)}"
        )
    return precision
