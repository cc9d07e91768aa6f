"""Result files that are filled here: what an earlier run measured, and what is new."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flash.errors import InputError, UsageError
from flash.files.reading import read_text
from flash.measurements.records import BadRecord, read_header

__all__ = ["check_same", "read_journal", "write_journal"]

#: What has to agree for measurements to stand in one file.
_SAME: Final = ("schema", "device", "runtime", "threads", "precision", "batch")


def read_journal(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """First line and records; both empty where there is no file.

    A last line that was cut off is left out: its network is measured again. Raises
    ``InputError`` for a file of something else.
    """
    if not path.exists():
        return {}, []
    text = read_text(path, InputError)
    whole = text[: text.rfind("\n") + 1]
    wrong = InputError(f"{path}: no measurements of flash.profile; give another --out")
    try:
        head, lines = read_header(path, whole)
    except InputError:
        raise wrong from None
    records = []
    for _, record in lines:
        if isinstance(record, BadRecord) or not isinstance(record.get("network"), dict):
            raise wrong
        records.append(record)
    if any(key not in head for key in _SAME):
        raise wrong
    return head, records


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` where a file's first line is of another device or runtime."""
    if before and any(before[key] != now[key] for key in _SAME):
        raise UsageError(
            f"{path} holds measurements of another device or runtime: give another --out, or "
            "--no-resume to write over them"
        )


def write_journal(path: Path, head: Mapping[str, Any], records: Sequence[Any]) -> None:
    """The whole file or none of it; ``UsageError`` where it cannot be written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    lines = [json.dumps(line, ensure_ascii=False) for line in (head, *records)]
    try:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
