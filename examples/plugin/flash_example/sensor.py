"""A sensor: a file that some other program keeps writing the board's power to, in watts.

The file's path is in the environment variable ``EXAMPLE_POWER_FILE``.
"""

from __future__ import annotations

import os
from pathlib import Path

from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.power import PowerMeter

__all__ = ["power_file"]

#: Seconds between two readings: the program is taken to write ten times as often.
_PERIOD_S = 0.01


def power_file() -> PowerMeter | AbsentSensor:
    """The sensor, or one that says why it is not there."""
    place = os.environ.get("EXAMPLE_POWER_FILE", "")
    if not place:
        return AbsentSensor("power-file", "power-file: EXAMPLE_POWER_FILE names no file")
    path = Path(place)

    def read() -> float | None:
        try:
            return float(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    return PowerMeter("power-file", read, _PERIOD_S, "as written", "board", limit_w=100.0)
