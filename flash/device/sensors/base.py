"""What a sensor is: something that says how much energy was used in a window of time.

A sensor is started, the network runs without a pause, the sensor is stopped. It answers with
millijoules, or with None and the reason: a wrong energy is worse than none.

A package of its own adds a sensor through the entry-point group ``flash.sensors``: a class or
function that, called without arguments, gives one ``Sensor`` or an iterable of them.
``flash.profile`` then reads it on this machine (devices over ssh have the built-in ones only).
A sensor that this machine lacks is not an error: its ``available`` says why, as
``AbsentSensor`` does. ``PowerMeter`` and ``Counter`` are sensors already: give them a function
that reads watts, or counted millijoules.
"""

from __future__ import annotations

import math
from typing import Any, Iterable, NamedTuple, Protocol

#: A window has to be this many updates of a sensor long. A counter is read twice, each time up
#: to one update old: 10 updates keep that under 10 %. At half of it the error doubles.
FEWEST_UPDATES = 10.0
#: A busy device uses at least this share of what it uses idle. Below, the sensor does not see
#: the device, or its clock or sign is wrong. Less than 1: idle power drifts (fans, displays).
IDLE_SHARE = 0.8
#: No sensor here is on something larger, in watts: eight accelerators in one server.
LARGEST_W = 10_000.0


class Reading(NamedTuple):
    """The answer of a sensor for one window.

    energy_mj: millijoules; None where the sensor cannot say (its ``problem`` says why).
    samples:   how many readings it comes from.
    """

    energy_mj: float | None
    samples: int


class Sensor(Protocol):
    """One sensor of a device.

    name:       how results call it, such as ``rapl:package-0``.
    kind:       ``counter`` (counts energy) or ``power`` (shows power, sampled).
    scope:      what its energy is of: ``package``, ``gpu``, ``board``, ``machine``, ...
    period_s:   seconds between two updates of what it shows.
    resolution: its smallest step and how good it is, in words.
    limit_w:    more than this it cannot show truly: the rating of what it measures.
    problem:    why the last window has no energy; empty where it has.
    parts_mj:   of the last window: energy of each part that was summed, by name; may be empty.
    """

    name: str
    kind: str
    scope: str
    period_s: float
    resolution: str
    limit_w: float
    problem: str
    parts_mj: dict[str, float]

    def available(self) -> str:
        """Empty where the sensor can be read now; else why not and what mends it."""

    def start(self) -> None:
        """Begin a window."""

    def stop(self, seconds: float) -> Reading:
        """End the window, which was ``seconds`` long."""


class AbsentSensor:
    """A sensor that is not there or cannot be read: the null object. See ``Sensor``."""

    kind = "absent"
    scope = ""
    period_s = 0.0
    resolution = ""
    limit_w = 0.0

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.problem = name, reason
        self.parts_mj: dict[str, float] = {}

    def available(self) -> str:
        """Why it cannot be read."""
        return self.problem

    def start(self) -> None:
        """Do nothing."""

    def stop(self, seconds: float) -> Reading:
        """No energy."""
        return Reading(None, 0)


def implausible(
    energy_mj: float, seconds: float, limit_w: float, period_s: float, idle_w: float | None = None
) -> str:
    """Why an energy cannot be that of ``seconds`` of work; empty where it can.

    idle_w: what the sensor shows of the idle device, where that is known.
    """
    if seconds < FEWEST_UPDATES * period_s * (1 - 1e-9):
        return (
            f"a window of {seconds:.3g} s is too short for a sensor that is updated every "
            f"{period_s:.3g} s: --hold {math.ceil(FEWEST_UPDATES * period_s)}s"
        )
    power_w = 1e-3 * energy_mj / seconds
    if not math.isfinite(power_w):
        return "it shows no finite number"
    if power_w < 0:
        return f"{power_w:.3g} W is below zero: wired the other way round, or charging"
    if power_w == 0:
        return "it stood still while the network ran"
    if power_w > limit_w:
        return f"{power_w:.4g} W is more than the {limit_w:.4g} W it can be"
    if idle_w is not None and power_w < IDLE_SHARE * idle_w:
        return f"{power_w:.3g} W while the network ran is less than {idle_w:.3g} W idle"
    return ""


def availability(sensor: Any) -> str:
    """Why a sensor cannot be read; empty where it can. Whatever it raises is a reason, too."""
    try:
        return str(sensor.available())
    except Exception as error:  # somebody's package
        return f"{sensor.name}: {type(error).__name__}: {error}"


def start_sensors(sensors: Iterable[Any]) -> dict[str, str]:
    """Start all; of those that fail, by name, why."""
    failed = {}
    for sensor in sensors:
        try:
            sensor.start()
        except Exception as error:  # somebody's package
            failed[sensor.name] = f"{type(error).__name__}: {error}"
    return failed


def stop_sensor(sensor: Any, seconds: float, idle_w: float | None) -> tuple[Reading, str]:
    """A sensor's reading of a window, or none and why: whatever it raises, too."""
    try:
        energy, samples = sensor.stop(seconds)
        problem = str(sensor.problem)
        if energy is not None and not problem:
            problem = implausible(float(energy), seconds, sensor.limit_w, 0.0, idle_w)
        if energy is not None and not problem:
            return Reading(float(energy), int(samples)), ""
    except Exception as error:  # somebody's package
        problem = f"{type(error).__name__}: {error}"
    return Reading(None, 0), problem or "it has no reading"


def describe_sensor(sensor: Any) -> dict[str, Any]:
    """How the header of a result file describes a sensor."""
    return {
        "name": sensor.name,
        "kind": sensor.kind,
        "scope": sensor.scope,
        "period_s": sensor.period_s,
        "resolution": sensor.resolution,
    }


def sensors_of(made: Any) -> list[Any]:
    """The sensors that a factory made: one, or several."""
    return list(made) if isinstance(made, Iterable) else [made]
