"""Quantities with units: read from what people type, written for people to read.

A limit without a unit is a guess waiting to go wrong (20 what? The papers of this field use
ms, us and s), so a bare number is refused with the units it could mean.

>>> parse_latency_ms("20ms"), parse_latency_ms("0.5 s"), parse_memory_kb("512 KiB")
(20.0, 500.0, 524.288)
>>> format_latency(0.0321), format_memory(12500), format_count(1_234_567)
('32.1 us', '12.5 MB', '1.23M')
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from flash.errors import UsageError, did_you_mean

__all__ = [
    "EXTRAPOLATED",
    "count_in_words",
    "format_area",
    "format_count",
    "format_energy",
    "format_latency",
    "format_memory",
    "format_number",
    "parse_accuracy_percent",
    "parse_area_mm2",
    "parse_duration_s",
    "parse_energy_mj",
    "parse_latency_ms",
    "parse_memory_kb",
]

#: What a mark beside an estimate says; of fitted models the interval is widened for it.
EXTRAPOLATED = "unlike anything the cost model was held against: measure one before you rely on it"


@dataclass(frozen=True)
class _Kind:
    """A physical quantity.

    units:   spelling -> value in the base unit; decimal text, so that 0.3 s is 300 ms exactly.
    typical: units a bare number could mean, the likeliest first.
    shown:   units used for printing, rising.
    """

    name: str
    units: dict[str, str]
    typical: tuple[str, ...]
    shown: tuple[str, ...]


_LATENCY = _Kind(
    "latency", {"us": "1e-3", "ms": "1", "s": "1e3"}, ("ms", "us", "s"), ("us", "ms", "s")
)
_ENERGY = _Kind(
    "energy", {"uJ": "1e-3", "mJ": "1", "J": "1e3"}, ("mJ", "uJ", "J"), ("uJ", "mJ", "J")
)
_MEMORY = _Kind(
    "memory",
    {
        "B": "1e-3",
        "kB": "1",
        "KB": "1",
        "KiB": "1.024",
        "MB": "1e3",
        "MiB": "1048.576",
        "GB": "1e6",
        "GiB": "1073741.824",
    },
    ("MB", "MiB", "kB"),
    ("B", "kB", "MB", "GB"),
)
_AREA = _Kind("area", {"mm2": "1", "um2": "1e-6"}, ("mm2", "um2"), ("um2", "mm2"))
_DURATION = _Kind("duration", {"s": "1", "min": "60", "h": "3600"}, ("s", "min", "h"), ("s",))
_KINDS = (_LATENCY, _ENERGY, _MEMORY, _AREA)

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*([^\s\d.,+-][^\s,+-]*)?\s*", re.ASCII)
# "nan", "inf s", "-Infinityms"; not "information".
_NOT_FINITE = re.compile(r"\s*[+-]?(?:nan|inf(?:inity)?)(?![^\W\d_]{4})", re.IGNORECASE)


# ------------------------------------------------------------------------------------ reading
def parse_latency_ms(text: str, option: str = "") -> float:
    """Milliseconds from ``"20ms"``, ``"800 us"`` or ``"0.2s"``.

    ``option`` names the option in the message; for argparse, give
    ``type=functools.partial(parse_latency_ms, option="--max-latency")`` and keep the call of
    ``parse_args`` inside the block that turns ``FlashError`` into its line and exit code.
    Raises ``UsageError`` (exit code 2) for anything that is no positive, finite latency.
    """
    return _parse(text, _LATENCY, option)


def parse_energy_mj(text: str, option: str = "") -> float:
    """Millijoules from ``"5mJ"``, ``"300uJ"`` or ``"1.5 J"``; see ``parse_latency_ms``."""
    return _parse(text, _ENERGY, option)


def parse_memory_kb(text: str, option: str = "") -> float:
    """Kilobytes of 10^3 bytes from ``"8MB"``, ``"512KiB"``, ...; see ``parse_latency_ms``.

    kB and KB are 1,000 bytes, KiB is 1,024 (IEC 80000-13).
    """
    return _parse(text, _MEMORY, option)


def parse_area_mm2(text: str, option: str = "") -> float:
    """Square millimetres from ``"40mm2"`` or ``"9000um2"``; see ``parse_latency_ms``."""
    return _parse(text, _AREA, option)


def parse_duration_s(text: str, option: str = "") -> float:
    """Seconds from ``"30s"``, ``"5min"`` or ``"1 h"``; see ``parse_latency_ms``."""
    return _parse(text, _DURATION, option)


def parse_accuracy_percent(text: str, option: str = "") -> float:
    """Per cent from ``"92"`` or ``"92.5%"``, above 1 and at most 100.

    The one quantity with an unmistakable unit; a fraction such as 0.92 is refused, because
    a limit of 0.92 % would silently mean no limit at all.
    """
    where = f"{option} {_one_line(text)}".strip()
    match = re.fullmatch(rf"\s*({_NUMBER})\s*%?\s*", text, re.ASCII)
    if match is None:
        raise UsageError(f"{where}: expected an accuracy in per cent, e.g. 92 or 92%")
    value = float(match[1])
    if 0 < value <= 1:
        raise UsageError(f"{where}: accuracies are in per cent; did you mean {value * 100:g}%?")
    if not 0 < value <= 100:
        raise UsageError(f"{where}: an accuracy is above 0 and at most 100 %")
    return value


def _parse(text: str, kind: _Kind, option: str) -> float:
    where = f"{option} {_one_line(text)}".strip()
    # People type the micro sign (two code points look alike) and the superscript two.
    plain = text.replace("\u00b5", "u").replace("\u03bc", "u").replace("\u00b2", "2")
    match = _QUANTITY.fullmatch(plain)
    if match is None:
        if _NOT_FINITE.match(plain):
            raise UsageError(f"{where}: the {kind.name} must be a finite number")
        raise UsageError(f"{where}: expected a {kind.name} such as {_examples('20', kind)}")
    number, unit = match[1], match[2]
    if unit is None:
        raise UsageError(f"{where}: give a unit, e.g. {_examples(number, kind)}")
    if unit not in kind.units:
        raise UsageError(f"{where}: {_wrong_unit(_one_line(unit), kind)}")
    if float(number) <= 0:
        raise UsageError(f"{where}: the {kind.name} must be above zero")
    # The range check comes first: Decimal has its own, different, limits.
    finite = math.isfinite(float(number))
    value = float(Decimal(number) * Decimal(kind.units[unit])) if finite else math.inf
    if not 0 < value < math.inf:
        raise UsageError(f"{where}: the {kind.name} is out of range")
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "''"


def _examples(number: str, kind: _Kind) -> str:
    *first, last = (f"{number}{unit}" for unit in kind.typical)
    return f"{', '.join(first)} or {last}"


def _wrong_unit(unit: str, kind: _Kind) -> str:
    for same in kind.units:
        if unit.lower() == same.lower():
            return f"unknown unit '{unit}' (did you mean '{same}'?)"
    for other in _KINDS:
        if unit in other.units:
            return f"{unit} is a unit of {other.name}; a {kind.name} is in {_list(kind)}"
    return f"unknown unit '{unit}'{did_you_mean(unit, kind.units)}"


def _list(kind: _Kind) -> str:
    *first, last = kind.units
    return f"{', '.join(first)} or {last}"


# ------------------------------------------------------------------------------------ writing
def format_number(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits and no exponent: 0.0123, 12.3, 1235.

    Digits before the decimal point are never rounded away.

    >>> [format_number(x) for x in (0.012345, 12.345, 1234.5, 0)]
    ['0.0123', '12.3', '1234', '0']
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{value:.{max(decimals, 0)}f}"


def format_count(count: float) -> str:
    """A number of things with 3 significant digits: 950, 12.3k, 1.23M, 63.2G."""
    for factor, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if float(f"{count:.2e}") >= factor:
            return f"{format_number(count / factor)}{suffix}"
    return format_number(count)


def count_in_words(count: float) -> str:
    """A number of things in a sentence: ``"6,561"``, ``"26.3 million"``, ``"134 billion"``."""
    for factor, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if float(f"{count:.2e}") >= factor:
            if count >= 1e15:
                return f"{count:.2e}".replace("e+", "e")
            return f"{format_number(count / factor)} {word}"
    return f"{count:,.0f}"


def format_latency(latency_ms: float) -> str:
    """A latency for people: ``"12.3 ms"``, ``"850 us"``, ``"1.20 s"``."""
    return _format(latency_ms, _LATENCY)


def format_energy(energy_mj: float) -> str:
    """An energy for people: ``"5.10 mJ"``."""
    return _format(energy_mj, _ENERGY)


def format_memory(memory_kb: float) -> str:
    """A memory size for people, in powers of 1,000: ``"524 kB"``, ``"8.00 MB"``."""
    return _format(memory_kb, _MEMORY)


def format_area(area_mm2: float) -> str:
    """An area for people: ``"40.0 mm2"``."""
    return _format(area_mm2, _AREA)


def _format(value: float, kind: _Kind) -> str:
    chosen, factor = kind.shown[0], float(kind.units[kind.shown[0]])
    for unit in kind.shown[1:]:
        scale = float(kind.units[unit])
        # Rounded first, so that 999.9 us becomes 1.00 ms and not 1000 us.
        if float(f"{abs(value) / scale:.2e}") >= 1:
            chosen, factor = unit, scale
    return f"{format_number(value / factor)} {chosen}"
