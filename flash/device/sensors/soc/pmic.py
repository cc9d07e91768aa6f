"""The power-management chip of a Raspberry Pi 5 (Renesas DA9091): ``vcgencmd pmic_read_adc``.

Physics: its converter shows current and voltage of the twelve rails that it makes (cores,
memory, I/O, radio, HDMI); power is the sum of their products. The 5 V input shows a voltage but
no current, so what the chip itself loses and what runs from 5 V directly (USB devices, fans,
hats) is not in it: a meter in the supply shows more. Each reading starts a program, 10 to 20 ms
of one core, so it is taken five times a second only.

Domain of validity: windows of a second or longer; the board's chips, not its peripherals. Some
firmware shows zeros: no energy. Users need the group ``video``.
"""

from __future__ import annotations

import re
from typing import Any, Iterator

from flash.device.ground.system import firmware, read_text
from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.power import RailMeter

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
