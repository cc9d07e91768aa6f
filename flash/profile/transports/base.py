"""What a device is to ``flash.profile``: something that takes a suite and fills a result file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flash.files.locations import script_file

__all__ = ["SCRIPT", "Device", "Job"]

#: The measuring program: the same file wherever it runs.
SCRIPT = "profile_device.py"


@dataclass(frozen=True)
class Job:
    """One run of the measuring program.

    suite:   the archive that ``flash.profile.suites.suite.build_suite`` made.
    out:     the result file here; what is in it already is not measured again.
    options: further options of the program, such as ``("--threads", "2")``.
    quiet:   no progress on standard error.
    """

    suite: Path
    out: Path
    options: tuple[str, ...] = ()
    quiet: bool = False

    @property
    def script(self) -> Path:
        """The measuring program's file."""
        return script_file(SCRIPT)


class Device(Protocol):
    """Where suites are measured."""

    def profile(self, job: Job) -> str:
        """Measure what ``job.out`` lacks; return the program's summary.

        Raises ``FlashError`` with the program's exit code and words, and ``KeyboardInterrupt``
        where it was interrupted; finished measurements are in ``job.out`` either way.
        """
