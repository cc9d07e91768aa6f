"""Crossbar tiles as a kind of target: one chip, or all chips of a profile at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flash.backends.tvm.machine import Machine
from flash.errors import UsageError
from flash.files.section import Section
from flash.targets.chips import Given, chip_of, open_grid, values_of
from flash.targets.imc.family import ImcFamily
from flash.targets.imc.profile import ImcHardware, read_imc
from flash.targets.imc.target import ImcTarget
from flash.targets.kinds import TargetKind

__all__ = ["KIND", "CrossbarTiles"]


@dataclass(frozen=True)
class CrossbarTiles:
    """The chips of a profile of crossbar tiles."""

    hardware: ImcHardware

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.hardware.name

    def select(self, runtime: str) -> CrossbarTiles:
        """Raise ``UsageError``: a chip has no runtimes."""
        raise UsageError(f"target {self.name} has no runtimes; leave --runtime out")

    def target(self, given: Given | None = None) -> ImcTarget:
        """The chip with the variables given, the others as in ``[default]``."""
        hardware = self.hardware
        return ImcTarget(hardware, chip_of(given, hardware.default, tuple(hardware.variables)))

    def family(self, given: Given | None = None) -> ImcFamily | None:
        """All chips with the variables given, over the values of ``[codesign]``."""
        hardware = self.hardware
        fixed = values_of(given, tuple(hardware.variables))
        example = self.target(fixed)
        grid = open_grid(hardware.codesign, example.chip, fixed)
        return None if grid is None else ImcFamily.of(hardware, grid, example)

    def machine(self) -> Machine:
        """Raise ``UsageError``: no compiler builds for these chips."""
        raise UsageError(f"target {self.name} is no processor that TVM compiles for")

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Each hardware variable with the values a search may choose."""
        return {n: tuple(map(str, values)) for n, values in self.hardware.variables.items()}


def _read(top: Section) -> CrossbarTiles:
    return CrossbarTiles(read_imc(top))


KIND: Final = TargetKind("crossbar tiles on a mesh that compute in memory, analytical", _read)
