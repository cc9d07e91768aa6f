"""The joint space: every network of a space with every chip of a family.

Hardware variables come first, then those of the network. Which are free the profile says
(its ``[variables]``, or the fewer values of ``[codesign]`` where it has that table); what
``--hardware`` gives is fixed. Values that another one beats whatever the rest are left out
beforehand, with the reason in ``pruned``: the count of designs includes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine
from flash.targets import Given, ImcTarget, SystolicTarget, fixed_chip, given_chip
from flash.targets.imc import ImcHardware
from flash.targets.systolic import DATAFLOWS, SystolicHardware

__all__ = ["CoSpace", "Family", "FamilyTarget", "joint_space"]

Ints = NDArray[np.int64]
Family = SystolicHardware | ImcHardware


@dataclass(frozen=True)
class CoSpace:
    """Networks x chips, with the interface of ``SearchSpace`` that a search needs.

    free:   hardware variable -> the values searched.
    fixed:  the other hardware variables.
    all_options: hardware options before values were left out (``pruned`` says why).
    adc_cap: most ADC bits, where each chip gets the fewest that lose nothing; else None.
    """

    network: SearchSpace
    family: Family
    free: Mapping[str, tuple[int, ...]]
    fixed: Mapping[str, int]
    all_options: int
    pruned: tuple[str, ...]
    adc_cap: int | None = None

    @property
    def name(self) -> str:
        """Name of the network space and of the chips."""
        return f"{self.network.name} x {self.family.name}"

    @property
    def size(self) -> int:
        """Networks x hardware options, exactly."""
        return self.network.size * self.all_options

    @property
    def distinct(self) -> int:
        """Different networks x hardware options, exactly."""
        return self.network.distinct * self.all_options

    @property
    def variables(self) -> tuple[str, ...]:
        """Hardware variables, then the network's."""
        return (*self.free, *self.network.variables)

    @property
    def grids(self) -> tuple[Ints, ...]:
        """Values of each variable."""
        own = (np.array(values, dtype=np.int64) for values in self.free.values())
        return (*own, *self.network.grids)

    @cached_property
    def chips(self) -> tuple[dict[str, int], ...]:
        """Every chip, in the order of the free variables' product."""
        chips = tuple(
            {**self.fixed, **dict(zip(self.free, values, strict=True))}
            for values in itertools.product(*self.free.values())
        )
        if self.adc_cap is not None and isinstance(self.family, ImcHardware):
            for chip in chips:
                needed = math.ceil(math.log2(chip["rows"])) + chip["cell_bits"] - 2
                chip["adc_bits"] = max(needed + self.family.precision.dac_bits, 4)
        return chips

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """Which chips can be built, shape (chips,)."""
        return np.array([self._possible(chip) for chip in self.chips])

    def _possible(self, chip: Mapping[str, int]) -> bool:
        if not isinstance(self.family, ImcHardware):
            return True
        precision = self.family.precision
        slices = precision.columns_per_bit * math.ceil(precision.weight_bits / chip["cell_bits"])
        fits = max(chip["columns_per_adc"], slices) <= chip["columns"]
        return fits and (self.adc_cap is None or chip["adc_bits"] <= self.adc_cap)

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
        words = " ".join(f"{name}={_word(name, chip[name])}" for name in self.free)
        return f"{self.network.describe(indices[len(self.free) :])} on {words}"


@dataclass(frozen=True)
class FamilyTarget:
    """What a report says of a family of chips; its figures are those of ``base``'s model."""

    base: SystolicTarget | ImcTarget
    space: CoSpace

    weight_limit_mb: float = math.inf

    @property
    def name(self) -> str:
        """Name of the profile."""
        return self.base.name

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Costs that can be objectives and limits."""
        return self.base.quantities

    @property
    def exact(self) -> bool:
        """Whether stage costs add up to the costs."""
        return self.base.exact

    @property
    def latency_how(self) -> str:
        """Where the interval of a latency comes from."""
        return self.base.latency_how

    @property
    def energy_how(self) -> str:
        """Where the interval of an energy comes from."""
        return self.base.energy_how

    @property
    def area_how(self) -> str:
        """Where the interval of an area comes from."""
        return self.base.area_how

    def summary(self) -> dict[str, Any]:
        """Name and provenance, and which hardware is searched."""
        summary = self.base.summary()
        free = "; ".join(
            f"{name} {', '.join(_word(name, v) for v in values)}"
            for name, values in self.space.free.items()
        )
        fixed = ", ".join(f"{n}={_word(n, v)}" for n, v in self.space.fixed.items())
        summary["hardware"] = {
            "searched": {name: list(values) for name, values in self.space.free.items()},
            "fixed": dict(self.space.fixed),
            "options": self.space.all_options,
        }
        summary["provenance"] = [
            summary["provenance"][0],
            f"searched with the network: {free}",
            f"fixed: {fixed}",
        ]
        return summary

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures leave out, and which hardware was left out beforehand."""
        return ("every figure is analytical: no chip was measured", *self.space.pruned)


def joint_space(
    network: SearchSpace, family: Family, given: Given | None
) -> tuple[CoSpace, FamilyTarget] | None:
    """The joint space of a family; None if nothing is left to choose (``--hardware default``).

    Raises ``UsageError`` for hardware variables that cannot be.
    """
    if given is not None and (isinstance(given, str) and "default" in given.split(",")):
        return None
    fixed = given_chip(family, given)
    grids = {n: tuple(int(v) for v in values) for n, values in family.codesign.items()}
    free = {n: values for n, values in grids.items() if n not in fixed and len(values) > 1}
    if not free:
        return None
    base = fixed_chip(family, fixed)
    if not isinstance(base, SystolicTarget | ImcTarget):
        raise UsageError(f"target {family.name} has no hardware to search")
    if isinstance(family, SystolicHardware) and family.keeps_weights and "buffer_kib" in free:
        raise UsageError(
            "weights stay in this chip's buffer; give its size, --hardware buffer_kib=N"
        )
    options = math.prod(len(values) for values in free.values())
    rest = {n: v for n, v in base.chip.items() if n not in free} | dict(fixed)
    pruned: list[str] = []
    cap = max(free["adc_bits"]) if "adc_bits" in free else None
    _prune(family, free, rest, pruned)
    space = CoSpace(network, family, free, rest, options, tuple(pruned), cap)
    return space, FamilyTarget(base, space)


def _prune(
    family: Family, free: dict[str, tuple[int, ...]], rest: dict[str, int], pruned: list[str]
) -> None:
    """Fix variables of which one value is best whatever the others are."""
    if isinstance(family, SystolicHardware):
        if "frequency_mhz" in free:
            rest["frequency_mhz"] = max(free.pop("frequency_mhz"))
            pruned.append(
                f"frequency_mhz={rest['frequency_mhz']}: a faster clock costs nothing in this "
                "model (no voltage scaling), so slower ones are dominated"
            )
        if "bits" in free:
            rest["bits"] = min(free.pop("bits"))
            pruned.append(
                f"bits={rest['bits']}: fewer bits are smaller, faster and cheaper; what they cost "
                "in accuracy is not modelled; give --hardware bits=N for others"
            )
    elif "adc_bits" in free:
        free.pop("adc_bits")
        rest.pop("adc_bits", None)
        pruned.append(
            "adc_bits: the fewest that lose nothing of an exact sum, for each chip; fewer are not "
            "searched because what they cost in accuracy is not modelled, more are dominated"
        )


def _word(name: str, value: int) -> str:
    return DATAFLOWS[value] if name == "dataflow" else str(value)
