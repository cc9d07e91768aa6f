#!/usr/bin/env python3
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

Energy: from whatever counter or power sensor the device has (Intel RAPL, NVIDIA NVML, INA2xx
over hwmon or I2C, power_supply), or from an external meter's CSV. Those networks run once more
without a pause for ``--hold``, because sensors are slow; latencies are never taken there.

Runs on Python 3.8 or newer. This is one file on purpose: devices need not install flash.
"""

from __future__ import annotations

import signal
import time

STARTED = time.perf_counter()
if __name__ == "__main__":  # an interrupt while the rest is imported ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import csv
import ctypes
import datetime
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
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

SCHEMA = "flash.measurements/1"
SUITE_SCHEMA = "flash.suite/1"
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
#: Longest time for a network, in seconds, however large the budget.
LONGEST_S = 10.0
PROFILED_RUNS = 10

#: Imported when the arguments are known to be right, see ``import_runtime``.
numpy: Any = None
onnxruntime: Any = None


class Refused(Exception):
    """What the user can mend: one line, exit code 2 (arguments) or 4 (files)."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


# ================================================================================== sensors
# Roots are parameters so that tests can show a made-up /sys.


def read_text(*parts: str) -> Optional[str]:
    """The stripped content of a small system file; None where it cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\0 \n")
    except OSError:
        return None


def read_number(*parts: str) -> Optional[float]:
    """The number in a small system file; None where there is none."""
    text = read_text(*parts)
    try:
        return float(text) if text else None
    except ValueError:
        return None


class Counter:
    """A sensor that counts energy: two readings give the energy between them.

    ``read`` gives millijoules and wraps around after ``range_mj``.
    """

    kind = "counter"

    def __init__(
        self, name: str, read: Callable[[], Optional[float]], range_mj: float,
        period_s: float, resolution: str,
    ) -> None:  # fmt: skip
        self.name, self._read, self.range_mj = name, read, range_mj
        self.period_s, self.resolution = period_s, resolution
        self._start: Optional[float] = None

    def start(self) -> None:
        self._start = self._read()

    def stop(self, seconds: float) -> Tuple[Optional[float], int]:
        """Millijoules since ``start`` and the number of readings used."""
        end = self._read()
        if self._start is None or end is None:
            return None, 0
        energy = end - self._start
        return (energy if energy >= 0 else energy + self.range_mj), 2


class PowerMeter:
    """A sensor that shows power: sampled in a thread, the mean times the time is the energy.

    ``read`` gives watts.
    """

    kind = "power"

    def __init__(
        self, name: str, read: Callable[[], Optional[float]], period_s: float, resolution: str
    ) -> None:
        self.name, self._read = name, read
        self.period_s, self.resolution = period_s, resolution
        self._samples: List[float] = []
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        self._samples, self._stop = [], threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(self.period_s):
            watts = self._read()
            if watts is not None:
                self._samples.append(watts)

    def stop(self, seconds: float) -> Tuple[Optional[float], int]:
        """Millijoules since ``start`` and the number of samples they come from."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if not self._samples:
            return None, 0
        return 1e3 * seconds * sum(self._samples) / len(self._samples), len(self._samples)


def describe_sensor(sensor: Any) -> Dict[str, Any]:
    return {
        "name": sensor.name, "kind": sensor.kind, "period_s": sensor.period_s,
        "resolution": sensor.resolution,
    }  # fmt: skip


def rapl_sensors(root: str = "/") -> Iterator[Any]:
    """Intel and AMD packages (powercap): counters in microjoules, updated every millisecond.

    Since 2020 (CVE-2020-8694) only root may read them.
    """
    for zone in sorted(glob.glob(os.path.join(root, "sys/class/powercap/intel-rapl:*"))):
        if zone.count(":") - root.count(":") > 1:  # parts of a package
            continue
        name = read_text(zone, "name") or os.path.basename(zone)
        if read_number(zone, "energy_uj") is None:
            yield f"RAPL {name}: not readable; run as root, or: sudo chmod a+r {zone}/energy_uj"
            continue
        wrap = read_number(zone, "max_energy_range_uj") or 2.0**32
        yield Counter(
            f"rapl:{name}", _reader(zone, "energy_uj", 1e-3),
            wrap * 1e-3, 0.001, "1 uJ read, about 61 uJ counted",
        )  # fmt: skip


def hwmon_sensors(root: str = "/") -> Iterator[Any]:
    """INA219, INA226 and their like through the kernel's hwmon: microwatts, or mV times mA."""
    for folder in sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*"))):
        name = read_text(folder, "name") or ""
        if not name.startswith("ina"):
            continue
        period = max((read_number(folder, "update_interval") or 20.0) * 1e-3, 0.005)
        if read_number(folder, "power1_input") is not None:
            yield PowerMeter(
                f"hwmon:{name}", _reader(folder, "power1_input", 1e-6),
                period, "as the driver reports: power1_input in uW",
            )  # fmt: skip
        elif read_number(folder, "curr1_input") is not None:
            # in0 is the shunt where in1 is the bus (INA2xx); one-voltage chips have in1 only.
            yield PowerMeter(
                f"hwmon:{name}",
                _product_reader(folder, "in1_input", "curr1_input", 1e-6),
                period, "1 mV times 1 mA",
            )  # fmt: skip
        else:
            yield f"hwmon {name}: shows neither power1_input nor curr1_input"


