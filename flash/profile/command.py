"""``python -m flash.profile``: networks run on this device, or one over ssh -> measurements.

From Python: ``profile(out="measurements.jsonl", threads=2)``.

The measuring itself is one program, built from ``flash.device``, which also runs alone on a
device without flash; here it gets its suite of networks and is run.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from flash.command import CommandParser, check_place
from flash.errors import InputError, UsageError
from flash.files.reading import read_text
from flash.files.writing import write_folder
from flash.profile.measuring import check_provider, make_suite, measure
from flash.profile.suites.suite import DEFAULT_COUNT
from flash.profile.transports import Device, Options, RayDevice, SshDevice, TvmRpcDevice
from flash.profile.transports.base import DEFAULT_BUDGET_S
from flash.profile.transports.journal import check_journal
from flash.quantities import parse_duration_s, parse_number, parse_only_input, parse_whole
from flash.targets.machine import machine_of

__all__ = ["main"]

#: Options of the measuring program that other devices than this machine and ssh do not have.
_PROGRAM = (
    "threads",
    "provider",
    "budget",
    "passes",
    "hold",
    "meter",
    "meter_offset",
    "i2c",
    "shunt",
    "sensor",
)


def _parser() -> CommandParser:
    parser = CommandParser(
        "profile",
        "Run networks on this device, or one over ssh, and write how long they take.",
        "The same command goes on where an interrupted one stopped.",
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL.onnx", help="your own models instead of a suite")
    add("--out", default="measurements.jsonl", metavar="FILE", help="result (%(default)s)")
    add("--ssh", metavar="USER@HOST", help="measure there (keys only, the host must be known)")
    add("--remote-python", metavar="P", help="with --ssh: its Python with onnxruntime (python3)")
    add("--tvm-rpc", metavar="HOST:PORT", help="measure models there, compiled by TVM, untuned")
    add("--key", metavar="K", help="with --tvm-rpc: the boards' key at the tracker")
    add("--target", metavar="T", help="with --tvm-rpc: their profile, or host (the key)")
    add("--ray", metavar="ADDRESS", help="spread over the equal machines of a Ray cluster")
    add("--threads", metavar="N", help="threads of an operator (all cores)")
    add("--provider", metavar="P", help="cpu or cuda (cpu)")
    add("--budget", metavar="5min", help="stop after this time (5min)")
    add("--count", metavar="N", help=f"networks of the suite ({DEFAULT_COUNT})")
    add("--workloads", metavar="FILE", help="these workloads instead, one a line")
    add("--precision", default="fp32", metavar="P", help="fp32, fp16 or int8 (%(default)s)")
    add("--batch", default="1", metavar="N", help="images a run (%(default)s)")
    add("--input-shape", metavar="SHAPE", help="of your own models: sizes of their only input")
    add("--input", metavar="NAME=SHAPE", action="append", default=[], help="of your own models: an "
        "input's sizes, such as x=1x3x224x224; of one without axes, its value")  # fmt: skip
    add("--seed", default="0", metavar="N", help="seed of the suite's choice (%(default)s)")
    add("--passes", metavar="N", help="go round N times, for busy devices (1)")
    add("--processor-time", action="store_true", help="count the thread's processor time, for "
        "machines that others use (with --threads 1)")  # fmt: skip
    add("--kernels", action="store_true", help="time every kernel too")
    add("--hold", metavar="3s", help="run each network that long for slow power sensors")
    add("--meter", metavar="CSV", help="an external meter's readings (columns time, power_w)")
    add("--meter-offset", metavar="4s", help="its clock less the device's (found from its edges)")
    add("--i2c", metavar="BUS:ADDRESS", help="an INA219 or INA226, such as 1:0x40")
    add("--shunt", metavar="OHM", help="its shunt resistor (0.1)")
    add("--sensor", metavar="NAME", help="believe the sensor whose name has this in it")
    add("--no-resume", action="store_true", help="write over the result file")
    add("--write-suite", metavar="FILE", help="only write the suite, to be copied by hand")
    add("--quiet", action="store_true", help="no progress")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    began = time.perf_counter()
    given = _parser().parse_args(arguments)
    for name, value in vars(given).items():
        if value == "" or (name == "models" and "" in value):
            raise UsageError(f"--{name.replace('_', '-')}: is empty")
    if given.remote_python is not None and given.ssh is None:
        raise UsageError("--remote-python needs --ssh")
    if given.ssh is not None and given.meter is not None:
        raise UsageError(
            "--meter: measure with --ssh --hold 3s first, then merge the meter's CSV with "
            "scripts/profile_device.py --meter"
        )
    device, options = _device(given), _options(given)
    if given.write_suite is None:
        check_place(given.out)
        check_journal(Path(given.out))
    else:
        check_place(given.write_suite, makes_folders=True)
        _check_suite(Path(given.write_suite))
    workloads = None if given.workloads is None else _texts(given.workloads)
    suite = make_suite(
        given.models,
        workloads,
        DEFAULT_COUNT if given.count is None else parse_whole(given.count, "--count"),
        given.precision,
        parse_whole(given.batch, "--batch"),
        parse_whole(given.seed, "--seed"),
        _inputs(given),
        _silent if given.quiet else _tell,
    )
    if given.write_suite is not None:
        place = Path(given.write_suite)
        write_folder(place.parent, {place.name: suite})
        sys.stdout.write(f"written: {place}\n")
        return
    result = measure(suite, Path(given.out), options, device, given.quiet, began)
    sys.stdout.write(result.summary)


def _tell(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def _silent(message: str) -> None:
    """Say nothing."""


def _inputs(given: argparse.Namespace) -> dict[str, tuple[float, ...]]:
    """Sizes of the models' inputs by name; of an only input under the empty name."""
    only, by_name = parse_only_input(given.input_shape, given.input)
    return by_name if only is None else by_name | {"": only}


