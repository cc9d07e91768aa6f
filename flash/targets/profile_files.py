"""Profile files: found by name or path, read strictly, named in every error."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flash.errors import ProfileError, UsageError, did_you_mean
from flash.files.locations import data_file_and_part, known_names, own_file_like
from flash.files.reading import read_toml
from flash.files.section import Section
from flash.targets.unlisted import what_to_do

__all__ = ["check_schema", "find_profile", "load_document", "read_document"]

T = TypeVar("T")
#: How much of a name is that of a profile, from which on it is taken for a slip (0 to 1).
_TYPO = 0.8


def find_profile(name_or_path: str) -> tuple[Path, str | None]:
    """The file ``hw_profiles/NAME.toml`` or of the user's, and the runtime of ``NAME:RUNTIME``.

    Raises ``UsageError`` for an unknown name, with the closest.
    """
    path, runtime = data_file_and_part("hw_profiles", name_or_path)
    if path is None:
        known = known_names("hw_profiles")
        typo = difflib.get_close_matches(name_or_path, known, n=1, cutoff=_TYPO)
        hint = "" if typo else own_file_like(name_or_path) or what_to_do(name_or_path)
        hint = hint or did_you_mean(name_or_path, known)
        raise UsageError(f"unknown target '{name_or_path}'{hint}")
    return path, runtime


def load_document(path: Path) -> dict[str, Any]:
    """The contents of a profile file; raises ``ProfileError`` for what is no TOML."""
    return read_toml(path, ProfileError)


def read_document(document: dict[str, Any], path: Path, read: Callable[[Section], T]) -> T:
    """What ``read`` makes of a document; its ``ProfileError`` is raised anew with the file."""
    try:
        return read(Section("", document))
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


def check_schema(top: Section, schema: str) -> None:
    """Raise ``ProfileError`` unless a profile is of this schema and version."""
    top.schema(schema)