def supply_sensors(root: str = "/") -> Iterator[Any]:
    """Batteries that are being discharged (power_supply): the whole device, about once a second."""
    for folder in sorted(glob.glob(os.path.join(root, "sys/class/power_supply/*"))):
        if read_text(folder, "type") != "Battery":
            continue
        name = os.path.basename(folder)
        if read_text(folder, "status") != "Discharging":
            yield f"power_supply {name}: not discharging; unplug the charger"
        elif read_number(folder, "power_now") is not None:
            yield PowerMeter(
                f"power_supply:{name}", _reader(folder, "power_now", 1e-6),
                0.5, "1 uW shown, updated about once a second",
            )  # fmt: skip
        elif read_number(folder, "current_now") is not None:
            yield PowerMeter(
                f"power_supply:{name}",
                _product_reader(folder, "voltage_now", "current_now", 1e-12),
                0.5, "1 uV times 1 uA shown, updated about once a second",
            )  # fmt: skip


def nvml_sensors(load: Callable[[str], Any] = ctypes.CDLL) -> Iterator[Any]:
    """The first NVIDIA GPU: energy counter in mJ (Volta and later), or power every 0.1 s."""
    try:
        nvml = load("libnvidia-ml.so.1")
    except OSError:
        return
    device = ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)):
        yield "NVML: the library is there but no device answers"
        return

    def energy_mj() -> Optional[float]:
        value = ctypes.c_ulonglong()
        failed = nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(value))
        return None if failed else float(value.value)

    def power_w() -> Optional[float]:
        value = ctypes.c_uint()
        failed = nvml.nvmlDeviceGetPowerUsage(device, ctypes.byref(value))
        return None if failed else value.value * 1e-3

    if energy_mj() is not None:
        yield Counter("nvml:gpu0", energy_mj, 2.0**64, 0.1, "1 mJ, updated about every 0.1 s")
    elif power_w() is not None:
        yield PowerMeter("nvml:gpu0", power_w, 0.1, "1 mW shown, within 5 %")
    else:
        yield "NVML: the GPU shows neither energy nor power"


def i2c_sensor(place: str, shunt_ohm: float, bus: Any = None) -> PowerMeter:
    """An INA219 or INA226 on an I2C bus, ``place`` as ``1:0x40``; needs smbus2 or smbus.

    INA219: shunt 10 uV, bus 4 mV a step; INA226: 2.5 uV and 1.25 mV (Texas Instruments
    SBOS448G, SBOS547A). Told apart by the manufacturer's register of the INA226.
    """
    match = re.match(r"(\d+):(0x[0-9a-fA-F]{1,2})$", place)
    if match is None:
        raise Refused(f"--i2c {place}: expected BUS:ADDRESS such as 1:0x40")
    if bus is None:
        bus = _smbus(int(match.group(1)), place)
    address = int(match.group(2), 16)

    def word(register: int) -> int:
        value = int(bus.read_word_data(address, register))
        return (value & 0xFF) << 8 | value >> 8  # the chip sends the high byte first

    try:
        newer = word(0xFE) == 0x5449
    except OSError:
        raise Refused(f"--i2c {place}: no chip answers there") from None

    def power_w() -> Optional[float]:
        try:
            shunt, supply = word(0x01), word(0x02)
        except OSError:
            return None
        shunt -= 0x10000 if shunt & 0x8000 else 0
        volts = supply * 1.25e-3 if newer else (supply >> 3) * 4e-3
        return volts * shunt * (2.5e-6 if newer else 1e-5) / shunt_ohm

    step = "2.5 uV on the shunt, 1.25 mV" if newer else "10 uV on the shunt, 4 mV"
    return PowerMeter(f"i2c:{'ina226' if newer else 'ina219'}", power_w, 0.005, step)


def _smbus(number: int, place: str) -> Any:
    for name in ("smbus2", "smbus"):
        try:
            return __import__(name).SMBus(number)
        except ImportError:
            continue
        except OSError as error:
            raise Refused(f"--i2c {place}: cannot open the bus: {error.strerror}") from None
    raise Refused("--i2c needs the package smbus2: python3 -m pip install smbus2")


def _reader(folder: str, name: str, factor: float) -> Callable[[], Optional[float]]:
    def read() -> Optional[float]:
        value = read_number(folder, name)
        return None if value is None else value * factor

    return read


def _product_reader(
    folder: str, volts: str, amperes: str, factor: float
) -> Callable[[], Optional[float]]:
    def read() -> Optional[float]:
        u, i = read_number(folder, volts), read_number(folder, amperes)
        return None if u is None or i is None else u * i * factor

    return read


def find_sensors(root: str = "/", provider: str = "cpu") -> Tuple[List[Any], List[str]]:
    """Usable sensors, the one to be believed first, and why others are not usable."""
    found: List[Any] = []
    reasons: List[str] = []
    sources = [hwmon_sensors(root), supply_sensors(root), rapl_sensors(root)]
    if provider == "cuda":
        sources.insert(0, nvml_sensors())
    for source in sources:
        for sensor in source:
            (reasons if isinstance(sensor, str) else found).append(sensor)
    return found, reasons


