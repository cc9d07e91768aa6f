"""What a library is compiled for: this machine, or the board of a profile."""

from __future__ import annotations

import os

from flash.backends.tvm.machine import HOST, Machine
from flash.errors import UsageError
from flash.files.locations import known_names
from flash.targets.loading import load_hardware

__all__ = ["machine_of"]


def machine_of(name_or_path: str) -> Machine:
    """``host``, or the board of a profile that says what a compiler builds for.

    Raises ``UsageError`` for an unknown target and for one that does not say it.
    """
    if name_or_path == HOST:
        return Machine(HOST, cores=len(os.sched_getaffinity(0)))
    found = load_hardware(name_or_path)
    try:
        return found.machine()
    except UsageError as error:
        raise UsageError(f"{error}: {', '.join([HOST, *_compilable()])}") from None


def _compilable() -> list[str]:
    """The profiles that come with flash and say what a compiler builds for."""
    names = []
    for name in known_names("hw_profiles"):
        try:
            names.append(load_hardware(name).machine().name)
        except UsageError:
            continue
    return names
