"""Hardware variables as users give them: ``rows=16,cols=32,dataflow=ws``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flash.errors import UsageError, did_you_mean

__all__ = ["Given", "chip_of", "parse_hardware", "values_of"]

#: What fixes a chip: ``rows=16,cols=32``, or a mapping.
Given = str | Mapping[str, int | str]


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
    words: Mapping[str, Sequence[str]],
) -> dict[str, int]:
    """The chip a user means: what is given, the rest as in ``default``.

    words: variables whose values have names, e.g. dataflow -> ("os", "ws", "is").
    Raises ``UsageError``; whether a value is possible is for the hardware model to say.
    """
    chip = {**default, **values_of(given, names, words)}
    missing = [name for name in names if name not in chip]
    if missing:
        raise UsageError(f"the profile has no default {missing[0]}; give --hardware {missing[0]}=N")
    return {name: chip[name] for name in names}


def values_of(
    given: Given | None, names: Sequence[str], words: Mapping[str, Sequence[str]]
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
