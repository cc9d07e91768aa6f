"""Files written whole or not at all.

Everything is rendered in memory first, written beside where it belongs under a name that nobody
can foresee (created exclusively, no link followed), and moved into place when all of it is on
disk. A reader never sees half a file, and a failed run leaves what was there before.

A folder of results is moved into place by one rename where there was none. Into a folder that is
there, files move one by one, of one run at a time (a lock); the folder they come from is then
called ``.flash-*.whole``, and if the machine dies between two moves, the next run into that folder
makes the others. What a run that died left behind (``.flash-*``) is removed by the next one: its
owner held a lock on it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from flash.errors import FlashError, UsageError

__all__ = [
    "cannot_write",
    "check_folder",
    "make_folder",
    "point_link",
    "whole_file",
    "write_all",
    "write_bytes",
    "write_folder",
    "write_text",
]

# The folder or name given cannot work: the user's arguments, exit code 2. The rest (disk
# full, quota, input/output error) is the machine's and leaves with exit code 1.
_WRONG_PLACE = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR", "EISDIR", "EEXIST")
    + ("ENAMETOOLONG", "ELOOP", "EINVAL", "ENOTEMPTY", "ENXIO")
)
#: What a run is still writing, and a folder of files all of which are on disk.
_UNFINISHED = re.compile(r"\.flash-[0-9a-f]{16}\.tmp")
_WHOLE = re.compile(r"\.flash-[0-9a-f]{16}\.whole")
#: Seconds that another run may take to move its files, and between two looks.
_PATIENCE_S = 10.0
_PAUSE_S = 0.01


def write_folder(
    folder: str | Path, contents: Mapping[str, str | bytes], new: bool = False
) -> tuple[Path, ...]:
    """Write files (name -> content) into a folder, all or none; makes the folder if need be.

    new: into a folder that was not there: another's of this name stays, ours is called NAME.2 ...

    Returns the files' paths. Raises ``UsageError`` for a folder that cannot be written and
    ``FlashError`` for a disk that cannot take them, one line each; nothing new is left then.
    """
    place = Path(folder)
    if any((place / name).parent != place for name in contents):
        raise ValueError("names of files in a folder have no folder of their own")
    made = _make_parents(place, own=new)
    try:
        with _told(place):
            _remove_leftovers(place.parent)
            if new or not place.is_dir():
                place = _write_new(place, contents, new)
            else:
                _remove_leftovers(place)
                _write_into(place, contents)
    except BaseException:
        for created in made:
            with contextlib.suppress(OSError):
                created.rmdir()
        raise
    return tuple(place / name for name in contents)


def check_folder(folder: Path) -> None:
    """Raise ``UsageError`` where a folder cannot be written, before the work it is to hold."""
    code = 0
    try:
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not above.is_dir():
            code = errno.ENOTDIR
        elif not os.access(above, os.W_OK | os.X_OK):
            code = errno.EACCES
    except (OSError, ValueError) as error:
        raise cannot_write(folder, error) from None
    if code:
        raise cannot_write(folder, OSError(code, os.strerror(code)))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless it is there; errors as for ``write_folder``."""
    made = _make_parents(folder)
    try:
        folder.mkdir(exist_ok=True)
    except (OSError, ValueError) as error:
        for created in made:
            with contextlib.suppress(OSError):
                created.rmdir()
        raise cannot_write(folder, error) from None