# =============================================================================== the device
def temperature_c(root: str = "/") -> Optional[float]:
    """The hottest thermal zone of the processor (of all zones where none says that)."""
    zones = glob.glob(os.path.join(root, "sys/class/thermal/thermal_zone*"))
    readings = [(read_text(z, "type") or "", read_number(z, "temp")) for z in zones]
    known = [(kind, value * 1e-3) for kind, value in readings if value is not None and value > 0]
    of_cpu = [v for kind, v in known if re.search("cpu|soc|pkg|core", kind, re.IGNORECASE)]
    return round(max(of_cpu or [v for _, v in known]), 1) if known else None


def frequency_mhz(root: str = "/") -> Optional[float]:
    """The fastest core's present clock."""
    pattern = os.path.join(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [value for value in map(read_number, glob.glob(pattern)) if value]
    if clocks:
        return round(max(clocks) * 1e-3, 1)
    text = read_text(root, "proc/cpuinfo") or ""
    shown = [float(v) for v in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return round(max(shown), 1) if shown else None


class Throttling:
    """Whether the clock was held back since the last question.

    Raspberry Pi: the firmware's word, bits 0 to 3 under-voltage, capped, throttled, soft
    temperature limit (now). x86: counters of thermal events. None where nobody tells.
    """

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._vcgencmd = shutil.which("vcgencmd") if root == "/" else None
        self._events = self._counted()

    def __call__(self) -> Optional[bool]:
        word = self._firmware()
        if word is not None:
            return bool(word & 0xF)
        before, self._events = self._events, self._counted()
        return None if before is None or self._events is None else self._events > before

    def _firmware(self) -> Optional[int]:
        node = "sys/devices/platform/soc/soc:firmware/get_throttled"
        text = read_text(self._root, node)
        if text is None and self._vcgencmd:
            try:
                done = subprocess.run(
                    [self._vcgencmd, "get_throttled"], stdout=subprocess.PIPE, timeout=5, check=True
                )
                text = done.stdout.decode().strip().rpartition("=")[2]
            except (OSError, subprocess.SubprocessError):
                return None
        try:
            return int(text, 16) if text else None
        except ValueError:
            return None

    def _counted(self) -> Optional[float]:
        pattern = "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"
        values = [read_number(path) for path in glob.glob(os.path.join(self._root, pattern))]
        known = [value for value in values if value is not None]
        return sum(known) if known else None


def device_info(root: str = "/") -> Dict[str, Any]:
    """What the device is, as far as its system files tell."""
    cpuinfo = read_text(root, "proc/cpuinfo") or ""
    names = re.findall(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    model = read_text(root, "proc/device-tree/model")
    vendor = (read_text(root, "sys/class/dmi/id", n) for n in ("sys_vendor", "product_name"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", read_text(root, "proc/meminfo") or "")
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return {
        "model": model or " ".join(word for word in vendor if word) or platform.machine(),
        "cpu": _cpu_name(cpuinfo) or (names[0].strip() if names else platform.processor()),
        "cores": cores,
        "arch": platform.machine(),
        "simd_bits": simd_width(cpuinfo),
        "memory_mb": round(int(memory.group(1)) * 1024e-6) if memory else None,
    }


def simd_width(cpuinfo: str) -> Optional[int]:
    """Bits of the widest vector instructions (x86 and 64-bit ARM), if the system tells."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = found.group(1).split() if found else []
    for name, bits in (("avx512f", 512), ("avx", 256), ("sse2", 128), ("asimd", 128)):
        if name in flags:
            return bits
    return None


#: Implementer and part of ARM cores (MIDR_EL1) that boards of our users have.
_ARM_PARTS = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd42": "Cortex-A78AE", "0xd41": "Cortex-A78", "0xd40": "Neoverse-V1",
}  # fmt: skip


def _cpu_name(cpuinfo: str) -> str:
    parts = re.findall(r"^CPU part\s*:\s*(0x\w+)$", cpuinfo, re.MULTILINE)
    return " + ".join(dict.fromkeys(_ARM_PARTS.get(p.lower(), p) for p in parts))


def governor(root: str = "/") -> Optional[str]:
    return read_text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None


def system_name() -> str:
    text = read_text("/etc/os-release") or ""
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return f"{match.group(1) if match else platform.system()}, Linux {platform.release()}"


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
        if self._trim is not None:
            self._trim(0)  # what an earlier network left must not hide what this one takes
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as stream:
                stream.write("5")
        except OSError:
            pass
        self._before = self._status("VmRSS") or 0.0

    def peak_mb(self) -> float:
        peak = self._status("VmHWM")
        if peak is None:
            return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3, 2)
        return round(max(peak - self._before, 0.0), 2)

    @staticmethod
    def _status(field: str) -> Optional[float]:
        match = re.search(rf"{field}:\s*(\d+) kB", read_text("/proc/self/status") or "")
        return int(match.group(1)) * 1.024e-3 if match else None


# ================================================================================ the suite
def network_key(network: Dict[str, Any]) -> str:
    """Equal for the same network: the SHA-256 of its file, else its description as JSON."""
    return str(network.get("sha256") or json.dumps(network, sort_keys=True))


class Task:
    """One network to measure: how measurements name it, its file, its expected share of time."""

    def __init__(
        self, network: Dict[str, Any], content: bytes, share: float, path: str = ""
    ) -> None:
        self.network, self.content, self.share, self.path = network, content, share, path
        self.key = network_key(network)
        self.text = str(
            network.get("workload") or network.get("onnx")
            or f"{network.get('space')}: {network.get('design')}"
        )  # fmt: skip


class Suite:
    """What is to be measured: ``name``, ``sha256``, ``precision``, ``batch``, ``tasks``.

    ``weights`` tells how the file of numbers is made that the models point into; None for
    models that carry their own.
    """

    def __init__(
        self, name: str, sha256: str, precision: str, batch: int, tasks: List[Task],
        weights: Optional[Dict[str, Any]] = None,
    ) -> None:  # fmt: skip
        self.name, self.sha256, self.precision = name, sha256, precision
        self.batch, self.tasks, self.weights = batch, tasks, weights


def read_suite(path: str) -> Suite:
    """The suite in an archive; raises ``Refused`` (exit code 4) for anything else."""
    content = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            head = json.loads(archive.read("suite.json").decode("utf-8"))
            if head["schema"] != SUITE_SCHEMA:
                raise Refused(
                    f"{path}: schema {head['schema']!r}; this script reads {SUITE_SCHEMA}", 4
                )
            tasks = [
                Task(dict(w["network"]), archive.read(w["model"]), float(w["share"]))
                for w in head["workloads"]
            ]
            weights = None if head["weights"] is None else dict(head["weights"])
            name, precision, batch = str(head["name"]), str(head["precision"]), int(head["batch"])
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, zlib.error) as error:
        what = str(error).strip("'\"") or type(error).__name__
        raise Refused(
            f"{path}: not a suite of flash, or a damaged one ({what}); make it with "
            "python -m flash.profile --write-suite suite.zip", 4,
        ) from None  # fmt: skip
    return Suite(name, hashlib.sha256(content).hexdigest(), precision, batch, tasks, weights)


def own_models(paths: Sequence[str], precision: str, batch: int) -> Suite:
    """The user's ONNX files as a suite."""
    tasks, digests = [], []
    for path in dict.fromkeys(paths):
        digest = hashlib.sha256(read_bytes(path)).hexdigest()
        digests.append(digest)
        tasks.append(Task({"onnx": path, "sha256": digest}, b"", 1.0 / len(paths), path))
    sha256 = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return Suite("own models", sha256, precision, batch, tasks)


def read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", 4) from None


def write_weights(folder: str, weights: Dict[str, Any]) -> None:
    """Make the numbers that all models of a suite share, the same on every device.

    ``numpy.random.RandomState`` gives the same stream in all versions (NEP 19). A block is
    drawn and repeated: times do not depend on the numbers.
    """
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


# ================================================================================ measuring
def open_session(task: Task, folder: str, options: argparse.Namespace, trace: bool) -> Any:
    """An onnxruntime session of a task's model."""
    path = task.path
    if not path:
        path = os.path.join(folder, "model.onnx")  # beside the weights it points into
        with open(path, "wb") as stream:
            stream.write(task.content)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    if trace:
        settings.enable_profiling = True
        settings.profile_file_prefix = os.path.join(folder, "trace")
    providers = ["CPUExecutionProvider"]
    if options.provider == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    session = onnxruntime.InferenceSession(path, settings, providers=providers)
    if session.get_providers()[0] != providers[0]:
        raise RuntimeError(f"{providers[0]} did not start; see onnxruntime's log above")
    return session


_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(int32)": "int32",
    "tensor(int64)": "int64", "tensor(bool)": "bool",
}  # fmt: skip


def make_inputs(session: Any, batch: int) -> Dict[str, Any]:
    """Random inputs of the shapes that the model states; a free first axis is the batch."""
    inputs = {}
    rng = numpy.random.RandomState(0)
    for given in session.get_inputs():
        shape = list(given.shape)
        if shape and not isinstance(shape[0], int):
            shape[0] = batch
        if not all(isinstance(size, int) for size in shape):
            raise RuntimeError(
                f"input '{given.name}' has free sizes {shape}: export with fixed ones"
            )
        if given.type not in _DTYPES:
            raise RuntimeError(f"input '{given.name}' is a {given.type}: not supported")
        values = rng.standard_normal(shape) if shape else rng.standard_normal()
        if "float" not in _DTYPES[given.type] or given.type == "tensor(bool)":
            values = numpy.abs(values) > 1.0  # zeros and ones: valid as index, mask and pixel
        inputs[given.name] = numpy.asarray(values).astype(_DTYPES[given.type])
    return inputs


def median_interval(times: Sequence[float]) -> Tuple[float, float]:
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


class Stopwatch:
    """Runs a session and adds up the seconds spent in it."""

    def __init__(self) -> None:
        self.inference_s = 0.0

    def run(self, session: Any, inputs: Dict[str, Any]) -> float:
        """Seconds of one run."""
        start = time.perf_counter()
        session.run(None, inputs)
        seconds = time.perf_counter() - start
        self.inference_s += seconds
        return seconds

    def warm_up(self, session: Any, inputs: Dict[str, Any], limit_s: float) -> float:
        """Run until caches, clocks and memory pools are warm; returns the last run's seconds."""
        end = time.perf_counter() + WARM_UP * limit_s
        seconds = self.run(session, inputs)
        while True:
            seconds = self.run(session, inputs)
            if time.perf_counter() >= end:
                return seconds

    def latency(self, session: Any, inputs: Dict[str, Any], limit_s: float) -> Dict[str, Any]:
        """Repeat until the median is stable, or the limit is reached.

        Runs during which the system gave the processor to someone else (involuntary context
        switches) are left out, as long as enough others remain: what else runs on the device
        is no property of the network.
        """
        start = time.perf_counter()
        times: List[float] = []
        calm: List[float] = []
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
            if settled or spent > limit_s or len(times) >= MOST_RUNS:
                break
            check = min(max(check + 5, int(check * 1.25)), MOST_RUNS)
        median, p10, p90 = (_quantile(ordered, q) * 1e3 for q in (0.5, 0.1, 0.9))
        values = {"median": median, "p10": p10, "p90": p90}
        found: Dict[str, Any] = {name: rounded(value) for name, value in values.items()}
        found["runs"] = len(ordered)
        return found

    def hold(
        self, session: Any, inputs: Dict[str, Any], seconds: float, sensors: Sequence[Any]
    ) -> Dict[str, Any]:
        """Run without pause while the sensors read; what a record says of energy."""
        for sensor in sensors:
            sensor.start()
        begin, start, runs = time.time(), time.perf_counter(), 0
        while time.perf_counter() - start < seconds or not runs:
            self.run(session, inputs)
            runs += 1
        spent = time.perf_counter() - start
        found: Dict[str, Any] = {
            "window": {"start": round(begin, 3), "seconds": round(spent, 4), "runs": runs}
        }
        readings = [(sensor, *sensor.stop(spent)) for sensor in sensors]
        known = [(s, energy, n) for s, energy, n in readings if energy is not None]
        if known:
            sensor, energy, samples = known[0]
            found["energy_mj"] = {
                "mean": rounded(energy / runs), "runs": runs, "samples": samples,
                "sensor": sensor.name,
            }  # fmt: skip
            if len(known) > 1:
                found["energy_mj"]["others"] = {
                    s.name: rounded(e / runs) for s, e, _ in known[1:]
                }  # fmt: skip
            found["power_w"] = rounded(energy * 1e-3 / spent)
        return found


def rounded(value: float, digits: int = 5) -> float:
    """To significant digits: more are noise, and make files larger."""
    return float(f"{value:.{digits}g}")


def kernel_times(path: str) -> List[Dict[str, Any]]:
    """Mean time of each kernel from onnxruntime's trace, in the order they ran.

    The slowest and fastest quarter of the runs are left out (whoever else used the processor).
    """
    with open(path, encoding="utf-8") as stream:
        events = json.load(stream)
    found: Dict[str, Tuple[str, List[float]]] = {}
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


class Bench:
    """Measures tasks one by one and makes their records."""

    def __init__(
        self, options: argparse.Namespace, folder: str, batch: int, sensors: Sequence[Any]
    ) -> None:
        self.options, self.folder, self.batch, self.sensors = options, folder, batch, sensors
        self.watch, self.memory, self.throttled = Stopwatch(), PeakMemory(), Throttling()

    def measure(self, task: Task, limit_s: float, number: int) -> Dict[str, Any]:
        """The record of a task in pass ``number``; of a model that is refused, why."""
        try:
            return self._measure(task, limit_s, number)
        except Refused:
            raise
        except (Exception, MemoryError) as error:  # onnxruntime's errors share no base
            line = " ".join(str(error).split()) or type(error).__name__
            return {"network": task.network, "error": line[:300]}

    def _measure(self, task: Task, limit_s: float, number: int) -> Dict[str, Any]:
        self.memory.reset()
        self.throttled()  # forget what was before
        trace_it = self.options.kernels
        session = open_session(task, self.folder, self.options, trace_it)
        inputs = make_inputs(session, self.batch)
        once = self.watch.warm_up(session, inputs, limit_s)
        kernels = None
        if trace_it:
            for _ in range(max(3, min(PROFILED_RUNS, int(WARM_UP * limit_s / once)))):
                self.watch.run(session, inputs)
            trace = session.end_profiling()  # what follows runs as without profiling
            kernels = kernel_times(trace)
            os.remove(trace)
        record: Dict[str, Any] = {
            "network": task.network,
            "latency_ms": self.watch.latency(session, inputs, limit_s),
            "energy_mj": None,
            "power_w": None,
            "temperature_c": temperature_c(),
            "frequency_mhz": frequency_mhz(),
        }
        if number > 1:  # energy and memory are those of the first pass
            record["pass"] = number
        elif self.options.hold_s:
            record.update(self.watch.hold(session, inputs, self.options.hold_s, self.sensors))
        record["throttled"] = self.throttled()
        record["memory_mb"] = self.memory.peak_mb()
        record["kernels"] = kernels
        return record


# ========================================================================== the result file
class Journal:
    """The result file: a header, then a line a network, each on disk before the next begins."""

    def __init__(self, path: str, header: Optional[Dict[str, Any]], resume: bool = True) -> None:
        """Open a result file; without a ``header`` it must be there, whatever its settings."""
        self.path = path
        if header is None:
            read_bytes(path)
        try:
            self._stream = open(path, "a+b")
        except OSError as error:
            raise Refused(f"cannot write {path}: {error.strerror}", 1) from None
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"{path}: another run is writing it") from None
        lines = self._complete_lines() if resume else []
        if not resume:
            self._stream.truncate(0)
        if header is not None and not lines:
            self._write(header)
        elif header is not None:
            self._check(lines[0], header)
        elif not lines or lines[0].get("schema") != SCHEMA:
            raise Refused(f"{path}: no measurements of schema {SCHEMA}", 4)
        self.records = lines[1:]

    def _complete_lines(self) -> List[Dict[str, Any]]:
        """The lines in the file; a last one that was not finished is cut off."""
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        lines = []
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                value = json.loads(line.decode("utf-8"))
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise Refused(
                    f"{self.path}, line {number}: damaged, or no measurements; name another file "
                    "with --out, or write over this one with --no-resume", 4,
                )  # fmt: skip
            lines.append(value)
        self._stream.truncate(whole)
        return lines

    def _check(self, found: Dict[str, Any], header: Dict[str, Any]) -> None:
        for name in ("schema", "suite", "threads", "precision", "batch", "runtime", "device"):
            if found.get(name) != header[name]:
                raise Refused(
                    f"{self.path} has measurements with {name} {_short(found.get(name))}; now it "
                    f"is {_short(header[name])}: name another file with --out, or write over it "
                    "with --no-resume"
                )  # fmt: skip

    def append(self, record: Dict[str, Any]) -> None:
        self._write(record)
        self.records.append(record)

    def _write(self, value: Dict[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._stream.write(line.encode("utf-8") + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def replace(self, records: List[Dict[str, Any]]) -> None:
        """Write the file anew with these records, all or nothing."""
        self._stream.seek(0)
        head = self._stream.readline()
        lines = [json.dumps(r, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
                 for r in records]  # fmt: skip
        partial = self.path + ".new"
        with open(partial, "wb") as stream:
            stream.write(head + "".join(line + "\n" for line in lines).encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, self.path)
        self.records = records


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 90 else text[:87] + "..."


def make_header(suite: Suite, options: argparse.Namespace, sensors: List[Any]) -> Dict[str, Any]:
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[options.provider]
    return {
        "schema": SCHEMA,
        "device": device_info(),
        "os": system_name(),
        "runtime": {
            "name": "onnxruntime", "version": onnxruntime.__version__, "provider": provider,
        },
        "versions": {"python": platform.python_version(), "numpy": numpy.__version__},
        "threads": options.threads,
        "precision": suite.precision,
        "batch": suite.batch,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "governor": governor(),
        "sensors": [describe_sensor(sensor) for sensor in sensors],
        "suite": {"name": suite.name, "sha256": suite.sha256},
    }  # fmt: skip


# ============================================================================ external meter
def read_meter(path: str) -> List[Tuple[float, float]]:
    """(unix seconds, watts) in order of time from a meter's CSV.

    Columns ``time`` (or ``timestamp``; unix seconds or ISO 8601) and ``power_w`` (or
    ``power_mw``).
    """
    text = read_bytes(path).decode("utf-8-sig", "replace")
    rows = csv.DictReader(io.StringIO(text))
    names = {str(name).strip().lower(): name for name in rows.fieldnames or ()}
    clock = names.get("time") or names.get("timestamp")
    power = names.get("power_w") or names.get("power_mw")
    if clock is None or power is None:
        raise Refused(f"{path}: expected columns time and power_w, got {', '.join(names)}", 4)
    factor = 1e-3 if power == names.get("power_mw") else 1.0
    samples = []
    for number, row in enumerate(rows, start=2):
        try:
            samples.append((_unix(row[clock]), float(row[power]) * factor))
        except (TypeError, ValueError):
            raise Refused(f"{path}, line {number}: expected a time and a number", 4) from None
    return sorted(samples)


def _unix(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return moment.timestamp()  # local time where the text names no zone


def merge_meter(records: List[Dict[str, Any]], samples: List[Tuple[float, float]]) -> int:
    """Give records the energy that the meter saw in their windows; how many got one.

    The first and last tenth of a window are left out: meters lag.
    """
    merged = 0
    for record in records:
        window = record.get("window")
        if not window:
            continue
        margin = 0.1 * window["seconds"]
        begin, end = window["start"] + margin, window["start"] + window["seconds"] - margin
        inside = [watts for moment, watts in samples if begin <= moment <= end]
        if not inside:
            continue
        power = sum(inside) / len(inside)
        energy = {
            "mean": rounded(1e3 * power * window["seconds"] / window["runs"]),
            "runs": window["runs"], "samples": len(inside), "sensor": "external meter",
        }  # fmt: skip
        before = record.get("energy_mj")
        if before and before.get("sensor") != "external meter":
            energy["others"] = {before["sensor"]: before["mean"], **before.get("others", {})}
        record["energy_mj"], record["power_w"] = energy, rounded(power)
        merged += 1
    return merged


def merge(journal: Journal, meter: str) -> int:
    """Write the meter's energies into a result file; how many networks got one."""
    merged = merge_meter(journal.records, read_meter(meter))
    if not merged:
        raise Refused(
            f"{meter} has no reading in any network's time: measure with --hold, and set both "
            "clocks", 4,
        )  # fmt: skip
    journal.replace(journal.records)
    return merged


# ================================================================================= the command
class Progress:
    """A line a network on standard error, with the time left."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet

    def tell(self, message: str) -> None:
        if self._quiet:
            return
        try:
            print(message, file=sys.stderr, flush=True)
        except BrokenPipeError:  # whoever watched is gone: the connection was cut
            raise KeyboardInterrupt from None

    def done(self, number: int, task: Task, record: Dict[str, Any], left_s: float) -> None:
        if "error" in record:
            what = f"refused: {record['error'][:80]}"
        else:
            latency = record["latency_ms"]
            what = f"{latency['median']:>9.4g} ms  {latency['runs']:>5} runs"
        left = f"{int(left_s) // 60}:{int(left_s) % 60:02d} left"
        self.tell(f"[{number:>3}/{self._total}] {what}  {left}  {task.text[:100]}")


def measure_all(
    suite: Suite, journal: Journal, bench: Bench, options: argparse.Namespace
) -> List[str]:
    """Measure what the journal lacks; texts of the networks that the budget left out."""
    known: Dict[str, int] = {}  # passes that each network is done with; all, if it was refused
    for record in journal.records:
        key = network_key(record["network"])
        done = record.get("passes", 1)
        known[key] = options.passes if "error" in record else known.get(key, 0) + done
    waiting = [
        (number, task)
        for number in range(1, options.passes + 1)
        for task in suite.tasks
        if known.get(task.key, 0) < number
    ]
    progress = Progress(len(journal.records) + len(waiting), options.quiet)
    if known and waiting:
        progress.tell(f"{options.out}: {len(known)} networks are there, {len(waiting)} to go")
    refused = set()
    end = STARTED + options.budget_s
    scales: List[float] = []  # milliseconds a unit of share, as measured
    left_out = []
    for position, (number, task) in enumerate(waiting):
        if task.key in refused:
            continue
        left_s = end - time.perf_counter()
        scale = sorted(scales)[len(scales) // 2] if scales else 0.0
        needed_s = 1e-3 * scale * task.share * (FEWEST_RUNS + 3) + options.hold_s
        # One at least, so that repeating the command always gets further.
        if position and (left_s <= 0 or needed_s > left_s):
            if task.text not in left_out:
                left_out.append(task.text)
            continue
        fair_s = left_s / (len(waiting) - position) - options.hold_s
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


def merged_passes(records: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """One record a network: its fastest pass, with the medians of all."""
    found: Dict[str, Dict[str, Any]] = {}
    for record in records:
        key = network_key(record["network"])
        before = found.get(key)
        if before is None or "error" in before:
            found[key] = record
        elif "error" not in record:  # a later refusal undoes no measurement
            found[key] = _merged(before, record)
    return list(found.values())


#: Facts of a pass; of several the fastest one's.
_OF_A_PASS = ("latency_ms", "temperature_c", "frequency_mhz", "throttled")


def _merged(before: Dict[str, Any], record: Dict[str, Any]) -> Dict[str, Any]:
    """A network's record with one pass more; energy and memory are those of the first pass."""
    both = (before, record)
    fastest = min(both, key=lambda r: r["latency_ms"]["median"])
    return {
        **before,
        **{key: fastest.get(key) for key in _OF_A_PASS},
        # They are timed apart, so their fastest pass may be another.
        "kernels": min((r.get("kernels") for r in both), key=kernels_ms),
        "passes": sum(r.get("passes", 1) for r in both),
        "medians": [ms for r in both for ms in r.get("medians", [r["latency_ms"]["median"]])],
    }


def kernels_ms(kernels: Optional[List[Dict[str, Any]]]) -> float:
    """Time of all kernels of a network; endless where they were not timed."""
    return sum(k["ms"] for k in kernels) if kernels else math.inf


def summary(journal: Journal, left_out: List[str], inference_s: float, total_s: float) -> str:
    """What was measured, in one or more lines."""
    records = journal.records
    refused = [r for r in records if "error" in r]
    hot = [r for r in records if r.get("throttled")]
    measured = {network_key(r["network"]) for r in records if "error" not in r}
    lines = [f"written: {journal.path}: {len(measured)} networks measured"]
    if refused:
        lines[0] += f", {len(refused)} refused (each says why in its line)"
    if left_out:
        lines[0] += f", {len(left_out)} left out for the budget (run again to go on)"
    if inference_s:
        lines.append(
            f"time: {total_s:.1f} s, of which {100 * (1 - inference_s / total_s):.1f} % not "
            "inference"
        )
    if hot:
        lines.append(f"warning: the clock was throttled in {len(hot)} of them: cool the device")
    return "\n".join(lines) + "\n"


_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """Seconds from ``90s``, ``5min`` or ``1h``."""
    match = re.match(r"(\d+(?:\.\d+)?)\s*([a-z]+)$", text.strip())
    if match is None or match.group(2) not in _UNITS or float(match.group(1)) <= 0:
        raise Refused(f"{text}: expected a time with its unit such as 90s, 5min or 1h")
    return float(match.group(1)) * _UNITS[match.group(2)]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="profile_device.py",
        description="Measure how long networks take on this device (onnxruntime).",
        epilog="Exit codes: 0 done, 1 the machine failed, 2 wrong arguments, 4 bad file, "
        "130 interrupted (what was measured is kept; the same command goes on).",
    )
    add = made.add_argument
    add("models", nargs="*", metavar="MODEL.onnx", help="your own models")
    add("--suite", metavar="FILE", help="or a suite (flash.profile --write-suite FILE makes it)")
    add("--out", metavar="FILE", default="measurements.jsonl", help="result (%(default)s)")
    add("--threads", metavar="N", help="threads of an operator (all cores)")
    add("--provider", choices=("cpu", "cuda"), default="cpu", help="where to run (%(default)s)")
    add("--budget", metavar="T", default="5min", help="stop after this time (%(default)s)")
    add("--passes", metavar="N", default="1", help="go round N times, for busy devices (1)")
    add("--kernels", action="store_true", help="time every kernel too (onnxruntime's profiler)")
    add("--precision", choices=("fp32", "fp16", "int8"), help="of your own models, to be noted")
    add("--batch", metavar="N", help="of your own models, where it is free (1)")
    add("--hold", metavar="T", help="run each network that long for slow power sensors (3s)")
    add(
        "--meter", metavar="CSV",
        help="an external meter's readings (columns time, power_w), merged by time after the "
        "run; without a suite, into a result file measured with --hold",
    )  # fmt: skip
    add("--i2c", metavar="BUS:ADDRESS", help="an INA219 or INA226, such as 1:0x40")
    add("--shunt", metavar="OHM", default="0.1", help="its shunt resistor (%(default)s ohm)")
    add("--no-resume", action="store_true", help="write over the result file")
    add("--quiet", action="store_true", help="no progress")
    return made


def checked(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with ``threads``, ``budget_s``, ``hold_s`` as numbers."""
    options = parser().parse_args(arguments)
    options.merges = bool(options.meter and not options.suite and not options.models)
    if bool(options.suite) == bool(options.models) and not options.merges:
        raise Refused("give --suite FILE, or ONNX files")
    if options.suite and (options.precision or options.batch):
        raise Refused("--precision and --batch are fixed when a suite is made")
    cores = device_info()["cores"]
    options.threads = _whole("--threads", options.threads or str(cores), 1024)
    options.passes = _whole("--passes", options.passes, 100)
    options.batch = _whole("--batch", options.batch or "1", 4096)
    options.budget_s = parse_seconds(options.budget)
    try:
        options.shunt = float(options.shunt)
    except ValueError:
        options.shunt = 0.0
    if not 0 < options.shunt < 100:
        raise Refused("--shunt: expected the resistance in ohm, such as 0.1")
    return options


def _whole(option: str, text: str, most: int) -> int:
    if not re.match(r"[0-9]{1,9}$", text) or not 1 <= int(text) <= most:
        raise Refused(f"{option} {text}: expected a whole number from 1 to {most}")
    return int(text)


def import_runtime() -> None:
    """numpy and onnxruntime, or one line that says how to get them."""
    global numpy, onnxruntime
    try:
        numpy = importlib.import_module("numpy")
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # how numpy reports an interrupt
            raise KeyboardInterrupt from None
        if struct.calcsize("P") == 4:
            raise Refused(
                "onnxruntime does not exist for 32-bit systems: install the 64-bit system (on a "
                "Raspberry Pi 3 or newer: Raspberry Pi OS 64-bit), then: python3 -m pip install "
                "numpy onnxruntime", 1,
            ) from None  # fmt: skip
        raise Refused(
            f"{error}: python3 -m venv v && v/bin/pip install numpy onnxruntime, then run this "
            "with v/bin/python", 1,
        ) from None  # fmt: skip


def choose_sensors(options: argparse.Namespace, progress: Progress) -> List[Any]:
    """The sensors to read, and how long each network is held for them (``hold_s``)."""
    sensors, reasons = find_sensors(provider=options.provider)
    if options.i2c:
        sensors.insert(0, i2c_sensor(options.i2c, options.shunt))
    for reason in reasons:
        progress.tell(f"sensor: {reason}")
    progress.tell("sensors: " + (", ".join(s.name for s in sensors) or "none, so no energy"))
    slow = max((s.period_s for s in sensors), default=0.0)
    default_s = 3.0 if options.meter else min(max(20 * slow, 0.5), 5.0)
    wanted = bool(sensors or options.meter or options.hold)
    options.hold_s = parse_seconds(options.hold) if options.hold else default_s * wanted
    return sensors


def run(arguments: Sequence[str]) -> None:
    """The whole command; raises ``Refused`` for what the user can mend."""
    options = checked(arguments)
    if options.merges:
        journal = Journal(options.out, None)
        merged = merge(journal, options.meter)
        sys.stdout.write(f"written: {options.out}: energy of {merged} networks\n")
        return
    import_runtime()
    has = onnxruntime.get_available_providers()
    if options.provider == "cuda" and "CUDAExecutionProvider" not in has:
        raise Refused(
            "this onnxruntime has no CUDA: python3 -m pip install onnxruntime-gpu in place of "
            "onnxruntime"
        )
    if options.suite:
        suite = read_suite(options.suite)
    else:
        suite = own_models(options.models, options.precision or "fp32", options.batch)
    progress = Progress(len(suite.tasks), options.quiet)
    sensors = choose_sensors(options, progress)
    journal = Journal(options.out, make_header(suite, options, sensors), not options.no_resume)
    folder = os.path.abspath(options.out) + ".work"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        os.mkdir(folder)
        if suite.weights is not None:
            write_weights(folder, suite.weights)
        bench = Bench(options, folder, suite.batch, sensors)
        left_out = measure_all(suite, journal, bench, options)
    except OSError as error:
        raise Refused(f"cannot write {error.filename or folder}: {error.strerror}", 1) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.meter:
        progress.tell(f"{options.meter}: energy of {merge(journal, options.meter)} networks")
    total_s = time.perf_counter() - STARTED
    sys.stdout.write(summary(journal, left_out, bench.watch.inference_s, total_s))


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command and return its exit code."""

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: Any) -> None:
        for other in signals:  # once is enough: what follows is putting things in order
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)
    try:
        run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except Refused as error:
        print(f"profile_device: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print(
            "profile_device: interrupted; what was measured is kept, the same command goes on",
            file=sys.stderr,
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
