"""Running a program to its end: its progress passed on, its failure turned into an error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final, cast

from flash.errors import FlashError, InputError, UsageError

__all__ = ["Outcome", "run_program"]

#: How the measuring program begins the line that says why it ended.
_FAILURE: Final = "profile_device: "
_ERRORS: Final[dict[int, type[FlashError]]] = {2: UsageError, 4: InputError}
_INTERRUPTED: Final = 130
#: Seconds a program has to put its results in order after Ctrl-C.
_PATIENCE_S: Final = 20


@dataclass(frozen=True)
class Outcome:
    """How a program ended: exit code, standard output, last line of standard error."""

    code: int
    output: str
    last_words: str

    def check(self, doing: str) -> None:
        """Raise unless it ended well; ``doing`` says what was tried.

        What the measuring program said is passed on with its exit code.
        """
        if self.code == 0:
            return
        if self.code == _INTERRUPTED:
            raise KeyboardInterrupt
        words = self.last_words.removeprefix(_FAILURE) or f"exit code {self.code}"
        if not self.last_words.startswith(_FAILURE):
            words = f"{doing} failed: {words}"
        raise _ERRORS.get(self.code, FlashError)(words)


def run_program(arguments: Sequence[str], quiet: bool) -> Outcome:
    """Run a program, passing on its standard error line by line unless ``quiet``.

    Raises ``FlashError`` where there is no such program. Ctrl-C reaches the program as well
    (it is in the same process group); it is given time to end by itself, then
    ``KeyboardInterrupt`` is raised.
    """
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise FlashError(f"cannot run {arguments[0]}: {error.strerror}") from None
    last = ""
    with process:
        try:
            # Standard output is a few lines at the very end, which a pipe's buffer holds.
            for line in cast(IO[str], process.stderr):
                last = line.strip() or last
                if not quiet and not line.startswith(_FAILURE):
                    sys.stderr.write(line)
            output = cast(IO[str], process.stdout).read()
            return Outcome(process.wait(), output, last)
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
