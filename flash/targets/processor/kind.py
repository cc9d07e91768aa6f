"""Processors as a kind of target: boards one buys, with profiles fitted to measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flash.backends.tvm.machine import Machine
from flash.errors import UsageError
from flash.files.section import Section
from flash.targets.chips import Given
from flash.targets.kinds import ChipFamily, TargetKind
from flash.targets.processor.profile import Profile, read_profile
from flash.targets.processor.target import ProcessorTarget

__all__ = ["KIND", "ProcessorHardware"]


@dataclass(frozen=True)
class ProcessorHardware:
    """A board with its runtimes; it has no hardware variables.

    named: whether the user named the runtime in use.
    """

    profile: Profile
    named: bool = False

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.profile.name

    def select(self, runtime: str) -> ProcessorHardware:
        """The same board with another runtime in use; ``UsageError`` if it has none such."""
        return ProcessorHardware(self.profile.select(runtime), named=True)

    def target(self, given: Given | None = None) -> ProcessorTarget:
        """The board with the runtime in use; ``UsageError`` for hardware variables."""
        if given is not None:
            raise UsageError(f"target {self.name} has no hardware variables; leave --hardware out")
        return ProcessorTarget(self.profile, named=self.named)

    def family(self, given: Given | None = None) -> ChipFamily | None:
        """None: a board is what it is."""
        return None

    def machine(self) -> Machine:
        """The board as LLVM names it; ``UsageError`` where the profile does not say."""
        profile = self.profile
        if profile.tvm is None:
            raise UsageError(
                f"profile {profile.name} has no section [tvm] with LLVM's mtriple and mcpu: add "
                "one, or take another --target"
            )
        tvm = profile.tvm
        return Machine(profile.name, tvm.mtriple, tvm.mcpu, profile.device.cores or 1)

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """The runtimes."""
        return {"runtime": tuple(self.profile.runtimes)}


def _read(top: Section) -> ProcessorHardware:
    return ProcessorHardware(read_profile(top))


def _prefer(hardware: ProcessorHardware, family: str) -> ProcessorHardware:
    preferred = hardware.profile.default_for.get(family)
    return hardware if preferred is None else ProcessorHardware(hardware.profile.select(preferred))


KIND: Final = TargetKind(
    "a processor with latencies and energies fitted to measurements", _read, _prefer
)
