"""Kinds of hardware: what a profile of each can be asked, and the registry that knows them all.

The name of a kind is the ``schema`` of its profiles without the version: a file that says
``schema = "flash.imc/1"`` is read by the kind ``flash.imc``. To add one, write a ``TargetKind``
and name it in the entry-point group ``flash.targets``:

    [project.entry-points."flash.targets"]
    "acme.lookup" = "acme_flash.lookup:KIND"    # reads files with schema = "acme.lookup/1"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flash.backends.tvm.machine import Machine
from flash.files.section import Section
from flash.plugins import Registry
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable
from flash.targets.base import Target
from flash.targets.chips import ChipGrid, Given

__all__ = ["KINDS", "ChipFamily", "ChipsOfFormats", "Hardware", "TargetKind"]


class Hardware(Protocol):
    """What a profile file describes: a board one buys, or the chips one may build."""

    @property
    def name(self) -> str:
        """Name of the profile."""

    def select(self, runtime: str) -> Hardware:
        """The same with another of its runtimes in use; ``UsageError`` if it has none such."""

    def target(self, given: Given | None = None) -> Target:
        """What networks are priced on: the chip with the hardware variables ``given``, the others
        as in the profile's default chip. Raises ``UsageError`` for a chip that cannot be."""

    def family(self, given: Given | None = None) -> ChipFamily | None:
        """All chips with the hardware variables ``given``; None where nothing is left to choose.

        Raises ``UsageError`` for hardware variables that cannot be.
        """

    def machine(self) -> Machine:
        """What a compiler builds for; raises ``UsageError`` where nothing can be compiled."""

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """What a user may choose -> its values: the runtimes, or each hardware variable."""


class ChipFamily(Protocol):
    """Chips of one profile that are searched with the network.

    ``chips`` are the rows, in order, of every array of shape (chips,) or (possible chips, ...).
    """

    @property
    def name(self) -> str:
        """Name of the profile."""

    @property
    def grid(self) -> ChipGrid:
        """Which hardware variables are searched, over which values."""

    @property
    def chips(self) -> tuple[Mapping[str, int], ...]:
        """Hardware variables of every chip, in the order of the product of the grid."""

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Which of the chips can be built, shape (chips,)."""

    @property
    def example(self) -> Target:
        """One of the chips: quantities, exactness and origin are the same for all."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the figures of all chips, a sentence each."""

    def target(self, chip: int) -> Target:
        """One chip, by its position in ``chips``."""

    def own_costs(self) -> Mapping[str, Floats]:
        """Costs of the chips whatever the network, each of shape (possible chips,)."""

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """``Target.stage_costs`` on all chips at once, each of shape (possible chips, designs).

        Without the quantities of ``own_costs``.
        """


@runtime_checkable
class ChipsOfFormats(Protocol):
    """What a family may offer beside: chips that compute in several number formats.

    Prices differ between formats, and so do accuracies, which no chip knows: who searches chooses.
    """

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits of weights and activations of its chips, rising."""

    @property
    def usual_bits(self) -> int:
        """Those where nobody chooses."""

    def of_bits(self, bits: int) -> ChipFamily:
        """The chips with so many bits, in their order; variables and their values stay."""

    def without_bits(self, bits: Sequence[int], why: str) -> ChipFamily:
        """The chips with others; ``why`` for the reader of the report.

        Those left are all that there is to choose from: they are no options."""


@dataclass(frozen=True)
class TargetKind:
    """A kind of hardware.

    description: one line for listings.
    read:        a profile's contents -> the hardware. Reads strictly: raises ``ProfileError`` for
                 what is missing, wrong or unknown, naming the key; the file is named by who calls.
    prefer:      the hardware, a family of networks -> the hardware with the runtime in use that it
                 has for them, where the user names none.
    """

    description: str
    read: Callable[[Section], Hardware]
    prefer: Callable[[Any, str], Hardware] = lambda hardware, family: hardware


#: Every kind by the schema of its profiles, without the version.
KINDS: Final = Registry[TargetKind](
    "flash.targets",
    "kind of target",
    {
        "flash.profile": "flash.targets.processor.kind:KIND",
        "flash.systolic": "flash.targets.systolic.kind:KIND",
        "flash.imc": "flash.targets.imc.kind:KIND",
    },
)
