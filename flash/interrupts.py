"""Ctrl-C while a command is still being imported.

numpy and scipy take up to a second to import. A KeyboardInterrupt in that time would be a
traceback, or be turned into other errors by C code; there is nothing to clean up yet. This
module imports next to nothing, so that a command can call it before all else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

__all__ = ["Terminated", "interrupts_raise", "quiet_imports", "quiet_interrupts"]

#: Whether a command runs, the program being its own.
_is_command = False


def quiet_interrupts() -> None:
    """Let Ctrl-C end the program in one line, exit code 130, until ``interrupts_raise``."""
    global _is_command
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
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
    (``nohup``): children end, and what is finished is kept.
    """
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
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


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is putting in order
    raise Terminated(number)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    try:
        os.write(2, b"flash: interrupted\n")
    finally:
        os._exit(130)
