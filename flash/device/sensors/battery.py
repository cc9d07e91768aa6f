"""Batteries: what a whole device draws from them while no charger is connected.

The kernel's power_supply files show power (uW), or voltage (uV) and current (uA), updated about
once a second. The sign of current is the driver's choice; that it flows out of the battery
follows from the status ``Discharging`` only, so the magnitude is used, and only while the
status says so and no charger feeds the device. Batteries of ``scope`` Device belong to a mouse
or headset. A device with two batteries draws from one or from both: they are summed.

Domain of validity: the whole device, screen included; windows of several seconds.
"""

from __future__ import annotations

import glob
import os
from typing import Any, Iterator

from flash.device.ground.system import product_reader, read_number, read_text
from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.power import PowerMeter, WindowInvalid

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
