"""What a library is compiled for: this machine, or the board of a profile."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any

from flash.data import known_names
from flash.errors import UsageError
from flash.hardware.profile import Profile
from flash.targets import load_hardware

__all__ = ["HOST", "Machine", "machine_of"]

HOST = "host"


@dataclass(frozen=True)
class Machine:
    """A processor as LLVM names it; triple and CPU are empty for the machine we run on."""

    name: str
    mtriple: str = ""
    mcpu: str = ""
    cores: int = 1

    @property
    def is_host(self) -> bool:
        """Whether it is the machine we run on."""
        return not self.mtriple

    @property
    def linker(self) -> str:
        """The C++ compiler that links for it, as Debian names it."""
        return "g++" if self.is_host else f"{self.mtriple}-g++"

    def check_linker(self) -> None:
        """Raise ``UsageError`` where the compiler is not installed."""
        if shutil.which(self.linker) is None:
            package = "g++" if self.is_host else f"g++-{self.mtriple}"
            raise UsageError(
                f"linking for {self.name} needs {self.linker}, which is not installed: "
                f"apt install {package}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As in the manifest."""
        return {
            "name": self.name,
            "mtriple": self.mtriple or "native",
            "mcpu": self.mcpu or "native",
            "cores": self.cores,
        }


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
