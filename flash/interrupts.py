"""Ctrl-C while something is being imported.

numpy and scipy take up to a second to import, at the start of a command or in its midst. A
KeyboardInterrupt in that time would be a traceback, or C code turns it into an ImportError or ends
the process: the command ends at once instead, in one line. What it has finished is on disk, its
children end with it. This module imports next to nothing, so that a command can call it before all
else.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import sys


def _own_program() -> bool:
    """Whether ``python -m flash`` or one of its commands is being started."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.partition(".")[0] == "flash"


if _own_program() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # what follows takes some milliseconds

import contextlib  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes as long to import as all the others
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn

__all__ = ["Terminated", "interrupts_raise", "quiet_imports", "quiet_interrupts"]

#: Whether a command runs, the program being its own.
_is_command = False


def quiet_interrupts() -> None:
    """Let Ctrl-C end the program in one line, exit code 130, until ``interrupts_raise``."""
    global _is_command
    quiet = (signal.default_int_handler, _interrupt, *([signal.SIG_DFL] * _own_program()))
    if signal.getsignal(signal.SIGINT) in quiet:
        signal.signal(signal.SIGINT, _leave)
        _is_command = True


class Terminated(KeyboardInterrupt):
    """Raised in a command when SIGTERM or SIGHUP ends it: what Ctrl-C puts in order, they do."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interrupts_raise() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, where ``quiet_interrupts`` changed that.

    In a command SIGTERM and SIGHUP raise ``Terminated`` from here on, unless they are ignored
    (``nohup``): children end, and what is finished is kept. While a module is imported all three
    end the process at once.
    """
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)
    if _is_command and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _terminate)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """While C++ libraries are imported in the midst of a command: as ``quiet_interrupts``.

    A KeyboardInterrupt that reaches them makes some abort the process (seen with onnx). Does
    nothing where flash is a library, or where Ctrl-C was never quiet.
    """
    ours = _is_command and threading.current_thread() is threading.main_thread()
    if ours:
        quiet_interrupts()
    try:
        yield
    finally:
        if ours:
            interrupts_raise()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    if _is_importing(frame):
        _leave(number, frame)
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    if _is_importing(frame):
        _leave(number, frame)
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is putting in order
    raise Terminated(number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    what = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    try:
        os.write(2, f"flash: {what}\n".encode())
    finally:
        os._exit(128 + number)
