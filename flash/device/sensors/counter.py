"""Sensors that count energy: two readings of the counter give the energy between them.

Domain of validity: the counter may start again from zero once in a window, at the end of its
range. Whether it did, or was reset (the machine slept, a driver was loaded anew), only the
energy tells: a reset looks like a turn of the whole range, kilowatts in a short window.
"""

from __future__ import annotations

from typing import Callable, Sequence

from flash.device.sensors.base import LARGEST_W, Reading, implausible


def counted(
    start: float, end: float, range_: float | None, most: float
) -> tuple[float | None, str]:
    """What a counter counted from one reading to the next, or why nobody can say.

    range_: where the counter starts again from zero, in its unit; None if unknown.
    most:   more than this cannot have been counted, in the same unit.
    """
    if range_ is not None and most >= range_:
        return None, "the window is so long that the counter may have gone round more than once"
    if end >= start:
        return end - start, ""
    if range_ is None:
        return None, "the counter started again and its range cannot be read"
    turned = end + range_ - start
    if start > range_ or turned > most:
        return None, "the counter was reset in the window (sleep, or a driver loaded anew)"
    return turned, ""


class Counter:
    """One energy counter. See ``Sensor``.

    read:     millijoules counted so far, or None.
    range_mj: where it starts again from zero; None if unknown.
    limit_w:  what it counts uses less power than this.
    """

    kind = "counter"

    def __init__(
        self,
        name: str,
        read: Callable[[], float | None],
        range_mj: float | None,
        period_s: float,
        resolution: str,
        scope: str = "machine",
        limit_w: float = LARGEST_W,
    ) -> None:
        self.name, self._read, self.range_mj = name, read, range_mj
        self.period_s, self.resolution = period_s, resolution
        self.scope, self.limit_w = scope, limit_w
        self.problem = ""
        self.parts_mj: dict[str, float] = {}
        self._start: float | None = None

    def available(self) -> str:
        """Empty where the counter can be read."""
        return "" if self._read() is not None else f"{self.name} cannot be read"

    def start(self) -> None:
        """Read the counter."""
        self._start = self._read()

    def stop(self, seconds: float) -> Reading:
        """Read it again: the energy since ``start``."""
        end = self._read()
        if self._start is None or end is None:
            self.problem = "the counter could not be read"
            return Reading(None, 0)
        most = 1e3 * self.limit_w * seconds
        energy, self.problem = counted(self._start, end, self.range_mj, most)
        if energy is not None:
            self.problem = implausible(energy, seconds, self.limit_w, self.period_s)
        if self.problem or energy is None:
            return Reading(None, 0)
        return Reading(energy, 2)


class SummedCounters:
    """Counters of several parts as one sensor: all of them, or no energy. See ``Sensor``."""

    kind = "counter"

    def __init__(self, name: str, counters: Sequence[Counter]) -> None:
        self.name, self._counters = name, tuple(counters)
        first = self._counters[0]
        self.period_s = max(counter.period_s for counter in counters)
        self.resolution, self.scope = first.resolution, first.scope
        self.limit_w = sum(counter.limit_w for counter in counters)
        self.problem = ""
        self.parts_mj: dict[str, float] = {}

    def available(self) -> str:
        """Empty where all counters can be read."""
        return "; ".join(filter(None, (counter.available() for counter in self._counters)))

    def start(self) -> None:
        """Start all."""
        for counter in self._counters:
            counter.start()

    def stop(self, seconds: float) -> Reading:
        """The sum of all, kept by part in ``parts_mj``."""
        readings = [(counter, counter.stop(seconds)) for counter in self._counters]
        problems = [f"{counter.name}: {counter.problem}" for counter, _ in readings]
        bad = [p for p, (_, reading) in zip(problems, readings) if reading.energy_mj is None]
        self.problem = "; ".join(bad)
        self.parts_mj = {}
        if bad:
            return Reading(None, 0)
        self.parts_mj = {c.name: r.energy_mj for c, r in readings if r.energy_mj is not None}
        return Reading(sum(self.parts_mj.values()), sum(r.samples for _, r in readings))
