"""Networks run on a device -> measurements: the function behind ``python -m flash.profile``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flash.errors import UsageError, did_you_mean
from flash.files.scratch import scratch_folder
from flash.profile.result import ProfileResult, read_result
from flash.profile.suites.suite import DEFAULT_COUNT, build_suite, model_suite
from flash.profile.transports import Device, Job, LocalDevice, Options
from flash.profile.transports.base import DEFAULT_BUDGET_S, LEAST_BUDGET_S
from flash.profile.transports.journal import check_journal

__all__ = ["make_suite", "measure", "profile"]

#: Most elements of an input, as the measuring program has it: 4 GB of float32.
_MOST_ELEMENTS = 2**30


def profile(
    models: Sequence[str | Path] = (),
    *,
    out: str | Path = "measurements.jsonl",
    workloads: Sequence[str] | None = None,
    count: int = DEFAULT_COUNT,
    precision: str = "fp32",
    batch: int = 1,
    input_shapes: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
    device: Device | None = None,
    threads: int | None = None,
    provider: str = "cpu",
    budget_s: float = DEFAULT_BUDGET_S,
    passes: int = 1,
    processor_time: bool = False,
    kernels: bool = False,
    hold_s: float | None = None,
    meter: str | Path | None = None,
    meter_offset_s: float | None = None,
    i2c: str | None = None,
    shunt_ohm: float | None = None,
    sensor: str | None = None,
    resume: bool = True,
    quiet: bool = True,
) -> ProfileResult:
    """Measure networks and write them to ``out``, one JSON line each.

    models:    ONNX files. Without any, ``workloads`` (texts, see ``flash.measurements.workloads``),
               and without those the ``count`` most informative workloads of flash's own, ``seed``.
    precision: fp32, fp16 or int8, of the workloads. batch: images a run.
    input_shapes: of models with free sizes, by the input's name, e.g. ``{"x": (1, 3, 64, 64)}``.
    device:    where to measure; this machine if None.

    threads (all cores if None), provider, budget_s, passes, processor_time, kernels, hold_s, meter,
    meter_offset_s, i2c, shunt_ohm, sensor, resume: see ``flash.profile.transports.Options``.

    What ``out`` holds already is not measured again. Raises ``UsageError`` or ``InputError``
    for what the user can mend, ``NothingDoneError`` where every network was refused,
    ``FlashError`` where the device fails.
    """
    options = Options(
        threads=threads,
        provider=provider,
        budget_s=budget_s,
        passes=passes,
        processor_time=processor_time,
        kernels=kernels,
        hold_s=hold_s,
        meter=None if meter is None else str(meter),
        meter_offset_s=meter_offset_s,
        i2c=i2c,
        shunt_ohm=shunt_ohm,
        sensor=sensor,
        resume=resume,
    )
    began = time.perf_counter()
    check_journal(Path(out))
    suite = make_suite(models, workloads, count, precision, batch, seed, input_shapes)
    return measure(suite, Path(out), options, device, quiet, began)


def measure(
    suite: bytes, out: Path, options: Options, device: Device | None, quiet: bool, began: float
) -> ProfileResult:
    """Measure a suite on a device (this machine if None) into ``out``.

    began: ``time.perf_counter`` when the budget began, of which making the suite is part.
    """
    left_s = max(options.budget_s - (time.perf_counter() - began), LEAST_BUDGET_S)
    options = replace(options, budget_s=left_s)
    with scratch_folder("profile") as folder:
        file = folder / "suite.zip"
        file.write_bytes(suite)
        summary = (device or LocalDevice()).profile(Job(file, out, options, quiet))
    return read_result(out, summary)


def make_suite(
    models: Sequence[str | Path],
    workloads: Sequence[str] | None,
    count: int,
    precision: str,
    batch: int,
    seed: int,
    input_shapes: Mapping[str, Sequence[float]] | None,
    tell: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The suite that is asked for; raises ``UsageError`` where that contradicts itself.

    tell: takes a line on what is made, which is a matter of seconds.
    """
    if not models:
        if input_shapes:
            raise UsageError("--input is for ONNX files: workloads state their shapes")
        return build_suite(
            workloads, count=count, precision=precision, batch=batch, seed=seed, tell=tell
        )
    if workloads is not None:
        raise UsageError("give ONNX files or workloads, not both")
    for name, shape in (input_shapes or {}).items():
        if not shape or min(shape) < 1 or math.prod(shape) > _MOST_ELEMENTS:
            raise UsageError(
                f"input {name or 'shape'} {'x'.join(map(str, shape)) or '()'}: expected sizes from "
                f"1 on, {_MOST_ELEMENTS} elements at most"
            )
    return model_suite(models, precision, batch, input_shapes)


def check_provider(name: str) -> str:
    """The provider of that name; raises ``UsageError`` with the closest for others."""
    known = ("cpu", "cuda")
    if name not in known:
        raise UsageError(f"--provider: invalid choice: '{name}'{did_you_mean(name, known)}")
    return name
