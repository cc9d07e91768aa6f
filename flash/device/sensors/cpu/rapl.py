"""RAPL: energy counters inside Intel and AMD processors, through the kernel's powercap files.

A *zone* counts one part. ``package-N`` is a whole socket: cores, caches, memory controller, the
graphics in it; its sub-zones ``core`` and ``uncore`` are contained in it, ``dram`` (servers) is
not. ``psys`` is the whole platform as its maker wired it, packages included, so it is never
added to them. A machine with two sockets has two packages, whose sum is what it uses.
``intel-rapl-mmio`` shows the same package a second time and is left out.

Physics: a counter is a register of 32 bits in steps of 15 to 61 uJ, updated about every
millisecond, and starts again from zero after ``max_energy_range_uj`` (about 262 kJ: half an
hour at 150 W). Before Haswell it is a model of activity, since then a measurement.

Domain of validity: windows of 10 ms or longer, and short enough that the counter goes round
once at most. Where the range cannot be read, or the counter was reset in the window, there is
no energy. Since 2020 (CVE-2020-8694) only root may read the counters; virtual machines have none.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Any, Iterator

from flash.device.ground.system import number_reader, read_number, read_text
from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.counter import Counter, SummedCounters

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
