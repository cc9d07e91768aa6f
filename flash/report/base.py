"""What the functions of verbs return: results that show themselves, one vocabulary for all.

A result of a verb is a frozen dataclass that says what it is in lines, in rows and as a document;
from these come its short form at a prompt, its table in a notebook, its data frame, CSV and JSON.
Fields have the same names and units in each of them (``docs/formats.md``).
"""

from __future__ import annotations

import html
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flash.files.cells import csv_text
from flash.quantities import format_number
from flash.report.frames import data_frame

__all__ = ["Result", "html_table", "shortened"]

#: Lines of a result at a prompt, and characters of a line.
_LINES: Final = 10
_WIDTH: Final = 100
#: Rows of a table in a notebook; the data frame has all.
_ROWS: Final = 20


class Result(ABC):
    """A result of a verb.

    lines:      for people, at a prompt; the first says what it is.
    to_records: flat rows, all with the same keys, None where a value is not known.
    document:   plain values for JSON, as ``docs/formats.md`` describes them.
    """

    @abstractmethod
    def lines(self) -> Sequence[str]:
        """The result for people; a prompt shows the first ten."""

    @abstractmethod
    def to_records(self) -> Sequence[Mapping[str, Any]]:
        """The rows of the data frame and of the CSV file."""

    def document(self) -> Any:
        """The JSON document as plain values: the rows, where the result has no other."""
        return list(self.to_records())

    def to_json(self) -> str:
        """The JSON document."""
        return json.dumps(self.document(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """The records as CSV: unknown values are empty, no cell is a formula."""
        return csv_text(self.to_records())

    def to_dataframe(self) -> Any:
        """The records as a ``pandas.DataFrame``.

        Raises ``UsageError`` with the command that installs pandas where it is missing.
        """
        return data_frame(self.to_records())

    def __repr__(self) -> str:
        return shortened(self.lines())

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(next(iter(self.lines()), ''))}</p>{html_table(self.to_records())}"


def shortened(lines: Sequence[str], most: int = _LINES) -> str:
    """At most ``most`` lines of at most 100 characters; the last says how many are left out."""
    shown = [line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..." for line in lines]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"... and {len(shown) - most + 1} more lines"]
    return "\n".join(shown)


def html_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table of a notebook; the first twenty, and how many there are."""
    if not records:
        return ""
    names = list(dict.fromkeys(name for record in records[:_ROWS] for name in record))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(_cell(record.get(name)))}</td>" for name in names)
        + "</tr>"
        for record in records[:_ROWS]
    )
    more = f"<p>{len(records):,} rows, {_ROWS} shown</p>" if len(records) > _ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return format_number(value, 4) if isinstance(value, float) else str(value)
