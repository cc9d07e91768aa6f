"""Numbers on the command line, read by one rule for every command.

ASCII digits only (``int`` and ``float`` also take full-width digits, underscores and
infinities), nothing empty, within stated bounds; the message begins with the option.

>>> parse_whole("12", "--samples"), parse_number("1e-3"), parse_count("20M"), parse_sizes("1x3x8")
(12, 0.001, 20000000.0, (1, 3, 8))
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from flash.errors import UsageError, shown

__all__ = [
    "number_of",
    "parse_confidence",
    "parse_count",
    "parse_inputs",
    "parse_number",
    "parse_only_input",
    "parse_seed",
    "parse_sizes",
    "parse_whole",
]

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?"
)
_COUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([kMG])")
#: Digits of the largest size of an input.
_SIZE_DIGITS = 9
_SIZES = re.compile(r"[1-9][0-9]{0,8}(?:x[1-9][0-9]{0,8}){1,15}")
#: What is meant as sizes, whether each can be one or not.
_SIZES_MEANT = re.compile(r"[0-9]+(?:x[0-9]+){1,15}")
_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9}
#: Seeds fit into 63 bits, as NumPy's and torch's generators take them.
_LARGEST_SEED = 10**18 - 1


def parse_whole(text: str, option: str = "", least: int = 0, most: int = 10**9) -> int:
    """A whole number in [least, most], both 0 or more; raises ``UsageError`` for anything else."""
    if re.fullmatch(r"[0-9]{1,19}", text) and least <= int(text) <= most:
        return int(text)
    raise _refused(text, option, f"a whole number from {least} to {most}")


def parse_number(text: str, option: str = "", least: float = 0.0, most: float = 1e12) -> float:
    """A number in [least, most]; raises ``UsageError`` for anything else."""
    if _NUMBER.fullmatch(text) and least <= float(text) <= most:
        return float(text)
    raise _refused(text, option, f"a number from {least:g} to {most:g}")


def parse_confidence(text: str | None, option: str = "") -> float | None:
    """A share from per cent, ``90%`` or ``90``; None where nothing is given.

    Raises ``UsageError`` for anything that is not from 50 to 99 per cent.
    """
    if text is None:
        return None
    value = text.strip().removesuffix("%")
    if not _NUMBER.fullmatch(value) or not 50 <= float(value) <= 99:
        raise _refused(text, option, "per cent from 50 to 99, e.g. 90%")
    return float(value) / 100


def number_of(text: str) -> float:
    """The finite number that a cell of a table or a program's output is, by the same rule; nan.

    >>> number_of(" -1.5e3 "), number_of("1_000"), number_of("inf"), number_of("\uff11")
    (-1500.0, nan, nan, nan)
    """
    plain = text.strip()
    value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
    return value if math.isfinite(value) else math.nan


def parse_count(text: str, option: str = "") -> float:
    """A number of things above zero with the factor k, M or G: ``20M`` is 20 million."""
    found = _COUNT.fullmatch(text)
    if found and float(found[1]) > 0:
        return float(found[1]) * _FACTORS[found[2]]
    raise _refused(text, option, "a number with k, M or G, e.g. 20M")


def parse_sizes(text: str, option: str = "") -> tuple[int, ...]:
    """Two or more sizes above zero joined by ``x``: ``1x3x224x224``."""
    if _SIZES.fullmatch(text):
        return tuple(int(size) for size in text.split("x"))
    for size in text.split("x") if _SIZES_MEANT.fullmatch(text) else ():
        if not size.strip("0"):
            raise _refused(text, option, "sizes of 1 or more, got 0")
        if len(size.lstrip("0")) > _SIZE_DIGITS:
            raise _refused(text, option, f"sizes up to {10**_SIZE_DIGITS - 1:,}, one is too large")
    raise _refused(text, option, "sizes such as 1x3x224x224")


def parse_inputs(texts: Iterable[str], unnamed: bool = False) -> dict[str, tuple[float, ...]]:
    """Sizes by input from ``NAME=1x3x224x224``; one number may be the value of a scalar input.

    unnamed: sizes without a name are those of a model's only input, under "".

    >>> parse_inputs(["state=2x1x128", "sr=16000", "low=-1.5"])
    {'state': (2, 1, 128), 'sr': (16000,), 'low': (-1.5,)}
    """
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        if not name and (equals or not unnamed or not _SIZES_MEANT.fullmatch(sizes)):
            raise UsageError(f"--input {shown(text)}: expected NAME=1x3x224x224")
        option = f"--input {name}".rstrip()
        if name in found:
            raise UsageError(f"{option}: given twice")
        one = number_of(sizes) if name else math.nan
        whole = re.fullmatch(r"[+-]?[0-9]{1,19}", sizes)
        found[name] = (
            parse_sizes(sizes, option) if math.isnan(one) else (int(sizes) if whole else one,)
        )
    return found


def parse_only_input(
    sizes: str | None, texts: Iterable[str]
) -> tuple[tuple[int, ...] | None, dict[str, tuple[float, ...]]]:
    """Sizes of the models' only input, if given, and of inputs by name.

    sizes: of ``--input-shape``. texts: of every ``--input``, of which one without a name says the
    same.

    >>> parse_only_input(None, ["1x3x32x32"])
    ((1, 3, 32, 32), {})
    """
    by_name = parse_inputs(texts, unnamed=True)
    given = by_name.pop("", None)
    only = None if given is None else tuple(int(size) for size in given)
    if sizes is None:
        return only, by_name
    if only is not None:
        raise UsageError("--input-shape and an --input without a name say the same: give one")
    return parse_sizes(sizes, "--input-shape"), by_name


def parse_seed(text: str, option: str = "--seed") -> int:
    """The seed of everything random: a whole number of at most 18 digits."""
    return parse_whole(text, option, 0, _LARGEST_SEED)


def _refused(text: str, option: str, expected: str) -> UsageError:
    given = text if text.strip() and text.isprintable() and len(text) <= 40 else shown(text)
    return UsageError(f"{option} {given}: expected {expected}".strip())
