"""What every flash command shares: argument errors, exit codes, interruption.

Exit codes: 0 done, 2 wrong arguments, 3 no design meets the limits, 4 bad input file,
130 interrupted. An error is one line on standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from flash import __version__
from flash.errors import FlashError, UsageError, did_you_mean

__all__ = ["CommandParser", "run_command"]


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the closest option."""

    def __init__(self, command: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"python -m flash.{command}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--version", action="version", version=f"flash {__version__}")

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage: the caller prints one line."""
        if message.startswith("unrecognized arguments: --"):
            word = message.split()[2].partition("=")[0]
            message = f"unknown option {word}{self._closest(word)}"
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _closest(self, word: str) -> str:
        options = [option for option in self._option_string_actions if option.startswith("--")]
        hint = did_you_mean(word, options)
        return hint if "did you mean" in hint else ""


def run_command(
    main: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None
) -> int:
    """Run ``main`` on the arguments and return the exit code; never a traceback for users."""
    try:
        main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except FlashError as error:
        print(f"flash: {error}", file=sys.stderr)  # noqa: T201 - the one place errors are told
        return error.exit_code
    except KeyboardInterrupt:
        print("flash: interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) went away: nothing is wrong, say nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0
