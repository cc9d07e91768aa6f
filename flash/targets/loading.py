"""The target a user names: the kind of its profile is looked up by the file's schema."""

from __future__ import annotations

from typing import Any

from flash.errors import ProfileError, UsageError, shown
from flash.targets.base import Target
from flash.targets.chips import Given
from flash.targets.kinds import KINDS, Hardware, TargetKind
from flash.targets.profile_files import find_profile, load_document, read_document

__all__ = ["load_hardware", "load_target"]


def load_hardware(name_or_path: str, runtime: str | None = None, family: str = "") -> Hardware:
    """The profile ``hw_profiles/NAME.toml``, or a file of the user's, by its ``schema``.

    ``runtime`` picks one of its runtimes; so does a name ``NAME:RUNTIME`` (``rpi4b:armnn``). Where
    neither does, networks of a ``family`` run in what the profile has for them.
    Raises ``UsageError`` for an unknown name or runtime (with the closest), ``ProfileError`` for
    a file that is no profile.
    """
    path, of_name = find_profile(name_or_path)
    document = load_document(path)
    try:
        kind = _kind(document.get("schema"))
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
    found = read_document(document, path, kind.read)
    if runtime is not None and of_name is not None and runtime != of_name:
        raise UsageError(f"target {name_or_path} names a runtime; leave --runtime {runtime} out")
    chosen = runtime if runtime is not None else of_name
    return kind.prefer(found, family) if chosen is None else found.select(chosen)


def load_target(
    name_or_path: str,
    runtime: str | None = None,
    hardware: Given | None = None,
    family: str = "",
) -> Target:
    """The device, or the chip of a family that ``hardware`` gives (the rest its default's).

    Raises as ``load_hardware``, and ``UsageError`` for hardware variables that cannot be.
    """
    return load_hardware(name_or_path, runtime, family).target(hardware)


def _kind(schema: Any) -> TargetKind:
    """The kind that reads profiles of this schema, whatever the version."""
    name = schema.rpartition("/")[0] if isinstance(schema, str) else ""
    if name not in KINDS:
        known = ", ".join(f"{kind}/..." for kind in KINDS)
        raise ProfileError(f"expected a schema of a target ({known}), got {shown(schema)}")
    return KINDS[name]
