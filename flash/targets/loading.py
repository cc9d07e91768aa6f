"""The target a user names: whichever kind of profile the file is."""

from __future__ import annotations

import tomllib

from flash.errors import UsageError
from flash.files.locations import data_file
from flash.targets.base import Target
from flash.targets.chips import Given, chip_of, values_of
from flash.targets.imc import ImcHardware, load_imc
from flash.targets.imc.target import ImcTarget
from flash.targets.processor.profile import Profile, load_profile
from flash.targets.processor.target import ProcessorTarget
from flash.targets.systolic import DATAFLOWS, SystolicHardware, load_systolic
from flash.targets.systolic.target import SystolicTarget

__all__ = ["Hardware", "as_target", "fixed_chip", "given_chip", "load_hardware", "load_target"]

#: What a profile file holds.
Hardware = Profile | SystolicHardware | ImcHardware

_WORDS = {"dataflow": DATAFLOWS}


def load_hardware(name_or_path: str, runtime: str | None = None) -> Hardware:
    """The profile ``hw_profiles/NAME.toml``, or a file of the user's, by its ``schema``.

    Raises ``UsageError`` for an unknown name (with the closest) or a runtime that a chip has
    not, ``ProfileError`` for a file that is no profile.
    """
    schema = _schema(name_or_path)
    accelerator = schema.startswith(("flash.systolic/", "flash.imc/"))
    if accelerator and runtime is not None:
        raise UsageError(f"target {name_or_path} has no runtimes; leave --runtime out")
    if schema.startswith("flash.systolic/"):
        return load_systolic(name_or_path)
    if schema.startswith("flash.imc/"):
        return load_imc(name_or_path)
    return load_profile(name_or_path, runtime)


def load_target(
    name_or_path: str, runtime: str | None = None, hardware: Given | None = None
) -> Target:
    """The device, or the chip of a family that ``hardware`` gives (the rest its default's).

    Raises as ``load_hardware``, and ``UsageError`` for hardware variables that cannot be.
    """
    return fixed_chip(load_hardware(name_or_path, runtime), hardware)


def fixed_chip(found: Hardware, hardware: Given | None = None) -> Target:
    """``found`` with the hardware variables given; the others as in its default chip."""
    if isinstance(found, SystolicHardware):
        names = tuple(found.variables)
        return SystolicTarget(found, chip_of(hardware, found.default, names, _WORDS))
    if isinstance(found, ImcHardware):
        names = tuple(found.variables)
        return ImcTarget(found, chip_of(hardware, found.default, names, {}))
    if hardware is not None:
        raise UsageError(f"target {found.name} has no hardware variables; leave --hardware out")
    return ProcessorTarget(found)


def given_chip(found: SystolicHardware | ImcHardware, hardware: Given | None) -> dict[str, int]:
    """The hardware variables that ``hardware`` gives, and no others."""
    return values_of(hardware, tuple(found.variables), _WORDS)


def as_target(target: Target | Profile) -> Target:
    """A profile as the target it is."""
    return ProcessorTarget(target) if isinstance(target, Profile) else target


def _schema(name_or_path: str) -> str:
    path = data_file("hw_profiles", name_or_path)
    if path is None:
        return ""
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8")).get("schema", ""))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ""  # whoever reads the file next says what is wrong with it
