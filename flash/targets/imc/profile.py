"""Chips of crossbar tiles as data: parts, settings and variables from ``hw_profiles/``."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from flash.errors import ProfileError, UsageError, did_you_mean
from flash.files.locations import data_file, known_names
from flash.targets.components import NODES_NM
from flash.targets.default_chip import default_chip
from flash.targets.imc.converters import ADC_MODELS

__all__ = [
    "PARTS", "ChipLink", "FixedRouter", "ImcHardware", "Noc", "Options", "Part", "Precision",
    "Settings", "load_imc",
]  # fmt: skip

Floats = NDArray[np.float64]
_SCHEMA: Final = "flash.imc/1"
_KEYS: Final = frozenset(
    {
        "schema", "name", "description", "provenance", "precision", "settings", "chip_link",
        "variables", "default", "codesign", "parts", "noc",
    }
)  # fmt: skip
#: What a part comes with: every row, column or cell of a crossbar, every row or column of a
#: tile's crossbars (same number, but working at the tile's pace), every KiB of buffer.
_PER: Final = ("row", "column", "cell", "tile_row", "tile_column", "kib")
#: The parts the model charges for; a profile gives all of them and no others.
PARTS: Final = (
    "dac", "input_register", "sample_hold", "shift_add", "output_register", "array", "bus",
    "buffer", "activation", "pooling", "accumulator", "tile_register",
)  # fmt: skip
_ROUTERS: Final = ("booksim", "isaac")
_IDLE: Final = ("on", "gated")


@dataclass(frozen=True)
class Options:
    """Values of the hardware variables: floats, or arrays of shape (options,)."""

    rows: Floats
    columns: Floats
    crossbars_per_tile: Floats
    cell_bits: Floats
    adc_bits: Floats
    columns_per_adc: Floats
    buffer_kib: Floats
    noc_bits: Floats
    frequency_mhz: Floats
    node_nm: Floats
    mvm_limit: Floats


_VARIABLES: Final = tuple(field.name for field in fields(Options))


@dataclass(frozen=True)
class Precision:
    """Bits of weights, activations and DACs; ``columns_per_bit`` is 2 for differential pairs."""

    weight_bits: int
    activation_bits: int
    dac_bits: int
    columns_per_bit: int


@dataclass(frozen=True)
class Settings:
    """Choices that are no search variables; see ``hw_profiles/imc.toml``."""

    adc_model: str
    adc_models: tuple[str, ...]
    router_model: str
    idle_tiles: str
    array_read_ns: float
    cycle_ns: float
    reference_nm: float
    leakage_mw_per_mm2: float
    chip_link: bool


@dataclass(frozen=True)
class Part:
    """A published part: ``count`` units take ``area_mm2`` and, always busy, ``power_mw``."""

    per: str
    count: float
    power_mw: float
    area_mm2: float
    source: str
    energy_pj: float = -1.0
    scales: bool = True

    @property
    def unit_area_mm2(self) -> float:
        """Area of one unit at the reference node."""
        return self.area_mm2 / self.count

    def use_pj(self, cycle_ns: float) -> float:
        """Energy of one use: as given, or one cycle of one unit's power."""
        return self.energy_pj if self.energy_pj >= 0 else self.power_mw * cycle_ns / self.count


@dataclass(frozen=True)
class FixedRouter:
    """A published router, whatever the width of its links: area and power for one tile."""

    area_mm2: float
    power_mw: float
    pj_per_bit: float
    source: str


@dataclass(frozen=True)
class Noc:
    """Coefficients of the mesh; see ``flash.targets.imc.noc``."""

    pipeline_cycles: float
    ejection_cycles: float
    capacity: float
    router_pj_per_bit: float
    router_pj_per_bit_and_width: float
    wire_pj_per_bit_mm: float
    router_area_mm2_per_bit: float
    router_area_mm2_per_bit2: float
    source: str
    isaac: FixedRouter


@dataclass(frozen=True)
class ChipLink:
    """Links that leave the chip."""

    area_mm2: float
    power_mw: float
    source: str


