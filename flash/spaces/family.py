"""What a network family is, and the families by name.

A new family is a file of ``flash.spaces.families`` and one line in ``FAMILIES``, or an entry point
of group ``flash.families`` in a package of your own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flash.errors import SpaceError, did_you_mean, shown
from flash.plugins import Registry
from flash.spaces.emitter import Emitter
from flash.spaces.layers import Ints, Tensor

__all__ = ["FAMILIES", "Family", "InputShape", "RepeatedCell", "Setting", "Stage", "clip"]

#: Digits of a number in a design; no variable of any family takes more.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class InputShape:
    """The image a network reads: channels x height x width."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A run of layers whose cost depends on few variables.

    owns:  variables decided in this stage.
    reads: variables of earlier stages that its layers also depend on. The layers of a
           stage depend on nothing else, so costs that add up over layers add up over
           stages, each a table over ``reads`` x ``owns``.
    cell:  the stages whose layers make up the cell that this stage completes (empty if it
           completes none). Metrics of a whole cell are credited here, and depend on the
           same variables.
    """

    name: str
    owns: tuple[str, ...]
    reads: tuple[str, ...] = ()
    cell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepeatedCell:
    """A network that is one cell of NAS-Bench-201's graph, repeated in three groups.

    cells:    in each group.
    channels: of the first group; each later one has twice as many.
    """

    cells: int
    channels: int


@dataclass(frozen=True, slots=True)
class Setting:
    """What a space file may say of one setting.

    default: its value where the file says nothing; None if the file must give it.
    most:    the largest value; the smallest is 1.
    entries: 0 for one integer, else the most integers a list may hold (it holds at least one).
    file: it is the name of a file instead, relative to the space's own.
    """

    default: int | tuple[int, ...] | None
    most: int = 65_536
    entries: int = 0
    file: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raise ``SpaceError`` naming the setting if ``value`` is not of this kind."""
        if self.file:
            if isinstance(value, str) and value and value.isprintable():
                return
            what = "the name of a file"
        elif self.entries:
            several = isinstance(value, list | tuple) and 1 <= len(value) <= self.entries
            if several and all(self._fits(v) for v in value):
                return
            what = f"a list of 1 to {self.entries} integers, each from 1 to {self.most}"
        else:
            if self._fits(value):
                return
            what = f"an integer from 1 to {self.most}"
        raise SpaceError(f"[settings] {name} must be {what}, got {shown(value)}")

    def _fits(self, value: Any) -> bool:
        return type(value) is int and 1 <= value <= self.most


@dataclass(frozen=True)
class Cutting:
    """How a design is cut from a model (``flash.backends.onnx.variants``).

    kept:   units that each group keeps, and the side of each kernel that varies, by number.
    depths: blocks of each run.  side: of the input, 0 for the model's own.
    orders: of groups, the units as they are kept, where that is not by the weights' squares.
    """

    kept: Mapping[int, int]
    depths: Mapping[int, int]
    side: int
    orders: Mapping[int, tuple[int, ...]]


