"""One table of a TOML or JSON file, read strictly: every value checked, unknown keys refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from flash.errors import InputError, ProfileError, did_you_mean, shown

__all__ = ["Section"]


class Section:
    """A table. Each reader returns a value or raises ``InputError`` naming the value's place.

    place: where the table stands, ``runtimes.ort``; empty for the document itself.
    kind:  the kind of ``InputError`` to raise; a profile's where not given.
    """

    def __init__(
        self, place: str, values: Mapping[str, Any], kind: type[InputError] = ProfileError
    ) -> None:
        self._place, self._values, self._kind = place, values, kind
        self._read: set[str] = set()

    def done(self) -> None:
        """Refuse keys that nothing has read."""
        for key in self._values:
            if key not in self._read:
                raise self._kind(f"unknown key '{self._at(key)}'{did_you_mean(key, self._read)}")

    def only(self, known: Iterable[str]) -> None:
        """Refuse keys that are none of ``known``, before they are missed under their right name."""
        wanted = tuple(known)
        for key in self._values:
            if key not in wanted:
                raise self._kind(f"unknown key '{self._at(key)}'{did_you_mean(key, wanted)}")

    def names(self) -> tuple[str, ...]:
        """The keys of the table, in file order; at least one."""
        if not self._values:
            raise self._kind(f"[{self._place}] is empty")
        for key in self._values:
            if not key or not key.isprintable():
                raise self._kind(f"[{self._place}] has the name {shown(key)}: not printable text")
        return tuple(self._values)

    def has(self, key: str) -> bool:
        """Whether the table holds ``key``."""
        return key in self._values

    def is_table(self, key: str) -> bool:
        """Whether ``key`` holds a table."""
        return isinstance(self._values.get(key), dict)

    def section(self, key: str) -> Section:
        """The table inside this one."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self._kind(f"{self._at(key)} must be a table, got {shown(value)}")
        return Section(self._at(key), value, self._kind)

    def table(self, key: str) -> Mapping[str, Any]:
        """The table inside this one as it is; empty where the key is missing."""
        self._read.add(key)
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise self._kind(f"{self._at(key)} must be a table, got {shown(value)}")
        return value

    def schema(self, expected: str) -> None:
        """Refuse a document of another schema or version."""
        self._read.add("schema")
        found = self._values.get("schema")
        if found != expected:
            raise self._kind(f'expected schema = "{expected}", got {shown(found)}')

    def text(self, key: str) -> str:
        """A string that is not empty and has one line of printable characters."""
        value = self._get(key)
        if not _is_line(value):
            raise self._kind(f"{self._at(key)} must be one line of text, got {shown(value)}")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, each as ``text``."""
        value = self._get(key)
        if not isinstance(value, list) or not all(map(_is_line, value)):
            raise self._kind(f"{self._at(key)} must be a list of texts, got {shown(value)}")
        return tuple(value)

    def choice(self, key: str, known: Sequence[str]) -> str:
        """One of ``known``."""
        value = self.text(key)
        if value not in known:
            raise self._kind(f"{self._at(key)} is '{value}'{did_you_mean(value, known)}")
        return value

    def integer(self, key: str, least: int = 1, most: int = 1_000_000) -> int:
        """A whole number in [least, most]."""
        value = self._get(key)
        if type(value) is not int or not least <= value <= most:
            self.refuse(key, f"must be a whole number from {least} to {most}, got {shown(value)}")
        return value

    def number(self, key: str, least: float = 0.0, most: float = math.inf) -> float:
        """A finite number in [least, most]."""
        return self._checked(key, self._get(key), least, most)

    def rate(self, key: str) -> float:
        """A rate, bandwidth or frequency that hardware may have, in units of 10^6 or 10^9."""
        return self.number(key, 1e-6, 1e9)

    def stated(self, key: str) -> float:
        """A rate that need not be stated: 0 then, or where the key is missing."""
        return self.number(key, 0.0, 1e9) if self.has(key) else 0.0

    def power(self, key: str) -> float:
        """A power that hardware may draw, in watts."""
        return self.number(key, 1e-6, 1e6)

    def low_factor(self, key: str) -> float:
        """The lower end of an interval as a factor, in [0.001, 1]."""
        return self.number(key, 1e-3, 1.0)

    def high_factor(self, key: str) -> float:
        """The upper end of an interval as a factor, in [1, 1000]."""
        return self.number(key, 1.0, 1e3)

    def correlation(self, key: str) -> float:
        """A number in [-1, 1]."""
        return self.number(key, least=-1.0, most=1.0)

    def pair(self, key: str) -> tuple[float, float]:
        """Two numbers, smallest and largest."""
        value = self._get(key)
        if not isinstance(value, list) or len(value) != 2:
            raise self._kind(f"{self._at(key)} must be [smallest, largest], got {shown(value)}")
        low, high = (self._checked(key, x, 0.0, math.inf) for x in value)
        if low > high:
            raise self._kind(f"{self._at(key)} must rise, got {shown(value)}")
        return low, high

    def anything(self, key: str) -> Any:
        """The value as it is; the caller checks it and refuses with ``refuse``."""
        return self._get(key)

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise the section's error: the value of ``key`` is wrong, and ``why``."""
        raise self._kind(f"{self._at(key)} {why}")

    def _checked(self, key: str, value: Any, least: float, most: float) -> float:
        try:
            number = float(value) if type(value) in (int, float) else math.nan
        except OverflowError:  # an integer of 400 digits
            number = math.nan
        if not math.isfinite(number) or not least <= number <= most:
            limits = f"from {least:g}" + ("" if most == math.inf else f" to {most:g}")
            self.refuse(key, f"must be a number {limits}, got {shown(value)}")
        return number

    def _get(self, key: str) -> Any:
        self._read.add(key)
        if key not in self._values:
            raise self._kind(f"'{self._at(key)}' is missing")
        return self._values[key]

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
