"""CSV of rows, safe to open: a name that somebody else chose is text, never a formula.

Spreadsheets run a cell that begins with ``=``, ``+``, ``-`` or ``@``; terminals obey control
characters. Such a text gets an apostrophe in front, which spreadsheets take off, and control
characters are written as Python writes them (OWASP, "CSV Injection").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

__all__ = ["csv_text", "safe_cell"]

_FORMULA: Final = ("=", "+", "-", "@")
#: Types whose values stand in a cell as Python writes them.
_NUMBERS: Final = frozenset({float, int})


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, the columns of the first; what is None is empty, what is true is ``true``."""
    if not records:
        return ""
    names = list(records[0])
    # Most cells are numbers: module csv would look at each of their characters.
    rows = (
        [repr(v) if type(v := record[name]) in _NUMBERS else _field(v) for name in names]
        for record in records
    )
    lines = [",".join(row) or '""' for row in chain([map(_field, names)], rows)]
    return "\n".join(lines) + "\n"


def _field(value: Any) -> str:
    """A cell as it stands in the file, quoted where it must be; safe cells are one line."""
    if value is None:
        return ""
    text = str(safe_cell(value))
    return '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text


def safe_cell(value: Any) -> Any:
    """A value as a cell: numbers as they are, texts so that nothing runs or obeys them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    plain = value if value.isprintable() else "".join(map(_printable, value))
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