@dataclass(frozen=True)
class ImcHardware:
    """A family of chips: what its parts cost, and which values its variables may take.

    Everything in it is published or derived by formula (``provenance`` "analytical"); nothing
    is measured. ``default`` is the chip meant when a variable is not given; ``codesign``
    holds the values that a search of network and chip goes through.
    """

    name: str
    description: str
    provenance: str
    precision: Precision
    settings: Settings
    link: ChipLink
    parts: Mapping[str, Part]
    noc: Noc
    variables: Mapping[str, NDArray[np.int64]]
    default: Mapping[str, int]
    codesign: Mapping[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        """Number of hardware configurations."""
        return math.prod(len(grid) for grid in self.variables.values())

    def options(self, values: Mapping[str, int | NDArray[np.int64]]) -> Options:
        """The variables as arrays; a missing or unknown name or an impossible value is refused.

        Values need not be in the profile's grids: those bound a search, not the model.
        Raises ``UsageError``.
        """
        for name in values:
            if name not in _VARIABLES:
                raise UsageError(f"unknown hardware variable '{name}'"
                                 f"{did_you_mean(name, _VARIABLES)}")  # fmt: skip
        missing = [name for name in _VARIABLES if name not in values]
        if missing:
            raise UsageError(f"hardware variables without a value: {', '.join(missing)}")
        arrays = {name: np.asarray(values[name], dtype=np.float64) for name in _VARIABLES}
        for name, array in arrays.items():
            if not (np.isfinite(array).all() and (array >= 1).all()):
                raise UsageError(f"hardware variable {name} must be at least 1")
        for name, low, high in (("adc_bits", 4, 10), ("node_nm", 16, NODES_NM[1])):
            array = arrays[name]
            if (array < low).any() or (array > high).any():
                raise UsageError(f"hardware variable {name} must be {low:g} to {high:g}")
        if (arrays["columns_per_adc"] > arrays["columns"]).any():
            raise UsageError("columns_per_adc must not exceed columns")
        slices = self.precision.columns_per_bit * np.ceil(
            self.precision.weight_bits / arrays["cell_bits"]
        )
        if (slices > arrays["columns"]).any():
            raise UsageError("a weight must fit into the columns of one crossbar")
        return Options(**arrays)


def load_imc(name_or_path: str = "imc") -> ImcHardware:
    """The profile ``hw_profiles/NAME.toml``, or a file of the user's.

    Raises ``UsageError`` for an unknown name and ``ProfileError`` for a file that is no
    profile of crossbar tiles.
    """
    path = data_file("hw_profiles", name_or_path)
    if path is None:
        known = known_names("hw_profiles")
        raise UsageError(f"unknown target '{name_or_path}'{did_you_mean(name_or_path, known)}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: not valid TOML: {error}") from None
    try:
        return _hardware(document, path)
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


def _hardware(document: dict[str, Any], path: Path) -> ImcHardware:
    _refuse_unknown(document, _KEYS, "the profile")
    if document.get("schema") != _SCHEMA:
        raise ProfileError(f'expected schema = "{_SCHEMA}", got {document.get("schema")!r}')
    noc = dict(_section(document, "noc"))
    noc["isaac"] = _record(FixedRouter, noc.get("isaac", {}), "[noc.isaac]")
    parts = _section(document, "parts")
    _refuse_unknown(parts, PARTS, "[parts]")
    missing = [name for name in PARTS if name not in parts]
    if missing:
        raise ProfileError(f"[parts] lacks {', '.join(missing)}")
    grids = _grids(_section(document, "variables"))
    hardware = ImcHardware(
        name=str(document.get("name", path.stem)),
        description=str(document.get("description", "")),
        provenance=str(document.get("provenance", "analytical")),
        precision=_record(Precision, _section(document, "precision"), "[precision]"),
        settings=_record(Settings, _section(document, "settings"), "[settings]"),
        link=_record(ChipLink, _section(document, "chip_link"), "[chip_link]"),
        parts={name: _record(Part, parts[name], f"[parts.{name}]") for name in PARTS},
        noc=_record(Noc, noc, "[noc]"),
        variables=grids,
        default=default_chip(
            document.get("default", {}), {n: g.tolist() for n, g in grids.items()}, {}
        ),
        codesign=_codesign(document.get("codesign", {}), grids),
    )
    _check(hardware)
    return hardware


def _check(hardware: ImcHardware) -> None:
    settings, precision = hardware.settings, hardware.precision
    for model in (settings.adc_model, *settings.adc_models):
        if model not in ADC_MODELS:
            raise ProfileError(f"unknown ADC model '{model}'{did_you_mean(model, ADC_MODELS)}")
    for word, known, key in (
        (settings.router_model, _ROUTERS, "router_model"),
        (settings.idle_tiles, _IDLE, "idle_tiles"),
    ):
        if word not in known:
            raise ProfileError(f"unknown {key} '{word}'{did_you_mean(word, known)}")
    if settings.adc_model not in settings.adc_models:
        raise ProfileError("adc_models must contain adc_model, or the interval excludes the value")
    if precision.columns_per_bit not in (1, 2):
        raise ProfileError("columns_per_bit must be 1 or 2")
    if not 0 < hardware.noc.capacity <= 1:
        raise ProfileError("[noc] capacity must be above 0 and at most 1")
    for name, part in hardware.parts.items():
        if part.per not in _PER:
            raise ProfileError(f"[parts.{name}] per '{part.per}'{did_you_mean(part.per, _PER)}")


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    if not isinstance(section, dict):
        raise ProfileError(f"section [{name}] is missing")
    return section


def _refuse_unknown(given: Mapping[str, Any], known: Any, where: str) -> None:
    for key in given:
        if key not in known:
            raise ProfileError(f"unknown key '{key}' in {where}{did_you_mean(key, known)}")


_Record = TypeVar("_Record", Precision, Settings, Part, FixedRouter, Noc, ChipLink)


def _record(kind: type[_Record], given: Any, where: str) -> _Record:
    """A dataclass from a TOML table: every field of its type, no other key."""
    if not isinstance(given, dict):
        raise ProfileError(f"{where} must be a table")
    known = {field.name: field for field in fields(kind)}
    _refuse_unknown(given, known, where)
    required = [n for n in known if n not in ("energy_pj", "scales")]
    missing = [name for name in required if name not in given]
    if missing:
        raise ProfileError(f"{where} lacks {', '.join(missing)}")
    return kind(**{n: _value(v, str(known[n].type), f"{where} {n}") for n, v in given.items()})


def _value(value: Any, kind: str, where: str) -> Any:
    if kind == "str" and isinstance(value, str) and value:
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "int" and type(value) is int and value >= 1:
        return value
    if kind == "float" and number and math.isfinite(value) and value >= 0:
        if value == 0 and where.endswith((" count", "_ns", "_nm")):
            raise ProfileError(f"{where} must be above zero")
        return float(value)
    if kind.startswith("tuple") and isinstance(value, list) and value:
        return tuple(_value(word, "str", where) for word in value)
    if kind == "FixedRouter" and isinstance(value, FixedRouter):
        return value
    raise ProfileError(f"{where} must be a valid {kind.split('[')[0]}, got {value!r}")


def _codesign(given: Any, grids: Mapping[str, NDArray[np.int64]]) -> dict[str, tuple[int, ...]]:
    """Values of ``[codesign]``, each among those of the variable; without it, all of them."""
    if not isinstance(given, dict):
        raise ProfileError("[codesign] must be a table")
    _refuse_unknown(given, _VARIABLES, "[codesign]")
    for name, values in given.items():
        known = grids[name].tolist()
        if not isinstance(values, list) or not values or not set(values) <= set(known):
            raise ProfileError(f"[codesign] {name} must be a list of values out of {known}")
    chosen = given or {name: grid.tolist() for name, grid in grids.items()}
    return {name: tuple(sorted(values)) for name, values in chosen.items()}


def _grids(given: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    _refuse_unknown(given, _VARIABLES, "[variables]")
    missing = [name for name in _VARIABLES if name not in given]
    if missing:
        raise ProfileError(f"[variables] lacks {', '.join(missing)}")
    for name, grid in given.items():
        integers = isinstance(grid, list) and grid and all(type(v) is int for v in grid)
        if not integers or any(a >= b for a, b in zip(grid, grid[1:], strict=False)):
            raise ProfileError(f"[variables] {name} must be a list of integers in rising order")
        if grid[0] < 1:
            raise ProfileError(f"[variables] {name} must be at least 1")
    return {name: np.array(given[name], dtype=np.int64) for name in _VARIABLES}
