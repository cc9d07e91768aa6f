"""Where the data files that come with flash are, and how such files are read.

Spaces are in ``models``, hardware profiles in ``hw_profiles``, the program that measures devices
in ``scripts``. The wheel carries them inside the package; a source checkout (an editable install)
has the folders beside it. Nothing else knows.
"""

from __future__ import annotations

import errno
import stat
import tomllib
from pathlib import Path
from typing import Any

from flash.errors import InputError, UsageError

__all__ = ["data_file", "known_names", "parse_toml", "read_text", "script_file"]

_PACKAGE = Path(__file__).resolve().parent.parent
#: A path that these errors befall names nothing.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def _folder(kind: str) -> Path:
    inside = _PACKAGE / "data_files" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def known_names(kind: str) -> list[str]:
    """Names of the files that come with flash; ``kind`` is ``models`` or ``hw_profiles``."""
    return sorted(path.stem for path in _folder(kind).glob("*.toml"))


def script_file(name: str) -> Path:
    """A program that runs outside flash and comes with it, by its file name."""
    return _folder("scripts") / name


def data_file(kind: str, name_or_path: str) -> Path | None:
    """The file a user means: one of ours by name, or the path of a ``.toml`` file.

    None for what is neither. Raises ``UsageError`` for a path that is no file.
    """
    if name_or_path in known_names(kind):
        return _folder(kind) / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix != ".toml":
        return None
    try:
        mode = path.stat().st_mode
    except ValueError:  # a null character
        raise UsageError(f"no such file: {path}") from None
    except OSError as error:
        if error.errno in _ABSENT:
            raise UsageError(f"no such file: {path}") from None
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise UsageError(f"cannot read {path}: it is {what}")
    return path


def read_text(path: Path, kind: type[InputError]) -> str:
    """The text of an input file; raises ``kind`` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise kind(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise kind(f"{path}: cannot be read: it is no UTF-8 text") from None


def parse_toml(text: str, path: Path, kind: type[InputError]) -> dict[str, Any]:
    """The document in ``text``; raises ``kind``, naming ``path``, for what is no TOML."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one, so is a number of 5,000 digits
        raise kind(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise kind(f"{path}: not usable TOML: lists or tables nested too deeply") from None
