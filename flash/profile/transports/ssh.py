"""A device reached over ssh: the measuring program is copied there, run, its results fetched.

Strict by choice: the host's key must be known already (``ssh`` to it once by hand), and only
keys or an agent can log in (no password is asked for or accepted). Names are checked before
they reach a command line, and come after ``--``.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from flash.errors import FlashError, UsageError, shown
from flash.files.reading import read_bytes
from flash.files.scratch import scratch_folder
from flash.files.writing import write_bytes
from flash.profile.transports.base import DEFAULT_BUDGET_S, LEAST_BUDGET_S, SCRIPT, Job
from flash.profile.transports.journal import read_journal
from flash.profile.transports.process import Outcome, run_program

__all__ = ["SshDevice"]

_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?:({_NAME})@)?({_NAME})(?::([1-9][0-9]{{0,4}}))?")
_PYTHON: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*")
_OPTIONS: Final = (
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=yes",
    "-oConnectTimeout=10",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
    "-oForwardAgent=no",
)
#: In the home folder there; one folder a suite, so that runs resume.
_FOLDER: Final = ".cache/flash-profile"


class SshDevice:
    """``user@host`` or ``host``, with ``:port`` if need be; or a name of ssh's configuration.

    python: the interpreter there that has numpy and onnxruntime, relative to the home folder
            or on the path.

    Raises ``UsageError`` for a name that is none.
    """

    def __init__(self, host: str, python: str = "python3") -> None:
        match = _HOST.fullmatch(host)
        if match is None or int(match[3] or 22) > 65535:
            raise UsageError(f"--ssh {shown(host)}: expected user@host, host or user@host:port")
        if not _PYTHON.fullmatch(python):
            raise UsageError(f"--remote-python {shown(python)}: expected a program such as python3")
        self._target = f"{match[1]}@{match[2]}" if match[1] else match[2]
        self._port = match[3]
        self._python = python

    def profile(self, job: Job) -> str:
        """See ``Device.profile``. What was measured is fetched after a failure, too."""
        if job.options.meter is not None:
            raise UsageError(
                "a meter's readings are here: measure over ssh with hold_s first, then merge the "
                "CSV with scripts/profile_device.py --meter"
            )
        began = time.perf_counter()
        read_journal(job.out)  # a file of something else is refused before anything is done
        key = hashlib.sha256(job.suite.read_bytes()).hexdigest()[:16]
        folder = f"{_FOLDER}/{key}"
        # Results under other options are other files.
        words = replace(job.options, resume=True, budget_s=DEFAULT_BUDGET_S).words()
        options = hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]
        result = f"{folder}/{options}.jsonl"
        job.tell(f"connecting to {self._target}")
        self._run(f"mkdir -p {shlex.quote(folder)}", job).check(
            f"reaching {self._target} (a known host key and a login without password are needed: "
            f"try 'ssh {self._target}' once)"
        )
        job.tell(f"copying the suite, {job.suite.stat().st_size / 1e6:.1f} MB, to {self._target}")
        self._send(job.script, f"{folder}/{SCRIPT}", job)
        self._send(job.suite, f"{folder}/suite.zip", job)
        if job.out.exists() and self._run(f"test -e {shlex.quote(result)}", job).code == 1:
            self._send(job.out, result, job)
        command = [self._python, f"{folder}/{SCRIPT}", f"--suite={folder}/suite.zip"]
        # What the way there took is part of the time that measuring may take.
        left_s = max(job.options.budget_s - (time.perf_counter() - began), LEAST_BUDGET_S)
        command += [f"--out={result}", *replace(job.options, budget_s=left_s).words()]
        job.tell(f"starting {self._python} there: a line follows for each network")
        try:
            outcome = self._run(shlex.join(command), job)
        except BaseException:
            self._fetch(result, job)
            raise
        fetched = self._fetch(result, job)
        outcome.check(f"measuring on {self._target}")
        if not fetched:
            raise FlashError(f"measured on {self._target}, but {result} could not be fetched")
        return outcome.output.replace(result, str(job.out))

    def _run(self, command: str, job: Job) -> Outcome:
        port = ("-p", self._port) if self._port else ()
        arguments = [_program("ssh"), "-n", "-T", *_OPTIONS, *port, "--", self._target, command]
        return run_program(arguments, job.quiet)

    def _copy(self, source: str, target: str, quiet: bool) -> Outcome:
        port = ("-P", self._port) if self._port else ()
        arguments = [_program("scp"), "-q", *_OPTIONS, *port, "--", source, target]
        return run_program(arguments, quiet)

    def _send(self, source: Path, place: str, job: Job) -> None:
        copied = self._copy(str(source.resolve()), f"{self._target}:{place}", job.quiet)
        copied.check(f"copying {source.name} to {self._target}")

    def _fetch(self, place: str, job: Job) -> bool:
        """Fetch the result file, whole or not at all."""
        with scratch_folder("ssh") as folder:
            here = folder / "result"
            copied = self._copy(f"{self._target}:{place}", str(here), True)
            if copied.code == 0:
                write_bytes(job.out, read_bytes(here))
            return copied.code == 0


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FlashError(f"there is no {name} on this machine: install the OpenSSH client")
    return found
