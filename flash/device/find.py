"""The sensors of this device, the one to be believed first."""

from __future__ import annotations

import importlib
from typing import Any

from flash.device.ground.refusal import Refused
from flash.device.sensors.base import availability, sensors_of
from flash.device.sensors.battery import supply_sensors
from flash.device.sensors.cpu.rapl import rapl_sensors
from flash.device.sensors.gpu.nvml import nvml_sensors
from flash.device.sensors.soc.hwmon import hwmon_sensors
from flash.device.sensors.soc.pmic import pmic_sensors


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
