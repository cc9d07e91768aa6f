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

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from flash.errors import InputError, shown
from flash.files.reading import read_lines

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
MOST_BAD = 0.2
#: Lines of a file of which it is told what is wrong; of more, their number.
_MOST_TOLD = 1000
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
        self.total = self.bad = self._more = 0
        self._found: list[tuple[int, str]] = []
        self._doubted: list[tuple[int, str]] = []
        self._unusable: tuple[int, str] | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """``path:line: what and what would mend it``, by line."""
        more = (f"{self.path}: and {self._more:,} lines more",) if self._more else ()
        return (*(f"{self.path}:{line}: {why}" for line, why in sorted(self._found)), *more)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The same of lines that count and look wrong."""
        return tuple(f"{self.path}:{line}: {why}" for line, why in self._doubted)

    def unusable(self, line: int, why: object) -> None:
        """Count a line that cannot be used."""
        self.bad += 1
        self._unusable = min(self._unusable or (line, f"{why}"), (line, f"{why}"))
        self.note(line, f"{why}")

    @property
    def worst(self) -> str:
        """The first line that cannot be used; else the first of which something is to be known."""
        if self._unusable is not None:
            line, why = self._unusable
            return f"{self.path}:{line}: {why}"
        return self.problems[0] if self.problems else ""

    def note(self, line: int, why: str, always: bool = False) -> None:
        """What the reader should know of a line that does no harm."""
        if always or len(self._found) < _MOST_TOLD:
            self._found.append((line, why))
        else:
            self._more += 1

    def doubt(self, line: int, why: str) -> None:
        """What looks wrong about a line that counts."""
        if len(self._doubted) < _MOST_TOLD:
            self._doubted.append((line, why))

    def check(self, kept: int) -> None:
        """Raise ``InputError`` where nothing is kept or too many lines are bad."""
        if kept and self.bad <= MOST_BAD * self.total:
            return
        if not self.bad:
            why = f"; {self.worst}" if self.worst else ""
            raise InputError(f"{self.path}: holds no measurement below its header{why}")
        raise InputError(
            f"{self.bad} of {self.total} rows cannot be used, too many to leave out; {self.worst}"
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
def read_records(
    path: Path, text: str | Iterable[str] | None = None, most: int | None = None
) -> RecordFile:
    """The measurements in a file (or in ``text``, its content or lines).

    most: networks of which measurements are kept, see ``put_together``.

    Raises ``InputError``, naming the line, for a file of something else or of which too little
    can be used; the lines left out are in ``tally``.
    """
    header, lines = read_header(path, read_lines(path) if text is None else text)
    tally = Tally(path)
    return RecordFile(path, header, put_together(_records(lines, tally), tally, most), tally)


def _records(
    lines: Iterable[tuple[int, dict[str, Any] | BadRecord]], tally: Tally
) -> Iterator[Record]:
    for number, record in lines:
        tally.total += 1
        try:
            if isinstance(record, BadRecord):
                raise record
            if "error" in record:
                why = f"not measured ({shown(record['error'])}): measure it again or delete it"
                tally.note(number, why)
            else:
                yield _record(record, number)
        except BadRecord as error:
            tally.unusable(number, error)


def read_header(
    path: Path, text: str | Iterable[str]
) -> tuple[dict[str, Any], Iterator[tuple[int, dict[str, Any] | BadRecord]]]:
    """The header, and every further line with its number; raises ``InputError`` for no header."""
    lines = text.splitlines() if isinstance(text, str) else text
    numbered = ((n, line, last) for n, line, last in _numbered(lines) if line.strip())
    number, first, _ = next(numbered, (1, "", True))
    header = _object(first, cut=False) if first else {}
    if isinstance(header, BadRecord):
        raise InputError(f"{path}:{number}: the header is not valid JSON; measure again")
    if header.get("schema") != SCHEMA:
        raise InputError(
            f'{path}:{number}: expected a header with "schema": "{SCHEMA}" (flash.profile writes '
            f"it), got {shown(header.get('schema'))}"
        )
    return header, ((n, _object(line, cut=last)) for n, line, last in numbered)


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str, bool]]:
    """Lines with their numbers, and whether each is the last."""
    number, held = 0, ""
    for line in lines:
        if number:
            yield number, held, False
        number, held = number + 1, line
    if number:
        yield number, held, True


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
def put_together(
    records: Iterable[Record], tally: Tally, most: int | None = None
) -> tuple[Record, ...]:
    """One record a network, in the order of their first passes.

    most: of more networks so many are kept, those whose hashes are the least: which ones depends
    neither on the order of the lines nor on what was measured, and all passes of each are kept.

    A repetition that does not call itself a later pass is noted in ``tally``: two files may
    have been joined by mistake.
    """
    found: dict[str, Record] = {}
    counting: dict[str, int] = {}  # the line of the fastest, where several were told
    bound = _NO_BOUND
    for record in records:
        key = record.key
        if most is not None:
            if bound is not _NO_BOUND and _rank(key) >= bound:
                continue
            if len(found) > 2 * most:
                bound = _least(found, most)
        before = found.setdefault(key, record)
        if before is record:
            continue
        if not record.later:
            line = counting.get(key, before.line)
            counting[key] = _told_twice(before, line, record, tally)
        found[key] = _merged(before, record)
    if most is not None and len(found) > most:
        bound = _least(found, most)
    if bound is not _NO_BOUND:
        tally.note(
            1,
            f"has measurements of more than {most:,} networks: those of {most:,}, chosen by a hash "
            "of what they are, are used; a fit of more takes minutes and is no better",
            always=True,
        )
    return tuple(found.values())


#: Measurements of one network this many times apart are of two settings, or one is wrong (ours).
_FAR_APART: Final = 1.5


def _told_twice(before: Record, line: int, record: Record, tally: Tally) -> int:
    """Say which of two measurements of a network counts; returns its line.

    line: of what counted before.
    """
    name, faster = _named(record.network), record.latency_ms < before.latency_ms
    lines = (line, record.line) if faster else (record.line, line)
    tally.note(
        lines[0],
        f"{name} was measured {'again' if faster else 'before'}, in line {lines[1]}: the faster of "
        f"the two counts, line {lines[1]}",
    )
    apart = max(record.latency_ms / before.latency_ms, before.latency_ms / record.latency_ms)
    if apart >= _FAR_APART:
        took = f"1/{apart:.3g} of what it took" if faster else f"{apart:.3g} times as long as"
        tally.doubt(
            record.line,
            f"{name} took {took} in line {line}: is it the same network at the same setting, and "
            "was the device busy?",
        )
    return lines[1]


#: Above every rank.
_NO_BOUND: Final = b"\xff" * 9


def _rank(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "backslashreplace")).digest()[:8]


def _least(found: dict[str, Record], most: int) -> bytes:
    """Keep the networks of least rank; returns the least rank of those that go."""
    bound = sorted(map(_rank, found))[most]
    for key in [key for key in found if _rank(key) >= bound]:
        del found[key]
    return bound


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
