"""Open registries: kinds of things that flash, or anybody's package, adds by name.

A registry knows its built-in members by the place where they are defined, so that looking one
up imports that one only. Members of other packages are found through Python entry points, which
a package declares in its ``pyproject.toml``:

    [project.entry-points."flash.metrics"]
    my_score = "my_package.scores:MY_SCORE"

Entry points are read when a name is asked for that flash itself does not have, or when all
names are listed (about 10 ms); the built-in names cost nothing. No package replaces a built-in
member, and of two packages with one name the first found is taken: ``Registry.shadowed`` tells.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from flash.errors import FlashError, UsageError, did_you_mean

__all__ = ["GROUPS", "Registry", "registry"]

T = TypeVar("T")

#: Every entry-point group that flash reads, and what a member of it is.
GROUPS: Mapping[str, str] = {
    "flash.components": "a component of an accelerator: area, energy and power by action",
    "flash.exporters": "a form in which designs are delivered",
    "flash.families": "a family of networks, written once for an emitter",
    "flash.metrics": "a data-free score, vectorised over designs",
    "flash.operators": "an ONNX operator: what it costs",
    "flash.optimizers": "an optimizer of separable problems",
    "flash.proxies": "a training-free score that runs the network",
    "flash.samplers": "what draws the designs that a supernet is trained on",
    "flash.sensors": "a power sensor of a device",
    "flash.strategies": "a search that spends a small training budget",
    "flash.targets": "a kind of hardware that networks are priced on",
}

#: Where flash's own members of a group are: ``"module:attribute"``, imported when asked for.
_HOMES: Mapping[str, str] = {
    "flash.components": "flash.targets.components.base:COMPONENTS",
    "flash.exporters": "flash.export.exporter:EXPORTERS",
    "flash.families": "flash.spaces.family:FAMILIES",
    "flash.metrics": "flash.metrics.registry:METRICS",
    "flash.operators": "flash.backends.onnx.operators:OPERATORS",
    "flash.optimizers": "flash.optimize.optimizer:OPTIMIZERS",
    "flash.proxies": "flash.proxies.registry:SCORES",
    "flash.samplers": "flash.supernet.registry:SAMPLERS",
    "flash.sensors": "flash.device.registry:SENSORS",
    "flash.strategies": "flash.search.budgeted.strategy:STRATEGIES",
    "flash.targets": "flash.targets.kinds:KINDS",
}


class Members(Protocol):
    """What ``registry`` returns: a ``Registry`` or another mapping of names to members."""

    def __getitem__(self, name: str, /) -> Any:
        """The member of this name."""
        ...

    def __contains__(self, name: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...


def registry(group: str) -> Members:
    """The members of one of ``GROUPS``, for code that may not import the room that has them."""
    if group not in _HOMES:
        return Registry[Any](group, "member", {})
    module, _, attribute = _HOMES[group].partition(":")
    found: Members = getattr(importlib.import_module(module), attribute)
    return found


class Registry(Generic[T]):
    """Members of one entry-point group by name.

    group:   one of ``GROUPS``.
    noun:    what messages call a member.
    builtin: flash's own members in the order shown, name -> ``"module:attribute"``, or the member
             itself where it is no more than a few numbers.

    Attributes: ``builtin``, the names of flash's own members; ``shadowed``, entry points that are
    not reachable because their name is taken, as ``"name = module:attribute"``.

    >>> fruit = Registry[str]("flash.metrics", "fruit", {"dot": "string:punctuation"})
    >>> fruit["dot"][0], "fig" in fruit
    ('!', False)
    """

    def __init__(self, group: str, noun: str, builtin: Mapping[str, str | T]) -> None:
        if group not in GROUPS:
            raise ValueError(f"{group} is none of {', '.join(GROUPS)}")
        self.group, self.noun = group, noun
        self.builtin = tuple(builtin)
        self.shadowed: list[str] = []
        self._places: dict[str, str] = {}
        self._members: dict[str, T] = {}
        for name, member in builtin.items():
            self._places[name] = member if isinstance(member, str) else ""
            if not isinstance(member, str):
                self._members[name] = member
        self._added: set[str] = set()
        self._read = False

    def __getitem__(self, name: str) -> T:
        """The member of this name; raises ``UsageError`` with the closest name for others.

        Raises ``FlashError`` for a member whose package cannot be imported.
        """
        if name not in self._members:
            if name not in self._places:
                self._read_entry_points()
            self.check((name,))
            self._members[name] = self._load(name)
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._places:
            self._read_entry_points()
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        self._read_entry_points()
        return iter(self._places)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check(self, names: Iterable[str]) -> None:
        """Raise ``UsageError`` for the first name that no member has; imports none of them."""
        for name in names:
            if name not in self:
                raise UsageError(f"unknown {self.noun} '{name}'{did_you_mean(name, self)}")

    def origin(self, name: str) -> str:
        """Where a member comes from: "flash", or the top-level package that adds it."""
        if name in self.builtin:
            return "flash"
        return self._places[name].partition(":")[0].partition(".")[0] or "running code"

    def items(self) -> Iterator[tuple[str, T]]:
        """(name, member) of all; imports every one."""
        return ((name, self[name]) for name in self)

    def add(self, name: str, member: T) -> None:
        """Add a member from running code, a notebook or a test; the name must be free."""
        if name in self:
            raise ValueError(f"there is a {self.noun} '{name}' already")
        self._places[name] = ""
        self._members[name] = member
        self._added.add(name)

    def remove(self, name: str) -> None:
        """Take out what ``add`` put in."""
        if name not in self._added:
            raise ValueError(f"no {self.noun} '{name}' was added by running code")
        self._added.remove(name)
        del self._places[name], self._members[name]

    def _load(self, name: str) -> T:
        module, _, attribute = self._places[name].partition(":")
        try:
            found = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            if module.partition(".")[0] == "flash":
                raise
            place = self._places[name]
            raise FlashError(f"{self.noun} '{name}' ({place}) cannot be loaded: {error}") from None
        return found  # type: ignore[return-value]  # an entry point promises its type

    def _read_entry_points(self) -> None:
        if self._read:
            return
        self._read = True
        from importlib.metadata import entry_points  # noqa: PLC0415 (10 ms, seldom needed)

        for point in entry_points(group=self.group):
            if self._places.setdefault(point.name, point.value) != point.value:
                self.shadowed.append(f"{point.name} = {point.value}")
