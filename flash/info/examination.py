"""What this machine has of what flash can use: versions, extras, devices, sensors, packages."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import flash
from flash.device.machine import device_info
from flash.device.registry import SENSORS, sensors_of
from flash.errors import FlashError
from flash.extras import install_command
from flash.files.reading import read_toml
from flash.info.wrapping import hanging
from flash.plugins import GROUPS, Registry, registry
from flash.report import Result

__all__ = ["Examination", "Extra", "Library", "SensorState", "doctor"]

_DISTRIBUTION = "flash-codesign"
#: Extras of developers only.
_NOT_SHOWN = frozenset({"docs", "test"})


@dataclass(frozen=True)
class Library:
    """A library by its distribution's name; ``version`` is empty where it is missing."""

    name: str
    version: str


@dataclass(frozen=True)
class Extra:
    """An optional extra of flash and the libraries it brings."""

    name: str
    libraries: tuple[Library, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Libraries that are not installed."""
        return tuple(library.name for library in self.libraries if not library.version)

    @property
    def remedy(self) -> str:
        """The command that installs what is missing; empty where nothing is."""
        return install_command(self.name) if self.missing else ""


@dataclass(frozen=True)
class SensorState:
    """A source of power or energy; ``problem`` is empty where it can be read now."""

    name: str
    kind: str
    scope: str
    problem: str


@dataclass(frozen=True, repr=False)
class Examination(Result):
    """What ``flash doctor`` tells.

    device:   model, cpu, cores, arch, simd_bits, ram_mb of this machine.
    plugins:  ``"group: name"`` of what other packages add -> empty, or why it cannot be used.
    """

    flash: str
    python: str
    system: str
    libraries: tuple[Library, ...]
    extras: tuple[Extra, ...]
    device: dict[str, Any]
    gpus: tuple[str, ...]
    sensors: tuple[SensorState, ...]
    plugins: dict[str, str]

    def lines(self) -> list[str]:
        """Versions and this machine, then what is there and what is not, a line each."""
        words = f"{self.device['model']}: {self.device['cpu']}, {self.device['cores']} cores"
        if self.device["ram_mb"]:
            words += f", {self.device['ram_mb'] / 1e3:.3g} GB"
        libraries = ", ".join(f"{x.name} {x.version or 'missing'}" for x in self.libraries)
        lines = [
            f"flash    {self.flash}",
            f"python   {self.python}",
            f"system   {self.system}",
            *hanging("core     ", libraries),
            *hanging("device   ", words),
            *hanging("gpus     ", ", ".join(self.gpus) or "none with an NVIDIA driver"),
            "",
            "extras",
        ]
        for extra in self.extras:
            here = ", ".join(f"{x.name} {x.version}" for x in extra.libraries if x.version)
            gone = f"missing {', '.join(extra.missing)}: {extra.remedy}"
            lines += _there(extra.name, not extra.missing, gone if extra.missing else here)
        lines += ["", "sensors of power"]
        for sensor in self.sensors:
            what = sensor.problem or f"{sensor.kind} of the {sensor.scope}"
            lines += _there(sensor.name, not sensor.problem, what)
        if self.plugins:
            lines += ["", "from other packages"]
            for name, problem in self.plugins.items():
                lines += hanging(f"  {'no ' if problem else 'yes'}  ", f"{name} {problem}".rstrip())
        return lines

    def to_records(self) -> list[dict[str, Any]]:
        """A row a library, extra, sensor and member of another package.

        ``part`` says which; ``detail`` is a version, a scope, or why it cannot be used.
        """
        rows: list[tuple[str, str, bool, str, str]] = [
            ("library", x.name, bool(x.version), x.version, "") for x in self.libraries
        ]
        for extra in self.extras:
            detail = ", ".join(extra.missing)
            rows.append(("extra", extra.name, not extra.missing, detail, extra.remedy))
        for x in self.sensors:
            rows.append(("sensor", x.name, not x.problem, x.problem or x.scope, ""))
        for name, problem in self.plugins.items():
            rows.append(("plugin", name, not problem, problem, ""))
        names = ("part", "name", "available", "detail", "remedy")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def document(self) -> dict[str, Any]:
        """Schema ``flash.doctor/1``."""
        return {
            "schema": "flash.doctor/1",
            "flash": self.flash,
            "python": self.python,
            "system": self.system,
            "libraries": {library.name: library.version for library in self.libraries},
            "extras": {
                extra.name: {
                    "libraries": {x.name: x.version or None for x in extra.libraries},
                    "installed": not extra.missing,
                    "remedy": extra.remedy or None,
                }
                for extra in self.extras
            },
            "device": self.device,
            "gpus": list(self.gpus),
            "sensors": [vars(sensor) for sensor in self.sensors],
            "plugins": self.plugins,
        }


def _there(name: str, available: bool, what: str) -> list[str]:
    return hanging(f"  {'yes' if available else 'no '}  {name:<11}", what)


def doctor() -> Examination:
    """What this machine has of what flash can use: what ``flash doctor`` shows.

    Nothing heavy is imported, nothing is measured.

    >>> doctor().flash == flash.__version__
    True
    """
    required = list(_required())
    extras = dict.fromkeys(extra for _, extra in required if extra)
    return Examination(
        flash=flash.__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        system=platform.platform(),
        libraries=tuple(_library(name) for name, extra in required if not extra),
        extras=tuple(
            Extra(name, tuple(_library(lib) for lib, extra in required if extra == name))
            for name in extras
            if name not in _NOT_SHOWN
        ),
        device=device_info(),
        gpus=tuple(_gpus()),
        sensors=tuple(_sensors()),
        plugins=dict(_plugins()),
    )


def _required() -> Iterator[tuple[str, str]]:
    """(library, extra) of everything flash can use; the extra is empty where it always comes."""
    for requirement in _requirements():
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        yield name, extra.group(1) if extra else ""


def _requirements() -> list[str]:
    try:
        return metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a source checkout
        place = Path(flash.__file__).resolve().parents[1] / "pyproject.toml"
        project = read_toml(place)["project"]
        extras = project["optional-dependencies"].items()
        listed = [f"{line}; extra == '{name}'" for name, lines in extras for line in lines]
        return [*project["dependencies"], *listed]


def _library(name: str) -> Library:
    try:
        return Library(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Library(name, "")


def _gpus() -> Iterator[str]:
    """Names of NVIDIA graphics processors, as the driver's files tell them."""
    for card in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            found = re.search(r"^Model:\s*(.+)$", card.read_text(), re.MULTILINE)
        except OSError:
            continue
        yield found.group(1).strip() if found else card.parent.name


def _sensors() -> Iterator[SensorState]:
    """Every sensor of every source; a source that finds none is told as well."""
    for name in SENSORS:
        try:
            sensors = sensors_of(SENSORS[name]())
        except FlashError as error:
            yield SensorState(name, "", "", str(error))
            continue
        except Exception as error:  # whatever somebody's package raises
            yield SensorState(name, "", "", f"{type(error).__name__}: {error}")
            continue
        if not sensors:
            yield SensorState(name, "", "", _ABSENT.get(name, "none on this machine"))
        for sensor in sensors:
            yield SensorState(sensor.name, sensor.kind, sensor.scope, sensor.available())


#: Source -> why it found no sensor, and what would give one.
_ABSENT = {
    "battery": "no battery in /sys/class/power_supply",
    "hwmon": "no power sensor in /sys/class/hwmon (an INA219 or INA226 on I2C gives one)",
    "nvml": "no NVIDIA driver",
    "pmic": "no vcgencmd: only a Raspberry Pi 5 measures its own rails",
    "rapl": "no /sys/class/powercap/intel-rapl (a virtual machine hides it)",
}
if shutil.which("vcgencmd"):
    _ABSENT["pmic"] = "vcgencmd pmic_read_adc tells nothing: only a Raspberry Pi 5 has these rails"


def _plugins() -> Iterator[tuple[str, str]]:
    """What other packages add to each registry, and why what cannot be used cannot."""
    for group in GROUPS:
        members = registry(group)
        if not isinstance(members, Registry):
            members = _open_part(group)
        for name in members:
            if name in members.builtin:
                continue
            try:
                members[name]
            except FlashError as error:
                yield f"{group}: {name}", str(error)
            else:
                yield f"{group}: {name}", ""
        for place in members.shadowed:
            yield f"{group}: {place}", "its name is taken"


def _open_part(group: str) -> Registry[Any]:
    """The registry behind a view of members and other things (proxies and aggregates)."""
    from flash.proxies.registry import PROXIES  # noqa: PLC0415 (listed for one group only)

    return PROXIES if group == "flash.proxies" else Registry[Any](group, "member", {})
