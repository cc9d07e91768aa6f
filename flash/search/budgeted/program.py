"""Accuracies from the user's own program: a design in, one number out.

The program is run once a design, without a shell. It reads one JSON object from standard input,

    {"space": "nasbench201", "id": "1f3", "design": {"e0": 3, ...}, "description": "|nor_conv..."}

and prints the accuracy as the last line of its standard output; more is better. Another exit
status than 0, no number, or too much time is a failed training: it is recorded and skipped. What
the program writes to standard error is passed on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flash.errors import NothingDoneError, UsageError, shown
from flash.quantities import number_of
from flash.search.budgeted.candidates import Ints
from flash.search.budgeted.evaluator import Evaluator, TrainingError, Trial
from flash.search.budgeted.journal import Journal
from flash.spaces.space import SearchSpace

__all__ = ["ProgramEvaluator", "command_words"]

#: A program that fails on so many designs before its first success is broken.
_HOPELESS = 5


class ProgramEvaluator(Evaluator):
    """Runs a program for each design; results are kept in a journal.

    command:   the program and its arguments.
    journal:   where results go, and where those of an interrupted search are found.
    timeout_s: seconds a training may take; None waits for ever.
    progress:  told of each trial with its number, starting at 1.

    Raises ``UsageError`` for a program that cannot be started, and ``NothingDoneError`` if the
    first five designs all fail.
    """

    def __init__(
        self,
        budget: int,
        space: SearchSpace,
        command: Sequence[str],
        journal: Journal,
        timeout_s: float | None = None,
        progress: Callable[[int, Trial], None] | None = None,
    ) -> None:
        super().__init__(budget)
        self._space = space
        self._command = list(command)
        self._journal = journal
        self._timeout_s = timeout_s
        self._progress = progress

    def train(self, design: Ints) -> Trial:
        """Find the design in the journal, or run the program."""
        earlier = self._journal.find(design)
        if earlier is not None:
            return earlier
        request = {
            "space": self._space.name,
            "id": self._space.identify(design),
            "design": self._space.named(design),
            "description": self._space.describe(design),
        }
        began = time.perf_counter()
        accuracy = _number(self._run(json.dumps(request) + "\n"))
        return Trial(tuple(design.tolist()), accuracy, time.perf_counter() - began)

    def note(self, trial: Trial) -> None:
        """Keep the trial; give up on a program that never works."""
        if not trial.reused:
            self._journal.append(trial)
        if self._progress is not None:
            self._progress(self.spent, trial)
        if self.spent == _HOPELESS and all(one.failed for one in self.trials):
            raise NothingDoneError(
                f"{shown(' '.join(self._command))} failed on the first {_HOPELESS} designs: "
                f"{trial.failure}"
            )

    def _run(self, request: str) -> str:
        """Standard output of the program; it and its children end with this call."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                encoding="utf-8",
                errors="replace",
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot run {shown(self._command[0])}: {reason}") from None
        try:
            output, _ = process.communicate(request, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise TrainingError(f"took more than {self._timeout_s:g} s") from None
        finally:
            _end(process)
        if process.returncode < 0:
            raise TrainingError(f"was ended by signal {-process.returncode}")
        if process.returncode > 0:
            raise TrainingError(f"left with exit status {process.returncode}")
        return output


def _end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of the program's process group, e.g. after a timeout or Ctrl-C."""
    with contextlib.suppress(OSError):  # nothing is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _number(output: str) -> float:
    lines = output.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    value = number_of(last)
    if math.isnan(value):
        raise TrainingError(f"printed {shown(last)} where a number is expected")
    if not 0 <= value <= 100:
        raise TrainingError(f"printed {value:g}: is that an accuracy from 0 to 100 per cent?")
    return value


def command_words(text: str) -> list[str]:
    """The program and arguments of a command line, quotes as in a shell; nothing is expanded."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--evaluator {shown(text)}: {error}") from None
    if not words:
        raise UsageError("--evaluator needs a program or a CSV file")
    return words


def check_program(words: Sequence[str]) -> None:
    """Raise ``UsageError`` where there is no such program, before designs are listed for it."""
    try:
        found = shutil.which(words[0])
        there = os.sep in words[0] and Path(words[0]).exists()
    except (OSError, ValueError):  # a name that no file can have
        found, there = None, False
    if found is None:
        reason = os.strerror(errno.EACCES if there else errno.ENOENT)
        raise UsageError(f"cannot run {shown(words[0])}: {reason}")
