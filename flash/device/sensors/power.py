"""Sensors that show power: sampled while the network runs.

A reading holds until the next one (that is what loggers write that log more often when the
power changes, and for even samples it is as good as any rule), so the mean is weighted by time.
Domain of validity: power that changes slowly against the period, or enough samples to average
over what is faster.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from typing import Callable, Mapping, Sequence

from flash.device.sensors.base import LARGEST_W, Reading, implausible

#: The longest time in a window without a reading, as a share of the window. Power that was not
#: seen for longer is a guess; at 1 s between readings, windows have to be 2 s or longer.
LONGEST_GAP = 0.5
#: Fewest readings that make a mean.
FEWEST_READINGS = 3


class WindowInvalid(Exception):
    """Raised by a function that reads power when the whole window is worth nothing."""


def mean_power(samples: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Mean watts from ``begin`` to ``end`` of (seconds, watts) in order of time.

    Each reading holds until the next; the first one also before its own time.
    """
    times = [moment for moment, _ in samples]
    total, at = 0.0, begin
    number = max(bisect_right(times, begin) - 1, 0)
    while at < end:
        after = times[number + 1] if number + 1 < len(times) else math.inf
        until = min(after, end)
        total += samples[number][1] * max(until - at, 0.0)
        at = max(until, at)
        number += 1
    return total / (end - begin)


def longest_gap(times: Sequence[float], begin: float, end: float) -> tuple[float, float]:
    """The longest stretch of a window without a reading, as (its begin, its length)."""
    edges = [begin, *(moment for moment in times if begin < moment < end), end]
    gaps = [(after - before, before) for before, after in zip(edges, edges[1:])]
    length, at = max(gaps)
    return at, length


class PowerMeter:
    """A sensor of power. See ``Sensor``.

    read: watts, or None; raises ``WindowInvalid`` where the window is worth nothing.
    """

    kind = "power"

    def __init__(
        self,
        name: str,
        read: Callable[[], float | None],
        period_s: float,
        resolution: str,
        scope: str = "board",
        limit_w: float = LARGEST_W,
    ) -> None:
        self.name, self._read = name, read
        self.period_s, self.resolution = period_s, resolution
        self.scope, self.limit_w = scope, limit_w
        self.problem = ""
        self.parts_mj: dict[str, float] = {}
        self._samples: list[tuple[float, float]] = []
        self._begin = 0.0
        self._invalid = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def available(self) -> str:
        """Empty where power can be read."""
        try:
            return "" if self._read() is not None else f"{self.name} cannot be read"
        except WindowInvalid as error:
            return str(error)

    def start(self) -> None:
        """Begin to sample, in a thread."""
        self._samples, self._invalid, self._stop = [], "", threading.Event()
        self._begin = time.perf_counter()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while True:
            try:
                watts = self._read()
            except WindowInvalid as error:
                self._invalid = str(error)
                return
            if watts is not None and math.isfinite(watts):
                self._took(time.perf_counter(), watts)
            if self._stop.wait(self.period_s):
                return

    def _took(self, moment: float, watts: float) -> None:
        self._samples.append((moment, watts))

    def stop(self, seconds: float) -> Reading:
        """Stop sampling: the mean power times ``seconds``."""
        self._stop.set()
        end = time.perf_counter()
        if self._thread is not None:
            self._thread.join()
        self.parts_mj = {}
        self.problem = self._judge(end)
        if self.problem:
            return Reading(None, 0)
        energy = 1e3 * seconds * mean_power(self._samples, self._begin, end)
        # The period of a sampled sensor limits how much is averaged, not where a window ends.
        self.problem = implausible(energy, seconds, self.limit_w, self.period_s / 2)
        if self.problem:
            return Reading(None, 0)
        self.parts_mj = self._parts(seconds, end)
        return Reading(energy, len(self._samples))

    def _judge(self, end: float) -> str:
        if self._invalid:
            return self._invalid
        samples = [(moment, watts) for moment, watts in self._samples if moment <= end]
        if len(samples) < FEWEST_READINGS:
            return f"{len(samples)} readings came in the window, {FEWEST_READINGS} are needed"
        lowest = min(watts for _, watts in samples)
        if lowest < 0:
            return f"{lowest:.3g} W is below zero: wired the other way round, or charging"
        at, gap = longest_gap([moment for moment, _ in samples], self._begin, end)
        if gap > LONGEST_GAP * (end - self._begin):
            return f"no reading came for {gap:.3g} s from second {at - self._begin:.3g} on"
        return ""

    def _parts(self, seconds: float, end: float) -> dict[str, float]:
        return {}


class RailMeter(PowerMeter):
    """Several supply rails as one sensor: what they use together, each kept by name.

    read_rails: watts by rail, of all rails at one moment, or None.
    total:      names of the rails whose sum is the sensor's power.
    """

    def __init__(
        self,
        name: str,
        read_rails: Callable[[], Mapping[str, float] | None],
        total: Sequence[str],
        period_s: float,
        resolution: str,
        scope: str = "board",
        limit_w: float = LARGEST_W,
    ) -> None:
        self._read_rails, self._total = read_rails, tuple(total)
        self._latest: Mapping[str, float] = {}
        self._rails: list[tuple[float, Mapping[str, float]]] = []
        super().__init__(name, self._sum, period_s, resolution, scope, limit_w)

    def _sum(self) -> float | None:
        rails = self._read_rails()
        if rails is None or any(name not in rails for name in self._total):
            return None
        self._latest = rails
        return sum(rails[name] for name in self._total)

    def start(self) -> None:
        """Begin to sample all rails."""
        self._rails = []
        super().start()

    def _took(self, moment: float, watts: float) -> None:
        super()._took(moment, watts)
        self._rails.append((moment, self._latest))

    def _parts(self, seconds: float, end: float) -> dict[str, float]:
        return {
            name: 1e3
            * seconds
            * mean_power([(t, rails.get(name, 0.0)) for t, rails in self._rails], self._begin, end)
            for name in self._latest
        }