class Family(ABC):
    """A parameterised set of networks, written once as code that emits layers.

    A subclass says which variables and settings it has and emits the layers of a design.
    ``values`` maps each variable to an integer (one design) or an array (many).
    """

    name: ClassVar[str]
    #: Settings a space file may give.
    settings: ClassVar[Mapping[str, Setting]]
    #: In every design a path leads from the input to the output. Only a family of one stage may
    #: say no: of a network without one, no stage's table tells.
    connected: ClassVar[bool] = True
    #: Variables whose values are names of kinds, which have no order and hardly a layer in common:
    #: tables are filled for one value of them after the other, which is quicker and gives the same
    #: numbers.
    branches: ClassVar[tuple[str, ...]] = ()

    def __init__(self, shape: InputShape, classes: int, settings: Mapping[str, Any]) -> None:
        self.shape = shape
        self.classes = classes
        missing = [k for k, s in self.settings.items() if s.default is None and k not in settings]
        if missing:
            raise SpaceError(f"[settings] lacks {', '.join(missing)} (family {self.name})")
        unknown = sorted(set(settings) - set(self.settings))
        if unknown:
            raise SpaceError(
                f"[settings] has the unknown key '{unknown[0]}'"
                f"{did_you_mean(unknown[0], self.settings)}"
            )
        for name, value in settings.items():
            self.settings[name].check(name, value)
        self.options: dict[str, Any] = {k: s.default for k, s in self.settings.items()}
        self.options |= settings

    @property
    @abstractmethod
    def variables(self) -> tuple[str, ...]:
        """Names of the variables a design has a value for, in order."""

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The stages in execution order."""

    @abstractmethod
    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        """Emit every layer; return the network's input and output."""

    @abstractmethod
    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        """Raise ``SpaceError`` if a variable's values make no sense for the family."""

    @property
    def output_channels(self) -> tuple[int, ...]:
        """Channels of each tensor that a network returns: those of a classifier unless said."""
        return (self.classes,)

    def input_shape(self, values: Mapping[str, int]) -> InputShape:
        """The image that one design reads: the space's unless designs differ in it."""
        return self.shape

    @property
    def repeated_cell(self) -> RepeatedCell | None:
        """How the one cell that the variables describe is repeated; None for other networks."""
        return None

    @property
    def model_file(self) -> Path | None:
        """The ONNX model that designs are cut from; None where they are built."""
        return None

    def checked_model_file(self) -> Path:
        """That file, if it is the one the space was made of; ``InputError`` else."""
        raise SpaceError(f"designs of the family {self.name} are cut from no model")

    def cutting(self, values: Mapping[str, int]) -> Cutting:
        """How a design is cut from that model."""
        raise SpaceError(f"designs of the family {self.name} are cut from no model")

    def kept_importance(self, values: Mapping[str, Ints], stage: str) -> NDArray[np.float64] | None:
        """A stage's part of ``flash.metrics.importance``; None without a model's weights."""
        return None

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        """The same design with every value that has no effect set to one that stands for all.

        Designs with equal canonical values are the same network. The canonical value of a
        variable may depend on what its stage owns or reads, and on nothing else.
        """
        return dict(values)

    def structure(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        """Which choice stands where, as numbers by name: what sizes and scores do not tell.

        Names are lower-case letters, digits and underscores, the same for every design. Models of
        accuracy may read them (``flash.accuracy.trees``). By default every variable's value.
        """
        return {name.lower(): value for name, value in self.canonical(values).items()}

    def densest(self, choices: Mapping[str, Sequence[int]]) -> dict[str, int] | None:
        """The design of most edges, among the values that a space gives each variable.

        None for networks that are no graphs of edges which could be removed.
        """
        return None

    def without_an_edge(self, values: Mapping[str, int]) -> list[dict[str, int]]:
        """The designs with one edge less, and without what that leaves dead; canonical values.

        What has no path from input to output, and what another removal also gives, is left out.
        """
        return []

    def describe(self, values: Mapping[str, int]) -> str:
        """A design in one short line, variables of one role together: ``w=8,16,32 d=3,3,4``."""
        return " ".join(
            f"{role}={','.join(str(values[name]) for name in names)}"
            for role, names in self.roles.items()
        )

    def parse(self, text: str) -> dict[str, int]:
        """The design that ``describe`` (or the benchmark a family comes from) writes so."""
        values: dict[str, int] = {}
        roles = self.roles
        for word in text.split():
            role, _, listed = word.partition("=")
            numbers = listed.split(",")
            if role not in roles or not all(n.isascii() and n.isdigit() for n in numbers):
                example = " ".join(f"{r}={','.join('1' * len(n))}" for r, n in roles.items())
                raise SpaceError(f"{shown(text)} is no design: expected a line such as {example}")
            if len(numbers) != len(roles[role]):
                raise SpaceError(
                    f"{shown(text)} is no design: {role} takes {len(roles[role])} values, one "
                    f"each for {', '.join(roles[role])}"
                )
            if max(map(len, numbers)) > _DIGITS:
                raise SpaceError(
                    f"{shown(text)} is no design: {role} has a number of over {_DIGITS} digits"
                )
            if roles[role][0] in values:
                raise SpaceError(f"{shown(text)} is no design: it gives {role} twice")
            values.update(zip(roles[role], map(int, numbers), strict=True))
        return values

    @property
    def legend(self) -> str:
        """What ``describe`` writes, for somebody who sees it first; empty where that is plain."""
        return ""

    @cached_property
    def roles(self) -> dict[str, list[str]]:
        """Variables by their name without its number, in order."""
        roles: dict[str, list[str]] = {}
        for name in self.variables:
            roles.setdefault(name.rstrip("0123456789"), []).append(name)
        return roles

    def _require(self, values: Mapping[str, Sequence[int]], name: str, low: int, high: int) -> None:
        """Every value of variable ``name`` lies in [low, high]."""
        bad = [v for v in values[name] if not low <= v <= high]
        if bad:
            raise SpaceError(
                f"[variables.{name}] has the value {shown(bad[0])}; family {self.name} takes "
                f"{low} to {high}"
            )


#: Families by the name a space file gives.
FAMILIES: Registry[type[Family]] = Registry(
    "flash.families",
    "family",
    {
        "add": "flash.spaces.families.cells:AddFamily",
        "concat": "flash.spaces.families.cells:ConcatFamily",
        "darts": "flash.spaces.families.darts:DartsFamily",
        "detector": "flash.spaces.families.detector:DetectorFamily",
        "model": "flash.spaces.families.model:ModelFamily",
        "mobilenet_v2": "flash.spaces.families.mobilenet:MobileNetV2Family",
        "nasbench101": "flash.spaces.families.nasbench101:NasBench101Family",
        "ds_cnn": "flash.spaces.families.signals:DSCNNFamily",
        "tc_resnet": "flash.spaces.families.signals:TCResNetFamily",
        "nasbench201": "flash.spaces.families.nasbench201:NasBench201Family",
        "nasbench_macro": "flash.spaces.families.nasbench_macro:NasBenchMacroFamily",
    },
)


def clip(value: Ints, low: Ints, high: Ints) -> Ints:
    """``value`` limited to [low, high], an int for ints and an array for arrays."""
    if isinstance(value, int) and isinstance(low, int) and isinstance(high, int):
        return max(low, min(value, high))
    return np.clip(value, low, high)
