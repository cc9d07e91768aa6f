"""The command line of the measuring program."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any, NoReturn, Sequence

from flash.device.ground.refusal import Refused
from flash.device.machine import device_info
from flash.device.suite import check_shapes, short

_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
#: The value of an input.
_VALUE = r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?"


def parse_seconds(text: str) -> float:
    """Seconds from ``90s``, ``5min`` or ``1h``."""
    match = re.match(rf"({_NUMBER})\s*([a-z]+)$", text.strip())
    if match is None or match.group(2) not in _UNITS or float(match.group(1)) <= 0:
        raise Refused(f"{short(text)[1:-1]}: expected a time with its unit such as 90s, 5min or 1h")
    return float(match.group(1)) * _UNITS[match.group(2)]


def parse_offset(text: str) -> float:
    """Seconds, perhaps below zero, from ``4s`` or ``-90s``."""
    match = re.match(rf"(-?)({_NUMBER})s$", text.strip())
    if match is None:
        raise Refused(f"--meter-offset {short(text)[1:-1]}: expected seconds such as 4s or -1.5s")
    return float(match.group(2)) * (-1.0 if match.group(1) else 1.0)


def parse_shapes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Shapes by input from ``NAME=1x3x224x224``; without a name, of a model's only input.

    One number may be the value of an input without axes: ``fmin=-1.5``.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        whole = re.match(r"-?[0-9]{1,10}$|[0-9]{1,10}(?:x[0-9]{1,10})+$", sizes)
        if not (whole or re.match(_VALUE + "$", sizes)) or name in found:
            raise Refused(f"--input {short(text)[1:-1]}: expected NAME=1x3x224x224, once a name")
        found[name] = [int(size) for size in sizes.split("x")] if whole else [float(sizes)]
        try:
            check_shapes({name: found[name]})
        except ValueError:
            raise Refused(f"--input {short(text)[1:-1]}: a size is 0, or too large") from None
    return found


def whole_number(option: str, text: str, most: int) -> int:
    """A whole number from 1 to ``most``."""
    if not re.match(r"[0-9]{1,9}$", text) or not 1 <= int(text) <= most:
        raise Refused(f"{option} {short(text)[1:-1]}: expected a whole number from 1 to {most}")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """Errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = _Parser(
        prog="profile_device.py",
        description="Measure how long networks take on this device (onnxruntime).",
        epilog="Exit codes: 0 done, 1 the machine failed, 2 wrong arguments, 4 bad file, "
        "5 nothing was measured, 130, 143, 129 interrupted, terminated, hung up (what was "
        "measured is kept; the same command goes on).",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("models", nargs="*", metavar="MODEL.onnx", help="your own models")
    add("--suite", metavar="FILE", help="or a suite (flash.profile --write-suite FILE makes it)")
    add("--out", metavar="FILE", default="measurements.jsonl", help="result (%(default)s)")
    add("--threads", metavar="N", help="threads of an operator (all cores)")
    add("--provider", choices=("cpu", "cuda"), default="cpu", help="where to run (%(default)s)")
    add("--budget", metavar="T", default="5min", help="stop after this time (%(default)s)")
    add("--passes", metavar="N", default="1", help="go round N times, for busy devices (1)")
    add(
        "--processor-time",
        action="store_true",
        help="count the thread's processor time, for machines that others use (with --threads 1)",
    )
    add("--kernels", action="store_true", help="time every kernel too (onnxruntime's profiler)")
    add("--precision", choices=("fp32", "fp16", "int8"), help="of your own models, to be noted")
    add("--batch", metavar="N", help="of your own models, where it is free (1)")
    add(
        "--input",
        metavar="NAME=SHAPE",
        action="append",
        default=[],
        help="of your own models: an input's shape, such as x=1x3x224x224, where sizes are free",
    )
    add("--hold", metavar="T", help="run each network that long for slow power sensors (3s)")
    add(
        "--meter",
        metavar="CSV",
        help="an external meter's readings (columns time, power_w), merged by time after the "
        "run; without a suite, into a result file measured with --hold",
    )
    add(
        "--meter-offset",
        metavar="T",
        help="the meter's clock less this device's, such as -1.5s (found from the windows' edges)",
    )
    add("--i2c", metavar="BUS:ADDRESS", help="an INA219 or INA226, such as 1:0x40")
    add("--shunt", metavar="OHM", default="0.1", help="its shunt resistor (%(default)s ohm)")
    add("--sensor", metavar="NAME", help="believe the sensor whose name has this in it")
    add("--plugin", metavar="MODULE:NAME", action="append", default=[], help="a sensor's factory")
    add("--no-resume", action="store_true", help="write over the result file")
    add("--quiet", action="store_true", help="no progress")
    return made


def checked(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with numbers, times and shapes in place of their texts."""
    options = parser().parse_args(arguments)
    for name in (
        "suite",
        "out",
        "meter",
        "meter_offset",
        "i2c",
        "sensor",
        "threads",
        "batch",
        "hold",
    ):
        if getattr(options, name) == "":
            raise Refused(f"--{name.replace('_', '-')}: is empty")
    options.merges = bool(options.meter and not options.suite and not options.models)
    if bool(options.suite) == bool(options.models) and not options.merges:
        raise Refused("give --suite FILE, or ONNX files")
    if options.suite and (options.precision or options.batch or options.input):
        raise Refused("--precision, --batch and --input are fixed when a suite is made")
    cores = device_info()["cores"]
    options.threads = whole_number("--threads", options.threads or str(cores), 1024)
    there = max(cores, os.cpu_count() or 1)
    if options.threads > there:
        raise Refused(f"--threads {options.threads}: this device has {there} cores")
    if options.processor_time and (options.threads != 1 or options.provider != "cpu"):
        raise Refused("--processor-time: is one thread's, so give --threads 1 and no --provider")
    options.passes = whole_number("--passes", options.passes, 100)
    options.batch = whole_number("--batch", options.batch or "1", 4096)
    options.shapes = parse_shapes(options.input)
    options.budget_s = parse_seconds(options.budget)
    options.offset_s = parse_offset(options.meter_offset) if options.meter_offset else None
    if not re.match(rf"{_NUMBER}$", options.shunt) or not 0 < float(options.shunt) < 100:
        raise Refused("--shunt: expected the resistance in ohm, such as 0.1")
    options.shunt = float(options.shunt)
    return options
