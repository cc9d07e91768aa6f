"""The stopwatch: warm-up, repetition until the median is known, windows for sensors.

The time is that of ``session.run`` from an input in host memory to an output in host memory, one
call at a time. It is repeated until the 95 % interval of the median (order statistics, which
assume nothing about the distribution) is within 1 % of it, or the time is used up.
"""

from __future__ import annotations

import math
import resource
import threading
import time
from typing import Any, Callable, Sequence

from flash.device.sensors.base import Reading, start_sensors, stop_sensor

#: A median is stable when its 95 % interval is this narrow (half width, relative).
STABLE = 0.01
#: The normal quantile of that interval.
NORMAL_95 = 1.96
#: Fewest runs of a network, and the most.
FEWEST_RUNS, MOST_RUNS = 7, 20_000
#: Warm-up lasts this share of the time a network may take; at least two runs.
WARM_UP = 0.1
#: Shortest time over which a median counts as stable, in seconds and as a share of what the
#: network may take: others who use the processor come and go.
SETTLE_S, SETTLE_SHARE = 0.4, 0.25
#: A run that takes longer, in seconds, is ended: seven of them would take a quarter of an hour,
#: and a network may hold a loop that never ends.
LONGEST_RUN_S = 120.0
#: The system slept, or the clock was set, when two clocks of one window differ by more, in
#: seconds. Clocks are corrected gradually by less than 0.5 ms a second.
CLOCK_STEP_S = 0.1


def rounded(value: float, digits: int = 5) -> float:
    """To significant digits: more are noise, and make files larger."""
    return float(f"{value:.{digits}g}")


def median_interval(times: Sequence[float]) -> tuple[float, float]:
    """Median of sorted times and the relative half width of its 95 % interval."""
    n = len(times)
    middle = _quantile(times, 0.5)
    reach = NORMAL_95 * math.sqrt(n) / 2
    low = times[max(int(math.floor(n / 2 - reach)), 0)]
    high = times[min(int(math.ceil(n / 2 + reach)), n - 1)]
    return middle, (high - low) / (2 * middle) if middle else 0.0


def _quantile(ordered: Sequence[float], q: float) -> float:
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def preemptions() -> int:
    """How often so far the system took the processor away from one of our threads."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def asleep_s() -> float:
    """Seconds for which the system has slept since it started."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    except (AttributeError, OSError):
        return 0.0


def _nothing() -> None:
    """Do nothing between runs."""


