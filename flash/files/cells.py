"""CSV of rows, safe to open: a name that somebody else chose is text, never a formula.

Spreadsheets run a cell that begins with ``=``, ``+``, ``-`` or ``@``; terminals obey control
characters. Such a text gets an apostrophe in front, which spreadsheets take off, and control
characters are written as Python writes them (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["csv_text", "safe_cell"]

#: Cells of these types are what they are; most are.
_NUMBERS: Final = frozenset({float, int, type(None)})
_FORMULA: Final = ("=", "+", "-", "@")


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, the columns of the first; what is None is empty, what is true is ``true``."""
    if not records:
        return ""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    names = list(records[0])
    rows.writerow([safe_cell(name) for name in names])
    rows.writerows(
        [v if type(v := record[name]) in _NUMBERS else safe_cell(v) for name in names]
        for record in records
    )
    return stream.getvalue()


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
