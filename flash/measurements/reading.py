"""Measured networks of one device: what ``flash.profile`` writes, or a table of somebody else's.

Two forms are read:

* JSON Lines, schema ``flash.measurements/1`` (``flash.measurements.records``);
* CSV (``flash.measurements.tables``): reference networks by name, workloads, ONNX files beside the
  table, or designs of a space, with their latencies.

Files come from boards that lose power, and from spreadsheets. Every row that cannot be used is
named with its line and what would mend it; few bad rows are left out, many are refused.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, InputError, UsageError, shown
from flash.files.reading import read_lines
from flash.measurements.records import BadRecord, KernelTime, Record, read_records
from flash.measurements.tables import read_table
from flash.measurements.workloads import workload_kind, workload_network
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
    """The usable rows of a file, its header, and what was wrong with the others.

    doubts: rows that are used and look wrong, a line each.
    """

    path: Path
    header: Mapping[str, Any]
    rows: tuple[Measured, ...]
    problems: tuple[str, ...]
    doubts: tuple[str, ...] = ()

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
    found = (
        read_table(path, whole, space, MOST_NETWORKS)
        if table
        else read_records(path, whole, MOST_NETWORKS)
    )
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
        raise InputError(
            f"{path}: {_networks(len(rows))} can be used, a fit needs {fewest} or more"
            + _FROM_ONE * (fewest == FEWEST_NETWORKS)
            + (f"; {tally.worst}" if tally.worst else "")
        )
    return Measurements(path, found.header, tuple(rows), tally.problems, tally.doubts)


#: What does with fewer networks than a device of which nothing is known.
_FROM_ONE = ", or --prior NAME (a known board with the same cores), with which one is enough"


def _networks(count: int) -> str:
    return f"{count} network{'s' * (count != 1)}"


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
        from flash.backends import batch_shapes, read_onnx  # noqa: PLC0415 (an extra)

        model, digest = path.parent / given["onnx"], given.get("sha256")
        shapes = given.get("input_shapes")
        sizes = dict(shapes) if isinstance(shapes, dict) else {}
        if isinstance(given.get("batch"), int):
            sizes = batch_shapes(model, given["batch"])
        network = read_onnx(model, sizes.pop("", None), sizes)
        if digest and hashlib.sha256(model.read_bytes()).hexdigest() != digest:
            raise BadRecord(f"{shown(given['onnx'])} is not the file that was measured")
        return given["onnx"], "onnx", network
    raise BadRecord("'network' must have a workload, a space with its design, or an onnx file")
