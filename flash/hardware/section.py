"""One table of a profile file, read strictly: every value checked, unknown keys refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flash.errors import ProfileError, did_you_mean

__all__ = ["Section"]


class Section:
    """A TOML table. Each reader returns a value or raises ``ProfileError`` naming its place."""

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        self._place = place
        self._values = values
        self._read: set[str] = set()

    def done(self) -> None:
        """Refuse keys that nothing has read."""
        for key in self._values:
            if key not in self._read:
                raise ProfileError(f"unknown key '{self._at(key)}'{did_you_mean(key, self._read)}")

    def names(self) -> tuple[str, ...]:
        """The keys of the table, in file order; at least one."""
        if not self._values:
            raise ProfileError(f"[{self._place}] is empty")
        return tuple(self._values)

    def section(self, key: str) -> Section:
        """The table inside this one."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise ProfileError(f"{self._at(key)} must be a table, got {value!r}")
        return Section(self._at(key), value)

    def text(self, key: str) -> str:
        """A string that is not empty and has one line."""
        value = self._get(key)
        if not isinstance(value, str) or not value.strip() or "\n" in value:
            raise ProfileError(f"{self._at(key)} must be one line of text, got {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(x, str) and x for x in value):
            raise ProfileError(f"{self._at(key)} must be a list of texts, got {value!r}")
        return tuple(value)

    def choice(self, key: str, known: Sequence[str]) -> str:
        """One of ``known``."""
        value = self.text(key)
        if value not in known:
            raise ProfileError(f"{self._at(key)} is '{value}'{did_you_mean(value, known)}")
        return value

    def integer(self, key: str, least: int = 1) -> int:
        """A whole number, at least ``least``."""
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ProfileError(
                f"{self._at(key)} must be a whole number from {least}, got {value!r}"
            )
        return value

    def number(self, key: str, least: float = 0.0, most: float = math.inf) -> float:
        """A finite number in [least, most]."""
        return self._checked(key, self._get(key), least, most)

    def positive(self, key: str) -> float:
        """A finite number above 0."""
        value = self.number(key)
        if value == 0:
            raise ProfileError(f"{self._at(key)} must be above 0")
        return value

    def fraction(self, key: str) -> float:
        """A number in (0, 1]."""
        value = self.number(key, most=1.0)
        if value == 0:
            raise ProfileError(f"{self._at(key)} must be above 0")
        return value

    def at_least_one(self, key: str) -> float:
        """A finite number from 1."""
        return self.number(key, least=1.0)

    def correlation(self, key: str) -> float:
        """A number in [-1, 1]."""
        return self.number(key, least=-1.0, most=1.0)

    def pair(self, key: str) -> tuple[float, float]:
        """Two numbers, smallest and largest."""
        value = self._get(key)
        if not isinstance(value, list) or len(value) != 2:
            raise ProfileError(f"{self._at(key)} must be [smallest, largest], got {value!r}")
        low, high = (self._checked(key, x, 0.0, math.inf) for x in value)
        if low > high:
            raise ProfileError(f"{self._at(key)} must rise, got {value!r}")
        return low, high

    def _checked(self, key: str, value: Any, least: float, most: float) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not least <= value <= most:
            limits = f"from {least:g}" + ("" if most == math.inf else f" to {most:g}")
            raise ProfileError(f"{self._at(key)} must be a number {limits}, got {value!r}")
        return float(value)

    def _get(self, key: str) -> Any:
        self._read.add(key)
        if key not in self._values:
            raise ProfileError(f"'{self._at(key)}' is missing")
        return self._values[key]

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key