def _check_suite(place: Path) -> None:
    """Raise ``InputError`` where there is a file of something else."""
    if place.is_file() and not zipfile.is_zipfile(place):
        raise InputError(f"{place}: is there already, and no suite: give another --write-suite")


def _options(given: argparse.Namespace) -> Options:
    """How to measure, from the texts of the command line."""
    offset_s = None
    if given.meter_offset is not None:
        sign = -1.0 if given.meter_offset.startswith("-") else 1.0
        text = given.meter_offset.removeprefix("-")
        is_zero = re.fullmatch(r"0(\.0+)?s", text) is not None
        offset_s = 0.0 if is_zero else sign * parse_duration_s(text, "--meter-offset")
    hold, threads, budget = given.hold, given.threads, given.budget
    return Options(
        threads=None if threads is None else parse_whole(threads, "--threads", 1, 1024),
        provider=None if given.provider is None else check_provider(given.provider),
        budget_s=DEFAULT_BUDGET_S if budget is None else parse_duration_s(budget, "--budget"),
        passes=1 if given.passes is None else parse_whole(given.passes, "--passes", 1, 100),
        processor_time=given.processor_time,
        kernels=given.kernels,
        hold_s=None if hold is None else parse_duration_s(hold, "--hold"),
        meter=given.meter,
        meter_offset_s=offset_s,
        i2c=given.i2c,
        shunt_ohm=None if given.shunt is None else parse_number(given.shunt, "--shunt", 1e-6, 99.0),
        sensor=given.sensor,
        resume=not given.no_resume,
    )


def _device(given: argparse.Namespace) -> Device | None:
    """Where the options say to measure; None for this machine."""
    if given.ray is not None:
        for name in ("ssh", "tvm_rpc", "key", "target", "meter"):
            if getattr(given, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} cannot be had with --ray")
        return RayDevice(given.ray)
    if given.tvm_rpc is None:
        if given.key is not None or given.target is not None:
            raise UsageError("--key and --target need --tvm-rpc")
        if given.ssh is None:
            return None
        python = "python3" if given.remote_python is None else given.remote_python
        return SshDevice(given.ssh, python)
    refused = [name for name in ("ssh", *_PROGRAM) if getattr(given, name) is not None]
    refused += ["processor_time"] * given.processor_time
    refused += ["kernels"] * given.kernels + ["batch"] * (given.batch != "1")
    refused += ["input"] * bool(given.input) + ["input_shape"] * (given.input_shape is not None)
    if refused:
        raise UsageError(f"--{refused[0].replace('_', '-')} cannot be had with --tvm-rpc")
    if not given.key or not given.models:
        raise UsageError("--tvm-rpc needs ONNX files and the boards' --key")
    from flash.backends import Tracker  # noqa: PLC0415 (an extra)

    machine = machine_of(given.target or given.key)
    return TvmRpcDevice(Tracker.parse(given.tvm_rpc, given.key), machine)


def _texts(file: str) -> list[str]:
    lines = read_text(Path(file), InputError).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
