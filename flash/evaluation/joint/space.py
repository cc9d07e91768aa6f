"""The joint space: every network of a space with every chip of a family.

Hardware variables come first, then those of the network. Which are free the profile says
(its ``[variables]``, or the fewer values of ``[codesign]`` where it has that table); what
``--hardware`` gives is fixed. Values that another one beats whatever the rest are left out
beforehand, with the reason in ``pruned``: the count of designs includes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine
from flash.targets import ChipFamily, Given, Hardware, Target

__all__ = ["CoSpace", "FamilyTarget", "joint_space"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CoSpace:
    """Networks x chips, with the interface of ``SearchSpace`` that a search needs."""

    network: SearchSpace
    family: ChipFamily

    @property
    def name(self) -> str:
        """Name of the network space and of the chips."""
        return f"{self.network.name} x {self.family.name}"

    @property
    def size(self) -> int:
        """Networks x hardware options, those left out beforehand included; exactly."""
        return self.network.size * self.family.grid.options

    @property
    def distinct(self) -> int:
        """Different networks x hardware options, exactly."""
        return self.network.distinct * self.family.grid.options

    @property
    def variables(self) -> tuple[str, ...]:
        """Hardware variables, then the network's."""
        return (*self.free, *self.network.variables)

    @property
    def grids(self) -> tuple[Ints, ...]:
        """Values of each variable."""
        own = (np.array(values, dtype=np.int64) for values in self.free.values())
        return (*own, *self.network.grids)

    @property
    def free(self) -> Mapping[str, tuple[int, ...]]:
        """Hardware variable -> the values searched."""
        return self.family.grid.free

    @property
    def chips(self) -> tuple[Mapping[str, int], ...]:
        """Every chip, in the order of the free variables' product."""
        return self.family.chips

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Which chips can be built, shape (chips,)."""
        return self.family.possible

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each free hardware variable."""
        return tuple(len(values) for values in self.free.values())

    def split(self, indices: Ints) -> tuple[Ints, Ints]:
        """Joint indices -> number of the chip (designs,), indices of the network."""
        count = len(self.free)
        chip = np.ravel_multi_index(tuple(indices[:, :count].T), self.shape)
        return np.asarray(chip, dtype=np.int64), indices[:, count:]

    def join(self, chip: int, indices: Ints) -> Ints:
        """Network indices on one chip -> joint indices."""
        own = np.array(np.unravel_index(chip, self.shape), dtype=np.int64)
        return np.concatenate([np.repeat(own[None], len(indices), axis=0), indices], axis=1)

    def sample(self, designs: int, rng: np.random.Generator) -> Ints:
        """Indices of designs drawn uniformly among those not left out."""
        return np.stack([rng.integers(len(g), size=designs) for g in self.grids], axis=1)

    def hardware(self, indices: Ints) -> dict[str, int]:
        """The chip of one design by name."""
        return dict(self.chips[int(self.split(indices[None])[0][0])])

    def named(self, indices: Ints) -> dict[str, int]:
        """The network of one design by name."""
        return self.network.named(indices[len(self.free) :])

    def identify(self, indices: Ints) -> str:
        """A short name of one design: its chip's number, then its network's."""
        chip = int(self.split(indices[None])[0][0])
        return f"{chip:x}-{self.network.identify(indices[len(self.free) :])}"

    def describe(self, indices: Ints) -> str:
        """The design in short, for people."""
        chip = self.hardware(indices)
        words = " ".join(f"{name}={self.family.grid.word(name, chip[name])}" for name in self.free)
        return f"{self.network.describe(indices[len(self.free) :])} on {words}"


@dataclass(frozen=True)
class FamilyTarget:
    """What a report says of a family of chips."""

    family: ChipFamily

    weight_limit_kb: float = math.inf

    @property
    def _example(self) -> Target:
        return self.family.example

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.family.name

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Costs that can be objectives and limits."""
        return self._example.quantities

    @property
    def exact(self) -> bool:
        """Whether stage costs add up to the costs."""
        return self._example.exact

    @property
    def latency_how(self) -> str:
        """Where the interval of a latency comes from."""
        return self._example.latency_how

    @property
    def energy_how(self) -> str:
        """Where the interval of an energy comes from."""
        return self._example.energy_how

    @property
    def area_how(self) -> str:
        """Where the interval of an area comes from."""
        return self._example.area_how

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out, and which hardware was left out beforehand."""
        return self.family.notes

    def summary(self) -> dict[str, Any]:
        """Name and provenance, and which hardware is searched."""
        summary, grid = self._example.summary(), self.family.grid
        free = "; ".join(
            f"{name} {', '.join(grid.word(name, v) for v in values)}"
            for name, values in grid.free.items()
        )
        fixed = ", ".join(f"{name}={grid.word(name, v)}" for name, v in grid.fixed.items())
        summary["hardware"] = {
            "searched": {name: list(values) for name, values in grid.free.items()},
            "fixed": dict(grid.fixed),
            "options": grid.options,
        }
        summary["provenance"] = [
            summary["provenance"][0],
            f"searched with the network: {free}",
            f"fixed: {fixed}",
        ]
        return summary


def joint_space(
    network: SearchSpace, hardware: Hardware, given: Given | None
) -> tuple[CoSpace, FamilyTarget] | None:
    """The joint space of all chips; None if nothing is left to choose (``--hardware default``).

    Raises ``UsageError`` for hardware variables that cannot be.
    """
    if isinstance(given, str) and "default" in given.split(","):
        return None
    family = hardware.family(given)
    return None if family is None else (CoSpace(network, family), FamilyTarget(family))
