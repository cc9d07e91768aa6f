"""Sensors by name: flash's own and those of other packages (entry-point group ``flash.sensors``).

Not a part of the file that boards get: packages are installed on this machine only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flash.device.sensors.base import sensors_of
from flash.plugins import Registry

__all__ = ["SENSORS", "added_places", "sensors_of"]

#: Called without arguments, a member gives one ``flash.device.sensors.base.Sensor``, or several.
SENSORS: Final[Registry[Callable[[], Any]]] = Registry(
    "flash.sensors",
    "sensor",
    {
        "hwmon": "flash.device.sensors.soc.hwmon:hwmon_sensors",
        "pmic": "flash.device.sensors.soc.pmic:pmic_sensors",
        "battery": "flash.device.sensors.battery:supply_sensors",
        "rapl": "flash.device.sensors.cpu.rapl:rapl_sensors",
        "nvml": "flash.device.sensors.gpu.nvml:nvml_sensors",
    },
)


def added_places() -> list[str]:
    """``module:attribute`` of the sensors that other packages add, in order of their names."""
    from importlib.metadata import entry_points  # noqa: PLC0415 (20 ms, only when measuring)

    points = sorted(entry_points(group=SENSORS.group), key=lambda point: point.name)
    return [point.value for point in points]
