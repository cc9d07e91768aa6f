"""What every flash command shares: argument errors, exit codes, interruption.

Exit codes are the same for all (``EXIT_CODES``); an error is one line on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from flash import __version__
from flash.errors import FlashError, UsageError, did_you_mean
from flash.extras import need, without_collection
from flash.interrupts import Terminated, interrupts_raise, quiet_interrupts

__all__ = [
    "COMPLETING",
    "EXIT_CODES",
    "CommandParser",
    "check_place",
    "run_command",
    "run_verb",
]

#: Set by a shell that asks how a word may go on; how many words are the command's own.
COMPLETING = "_ARGCOMPLETE"
#: At the end of every command's help, and in README.
EXIT_CODES = """\
Exit codes: 0 done, 1 the disk or the output failed, 2 wrong arguments, 3 a limit is not met,
4 a file is missing, unreadable or wrong, 5 nothing of what was asked for could be done,
130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP (what was finished is saved)."""


#: Options that name a file for a result, or its places where ``-`` is standard output.
_RESULTS = ("csv", "json", "markdown")


def _typed(command: str) -> str:
    """How the user calls a command: ``flash search``, or the module that Python was told to run."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = "" if spec is None else spec.name.removesuffix(".__main__")
    if module.partition(".")[0] != "flash":
        return f"flash {command}"
    return f"python -m {module}" + f" {command}" * (module != f"flash.{command}")


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the closest option."""

    def __init__(self, command: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=_typed(command),
            description=description,
            epilog=f"{epilog}\n{EXIT_CODES}".lstrip(),
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # A value such as -5ms belongs to its option, which says what is wrong with it.
        self._negative_number_matcher = re.compile(r"-\.?\d")
        self.add_argument("--version", action="version", version=f"flash {__version__}")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ``argparse``; where a shell asks how a word may go on, the answer to that."""
        if COMPLETING in os.environ:
            with contextlib.suppress(UsageError):  # argcomplete is an extra
                need("argcomplete", "completion").autocomplete(self)
        found = super().parse_args(args, namespace)
        self._check_places(found)
        return found

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """The values given for an option or argument; none is empty."""
        for word in arg_strings:
            if not word.strip():
                name = next(reversed(action.option_strings), "") or action.metavar or action.dest
                raise UsageError(f"{name}: is empty")
        return super()._get_values(action, arg_strings)

    def _check_places(self, found: argparse.Namespace) -> None:
        """Raise ``UsageError`` now where a result could not be written, or is an input, too."""
        given = vars(found)
        read = [v for k, v in given.items() if k not in _RESULTS]
        inputs = [p for v in read for p in (v if isinstance(v, list) else [v]) if type(p) is str]
        for name in _RESULTS:
            place = given.get(name)
            if not isinstance(place, str) or place == "-":
                continue
            check_place(place)
            for one in inputs:
                with contextlib.suppress(OSError, ValueError):
                    if Path(one).is_file() and Path(one).samefile(place):
                        raise UsageError(
                            f"--{name} {place}: that is an input, which stays as it is"
                        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage: the caller prints one line."""
        if message.startswith("unrecognized arguments: --"):
            word = message.split()[2].partition("=")[0]
            message = f"unknown option {word}{self._closest(word)}"
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        # The inherited one hides that help and version could not be printed.
        (file or sys.stdout).write(message)

    def _closest(self, word: str) -> str:
        options = [option for option in self._option_string_actions if option.startswith("--")]
        hint = did_you_mean(word, options)
        return hint if "did you mean" in hint else ""


def check_place(path: str, makes_folders: bool = False) -> None:
    """Raise ``UsageError`` where a file cannot be written, before the work that it is to hold.

    makes_folders: whoever writes it makes the folders that lack.
    """
    place, code = Path(path), 0
    try:
        while makes_folders and not place.exists() and not place.parent.exists():
            place = place.parent
        if place.is_dir():
            code = errno.EISDIR
        elif not place.exists() and not place.parent.is_dir():
            code = errno.ENOTDIR if place.parent.exists() else errno.ENOENT
        elif not os.access(place if place.exists() else place.parent, os.W_OK):
            code = errno.EACCES
    except (OSError, ValueError) as error:  # a name that no file can have
        raise UsageError(f"cannot write {path}: {error}") from None
    if code:
        raise UsageError(f"cannot write {path}: {os.strerror(code)}")


def run_command(
    main: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None
) -> int:
    """Run ``main`` on the arguments and return the exit code; never a traceback for users.

    1 says that the machine failed: no room for the result, standard output closed, memory
    used up. A reader of the output that went away (``head``) is no failure.
    """
    interrupts_raise()
    if sys.stdout is None:  # what Python makes of ``>&-``
        return _failed("cannot write the result: standard output is closed", 1)
    try:
        with contextlib.suppress(SystemExit):  # --help and --version: printed like a result
            main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except FlashError as error:
        return _failed(str(error), error.exit_code)
    except Terminated as error:
        return _failed(f"ended by {signal.Signals(error.number).name}", 128 + error.number)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except MemoryError:
        return _failed("not enough memory", 1)
    except BrokenPipeError:
        _drop(sys.stdout)
    except OSError as error:
        _drop(sys.stdout)
        what = error.filename or "the result"
        return _failed(f"cannot write {what}: {error.strerror or error}", 1)
    return 0


def run_verb(verb: str, arguments: Sequence[str]) -> int:
    """Run the command of the package ``flash.<verb>``; returns its exit code."""
    quiet_interrupts()
    with without_collection(for_good=True):
        module = importlib.import_module(f"flash.{verb}.command")
    return run_command(module.main, arguments)


def _failed(message: str, code: int) -> int:
    """Tell the user, in one line whatever the message quotes; returns ``code``."""
    line = "".join(c if c.isprintable() else " " for c in f"flash: {message}")
    if sys.stderr is not None:  # else print would take standard output
        try:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the one place errors are told
        except OSError:
            _drop(sys.stderr)
    return code


def _drop(stream: TextIO) -> None:
    """Send what is still to be written nowhere: the interpreter flushes when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
