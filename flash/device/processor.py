"""The processor: how many cores this process may use, which kinds there are, how fast they run.

* A container's CPU quota (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``) is a share of time:
  half a core means that every 100 ms the process runs for 50 and is stopped for 50, whatever the
  number of its threads. Times measured under a quota below the threads contain those stops.
* Unlike cores (big.LITTLE, performance and efficiency cores) differ in the time they take by a
  factor of two to five; the system moves threads between them as it likes.
* The clock follows load and temperature within milliseconds (governor, turbo, throttling).
"""

from __future__ import annotations

import glob
import os
import re
from typing import Any

from flash.device.ground.system import read_number, read_text

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
