"""Every error flash raises on purpose.

    FlashError                what the user can act on; the message says how
     ├─ UsageError            wrong arguments                              exit code 2
     ├─ InfeasibleError       no design meets the limits                   exit code 3
     ├─ LimitError            a model exceeds a limit                      exit code 3
 ├─ NothingDoneError      nothing of what was asked for could be done  exit code 5
     └─ InputError            a file that cannot be used                   exit code 4
         ├─ SpaceError        a search-space file
         └─ ProfileError      a hardware profile

Messages say what was expected, what came and what would work, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "FlashError",
    "InfeasibleError",
    "InputError",
    "LimitError",
    "NothingDoneError",
    "ProfileError",
    "SpaceError",
    "UsageError",
    "did_you_mean",
    "shown",
]

#: Characters of a value that a message shows: enough to find it in a file.
_SHOWN = 100


class FlashError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(FlashError):
    """Raised when arguments are wrong or contradict each other."""

    exit_code = 2


class InfeasibleError(FlashError):
    """Raised when no design of the space meets the limits."""

    exit_code = 3


class LimitError(FlashError):
    """Raised when a model exceeds a limit on a target."""

    exit_code = 3


class NothingDoneError(FlashError):
    """Raised when every part of a job failed: all trainings, all measurements."""

    exit_code = 5


class InputError(FlashError):
    """Raised when an input file is missing, malformed or says impossible things."""

    exit_code = 4


class SpaceError(InputError):
    """Raised when a search-space file cannot be used."""


class ProfileError(InputError):
    """Raised when a hardware profile cannot be used."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"``, or the known words when none is close."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f" (known: {', '.join(words)})" if words else ""


def shown(value: object) -> str:
    """A value from a file or the command line as a message shows it: one line, not too long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists in lists
        return "a value too large to show"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
