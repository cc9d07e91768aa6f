"""What a library is compiled for, as LLVM names it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from flash.errors import UsageError

__all__ = ["HOST", "Machine"]

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
