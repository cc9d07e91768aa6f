#!/usr/bin/env python3
# Built from the modules of flash/device by "python -m flash.device.build": change those.
"""Measure how long networks take on this device. One file; needs numpy and onnxruntime only.

    python3 profile_device.py --suite suite.zip --out measurements.jsonl

``suite.zip`` comes from ``python -m flash.profile --write-suite suite.zip``; ONNX files of your
own can be named instead. Copy ``measurements.jsonl`` back and give it to ``flash.fit``.

What is measured: the time of ``session.run`` from an input in host memory to an output in host
memory, one call at a time, after warm-up, repeated until the median is known to 1 % (95 %
interval by order statistics, which assumes nothing about the distribution) or the network's
share of the time budget is used up. A line is written, and forced to disk, after each
network; the same command goes on where an interrupted one stopped. ``--passes N`` goes round all
networks N times, a line each. When all are done, a network's lines become one, that of its fastest
pass: whoever else uses the device only ever adds time, now to one network and now to another, so
the fastest passes repeat best. All medians are kept beside it.

Energy: from whatever counter or power sensor the device has (Intel and AMD RAPL, NVIDIA NVML,
INA2xx and INA3221 over hwmon, INA2xx over I2C, the power chip of a Raspberry Pi 5, power_supply),
or from an external meter's CSV. Those networks run once more without a pause for ``--hold``,
because sensors are slow; latencies are never taken there. A reading that cannot be true is no
energy, and its record says why.

Runs on Python 3.8 or newer. This is one file on purpose: devices need not install flash.
"""

from __future__ import annotations

import signal
import time

#: ``time.perf_counter`` when the program began: budgets count from here, imports included.
STARTED = time.perf_counter()
if __name__ == "__main__":  # an interrupt while the rest is imported ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import csv
import ctypes
import datetime
import difflib
import fcntl
import glob
import hashlib
import importlib
import io
import json
import math
import os
import platform
import re
import resource
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from bisect import bisect_left, bisect_right
from typing import (
    Any,
    BinaryIO,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    NamedTuple,
    NoReturn,
    Protocol,
    Sequence,
)

# ================================================================================ ground/refusal.py
# The one error of the measuring program that a user can mend.


class Refused(Exception):
    """What the user can mend, in one line.

    code: the program's exit code: 1 the machine failed, 2 wrong arguments, 4 a bad file,
          5 nothing was measured.
    """

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


# ================================================================================= ground/system.py
# Small files and programs of the operating system.
#
# ``root`` is the folder that stands for ``/``: tests show a made-up machine.


#: Longest system file that is read, in bytes: /proc/cpuinfo of 1,000 cores has about 1.5 MB.
LONGEST_FILE = 4_000_000
#: Seconds that the firmware of a Raspberry Pi has to answer; it usually takes 10 to 20 ms.
FIRMWARE_S = 5.0


def read_text(*parts: str) -> str | None:
    """The stripped content of a small system file; None where it cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as stream:
            return stream.read(LONGEST_FILE).strip("\0 \n")
    except (OSError, ValueError):
        return None


def read_number(*parts: str) -> float | None:
    """The finite number in a small system file; None where there is none."""
    text = read_text(*parts)
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def number_reader(folder: str, name: str, factor: float) -> Callable[[], float | None]:
    """A function that reads the number in a file and multiplies it by ``factor``."""

    def read() -> float | None:
        value = read_number(folder, name)
        return None if value is None else value * factor

    return read


def product_reader(
    folder: str, first: str, second: str, factor: float
) -> Callable[[], float | None]:
    """A function that reads two numbers of a folder, volts and amperes, and multiplies them."""

    def read() -> float | None:
        u, i = read_number(folder, first), read_number(folder, second)
        return None if u is None or i is None else u * i * factor

    return read


def firmware(command: str, root: str = "/") -> str | None:
    """What ``vcgencmd`` of a Raspberry Pi answers to a command; None where it does not.

    It is looked for in the system, then on the path, and on a Raspberry Pi only.
    """
    if "Raspberry Pi" not in (read_text(root, "proc/device-tree/model") or ""):
        return None
    places = [os.path.join(root, "usr/bin"), os.environ.get("PATH", os.defpath)]
    program = shutil.which("vcgencmd", path=os.pathsep.join(places))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=FIRMWARE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


# ========================================================================================== heat.py
# Temperature, and whether the clock was held back because of it or of a weak supply.


def temperature_c(root: str = "/") -> float | None:
    """The hottest thermal zone of the processor (of all zones where none says that)."""
    zones = glob.glob(os.path.join(root, "sys/class/thermal/thermal_zone*"))
    readings = [(read_text(z, "type") or "", read_number(z, "temp")) for z in zones]
    known = [(kind, value * 1e-3) for kind, value in readings if value is not None and value > 0]
    of_cpu = [v for kind, v in known if re.search("cpu|soc|pkg|core", kind, re.IGNORECASE)]
    return round(max(of_cpu or [v for _, v in known]), 1) if known else None


class Throttling:
    """Whether the clock was held back since the last question.

    Raspberry Pi: the firmware's word, bits 0 to 3 under-voltage, capped, throttled, soft
    temperature limit (now). x86: counters of thermal events. None where nobody tells.
    """

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._events = self._counted()

    def __call__(self) -> bool | None:
        """Whether it was; the next answer counts from here."""
        word = self._firmware()
        if word is not None:
            return bool(word & 0xF)
        before, self._events = self._events, self._counted()
        return None if before is None or self._events is None else self._events > before

    def _firmware(self) -> int | None:
        node = "sys/devices/platform/soc/soc:firmware/get_throttled"
        text = read_text(self._root, node)
        if text is None:
            text = (firmware("get_throttled", self._root) or "").rpartition("=")[2]
        try:
            return int(text, 16) if text else None
        except ValueError:
            return None

    def _counted(self) -> float | None:
        pattern = "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"
        values = [read_number(path) for path in glob.glob(os.path.join(self._root, pattern))]
        known = [value for value in values if value is not None]
        return sum(known) if known else None


# ===================================================================================== libraries.py
# numpy and onnxruntime, imported when the arguments are known to be right.


class Libraries:
    """Where the two libraries are once ``import_runtime`` has found them."""

    numpy: Any = None
    onnxruntime: Any = None


def import_runtime() -> None:
    """Import numpy and onnxruntime, or raise ``Refused`` with the command that installs them."""
    # From 1.32 on it reports its use to its makers, while others measure, and leaves a file.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        Libraries.numpy = importlib.import_module("numpy")
        Libraries.onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # how numpy reports an interrupt
            raise KeyboardInterrupt from None
        if struct.calcsize("P") == 4:
            raise Refused(
                "onnxruntime does not exist for 32-bit systems: install the 64-bit system (on a "
                "Raspberry Pi 3 or newer: Raspberry Pi OS 64-bit), then: python3 -m pip install "
                "numpy onnxruntime",
                1,
            ) from None
        raise Refused(
            f"{error}: python3 -m venv v && v/bin/pip install numpy onnxruntime, then run this "
            "with v/bin/python",
            1,
        ) from None


# ======================================================================================== memory.py
# Memory that a network takes while it runs.


class PeakMemory:
    """Resident memory that a network takes at most, in 10^6 bytes.

    The kernel's high-water mark, reset before each network (Linux 4.0); where it cannot be
    reset, the process's own largest so far, which only ever rises.
    """

    def __init__(self) -> None:
        try:
            self._trim: Any = ctypes.CDLL(None).malloc_trim
        except (AttributeError, OSError):
            self._trim = None
        self._before = 0.0

    def reset(self) -> None:
        """Forget the networks before."""
        if self._trim is not None:
            self._trim(0)  # what an earlier network left must not hide what this one takes
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as stream:
                stream.write("5")
        except OSError:
            pass
        self._before = self._status("VmRSS") or 0.0

    def peak_mb(self) -> float:
        """The most since ``reset``, beyond what was there before."""
        peak = self._status("VmHWM")
        if peak is None:
            return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3, 2)
        return round(max(peak - self._before, 0.0), 2)

    @staticmethod
    def _status(field: str) -> float | None:
        match = re.search(rf"{field}:\s*(\d+) kB", read_text("/proc/self/status") or "")
        return int(match.group(1)) * 1.024e-3 if match else None


# ===================================================================================== processor.py
# The processor: how many cores this process may use, which kinds there are, how fast they run.
#
# * A container's CPU quota (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``) is a share of time:
#   half a core means that every 100 ms the process runs for 50 and is stopped for 50, whatever the
#   number of its threads. Times measured under a quota below the threads contain those stops.
# * Unlike cores (big.LITTLE, performance and efficiency cores) differ in the time they take by a
#   factor of two to five; the system moves threads between them as it likes.
# * The clock follows load and temperature within milliseconds (governor, turbo, throttling).


#: A clock that moved by more than this while one network was measured is worth a word: the
#: spread of its times is then the clock's. Governors step by 5 to 10 %.
CLOCK_MOVED = 1.1
#: Cores within this share of the fastest are of one kind: makers give single cores up to 10 % more
#: turbo, and small cores have three quarters of the clock at most.
ALIKE = 0.85


def usable_cores(root: str = "/") -> int:
    """Cores that this process can keep busy without being stopped, at least one."""
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        cores = os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(root: str = "/") -> float | None:
    """Cores' worth of time that control groups allow this process; None without a limit."""
    limits = []
    for folder in _control_groups(root):
        words = (read_text(folder, "cpu.max") or "").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            limits.append(int(words[0]) / int(words[1]))
        quota, period = (read_number(folder, f"cpu.cfs_{x}_us") for x in ("quota", "period"))
        if quota is not None and period and quota > 0:
            limits.append(quota / period)
    return min(limits) if limits else None


def quota_stops(root: str = "/") -> float | None:
    """Seconds for which the quota has stopped this process so far; None where nobody counts."""
    known = []
    for folder in _control_groups(root):
        text = read_text(folder, "cpu.stat") or ""
        for name, factor in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):
            match = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
            if match is not None:
                known.append(int(match.group(1)) * factor)
    return max(known) if known else None


def _control_groups(root: str) -> list[str]:
    """Folders of this process's control groups, from its own up to the root's."""
    found: dict[str, None] = {}
    lines = (read_text(root, "proc/self/cgroup") or "0::/").splitlines()
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = os.path.join(root, "sys/fs/cgroup", *(("cpu",) if controllers else ()))
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), -1, -1):
            found[os.path.join(top, *parts[:depth])] = None
    found.setdefault(os.path.join(root, "sys/fs/cgroup"))
    found.setdefault(os.path.join(root, "sys/fs/cgroup/cpu"))
    return list(found)


def core_groups(root: str = "/") -> list[dict[str, Any]]:
    """Kinds of cores, the fastest first: ``cpus`` (numbers), ``max_mhz``, ``capacity``.

    capacity: the kernel's measure of a core's speed, 1024 for the fastest (ARM); None elsewhere.
    """
    kinds: dict[tuple[float | None, float | None, str], list[int]] = {}
    parts = _core_parts(root)
    for folder in glob.glob(os.path.join(root, "sys/devices/system/cpu/cpu[0-9]*")):
        match = re.search(r"cpu(\d+)$", folder)
        if match is None:
            continue
        number = int(match.group(1))
        khz = read_number(folder, "cpufreq/cpuinfo_max_freq")
        capacity = read_number(folder, "cpu_capacity")
        kinds.setdefault((khz, capacity, parts.get(number, "")), []).append(number)
    groups = [
        {
            "cpus": sorted(numbers),
            "kind": part or None,
            "max_mhz": None if khz is None else round(khz * 1e-3, 1),
            "capacity": None if capacity is None else round(capacity),
        }
        for (khz, capacity, part), numbers in kinds.items()
    ]
    return _joined(groups)


def _core_parts(root: str) -> dict[int, str]:
    """Kind of each core where the system names kinds: Intel's hybrid processors do."""
    found = {}
    for kind in ("cpu_core", "cpu_atom", "cpu_lowpower"):
        for number in _numbers(read_text(root, "sys/devices", kind, "cpus") or ""):
            found[number] = kind
    return found


