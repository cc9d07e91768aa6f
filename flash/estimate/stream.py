"""Designs by the million: priced and written as CSV some at a time, to be gone on with.

What is done lies beside the file, under a name made of all that the rows depend on; the same
command goes on behind its last whole line. The file itself appears when all rows are there.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from flash import __version__
from flash.errors import UsageError
from flash.estimate.designs import DesignPricing
from flash.files.cells import safe_cell
from flash.files.reading import read_input, read_lines
from flash.files.writing import cannot_write

__all__ = ["DesignLines", "fingerprint", "write_designs"]

#: Rows turned to text at a time.
_ROWS: Final = 4096


class DesignLines(Collection[str]):
    """The designs of a file, one a line, read anew each time; standard input is kept."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._kept = _lines(read_input(file).splitlines()) if file == "-" else None
        self._count = sum(1 for _ in self)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        if self._kept is not None:
            yield from self._kept
            return
        yield from _lines(read_lines(self._file))

    def __contains__(self, text: object) -> bool:
        return any(text == own for own in self)


def _lines(texts: Any) -> Any:
    found = (text.strip() for text in texts)
    kept = (text for text in found if text)
    return list(kept) if isinstance(texts, list) else kept


def fingerprint(texts: Collection[str], *parts: Any) -> str:
    """Of designs and of whatever else decides about the rows, plain values."""
    digest = hashlib.sha256(json.dumps([__version__, *parts], default=str).encode())
    for text in texts:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()[:16]


def write_designs(
    pricing: DesignPricing,
    texts: Collection[str],
    wanted: Sequence[str] | None,
    file: str,
    mark: str,
) -> None:
    """Write the rows as CSV to a file, or to standard output for ``-``.

    wanted: columns to write, those of them that there are; all if None.
    mark:   fingerprint of all that the rows depend on.

    Raises ``UsageError`` for a place that cannot be written.
    """
    place = Path(file)
    if file == "-" or (place.exists() and not place.is_file() and not place.is_dir()):
        with contextlib.ExitStack() as stack:
            out = sys.stdout if file == "-" else stack.enter_context(place.open("w"))
            for text in _texts(pricing, texts, wanted, 0):
                out.write(text)
        return
    part = place.with_name(f".{place.name}.{mark}.part")
    try:
        if place.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        with _part_file(part) as stream:
            rows = _whole_lines(stream)
            if rows > 1 and sys.stderr is not None:
                sys.stderr.write(f"note: {rows - 1:,} rows were there already\n")
            for text in _texts(pricing, texts, wanted, rows):
                stream.write(text.encode())
                stream.flush()
            os.fsync(stream.fileno())
            part.replace(place)
    except OSError as error:
        raise cannot_write(place, error) from None


@contextlib.contextmanager
def _part_file(path: Path) -> Iterator[BinaryIO]:
    """The file of what is done so far, for one process alone."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666), "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{path}: another run is writing these rows") from None
        yield stream


def _whole_lines(stream: BinaryIO) -> int:
    """Lines that are there to their end; what is behind them is cut off."""
    lines, end = 0, 0
    for line in stream:
        if not line.endswith(b"\n"):
            break
        lines, end = lines + 1, end + len(line)
    stream.seek(end)
    stream.truncate()
    return lines


def _texts(
    pricing: DesignPricing, texts: Collection[str], wanted: Sequence[str] | None, lines: int
) -> Iterator[str]:
    """The lines of the file behind the first ones, some thousand at a time."""
    for columns in pricing.columns(texts, max(0, lines - 1)):
        names = [n for n in (columns if wanted is None else wanted) if n in columns]
        if not lines:
            yield _csv([names])
            lines = 1
        values = [_cells(columns[name]) for name in names]
        for start in range(0, len(values[0]), _ROWS):
            block = [column[start : start + _ROWS] for column in values]
            yield _csv(zip(*block, strict=True))


def _cells(column: Sequence[Any]) -> Sequence[Any]:
    """A column's cells; numbers are what they are."""
    plain = isinstance(column[0], float | int) and not isinstance(column[0], bool)
    return column if plain else [safe_cell(value) for value in column]


def _csv(rows: Any) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
