"""The result file: a header, then a line a network, each on disk before the next begins.

It is log, cache and resume point. A file of something else is recognised before anything in it
changes. One run at a time writes it (a lock); a last line that a death cut off is removed.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import stat
import tempfile
from typing import Any, BinaryIO, Callable, Sequence

from flash.device.ground.refusal import Refused
from flash.device.suite import open_file, short

SCHEMA = "flash.measurements/1"
#: Largest result file, in bytes: 60 networks in 100 passes, with their kernels, take 20 MB. In
#: memory its records take up to 20 times as much.
LARGEST_JOURNAL = 64 << 20
#: How temporary files end.
_NEW = ".new"
#: What has to agree for measurements to stand in one file.
SAME = ("schema", "suite", "threads", "precision", "batch", "runtime", "device")


def as_line(value: dict[str, Any]) -> bytes:
    """A line of a result file, with its end."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


class Journal:
    """A result file that is open for writing, with its ``records``."""

    def __init__(self, path: str, header: dict[str, Any] | None, resume: bool = True) -> None:
        """Open a result file; without a ``header`` it must be there, whatever its settings."""
        self.path = path
        if header is None:
            open_file(path).close()
        self._stream = self._opened()
        self.records: list[dict[str, Any]] = []
        try:
            self._begin(header, resume)
        except BaseException:
            self.close()
            raise

    def _begin(self, header: dict[str, Any] | None, resume: bool) -> None:
        lines, length = self._complete_lines(_is_any_record if header is None else _is_record)
        nothing = all("error" in line for line in lines[1:])
        if not resume or (nothing and header is not None and not _is_same(lines[:1], header)):
            lines, length = [], 0  # refusals under other settings are nothing to keep
        if header is not None and lines:
            self._check(lines[0], header)
        elif header is None and (not lines or lines[0].get("schema") != SCHEMA):
            raise Refused(f"{self.path}: no measurements of schema {SCHEMA}", 4)
        self._remove_leftovers()
        self._stream.truncate(length)
        if header is not None and not lines:
            self._write(header)
        self.records = lines[1:]

    def _opened(self) -> BinaryIO:
        try:
            if os.path.exists(self.path) and not stat.S_ISREG(os.stat(self.path).st_mode):
                raise Refused(f"{self.path}: is no regular file: name another with --out")
            stream = open(self.path, "a+b")
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise Refused(f"cannot write {self.path}: {what}", 1) from None
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(stream.fileno()), os.stat(self.path)):
                raise OSError("written anew between opening and locking")
        except OSError:
            stream.close()
            raise Refused(f"{self.path}: another run is writing it") from None
        return stream

    def _complete_lines(self, is_record: Callable[[Any], bool]) -> tuple[list[dict[str, Any]], int]:
        """The lines in the file, and how many bytes they take: a last one may be cut off."""
        if os.fstat(self._stream.fileno()).st_size > LARGEST_JOURNAL:
            raise Refused(f"{self.path}: has more than {LARGEST_JOURNAL >> 20} MiB", 4)
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        if whole == 0 and not b'{"schema":"flash.measurements/'.startswith(content[:30]):
            raise self._damaged(1)
        lines = []
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            try:
                value = json.loads(line.decode("utf-8"))
                as_line(value)  # what cannot be written again (an infinity) is damage
            except (ValueError, RecursionError):
                value = None
            if not (_is_header(value) if number == 1 else is_record(value)):
                raise self._damaged(number)
            lines.append(value)
        return lines, whole

    def _damaged(self, number: int) -> Refused:
        return Refused(
            f"{self.path}, line {number}: damaged, or no measurements; name another file "
            "with --out",
            4,
        )

    def _check(self, found: dict[str, Any], header: dict[str, Any]) -> None:
        for name in SAME:
            if found.get(name) != header[name]:
                raise Refused(
                    f"{self.path} has measurements with {name} {short(found.get(name))}; now it "
                    f"is {short(header[name])}: name another file with --out, or write over it "
                    "with --no-resume"
                )

    def close(self) -> None:
        """Give the file and its lock back."""
        self._stream.close()

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; it is on disk when this returns."""
        self._write(record)
        self.records.append(record)

    def _write(self, value: dict[str, Any]) -> None:
        self._stream.write(as_line(value))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _place(self) -> tuple[str, str, str]:
        """Folder and name of the file, and how the names of its temporary files begin."""
        folder, name = os.path.split(os.path.abspath(os.path.realpath(self.path)))
        return folder, name, f".{name[:100]}."

    def _remove_leftovers(self) -> None:
        """What runs that died while they wrote the file anew left beside it."""
        folder, _, prefix = self._place()
        is_ours = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}" + re.escape(_NEW)).fullmatch
        for name in filter(is_ours, os.listdir(folder)):
            try:
                handle = os.open(os.path.join(folder, name), os.O_RDWR | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its run lives
                os.unlink(os.path.join(folder, name))
            except OSError:
                pass
            finally:
                os.close(handle)

    def replace(self, records: Sequence[dict[str, Any]]) -> None:
        """Write the file anew with these records, all or nothing; the lock stays."""
        self._stream.seek(0)
        head = self._stream.readline()
        folder, name, prefix = self._place()
        handle, partial = tempfile.mkstemp(prefix=prefix, suffix=_NEW, dir=folder)
        try:
            with os.fdopen(handle, "w+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stream.write(head + b"".join(map(as_line, records)))
                stream.flush()
                os.fchmod(stream.fileno(), stat.S_IMODE(os.fstat(self._stream.fileno()).st_mode))
                os.fsync(stream.fileno())
            renewed = open(partial, "a+b")
            fcntl.flock(renewed, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.replace(partial, os.path.join(folder, name))
        except BaseException:
            os.unlink(partial)
            raise
        self._stream.close()
        self._stream, self.records = renewed, list(records)


def _is_same(found: Sequence[dict[str, Any]], header: dict[str, Any]) -> bool:
    return all(line.get(name) == header[name] for line in found for name in SAME)


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("schema", "")).startswith(
        "flash.measurements/"
    )


def _is_record(value: Any) -> bool:
    """Whether a line has what measuring further passes relies on, be it measured or refused."""
    if not _is_any_record(value):
        return False
    if "error" in value:
        return True
    latency, kernels = value.get("latency_ms"), value.get("kernels")
    medians = value.get("medians", [1.0])
    return (
        isinstance(latency, dict)
        and _is_positive(latency.get("median"))
        and isinstance(medians, list)
        and all(map(_is_positive, medians))
        and _is_positive(value.get("passes", 1))
        and (kernels is None or (isinstance(kernels, list) and all(map(_is_kernel, kernels))))
    )


def _is_any_record(value: Any) -> bool:
    """Whether a line has what the merging of a meter's readings relies on."""
    if not isinstance(value, dict) or not isinstance(value.get("network"), dict):
        return False
    window, energy = value.get("window"), value.get("energy_mj")
    problems, error = value.get("energy_problems"), value.get("error", "")
    clock, groups = value.get("clock_mhz"), value.get("core_groups")
    stopped = value.get("quota_stopped_s")
    return (
        (clock is None or (isinstance(clock, dict) and _are_positive(clock, "low", "high")))
        and (groups is None or isinstance(groups, list))
        and (stopped is None or stopped == 0 or _is_positive(stopped))
        and (window is None or _is_window(window))
        and (energy is None or isinstance(energy, (dict, int, float)))
        and (problems is None or isinstance(problems, dict))
        and isinstance(error, str)
    )


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < 1e300 and math.isfinite(value)


def _is_kernel(value: Any) -> bool:
    ms = value.get("ms") if isinstance(value, dict) else None
    return ms == 0 or _is_positive(ms)


def _is_window(value: Any) -> bool:
    if not isinstance(value, dict) or not _are_positive(value, "start", "seconds", "runs"):
        return False
    return _is_positive(value.get("pause_s", 1.0))


def _are_positive(value: dict[str, Any], *keys: str) -> bool:
    return all(_is_positive(value.get(key)) for key in keys)
