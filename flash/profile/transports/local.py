"""This machine as a device: the measuring program in a process of its own."""

from __future__ import annotations

import sys

from flash.profile.transports.base import Job
from flash.profile.transports.process import run_program

__all__ = ["LocalDevice"]


class LocalDevice:
    """This machine, with this Python's onnxruntime."""

    def profile(self, job: Job) -> str:
        """See ``Device.profile``."""
        outcome = run_program(
            [
                *(sys.executable, str(job.script)),
                *(f"--suite={job.suite}", f"--out={job.out}", *job.options),
            ],
            job.quiet,
        )
        outcome.check("measuring")
        return outcome.output
