"""Measured networks of one device: what ``flash.profile`` writes, or a table of somebody else's.

Two forms are read:

* JSON Lines, schema ``flash.measurements/1`` (``flash.measurements.records``);
* CSV with the columns ``network,latency_ms`` and perhaps ``energy_mj``: reference networks by name
  (``mobilenet_v2_0.75_160``), workloads, or ONNX files beside the table; with a column ``design``
  instead, designs of a space.

Files come from boards that lose power, and from spreadsheets. Every row that cannot be used is
named with its line and what would mend it; few bad rows are left out, many are refused.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, InputError, UsageError, shown
from flash.files.reading import read_lines, separator_hint
from flash.measurements.records import (
    WRONG_UNITS,
    BadRecord,
    KernelTime,
    Record,
    RecordFile,
    Tally,
    positive,
    put_together,
    read_records,
)
from flash.measurements.workloads import workload_kind, workload_network
from flash.quantities import number_of
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, load_space

__all__ = ["FEWEST_NETWORKS", "Measured", "Measurements", "read_measurements"]

Floats = NDArray[np.float64]

#: Fewer networks than this say nothing about a device of which nothing is known.
FEWEST_NETWORKS = 5
#: Networks of a file that are used. A fit of 1,000 takes ten seconds, and its error is the model's.
MOST_NETWORKS = 1000


@dataclass(frozen=True)
class Measured:
    """One network with its median latency, and its energy where it was measured.

    name:    what the file calls it. kind: the space or sort of network, for errors on kinds
             left out. kernels: none where they were not timed.
    """

    name: str
    kind: str
    network: Network
    latency_ms: float
    energy_mj: float | None
    kernels: tuple[KernelTime, ...]
    line: int


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


def read_measurements(
    path: str | Path, space: str = "", fewest: int = FEWEST_NETWORKS
) -> Measurements:
    """The measurements in a file, with their networks.

    space: of the designs of a CSV file. fewest: usable networks, with fewer it is refused. Of more
    than ``MOST_NETWORKS`` so many are used (``put_together``), and the problems say so.

    Raises ``InputError`` for a file that is missing or of which too little can be used, and
    ``UsageError`` where a space is needed.
    """
    path = Path(path)
    lines = read_lines(path)
    blank: list[str] = []
    for line in lines:
        blank.append(line)
        if line.strip():
            break
    table = not (blank and blank[-1].lstrip().startswith("{"))
    if space and not table:
        raise UsageError(f"{path} says which networks were measured: leave --space out")
    whole = itertools.chain(blank, lines)
    found = _csv_records(whole, path, space) if table else read_records(path, whole, MOST_NETWORKS)
    rows, tally = [], found.tally
    spaces: dict[str, SearchSpace] = {}
    for record in found.records:
        try:
            _refuse_batch(found.header.get("batch"), record.network)
            rows.append(_measured(record, path, spaces))
        except (BadRecord, FlashError) as error:
            tally.unusable(record.line, error)
    tally.check(len(rows))
    if len(rows) < fewest:
        problems = tally.problems
        raise InputError(
            f"{path}: {len(rows)} networks can be used, a fit needs {fewest} or more"
            + (f"; {problems[0]}" if problems else "")
        )
    return Measurements(path, found.header, tuple(rows), tally.problems)


def _refuse_batch(images: Any, network: Mapping[str, Any]) -> None:
    """Raise ``BadRecord`` for a run of several images, unless it says the sizes of its inputs:
    networks are read as of one."""
    if isinstance(images, int) and images > 1 and not network.get("input_shapes"):
        raise BadRecord(
            f"it was measured with {images} images at a time, and networks are priced for one: "
            "measure with --batch 1"
        )


def _measured(record: Record, path: Path, spaces: dict[str, SearchSpace]) -> Measured:
    name, kind, network = _network(record.network, path, spaces)
    if not network.live().layers:
        raise BadRecord(
            f"{shown(name)}: nothing leads from the input to the output, so its time says "
            "nothing: delete the line"
        )
    return Measured(
        name, kind, network, record.latency_ms, record.energy_mj, record.kernels, record.line
    )


def _network(
    given: Mapping[str, Any], path: Path, spaces: dict[str, SearchSpace]
) -> tuple[str, str, Network]:
    """Name, kind and graph of a record's network; ``spaces`` are those read so far, by name."""
    if isinstance(given.get("workload"), str):
        text = given["workload"]
        return text, workload_kind(text), workload_network(text)
    if isinstance(given.get("space"), str):
        if given["space"] not in spaces:
            spaces[given["space"]] = load_space(given["space"])
        space = spaces[given["space"]]
        text = str(given.get("design", ""))
        return f"{space.name} {text}", space.name, space.network(space.parse(text))
    if isinstance(given.get("onnx"), str):
        from flash.backends import read_onnx  # noqa: PLC0415 (an extra)

        model, digest = path.parent / given["onnx"], given.get("sha256")
        shapes = given.get("input_shapes")
        sizes = dict(shapes) if isinstance(shapes, dict) else {}
        network = read_onnx(model, sizes.pop("", None), sizes)
        if digest and hashlib.sha256(model.read_bytes()).hexdigest() != digest:
            raise BadRecord(f"{shown(given['onnx'])} is not the file that was measured")
        return given["onnx"], "onnx", network
    raise BadRecord("'network' must have a workload, a space with its design, or an onnx file")


