"""Temperature, and whether the clock was held back because of it or of a weak supply."""

from __future__ import annotations

import glob
import os
import re

from flash.device.ground.system import firmware, read_number, read_text


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
