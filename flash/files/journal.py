"""Append-only text files: log, result and memory of a run in one.

A first line says what the file is; each further line is whole and on disk when the call that
wrote it returns. Several processes may append at once (``flock``). A file that is not ours is
recognised by its first line before it is opened for writing, and stays as it is. A last line
that was cut off (a kill, a full disk) is no line: readers leave it out, the next writer removes
it.

JSON Lines and CSV without line ends inside cells are such files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from flash.errors import FlashError, InputError, UsageError
from flash.files.reading import read_bytes
from flash.files.writing import cannot_write, write_all, write_bytes

__all__ = ["OpenJournal", "open_journal", "read_journal"]

#: Seconds that another process may hold the lock: writing a line takes milliseconds.
_PATIENCE_S: Final = 30.0
#: Between two tries to get the lock, seconds.
_PAUSE_S: Final = 0.01

#: Raises ``InputError`` for a first line of a file that is not ours; the line has no end.
Recognise = Callable[[str], None]


def read_journal(path: Path, recognise: Recognise) -> str:
    """All whole lines, the first one too; empty where there is no file or an empty one.

    Raises ``InputError`` for a file that cannot be read or is not ours.
    """
    if not path.exists():
        return ""
    return _whole(path, read_bytes(path), recognise)


class OpenJournal:
    """A file under this process's lock. ``text``: its whole lines, the first one too."""

    def __init__(self, path: Path, handle: int, text: str) -> None:
        self._path, self._handle, self.text = path, handle, text

    def append(self, lines: str) -> None:
        """Add lines, each with its end; on disk on return, none of them there on failure.

        Raises ``FlashError`` for a disk that cannot take them.
        """
        if not lines.endswith("\n"):
            raise ValueError("a line ends with a line end")
        end = len(self.text.encode())
        try:
            os.ftruncate(self._handle, end)
            os.lseek(self._handle, end, os.SEEK_SET)
            write_all(self._handle, lines.encode())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, end)
            raise cannot_write(self._path, error) from None
        self.text += lines

    def replace(self, text: str) -> None:
        """Other content altogether, all or nothing. The file is new: nothing can be appended."""
        write_bytes(self._path.resolve(), text.encode())
        self.text = text


@contextlib.contextmanager
def open_journal(path: Path, recognise: Recognise) -> Iterator[OpenJournal]:
    """The file opened for appending, under a lock; made if it is not there.

    Raises ``InputError`` for a file that is not ours, ``UsageError`` for a place where none can
    be and ``FlashError`` where another process holds on to it.
    """
    made = not path.exists()
    read_journal(path, recognise)  # a foreign file is not opened for writing
    handle = _locked(path)
    try:
        with os.fdopen(os.dup(handle), "rb") as file:
            text = _whole(path, file.read(), recognise)
        yield OpenJournal(path, handle, text)
    finally:
        if made and not os.fstat(handle).st_size:  # nothing came of it
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path) -> int:
    """A handle with the lock on the file that is there once it has the lock."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        except (OSError, ValueError) as error:
            raise cannot_write(path, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = os.stat(path)  # noqa: PTH116 - the counterpart of fstat
            if os.path.samestat(os.fstat(handle), current):
                return handle
        except FileNotFoundError:  # replaced or removed while this process waited
            pass
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(handle)
                raise FlashError(f"{path}: another process is writing it") from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            os.close(handle)
            raise UsageError(f"cannot lock {path}: {error.strerror}") from None
        os.close(handle)


def _whole(path: Path, content: bytes, recognise: Recognise) -> str:
    if not content:
        return ""
    whole = content[: content.rfind(b"\n") + 1]
    try:
        text = (whole or content).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: cannot be read: it is no UTF-8 text") from None
    recognise(text.partition("\n")[0].removesuffix("\r"))
    return text if whole else ""
