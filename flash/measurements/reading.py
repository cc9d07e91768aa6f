"""Measured networks of one device: what ``flash.profile`` writes, or a table of somebody else's.

Two forms are read:

* JSON Lines, schema ``flash.measurements/1``: a header (device, runtime, threads, precision),
  then one record a network;
* CSV with the columns ``design,latency_ms`` and perhaps ``energy_mj``, of designs of a space.

Files come from boards that lose power, and from spreadsheets. Every row that cannot be used is
named with its line and what would mend it; few bad rows are left out, many are refused.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, InputError, UsageError, shown
from flash.measurements.workloads import workload_kind, workload_network
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, load_space

__all__ = ["KernelTime", "Measured", "Measurements", "read_measurements"]

Floats = NDArray[np.float64]

_SCHEMA = "flash.measurements/1"
#: Fewer networks than this say nothing about a device.
_FEWEST = 5
#: More bad rows than this share of a file, and something is wrong with the file itself.
_MOST_BAD = 0.2
#: What people call latencies in other units, with what would make them milliseconds.
_UNITS = {
    "latency_s": "multiply by 1000", "latency_us": "divide by 1000",
    "latency_ns": "divide by 1000000", "latency": "say the unit in the name",
    "energy_j": "multiply by 1000", "energy_uj": "divide by 1000",
}  # fmt: skip
#: No inference takes longer (ms); beyond it the unit is wrong.
_LONGEST_MS = 1e7


class KernelTime(NamedTuple):
    """One kernel as the runtime's own profiler reported it, the profiler's own time included."""

    name: str
    op: str
    ms: float


@dataclass(frozen=True)
class Measured:
    """One network with its median latency, and its energy where it was measured.

    name:    what the file calls it. kind: the space or sort of network, for errors on kinds
             left out. kernels: none where they were not timed.
    again:   of a later pass over all networks; each network's fastest counts.
    """

    name: str
    kind: str
    network: Network
    latency_ms: float
    energy_mj: float | None
    kernels: tuple[KernelTime, ...]
    line: int
    again: bool = False


@dataclass(frozen=True)
class Measurements:
    """The usable rows of a file, its header, and what was wrong with the others."""

    path: Path
    header: Mapping[str, Any]
    rows: tuple[Measured, ...]
    problems: tuple[str, ...]

    @property
    def latency_ms(self) -> Floats:
        """Shape (networks,)."""
        return np.array([row.latency_ms for row in self.rows])

    @property
    def energy_mj(self) -> Floats | None:
        """Shape (networks,); None unless every network's energy was measured."""
        found = [row.energy_mj for row in self.rows if row.energy_mj is not None]
        return np.array(found) if len(found) == len(self.rows) else None


class _BadRow(Exception):
    """A row that cannot be used; the message says what would mend it."""


