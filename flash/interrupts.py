"""Ctrl-C while a command is still being imported.

numpy and scipy take up to a second to import. A KeyboardInterrupt in that time would be a
traceback, or be turned into other errors by C code; there is nothing to clean up yet. This
module imports next to nothing, so that a command can call it before all else.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

__all__ = ["interrupts_raise", "quiet_interrupts"]


def quiet_interrupts() -> None:
    """Let Ctrl-C end the program in one line, exit code 130, until ``interrupts_raise``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def interrupts_raise() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, where ``quiet_interrupts`` changed that."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    try:
        os.write(2, b"flash: interrupted\n")
    finally:
        os._exit(130)