class Stopwatch:
    """Runs a session and adds up the seconds spent in it.

    of_thread: count the processor time of this thread, which is all of a run on one thread: what
               else runs on the device then costs it caches, not time.
    """

    def __init__(self, of_thread: bool = False) -> None:
        self._now = time.thread_time if of_thread else time.perf_counter
        self.inference_s = 0.0
        #: Least watts that each sensor showed of the idle device, by its name.
        self.idle_w: dict[str, float] = {}

    def run(self, session: Any, inputs: dict[str, Any]) -> float:
        """Seconds of one run."""
        start = self._now()
        session.run(None, inputs)
        seconds = self._now() - start
        self.inference_s += seconds
        return seconds

    def warm_up(
        self, session: Any, inputs: dict[str, Any], limit_s: float, options: Any = None
    ) -> float:
        """Run until caches, clocks and memory pools are warm; returns the last run's seconds.

        options: onnxruntime's for the first run, which is ended after ``LONGEST_RUN_S``.
        """
        end = time.perf_counter() + WARM_UP * limit_s
        self._first_run(session, inputs, options)
        while True:
            seconds = self.run(session, inputs)
            if time.perf_counter() >= end:
                return seconds

    def _first_run(self, session: Any, inputs: dict[str, Any], options: Any) -> None:
        if options is None:
            self.run(session, inputs)
            return

        def end_run() -> None:
            options.terminate = True

        timer = threading.Timer(LONGEST_RUN_S, end_run)
        timer.daemon = True
        timer.start()
        start = time.perf_counter()
        try:
            session.run(None, inputs, options)
        finally:
            timer.cancel()
            self.inference_s += time.perf_counter() - start
            if options.terminate:
                raise RuntimeError(f"one run takes more than {LONGEST_RUN_S:g} s")

    def latency(
        self,
        session: Any,
        inputs: dict[str, Any],
        limit_s: float,
        between: Callable[[], None] = _nothing,
    ) -> dict[str, Any]:
        """Repeat until the median is stable, or the limit is reached.

        Runs during which the system gave the processor to someone else (involuntary context
        switches) are left out, as long as enough others remain: what else runs on the device
        is no property of the network. ``between`` is called now and then, between two runs.
        """
        start = time.perf_counter()
        times: list[float] = []
        calm: list[float] = []
        check = FEWEST_RUNS
        while True:
            while len(times) < check:
                before = preemptions()
                times.append(self.run(session, inputs))
                if preemptions() == before:
                    calm.append(times[-1])
                if len(times) >= FEWEST_RUNS and time.perf_counter() - start > limit_s:
                    break
            ordered = sorted(calm if len(calm) >= FEWEST_RUNS else times)
            _, width = median_interval(ordered)
            spent = time.perf_counter() - start
            settled = width <= STABLE and spent >= max(SETTLE_S, SETTLE_SHARE * limit_s)
            between()
            if settled or spent > limit_s or len(times) >= MOST_RUNS:
                break
            check = min(max(check + 5, int(check * 1.25)), MOST_RUNS)
        median, p10, p90 = (_quantile(ordered, q) * 1e3 for q in (0.5, 0.1, 0.9))
        values = {"median": median, "p10": p10, "p90": p90}
        found: dict[str, Any] = {name: rounded(value) for name, value in values.items()}
        found["runs"] = len(ordered)
        return found

    def rest(self, sensors: Sequence[Any], seconds: float) -> None:
        """Read the sensors while nothing runs: what the idle device uses."""
        start_sensors(sensors)
        start = time.perf_counter()
        time.sleep(seconds)
        spent = time.perf_counter() - start
        for sensor in sensors:
            (energy, _), _ = stop_sensor(sensor, spent, None)
            if energy is not None:
                watts = 1e-3 * energy / spent
                self.idle_w[sensor.name] = min(watts, self.idle_w.get(sensor.name, watts))

    def hold(
        self,
        session: Any,
        inputs: dict[str, Any],
        seconds: float,
        sensors: Sequence[Any],
        pause_s: float = 0.0,
    ) -> dict[str, Any]:
        """Run without pause while the sensors read; what a record says of energy.

        pause_s: nothing runs for so long before and after: the edges by which an external
                 meter's clock is found.
        """
        time.sleep(pause_s)
        slept = asleep_s()
        failed = start_sensors(sensors)
        begin, start, runs = time.time(), time.perf_counter(), 0
        while time.perf_counter() - start < seconds or not runs:
            self.run(session, inputs)
            runs += 1
        spent = time.perf_counter() - start
        idle_w = self.idle_w
        readings = [(s, *stop_sensor(s, spent, idle_w.get(s.name))) for s in sensors]
        stepped = abs((time.time() - begin) - (time.perf_counter() - start)) > CLOCK_STEP_S
        slept = asleep_s() - slept
        time.sleep(pause_s)
        if slept > CLOCK_STEP_S:
            return {"energy_problems": {"all": f"the system slept for {slept:.1f} s"}}
        found = self._energies(readings, failed, runs, spent)
        window = {"start": round(begin, 3), "seconds": round(spent, 4), "runs": runs}
        if pause_s:
            window["pause_s"] = pause_s
        if stepped:  # no reading of a meter can be told to be in it
            window["clock_was_set"] = True
        return {"window": window, **found}

    def _energies(
        self,
        readings: Sequence[tuple[Any, Reading, str]],
        failed: dict[str, str],
        runs: int,
        spent: float,
    ) -> dict[str, Any]:
        """The believed sensor's energy of a run, the others', and why some have none."""
        problems = {sensor.name: problem for sensor, _, problem in readings if problem}
        problems.update(failed)
        known = [
            (sensor, reading.energy_mj, reading.samples)
            for sensor, reading, _ in readings
            if reading.energy_mj is not None and sensor.name not in failed
        ]
        found: dict[str, Any] = {}
        if known:
            sensor, energy, samples = known[0]
            found["energy_mj"] = {
                "mean": rounded(energy / runs),
                "runs": runs,
                "samples": samples,
                "sensor": sensor.name,
            }
            if sensor.name in self.idle_w:
                found["energy_mj"]["idle_w"] = rounded(self.idle_w[sensor.name])
            if sensor.parts_mj:
                parts = {name: rounded(mj / runs) for name, mj in sensor.parts_mj.items()}
                found["energy_mj"]["parts"] = parts
            if len(known) > 1:
                others = {s.name: rounded(e / runs) for s, e, _ in known[1:]}
                found["energy_mj"]["others"] = others
            found["power_w"] = rounded(energy * 1e-3 / spent)
        if problems:
            found["energy_problems"] = problems
        return found
