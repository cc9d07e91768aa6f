"""Running a program to its end: its progress passed on, its failure turned into an error."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final

from flash.errors import FlashError, InputError, NothingDoneError, UsageError

__all__ = ["Outcome", "run_program"]

#: How the measuring program begins the line that says why it ended.
_FAILURE: Final = "profile_device: "
_ERRORS: Final[dict[int, type[FlashError]]] = {
    2: UsageError,
    4: InputError,
    5: NothingDoneError,
}
#: SIGINT, SIGTERM, SIGHUP, each as an exit code and as a death.
_INTERRUPTED: Final = (130, 143, 129, -2, -15, -1)
#: Seconds a program has to put its results in order after Ctrl-C.
_PATIENCE_S: Final = 20
#: Seconds to wait for the rest of the output when the program is gone: a child that it left
#: behind may keep the pipe open for ever.
_REST_S: Final = 2.0
#: Lines of output that are kept, and the longest line, in characters: a program gone mad must
#: not fill the memory.
_MOST_LINES: Final = 1000
_LONGEST_LINE: Final = 10_000


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
        if self.code in _INTERRUPTED:
            raise KeyboardInterrupt
        words = self.last_words.removeprefix(_FAILURE) or f"exit code {self.code}"
        if not self.last_words.startswith(_FAILURE):
            words = f"{doing} failed: {words}"
        raise _ERRORS.get(self.code, FlashError)(words)


def run_program(arguments: Sequence[str], quiet: bool) -> Outcome:
    """Run a program, passing on its standard error line by line unless ``quiet``.

    Raises ``FlashError`` where there is no such program. It ends with the program, whoever
    still holds the other end of its output. Ctrl-C reaches the program as well (it is in the
    same process group), SIGTERM and SIGHUP are passed on; it is given time to end by itself, then
    ``KeyboardInterrupt`` is raised.
    """
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FlashError(f"cannot run {arguments[0]}: {why}") from None
    output, errors = _Reader(process.stdout, False), _Reader(process.stderr, not quiet)
    try:
        code = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        output.finish()
        errors.finish()
    return Outcome(code, output.text, errors.last)


class _Reader:
    """Reads one stream of a program in a thread: the last lines, passed on if ``told``."""

    def __init__(self, stream: IO[str] | None, told: bool) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._stream, self._told = stream, told
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._stream is None:
            return
        with contextlib.suppress(OSError, ValueError), self._stream:
            while line := self._stream.readline(_LONGEST_LINE):
                self._lines.append(line)
                if self._told and not line.startswith(_FAILURE):
                    with contextlib.suppress(OSError, ValueError):
                        sys.stderr.write(line)
                        sys.stderr.flush()

    def finish(self) -> None:
        """Take what is still in the pipe; whoever holds its other end is not waited for."""
        self._thread.join(_REST_S)

    @property
    def text(self) -> str:
        """What was read."""
        return "".join(list(self._lines))

    @property
    def last(self) -> str:
        """The last line that says something."""
        said = [line.strip() for line in list(self._lines) if line.strip()]
        return said[-1] if said else ""


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
