"""Systolic arrays as a kind of target: one chip, or all chips of a profile at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flash.backends.tvm.machine import Machine
from flash.errors import UsageError
from flash.files.section import Section
from flash.targets.chips import Given, chip_of, open_grid, values_of
from flash.targets.kinds import TargetKind
from flash.targets.systolic.family import SystolicFamily, pruned
from flash.targets.systolic.profile import WORDS, SystolicHardware, read_systolic
from flash.targets.systolic.target import SystolicTarget

__all__ = ["KIND", "SystolicArrays"]


@dataclass(frozen=True)
class SystolicArrays:
    """The chips of a systolic profile."""

    hardware: SystolicHardware

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.hardware.name

    def select(self, runtime: str) -> SystolicArrays:
        """Raise ``UsageError``: a chip has no runtimes."""
        raise UsageError(f"target {self.name} has no runtimes; leave --runtime out")

    def target(self, given: Given | None = None) -> SystolicTarget:
        """The chip with the variables given, the others as in ``[default]``."""
        hardware = self.hardware
        names = tuple(hardware.variables)
        chip = chip_of(given, hardware.default, names, WORDS)
        return SystolicTarget(hardware, chip, "bits" in values_of(given, names, WORDS))

    def family(self, given: Given | None = None) -> SystolicFamily | None:
        """All chips with the variables given."""
        hardware = self.hardware
        fixed = values_of(given, tuple(hardware.variables), WORDS)
        example = self.target(fixed)
        grid = open_grid(hardware.variables, example.chip, fixed, WORDS)
        if grid is None:
            return None
        if hardware.keeps_weights and "buffer_kib" in grid.free:
            raise UsageError(
                "weights stay in this chip's buffer; give its size, --hardware buffer_kib=N"
            )
        return SystolicFamily(hardware, pruned(grid), example)

    def machine(self) -> Machine:
        """Raise ``UsageError``: no compiler builds for these chips."""
        raise UsageError(f"target {self.name} is no processor that TVM compiles for")

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Each hardware variable with the values a search may choose."""
        return {
            name: tuple(WORDS[name][v] if name in WORDS else str(v) for v in values)
            for name, values in self.hardware.variables.items()
        }


def _read(top: Section) -> SystolicArrays:
    return SystolicArrays(read_systolic(top))


KIND: Final = TargetKind("a systolic array of multipliers, analytical", _read)
