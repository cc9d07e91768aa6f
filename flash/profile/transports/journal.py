"""Result files that are filled here: what an earlier run measured, and what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flash.errors import InputError, UsageError
from flash.files.journal import open_journal
from flash.files.journal import read_journal as read_lines
from flash.measurements.records import BadRecord, read_header

__all__ = ["append_records", "check_journal", "check_same", "read_journal", "start_over"]

#: What has to agree for measurements to stand in one file.
_SAME: Final = ("schema", "device", "runtime", "threads", "precision", "batch")


def read_journal(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """First line and records; both empty where there is no file.

    A last line that was cut off is left out: its network is measured again. Raises
    ``InputError`` for a file of something else.
    """
    text = read_lines(path, lambda first: _recognise(path, first))
    if not text:
        return {}, []
    head, lines = read_header(path, text)
    records = []
    for _, record in lines:
        if isinstance(record, BadRecord) or not isinstance(record.get("network"), dict):
            raise _foreign(path)
        records.append(record)
    return head, records


def check_journal(path: Path) -> None:
    """Raise ``InputError`` where there is a file of something else, before the work for it."""
    read_lines(path, lambda first: _recognise(path, first))


def _recognise(path: Path, first: str) -> None:
    """Raise ``InputError`` for a first line of anything but measurements."""
    try:
        head, _ = read_header(path, first)
    except InputError:
        raise _foreign(path) from None
    if any(key not in head for key in _SAME):
        raise _foreign(path)


def _foreign(path: Path) -> InputError:
    return InputError(f"{path}: no measurements of flash.profile; give another --out")


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` where a file's first line is of another device or runtime."""
    if before and any(before[key] != now[key] for key in _SAME):
        raise UsageError(
            f"{path} holds measurements of another device or runtime: give another --out, or "
            "--no-resume to write over them"
        )


def append_records(path: Path, head: Mapping[str, Any], records: Sequence[Any]) -> None:
    """Add records to a file that says where they come from; made with ``head`` if need be.

    Raises as ``check_same``, ``InputError`` for a file of something else, which stays as it is,
    and ``UsageError`` or ``FlashError`` where it cannot be written.
    """
    with open_journal(path, lambda first: _recognise(path, first)) as file:
        if file.text:
            check_same(path, read_header(path, file.text)[0], head)
        else:
            file.append(_line(head))
        if records:
            file.append("".join(map(_line, records)))


def start_over(path: Path, head: Mapping[str, Any]) -> None:
    """Make the file hold nothing but ``head``; one of something else is refused."""
    with open_journal(path, lambda first: _recognise(path, first)) as file:
        file.replace(_line(head))


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
