"""What a device is to ``flash.profile``: something that takes a suite and fills a result file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from flash.files.locations import script_file

__all__ = ["DEFAULT_BUDGET_S", "LEAST_BUDGET_S", "SCRIPT", "Device", "Job", "Options"]

#: The measuring program: the same file wherever it runs.
SCRIPT: Final = "profile_device.py"
#: Seconds that measuring takes at most where nobody says.
DEFAULT_BUDGET_S: Final = 300.0
#: Seconds that are left for measuring whatever comes before it took: one network at least.
LEAST_BUDGET_S: Final = 1.0


@dataclass(frozen=True)
class Options:
    """How networks are measured; None leaves the choice to the measuring program.

    threads:        of an operator; all cores that the device may use if None.
    provider:       ``cpu`` or ``cuda``.
    budget_s:       seconds for all networks together.
    processor_time: count the thread's processor time instead of the time that passes.
    passes:         how often to go round all networks; each one's fastest pass counts.
    kernels:        time every kernel, too.
    hold_s:         seconds that each network runs for power sensors.
    meter:          CSV of an external meter; meter_offset_s: its clock less the device's.
    i2c, shunt_ohm: an INA219 or INA226 such as ``1:0x40``, and its shunt resistor.
    sensor:         believe the sensor whose name has this in it.
    plugins:        factories of sensors as ``module:attribute``, of packages that are installed.
    resume:         keep what the result file holds already.
    """

    threads: int | None = None
    provider: str | None = None
    budget_s: float = DEFAULT_BUDGET_S
    passes: int = 1
    processor_time: bool = False
    kernels: bool = False
    hold_s: float | None = None
    meter: str | None = None
    meter_offset_s: float | None = None
    i2c: str | None = None
    shunt_ohm: float | None = None
    sensor: str | None = None
    plugins: tuple[str, ...] = ()
    resume: bool = True

    def words(self) -> tuple[str, ...]:
        """As arguments of the measuring program."""
        given = {
            "threads": self.threads,
            "provider": self.provider,
            "budget": f"{self.budget_s:.3f}s",
            "passes": self.passes if self.passes != 1 else None,
            "hold": None if self.hold_s is None else f"{self.hold_s:.3f}s",
            "meter": self.meter,
            "meter-offset": None if self.meter_offset_s is None else f"{self.meter_offset_s:.3f}s",
            "i2c": self.i2c,
            "shunt": None if self.shunt_ohm is None else f"{self.shunt_ohm:.9f}",
            "sensor": self.sensor,
        }
        words = [f"--{name}={value}" for name, value in given.items() if value is not None]
        words += [f"--plugin={place}" for place in self.plugins]
        switches = {
            "processor-time": self.processor_time,
            "kernels": self.kernels,
            "no-resume": not self.resume,
        }
        return (*words, *(f"--{name}" for name, on in switches.items() if on))


@dataclass(frozen=True)
class Job:
    """One run of the measuring program.

    suite:   the archive that ``flash.profile.suites.suite.build_suite`` made.
    out:     the result file here; what is in it already is not measured again.
    options: how to measure.
    quiet:   no progress on standard error.
    """

    suite: Path
    out: Path
    options: Options = Options()
    quiet: bool = False

    def tell(self, message: str) -> None:
        """A line on standard error, unless ``quiet``."""
        if not self.quiet:
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()

    @property
    def script(self) -> Path:
        """The measuring program's file."""
        return script_file(SCRIPT)


class Device(Protocol):
    """Where suites are measured."""

    def profile(self, job: Job) -> str:
        """Measure what ``job.out`` lacks; return the program's summary.

        Raises ``FlashError`` with the program's exit code and words (``NothingDoneError``
        where every network was refused), and ``KeyboardInterrupt`` where it was interrupted;
        finished measurements are in ``job.out`` either way.
        """