# ------------------------------------------------------------------------------------- CSV
def _csv_records(lines: Iterable[str], path: Path, space_name: str) -> RecordFile:
    reader = csv.reader(lines)
    rows = _rows(reader, path)
    _, names = next((row for row in rows if any(map(str.strip, row[1]))), (1, None))
    if names is None:
        raise InputError(f"{path}: empty")
    header = [name.strip() for name in names]
    for wrong, fix in WRONG_UNITS.items():
        if wrong in header:
            raise InputError(
                f"{path}:1: the column {wrong} is not milliseconds or millijoules: {fix} and "
                "name it latency_ms or energy_mj"
            )
    if ("design" in header) == ("network" in header) or "latency_ms" not in header:
        raise InputError(
            f"{path}:1: expected the columns design,latency_ms[,energy_mj] (of a --space), or "
            f"network,latency_ms[,energy_mj], got {shown(','.join(header))}"
            f"{separator_hint(','.join(header))}"
        )
    if "design" in header and not space_name:
        raise UsageError(f"{path} holds designs of a space: name it with --space")
    if "network" in header and space_name:
        raise UsageError(f"{path} names networks, not designs: leave --space out")
    if space_name:
        load_space(space_name)  # a wrong name is told before the first row is
    tally = Tally(path)

    def records() -> Iterator[Record]:
        for line, cells in rows:
            if not cells:
                continue
            tally.total += 1
            try:
                yield _csv_record(header, cells, line, space_name)
            except BadRecord as error:
                tally.unusable(line, error)

    return RecordFile(path, {}, put_together(records(), tally, MOST_NETWORKS), tally)


def _rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:  # a field of more than 128 KiB, a null character
        raise InputError(f"{path}:{reader.line_num}: not usable CSV: {error}") from None


def _csv_record(header: list[str], cells: list[str], line: int, space: str) -> Record:
    if len(cells) != len(header):
        raise BadRecord(
            f"{len(cells)} values for {len(header)} columns: the line is cut off, or a design "
            "with commas needs quotes"
        )
    row = dict(zip(header, cells, strict=True))
    latency = _number(row["latency_ms"], "latency_ms")
    energy = row.get("energy_mj", "").strip()
    if space:
        network = {"space": space, "design": row["design"].strip()}
    else:
        name = row["network"].strip()
        network = {"onnx" if name.endswith(".onnx") else "workload": name}
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
