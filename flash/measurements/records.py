"""The format ``flash.measurements/1``: what a line means, and what several of one network mean.

JSON Lines: a header (device, runtime, threads, precision), then a record a network. One rule for
passes, the device program's too (``tests/data/measurement_vectors.json`` holds both to it):

* Records of the same network (``network_key``) are passes of one measurement, in one file or
  put together before.
* The pass with the smallest median counts: its median, p10 and p90. Of equal ones the first.
* Energy was measured in the first pass. Its power is taken to hold for the pass that counts, so
  energy is scaled by the ratio of the medians.
* Kernels are timed apart from the network; those of the smallest sum count.
* A refusal (``error``) says that the network was not measured; it undoes no measurement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from flash.errors import InputError, shown
from flash.files.reading import read_text

__all__ = [
    "LONGEST_MS",
    "SCHEMA",
    "BadRecord",
    "KernelTime",
    "Record",
    "RecordFile",
    "Tally",
    "describe_origin",
    "network_key",
    "positive",
    "put_together",
    "read_header",
    "read_records",
]

SCHEMA = "flash.measurements/1"
#: More bad lines than this share of a file, and something is wrong with the file itself.
_MOST_BAD = 0.2
#: No inference takes longer (ms); beyond it the unit is wrong.
LONGEST_MS = 1e7
#: What people call latencies and energies in other units, with what would mend it.
WRONG_UNITS: Mapping[str, str] = {
    "latency_s": "multiply by 1000",
    "latency_us": "divide by 1000",
    "latency_ns": "divide by 1000000",
    "latency": "say the unit in the name",
    "energy_j": "multiply by 1000",
    "energy_uj": "divide by 1000",
}


class BadRecord(Exception):
    """A line that cannot be used; the message says what would mend it."""


class KernelTime(NamedTuple):
    """One kernel as the runtime's own profiler reported it, the profiler's own time included."""

    name: str
    op: str
    ms: float


@dataclass(frozen=True)
class Record:
    """What was measured of one network.

    network:    as in the file: a workload, a design of a space, or an ONNX file.
    latency_ms: median of the pass that counts; p10_ms and p90_ms None where not given.
    first_ms:   median of the first pass, whose energy ``first_mj`` is; None if not measured.
    line:       of the first pass.  later: the line says that it is of a later pass.
    """

    network: Mapping[str, Any]
    latency_ms: float
    p10_ms: float | None
    p90_ms: float | None
    first_ms: float
    first_mj: float | None
    kernels: tuple[KernelTime, ...]
    line: int
    passes: int = 1
    later: bool = False

    @property
    def key(self) -> str:
        """Equal for the same network."""
        return network_key(self.network)

    @property
    def energy_mj(self) -> float | None:
        """Of one inference of the pass that counts; None where it was not measured."""
        return None if self.first_mj is None else self.first_mj * self.latency_ms / self.first_ms


class Tally:
    """Lines of a file, and what is wrong with some of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = self.bad = 0
        self._found: list[tuple[int, str]] = []

    @property
    def problems(self) -> tuple[str, ...]:
        """``path:line: what and what would mend it``, by line."""
        return tuple(f"{self.path}:{line}: {why}" for line, why in sorted(self._found))

    def unusable(self, line: int, why: object) -> None:
        """Count a line that cannot be used."""
        self.bad += 1
        self._found.append((line, f"{why}"))

    def note(self, line: int, why: str) -> None:
        """What the reader should know of a line that does no harm."""
        self._found.append((line, why))

    def check(self, kept: int) -> None:
        """Raise ``InputError`` where nothing is kept or too many lines are bad."""
        if kept and self.bad <= _MOST_BAD * self.total:
            return
        first = self.problems[0] if self.problems else f"{self.path}: holds no measurement"
        raise InputError(
            f"{self.bad} of {self.total} rows cannot be used, too many to leave out; {first}"
        )


@dataclass(frozen=True)
class RecordFile:
    """A file's header and its networks, each with its passes put together."""

    path: Path
    header: Mapping[str, Any]
    records: tuple[Record, ...]
    tally: Tally = field(compare=False)


def network_key(network: Mapping[str, Any]) -> str:
    """Equal for the same network: the SHA-256 of its file, else its description as JSON.

    A file with free sizes is another network at other shapes of its inputs.
    """
    key = str(network.get("sha256") or json.dumps(network, sort_keys=True))
    shapes = network.get("input_shapes")
    return f"{key} {json.dumps(shapes, sort_keys=True)}" if shapes else key


# ------------------------------------------------------------------------------------ reading
def read_records(path: Path, text: str | None = None) -> RecordFile:
    """The measurements in a file (or in ``text``, its content).

    Raises ``InputError``, naming the line, for a file of something else or of which too little
    can be used; the lines left out are in ``tally``.
    """
    text = read_text(path, InputError) if text is None else text
    header, lines = read_header(path, text)
    tally, records = Tally(path), []
    for number, record in lines:
        tally.total += 1
        try:
            if isinstance(record, BadRecord):
                raise record
            if "error" in record:
                why = f"not measured ({shown(record['error'])}): measure it again or delete it"
                tally.note(number, why)
            else:
                records.append(_record(record, number))
        except BadRecord as error:
            tally.unusable(number, error)
    return RecordFile(path, header, put_together(records, tally), tally)


def read_header(
    path: Path, text: str
) -> tuple[dict[str, Any], Iterator[tuple[int, dict[str, Any] | BadRecord]]]:
    """The header, and every further line with its number; raises ``InputError`` for no header."""
    lines = text.splitlines()
    numbered = ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
    number, first = next(numbered, (1, ""))
    header = _object(first, cut=False) if first else {}
    if isinstance(header, BadRecord):
        raise InputError(f"{path}:{number}: the header is not valid JSON; measure again")
    if header.get("schema") != SCHEMA:
        raise InputError(
            f'{path}:{number}: expected a header with "schema": "{SCHEMA}" (flash.profile writes '
            f"it), got {shown(header.get('schema'))}"
        )
    rest = ((n, _object(line, cut=n == len(lines))) for n, line in numbered)
    return header, rest


