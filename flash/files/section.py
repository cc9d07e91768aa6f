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

    @classmethod
    def of(cls, document: Any, kind: type[InputError]) -> Section:
        """The outermost table of a JSON document, which may be anything."""
        if not isinstance(document, dict):
            raise kind(f"the document must be an object, got {shown(document)}")
        return cls("", document, kind)

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

    def exactly(self, known: Iterable[str]) -> None:
        """Refuse a table without some of these keys, or with any other."""
        wanted = tuple(known)
        self.only(wanted)
        missing = [key for key in wanted if key not in self._values]
        if missing:
            raise self._kind(f"{self._place or 'the document'} lacks {', '.join(missing)}")

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

    def has_value(self, key: str) -> bool:
        """Whether the table holds ``key`` with a value that is not null."""
        return self._values.get(key) is not None

    def is_table(self, key: str) -> bool:
        """Whether ``key`` holds a table."""
        return isinstance(self._values.get(key), dict)

    def section(self, key: str) -> Section:
        """The table inside this one."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self._kind(f"{self._at(key)} must be a table, got {shown(value)}")
        return Section(self._at(key), value, self._kind)

    def sections(self, key: str) -> list[Section]:
        """A list of tables."""
        value = self._get(key)
        if not isinstance(value, list):
            self.refuse(key, f"must be a list, got {shown(value)}")
        for number, item in enumerate(value):
            if not isinstance(item, dict):
                self.refuse(f"{key}[{number}]", f"must be a table, got {shown(item)}")
        place = self._at(key)
        return [Section(f"{place}[{n}]", item, self._kind) for n, item in enumerate(value)]

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

    def string(self, key: str) -> str:
        """Any string, empty ones too."""
        value = self._get(key)
        if not isinstance(value, str):
            self.refuse(key, f"must be a string, got {shown(value)}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings, each as ``string``."""
        value = self._get(key)
        if not isinstance(value, list):
            self.refuse(key, f"must be a list, got {shown(value)}")
        for number, item in enumerate(value):
            if not isinstance(item, str):
                self.refuse(f"{key}[{number}]", f"must be a string, got {shown(item)}")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._get(key)
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, got {shown(value)}")
        return value

    def choice(self, key: str, known: Sequence[str]) -> str:
        """One of ``known``."""
        value = self.text(key)
        if value not in known:
            raise self._kind(f"{self._at(key)} is '{value}'{did_you_mean(value, known)}")
        return value

    def integer(self, key: str, least: int = 1, most: int | None = 1_000_000) -> int:
        """A whole number in [least, most], or of ``least`` and more where ``most`` is None."""
        value = self._get(key)
        if type(value) is not int or value < least or (most is not None and value > most):
            limits = f"from {least}" + ("" if most is None else f" to {most}")
            self.refuse(key, f"must be a whole number {limits}, got {shown(value)}")
        return value

    def integers(self) -> dict[str, int]:
        """The whole table: names with whole numbers of 64 bits."""
        return {key: self.integer(key, -(2**63), 2**63 - 1) for key in self._values}

    def numbers(self) -> dict[str, float]:
        """The whole table: names with finite numbers."""
        return {key: self.finite(key) for key in self._values}

    def finite(self, key: str) -> float:
        """A finite number of either sign."""
        return self.number(key, -math.inf)

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
            limits = f" from {least:g}" + ("" if most == math.inf else f" to {most:g}")
            what = "a finite number" if least == -math.inf else f"a number{limits}"
            self.refuse(key, f"must be {what}, got {shown(value)}")
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
