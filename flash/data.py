"""Where the data files that come with flash are: spaces (``models``) and ``hw_profiles``.

The wheel carries both folders inside the package; a source checkout (an editable install)
has them beside it. Nothing else knows.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["data_file", "known_names"]

_PACKAGE = Path(__file__).resolve().parent


def _folder(kind: str) -> Path:
    inside = _PACKAGE / "data_files" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def known_names(kind: str) -> list[str]:
    """Names of the files that come with flash; ``kind`` is ``models`` or ``hw_profiles``."""
    return sorted(path.stem for path in _folder(kind).glob("*.toml"))


def data_file(kind: str, name_or_path: str) -> Path | None:
    """The file a user means: one of ours by name, else a path; None if there is neither."""
    if name_or_path in known_names(kind):
        return _folder(kind) / f"{name_or_path}.toml"
    path = Path(name_or_path)
    return path if path.suffix == ".toml" and path.exists() else None
