"""The joint space: every network of a space with every chip of a family.

Hardware variables come first, then those of the network. Which are free the profile says
(its ``[variables]``, or the fewer values of ``[codesign]`` where it has that table); what
``--hardware`` gives is fixed. Values that another one beats whatever the rest are left out
beforehand, with the reason in ``pruned``: the count of designs includes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine
from flash.targets import ChipFamily, ChipsOfFormats, Given, Hardware, bits_of

__all__ = ["CoSpace", "FamilyTarget", "joint_space"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CoSpace:
    """Networks x chips, with the interface of ``SearchSpace`` that a search needs."""

    network: SearchSpace
    target: FamilyTarget

    @property
    def family(self) -> ChipFamily:
        """The chips."""
        return self.target.family

    @property
    def name(self) -> str:
        """Name of the network space and of the chips."""
        return f"{self.network.name} x {self.target.name}"

    @property
    def size(self) -> int:
        """Networks x hardware options, those left out beforehand included; exactly."""
        networks = math.prod(map(len, self.network.grids))
        return networks * self.family.grid.options

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

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of weights and activations of the chips, rising."""
        family = self.family
        return family.bits if isinstance(family, ChipsOfFormats) else (bits_of(family.example),)

    @property
    def usual_bits(self) -> int:
        """Those where nobody chooses."""
        family = self.family
        return family.usual_bits if isinstance(family, ChipsOfFormats) else self.bits[0]

    def of_bits(self, bits: int) -> CoSpace:
        """The same networks with the chips of so many bits."""
        family = self.family
        return self._with(family.of_bits(bits) if isinstance(family, ChipsOfFormats) else family)

    def without_bits(self, bits: Sequence[int], why: str) -> CoSpace:
        """The same networks with the chips of other bits; ``why`` for the reader of the report."""
        family = self.family
        fewer = family.without_bits(bits, why) if isinstance(family, ChipsOfFormats) else family
        return self._with(fewer)

    def _with(self, family: ChipFamily) -> CoSpace:
        return CoSpace(self.network, FamilyTarget.of(family))

    def locate(self, hardware: Mapping[str, int], network: Ints) -> Ints:
        """Indices of the design with these hardware variables and this network."""
        own = [values.index(hardware[name]) for name, values in self.free.items()]
        return np.concatenate([np.array(own, dtype=np.int64), network])

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
        own = zip(self.free, indices[: len(self.free)], strict=True)
        words = " ".join(f"{name}={self.target.words[name][k]}" for name, k in own)
        return f"{self.network.describe(indices[len(self.free) :])} on {words}"


@dataclass(frozen=True)
class FamilyTarget:
    """What a search and its report ask of a family of chips: it is the same for each of them.

    quantities, exact, weight_limit_kb, latency_how, energy_how, area_how: as in
    ``flash.targets.base.Target``.
    words: hardware variable that is searched -> its values for people.
    """

    family: ChipFamily
    name: str
    quantities: Mapping[str, Combine]
    exact: bool
    latency_how: str
    energy_how: str
    area_how: str
    words: Mapping[str, Sequence[str]]
    weight_limit_kb: float = math.inf

    @classmethod
    def of(cls, family: ChipFamily) -> FamilyTarget:
        """What one of the chips says, for all."""
        chip, grid = family.example, family.grid
        words = {name: [grid.word(name, v) for v in values] for name, values in grid.free.items()}
        return cls(
            family,
            family.name,
            chip.quantities,
            chip.exact,
            chip.latency_how,
            chip.energy_how,
            chip.area_how,
            words,
        )

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight; of the example's where chips of several formats are searched."""
        return self.family.example.weight_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out, and which hardware was left out beforehand."""
        return self.family.notes

    def summary(self) -> dict[str, Any]:
        """Name and provenance, and which hardware is searched."""
        summary, grid = self.family.example.summary(), self.family.grid
        free = "; ".join(f"{name} {', '.join(words)}" for name, words in self.words.items())
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


def joint_space(network: SearchSpace, hardware: Hardware, given: Given | None) -> CoSpace | None:
    """The joint space of all chips; None if nothing is left to choose (``--hardware default``).

    Raises ``UsageError`` for hardware variables that cannot be.
    """
    if isinstance(given, str) and "default" in given.split(","):
        return None
    family = hardware.family(given)
    return None if family is None else CoSpace(network, FamilyTarget.of(family))
