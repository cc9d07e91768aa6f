"""Measures networks one by one and makes their records."""

from __future__ import annotations

import os
from typing import Any, Sequence

from flash.device.ground.refusal import Refused
from flash.device.heat import Throttling, temperature_c
from flash.device.libraries import Libraries
from flash.device.memory import PeakMemory
from flash.device.processor import ClockWatch, frequency_mhz, quota_stops
from flash.device.session import PROFILED_RUNS, Settings, kernel_times, make_inputs, open_session
from flash.device.suite import Task
from flash.device.timing import WARM_UP, Stopwatch, rounded


class Bench:
    """Measures tasks and makes their records.

    folder: for files of the moment. batch: images a run. sensors: read while networks are held.
    """

    def __init__(
        self, settings: Settings, folder: str, batch: int, sensors: Sequence[Any], watch: Stopwatch
    ) -> None:
        self.settings, self.folder, self.batch, self.sensors = settings, folder, batch, sensors
        self.watch, self.memory = watch, PeakMemory()
        self.throttled, self.clock = Throttling(), ClockWatch()

    def measure(self, task: Task, limit_s: float, number: int) -> dict[str, Any]:
        """The record of a task in pass ``number``; of a model that is refused, why."""
        try:
            return self._measure(task, limit_s, number)
        except (Refused, OSError):
            raise
        except (Exception, MemoryError) as error:  # onnxruntime's errors share no base
            line = " ".join(str(error).split()) or type(error).__name__
            return {"network": task.network, "error": line[:300]}

    def _measure(self, task: Task, limit_s: float, number: int) -> dict[str, Any]:
        self.memory.reset()
        self.clock.reset()
        self.throttled()  # forget what was before
        stops = quota_stops()
        trace_it = self.settings.kernels
        session = open_session(task, self.folder, self.settings, trace_it)
        inputs = make_inputs(session, self.batch, task.shapes)
        once = self.watch.warm_up(session, inputs, limit_s, Libraries.onnxruntime.RunOptions())
        kernels = None
        if trace_it:
            for _ in range(max(3, min(PROFILED_RUNS, int(WARM_UP * limit_s / once)))):
                self.watch.run(session, inputs)
            trace = session.end_profiling()  # what follows runs as without profiling
            kernels = kernel_times(trace)
            os.remove(trace)
        self.clock.look()
        record: dict[str, Any] = {
            "network": task.network,
            "latency_ms": self.watch.latency(session, inputs, limit_s, self.clock.look),
            "energy_mj": None,
            "power_w": None,
            "temperature_c": temperature_c(),
            "frequency_mhz": frequency_mhz(),
            **self.clock.seen(),
        }
        stopped = quota_stops()
        if number > 1:  # energy and memory are those of the first pass
            record["pass"] = number
        elif self.settings.hold_s:
            held = self.watch.hold(
                session, inputs, self.settings.hold_s, self.sensors, self.settings.pause_s
            )
            record.update(held)
        record["throttled"] = self.throttled()
        if stops is not None and stopped is not None:
            record["quota_stopped_s"] = rounded(max(stopped - stops, 0.0))
        record["resident_mb"] = self.memory.peak_mb()
        record["kernels"] = kernels
        return record