def _joined(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cores of one kind as one group: a few per cent more turbo for the best make no other kind."""
    order = sorted(groups, key=lambda g: (-(g["capacity"] or 0), -(g["max_mhz"] or 0)))
    found: list[dict[str, Any]] = []
    for group in order:
        for known in found:
            if known["kind"] == group["kind"] and _alike(known, group):
                known["cpus"] = sorted(known["cpus"] + group["cpus"])
                break
        else:
            found.append(dict(group))
    return found


def _alike(fast: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether cores, told apart by their numbers only, are of one kind."""
    return all(
        not fast[key] or (other[key] or 0) >= ALIKE * fast[key] for key in ("capacity", "max_mhz")
    )


def _numbers(text: str) -> list[int]:
    """The numbers in a list such as ``0-3,8``."""
    found: list[int] = []
    for word in text.split(","):
        match = re.match(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*$", word)
        if match is not None:
            found += range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1)
    return found


def frequency_mhz(root: str = "/") -> float | None:
    """The fastest core's present clock."""
    pattern = os.path.join(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [value for value in map(read_number, glob.glob(pattern)) if value]
    if clocks:
        return round(max(clocks) * 1e-3, 1)
    text = read_text(root, "proc/cpuinfo") or ""
    shown = [float(v) for v in re.findall(r"^cpu MHz\s*:\s*(\d+(?:\.\d+)?)", text, re.MULTILINE)]
    return round(max(shown), 1) if shown else None


def core_clock_mhz(core: int, root: str = "/") -> float | None:
    """One core's present clock."""
    folder = os.path.join(root, f"sys/devices/system/cpu/cpu{core}/cpufreq")
    khz = read_number(folder, "scaling_cur_freq")
    if khz is not None:
        return round(khz * 1e-3, 1)
    text = read_text(root, "proc/cpuinfo") or ""
    shown = re.findall(r"^cpu MHz\s*:\s*(\d+(?:\.\d+)?)", text, re.MULTILINE)
    return round(float(shown[core]), 1) if core < len(shown) else None


def running_on(root: str = "/") -> int | None:
    """The core that this thread ran on last (field 39 of ``/proc/self/stat``)."""
    text = read_text(root, "proc/self/stat") or ""
    words = text.rpartition(")")[2].split()
    return int(words[36]) if len(words) > 36 and words[36].isdigit() else None


class ClockWatch:
    """What the clock and the system's choice of core did while a network was measured."""

    def __init__(self, root: str = "/") -> None:
        self._root, self._groups = root, core_groups(root)
        self._clocks: list[float] = []
        self._cores: set[int] = set()

    def reset(self) -> None:
        """Begin with the next network."""
        self._clocks, self._cores = [], set()

    def look(self) -> None:
        """Read the clock of the core that ran, between two runs.

        Of that one only: some kernels take 20 ms for each core that they are asked about.
        """
        core = running_on(self._root)
        clock = None if core is None else core_clock_mhz(core, self._root)
        if clock is not None:
            self._clocks.append(clock)
        if core is not None:
            self._cores.add(core)

    def seen(self) -> dict[str, Any]:
        """Lowest and highest clock, and the kinds of core where there are several."""
        found: dict[str, Any] = {"clock_mhz": None}
        if self._clocks:
            found["clock_mhz"] = {"low": min(self._clocks), "high": max(self._clocks)}
        if len(self._groups) > 1:
            found["core_groups"] = [
                number
                for number, group in enumerate(self._groups)
                if self._cores.intersection(group["cpus"])
            ]
        return found


# ======================================================================================== passes.py
# The rule for passes: a network that was measured several times counts with its fastest pass.
#
# Whoever else uses the device only ever adds time, now to one network and now to another, so the
# fastest passes repeat best. Energy and memory are those of the first pass, the only one with a
# sensor. ``tests/data/measurement_vectors.json`` holds every reader of measurements to this rule.


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


# ========================================================================================= suite.py
# What is to be measured: a suite's archive, or ONNX files of the user's own.
#
# Files come from anywhere, so everything in them is checked and bounded before it is used.


SUITE_SCHEMA = "flash.suite/1"
#: Largest file whose content is looked at piece by piece, and most weights that a suite may make,
#: in bytes: what ONNX itself can hold.
LARGEST_FILE = 2**31
#: Largest suite, packed and unpacked, in bytes: both are in memory at once. flash makes none
#: above 512 MiB.
LARGEST_SUITE = 640 << 20
#: Largest list of a suite's workloads, in bytes; 10,000 of them take 4 MB.
LARGEST_LIST = 16 << 20
#: Most workloads of a suite: at 1 s each they take three hours.
MOST_WORKLOADS = 10_000
#: Most elements of one input that is made up: 4 GB of float32.
MOST_ELEMENTS = 2**30
PRECISIONS = ("fp32", "fp16", "int8")
_WEIGHT_TYPES = ("float32", "float16", "int8")


class Task:
    """One network to measure: how measurements name it, its file, its expected share of time.

    beside: files that the model keeps its weights in, by name.
    """

    def __init__(
        self,
        network: dict[str, Any],
        content: bytes,
        share: float,
        path: str = "",
        beside: dict[str, bytes] | None = None,
    ) -> None:
        self.network, self.content, self.share, self.path = network, content, share, path
        self.beside = beside or {}
        self.shapes: dict[str, list[Any]] = network.get("input_shapes") or {}
        self.key = network_key(network)
        self.text = str(
            network.get("workload")
            or network.get("onnx")
            or f"{network.get('space')}: {network.get('design')}"
        )


class Suite:
    """What is to be measured: ``name``, ``sha256``, ``precision``, ``batch``, ``tasks``.

    ``weights`` tells how the file of numbers is made that the models point into; None for
    models that carry their own.
    """

    def __init__(
        self,
        name: str,
        sha256: str,
        precision: str,
        batch: int,
        tasks: list[Task],
        weights: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.sha256, self.precision = name, sha256, precision
        self.batch, self.tasks, self.weights = batch, tasks, weights


def read_suite(path: str) -> Suite:
    """The suite in an archive; raises ``Refused`` (exit code 4) for anything else."""
    content = read_bytes(path, LARGEST_SUITE)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_SUITE:
                raise ValueError(f"it unpacks to more than {LARGEST_SUITE >> 20} MiB")
            if archive.getinfo("suite.json").file_size > LARGEST_LIST:
                raise ValueError(f"suite.json has more than {LARGEST_LIST >> 20} MiB")
            head = json.loads(archive.read("suite.json").decode("utf-8"))
            if head["schema"] != SUITE_SCHEMA:
                raise Refused(
                    f"{path}: schema {short(head['schema'])}; this script reads {SUITE_SCHEMA}", 4
                )
            tasks = [_task(entry, archive) for entry in _few(head["workloads"], MOST_WORKLOADS)]
            weights = None if head["weights"] is None else _weights(head["weights"])
            name, precision, batch = str(head["name"]), str(head["precision"]), head["batch"]
            if precision not in PRECISIONS or not _is_whole(batch, 1, 4096):
                raise ValueError(f"precision {short(precision)}, batch {short(batch)}")
    except (
        zipfile.BadZipFile,
        zlib.error,
        ArithmeticError,
        AttributeError,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        what = " ".join(str(error).strip("'\"").split())[:200] or type(error).__name__
        raise Refused(
            f"{path}: not a suite of flash, or a damaged one ({what}); make it with "
            "python -m flash.profile --write-suite suite.zip",
            4,
        ) from None
    return Suite(name[:200], hashlib.sha256(content).hexdigest(), precision, batch, tasks, weights)


def _task(entry: Any, archive: zipfile.ZipFile) -> Task:
    network, share = dict(entry["network"]), float(entry["share"])
    if not 0 < share < math.inf:
        raise ValueError(f"share {share}")
    json.dumps(network, allow_nan=False)
    check_shapes(network.get("input_shapes") or {})
    beside = {}
    for name, member in dict(entry.get("files") or {}).items():
        if name in ("", ".", "..", "model.onnx") or os.path.basename(name) != name or "\0" in name:
            raise ValueError(f"weights in {short(name)}")
        beside[name] = archive.read(member)
    return Task(network, archive.read(entry["model"]), share, "", beside)


def _few(values: Any, most: int) -> list[Any]:
    if not isinstance(values, list) or len(values) > most:
        raise ValueError(f"expected a list of {most} at most")
    return values


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_shapes(shapes: Any) -> None:
    """Raise ``ValueError`` unless these are input shapes by name, each of bounded size.

    One number may also be the value of an input without axes.
    """
    for name, shape in dict(shapes).items():
        whole = isinstance(shape, list) and all(_is_whole(n, 1, MOST_ELEMENTS) for n in shape)
        if whole and math.prod(shape) > MOST_ELEMENTS:
            whole = False
        elif isinstance(shape, list) and len(shape) == 1:
            whole = type(shape[0]) in (int, float) and abs(shape[0]) <= MOST_ELEMENTS
        if not isinstance(name, str) or not whole:
            raise ValueError(f"input shape {short(name)}: {short(shape)}")


def _weights(given: Any) -> dict[str, Any]:
    """How the shared numbers are made, every number of it checked."""
    regions, end = [], 0
    for region in _few(given["regions"], 4 * MOST_WORKLOADS):
        offset, elements, dtype = region["offset"], region["elements"], str(region["dtype"])
        std = float(region["std"])
        if dtype not in _WEIGHT_TYPES or not 0 <= std < 1e6:
            raise ValueError(f"weights of type {dtype}, deviation {std}")
        if not _is_whole(offset, 0, LARGEST_FILE) or not _is_whole(elements, 0, LARGEST_FILE):
            raise ValueError(f"weights at {short(offset)}, {short(elements)} of them")
        width = {"float32": 4, "float16": 2, "int8": 1}[dtype]
        end = max(end, offset + width * elements)
        regions.append({"offset": offset, "elements": elements, "std": std, "dtype": dtype})
    if end > LARGEST_FILE or not _is_whole(given["seed"], 0, 2**31):
        raise ValueError("its weights take more than 2 GiB")
    file = os.path.basename(str(given["file"]))
    if file in ("", ".", "..", "model.onnx"):
        raise ValueError(f"weights in {short(file)}")
    return {"file": file, "seed": given["seed"], "regions": regions}


def own_models(
    paths: Sequence[str], precision: str, batch: int, shapes: dict[str, list[Any]]
) -> Suite:
    """The user's ONNX files as a suite; ``shapes`` of their inputs by name, where they are free."""
    tasks, digests = [], []
    for path in dict.fromkeys(paths):
        digest = file_digest(path)
        digests.append(digest)
        network: dict[str, Any] = {"onnx": path, "sha256": digest}
        if shapes:
            network["input_shapes"] = shapes
        tasks.append(Task(network, b"", 1.0 / len(paths), path))
    sha256 = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return Suite("own models", sha256, precision, batch, tasks)


def open_file(path: str, most: int = LARGEST_FILE) -> BinaryIO:
    """A regular file, to be read; raises ``Refused`` (exit code 4) for anything else."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise Refused(f"{path}: is a folder", 4)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{path}: is no regular file", 4)
        if status.st_size > most:
            raise Refused(f"{path}: has more than {most >> 20} MiB", 4)
        return open(path, "rb")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", 4) from None
    except ValueError as error:  # a null character
        raise Refused(f"{path!r}: {error}", 4) from None


def read_bytes(path: str, most: int) -> bytes:
    """The content of a file of ``most`` bytes at most; raises as ``open_file``."""
    with open_file(path, most) as stream:
        return stream.read(most)


def file_digest(path: str) -> str:
    """The SHA-256 of a file; raises as ``open_file``."""
    digest = hashlib.sha256()
    with open_file(path) as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def write_weights(folder: str, weights: dict[str, Any]) -> None:
    """Make the numbers that all models of a suite share, the same on every device.

    ``numpy.random.RandomState`` gives the same stream in all versions (NEP 19). A block is
    drawn and repeated: times do not depend on the numbers.
    """
    numpy = Libraries.numpy
    place = os.path.join(folder, os.path.basename(str(weights["file"])))
    with open(place, "wb") as stream:
        for number, region in enumerate(weights["regions"]):
            rng = numpy.random.RandomState(int(weights["seed"]) + number)
            if region["dtype"] == "int8":
                block = rng.randint(-127, 128, size=1 << 16).astype(numpy.int8)
            else:
                block = rng.uniform(-1.0, 1.0, size=1 << 16) * math.sqrt(3.0) * region["std"]
                block = block.astype(region["dtype"])
            stream.seek(int(region["offset"]))
            left = int(region["elements"])
            while left > 0:
                stream.write(block[:left].tobytes())
                left -= len(block)


def short(value: Any) -> str:
    """A value of a file as a message shows it: one line, not too long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "a value too large to show"
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= 90 else text[:87] + "..."


# ================================================================================== sensors/base.py
# What a sensor is: something that says how much energy was used in a window of time.
#
# A sensor is started, the network runs without a pause, the sensor is stopped. It answers with
# millijoules, or with None and the reason: a wrong energy is worse than none.
#
# A package of its own adds a sensor through the entry-point group ``flash.sensors``: a class or
# function that, called without arguments, gives one ``Sensor`` or an iterable of them.
# ``flash.profile`` then reads it on this machine (devices over ssh have the built-in ones only).
# A sensor that this machine lacks is not an error: its ``available`` says why, as
# ``AbsentSensor`` does. ``PowerMeter`` and ``Counter`` are sensors already: give them a function
# that reads watts, or counted millijoules.


#: A window has to be this many updates of a sensor long. A counter is read twice, each time up
#: to one update old: 10 updates keep that under 10 %. At half of it the error doubles.
FEWEST_UPDATES = 10.0
#: A busy device uses at least this share of what it uses idle. Below, the sensor does not see
#: the device, or its clock or sign is wrong. Less than 1: idle power drifts (fans, displays).
IDLE_SHARE = 0.8
#: No sensor here is on something larger, in watts: eight accelerators in one server.
LARGEST_W = 10_000.0


class Reading(NamedTuple):
    """The answer of a sensor for one window.

    energy_mj: millijoules; None where the sensor cannot say (its ``problem`` says why).
    samples:   how many readings it comes from.
    """

    energy_mj: float | None
    samples: int


class Sensor(Protocol):
    """One sensor of a device.

    name:       how results call it, such as ``rapl:package-0``.
    kind:       ``counter`` (counts energy) or ``power`` (shows power, sampled).
    scope:      what its energy is of: ``package``, ``gpu``, ``board``, ``machine``, ...
    period_s:   seconds between two updates of what it shows.
    resolution: its smallest step and how good it is, in words.
    limit_w:    more than this it cannot show truly: the rating of what it measures.
    problem:    why the last window has no energy; empty where it has.
    parts_mj:   of the last window: energy of each part that was summed, by name; may be empty.
    """

    name: str
    kind: str
    scope: str
    period_s: float
    resolution: str
    limit_w: float
    problem: str
    parts_mj: dict[str, float]

    def available(self) -> str:
        """Empty where the sensor can be read now; else why not and what mends it."""

    def start(self) -> None:
        """Begin a window."""

    def stop(self, seconds: float) -> Reading:
        """End the window, which was ``seconds`` long."""


class AbsentSensor:
    """A sensor that is not there or cannot be read: the null object. See ``Sensor``."""

    kind = "absent"
    scope = ""
    period_s = 0.0
    resolution = ""
    limit_w = 0.0

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.problem = name, reason
        self.parts_mj: dict[str, float] = {}

    def available(self) -> str:
        """Why it cannot be read."""
        return self.problem

    def start(self) -> None:
        """Do nothing."""

    def stop(self, seconds: float) -> Reading:
        """No energy."""
        return Reading(None, 0)


def implausible(
    energy_mj: float, seconds: float, limit_w: float, period_s: float, idle_w: float | None = None
) -> str:
    """Why an energy cannot be that of ``seconds`` of work; empty where it can.

    idle_w: what the sensor shows of the idle device, where that is known.
    """
    if seconds < FEWEST_UPDATES * period_s * (1 - 1e-9):
        return (
            f"a window of {seconds:.3g} s is too short for a sensor that is updated every "
            f"{period_s:.3g} s: --hold {math.ceil(FEWEST_UPDATES * period_s)}s"
        )
    power_w = 1e-3 * energy_mj / seconds
    if not math.isfinite(power_w):
        return "it shows no finite number"
    if power_w < 0:
        return f"{power_w:.3g} W is below zero: wired the other way round, or charging"
    if power_w == 0:
        return "it stood still while the network ran"
    if power_w > limit_w:
        return f"{power_w:.4g} W is more than the {limit_w:.4g} W it can be"
    if idle_w is not None and power_w < IDLE_SHARE * idle_w:
        return f"{power_w:.3g} W while the network ran is less than {idle_w:.3g} W idle"
    return ""


def availability(sensor: Any) -> str:
    """Why a sensor cannot be read; empty where it can. Whatever it raises is a reason, too."""
    try:
        return str(sensor.available())
    except Exception as error:  # somebody's package
        return f"{sensor.name}: {type(error).__name__}: {error}"


def start_sensors(sensors: Iterable[Any]) -> dict[str, str]:
    """Start all; of those that fail, by name, why."""
    failed = {}
    for sensor in sensors:
        try:
            sensor.start()
        except Exception as error:  # somebody's package
            failed[sensor.name] = f"{type(error).__name__}: {error}"
    return failed


def stop_sensor(sensor: Any, seconds: float, idle_w: float | None) -> tuple[Reading, str]:
    """A sensor's reading of a window, or none and why: whatever it raises, too."""
    try:
        energy, samples = sensor.stop(seconds)
        problem = str(sensor.problem)
        if energy is not None and not problem:
            problem = implausible(float(energy), seconds, sensor.limit_w, 0.0, idle_w)
        if energy is not None and not problem:
            return Reading(float(energy), int(samples)), ""
    except Exception as error:  # somebody's package
        problem = f"{type(error).__name__}: {error}"
    return Reading(None, 0), problem or "it has no reading"


def describe_sensor(sensor: Any) -> dict[str, Any]:
    """How the header of a result file describes a sensor."""
    return {
        "name": sensor.name,
        "kind": sensor.kind,
        "scope": sensor.scope,
        "period_s": sensor.period_s,
        "resolution": sensor.resolution,
    }


def sensors_of(made: Any) -> list[Any]:
    """The sensors that a factory made: one, or several."""
    return list(made) if isinstance(made, Iterable) else [made]


# ======================================================================================== timing.py
# The stopwatch: warm-up, repetition until the median is known, windows for sensors.
#
# The time is that of ``session.run`` from an input in host memory to an output in host memory, one
# call at a time. It is repeated until the 95 % interval of the median (order statistics, which
# assume nothing about the distribution) is within 1 % of it, or the time is used up.


#: A median is stable when its 95 % interval is this narrow (half width, relative).
STABLE = 0.01
#: The normal quantile of that interval.
NORMAL_95 = 1.96
#: Fewest runs of a network, and the most.
FEWEST_RUNS, MOST_RUNS = 7, 20_000
#: Warm-up lasts this share of the time a network may take; at least two runs.
WARM_UP = 0.1
#: Shortest time over which a median counts as stable, in seconds and as a share of what the
#: network may take: others who use the processor come and go.
SETTLE_S, SETTLE_SHARE = 0.4, 0.25
#: A run that takes longer, in seconds, is ended: seven of them would take a quarter of an hour,
#: and a network may hold a loop that never ends.
LONGEST_RUN_S = 120.0
#: The system slept, or the clock was set, when two clocks of one window differ by more, in
#: seconds. Clocks are corrected gradually by less than 0.5 ms a second.
CLOCK_STEP_S = 0.1


def rounded(value: float, digits: int = 5) -> float:
    """To significant digits: more are noise, and make files larger."""
    return float(f"{value:.{digits}g}")


def median_interval(times: Sequence[float]) -> tuple[float, float]:
    """Median of sorted times and the relative half width of its 95 % interval."""
    n = len(times)
    middle = _quantile(times, 0.5)
    reach = NORMAL_95 * math.sqrt(n) / 2
    low = times[max(int(math.floor(n / 2 - reach)), 0)]
    high = times[min(int(math.ceil(n / 2 + reach)), n - 1)]
    return middle, (high - low) / (2 * middle) if middle else 0.0


def _quantile(ordered: Sequence[float], q: float) -> float:
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def preemptions() -> int:
    """How often so far the system took the processor away from one of our threads."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def asleep_s() -> float:
    """Seconds for which the system has slept since it started."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    except (AttributeError, OSError):
        return 0.0


def _nothing() -> None:
    """Do nothing between runs."""


class Stopwatch:
    """Runs a session and adds up the seconds spent in it.

    of_thread: count the processor time of this thread, which is all of a run on one thread: what
               else runs on the device then costs it caches, not time.
    """

    def __init__(self, of_thread: bool = False) -> None:
        self._now = time.thread_time if of_thread else time.perf_counter
        self.inference_s = 0.0
        #: Least watts that each sensor showed of the idle device, by its name.
        self.idle_w: dict[str, float] = {}

    def run(self, session: Any, inputs: dict[str, Any]) -> float:
        """Seconds of one run."""
        start = self._now()
        session.run(None, inputs)
        seconds = self._now() - start
        self.inference_s += seconds
        return seconds

    def warm_up(
        self, session: Any, inputs: dict[str, Any], limit_s: float, options: Any = None
    ) -> float:
        """Run until caches, clocks and memory pools are warm; returns the last run's seconds.

        options: onnxruntime's for the first run, which is ended after ``LONGEST_RUN_S``.
        """
        end = time.perf_counter() + WARM_UP * limit_s
        self._first_run(session, inputs, options)
        while True:
            seconds = self.run(session, inputs)
            if time.perf_counter() >= end:
                return seconds

    def _first_run(self, session: Any, inputs: dict[str, Any], options: Any) -> None:
        if options is None:
            self.run(session, inputs)
            return

        def end_run() -> None:
            options.terminate = True

        timer = threading.Timer(LONGEST_RUN_S, end_run)
        timer.daemon = True
        timer.start()
        start = time.perf_counter()
        try:
            session.run(None, inputs, options)
        finally:
            timer.cancel()
            self.inference_s += time.perf_counter() - start
            if options.terminate:
                raise RuntimeError(f"one run takes more than {LONGEST_RUN_S:g} s")

    def latency(
        self,
        session: Any,
        inputs: dict[str, Any],
        limit_s: float,
        between: Callable[[], None] = _nothing,
    ) -> dict[str, Any]:
        """Repeat until the median is stable, or the limit is reached.

        Runs during which the system gave the processor to someone else (involuntary context
        switches) are left out, as long as enough others remain: what else runs on the device
        is no property of the network. ``between`` is called now and then, between two runs.
        """
        start = time.perf_counter()
        times: list[float] = []
        calm: list[float] = []
        check = FEWEST_RUNS
        while True:
            while len(times) < check:
                before = preemptions()
                times.append(self.run(session, inputs))
                if preemptions() == before:
                    calm.append(times[-1])
                if len(times) >= FEWEST_RUNS and time.perf_counter() - start > limit_s:
                    break
            ordered = sorted(calm if len(calm) >= FEWEST_RUNS else times)
            _, width = median_interval(ordered)
            spent = time.perf_counter() - start
            settled = width <= STABLE and spent >= max(SETTLE_S, SETTLE_SHARE * limit_s)
            between()
            if settled or spent > limit_s or len(times) >= MOST_RUNS:
                break
            check = min(max(check + 5, int(check * 1.25)), MOST_RUNS)
        median, p10, p90 = (_quantile(ordered, q) * 1e3 for q in (0.5, 0.1, 0.9))
        values = {"median": median, "p10": p10, "p90": p90}
        found: dict[str, Any] = {name: rounded(value) for name, value in values.items()}
        found["runs"] = len(ordered)
        return found

    def rest(self, sensors: Sequence[Any], seconds: float) -> None:
        """Read the sensors while nothing runs: what the idle device uses."""
        start_sensors(sensors)
        start = time.perf_counter()
        time.sleep(seconds)
        spent = time.perf_counter() - start
        for sensor in sensors:
            (energy, _), _ = stop_sensor(sensor, spent, None)
            if energy is not None:
                watts = 1e-3 * energy / spent
                self.idle_w[sensor.name] = min(watts, self.idle_w.get(sensor.name, watts))

    def hold(
        self,
        session: Any,
        inputs: dict[str, Any],
        seconds: float,
        sensors: Sequence[Any],
        pause_s: float = 0.0,
    ) -> dict[str, Any]:
        """Run without pause while the sensors read; what a record says of energy.

        pause_s: nothing runs for so long before and after: the edges by which an external
                 meter's clock is found.
        """
        time.sleep(pause_s)
        slept = asleep_s()
        failed = start_sensors(sensors)
        begin, start, runs = time.time(), time.perf_counter(), 0
        while time.perf_counter() - start < seconds or not runs:
            self.run(session, inputs)
            runs += 1
        spent = time.perf_counter() - start
        idle_w = self.idle_w
        readings = [(s, *stop_sensor(s, spent, idle_w.get(s.name))) for s in sensors]
        stepped = abs((time.time() - begin) - (time.perf_counter() - start)) > CLOCK_STEP_S
        slept = asleep_s() - slept
        time.sleep(pause_s)
        if slept > CLOCK_STEP_S:
            return {"energy_problems": {"all": f"the system slept for {slept:.1f} s"}}
        found = self._energies(readings, failed, runs, spent)
        window = {"start": round(begin, 3), "seconds": round(spent, 4), "runs": runs}
        if pause_s:
            window["pause_s"] = pause_s
        if stepped:  # no reading of a meter can be told to be in it
            window["clock_was_set"] = True
        return {"window": window, **found}

    def _energies(
        self,
        readings: Sequence[tuple[Any, Reading, str]],
        failed: dict[str, str],
        runs: int,
        spent: float,
    ) -> dict[str, Any]:
        """The believed sensor's energy of a run, the others', and why some have none."""
        problems = {sensor.name: problem for sensor, _, problem in readings if problem}
        problems.update(failed)
        known = [
            (sensor, reading.energy_mj, reading.samples)
            for sensor, reading, _ in readings
            if reading.energy_mj is not None and sensor.name not in failed
        ]
        found: dict[str, Any] = {}
        if known:
            sensor, energy, samples = known[0]
            found["energy_mj"] = {
                "mean": rounded(energy / runs),
                "runs": runs,
                "samples": samples,
                "sensor": sensor.name,
            }
            if sensor.name in self.idle_w:
                found["energy_mj"]["idle_w"] = rounded(self.idle_w[sensor.name])
            if sensor.parts_mj:
                parts = {name: rounded(mj / runs) for name, mj in sensor.parts_mj.items()}
                found["energy_mj"]["parts"] = parts
            if len(known) > 1:
                others = {s.name: rounded(e / runs) for s, e, _ in known[1:]}
                found["energy_mj"]["others"] = others
            found["power_w"] = rounded(energy * 1e-3 / spent)
        if problems:
            found["energy_problems"] = problems
        return found


# ======================================================================================= session.py
# onnxruntime: a session of a network, made-up inputs, the runtime's own times of kernels.


#: Runs that onnxruntime's profiler sees.
PROFILED_RUNS = 10
#: numpy's name of each type that inputs can have.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(uint32)": "uint32",
    "tensor(int32)": "int32",
    "tensor(uint64)": "uint64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class Settings(NamedTuple):
    """How networks are run: ``hold_s`` seconds for sensors, ``pause_s`` before and after."""

    threads: int
    provider: str
    batch: int
    kernels: bool
    hold_s: float
    pause_s: float


def open_session(task: Task, folder: str, settings: Settings, trace: bool) -> Any:
    """An onnxruntime session of a task's model."""
    onnxruntime = Libraries.onnxruntime
    path = task.path
    if not path:
        path = os.path.join(folder, "model.onnx")  # beside the weights it points into
        for name, content in {"model.onnx": task.content, **task.beside}.items():
            with open(os.path.join(folder, name), "wb") as stream:
                stream.write(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if trace:
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "trace")
    providers = ["CPUExecutionProvider"]
    if settings.provider == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    if session.get_providers()[0] != providers[0]:
        raise RuntimeError(f"{providers[0]} did not start; see onnxruntime's log above")
    return session


def make_inputs(
    session: Any, batch: int, shapes: dict[str, list[Any]] | None = None
) -> dict[str, Any]:
    """Random inputs of the shapes that the model states.

    shapes: of inputs by name, where the model leaves sizes free; the name may be empty for a
            model's only input. An axis of one name has one size everywhere; a first axis that
            stays free is the batch. Of an input without axes, its value.
    """
    numpy = Libraries.numpy
    inputs, rng = {}, numpy.random.RandomState(0)
    given = session.get_inputs()
    wanted = _wanted(given, shapes or {}, batch)
    values = {one.name: wanted.pop(one.name) for one in given if _is_choice(one, wanted)}
    bound = _shapes(given, batch, wanted)
    for one in given:
        shape = bound[one.name]
        elements = 1
        for size in shape:
            elements *= size
        if elements > MOST_ELEMENTS:
            raise RuntimeError(
                f"input '{one.name}' has {elements} elements, more than {MOST_ELEMENTS}"
            )
        if one.type not in _DTYPES:
            raise RuntimeError(f"input '{one.name}' is a {one.type}: not supported")
        dtype = _DTYPES[one.type]
        if dtype == "object":
            inputs[one.name] = numpy.full(shape, "a", dtype=object)
            continue
        if one.name in values:
            inputs[one.name] = numpy.array(values[one.name][0], dtype=dtype)
            continue
        numbers = numpy.asarray(rng.standard_normal(shape) if shape else rng.standard_normal())
        if "float" not in dtype:
            numbers = numpy.abs(numbers) > 1.0  # zeros and ones: valid as index, mask and pixel
        inputs[one.name] = numpy.asarray(numbers, dtype=dtype)
    return inputs


def _wanted(given: Any, shapes: dict[str, list[Any]], batch: int) -> dict[str, list[int]]:
    """The shapes that the user gives, by name, held against what the model states."""
    wanted = dict(shapes)
    if "" in wanted and len(given) == 1:
        wanted[given[0].name] = wanted.pop("")
    names = [one.name for one in given]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1, cutoff=0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise RuntimeError(f"has no input '{unknown[0]}': its inputs are {', '.join(names)}{hint}")
    for one in given:
        sizes, stated = wanted.get(one.name), list(one.shape)
        if sizes is not None and _is_choice(one, wanted):
            if "float" not in one.type and "double" not in one.type and sizes[0] != int(sizes[0]):
                raise RuntimeError(f"input '{one.name}' is a {one.type}, not {sizes[0]}")
            continue
        if sizes is None:
            continue
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise RuntimeError(f"input '{one.name}' is {_text(stated)}: its sizes are 1 and more")
        agrees = len(sizes) == len(stated) and all(
            not isinstance(size, int) or size == new for size, new in zip(stated, sizes)
        )
        if not agrees:
            raise RuntimeError(f"input '{one.name}' is {_text(stated)}, not {_text(sizes)}")
        if len(stated) > 1 and not isinstance(stated[0], int) and batch not in (1, sizes[0]):
            raise RuntimeError(
                f"input '{one.name}' is {_text(stated)}: its first size is the batch, which is "
                f"{batch}: --batch {sizes[0]}"
            )
    return wanted


def _is_choice(one: Any, wanted: dict[str, list[Any]]) -> bool:
    """Whether an input is a number, without axes, whose value is given."""
    number = _DTYPES.get(one.type, "object") != "object"
    return number and not one.shape and len(wanted.get(one.name, ())) == 1


def _shapes(given: Any, batch: int, wanted: dict[str, list[Any]]) -> dict[str, list[int]]:
    """The shape of each input by name: what the model states, its free sizes as wanted.

    Raises ``RuntimeError`` where some stay free, with all that is missing.
    """
    by_axis: dict[str, int] = {}  # onnxruntime gives a free size by its name, or None
    for one in given:
        for size, new in zip(one.shape, wanted.get(one.name, ())):
            if isinstance(size, str):
                by_axis.setdefault(size, new)
    found: dict[str, list[Any]] = {}
    free = []
    for one in given:
        shape: list[Any] = [by_axis.get(size, size) for size in one.shape]
        shape = list(wanted.get(one.name, shape))
        if shape and not isinstance(shape[0], int):
            shape[0] = batch
        found[one.name] = shape
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            free.append(one)
    if free:
        stated = ", ".join(f"'{one.name}' is {_text(list(one.shape))}" for one in free)
        said = " ".join(
            f"--input {one.name}="
            + "x".join(str(n) if isinstance(n, int) else "64" for n in found[one.name])
            for one in free
        )
        raise RuntimeError(f"input {stated}: say {'its' if len(free) == 1 else 'their'} free "
                           f"sizes, {said}")  # fmt: skip
    return found


def _text(shape: list[Any]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "a scalar"


def kernel_times(path: str) -> list[dict[str, Any]]:
    """Mean time of each kernel from onnxruntime's trace, in the order they ran.

    The slowest and fastest quarter of the runs are left out (whoever else used the processor).
    """
    with open(path, encoding="utf-8") as stream:
        events = json.load(stream)
    found: dict[str, tuple[str, list[float]]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event.get("name", "").endswith("_kernel_time"):
            continue
        name = event["name"][: -len("_kernel_time")]
        op = str(event.get("args", {}).get("op_name", ""))
        found.setdefault(name, (op, []))[1].append(float(event["dur"]))
    kernels = []
    for name, (op, micros) in found.items():
        ordered = sorted(micros)
        cut = len(ordered) // 4
        middle = ordered[cut : len(ordered) - cut]
        kernels.append({"name": name, "op": op, "ms": rounded(1e-3 * sum(middle) / len(middle), 4)})
    return kernels


# ========================================================================================= bench.py
# Measures networks one by one and makes their records.


class Bench:
    """Measures tasks and makes their records.

    folder: for files of the moment. batch: images a run. sensors: read while networks are held.
    """

    def __init__(
        self, settings: Settings, folder: str, batch: int, sensors: Sequence[Any], watch: Stopwatch
    ) -> None:
        self.settings, self.folder, self.batch, self.sensors = settings, folder, batch, sensors
        self.watch, self.memory = watch, PeakMemory()
        self.throttled, self.clock = Throttling(), ClockWatch()

    def measure(self, task: Task, limit_s: float, number: int) -> dict[str, Any]:
        """The record of a task in pass ``number``; of a model that is refused, why."""
        try:
            return self._measure(task, limit_s, number)
        except (Refused, OSError):
            raise
        except (Exception, MemoryError) as error:  # onnxruntime's errors share no base
            line = " ".join(str(error).split()) or type(error).__name__
            return {"network": task.network, "error": line[:300]}

    def _measure(self, task: Task, limit_s: float, number: int) -> dict[str, Any]:
        self.memory.reset()
        self.clock.reset()
        self.throttled()  # forget what was before
        stops = quota_stops()
        trace_it = self.settings.kernels
        session = open_session(task, self.folder, self.settings, trace_it)
        inputs = make_inputs(session, self.batch, task.shapes)
        once = self.watch.warm_up(session, inputs, limit_s, Libraries.onnxruntime.RunOptions())
        kernels = None
        if trace_it:
            for _ in range(max(3, min(PROFILED_RUNS, int(WARM_UP * limit_s / once)))):
                self.watch.run(session, inputs)
            trace = session.end_profiling()  # what follows runs as without profiling
            kernels = kernel_times(trace)
            os.remove(trace)
        self.clock.look()
        record: dict[str, Any] = {
            "network": task.network,
            "latency_ms": self.watch.latency(session, inputs, limit_s, self.clock.look),
            "energy_mj": None,
            "power_w": None,
            "temperature_c": temperature_c(),
            "frequency_mhz": frequency_mhz(),
            **self.clock.seen(),
        }
        stopped = quota_stops()
        if number > 1:  # energy and memory are those of the first pass
            record["pass"] = number
        elif self.settings.hold_s:
            held = self.watch.hold(
                session, inputs, self.settings.hold_s, self.sensors, self.settings.pause_s
            )
            record.update(held)
        record["throttled"] = self.throttled()
        if stops is not None and stopped is not None:
            record["quota_stopped_s"] = rounded(max(stopped - stops, 0.0))
        record["resident_mb"] = self.memory.peak_mb()
        record["kernels"] = kernels
        return record


# ================================================================================= sensors/power.py
# Sensors that show power: sampled while the network runs.
#
# A reading holds until the next one (that is what loggers write that log more often when the
# power changes, and for even samples it is as good as any rule), so the mean is weighted by time.
# Domain of validity: power that changes slowly against the period, or enough samples to average
# over what is faster.


#: The longest time in a window without a reading, as a share of the window. Power that was not
#: seen for longer is a guess; at 1 s between readings, windows have to be 2 s or longer.
LONGEST_GAP = 0.5
#: Fewest readings that make a mean.
FEWEST_READINGS = 3


class WindowInvalid(Exception):
    """Raised by a function that reads power when the whole window is worth nothing."""


def mean_power(samples: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Mean watts from ``begin`` to ``end`` of (seconds, watts) in order of time.

    Each reading holds until the next; the first one also before its own time.
    """
    times = [moment for moment, _ in samples]
    total, at = 0.0, begin
    number = max(bisect_right(times, begin) - 1, 0)
    while at < end:
        after = times[number + 1] if number + 1 < len(times) else math.inf
        until = min(after, end)
        total += samples[number][1] * max(until - at, 0.0)
        at = max(until, at)
        number += 1
    return total / (end - begin)


def longest_gap(times: Sequence[float], begin: float, end: float) -> tuple[float, float]:
    """The longest stretch of a window without a reading, as (its begin, its length)."""
    edges = [begin, *(moment for moment in times if begin < moment < end), end]
    gaps = [(after - before, before) for before, after in zip(edges, edges[1:])]
    length, at = max(gaps)
    return at, length


class PowerMeter:
    """A sensor of power. See ``Sensor``.

    read: watts, or None; raises ``WindowInvalid`` where the window is worth nothing.
    """

    kind = "power"

    def __init__(
        self,
        name: str,
        read: Callable[[], float | None],
        period_s: float,
        resolution: str,
        scope: str = "board",
        limit_w: float = LARGEST_W,
    ) -> None:
        self.name, self._read = name, read
        self.period_s, self.resolution = period_s, resolution
        self.scope, self.limit_w = scope, limit_w
        self.problem = ""
        self.parts_mj: dict[str, float] = {}
        self._samples: list[tuple[float, float]] = []
        self._begin = 0.0
        self._invalid = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def available(self) -> str:
        """Empty where power can be read."""
        try:
            return "" if self._read() is not None else f"{self.name} cannot be read"
        except WindowInvalid as error:
            return str(error)

    def start(self) -> None:
        """Begin to sample, in a thread."""
        self._samples, self._invalid, self._stop = [], "", threading.Event()
        self._begin = time.perf_counter()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while True:
            try:
                watts = self._read()
            except WindowInvalid as error:
                self._invalid = str(error)
                return
            if watts is not None and math.isfinite(watts):
                self._took(time.perf_counter(), watts)
            if self._stop.wait(self.period_s):
                return

    def _took(self, moment: float, watts: float) -> None:
        self._samples.append((moment, watts))

    def stop(self, seconds: float) -> Reading:
        """Stop sampling: the mean power times ``seconds``."""
        self._stop.set()
        end = time.perf_counter()
        if self._thread is not None:
            self._thread.join()
        self.parts_mj = {}
        self.problem = self._judge(end)
        if self.problem:
            return Reading(None, 0)
        energy = 1e3 * seconds * mean_power(self._samples, self._begin, end)
        # The period of a sampled sensor limits how much is averaged, not where a window ends.
        self.problem = implausible(energy, seconds, self.limit_w, self.period_s / 2)
        if self.problem:
            return Reading(None, 0)
        self.parts_mj = self._parts(seconds, end)
        return Reading(energy, len(self._samples))

    def _judge(self, end: float) -> str:
        if self._invalid:
            return self._invalid
        samples = [(moment, watts) for moment, watts in self._samples if moment <= end]
        if len(samples) < FEWEST_READINGS:
            return f"{len(samples)} readings came in the window, {FEWEST_READINGS} are needed"
        lowest = min(watts for _, watts in samples)
        if lowest < 0:
            return f"{lowest:.3g} W is below zero: wired the other way round, or charging"
        at, gap = longest_gap([moment for moment, _ in samples], self._begin, end)
        if gap > LONGEST_GAP * (end - self._begin):
            return f"no reading came for {gap:.3g} s from second {at - self._begin:.3g} on"
        return ""

    def _parts(self, seconds: float, end: float) -> dict[str, float]:
        return {}


class RailMeter(PowerMeter):
    """Several supply rails as one sensor: what they use together, each kept by name.

    read_rails: watts by rail, of all rails at one moment, or None.
    total:      names of the rails whose sum is the sensor's power.
    """

    def __init__(
        self,
        name: str,
        read_rails: Callable[[], Mapping[str, float] | None],
        total: Sequence[str],
        period_s: float,
        resolution: str,
        scope: str = "board",
        limit_w: float = LARGEST_W,
    ) -> None:
        self._read_rails, self._total = read_rails, tuple(total)
        self._latest: Mapping[str, float] = {}
        self._rails: list[tuple[float, Mapping[str, float]]] = []
        super().__init__(name, self._sum, period_s, resolution, scope, limit_w)

    def _sum(self) -> float | None:
        rails = self._read_rails()
        if rails is None or any(name not in rails for name in self._total):
            return None
        self._latest = rails
        return sum(rails[name] for name in self._total)

    def start(self) -> None:
        """Begin to sample all rails."""
        self._rails = []
        super().start()

    def _took(self, moment: float, watts: float) -> None:
        super()._took(moment, watts)
        self._rails.append((moment, self._latest))

    def _parts(self, seconds: float, end: float) -> dict[str, float]:
        return {
            name: 1e3
            * seconds
            * mean_power([(t, rails.get(name, 0.0)) for t, rails in self._rails], self._begin, end)
            for name in self._latest
        }


# =============================================================================== sensors/battery.py
# Batteries: what a whole device draws from them while no charger is connected.
#
# The kernel's power_supply files show power (uW), or voltage (uV) and current (uA), updated about
# once a second. The sign of current is the driver's choice; that it flows out of the battery
# follows from the status ``Discharging`` only, so the magnitude is used, and only while the
# status says so and no charger feeds the device. Batteries of ``scope`` Device belong to a mouse
# or headset. A device with two batteries draws from one or from both: they are summed.
#
# Domain of validity: the whole device, screen included; windows of several seconds.


#: Seconds between samples; batteries are updated about once a second.
BATTERY_PERIOD_S = 0.5
#: The largest laptop chargers have 330 W, and batteries give less.
BATTERY_LIMIT_W = 330.0
#: A battery of the device that neither gives nor takes.
_AT_REST = ("Not charging", "Full", "Unknown")


def supply_sensors(root: str = "/") -> Iterator[Any]:
    """The batteries of this device as one sensor; null objects where they tell nothing."""
    folders = sorted(glob.glob(os.path.join(root, "sys/class/power_supply/*")))
    batteries = [folder for folder in folders if _is_own_battery(folder)]
    if not batteries:
        return
    names = "+".join(os.path.basename(folder) for folder in batteries)
    problem = _problem(folders, batteries)
    if problem:
        yield AbsentSensor(f"power_supply:{names}", f"power_supply {names}: {problem}")
        return

    def read() -> float | None:
        problem = _problem(folders, batteries)
        if problem:
            raise WindowInvalid(f"{names}: {problem}")
        return sum(abs(_watts(folder) or 0.0) for folder in _giving(batteries))

    yield PowerMeter(
        f"power_supply:{names}",
        read,
        BATTERY_PERIOD_S,
        "1 uW shown, updated about once a second",
        "machine",
        BATTERY_LIMIT_W,
    )


def _is_own_battery(folder: str) -> bool:
    absent = read_number(folder, "present") == 0
    return read_text(folder, "type") == "Battery" and not _is_peripheral(folder) and not absent


def _is_peripheral(folder: str) -> bool:
    return read_text(folder, "scope") == "Device"


def _giving(batteries: list[str]) -> list[str]:
    return [folder for folder in batteries if read_text(folder, "status") == "Discharging"]


def _problem(folders: list[str], batteries: list[str]) -> str:
    """Why the batteries do not show what the device draws; empty where they do."""
    for folder in folders:
        charges = read_text(folder, "type") not in (None, "Battery") and not _is_peripheral(folder)
        if charges and read_number(folder, "online"):
            return f"{os.path.basename(folder)} feeds the device; unplug the charger"
    giving = _giving(batteries)
    others = [folder for folder in batteries if folder not in giving]
    if not giving or any(read_text(folder, "status") not in _AT_REST for folder in others):
        return "not discharging; unplug the charger"
    if any(_watts(folder) is None for folder in giving):
        return "shows neither power_now nor voltage_now and current_now"
    return ""


def _watts(folder: str) -> float | None:
    power = read_number(folder, "power_now")
    if power is not None:
        return power * 1e-6
    return product_reader(folder, "voltage_now", "current_now", 1e-12)()


# =============================================================================== sensors/counter.py
# Sensors that count energy: two readings of the counter give the energy between them.
#
# Domain of validity: the counter may start again from zero once in a window, at the end of its
# range. Whether it did, or was reset (the machine slept, a driver was loaded anew), only the
# energy tells: a reset looks like a turn of the whole range, kilowatts in a short window.


def counted(
    start: float, end: float, range_: float | None, most: float
) -> tuple[float | None, str]:
    """What a counter counted from one reading to the next, or why nobody can say.

    range_: where the counter starts again from zero, in its unit; None if unknown.
    most:   more than this cannot have been counted, in the same unit.
    """
    if range_ is not None and most >= range_:
        return None, "the window is so long that the counter may have gone round more than once"
    if end >= start:
        return end - start, ""
    if range_ is None:
        return None, "the counter started again and its range cannot be read"
    turned = end + range_ - start
    if start > range_ or turned > most:
        return None, "the counter was reset in the window (sleep, or a driver loaded anew)"
    return turned, ""


class Counter:
    """One energy counter. See ``Sensor``.

    read:     millijoules counted so far, or None.
    range_mj: where it starts again from zero; None if unknown.
    limit_w:  what it counts uses less power than this.
    """

    kind = "counter"

    def __init__(
        self,
        name: str,
        read: Callable[[], float | None],
        range_mj: float | None,
        period_s: float,
        resolution: str,
        scope: str = "machine",
        limit_w: float = LARGEST_W,
    ) -> None:
        self.name, self._read, self.range_mj = name, read, range_mj
        self.period_s, self.resolution = period_s, resolution
        self.scope, self.limit_w = scope, limit_w
        self.problem = ""
        self.parts_mj: dict[str, float] = {}
        self._start: float | None = None

    def available(self) -> str:
        """Empty where the counter can be read."""
        return "" if self._read() is not None else f"{self.name} cannot be read"

    def start(self) -> None:
        """Read the counter."""
        self._start = self._read()

    def stop(self, seconds: float) -> Reading:
        """Read it again: the energy since ``start``."""
        end = self._read()
        if self._start is None or end is None:
            self.problem = "the counter could not be read"
            return Reading(None, 0)
        most = 1e3 * self.limit_w * seconds
        energy, self.problem = counted(self._start, end, self.range_mj, most)
        if energy is not None:
            self.problem = implausible(energy, seconds, self.limit_w, self.period_s)
        if self.problem or energy is None:
            return Reading(None, 0)
        return Reading(energy, 2)


class SummedCounters:
    """Counters of several parts as one sensor: all of them, or no energy. See ``Sensor``."""

    kind = "counter"

    def __init__(self, name: str, counters: Sequence[Counter]) -> None:
        self.name, self._counters = name, tuple(counters)
        first = self._counters[0]
        self.period_s = max(counter.period_s for counter in counters)
        self.resolution, self.scope = first.resolution, first.scope
        self.limit_w = sum(counter.limit_w for counter in counters)
        self.problem = ""
        self.parts_mj: dict[str, float] = {}

    def available(self) -> str:
        """Empty where all counters can be read."""
        return "; ".join(filter(None, (counter.available() for counter in self._counters)))

    def start(self) -> None:
        """Start all."""
        for counter in self._counters:
            counter.start()

    def stop(self, seconds: float) -> Reading:
        """The sum of all, kept by part in ``parts_mj``."""
        readings = [(counter, counter.stop(seconds)) for counter in self._counters]
        problems = [f"{counter.name}: {counter.problem}" for counter, _ in readings]
        bad = [p for p, (_, reading) in zip(problems, readings) if reading.energy_mj is None]
        self.problem = "; ".join(bad)
        self.parts_mj = {}
        if bad:
            return Reading(None, 0)
        self.parts_mj = {c.name: r.energy_mj for c, r in readings if r.energy_mj is not None}
        return Reading(sum(self.parts_mj.values()), sum(r.samples for _, r in readings))


# ============================================================================== sensors/cpu/rapl.py
# RAPL: energy counters inside Intel and AMD processors, through the kernel's powercap files.
#
# A *zone* counts one part. ``package-N`` is a whole socket: cores, caches, memory controller, the
# graphics in it; its sub-zones ``core`` and ``uncore`` are contained in it, ``dram`` (servers) is
# not. ``psys`` is the whole platform as its maker wired it, packages included, so it is never
# added to them. A machine with two sockets has two packages, whose sum is what it uses.
# ``intel-rapl-mmio`` shows the same package a second time and is left out.
#
# Physics: a counter is a register of 32 bits in steps of 15 to 61 uJ, updated about every
# millisecond, and starts again from zero after ``max_energy_range_uj`` (about 262 kJ: half an
# hour at 150 W). Before Haswell it is a model of activity, since then a measurement.
#
# Domain of validity: windows of 10 ms or longer, and short enough that the counter goes round
# once at most. Where the range cannot be read, or the counter was reset in the window, there is
# no energy. Since 2020 (CVE-2020-8694) only root may read the counters; virtual machines have none.


#: Watts that no package exceeds: twice the largest sold (500 W). Twice as much would let a
#: reset of the counter pass for a turn in windows twice as short.
LARGEST_PACKAGE_W = 1000.0
#: Short bursts reach this many times the rated power that the zone tells.
BURST = 4.0
#: Seconds between two updates.
RAPL_PERIOD_S = 0.001


def rapl_sensors(root: str = "/") -> Iterator[Any]:
    """The packages as one sensor, then memory and platform apart; null objects for the others."""
    zones = _zones(root)
    groups: dict[str, list[str]] = {"package": [], "dram": []}
    for zone in zones:
        name = read_text(zone, "name") or os.path.basename(zone)
        is_part = re.match(r"intel-rapl:\d+:\d+$", os.path.basename(zone)) is not None
        if name.startswith("dram"):
            groups["dram"].append(zone)
        elif not is_part:
            groups.setdefault("package" if name.startswith("package") else name, []).append(zone)
    for scope, members in groups.items():
        if members:
            yield _zones_sensor(scope, members)


def _zones(root: str) -> list[str]:
    """Folders of all zones, each once: of the class, or of the devices behind it."""
    for top in ("sys/class/powercap", "sys/devices/virtual/powercap"):
        patterns = (
            "intel-rapl:*",
            "intel-rapl/intel-rapl:*",
            "intel-rapl/intel-rapl:*/intel-rapl:*",
        )
        found: dict[str, str] = {}
        for pattern in patterns:
            for folder in glob.glob(os.path.join(root, top, pattern)):
                found.setdefault(os.path.basename(folder), folder)
        if found:
            return [found[name] for name in sorted(found)]
    return []


def _zones_sensor(scope: str, zones: list[str]) -> Any:
    """One sensor for zones that are summed."""
    names = [read_text(zone, "name") or os.path.basename(zone) for zone in zones]
    name = "rapl:" + "+".join(dict.fromkeys(names))
    for zone, of_zone in zip(zones, names):
        if read_number(zone, "energy_uj") is None:
            return AbsentSensor(
                name,
                f"RAPL {of_zone}: not readable; run as root, or: sudo chmod a+r {zone}/energy_uj",
            )
    counters = [_counter(zone, of_zone) for zone, of_zone in zip(zones, names)]
    if len(counters) == 1:
        counters[0].name, counters[0].scope = name, scope
        return counters[0]
    for counter, zone in zip(counters, zones):
        counter.scope = scope
        if len(set(names)) < len(names):  # memory of two sockets has one name
            counter.name += f" ({os.path.basename(zone)})"
    return SummedCounters(name, counters)


def _counter(zone: str, name: str) -> Counter:
    range_uj = read_number(zone, "max_energy_range_uj")
    rated_uw = read_number(zone, "constraint_0_max_power_uw") or 0.0
    limit_w = min(BURST * rated_uw * 1e-6, LARGEST_PACKAGE_W) if rated_uw > 0 else LARGEST_PACKAGE_W
    return Counter(
        name,
        number_reader(zone, "energy_uj", 1e-3),
        None if not range_uj else range_uj * 1e-3,
        RAPL_PERIOD_S,
        "1 uJ read, about 61 uJ counted",
        "package",
        limit_w,
    )


# ============================================================================== sensors/gpu/nvml.py
# NVML: energy and power of NVIDIA graphics processors, asked through their driver's library.
#
# Physics: since Volta a counter of millijoules since the driver was loaded, updated every 20 to
# 100 ms; before, power only. ``nvmlDeviceGetPowerUsage`` is within 5 % and, since Ampere, a mean
# over the last second. Both are of the whole board (chip, memory, regulators), whoever uses it.
#
# onnxruntime runs on CUDA's first visible device. CUDA numbers the fastest first unless
# ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, NVML by bus; with several devices that are not alike the
# two do not agree, and nothing is measured rather than a wrong device.


#: Seconds between two updates.
NVML_PERIOD_S = 0.1
#: Where the driver tells no limit: the largest boards are rated 1,200 W, with short bursts.
GPU_LIMIT_W = 2000.0
#: Short bursts reach this many times the limit that the driver enforces.
GPU_BURST = 2.0


def nvml_sensors(
    load: Callable[[str], Any] = ctypes.CDLL, environment: Mapping[str, str] = os.environ
) -> Iterator[Any]:
    """The sensor of the device that onnxruntime uses; nothing without NVIDIA's library."""
    try:
        nvml = load("libnvidia-ml.so.1")
    except OSError:
        return
    if nvml.nvmlInit_v2():
        yield AbsentSensor("nvml", "NVML: the library is there but no device answers")
        return
    device, problem = _used_device(nvml, environment)
    if problem:
        yield AbsentSensor("nvml", f"NVML: {problem}")
        return

    def energy_mj() -> float | None:
        return _asked(nvml, "nvmlDeviceGetTotalEnergyConsumption", device, ctypes.c_ulonglong())

    def power_w() -> float | None:
        value = _asked(nvml, "nvmlDeviceGetPowerUsage", device, ctypes.c_uint())
        return None if value is None else value * 1e-3

    limit = _asked(nvml, "nvmlDeviceGetEnforcedPowerLimit", device, ctypes.c_uint())
    limit_w = GPU_BURST * limit * 1e-3 if limit else GPU_LIMIT_W
    if energy_mj() is not None:
        yield Counter(
            "nvml:gpu0",
            energy_mj,
            2.0**64,
            NVML_PERIOD_S,
            "1 mJ, updated about every 0.1 s",
            "gpu",
            limit_w,
        )
    elif power_w() is not None:
        yield PowerMeter(
            "nvml:gpu0", power_w, NVML_PERIOD_S, "1 mW shown, within 5 %", "gpu", limit_w
        )
    else:
        yield AbsentSensor("nvml", "NVML: the GPU shows neither energy nor power")


def _asked(nvml: Any, function: str, device: Any, value: Any) -> float | None:
    """The number that a function of NVML writes; None where it fails or is not there."""
    ask = getattr(nvml, function, None)
    if ask is None or ask(device, ctypes.byref(value)):
        return None
    return float(value.value)


def _used_device(nvml: Any, environment: Mapping[str, str]) -> tuple[Any, str]:
    """NVML's handle of CUDA's first visible device, or why it is not known which one that is."""
    device = ctypes.c_void_p()
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if visible.startswith("GPU-"):
        failed = nvml.nvmlDeviceGetHandleByUUID(visible.encode(), ctypes.byref(device))
        return device, f"no device {visible}" if failed else ""
    if visible and not visible.isdigit():
        return device, f"CUDA_VISIBLE_DEVICES={visible} names no whole device"
    index = int(visible or 0)
    count = _device_count(nvml)
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if count > 1 and not by_bus and len(_device_names(nvml, count)) > 1:
        return device, (
            f"{count} unlike GPUs: set CUDA_DEVICE_ORDER=PCI_BUS_ID so that CUDA numbers them as "
            "NVML does"
        )
    failed = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device))
    return device, "the library is there but no device answers" if failed else ""


def _device_count(nvml: Any) -> int:
    count = ctypes.c_uint()
    ask = getattr(nvml, "nvmlDeviceGetCount_v2", None)
    return 1 if ask is None or ask(ctypes.byref(count)) else count.value


def _device_names(nvml: Any, count: int) -> set[bytes]:
    names = set()
    for index in range(count):
        device, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device))
        nvml.nvmlDeviceGetName(device, name, ctypes.c_uint(96))
        names.add(name.value)
    return names


# ================================================================================= sensors/rails.py
# Supply rails of a board: which of them add up to what the board uses.


#: Rails that feed all others of a module: Jetson TX1, TX2, Xavier NX, Orin Nano and NX
#: (``VDD_IN``), Nano (``POM_5V_IN``). Others with IN in their names (``VIN_SYS_5V0`` of AGX Orin,
#: ``VDD_M2_IN``) feed one part.
INPUT_RAIL = re.compile(r"(?:VDD|POM_\dV|\dV)_IN$", re.IGNORECASE)


def supply_rails(names: Sequence[str]) -> list[str]:
    """The rails to add: the input that feeds all others where there is one, else all.

    Rails without an input among them are taken to be disjoint, as those of AGX Xavier are.
    Where one feeds another, their sum counts its power twice: the sensor's name says what was
    added.
    """
    inputs = [name for name in names if INPUT_RAIL.match(name)]
    return inputs or list(names)


# =========================================================================== sensors/soc/ina3221.py
# INA3221: three supply rails at once, on every NVIDIA Jetson but the Nano 2GB.
#
# Physics: each channel measures the drop over a shunt resistor in a rail and the rail's voltage;
# power is their product over the resistance. Steps are 40 uV over the shunt (8 mA at 5 mOhm) and
# 8 mV. The chip converts channel after channel; drivers show new values every few milliseconds
# to hundreds of milliseconds, as averaging is set.
#
# The kernel's driver (hwmon, JetPack 5 and newer) shows mV, mA and the board's name of each rail;
# NVIDIA's older driver (iio) shows mW. A rail named NC or switched off has no reading. All rails
# of all chips are one sensor: its power is that of the module's input where the board names one
# (``VDD_IN``), else the sum of all rails; each rail's own energy stays in ``parts_mj``.
#
# Domain of validity: the module's rails, not the carrier board's, nor what hangs on it.


#: Seconds between samples where the driver tells no period.
INA3221_PERIOD_S = 0.02
#: The largest module, Jetson Thor, is rated 130 W.
JETSON_LIMIT_W = 300.0
#: How device trees call a channel that measures nothing.
NO_RAIL = ("NC", "N/A", "OPEN")

ReadPower = Callable[[], "float | None"]


def ina3221_sensors(root: str = "/") -> Iterator[Any]:
    """All rails of all INA3221 chips as one sensor; nothing where there is no such chip."""
    every = sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*")))
    folders = [folder for folder in every if read_text(folder, "name") == "ina3221"]
    if not folders:
        folders = sorted(
            glob.glob(os.path.join(root, "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"))
        )
    rails = dict(rail for folder in folders for rail in _hwmon_rails(folder))
    pattern = "sys/bus/i2c/drivers/ina3221x/*/iio:device*"
    older = sorted(glob.glob(os.path.join(root, pattern)))
    if not rails:
        rails = dict(rail for folder in older for rail in _iio_rails(folder))
    if rails:
        yield rail_meter("ina3221", rails, _period_s(folders), "1 mV times 1 mA", JETSON_LIMIT_W)
    elif folders or older:
        yield AbsentSensor("ina3221", "ina3221: no channel can be read: run as root")


def rail_meter(
    chip: str, rails: dict[str, ReadPower], period_s: float, resolution: str, limit_w: float
) -> RailMeter:
    """One sensor for named rails, its name saying which of them it adds."""
    total = supply_rails(list(rails))

    def read() -> dict[str, float] | None:
        found = {name: rail() for name, rail in rails.items()}
        known = {name: watts for name, watts in found.items() if watts is not None}
        return known if len(known) == len(found) else None

    return RailMeter(
        f"hwmon:{chip} {'+'.join(total)}", read, total, period_s, resolution, "board", limit_w
    )


def _hwmon_rails(folder: str) -> Iterator[tuple[str, ReadPower]]:
    """(name, function that reads watts) of the channels of a chip that can be read."""
    for channel in ("1", "2", "3"):
        read = product_reader(folder, f"in{channel}_input", f"curr{channel}_input", 1e-6)
        label = read_text(folder, f"in{channel}_label") or ""
        if label.upper() in NO_RAIL or read_number(folder, f"in{channel}_enable") == 0:
            continue
        if read() is not None:
            yield label or f"{os.path.basename(folder)}/{channel}", read


def _iio_rails(folder: str) -> Iterator[tuple[str, ReadPower]]:
    for channel in ("0", "1", "2"):
        label = read_text(folder, f"rail_name_{channel}") or ""
        read = number_reader(folder, f"in_power{channel}_input", 1e-3)
        if label.upper() not in NO_RAIL and read() is not None:
            yield label or f"{os.path.basename(folder)}/{channel}", read


def _period_s(folders: list[str]) -> float:
    told = [read_number(folder, "update_interval") or 0.0 for folder in folders]
    return max([INA3221_PERIOD_S, *(1e-3 * ms for ms in told)])


# ============================================================================= sensors/soc/hwmon.py
# Power sensors behind the kernel's hwmon files: INA219, INA226 and their like; ACPI meters.
#
# Units are the interface's (Documentation/hwmon/sysfs-interface): power in microwatts, current in
# milliamperes, voltage in millivolts. Where a chip shows power as well as voltage and current,
# their product has to agree, or the driver's shunt resistance or unit is wrong and the chip is
# not used.
#
# Physics: INA2xx chips measure the drop over a shunt resistor in a supply and its voltage, and
# multiply. Several chips on one board sit in several supplies: they are one sensor with a rail
# each (see ``flash.device.sensors.rails``). The ACPI power meter is the whole machine, averaged
# by its firmware over ``power1_average_interval``.


#: Below this product the steps of current and voltage are too coarse to compare, in watts.
COMPARED_FROM_W = 0.05
#: How far power may be from voltage times current: a factor of two is noise between two
#: readings of a changing load, a factor of a thousand a wrong unit.
AGREES_WITHIN = 2.0


def hwmon_sensors(root: str = "/") -> Iterator[Any]:
    """INA3221 boards, then other INA chips, then the machine's own meter."""
    yield from ina3221_sensors(root)
    chips: dict[str, tuple[str, ReadPower, float, str]] = {}
    for folder in sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*"))):
        name = read_text(folder, "name") or ""
        if not name.startswith("ina") or name == "ina3221":
            continue
        found = _ina_power(folder, name)
        if isinstance(found, AbsentSensor):
            yield found
        else:
            rail = read_text(folder, "in1_label") or read_text(folder, "power1_label") or ""
            read, resolution = found
            period_s = max((read_number(folder, "update_interval") or 20.0) * 1e-3, 0.005)
            key = rail if rail and rail not in chips else f"{rail}{_place(folder)}"
            chips[key] = (name, read, period_s, resolution)
    if len(chips) == 1:
        ((name, read, period_s, resolution),) = chips.values()
        yield PowerMeter(f"hwmon:{name}", read, period_s, resolution)
    elif chips:
        rails = {rail: read for rail, (_, read, _, _) in chips.items()}
        names = "+".join(dict.fromkeys(name for name, _, _, _ in chips.values()))
        period_s = max(period for _, _, period, _ in chips.values())
        (_, _, _, resolution), *_ = chips.values()
        yield rail_meter(names, rails, period_s, resolution, LARGEST_W)
    yield from _acpi_meters(root)


def _ina_power(folder: str, name: str) -> Any:
    """(function that reads watts, resolution) of a chip, or why there is none."""
    shown = number_reader(folder, "power1_input", 1e-6)
    # in0 is the shunt where in1 is the bus (INA2xx); one-voltage chips have in1 only.
    product = product_reader(folder, "in1_input", "curr1_input", 1e-6)
    watts, expected = shown(), product()
    if watts is not None and expected is not None and abs(expected) >= COMPARED_FROM_W:
        ratio = watts / expected
        if not 1 / AGREES_WITHIN <= abs(ratio) <= AGREES_WITHIN:
            return AbsentSensor(
                f"hwmon:{name}",
                f"hwmon {name}: power1_input says {watts:.4g} W, in1 times curr1 {expected:.4g} W: "
                "a unit or the shunt resistance is wrong",
            )
    if watts is not None:
        return shown, "as the driver reports: power1_input in uW"
    if expected is not None:
        return product, "1 mV times 1 mA"
    return AbsentSensor(
        f"hwmon:{name}", f"hwmon {name}: shows neither power1_input nor in1_input and curr1_input"
    )


def _place(folder: str) -> str:
    """Where a chip sits, such as ``1-0040`` on an I2C bus."""
    device = os.path.realpath(os.path.join(folder, "device"))
    known = os.path.basename(device)
    return known if known != "device" else os.path.basename(folder)


def _acpi_meters(root: str) -> Iterator[Any]:
    for folder in sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*"))):
        if read_text(folder, "name") != "power_meter":
            continue
        read = number_reader(folder, "power1_average", 1e-6)
        if read() is None:
            yield AbsentSensor("hwmon:power_meter", "hwmon power_meter: not readable; run as root")
            continue
        period_s = max((read_number(folder, "power1_average_interval") or 1000.0) * 1e-3, 0.05)
        yield PowerMeter(
            "hwmon:power_meter",
            read,
            period_s,
            "as the firmware averages: power1_average in uW",
            "machine",
        )


# ============================================================================== sensors/soc/pmic.py
# The power-management chip of a Raspberry Pi 5 (Renesas DA9091): ``vcgencmd pmic_read_adc``.
#
# Physics: its converter shows current and voltage of the twelve rails that it makes (cores,
# memory, I/O, radio, HDMI); power is the sum of their products. The 5 V input shows a voltage but
# no current, so what the chip itself loses and what runs from 5 V directly (USB devices, fans,
# hats) is not in it: a meter in the supply shows more. Each reading starts a program, 10 to 20 ms
# of one core, so it is taken five times a second only.
#
# Domain of validity: windows of a second or longer; the board's chips, not its peripherals. Some
# firmware shows zeros: no energy. Users need the group ``video``.


#: Seconds between readings, and the most that the supply of a Pi 5 gives (5 V, 5 A).
PMIC_PERIOD_S = 0.2
PMIC_LIMIT_W = 25.0
_ADC_LINE = re.compile(r"^\s*(\w+)_([AV])\s+(?:current|volt)\(\d+\)=(-?\d+(?:\.\d+)?)[AV]\s*$")


def pmic_rails(text: str) -> dict[str, float]:
    """Watts by rail, of the rails that show both current and voltage."""
    found: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for line in text.splitlines():
        match = _ADC_LINE.match(line)
        if match is not None:
            found[match.group(2)][match.group(1)] = float(match.group(3))
    return {
        name: amperes * found["V"][name]
        for name, amperes in found["A"].items()
        if name in found["V"]
    }


def pmic_sensors(root: str = "/") -> Iterator[Any]:
    """The sensor of a Raspberry Pi 5; nothing on any other machine."""
    text = firmware("pmic_read_adc", root)
    if text is None:
        if "Raspberry Pi 5" in (read_text(root, "proc/device-tree/model") or ""):
            yield AbsentSensor(
                "pmic", "pmic: vcgencmd pmic_read_adc does not answer: join the group video"
            )
        return
    rails = pmic_rails(text)
    if not rails:  # older boards: the firmware answers, without rails
        return
    if not sum(rails.values()) > 0:
        yield AbsentSensor("pmic", "pmic: the firmware shows 0 A on all rails: update it")
        return

    def read() -> dict[str, float] | None:
        return pmic_rails(firmware("pmic_read_adc", root) or "") or None

    yield RailMeter(
        "pmic",
        read,
        list(rails),
        PMIC_PERIOD_S,
        "about 1 mA times 1 mV; without the 5 V peripherals",
        "board",
        PMIC_LIMIT_W,
    )


# ========================================================================================== find.py
# The sensors of this device, the one to be believed first.


def find_sensors(root: str = "/", provider: str = "cpu") -> tuple[list[Any], list[str]]:
    """Usable sensors, the one to be believed first, and why others are not usable.

    What measures the whole board comes before what measures a part of it; with ``cuda`` the
    graphics processor comes first.
    """
    sources = [hwmon_sensors(root), pmic_sensors(root), supply_sensors(root), rapl_sensors(root)]
    if provider == "cuda":
        sources.insert(0, nvml_sensors())
    return sort_out([sensor for source in sources for sensor in source])


def sort_out(sensors: list[Any]) -> tuple[list[Any], list[str]]:
    """Those that can be read, and why the others cannot."""
    reasons = [availability(sensor) for sensor in sensors]
    usable = [sensor for sensor, reason in zip(sensors, reasons) if not reason]
    return usable, [reason for reason in reasons if reason]


def added_sensors(places: list[str]) -> list[Any]:
    """Sensors of other packages, each named as ``module:attribute``; see ``Sensor``.

    Raises ``Refused`` for a place that gives no sensor.
    """
    found: list[Any] = []
    for place in places:
        module, _, attribute = place.partition(":")
        try:
            factory = importlib.import_module(module)
            for word in attribute.split("."):
                factory = getattr(factory, word)
            made = sensors_of(factory())  # type: ignore[operator]  # a class or function
        except Exception as error:  # whatever somebody's package raises
            raise Refused(f"sensor {place}: {type(error).__name__}: {error}", 1) from None
        for sensor in made:
            lacking = [word for word in _MEMBERS if not hasattr(sensor, word)]
            if lacking:
                raise Refused(f"sensor {place}: lacks {', '.join(lacking)}", 1)
        found += made
    return found


#: What every sensor has, see ``Sensor``.
_MEMBERS = (
    "name",
    "kind",
    "scope",
    "period_s",
    "resolution",
    "limit_w",
    "problem",
    "parts_mj",
    "available",
    "start",
    "stop",
)


# ======================================================================================== folder.py
# The folder for files of the moment beside a result file, and what deaths left behind.


def remove_leftovers(path: str) -> None:
    """Remove what a run that was killed left beside its result file; only while it is locked."""
    folder, name = os.path.split(os.path.abspath(os.path.realpath(path)))
    pattern = re.compile(rf"\.{re.escape(name[:100])}\.[a-z0-9_]{{8}}\.(?:new|work)$")
    for entry in os.listdir(folder):
        place = os.path.join(folder, entry)
        if pattern.match(entry) and not os.path.islink(place):
            if os.path.isdir(place):
                shutil.rmtree(place, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(place)


@contextlib.contextmanager
def work_folder(path: str) -> Iterator[str]:
    """A new folder beside a result file, gone afterwards: models and weights of the moment."""
    folder, name = os.path.split(os.path.abspath(os.path.realpath(path)))
    place = tempfile.mkdtemp(prefix=f".{name[:100]}.", suffix=".work", dir=folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


# ======================================================================================= journal.py
# The result file: a header, then a line a network, each on disk before the next begins.
#
# It is log, cache and resume point. A file of something else is recognised before anything in it
# changes. One run at a time writes it (a lock); a last line that a death cut off is removed.


SCHEMA = "flash.measurements/1"
#: Largest result file, in bytes: 60 networks in 100 passes, with their kernels, take 20 MB. In
#: memory its records take up to 20 times as much.
LARGEST_JOURNAL = 64 << 20
#: How temporary files end.
_NEW = ".new"
#: What has to agree for measurements to stand in one file.
SAME = ("schema", "suite", "threads", "precision", "batch", "runtime", "device")


def as_line(value: dict[str, Any]) -> bytes:
    """A line of a result file, with its end."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


class Journal:
    """A result file that is open for writing, with its ``records``."""

    def __init__(self, path: str, header: dict[str, Any] | None, resume: bool = True) -> None:
        """Open a result file; without a ``header`` it must be there, whatever its settings."""
        self.path = path
        if header is None:
            open_file(path).close()
        self._stream = self._opened()
        self.records: list[dict[str, Any]] = []
        try:
            self._begin(header, resume)
        except BaseException:
            self.close()
            raise

    def _begin(self, header: dict[str, Any] | None, resume: bool) -> None:
        lines, length = self._complete_lines(_is_any_record if header is None else _is_record)
        nothing = all("error" in line for line in lines[1:])
        if not resume or (nothing and header is not None and not _is_same(lines[:1], header)):
            lines, length = [], 0  # refusals under other settings are nothing to keep
        if header is not None and lines:
            self._check(lines[0], header)
        elif header is None and (not lines or lines[0].get("schema") != SCHEMA):
            raise Refused(f"{self.path}: no measurements of schema {SCHEMA}", 4)
        self._remove_leftovers()
        self._stream.truncate(length)
        if header is not None and not lines:
            self._write(header)
        self.records = lines[1:]

    def _opened(self) -> BinaryIO:
        try:
            if os.path.exists(self.path) and not stat.S_ISREG(os.stat(self.path).st_mode):
                raise Refused(f"{self.path}: is no regular file: name another with --out")
            stream = open(self.path, "a+b")
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise Refused(f"cannot write {self.path}: {what}", 1) from None
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(stream.fileno()), os.stat(self.path)):
                raise OSError("written anew between opening and locking")
        except OSError:
            stream.close()
            raise Refused(f"{self.path}: another run is writing it") from None
        return stream

    def _complete_lines(self, is_record: Callable[[Any], bool]) -> tuple[list[dict[str, Any]], int]:
        """The lines in the file, and how many bytes they take: a last one may be cut off."""
        if os.fstat(self._stream.fileno()).st_size > LARGEST_JOURNAL:
            raise Refused(f"{self.path}: has more than {LARGEST_JOURNAL >> 20} MiB", 4)
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        if whole == 0 and not b'{"schema":"flash.measurements/'.startswith(content[:30]):
            raise self._damaged(1)
        lines = []
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            try:
                value = json.loads(line.decode("utf-8"))
                as_line(value)  # what cannot be written again (an infinity) is damage
            except (ValueError, RecursionError):
                value = None
            if not (_is_header(value) if number == 1 else is_record(value)):
                raise self._damaged(number)
            lines.append(value)
        return lines, whole

    def _damaged(self, number: int) -> Refused:
        return Refused(
            f"{self.path}, line {number}: damaged, or no measurements; name another file "
            "with --out",
            4,
        )

    def _check(self, found: dict[str, Any], header: dict[str, Any]) -> None:
        for name in SAME:
            if found.get(name) != header[name]:
                raise Refused(
                    f"{self.path} has measurements with {name} {short(found.get(name))}; now it "
                    f"is {short(header[name])}: name another file with --out, or write over it "
                    "with --no-resume"
                )

    def close(self) -> None:
        """Give the file and its lock back."""
        self._stream.close()

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; it is on disk when this returns."""
        self._write(record)
        self.records.append(record)

    def _write(self, value: dict[str, Any]) -> None:
        self._stream.write(as_line(value))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _place(self) -> tuple[str, str, str]:
        """Folder and name of the file, and how the names of its temporary files begin."""
        folder, name = os.path.split(os.path.abspath(os.path.realpath(self.path)))
        return folder, name, f".{name[:100]}."

    def _remove_leftovers(self) -> None:
        """What runs that died while they wrote the file anew left beside it."""
        folder, _, prefix = self._place()
        is_ours = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}" + re.escape(_NEW)).fullmatch
        for name in filter(is_ours, os.listdir(folder)):
            try:
                handle = os.open(os.path.join(folder, name), os.O_RDWR | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its run lives
                os.unlink(os.path.join(folder, name))
            except OSError:
                pass
            finally:
                os.close(handle)

    def replace(self, records: Sequence[dict[str, Any]]) -> None:
        """Write the file anew with these records, all or nothing; the lock stays."""
        self._stream.seek(0)
        head = self._stream.readline()
        folder, name, prefix = self._place()
        handle, partial = tempfile.mkstemp(prefix=prefix, suffix=_NEW, dir=folder)
        try:
            with os.fdopen(handle, "w+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stream.write(head + b"".join(map(as_line, records)))
                stream.flush()
                os.fchmod(stream.fileno(), stat.S_IMODE(os.fstat(self._stream.fileno()).st_mode))
                os.fsync(stream.fileno())
            renewed = open(partial, "a+b")
            fcntl.flock(renewed, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.replace(partial, os.path.join(folder, name))
        except BaseException:
            os.unlink(partial)
            raise
        self._stream.close()
        self._stream, self.records = renewed, list(records)


def _is_same(found: Sequence[dict[str, Any]], header: dict[str, Any]) -> bool:
    return all(line.get(name) == header[name] for line in found for name in SAME)


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("schema", "")).startswith(
        "flash.measurements/"
    )


def _is_record(value: Any) -> bool:
    """Whether a line has what measuring further passes relies on, be it measured or refused."""
    if not _is_any_record(value):
        return False
    if "error" in value:
        return True
    latency, kernels = value.get("latency_ms"), value.get("kernels")
    medians = value.get("medians", [1.0])
    return (
        isinstance(latency, dict)
        and _is_positive(latency.get("median"))
        and isinstance(medians, list)
        and all(map(_is_positive, medians))
        and _is_positive(value.get("passes", 1))
        and (kernels is None or (isinstance(kernels, list) and all(map(_is_kernel, kernels))))
    )


def _is_any_record(value: Any) -> bool:
    """Whether a line has what the merging of a meter's readings relies on."""
    if not isinstance(value, dict) or not isinstance(value.get("network"), dict):
        return False
    window, energy = value.get("window"), value.get("energy_mj")
    problems, error = value.get("energy_problems"), value.get("error", "")
    clock, groups = value.get("clock_mhz"), value.get("core_groups")
    stopped = value.get("quota_stopped_s")
    return (
        (clock is None or (isinstance(clock, dict) and _are_positive(clock, "low", "high")))
        and (groups is None or isinstance(groups, list))
        and (stopped is None or stopped == 0 or _is_positive(stopped))
        and (window is None or _is_window(window))
        and (energy is None or isinstance(energy, (dict, int, float)))
        and (problems is None or isinstance(problems, dict))
        and isinstance(error, str)
    )


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < 1e300 and math.isfinite(value)


def _is_kernel(value: Any) -> bool:
    ms = value.get("ms") if isinstance(value, dict) else None
    return ms == 0 or _is_positive(ms)


def _is_window(value: Any) -> bool:
    if not isinstance(value, dict) or not _are_positive(value, "start", "seconds", "runs"):
        return False
    return _is_positive(value.get("pause_s", 1.0))


def _are_positive(value: dict[str, Any], *keys: str) -> bool:
    return all(_is_positive(value.get(key)) for key in keys)


# ======================================================================================= machine.py
# What the device is, as far as its system files tell: for the header of a result file.


def device_info(root: str = "/") -> dict[str, Any]:
    """Model, processor, usable cores, architecture, vector width in bits, memory in 10^6 bytes."""
    cpuinfo = read_text(root, "proc/cpuinfo") or ""
    names = re.findall(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    model = read_text(root, "proc/device-tree/model")
    vendor = (read_text(root, "sys/class/dmi/id", n) for n in ("sys_vendor", "product_name"))
    memory = re.search(r"MemTotal:\s*(\d{1,15}) kB", read_text(root, "proc/meminfo") or "")
    return {
        "model": model or " ".join(word for word in vendor if word) or platform.machine(),
        "cpu": _cpu_name(cpuinfo) or (names[0].strip() if names else platform.processor()),
        "cores": usable_cores(root),
        "arch": platform.machine(),
        "simd_bits": simd_width(cpuinfo),
        "ram_mb": round(int(memory.group(1)) * 1024e-6) if memory else None,
    }


def simd_width(cpuinfo: str) -> int | None:
    """Bits of the widest vector instructions (x86 and 64-bit ARM), if the system tells."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = found.group(1).split() if found else []
    for name, bits in (("avx512f", 512), ("avx", 256), ("sse2", 128), ("asimd", 128)):
        if name in flags:
            return bits
    return None


#: Implementer and part of ARM cores (MIDR_EL1) that boards of our users have.
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd42": "Cortex-A78AE",
    "0xd41": "Cortex-A78",
    "0xd40": "Neoverse-V1",
}


def _cpu_name(cpuinfo: str) -> str:
    parts = re.findall(r"^CPU part\s*:\s*(0x\w+)$", cpuinfo, re.MULTILINE)
    return " + ".join(dict.fromkeys(_ARM_PARTS.get(p.lower(), p) for p in parts))


def governor(root: str = "/") -> str | None:
    """How the clock is chosen, such as ``performance``."""
    return read_text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None


def system_name() -> str:
    """Distribution and kernel."""
    text = read_text("/etc/os-release") or ""
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return f"{match.group(1) if match else platform.system()}, Linux {platform.release()}"


# =================================================================================== meter_clock.py
# How far an external meter's clock is off, found from the windows' edges.
#
# Before and after each window nothing runs, so the power rises at its begin and falls at its end.
# For an offset, each window with its flanks is split into inside and outside; what the two means
# explain of the power's variation, less what they leave, is the offset's score (the difference of
# the between-class and within-class sums of squares, as in Otsu's threshold). Windows whose
# power is lower inside than outside count negatively.
#
# Domain of validity: offsets up to ten minutes, three windows or more. Windows at equal distances
# look alike when shifted by that distance: the nearest offset is taken if it is clearly nearer,
# else none is. A lag of the meter, half its period on average, is part of the offset.


#: Largest offset that is looked for, in seconds; a meter that is further off has no clock.
LARGEST_OFFSET_S = 600.0
#: Fewest windows that tell.
FEWEST_WINDOWS = 3
#: Power that changes by less than this share at the edges tells nothing, and costs no more.
FLAT = 0.05
#: Share of the variation around the windows that the right offset explains at least.
EXPLAINED = 0.6
#: Offsets whose scores are this close to the best are as good as the best.
AS_GOOD = 0.9
#: An offset is clearly nearer than another at half its size.
NEARER = 0.5
#: Length of the flanks where the file does not tell how long the pauses were, in seconds.
FLANK_S = 1.0
#: Half a coarse step beside the top, the score is still more than this share of it.
COARSE = 0.5
#: Most steps of the coarse search.
MOST_STEPS = 6000


class Offset(NamedTuple):
    """A meter's clock less this device's.

    checked: whether the readings rise and fall with the windows at this offset.
    windows: how many windows tell so.
    """

    seconds: float
    checked: bool
    windows: int


class _Integral:
    """Integrals over time of a meter's power and of its square, each reading held to the next."""

    def __init__(self, samples: Sequence[tuple[float, float]]) -> None:
        self.times = [moment for moment, _ in samples]
        self.watts = [watts for _, watts in samples]
        self.first, self.second = [0.0], [0.0]
        for number, watts in enumerate(self.watts[:-1]):
            length = self.times[number + 1] - self.times[number]
            self.first.append(self.first[-1] + watts * length)
            self.second.append(self.second[-1] + watts * watts * length)

    def to(self, moment: float) -> tuple[float, float]:
        """Both integrals from the first reading to ``moment``."""
        number = min(max(bisect_right(self.times, moment) - 1, 0), len(self.times) - 1)
        beyond, watts = moment - self.times[number], self.watts[number]
        return self.first[number] + watts * beyond, self.second[number] + watts * watts * beyond

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """Both integrals over a stretch of time."""
        (a, b), (c, d) = self.to(begin), self.to(end)
        return c - a, d - b


class _Score(NamedTuple):
    """How well an offset explains the power around the windows.

    score: between less within, in W^2 s; total: their sum. windows: how many have readings.
    rise: how much higher the power is inside than outside, as a share.
    varies: standard deviation of the power around the windows, as a share of that inside.
    """

    score: float
    total: float
    windows: int
    rise: float
    varies: float

    @property
    def explained(self) -> float:
        """Share of the variation that lies between inside and outside, from 0 to 1."""
        return (1.0 + self.score / self.total) / 2.0 if self.total > 0 else 0.0


def find_offset(
    windows: Sequence[dict[str, Any]], samples: Sequence[tuple[float, float]]
) -> Offset:
    """The offset of a meter's clock; raises ``Refused`` where there is one that nobody can tell.

    ``checked`` is false where too few windows or a steady power tell nothing of the clock.
    """
    usable = [w for w in windows if w["seconds"] > 0]
    if len(usable) < FEWEST_WINDOWS or len(samples) < 2 * len(usable):
        return Offset(0.0, False, 0)
    integral = _Integral(samples)
    shortest = min(w["seconds"] for w in usable)
    step = max(2 * LARGEST_OFFSET_S / MOST_STEPS, 0.1 * shortest)
    count = int(LARGEST_OFFSET_S / step)
    coarse = [(k * step, _scored(k * step, usable, integral)) for k in range(-count, count + 1)]
    best = max(score.score for _, score in coarse)
    if best <= 0:
        return _unexplained(usable, integral)
    peaks = _peaks(coarse, AS_GOOD * best, shortest)
    for finer in (0.1 * step, 0.01 * step):
        peaks = [_refined(peak, 10 * finer, finer, usable, integral) for peak in peaks]
    most = max((score.windows for _, score in peaks), default=0)
    if most < FEWEST_WINDOWS:
        return _unexplained(usable, integral)
    top = max(score.score for _, score in peaks if score.windows == most)
    found = [p for p in peaks if p[1].windows == most and p[1].score >= AS_GOOD * top]
    found.sort(key=lambda pair: abs(pair[0]))
    offset, score = found[0]
    if score.rise < FLAT:
        return Offset(0.0, False, 0)
    if score.explained < EXPLAINED:
        return _unexplained(usable, integral)
    if len(found) > 1 and abs(offset) > NEARER * abs(found[1][0]):
        raise Refused(
            f"the meter's clock may be off by {offset:.1f} s or by {found[1][0]:.1f} s: set both "
            "clocks, or say --meter-offset",
            4,
        )
    return Offset(offset, True, score.windows)


def _scored(offset: float, windows: Sequence[dict[str, Any]], integral: _Integral) -> _Score:
    """How well the windows, shifted by ``offset``, explain the power around them."""
    score = total = inside_sum = outside_sum = length_s = 0.0
    covered = 0
    for window in windows:
        flank = window.get("pause_s") or FLANK_S
        begin = window["start"] + offset
        end = begin + window["seconds"]
        if begin < integral.times[0] or end > integral.times[-1]:
            continue
        left = max(begin - flank, integral.times[0])
        inside, _ = integral.between(begin, end)
        whole, squares = integral.between(left, end + flank)
        outside_s = begin - left + flank
        inside_s = end - begin
        inside_w, outside_w = inside / inside_s, (whole - inside) / outside_s
        mean = whole / (inside_s + outside_s)
        spread = max(squares - mean * whole, 0.0)
        between = inside_s * (inside_w - mean) ** 2 + outside_s * (outside_w - mean) ** 2
        sign = 1.0 if inside_w > outside_w else -1.0
        score += sign * between - (spread - between)
        total += spread
        length_s += inside_s + outside_s
        covered += 1
        inside_sum, outside_sum = inside_sum + inside_w, outside_sum + outside_w
    rise = (inside_sum - outside_sum) / inside_sum if inside_sum > 0 else 0.0
    varies = math.sqrt(total / length_s) * covered / inside_sum if inside_sum > 0 else 0.0
    return _Score(score, total, covered, rise, varies)


def _peaks(
    scores: Sequence[tuple[float, _Score]], least: float, apart: float
) -> list[tuple[float, _Score]]:
    """The best of each group of neighbouring offsets that score at least ``least``."""
    peaks: list[tuple[float, _Score]] = []
    for offset, score in scores:
        if score.score < COARSE * least:
            continue
        if peaks and offset - peaks[-1][0] < apart:
            if score.score > peaks[-1][1].score:
                peaks[-1] = (offset, score)
        else:
            peaks.append((offset, score))
    return peaks


def _refined(
    peak: tuple[float, _Score],
    width_s: float,
    step_s: float,
    windows: Sequence[dict[str, Any]],
    integral: _Integral,
) -> tuple[float, _Score]:
    """The best offset near a peak; of several equal ones the middle."""
    count = int(width_s / step_s) + 1
    near = [
        (offset, _scored(offset, windows, integral))
        for offset in (peak[0] + k * step_s for k in range(-count, count + 1))
    ]
    near.append(peak)
    near.sort(key=lambda pair: pair[0])
    top = max(score.score for _, score in near)
    equal = [pair for pair in near if pair[1].score >= top - 1e-9 * abs(top)]
    return equal[len(equal) // 2]


def _unexplained(windows: Sequence[dict[str, Any]], integral: _Integral) -> Offset:
    """No offset explains the readings: refused where that shows, else the clock is unchecked."""
    now = _scored(0.0, windows, integral)
    paused = all(window.get("pause_s") for window in windows)
    against = now.rise < -FLAT or (paused and now.explained < EXPLAINED)
    if now.windows >= FEWEST_WINDOWS and against and now.varies > FLAT:
        raise Refused(
            "the meter's readings do not rise and fall with the networks at any offset: set both "
            "clocks, or say --meter-offset",
            4,
        )
    return Offset(0.0, False, 0)


# ========================================================================================= meter.py
# An external meter's CSV: the energy it saw in each network's window.
#
# Columns ``time`` (or ``timestamp``; unix seconds or ISO 8601) and ``power_w`` (or ``power_mw``).
# A reading holds until the next one, so means are weighted by time: a meter that logs more often
# when the power changes counts rightly. The first and last tenth of a window are left out,
# because meters lag. A window in which no reading came for more than half of it has no energy.


#: Largest file, in bytes, and most readings: 200 a second for five hours. A reading takes about
#: 200 bytes of memory.
LARGEST_METER = 256 << 20
MOST_READINGS = 4_000_000
#: What is left out at each end of a window, as a share of it.
METER_MARGIN = 0.1
#: Offset of a meter's zero, as a share of its largest reading: below zero by more, its wires
#: are the other way round.
METER_ZERO = 0.01

Samples = Sequence["tuple[float, float]"]


class Merged(NamedTuple):
    """What came of a meter's readings: networks that got an energy, and why others did not."""

    networks: int
    offset: Offset
    problems: list[str]


def read_meter(path: str) -> list[tuple[float, float]]:
    """(unix seconds, watts) in order of time; raises ``Refused``, with the line, for a bad one."""
    samples: list[tuple[float, float]] = []
    number = 1
    with open_file(path, LARGEST_METER) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=""))
        try:
            names = [name.strip().lower() for name in next(rows, [])]
            clock, power, factor = _columns(path, names)
            number = 2
            for cells in rows:
                number = rows.line_num
                if cells:
                    samples.append(_sample(cells, clock, power, factor))
                number += 1
                if len(samples) > MOST_READINGS:
                    raise ValueError(f"more than {MOST_READINGS} readings: cut the file")
        except (csv.Error, ValueError) as error:
            raise Refused(f"{path}, line {number}: {error}", 4) from None
    largest = max((abs(watts) for _, watts in samples), default=0.0)
    for at, (_, watts) in enumerate(samples, start=2):
        if watts < -METER_ZERO * largest:
            raise Refused(
                f"{path}, line {at}: {watts:g} W is below zero: the meter is wired the other way "
                "round",
                4,
            )
    return sorted(samples)


def _columns(path: str, names: list[str]) -> tuple[int, int, float]:
    for power, factor in (("power_w", 1.0), ("power_mw", 1e-3)):
        for clock in ("time", "timestamp"):
            if power in names and clock in names:
                return names.index(clock), names.index(power), factor
    got = short(", ".join(names))[1:-1]
    raise Refused(f"{path}: expected columns time and power_w, got {got}", 4)


def _sample(cells: list[str], clock: int, power: int, factor: float) -> tuple[float, float]:
    """The reading in a line; raises ``ValueError`` with what is wrong."""
    if len(cells) <= max(clock, power):
        raise ValueError("expected a time and a number")
    try:
        moment, watts = _unix(cells[clock]), float(cells[power]) * factor
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a time and a number") from None
    if not math.isfinite(moment) or not math.isfinite(watts):
        raise ValueError(
            f"expected a time and a number, got {short(cells[clock])}, {short(cells[power])}: the "
            "meter dropped out; delete the line"
        )
    return moment, watts


def _unix(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return moment.timestamp()  # local time where the text names no zone


def merge_meter(
    records: list[dict[str, Any]], samples: Samples, offset_s: float | None = None
) -> Merged:
    """Give records the energy that the meter saw in their windows.

    offset_s: the meter's clock less this device's; None finds it from the windows' edges.

    Raises ``Refused`` where the readings rise and fall at other times than the windows and no
    one offset explains that.
    """
    held = [r for r in records if r.get("window") and not r["window"].get("clock_was_set")]
    if offset_s is None:
        offset = find_offset([r["window"] for r in held], samples)
    else:
        offset = Offset(offset_s, True, 0)
    times = [moment for moment, _ in samples]
    problems: list[str] = []
    merged = 0
    for record in held:
        problem = _merge_one(record, samples, times, offset)
        if problem:
            problems.append(problem)
        else:
            merged += 1
    return Merged(merged, offset, problems)


def _merge_one(
    record: dict[str, Any], samples: Samples, times: Sequence[float], offset: Offset
) -> str:
    """Give one record its energy; returns why it got none."""
    window, name = record["window"], short(record.get("network"))
    margin = METER_MARGIN * window["seconds"]
    start = window["start"] + offset.seconds
    begin, end = start + margin, start + window["seconds"] - margin
    first, last = bisect_left(times, begin), bisect_right(times, end)
    if first == last:
        return f"{name}: no reading in its window"
    at, gap = longest_gap(times[max(first - 1, 0) : last + 1], begin, end)
    if gap > LONGEST_GAP * (end - begin):
        return f"{name}: no reading for {gap:.3g} s from {at:.3f} on"
    power = mean_power(samples[max(first - 1, 0) : last], begin, end)
    if not power > 0:
        return f"{name}: {power:.3g} W while it ran"
    energy: dict[str, Any] = {
        "mean": rounded(1e3 * power * window["seconds"] / window["runs"]),
        "runs": window["runs"],
        "samples": last - first,
        "sensor": "external meter",
    }
    if offset.seconds:
        energy["clock_offset_s"] = round(offset.seconds, 3)
    others = _others(record.get("energy_mj"))
    if others:
        energy["others"] = others
    record["energy_mj"], record["power_w"] = energy, rounded(power)
    return ""


def _others(before: Any) -> dict[str, Any]:
    """What other sensors said of a network before a meter did, by their names."""
    if not isinstance(before, dict):
        return {}
    known = before.get("others")
    others = dict(known) if isinstance(known, dict) else {}
    if "mean" in before and before.get("sensor") != "external meter":
        others[str(before.get("sensor"))] = before["mean"]
    return others


def merge(journal: Journal, meter: str, offset_s: float | None = None) -> Merged:
    """Write the meter's energies into a result file."""
    samples = read_meter(meter)
    records = [dict(record) for record in journal.records]
    merged = merge_meter(records, samples, offset_s)
    if not merged.networks:
        raise Refused(
            f"{meter} has no reading in any network's time: {_spans(records, samples)}", 4
        )
    journal.replace(records)
    return merged


def _spans(records: Sequence[dict[str, Any]], samples: Samples) -> str:
    """From when to when the meter read and the networks ran."""
    windows = [record["window"] for record in records if record.get("window")]
    if not windows:
        return "measure with --hold"
    starts = [window["start"] for window in windows]
    if not samples:
        return "it has no reading at all"
    return (
        f"it read from {samples[0][0]:.0f} to {samples[-1][0]:.0f}, networks ran from "
        f"{min(starts):.0f} to {max(starts):.0f}: set both clocks, or say --meter-offset"
    )


# ======================================================================================= options.py
# The command line of the measuring program.


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


# ====================================================================================== progress.py
# What is told while measuring, on standard error, and the summary at the end.


class Progress:
    """A line a network on standard error, with the time left."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet

    def tell(self, message: str) -> None:
        """One line."""
        if self._quiet or sys.stderr is None:
            return
        line = "".join(c if c.isprintable() else " " for c in message)
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # whoever watched is gone: the connection was cut
            raise KeyboardInterrupt from None

    def done(self, number: int, task: Task, record: dict[str, Any], left_s: float) -> None:
        """A network is done."""
        if "error" in record:
            what = f"refused: {record['error'][:80]}"
        else:
            latency = record["latency_ms"]
            what = f"{latency['median']:>9.4g} ms  {latency['runs']:>5} runs"
        left = f"{int(left_s) // 60}:{int(left_s) % 60:02d} left"
        self.tell(f"[{number:>3}/{self._total}] {what}  {left}  {task.text[:100]}")


def clock_moved(record: dict[str, Any]) -> bool:
    """Whether the clock changed while a network was measured."""
    clock = record.get("clock_mhz")
    return isinstance(clock, dict) and clock["high"] > CLOCK_MOVED * clock["low"]


def summary(
    path: str,
    records: Sequence[dict[str, Any]],
    left_out: Sequence[str],
    inference_s: float,
    total_s: float,
) -> str:
    """What was measured, in one or more lines."""
    refused = [r for r in records if "error" in r]
    measured = {network_key(r["network"]) for r in records if "error" not in r}
    lines = [f"written: {path}: {len(measured)} networks measured"]
    if refused:
        lines[0] += f", {len(refused)} refused (each says why in its line)"
    if left_out:
        lines[0] += f", {len(left_out)} left out for the budget (run again to go on)"
    if inference_s:
        lines.append(
            f"time: {total_s:.1f} s, of which {100 * (1 - inference_s / total_s):.1f} % not "
            "inference"
        )
    warnings = (
        ("the clock was throttled", "cool the device", lambda r: r.get("throttled")),
        ("the clock changed by more than 10 %", "set the governor to performance", clock_moved),
        (
            "the container's CPU quota stopped the process",
            "raise it, or use fewer threads",
            lambda r: (r.get("quota_stopped_s") or 0.0) > 0.0,
        ),
        (
            "threads ran on unlike cores",
            "pin them with taskset",
            lambda r: len(r.get("core_groups") or ()) > 1,
        ),
    )
    for what, mend, holds in warnings:
        count = sum(1 for record in records if holds(record))
        if count:
            lines.append(f"warning: {what} in {count} of them: {mend}")
    lines += _energy_problems(records)
    return "\n".join(lines) + "\n"


def _energy_problems(records: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each sensor without energy, with the first reason."""
    found: dict[str, list[str]] = {}
    for record in records:
        for sensor, problem in (record.get("energy_problems") or {}).items():
            found.setdefault(sensor, []).append(str(problem))
    return [
        f"warning: {sensor}: no energy of {len(problems)} of them: {problems[0]}"
        for sensor, problems in found.items()
    ]


# =================================================================================== sensors/i2c.py
# An INA219 or INA226 on an I2C bus without the kernel's driver, such as one on a breadboard.
#
# Physics (Texas Instruments SBOS448G, SBOS547A): the chip measures the drop over a shunt resistor
# in the supply and the supply's voltage; power is their product over the resistance. INA219:
# shunt 10 uV, bus 4 mV a step; INA226: 2.5 uV and 1.25 mV. They are told apart by the
# manufacturer's register of the INA226.
#
# Domain of validity: a drop within the range (320 mV, 82 mV); at its end the chip shows the end,
# so the window has no energy. A chip whose converter is switched off shows old values: refused.


#: Seconds between samples: a conversion of both values takes about 1 ms.
I2C_PERIOD_S = 0.005
#: The manufacturer's register of the newer chips, and what their other register says they are.
_TEXAS_INSTRUMENTS = 0x5449
_OTHER_CHIPS = {0x3220: "INA3221", 0x2270: "INA260"}
#: The end of the range: 320 mV in steps of 10 uV (INA219), all bits (INA226).
_LARGEST_DROP = {False: 32_000, True: 32_767}
#: Highest supply voltage of either chip.
_LARGEST_V = 36.0


def i2c_sensor(place: str, shunt_ohm: float, bus: Any = None) -> PowerMeter:
    """The sensor at ``place``, as ``1:0x40``; needs smbus2 or smbus.

    Raises ``Refused`` where there is no such chip, or one that this cannot read.
    """
    match = re.match(r"([0-9]{1,3}):(0x[0-9a-fA-F]{1,2})$", place)
    if match is None:
        raise Refused(f"--i2c {place}: expected BUS:ADDRESS such as 1:0x40")
    if bus is None:
        bus = _smbus(int(match.group(1)), place)
    word = _word_reader(bus, int(match.group(2), 16))
    newer = _is_newer(word, place)

    def power_w() -> float | None:
        try:
            drop, supply = word(0x01), word(0x02)
        except OSError:
            return None
        drop -= 0x10000 if drop & 0x8000 else 0
        if abs(drop) >= _LARGEST_DROP[newer]:
            raise WindowInvalid("the drop over the shunt is out of range: use a smaller resistor")
        volts = supply * 1.25e-3 if newer else (supply >> 3) * 4e-3
        return volts * drop * (2.5e-6 if newer else 1e-5) / shunt_ohm

    step = "2.5 uV on the shunt, 1.25 mV" if newer else "10 uV on the shunt, 4 mV"
    largest_w = _LARGEST_V * (0.082 if newer else 0.32) / shunt_ohm
    name = f"i2c:{'ina226' if newer else 'ina219'}"
    return PowerMeter(name, power_w, I2C_PERIOD_S, step, "board", largest_w)


def _word_reader(bus: Any, address: int) -> Callable[[int], int]:
    def word(register: int) -> int:
        value = int(bus.read_word_data(address, register))
        return (value & 0xFF) << 8 | value >> 8  # the chip sends the high byte first

    return word


def _is_newer(word: Callable[[int], int], place: str) -> bool:
    """Whether the chip is an INA226; raises ``Refused`` for what is neither."""
    try:
        newer = word(0xFE) == _TEXAS_INSTRUMENTS
    except OSError:
        raise Refused(f"--i2c {place}: no chip answers there") from None
    try:
        other = _OTHER_CHIPS.get(word(0xFF) & 0xFFF0) if newer else None
        mode = word(0x00) & 0b111
    except OSError:
        return newer
    if other is not None:
        raise Refused(f"--i2c {place}: an {other} answers there: load the kernel's driver for it")
    if mode != 0b111:
        raise Refused(f"--i2c {place}: the chip is not set to measure shunt and bus continuously")
    return newer


def _smbus(number: int, place: str) -> Any:
    for name in ("smbus2", "smbus"):
        try:
            return __import__(name).SMBus(number)
        except ImportError:
            continue
        except OSError as error:
            raise Refused(f"--i2c {place}: cannot open the bus: {error.strerror}") from None
    raise Refused("--i2c needs the package smbus2: python3 -m pip install smbus2")


# ========================================================================================== main.py
# The measuring program: what it does from the command line to the result file.


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


if __name__ == "__main__":
    sys.exit(main())