def point_link(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, or point it there. Raises ``OSError``."""
    with _temporary_folder(link.parent) as temporary:
        (temporary / "link").symlink_to(target)
        (temporary / "link").replace(link)


def write_text(path: str | Path, text: str) -> None:
    """Write one file of text in UTF-8, see ``write_bytes``."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write one file whole or not at all; errors as for ``write_folder``.

    What is no regular file (a pipe, a device such as ``/dev/null``) is written to, never
    replaced.
    """
    place = Path(path)
    with _told(place):
        if place.exists() and not place.is_file() and not place.is_dir():
            place.write_bytes(content)
            return
        with whole_file(place) as file:
            write_all(file.fileno(), content)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes ``path`` at the end of the block, and only then.

    For what a library writes by itself, and for what is too large to be held twice. Raises
    ``OSError`` as it comes.
    """
    _refuse_folder(path)
    _remove_leftovers(path.parent)
    with _temporary_file(path.parent) as (temporary, handle):
        with os.fdopen(os.dup(handle), "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
        _sync_folder(path.parent)


# ----------------------------------------------------------------------------------- folders
def _write_new(folder: Path, contents: Mapping[str, str | bytes], own: bool) -> Path:
    """The folder appears with all its files; returns what it is called.

    One that somebody made meanwhile is filled, or left alone where the folder has to be our own.
    """
    name, number = folder.name, 1
    with _temporary_folder(folder.parent) as temporary:
        _fill(temporary, contents, folder)
        while True:
            while own and os.path.lexists(folder):
                number += 1
                folder = folder.with_name(f"{name}.{number}")
            try:
                temporary.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not folder.is_dir():
                    raise
                if own:  # somebody else was faster
                    continue
                _write_into(folder, contents)
            _sync_folder(folder.parent)
            return folder


def _write_into(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    for name in contents:
        with _named(folder / name):
            _refuse_folder(folder / name)
    with _temporary_folder(folder) as temporary:
        _fill(temporary, contents, folder)
        with _folder_to_itself(folder):
            _finish_leftovers(folder)
            whole = temporary.with_suffix(".whole")
            temporary.rename(whole)
            try:
                _move_out(whole)
            except BaseException:
                _remove_tree(whole)
                raise


@contextlib.contextmanager
def _folder_to_itself(folder: Path) -> Iterator[None]:
    """While files move into a folder: those of two runs never mix.

    Somebody who holds the lock for good (``flock FOLDER flash search ...``) is no run of ours.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_S)
            except OSError:  # some network file systems have no locks
                break
            else:
                break
        yield
    finally:
        os.close(handle)


def _fill(folder: Path, contents: Mapping[str, str | bytes], place: Path) -> None:
    """Write files that will be in ``place``, the folder that messages name."""
    for name, content in contents.items():
        with _named(place / name):
            handle = os.open(folder / name, _EXCLUSIVE, 0o666)
            try:
                write_all(handle, content.encode() if isinstance(content, str) else content)
            finally:
                os.close(handle)
    _sync_folder(folder)


def _move_out(whole: Path) -> None:
    """Move the files of a ``.whole`` folder into the one above it."""
    folder = whole.parent
    for file in sorted(whole.iterdir()):
        with _named(folder / file.name):
            file.replace(folder / file.name)
    _sync_folder(folder)
    whole.rmdir()


def _make_parents(folder: Path, own: bool = False) -> list[Path]:
    """Make the folders above ``folder``; returns those made, the deepest first."""
    made: list[Path] = []
    try:
        if not own and folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        missing = [path for path in folder.parents if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            made.insert(0, path)
    except (OSError, ValueError) as error:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise cannot_write(folder, error) from None
    return made


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


# --------------------------------------------------------------------------- temporary things
_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new locked file and its handle; removed at the end if it is still there."""
    while True:
        path = folder / _new_name()
        handle = os.open(path, _EXCLUSIVE, 0o666)
        _lock(handle)
        if os.fstat(handle).st_nlink:  # else another run took it for a leftover before the lock
            break
        os.close(handle)
    try:
        yield path, handle
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A new locked folder; removed at the end if it is still there."""
    while True:
        path = parent / _new_name()
        path.mkdir()
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # another run took it for a leftover
            continue
        _lock(handle)
        if path.exists():
            break
        os.close(handle)
    try:
        yield path
    finally:
        _remove_tree(path)
        os.close(handle)


def _new_name() -> str:
    return f".flash-{os.urandom(8).hex()}.tmp"


def _remove_tree(folder: Path) -> None:
    """Remove a folder of files, as far as that can be done."""
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _lock(handle: int) -> None:
    with contextlib.suppress(OSError):  # some network file systems have no locks
        fcntl.flock(handle, fcntl.LOCK_EX)


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that died left in a folder; finish what they had only to move."""
    for path in _entries(folder, _UNFINISHED):
        with contextlib.suppress(OSError), _of_nobody(path):
            if path.is_dir():
                _remove_tree(path)
            else:
                path.unlink()
    if _entries(folder, _WHOLE):
        with contextlib.suppress(OSError), _folder_to_itself(folder):
            _finish_leftovers(folder)


def _finish_leftovers(folder: Path) -> None:
    """Make the moves that runs did not come to, in a folder that is this process's alone."""
    for path in _entries(folder, _WHOLE):
        with contextlib.suppress(OSError, _At), _of_nobody(path):
            _move_out(path)


def _entries(folder: Path, named: re.Pattern[str]) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if named.fullmatch(entry.name)]
    return []


@contextlib.contextmanager
def _of_nobody(path: Path) -> Iterator[None]:
    """Something of this user's that no living run holds; raises ``OSError`` for what is not."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def write_all(handle: int, content: bytes) -> None:
    """Write all of it, and onto the disk: a nearly full one takes a part, then refuses."""
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    """Renames survive a loss of power."""
    with contextlib.suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ------------------------------------------------------------------------------------- errors
class _At(Exception):
    """An error of the system with the path that the user knows it by."""

    def __init__(self, path: Path, error: OSError | ValueError) -> None:
        super().__init__(path)
        self.path, self.error = path, error


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise _At(path, error) from None


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except _At as at:
        raise cannot_write(at.path, at.error) from None
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError | ValueError) -> FlashError:
    """The error to raise: exit code 2 for a wrong place, 1 for a machine that failed."""
    if isinstance(error, ValueError):  # a null character in the path
        return UsageError(f"cannot write {path}: {error}")
    line = f"cannot write {path}: {error.strerror or error}"
    return UsageError(line) if error.errno in _WRONG_PLACE else FlashError(line)
