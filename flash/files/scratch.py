"""Folders for what a program needs while it runs, in the system's folder for such things.

Nobody else can read them. They go at the end; those of processes that were killed go when a
process next makes one: their owners held locks on them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["scratch_folder"]

_NAME: Final = re.compile(r"flash-[a-z]+-[0-9a-f]{16}\.scratch")


@contextlib.contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A new folder, removed at the end; ``purpose`` is a word of its name.

    Raises ``OSError`` where there can be none.
    """
    parent = Path(tempfile.gettempdir())
    for left in _entries(parent):
        with contextlib.suppress(OSError):
            _remove_left(left)
    path, handle = _locked(parent, purpose)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _entries(parent: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        return [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
    return []


def _locked(parent: Path, purpose: str) -> tuple[Path, int]:
    while True:
        path = parent / f"flash-{purpose}-{os.urandom(8).hex()}.scratch"
        path.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # another process took it for a leftover
            handle = os.open(path, _FOLDER)
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists():
                return path, handle
            os.close(handle)


_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _remove_left(path: Path) -> None:
    handle = os.open(path, _FOLDER)
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its process lives
            shutil.rmtree(path)
    finally:
        os.close(handle)
