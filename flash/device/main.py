"""The measuring program: what it does from the command line to the result file."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import signal
import sys
import time
from typing import Any, Sequence

from flash.device.bench import Bench
from flash.device.find import added_sensors, find_sensors, sort_out
from flash.device.folder import remove_leftovers, work_folder
from flash.device.ground.refusal import Refused
from flash.device.journal import SCHEMA, Journal
from flash.device.libraries import Libraries, import_runtime
from flash.device.machine import device_info, governor, system_name
from flash.device.meter import Merged, merge
from flash.device.options import checked, parse_seconds
from flash.device.passes import merged_passes, network_key
from flash.device.processor import core_groups, cpu_quota
from flash.device.progress import Progress, summary
from flash.device.sensors.base import describe_sensor
from flash.device.sensors.i2c import i2c_sensor
from flash.device.session import Settings
from flash.device.start import STARTED
from flash.device.suite import Suite, Task, own_models, read_suite, write_weights
from flash.device.timing import FEWEST_RUNS, SETTLE_S, Stopwatch

#: Longest time for a network, in seconds, however large the budget.
LONGEST_S = 10.0
#: Nothing runs for so long before and after a window that a meter is to find, in seconds: one
#: reading of a meter that logs once a second.
PAUSE_S = 1.0
#: Longest window in which the idle device is read, in seconds: ten updates of most sensors.
LONGEST_IDLE_S = 3.0
#: How often the idle device is read; the least counts, whoever else was active.
IDLE_WINDOWS = 3


def make_header(
    suite: Suite, options: argparse.Namespace, sensors: Sequence[Any]
) -> dict[str, Any]:
    """The first line of a result file: device, runtime, settings, sensors, suite."""
    onnxruntime, numpy = Libraries.onnxruntime, Libraries.numpy
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[options.provider]
    return {
        "schema": SCHEMA,
        "device": device_info(),
        "os": system_name(),
        "runtime": {
            "name": "onnxruntime",
            "version": onnxruntime.__version__,
            "provider": provider,
        },
        "versions": {"python": platform.python_version(), "numpy": numpy.__version__},
        "threads": options.threads,
        **({"clock": "processor time"} if options.processor_time else {}),
        "precision": suite.precision,
        "batch": suite.batch,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "governor": governor(),
        "cpu_quota_cores": cpu_quota(),
        "core_groups": core_groups(),
        "sensors": [describe_sensor(sensor) for sensor in sensors],
        "suite": {"name": suite.name, "sha256": suite.sha256},
    }


def measure_all(
    suite: Suite, journal: Journal, bench: Bench, options: argparse.Namespace
) -> list[str]:
    """Measure what the journal lacks; texts of the networks that the budget left out."""
    known: dict[
        str, int
    ] = {}  # passes that each network is done with; refused ones are tried again
    for record in journal.records:
        key = network_key(record["network"])
        known[key] = known.get(key, 0) + (0 if "error" in record else record.get("passes", 1))
    waiting = [
        (number, task)
        for number in range(1, options.passes + 1)
        for task in suite.tasks
        if known.get(task.key, 0) < number
    ]
    progress = Progress(len(journal.records) + len(waiting), options.quiet)
    if known and waiting:
        progress.tell(f"{options.out}: {len(known)} networks are there, {len(waiting)} to go")
    refused: set[str] = set()
    end = STARTED + options.budget_s
    held_s = bench.settings.hold_s + 2 * bench.settings.pause_s
    scales: list[float] = []  # milliseconds a unit of share, as measured
    left_out: list[str] = []
    for position, (number, task) in enumerate(waiting):
        if task.key in refused:
            continue
        left_s = end - time.perf_counter()
        scale = sorted(scales)[len(scales) // 2] if scales else 0.0
        needed_s = 1e-3 * scale * task.share * (FEWEST_RUNS + 3) + held_s
        # One at least, so that repeating the command always gets further.
        if position and (left_s <= 0 or needed_s > left_s):
            if task.text not in left_out:
                left_out.append(task.text)
            continue
        fair_s = left_s / (len(waiting) - position) - held_s
        record = bench.measure(task, min(max(0.8 * fair_s, SETTLE_S), LONGEST_S), number)
        journal.append(record)
        if "latency_ms" in record:
            scales.append(record["latency_ms"]["median"] / task.share)
        else:
            refused.add(task.key)
        left_s = min(end - time.perf_counter(), LONGEST_S * (len(waiting) - position - 1))
        progress.done(len(journal.records), task, record, max(left_s, 0.0))
    if waiting:
        journal.replace(merged_passes(journal.records))
    return left_out


def choose_sensors(
    options: argparse.Namespace, progress: Progress
) -> tuple[list[Any], float, float]:
    """The sensors to read, the one to be believed first; how long to hold, and to pause."""
    sensors, reasons = find_sensors(provider=options.provider)
    added, unusable = sort_out(added_sensors(options.plugin))
    sensors, reasons = added + sensors, unusable + reasons
    if options.i2c:
        sensors.insert(0, i2c_sensor(options.i2c, options.shunt))
    for reason in reasons:
        progress.tell(f"sensor: {reason}")
    if options.sensor:
        chosen = [sensor for sensor in sensors if options.sensor in sensor.name]
        if not chosen:
            names = ", ".join(sensor.name for sensor in sensors) or "none"
            raise Refused(f"--sensor {options.sensor}: the sensors here are {names}")
        sensors.sort(key=lambda sensor: sensor not in chosen)
    progress.tell("sensors: " + (", ".join(s.name for s in sensors) or "none, so no energy"))
    slow = max((s.period_s for s in sensors), default=0.0)
    default_s = 3.0 if options.meter else min(max(20 * slow, 0.5), 5.0)
    wanted = bool(sensors or options.meter or options.hold)
    hold_s = parse_seconds(options.hold) if options.hold else default_s * wanted
    pause_s = PAUSE_S if options.meter or options.hold else 0.0
    return sensors, hold_s, pause_s


def tell_merged(merged: Merged, meter: str, progress: Progress) -> None:
    """Say what came of a meter's readings."""
    for problem in merged.problems[:5]:
        progress.tell(f"{meter}: {problem}")
    if len(merged.problems) > 5:
        progress.tell(f"{meter}: {len(merged.problems) - 5} more networks without energy")
    offset = merged.offset
    if offset.checked and offset.windows:
        progress.tell(
            f"{meter}: its clock less this device's is {offset.seconds:+.2f} s, by the edges of "
            f"{offset.windows} windows"
        )
    elif not offset.checked:
        progress.tell(f"{meter}: its clock was not checked: too few windows, or a steady power")


