"""CSV tables of measured networks, as somebody else wrote them.

The columns, in any order and in capitals or not:

* ``network``: reference networks by name (``mobilenet_v2_0.75_160``), workloads, or ONNX files
  beside the table; or ``design``: designs of a space;
* ``latency_ms`` of one run, and perhaps ``energy_mj``; a row without a latency was not measured;
* ``runtime`` (``onnxruntime 1.17``), ``threads`` and ``precision``, perhaps: of all rows the same,
  since a profile's runtime has one of each;
* ``batch``, perhaps: inputs at a time, of which ``latency_ms`` is. ONNX files are priced at it.

Other columns are named and not read.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flash.errors import InputError, UsageError, shown
from flash.files.reading import separator_hint
from flash.measurements.records import (
    WRONG_UNITS,
    BadRecord,
    Record,
    RecordFile,
    Tally,
    positive,
    put_together,
)
from flash.quantities import number_of
from flash.spaces.space import load_space

__all__ = ["read_table"]

#: Columns that are read. Those of a setting have one value in all rows.
_SETTINGS: Final = ("runtime", "threads", "precision")
_COLUMNS: Final = ("network", "design", "latency_ms", "energy_mj", "batch", *_SETTINGS)
#: Values of a setting, and columns that are not read, that a message lists.
_LISTED: Final = 5
#: Characters of a runtime's name and version.
_LONGEST_RUNTIME: Final = 60
#: More threads, or images at a time, than anyone measures with.
_MOST: Final = 1_000_000


def read_table(path: Path, lines: Iterable[str], space: str, most: int) -> RecordFile:
    """The measurements in the lines of a CSV file.

    space: of its designs. most: networks that are kept (``put_together``).

    Raises ``InputError`` where the columns are not those above or a setting has several values,
    ``UsageError`` where a space is needed.
    """
    reader = csv.reader(lines)
    rows = _rows(reader, path)
    first, names = next((row for row in rows if any(map(str.strip, row[1]))), (1, None))
    if names is None:
        raise InputError(f"{path}: empty")
    columns = _columns(path, first, names, space)
    tally, settings = Tally(path), _Settings()
    if unread := [name.strip() for name in names if _plain(name) not in _COLUMNS]:
        tally.note(first, f"columns not read: {_listed(unread)}")
    unmeasured: list[int] = []

    def records() -> Iterator[Record]:
        for line, cells in rows:
            if not cells:
                continue
            tally.total += 1
            try:
                row = _row(columns, cells)
                if not row["latency_ms"]:
                    unmeasured.append(line)
                    continue
                record = _record(row, line, space)
                settings.add(row)
            except BadRecord as error:
                tally.unusable(line, error)
                continue
            yield record

    found = put_together(records(), tally, most)
    if unmeasured:
        where = f"line{'s' * (len(unmeasured) > 1)} {_listed(unmeasured)}"
        tally.note(unmeasured[0], f"{where}: latency_ms is empty, so not measured")
    return RecordFile(path, settings.header(path), found, tally)


def _columns(path: Path, line: int, names: Sequence[str], space: str) -> list[str]:
    """The names of the columns, as ``_COLUMNS`` has them."""
    columns = [_plain(name) for name in names]
    for wrong, fix in WRONG_UNITS.items():
        if wrong in columns:
            raise InputError(
                f"{path}:{line}: the column {wrong} is not milliseconds or millijoules: {fix} and "
                "name it latency_ms or energy_mj"
            )
    if ("design" in columns) == ("network" in columns) or "latency_ms" not in columns:
        raise InputError(
            f"{path}:{line}: expected the columns design,latency_ms[,energy_mj] (of a --space), or "
            f"network,latency_ms[,energy_mj], got {shown(','.join(map(str.strip, names)))}"
            f"{separator_hint(','.join(names))}"
        )
    if twice := [name for name in _COLUMNS if columns.count(name) > 1]:
        raise InputError(f"{path}:{line}: the column {twice[0]} is there twice: delete one")
    if "design" in columns and not space:
        raise UsageError(f"{path} holds designs of a space: name it with --space")
    if "network" in columns and space:
        raise UsageError(f"{path} names networks, not designs: leave --space out")
    if space:
        load_space(space)  # a wrong name is told before the first row is
    return columns


def _plain(name: str) -> str:
    return name.strip().lower()


class _Settings:
    """The values of the columns that say how all rows were measured."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str | int, None]] = {name: {} for name in _SETTINGS}

    def add(self, row: dict[str, str]) -> None:
        """Those of a row; what is empty is not said. Raises ``BadRecord`` for what is none."""
        for name, values in self._values.items():
            if text := row.get(name, ""):
                values[_SETTING[name](text, name)] = None

    def header(self, path: Path) -> dict[str, Any]:
        """As a header of ``flash.measurements/1`` has them."""
        for name, values in self._values.items():
            if len(values) > 1:
                raise InputError(
                    f"{path}: the column {name} has the values {_listed(list(values))}: a runtime "
                    "is fitted at one; give flash fit a file for each"
                )
        found: dict[str, Any] = {
            k: next(iter(values)) for k, values in self._values.items() if values
        }
        if "runtime" in found:
            found["runtime"] = _name_and_version(found["runtime"])
        return found


