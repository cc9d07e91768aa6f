"""Memory that a network takes while it runs."""

from __future__ import annotations

import ctypes
import re
import resource
from typing import Any

from flash.device.ground.system import read_text


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