def read_measurements(path: str | Path, space: str = "") -> Measurements:
    """The measurements in a file.

    space: of the designs of a CSV file.

    Raises ``UsageError`` where there is no such file or a space is needed, ``InputError`` for
    a file of which too little can be used.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip().startswith("{"):
        header = _header(path, first)
        entries = _json_rows(text, path)
    else:
        header, entries = {}, _csv_rows(text, path, space)
    return _usable(path, header, entries)


def _usable(
    path: Path, header: Mapping[str, Any], entries: Iterator[tuple[int, Callable[[], Measured]]]
) -> Measurements:
    rows: dict[str, Measured] = {}
    problems, total = [], 0
    for line, make in entries:
        total += 1
        try:
            row = make()
            if not row.network.live().layers:
                raise _BadRow(
                    f"{shown(row.name)}: nothing leads from the input to the output, so its time "
                    "says nothing: delete the line"
                )
            before = rows.get(row.name)
            if row.again and before is not None:
                rows[row.name] = _faster(before, row)
                continue
            if before is not None:
                raise _BadRow(
                    f"{shown(row.name)} was measured before, in line {before.line}: the "
                    "first is used; keep one of the two"
                )
            rows[row.name] = row
        except (_BadRow, FlashError) as error:
            problems.append(f"{path}:{line}: {error}")
    bad = len([p for p in problems if "was measured before" not in p])
    if not rows or bad > _MOST_BAD * total:
        first = problems[0] if problems else f"{path}: holds no measurement"
        raise InputError(f"{bad} of {total} rows cannot be used, too many to leave out; {first}")
    if len(rows) < _FEWEST:
        raise InputError(
            f"{path}: {len(rows)} networks can be used, a fit needs {_FEWEST} or more"
            + (f"; {problems[0]}" if problems else "")
        )
    return Measurements(path, header, tuple(rows.values()), tuple(problems))


def _faster(before: Measured, row: Measured) -> Measured:
    """The faster of two passes; the power is that of the first, the only one with a sensor."""
    if row.latency_ms >= before.latency_ms:
        return before
    energy = before.energy_mj
    if energy is not None:
        energy *= row.latency_ms / before.latency_ms
    return replace(before, latency_ms=row.latency_ms, energy_mj=energy, kernels=row.kernels)


# ------------------------------------------------------------------------------- JSON Lines
def _header(path: Path, line: str) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{path}:1: the header is not valid JSON; measure again") from None
    if header.get("schema") != _SCHEMA:
        raise InputError(
            f'{path}:1: expected a header with "schema": "{_SCHEMA}", got '
            f"{shown(header.get('schema'))}"
        )
    return dict(header)


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Callable[[], Measured]]]:
    lines = text.splitlines()
    seen_header = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not seen_header:
            seen_header = True
            continue
        last = number == len(lines)
        yield (
            number,
            lambda line=line, number=number, last=last: _record(  # type: ignore[misc]
                line, number, last, path
            ),
        )


def _record(line: str, number: int, last: bool, path: Path) -> Measured:
    try:
        # Python's reader takes NaN, which is no JSON: it is named below by its field.
        record = json.loads(line)
    except (ValueError, RecursionError):
        cut = "is cut off (the run was interrupted): resume it with flash.profile, or delete it"
        raise _BadRow(
            f"the line {cut}" if last else "not valid JSON: delete the line or measure again"
        ) from None
    if not isinstance(record, dict):
        raise _BadRow(f"expected a record, got {shown(record)}: delete the line")
    if "error" in record:
        raise _BadRow(f"not measured ({shown(record['error'])}): measure it again or delete it")
    name, kind, network = _network(record.get("network"), path)
    for wrong, fix in _UNITS.items():
        if wrong in record:
            raise _BadRow(f"{wrong} is not milliseconds or millijoules: {fix} and rename it")
    latency = record.get("latency_ms")
    if not isinstance(latency, dict):
        raise _BadRow(f"latency_ms must hold a median, got {shown(latency)}")
    median = _positive(latency.get("median"), "latency_ms.median")
    kernels = record.get("kernels")
    return Measured(
        name, kind, network, median, _energy(record, median),
        _kernels(kernels) if isinstance(kernels, list) else (), number, "pass" in record,
    )  # fmt: skip


def _energy(record: Mapping[str, Any], median_ms: float) -> float | None:
    """Millijoules of one inference, if measured.

    They are those of the first of several passes, so that their power is: over the time that
    counts, the fastest pass's, it makes that much less energy.
    """
    energy = record.get("energy_mj")
    if isinstance(energy, dict):
        energy = energy.get("mean")
    if energy is None:
        return None
    passes = record.get("medians")
    first = passes[0] if isinstance(passes, list) and passes else median_ms
    return _positive(energy, "energy_mj") * median_ms / _positive(first, "medians")


def _kernels(given: list[Any]) -> tuple[KernelTime, ...]:
    found = []
    for kernel in given:
        if isinstance(kernel, dict) and isinstance(kernel.get("ms"), int | float):
            name, op = str(kernel.get("name", "")), str(kernel.get("op", "?"))
            found.append(KernelTime(name, op, float(kernel["ms"])))
    return tuple(found)


def _network(given: Any, path: Path) -> tuple[str, str, Network]:
    """Name, kind and graph of a record's network."""
    if not isinstance(given, dict):
        raise _BadRow(f"'network' must say what was measured, got {shown(given)}")
    if isinstance(given.get("workload"), str):
        text = given["workload"]
        return text, workload_kind(text), workload_network(text)
    if isinstance(given.get("space"), str):
        space = load_space(given["space"])
        text = str(given.get("design", ""))
        return f"{space.name} {text}", space.name, _design(space, text)
    if isinstance(given.get("onnx"), str):
        from flash.backends import read_onnx  # noqa: PLC0415 (an extra)

        return given["onnx"], "onnx", read_onnx(path.parent / given["onnx"])
    raise _BadRow("'network' must have a workload, a space with its design, or an onnx file")


# ------------------------------------------------------------------------------------- CSV
def _csv_rows(
    text: str, path: Path, space_name: str
) -> Iterator[tuple[int, Callable[[], Measured]]]:
    reader = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(reader, [])]
    for wrong, fix in _UNITS.items():
        if wrong in header:
            raise InputError(
                f"{path}:1: the column {wrong} is not milliseconds or millijoules: {fix} and "
                "name it latency_ms or energy_mj"
            )
    if "design" not in header or "latency_ms" not in header:
        raise InputError(
            f"{path}:1: expected the columns design,latency_ms[,energy_mj], got "
            f"{shown(','.join(header))}"
        )
    if not space_name:
        raise UsageError(f"{path} holds designs of a space: name it with --space")
    space = load_space(space_name)
    for cells in reader:
        if cells:
            yield (
                reader.line_num,
                lambda cells=cells, number=reader.line_num: _csv_row(  # type: ignore[misc]
                    header, cells, number, space
                ),
            )


def _csv_row(header: list[str], cells: list[str], number: int, space: SearchSpace) -> Measured:
    if len(cells) != len(header):
        raise _BadRow(
            f"{len(cells)} values for {len(header)} columns: the line is cut off, or a design "
            "with commas needs quotes"
        )
    row = dict(zip(header, cells, strict=True))
    energy = row.get("energy_mj", "").strip()
    design = row["design"].strip()
    return Measured(
        f"{space.name} {design}", space.name, _design(space, design),
        _number(row["latency_ms"], "latency_ms"),
        _number(energy, "energy_mj") if energy else None, (), number,
    )  # fmt: skip


def _number(text: str, what: str) -> float:
    try:
        return _positive(float(text), what)
    except ValueError:
        raise _BadRow(f"{what} is {shown(text)}: write a number without a unit") from None


def _positive(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadRow(f"{what} is {shown(value)}: write a number, or delete the line")
    number = float(value)
    if not math.isfinite(number):
        raise _BadRow(f"{what} is {value}: measure it again or delete the line")
    if number <= 0:
        raise _BadRow(f"{what} is {value:g}, not above zero: measure it again or delete the line")
    if number > _LONGEST_MS:
        raise _BadRow(f"{what} is {value:g}: more than an hour; is it in another unit?")
    return number


def _design(space: SearchSpace, text: str) -> Network:
    return space.network(space.parse(text))
