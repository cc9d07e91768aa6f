"""``flash COMMAND ...`` is ``python -m flash.COMMAND ...``."""

from __future__ import annotations

from flash.interrupts import quiet_interrupts

if __name__ == "__main__":  # before anything that takes long to import
    quiet_interrupts()

import importlib
import os
import sys
from collections.abc import Sequence

from flash import COMMANDS, __version__
from flash.command import COMPLETING, CommandParser, run_command
from flash.errors import UsageError, did_you_mean

__all__ = ["main"]


#: Commands that are no package of their own -> ``"module:function"``.
_HOMES = {
    "check": "flash.estimate.checking:main",
    "list": "flash.info.command:list_main",
    "compare": "flash.info.command:compare_main",
    "doctor": "flash.info.command:doctor_main",
}


def _complete() -> None:
    """Answer the shell: commands, or the options of the one that is named."""
    line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "1000"))]
    words = line.split()
    named = words[1] if len(words) > 2 or (len(words) == 2 and line.endswith(" ")) else ""
    if named in COMMANDS:
        os.environ[COMPLETING] = "2"  # the shell's words after "flash search"
        _dispatch([named])
        return
    parser = CommandParser("COMMAND", "")
    parser.add_argument("command", choices=list(COMMANDS))
    parser.parse_args(["list"])


def _dispatch(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
        sys.stdout.write("usage: flash COMMAND [options]\n\n" + "\n".join(lines) + "\n")
        return
    command, *rest = arguments
    if command == "--version":
        sys.stdout.write(f"flash {__version__}\n")
        return
    if command not in COMMANDS:
        raise UsageError(f"unknown command '{command}'{did_you_mean(command, COMMANDS)}")
    module, _, function = _HOMES.get(command, f"flash.{command}.command:main").partition(":")
    getattr(importlib.import_module(module), function)(rest)


def main() -> int:
    """Entry point of the console command."""
    quiet_interrupts()
    if COMPLETING in os.environ:
        _complete()
    return run_command(_dispatch)


if __name__ == "__main__":
    sys.exit(main())
