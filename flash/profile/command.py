"""``python -m flash.profile``: networks run on this device, or one over ssh -> measurements.

From Python: ``profile(out="measurements.jsonl", threads=2)``.

The measuring itself is one program, ``scripts/profile_device.py``, which also runs alone on a
device without flash; here it gets its suite of networks and is run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flash.command import CommandParser
from flash.errors import InputError, UsageError
from flash.files.locations import read_text
from flash.files.writing import write_folder
from flash.profile.suites.suite import DEFAULT_COUNT, build_suite, model_suite
from flash.profile.transports import Device, Job, LocalDevice, RayDevice, SshDevice, TvmRpcDevice
from flash.quantities import parse_whole
from flash.targets.machine import machine_of

__all__ = ["main", "profile"]


def profile(
    models: Sequence[str | Path] = (),
    *,
    out: str | Path = "measurements.jsonl",
    workloads: Sequence[str] | None = None,
    count: int = DEFAULT_COUNT,
    precision: str = "fp32",
    batch: int = 1,
    seed: int = 0,
    device: Device | None = None,
    options: Sequence[str] = (),
    quiet: bool = True,
) -> str:
    """Measure networks and write them to ``out``, one JSON line each; return a summary.

    models:    ONNX files. Without any, ``workloads`` (texts, see ``flash.measurements.workloads``),
               and without those the ``count`` most informative workloads of flash's own.
    precision: fp32, fp16 or int8, of the workloads. batch: images a run.
    device:    where to measure; this machine if None.
    options:   of ``scripts/profile_device.py``, e.g. ``("--threads=2", "--budget=2min")``.

    What ``out`` holds already is not measured again. Raises ``UsageError`` or ``InputError``
    for what the user can mend, ``FlashError`` where the device fails.
    """
    suite = _suite(models, workloads, count, precision, batch, seed)
    with tempfile.TemporaryDirectory(prefix="flash-profile-") as folder:
        file = Path(folder) / "suite.zip"
        file.write_bytes(suite)
        job = Job(file, Path(out), tuple(options), quiet)
        return (device or LocalDevice()).profile(job)


def _suite(
    models: Sequence[str | Path],
    workloads: Sequence[str] | None,
    count: int,
    precision: str,
    batch: int,
    seed: int,
) -> bytes:
    if models:
        if workloads is not None:
            raise UsageError("give ONNX files or workloads, not both")
        return model_suite(models, precision, batch)
    return build_suite(workloads, count=count, precision=precision, batch=batch, seed=seed)


# ------------------------------------------------------------------------- the command line
def _parser() -> CommandParser:
    parser = CommandParser(
        "profile",
        "Run networks on this device, or one over ssh, and write how long they take.",
        "The same command goes on where an interrupted one stopped.\n"
        "Exit codes: 0 done, 1 the machine or the connection failed, 2 wrong arguments, 4 bad\n"
        "file, 130 interrupted (what was measured is kept).",
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
    add("--seed", default="0", metavar="N", help="seed of the suite's choice (%(default)s)")
    add("--passes", metavar="N", help="go round N times, for busy devices (1)")
    add("--kernels", action="store_true", help="time every kernel too")
    add("--hold", metavar="3s", help="run each network that long for slow power sensors")
    add("--meter", metavar="CSV", help="an external meter's readings (columns time, power_w)")
    add("--i2c", metavar="BUS:ADDRESS", help="an INA219 or INA226, such as 1:0x40")
    add("--shunt", metavar="OHM", help="its shunt resistor (0.1)")
    add("--no-resume", action="store_true", help="write over the result file")
    add("--write-suite", metavar="FILE", help="only write the suite, to be copied by hand")
    add("--quiet", action="store_true", help="no progress")
    return parser


_PASSED = ("threads", "provider", "budget", "passes", "hold", "meter", "i2c", "shunt")


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if options.remote_python and not options.ssh:
        raise UsageError("--remote-python needs --ssh")
    if options.ssh and options.meter:
        raise UsageError("--meter: measure with --ssh --hold 3s first, then merge the meter's CSV "
                         "with scripts/profile_device.py --meter")  # fmt: skip
    device = _device(options)
    workloads = _texts(options.workloads) if options.workloads else None
    numbers = {
        name: parse_whole(getattr(options, name), f"--{name}")
        for name in ("count", "batch", "seed")
        if getattr(options, name) is not None
    }
    if options.write_suite:
        suite = _suite(
            options.models, workloads, numbers.get("count", DEFAULT_COUNT), options.precision,
            numbers["batch"], numbers["seed"],
        )  # fmt: skip
        place = Path(options.write_suite)
        write_folder(place.parent, {place.name: suite})
        sys.stdout.write(f"written: {place}\n")
        return
    passed = [
        f"--{name}={getattr(options, name)}" for name in _PASSED if getattr(options, name)
    ] + [
        f"--{name}" for name in ("kernels", "no-resume") if getattr(options, name.replace("-", "_"))
    ]
    sys.stdout.write(
        profile(
            options.models, out=options.out, workloads=workloads, precision=options.precision,
            device=device, options=passed, quiet=options.quiet, **numbers,
        )
    )  # fmt: skip


def _device(options: argparse.Namespace) -> Device | None:
    """Where the options say to measure; None for this machine."""
    if options.ray is not None:
        for name in ("ssh", "tvm_rpc", "key", "target", "meter"):
            if getattr(options, name):
                raise UsageError(f"--{name.replace('_', '-')} cannot be had with --ray")
        return RayDevice(options.ray)
    if options.tvm_rpc is None:
        if options.key or options.target:
            raise UsageError("--key and --target need --tvm-rpc")
        return SshDevice(options.ssh, options.remote_python or "python3") if options.ssh else None
    given = [f"--{name}" for name in ("ssh", "kernels", *_PASSED) if getattr(options, name)]
    given += ["--batch"] if options.batch != "1" else []
    if given:
        raise UsageError(f"{given[0]} cannot be had with --tvm-rpc")
    if not options.key or not options.models:
        raise UsageError("--tvm-rpc needs ONNX files and the boards' --key")
    from flash.backends import Tracker  # noqa: PLC0415 (an extra)

    machine = machine_of(options.target or options.key)
    return TvmRpcDevice(Tracker.parse(options.tvm_rpc, options.key), machine)


def _texts(file: str) -> list[str]:
    lines = read_text(Path(file), InputError).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
