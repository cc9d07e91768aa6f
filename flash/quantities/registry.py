"""Every quantity of a design, declared once: name, unit, sense, label, format, parser.

Reports, limits, objectives, columns and pictures ask here. A data-free metric or a proxy
declares its own ``Quantity`` where it is registered, as the attribute ``quantity`` of its
member of the registry; ``quantity`` finds it there by name.

>>> latency = quantity("latency_ms")
>>> latency.label, latency.unit, latency.sense, latency.format(0.85), latency.parse("1 s")
('latency', 'ms', 'min', '850 us', 1000.0)
>>> latency.columns
('latency_ms', 'latency_low_ms', 'latency_high_ms')
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from flash.errors import UsageError, did_you_mean
from flash.plugins import registry
from flash.quantities.numbers import parse_number
from flash.quantities.text import (
    format_count,
    format_energy,
    format_latency,
    format_memory,
    format_number,
    parse_accuracy_percent,
    parse_area_mm2,
    parse_energy_mj,
    parse_latency_ms,
    parse_memory_kb,
)

__all__ = ["QUANTITIES", "Parser", "Quantity", "Sense", "known_quantities", "quantity"]

Sense = Literal["min", "max"]


class Parser(Protocol):
    """Reads a value that a user types; raises ``UsageError`` that begins with the option."""

    def __call__(self, text: str, option: str = "") -> float:
        """The value in the quantity's own unit."""
        ...


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that every design has a value of.

    name:   the field in Python and JSON and the column in CSV, its unit last: ``latency_ms``.
    label:  for people, without the unit.
    unit:   of every stored value, as printed; empty for counts and scores.
    sense:  "min" where less is better, "max" where more is.
    terms:  the quantities it is the sum of; empty where it stands alone.
    number: a value -> its digits in ``unit``, for a column whose heading shows the unit.
    format: a value -> text with a unit, for a sentence.
    parse:  what a user types, with its unit -> a value in ``unit``.
    """

    name: str
    label: str
    unit: str = ""
    sense: Sense = "max"
    terms: tuple[str, ...] = ()
    number: Callable[[float], str] = format_number
    format: Callable[[float], str] = format_number
    parse: Parser = parse_number

    def __post_init__(self) -> None:
        if self.sense not in ("min", "max"):
            raise ValueError(f"{self.name}: expected sense min or max, got {self.sense!r}")
        if not (self.name.isascii() and self.name.isidentifier()):
            raise ValueError(f"a quantity's name is an ASCII identifier, got {self.name!r}")

    @property
    def word(self) -> str:
        """The name without its unit, as options spell it: ``latency``."""
        return self.name.removesuffix(f"_{self.unit.lower()}") if self.unit else self.name

    @property
    def symbol(self) -> str:
        """The unit in typeset text: ``mm²``."""
        return self.unit.replace("mm2", "mm²")

    @property
    def heading(self) -> str:
        """Label and unit: ``latency (ms)``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def columns(self) -> tuple[str, str, str]:
        """Columns of the value and of the ends of its interval, the unit last in each."""
        unit = self.name.removeprefix(self.word)
        return self.name, f"{self.word}_low{unit}", f"{self.word}_high{unit}"


def _mm2(value: float) -> str:
    return f"{format_number(value)} mm2"  # chips are told in mm2, small ones too


def _percent(value: float) -> str:
    return f"{format_number(value)} %"


def _cost(
    name: str,
    label: str,
    unit: str,
    text: Callable[[float], str],
    parse: Parser,
    terms: tuple[str, ...] = (),
) -> Quantity:
    return Quantity(name, label, unit, "min", terms, format_number, text, parse)


def _count(name: str, label: str) -> Quantity:
    return Quantity(name, label, "", "min", (), format_count, format_count)


_MEMORY_TERMS = ("weight_kb", "activation_kb")
#: Quantities that are no metric's, by name; "score" is whatever metric is searched.
QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        one.name: one
        for one in (
            Quantity("accuracy", "accuracy", "%", format=_percent, parse=parse_accuracy_percent),
            Quantity("score", "score"),
            _cost("latency_ms", "latency", "ms", format_latency, parse_latency_ms),
            _cost("energy_mj", "energy", "mJ", format_energy, parse_energy_mj),
            _cost("memory_kb", "memory", "kB", format_memory, parse_memory_kb, _MEMORY_TERMS),
            _cost("weight_kb", "weights", "kB", format_memory, parse_memory_kb),
            _cost("activation_kb", "peak activations", "kB", format_memory, parse_memory_kb),
            _cost("area_mm2", "area", "mm2", _mm2, parse_area_mm2),
            _count("params", "params"),
            _count("macs", "MACs"),
        )
    }
)

#: Entry-point groups whose members declare a quantity of their own.
_GROUPS = ("flash.metrics", "flash.proxies")


def quantity(name: str) -> Quantity:
    """The quantity of this name: a cost, the accuracy, or that of a registered metric or proxy.

    Raises ``UsageError`` with the closest name for any other.
    """
    if name in QUANTITIES:
        return QUANTITIES[name]
    for group in _GROUPS:
        members = registry(group)
        if name in members:
            declared: Quantity = members[name].quantity
            return declared
    raise UsageError(f"unknown quantity '{name}'{did_you_mean(name, known_quantities())}")


def known_quantities() -> Iterator[str]:
    """Names of costs and accuracy, then those of metrics and proxies."""
    yield from QUANTITIES
    for group in _GROUPS:
        yield from (name for name in registry(group) if name not in QUANTITIES)
