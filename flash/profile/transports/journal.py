"""Result files that are filled here: what an earlier run measured, and what is new."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flash.errors import InputError, UsageError
from flash.files.locations import read_text

__all__ = ["check_same", "network_key", "read_journal", "write_journal"]

#: What has to agree for measurements to stand in one file.
_SAME: Final = ("schema", "device", "runtime", "threads", "precision", "batch")


def read_journal(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """First line and records; both empty where there is no file.

    Raises ``InputError`` for a file of something else.
    """
    if not path.exists():
        return {}, []
    lines = read_text(path, InputError).splitlines()
    try:
        head, *records = [json.loads(line) for line in lines if line.strip()]
        for key in _SAME:
            head[key]
        for record in records:
            dict(record["network"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: no measurements of flash.profile; give another --out") from None
    return head, records


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` where a file's first line is of another device or runtime."""
    if before and any(before[key] != now[key] for key in _SAME):
        raise UsageError(
            f"{path} holds measurements of another device or runtime: give another --out, or "
            "--no-resume to write over them"
        )


def network_key(network: Mapping[str, Any]) -> str:
    """A network's name in measurements as one text; of a file, its SHA-256."""
    return str(network.get("sha256") or json.dumps(network, sort_keys=True))


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