def _name_and_version(runtime: str) -> dict[str, str]:
    """``onnxruntime 1.17`` -> its name and its version, which begins with a digit."""
    name, _, last = runtime.rpartition(" ")
    if name and last.removeprefix("v")[:1].isdigit():
        return {"name": name, "version": last.removeprefix("v")}
    return {"name": runtime}


def _listed(values: Sequence[object]) -> str:
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return ", ".join(_short(value) for value in values[:_LISTED]) + more


def _short(value: object) -> str:
    text = f"{value}"
    return text if text.isprintable() and 0 < len(text) <= 40 else shown(text)


def _rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:  # a field of more than 128 KiB, a null character
        raise InputError(f"{path}:{reader.line_num}: not usable CSV: {error}") from None


def _row(columns: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise BadRecord(
            f"{len(cells)} values for {len(columns)} columns: the line is cut off, or a design "
            "with commas needs quotes"
        )
    return dict(zip(columns, map(str.strip, cells), strict=True))


def _record(row: dict[str, str], line: int, space: str) -> Record:
    latency = _number(row["latency_ms"], "latency_ms")
    energy, batch = row.get("energy_mj", ""), row.get("batch", "")
    name = row["design"] if space else row["network"]
    onnx = not space and name.endswith(".onnx")
    network: dict[str, Any] = {"space": space, "design": name} if space else {}
    if not space:
        network["onnx" if onnx else "workload"] = name
    if batch and (images := _count(batch, "batch")) > 1:
        if not onnx:
            raise BadRecord(
                f"it was measured with {images} images at a time, and networks are priced for one: "
                "measure with one, or name its ONNX file"
            )
        network["batch"] = images
    return Record(
        network=network,
        latency_ms=latency,
        p10_ms=None,
        p90_ms=None,
        first_ms=latency,
        first_mj=_number(energy, "energy_mj") if energy else None,
        kernels=(),
        line=line,
    )


def _number(text: str, what: str) -> float:
    value = number_of(text)
    if math.isnan(value):
        raise BadRecord(f"{what} is {shown(text)}: write a number without a unit")
    return positive(value, what)


def _count(text: str, what: str) -> int:
    value = number_of(text)
    if not (value >= 1 and value == int(value) and value <= _MOST):
        raise BadRecord(f"{what} is {shown(text)}: write a whole number above zero")
    return int(value)


def _runtime(text: str, what: str) -> str:
    words = " ".join(text.split())
    if len(words) > _LONGEST_RUNTIME or not words.isprintable():
        raise BadRecord(f"{what} is {shown(text)}: write a name and a version, onnxruntime 1.17")
    return words


def _precision(text: str, what: str) -> str:
    return text.lower()


#: How the cells of a setting are read.
_SETTING: Final[Mapping[str, Callable[[str, str], str | int]]] = {
    "runtime": _runtime,
    "threads": _count,
    "precision": _precision,
}
