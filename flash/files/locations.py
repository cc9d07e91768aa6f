"""Where the data files that come with flash are.

Spaces are in ``models``, hardware profiles in ``hw_profiles``, the program that measures devices
in ``scripts``. The wheel carries them inside the package; a source checkout (an editable install)
has the folders beside it. Nothing else knows.
"""

from __future__ import annotations

import contextlib
import difflib
from pathlib import Path

__all__ = [
    "data_file",
    "data_file_and_part",
    "known_names",
    "own_file_like",
    "predictor_file",
    "script_file",
]

#: Likeness (difflib) from which a name is taken for a typing error.
_CLOSE = 0.8

_PACKAGE = Path(__file__).resolve().parent.parent


def _folder(kind: str) -> Path:
    inside = _PACKAGE / "data_files" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def known_names(kind: str) -> list[str]:
    """Names of the files that come with flash; ``kind`` is ``models`` or ``hw_profiles``."""
    return sorted(path.stem for path in _folder(kind).glob("*.toml"))


def own_file_like(name: str) -> str:
    """`` (did you mean 'x', the file x.toml here?)``, if a file here is called nearly so.

    Of a file's path that does not end in .toml it says that it should.
    """
    try:
        if Path(name).is_file():
            return ": there is such a file, but one that is meant here ends in .toml"
        own = sorted(path.stem for path in Path().glob("*.toml"))
    except (OSError, ValueError):  # a name that no file can have
        return ""
    close = difflib.get_close_matches(name, own, n=1, cutoff=_CLOSE)
    return f" (did you mean '{close[0]}', the file {close[0]}.toml here?)" if close else ""


def script_file(name: str) -> Path:
    """A program that runs outside flash and comes with it, by its file name."""
    return _folder("scripts") / name


def predictor_file(name: str) -> Path:
    """The weights of a predictor that comes with flash, fitted by a script of its own."""
    return _folder("models") / "predictors" / f"{name}.json"


def data_file(kind: str, name_or_path: str) -> Path | None:
    """The file a user means: one of ours by name, or the path of a ``.toml`` file.

    The ending may be left out where there is such a file (``laptop`` for ``./laptop.toml``). None
    for what is neither. Whether there is such a file, its reader tells.
    """
    if name_or_path in known_names(kind):
        return _folder(kind) / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return path
    beside = Path(f"{name_or_path}.toml")
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have
        return beside if beside.is_file() else None
    return None


def data_file_and_part(kind: str, name_or_path: str) -> tuple[Path | None, str | None]:
    """The same of ``NAME`` or ``NAME:PART``, and the part, where one is named."""
    path = data_file(kind, name_or_path)
    if path is None and ":" in name_or_path:
        name, part = name_or_path.rsplit(":", 1)
        return data_file(kind, name), part
    return path, None
