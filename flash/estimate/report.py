"""What ``estimate`` returns: its rows, which show themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from flash.estimate.table import Row, estimate_table
from flash.report.base import Result

__all__ = ["EstimateReport"]

#: Columns that are lists of rows.
_LISTS = ("layers", "blocks")


@dataclass(frozen=True, repr=False)
class EstimateReport(Result, Sequence[Row]):
    """One row a network or design and target, in the order given; a sequence of them.

    rows: each with the columns that ``docs/formats.md`` lists; None where a value is not known.
          ``layers`` and ``blocks``, where asked for, are lists of such rows.
    """

    rows: tuple[Row, ...]

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def lines(self) -> list[str]:
        """How many rows, then the table for people."""
        count = f"{len(self.rows):,} row{'s' if self.rows[1:] else ''}"
        return [f"EstimateReport: {count}", *estimate_table(self.rows).splitlines()]

    def to_records(self) -> list[Mapping[str, Any]]:
        """The rows without their layers, all columns in each; ``layer_records`` has those."""
        names = dict.fromkeys(name for row in self.rows for name in row if name not in _LISTS)
        return [{name: row.get(name) for name in names} for row in self.rows]

    def layer_records(self) -> list[Mapping[str, Any]]:
        """A row a layer, with the network and the target it is of."""
        found = [
            {name: row[name] for name in ("design", "target") if name in row} | layer
            for row in self.rows
            for layer in row.get("layers", ())
        ]
        names = dict.fromkeys(name for layer in found for name in layer)
        return [{name: layer.get(name) for name in names} for layer in found]

    def document(self) -> list[Row]:
        """The rows, as a list."""
        return list(self.rows)
