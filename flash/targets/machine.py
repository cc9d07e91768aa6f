"""What a library is compiled for: this machine, or the board of a profile."""

from __future__ import annotations

import os

from flash.backends.tvm.machine import HOST, Machine
from flash.errors import UsageError
from flash.files.locations import known_names
from flash.targets import load_hardware
from flash.targets.processor.profile import Profile

__all__ = ["machine_of"]


def machine_of(name_or_path: str) -> Machine:
    """``host``, or the board of a profile with a section ``[tvm]``.

    Raises ``UsageError`` for an unknown target and for one that has no such section.
    """
    if name_or_path == HOST:
        return Machine(HOST, cores=len(os.sched_getaffinity(0)))
    found = load_hardware(name_or_path)
    if not isinstance(found, Profile):
        raise UsageError(
            f"target {found.name} is no processor that TVM compiles for: {_compilable()}"
        )
    if found.tvm is None:
        raise UsageError(
            f"profile {found.name} has no section [tvm] with LLVM's mtriple and mcpu: add one, or "
            f"take another --target: {_compilable()}"
        )
    return Machine(found.name, found.tvm.mtriple, found.tvm.mcpu, found.device.cores or 1)


def _compilable() -> str:
    """The targets that work, for messages."""
    found = (load_hardware(name) for name in known_names("hw_profiles"))
    boards = [p.name for p in found if isinstance(p, Profile) and p.tvm is not None]
    return ", ".join([HOST, *boards])