def _object(line: str, *, cut: bool) -> dict[str, Any] | BadRecord:
    try:
        # Python's reader takes NaN, which is no JSON: it is named later by its field.
        value = json.loads(line)
    except (ValueError, RecursionError):
        if cut:
            return BadRecord(
                "the line is cut off (the run was interrupted): resume it with flash.profile, or "
                "delete it"
            )
        return BadRecord("not valid JSON: delete the line or measure again")
    if not isinstance(value, dict):
        return BadRecord(f"expected a record, got {shown(value)}: delete the line")
    return value


def _record(given: Mapping[str, Any], line: int) -> Record:
    network = given.get("network")
    if not isinstance(network, dict):
        raise BadRecord(f"'network' must say what was measured, got {shown(network)}")
    for wrong, fix in WRONG_UNITS.items():
        if wrong in given:
            raise BadRecord(f"{wrong} is not milliseconds or millijoules: {fix} and rename it")
    latency = given.get("latency_ms")
    if not isinstance(latency, dict):
        raise BadRecord(f"latency_ms must hold a median, got {shown(latency)}")
    median = positive(latency.get("median"), "latency_ms.median")
    p10, p90 = (
        positive(latency[end], f"latency_ms.{end}") if end in latency else None
        for end in ("p10", "p90")
    )
    if not (p10 or median) <= median <= (p90 or median):
        raise BadRecord(f"latency_ms must have p10 <= median <= p90, got {shown(latency)}")
    medians = given.get("medians")
    first = medians[0] if isinstance(medians, list) and medians else median
    kernels = given.get("kernels")
    passes = given.get("passes", 1)
    return Record(
        network=network,
        latency_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        first_ms=positive(first, "medians"),
        first_mj=_energy(given.get("energy_mj")),
        kernels=_kernels(kernels) if isinstance(kernels, list) else (),
        line=line,
        passes=passes if type(passes) is int and passes > 0 else 1,
        later="pass" in given,
    )


def _energy(given: Any) -> float | None:
    value = given.get("mean") if isinstance(given, dict) else given
    return None if value is None else positive(value, "energy_mj")


def _kernels(given: list[Any]) -> tuple[KernelTime, ...]:
    found = []
    for kernel in given:
        ms = kernel.get("ms") if isinstance(kernel, dict) else None
        if isinstance(ms, int | float) and 0 <= ms <= LONGEST_MS:
            found.append(KernelTime(str(kernel.get("name", "")), str(kernel.get("op", "?")), ms))
    return tuple(found)


def positive(value: Any, what: str) -> float:
    """A latency (ms) or an energy (mJ) above zero; raises ``BadRecord`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord(f"{what} is {shown(value)}: write a number, or delete the line")
    try:
        number = float(value)
    except OverflowError:  # an integer of 400 digits
        number = math.inf
    if not math.isfinite(number):
        raise BadRecord(f"{what} is {number:g}: measure it again or delete the line")
    if number <= 0:
        raise BadRecord(
            f"{what} is {number:g}, not above zero: measure it again or delete the line"
        )
    if number > LONGEST_MS:
        raise BadRecord(f"{what} is {number:g}: more than an hour; is it in another unit?")
    return number


# ------------------------------------------------------------------------------------- passes
def put_together(records: list[Record], tally: Tally) -> tuple[Record, ...]:
    """One record a network, in the order of their first passes.

    A repetition that does not call itself a later pass is noted in ``tally``: two files may
    have been joined by mistake.
    """
    found: dict[str, Record] = {}
    for record in records:
        before = found.setdefault(record.key, record)
        if before is record:
            continue
        if not record.later:
            tally.note(
                record.line,
                f"{_named(record.network)} was measured before, in line {before.line}: the faster "
                "of the two counts",
            )
        found[record.key] = _merged(before, record)
    return tuple(found.values())


def _merged(before: Record, record: Record) -> Record:
    fastest = min((before, record), key=lambda one: one.latency_ms)
    kernels = min((before.kernels, record.kernels), key=_kernels_ms)
    return replace(
        before,
        latency_ms=fastest.latency_ms,
        p10_ms=fastest.p10_ms,
        p90_ms=fastest.p90_ms,
        kernels=kernels,
        passes=before.passes + record.passes,
    )


def _kernels_ms(kernels: tuple[KernelTime, ...]) -> float:
    """Time of all kernels; endless where they were not timed."""
    return sum(kernel.ms for kernel in kernels) if kernels else math.inf


def _named(network: Mapping[str, Any]) -> str:
    words = [str(network[key]) for key in ("workload", "space", "design", "onnx") if key in network]
    return shown(" ".join(words))


def describe_origin(header: Mapping[str, Any]) -> str:
    """Device, runtime, threads, precision and date of a header, in one line."""
    device, runtime = (header.get(key) for key in ("device", "runtime"))
    device = device if isinstance(device, dict) else {}
    runtime = runtime if isinstance(runtime, dict) else {}
    words = [
        str(device.get("model") or "device not stated"),
        str(device.get("cpu") or ""),
        f"{runtime.get('name', 'runtime not stated')} {runtime.get('version', '')}".strip(),
        f"{header.get('threads', '?')} threads",
        str(header.get("precision", "")),
        str(header.get("date", "")),
    ]
    line = ", ".join(word for word in words if word)
    return "".join(c if c.isprintable() else " " for c in line)