def run(arguments: Sequence[str]) -> None:
    """The whole command; raises ``Refused`` for what the user can mend."""
    options = checked(arguments)
    progress = Progress(0, options.quiet)
    if options.merges:
        with contextlib.closing(Journal(options.out, None)) as journal:
            merged = merge(journal, options.meter, options.offset_s)
        tell_merged(merged, options.meter, progress)
        _say(f"written: {options.out}: energy of {merged.networks} networks\n")
        return
    import_runtime()
    has = Libraries.onnxruntime.get_available_providers()
    if options.provider == "cuda" and "CUDAExecutionProvider" not in has:
        raise Refused(
            "this onnxruntime has no CUDA: python3 -m pip install onnxruntime-gpu in place of "
            "onnxruntime"
        )
    if options.suite:
        suite = read_suite(options.suite)
    else:
        precision = options.precision or "fp32"
        suite = own_models(options.models, precision, options.batch, options.shapes)
    sensors, hold_s, pause_s = choose_sensors(options, progress)
    header = make_header(suite, options, sensors)
    with contextlib.closing(Journal(options.out, header, not options.no_resume)) as journal:
        watch = Stopwatch(options.processor_time)
        for _ in range(IDLE_WINDOWS if sensors else 0):
            watch.rest(sensors, min(hold_s / 2, LONGEST_IDLE_S))
        settings = Settings(
            options.threads, options.provider, suite.batch, options.kernels, hold_s, pause_s
        )
        remove_leftovers(options.out)
        with work_folder(options.out) as folder:
            if suite.weights is not None:
                write_weights(folder, suite.weights)
            bench = Bench(settings, folder, suite.batch, sensors, watch)
            left_out = measure_all(suite, journal, bench, options)
        finish(options, suite, journal, left_out, watch.inference_s)


def finish(
    options: argparse.Namespace,
    suite: Suite,
    journal: Journal,
    left_out: list[str],
    inference_s: float,
) -> None:
    """Merge a meter's readings, say what was measured; raises ``Refused`` where nothing was."""
    records = [record for record in journal.records if _is_asked(record, suite.tasks)]
    errors = [record["error"] for record in records if "error" in record]
    nothing = bool(errors) and len(errors) == len(records)
    if options.meter and not nothing:
        merged = merge(journal, options.meter, options.offset_s)
        tell_merged(merged, options.meter, Progress(0, options.quiet))
    total_s = time.perf_counter() - STARTED
    _say(summary(journal.path, journal.records, left_out, inference_s, total_s))
    if nothing:
        raise Refused(f"nothing was measured: {errors[0]}", 5)


def _say(text: str) -> None:
    """The result, on standard output where there is one."""
    if sys.stdout is not None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _is_asked(record: dict[str, Any], tasks: Sequence[Task]) -> bool:
    key = network_key(record["network"])
    return any(task.key == key for task in tasks)


#: Signals that end the program in order, and its exit code then.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupted:
    """Which signal ended the program."""

    number = signal.SIGINT


def _interrupt(number: int, frame: Any) -> None:
    for other in _SIGNALS:  # once is enough: what follows is putting things in order
        signal.signal(other, signal.SIG_IGN)
    _Interrupted.number = signal.Signals(number)
    raise KeyboardInterrupt


def _hold_standard_streams() -> None:
    """Open what is closed of the first three files: else a result file takes their numbers.

    Libraries write warnings to number 2, whatever is behind it.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    _hold_standard_streams()
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        run(sys.argv[1:] if arguments is None else arguments)
    except Refused as error:
        return _failed(str(error), error.code)
    except KeyboardInterrupt:
        words = "interrupted; what was measured is kept, the same command goes on"
        return _failed(words, 128 + _Interrupted.number)
    except MemoryError:
        return _failed("not enough memory", 1)
    except BrokenPipeError:  # whoever read the summary is gone; the result file is whole
        _drop(1)
    except OSError as error:
        what = error.filename or "the result"
        return _failed(f"cannot write {what}: {error.strerror or error}", 1)
    return 0


def _failed(message: str, code: int) -> int:
    """One line on standard error; returns ``code``."""
    line = "".join(c if c.isprintable() else " " for c in f"profile_device: {message}")
    for number, stream, text in ((1, sys.stdout, ""), (2, sys.stderr, line + "\n")):
        try:
            stream.write(text)
            stream.flush()
        except (AttributeError, OSError, ValueError):
            _drop(number)
    return code


def _drop(number: int) -> None:
    """Send what is still to be written nowhere: the interpreter flushes when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
