"""Two JSON documents as lists of values with paths: what differs, under a map of renamed fields.

A path is a tuple of keys and list positions, ``("search", "front", 3, "latency_ms", "value")``,
written ``search.front[3].latency_ms.value``; it begins with the command that wrote the document.
A pattern is a path in which ``[]`` stands for any position and ``*`` for any key.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Difference", "Path", "Renamed", "Values", "compare", "flatten", "matches", "report"]

Path = tuple[str | int, ...]
#: What stands at each path: a number, a text, true, false, None, or an empty list or object.
Values = dict[Path, Any]

#: Two numbers are equal within this share of the larger one. Rounding in another order changes
#: a sum of some thousand terms by about 1e-13 of its value; a changed formula by far more.
TOLERANCE: Final = 1e-9
_SHOWN: Final = 20
_ABSENT: Final = "(absent)"


def flatten(document: Any, start: Path) -> Values:
    """Every value of a document by its path, which begins with ``start``."""
    if isinstance(document, dict) and document:
        pairs: Iterable[tuple[str | int, Any]] = document.items()
    elif isinstance(document, list) and document:
        pairs = enumerate(document)
    else:
        return {start: document}
    values: Values = {}
    for key, value in pairs:
        values |= flatten(value, (*start, key))
    return values


def written(path: Path) -> str:
    """A path as people read it."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def general(path: Path) -> str:
    """A path with every position as ``[]``."""
    return re.sub(r"\[\d+\]", "[]", written(path))


def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\[\]|[^.\[\]]+", pattern))


def _wildcards(pattern: Sequence[str], path: Path) -> list[str | int] | None:
    """What the wildcards stand for where the pattern is the beginning of the path, or None."""
    if len(pattern) > len(path):
        return None
    found: list[str | int] = []
    for wanted, part in zip(pattern, path, strict=False):
        if wanted == "[]" and isinstance(part, int) or wanted == "*" and isinstance(part, str):
            found.append(part)
        elif wanted != part:
            return None
    return found


def matches(pattern: str, path: Path) -> bool:
    """Whether the path is what the pattern names, or within it."""
    return _wildcards(_parts(pattern), path) is not None


@dataclass(frozen=True)
class Renamed:
    """What fields and words are called since a document was recorded.

    fields: old -> new. A pattern such as ``search.front[].area_mm2`` renames or moves that field
            and all within it; its wildcards stand for the same in the new one, in their order.
            A single name, ``hull``, renames that key in every document, at any depth. The
            longest pattern that fits decides; nothing is renamed twice.
    texts:  old words -> new words, in every text, in the order given.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def apply(self, values: Values) -> Values:
        """The values under their new paths and with their new words."""
        renamed: Values = {}
        for path, value in values.items():
            new = self._path(path)
            if new in renamed:
                raise ValueError(f"two fields would be called {written(new)}")
            renamed[new] = self._text(value) if isinstance(value, str) else value
        return renamed

    def unused(self, all_values: Iterable[Values]) -> list[str]:
        """The entries that rename nothing in any of the documents."""
        fields, texts = set(self.fields), set(self.texts)
        for values in all_values:
            paths = {general(path): path for path in values}.values()
            fields -= {old for old in fields if any(_renames(old, path) for path in paths)}
            words = [value for value in values.values() if isinstance(value, str)]
            texts -= {old for old in texts if any(old in text for text in words)}
        return sorted(fields | texts)

    def _path(self, path: Path) -> Path:
        fitting = [old for old in self.fields if not _is_name(old) and matches(old, path)]
        kept: Path = path[:1]
        if fitting:
            old = max(fitting, key=lambda pattern: len(_parts(pattern)))
            found = iter(_wildcards(_parts(old), path) or ())
            kept = tuple(next(found) if p in ("[]", "*") else p for p in _parts(self.fields[old]))
            path = path[len(_parts(old)) - 1 :]
        return kept + tuple(self.fields.get(p, p) if isinstance(p, str) else p for p in path[1:])

    def _text(self, text: str) -> str:
        for old, new in self.texts.items():
            text = text.replace(old, new)
        return text


def _is_name(pattern: str) -> bool:
    return len(_parts(pattern)) == 1


def _renames(old: str, path: Path) -> bool:
    return old in path[1:] if _is_name(old) else matches(old, path)


@dataclass(frozen=True)
class Difference:
    """One value that is not what was recorded; texts of the values, or that there is none."""

    path: Path
    old: str
    new: str


def compare(old: Values, new: Values) -> list[Difference]:
    """Where they differ: numbers by more than ``TOLERANCE`` of the larger, all else at all."""
    differences = []
    for path in [*old, *(path for path in new if path not in old)]:
        if path not in old or path not in new or not _equal(old[path], new[path]):
            texts = [repr(v[path]) if path in v else _ABSENT for v in (old, new)]
            differences.append(Difference(path, *texts))
    return differences


def _equal(old: Any, new: Any) -> bool:
    if _is_number(old) and _is_number(new) and float in (type(old), type(new)):
        both_nan = math.isnan(old) and math.isnan(new)
        return both_nan or math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=0.0)
    return type(old) is type(new) and bool(old == new)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def report(document: str, differences: Sequence[Difference]) -> str:
    """The first differences, one a line, then how many there are of each field."""
    lines = [
        f"{document}: {written(d.path)}: recorded {d.old}, now {d.new}"
        for d in differences[:_SHOWN]
    ]
    lines += [f"{document}: {line}" for line in counted(differences)]
    return "\n".join(lines)


def counted(differences: Sequence[Difference]) -> list[str]:
    """How many values of each field changed, are new or are gone."""
    counts: Counter[tuple[str, str]] = Counter()
    for d in differences:
        kind = "new" if d.old == _ABSENT else "gone" if d.new == _ABSENT else "changed"
        counts[kind, general(d.path)] += 1
    return [f"{kind}: {path} ({count:,} values)" for (kind, path), count in counts.items()]
