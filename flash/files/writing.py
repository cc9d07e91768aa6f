"""Files written whole or not at all.

Everything is rendered in memory first, written to temporary files in the folder it belongs
to, and moved into place when all of it is on disk; a reader never sees half a file, and a
failed run leaves what was there before.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path

from flash.errors import FlashError, UsageError

__all__ = ["write_folder", "write_text"]

# The folder or name given cannot work: the user's arguments, exit code 2. The rest (disk
# full, quota, input/output error) is the machine's and leaves with exit code 1.
_WRONG_PLACE = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR", "EISDIR", "EEXIST")
    + ("ENAMETOOLONG", "ELOOP", "EINVAL", "ENOTEMPTY", "ENXIO")
)


def write_folder(folder: str | Path, contents: Mapping[str, str | bytes]) -> tuple[Path, ...]:
    """Write files (name -> content) into a folder, all or none; makes the folder if need be.

    Returns the files' paths. Raises ``UsageError`` for a folder that cannot be written and
    ``FlashError`` for a disk that cannot take them, one line each; nothing new is left then.
    """
    place = Path(folder)
    files = {place / name: content for name, content in contents.items()}
    made = _make_folder(place)
    try:
        _write_all(files)
    except BaseException:
        for created in made:
            with contextlib.suppress(OSError):
                created.rmdir()
        raise
    return tuple(files)


def write_text(path: str | Path, text: str) -> None:
    """Write one file whole or not at all; errors as for ``write_folder``.

    What is no regular file (a pipe, a device such as ``/dev/null``) is written to, never
    replaced.
    """
    place = Path(path)
    try:
        special = place.exists() and not place.is_file() and not place.is_dir()
        if special:
            place.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _cannot_write(place, error) from None
    if not special:
        _write_all({place: text})


def _make_folder(folder: Path) -> list[Path]:
    """Make the folder and its parents; returns those made, the deepest first."""
    made: list[Path] = []
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            made.insert(0, path)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except (OSError, ValueError) as error:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise _cannot_write(folder, error) from None
    return made


def _write_all(contents: Mapping[Path, str | bytes]) -> None:
    # Process id in the name: two searches into one folder do not meet. Not the file's own name,
    # which may have all the characters that a name may have.
    temporary = {
        path: path.parent / f".flash.{os.getpid()}.{number}.tmp"
        for number, path in enumerate(contents)
    }
    current = next(iter(contents))
    try:
        for current, content in contents.items():
            if current.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            with temporary[current].open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        for current, written in temporary.items():
            written.replace(current)
    except (OSError, ValueError) as error:
        raise _cannot_write(current, error) from None
    finally:
        for written in temporary.values():
            with contextlib.suppress(OSError):
                written.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError | ValueError) -> FlashError:
    if isinstance(error, ValueError):  # a null character in the path
        return UsageError(f"cannot write {path}: {error}")
    line = f"cannot write {path}: {error.strerror or error}"
    return UsageError(line) if error.errno in _WRONG_PLACE else FlashError(line)
