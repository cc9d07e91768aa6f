"""Hardware variables: as users give them, as profiles list them, and all chips they span."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flash.errors import UsageError, did_you_mean, shown
from flash.files.section import Section

__all__ = [
    "ChipGrid",
    "Given",
    "chip_of",
    "open_grid",
    "parse_hardware",
    "read_codesign",
    "read_default",
    "read_grids",
    "values_of",
]

#: What fixes a chip: ``rows=16,cols=32``, or a mapping.
Given = str | Mapping[str, int | str]
#: Variables whose values have names, e.g. dataflow -> ("os", "ws", "is"); others are numbers.
Words = Mapping[str, Sequence[str]]

_NO_WORDS: Words = {}


@dataclass(frozen=True)
class ChipGrid:
    """Which hardware variables are searched over which values, and how the others are fixed.

    free:    hardware variable -> the values searched.
    fixed:   the other hardware variables.
    options: number of chips before values were left out (``pruned`` says why).
    words:   names of values, for people.
    """

    free: Mapping[str, tuple[int, ...]]
    fixed: Mapping[str, int]
    options: int
    pruned: tuple[str, ...] = ()
    words: Words = field(default_factory=dict)

    def word(self, name: str, value: int) -> str:
        """A value as people read it."""
        return self.words[name][value] if name in self.words else str(value)

    def chips(self) -> tuple[dict[str, int], ...]:
        """Every chip, in the order of the free variables' product."""
        return tuple(
            {**self.fixed, **dict(zip(self.free, values, strict=True))}
            for values in itertools.product(*self.free.values())
        )

    def only(self, name: str, values: Sequence[int]) -> ChipGrid:
        """The same over fewer values of a searched variable; the others are no options."""
        options = self.options // len(self.free[name]) * len(values)
        return replace(self, free={**self.free, name: tuple(values)}, options=options)

    def without(self, name: str, value: int | None, why: str) -> ChipGrid:
        """The same with ``name`` no longer searched: ``value`` is the best whatever the rest are.

        value: None where each chip gets its own. why: for the reader of the report.
        """
        free = {n: values for n, values in self.free.items() if n != name}
        fixed = {n: v for n, v in self.fixed.items() if n != name}
        if value is not None:
            fixed[name] = value
        return replace(self, free=free, fixed=fixed, pruned=(*self.pruned, why))


def open_grid(
    searched: Mapping[str, Sequence[int]],
    chip: Mapping[str, int],
    given: Mapping[str, int],
    words: Words = _NO_WORDS,
) -> ChipGrid | None:
    """The grid of the variables that are neither given nor have one value; None if all are.

    searched: hardware variable -> the values that a search goes through.
    chip:     a value for every variable, used for those that are not searched.
    """
    free = {
        name: tuple(int(value) for value in values)
        for name, values in searched.items()
        if name not in given and len(values) > 1
    }
    if not free:
        return None
    fixed = {name: value for name, value in chip.items() if name not in free} | dict(given)
    return ChipGrid(free, fixed, math.prod(map(len, free.values())), words=words)


def parse_hardware(text: str) -> dict[str, str]:
    """``NAME=VALUE`` pairs by comma; ``default`` alone stands for the profile's default chip.

    Raises ``UsageError`` for anything else.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if pair == "default":
            continue
        if not (name and equals and value):
            raise UsageError(f"--hardware: expected NAME=VALUE pairs by comma, got '{pair}'")
        if name in found:
            raise UsageError(f"--hardware: {name} is given twice")
        found[name] = value
    return found


def chip_of(
    given: Given | None,
    default: Mapping[str, int],
    names: Sequence[str],
    words: Words = _NO_WORDS,
) -> dict[str, int]:
    """The chip a user means: what is given, the rest as in ``default``.

    Raises ``UsageError``; whether a value is possible is for the hardware model to say.
    """
    chip = {**default, **values_of(given, names, words)}
    missing = [name for name in names if name not in chip]
    if missing:
        raise UsageError(f"the profile has no default {missing[0]}; give --hardware {missing[0]}=N")
    return {name: chip[name] for name in names}


def values_of(
    given: Given | None, names: Sequence[str], words: Words = _NO_WORDS
) -> dict[str, int]:
    """The hardware variables given, by number; raises ``UsageError`` as ``chip_of``."""
    pairs = parse_hardware(given) if isinstance(given, str) else dict(given or {})
    chip: dict[str, int] = {}
    for name, value in pairs.items():
        if name not in names:
            raise UsageError(f"'{name}' is no hardware variable{did_you_mean(name, names)}")
        known = words.get(name, ())
        if value in known:
            chip[name] = known.index(str(value))
            continue
        try:
            chip[name] = int(value)
        except ValueError:
            hint = did_you_mean(str(value), known) if known else ", expected a whole number"
            raise UsageError(f"hardware variable {name} is '{value}'{hint}") from None
    return chip


def read_grids(
    s: Section, bounds: Mapping[str, tuple[int, int]], words: Words = _NO_WORDS
) -> dict[str, tuple[int, ...]]:
    """The ``[variables]`` of a profile: rising whole numbers for each, or names of values.

    bounds: hardware variable -> the smallest and largest value it may take.
    """
    s.only(bounds)
    return {name: _grid(s, name, *bounds[name], words.get(name, ())) for name in bounds}


def _grid(s: Section, name: str, low: int, high: int, words: Sequence[str]) -> tuple[int, ...]:
    given = s.anything(name)
    if not isinstance(given, list) or not given:
        s.refuse(name, f"must be a list of values, got {shown(given)}")
    if words:
        for word in given:
            if word not in words:
                s.refuse(name, f"has {shown(word)}{did_you_mean(str(word), words)}")
        given = [words.index(word) for word in given]
    for value in given:
        if type(value) is not int or not low <= value <= high:
            s.refuse(name, f"must hold whole numbers from {low} to {high}, got {shown(value)}")
    if any(a >= b for a, b in itertools.pairwise(given)):
        s.refuse(name, "must be in rising order without repeats")
    return tuple(given)


def read_codesign(top: Section, grids: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The ``[codesign]`` of a profile: what a search of network and chip goes through.

    Without that table, all values of all variables.
    """
    if not top.has("codesign"):
        return dict(grids)
    s = top.section("codesign")
    s.only(grids)
    chosen = {}
    for name in s.names():
        values, known = s.anything(name), list(grids[name])
        if not isinstance(values, list) or not values or any(v not in known for v in values):
            s.refuse(name, f"must be a list of values out of {known}, got {shown(values)}")
        chosen[name] = tuple(sorted(values))
    return chosen


def read_default(
    top: Section, grids: Mapping[str, Sequence[int]], words: Words = _NO_WORDS
) -> dict[str, int]:
    """The ``[default]`` of a profile: the chip meant where nothing is said.

    Variables with one value need none there. Raises ``ProfileError`` for a value that is none of
    the variable's.
    """
    found = {name: int(grid[0]) for name, grid in grids.items() if len(grid) == 1}
    if not top.has("default"):
        return found
    s = top.section("default")
    s.only(grids)
    for name in filter(s.has, grids):
        value, known = s.anything(name), words.get(name, ())
        number = known.index(value) if value in known else value
        if type(number) is not int or number not in grids[name]:
            s.refuse(name, f"is {shown(value)}, none of its values in [variables]")
        found[name] = number
    return found
