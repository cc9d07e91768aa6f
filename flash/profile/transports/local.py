"""This machine as a device: the measuring program in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import replace

from flash.device.registry import added_places
from flash.profile.transports.base import Job
from flash.profile.transports.process import run_program

__all__ = ["LocalDevice"]


class LocalDevice:
    """This machine, with this Python's onnxruntime."""

    def profile(self, job: Job) -> str:
        """See ``Device.profile``. Sensors of packages that are installed here are read, too."""
        options = replace(job.options, plugins=(*job.options.plugins, *added_places()))
        command = [sys.executable, str(job.script), f"--suite={job.suite}", f"--out={job.out}"]
        outcome = run_program([*command, *options.words()], job.quiet)
        outcome.check("measuring")
        return outcome.output
