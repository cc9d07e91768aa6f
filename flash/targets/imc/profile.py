"""Chips of crossbar tiles as data: parts, settings and variables from ``hw_profiles/``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean, shown
from flash.files.section import Section
from flash.targets.chips import read_codesign, read_default, read_grids
from flash.targets.components import NODES_NM
from flash.targets.imc.converters import ADC_MODELS
from flash.targets.profile_files import check_schema, find_profile, load_document, read_document

__all__ = [
    "PARTS", "ChipLink", "FixedRouter", "ImcHardware", "Noc", "Options", "Part", "Precision",
    "Settings", "load_imc", "read_imc",
]  # fmt: skip

Floats = NDArray[np.float64]
SCHEMA: Final = "flash.imc/1"
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
#: Smallest and largest value of any hardware variable in a profile; ``options`` says more.
_BOUNDS: Final = (1, 10**9)


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
    variables: Mapping[str, tuple[int, ...]]
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
    path, _ = find_profile(name_or_path)
    return read_document(load_document(path), path, read_imc)


def read_imc(top: Section) -> ImcHardware:
    """The profile that a document holds; raises ``ProfileError`` naming what is wrong."""
    check_schema(top, SCHEMA)
    top.only(_KEYS)
    grids = read_grids(top.section("variables"), dict.fromkeys(_VARIABLES, _BOUNDS))
    return ImcHardware(
        name=top.text("name") if top.has("name") else "imc",
        description=top.text("description") if top.has("description") else "",
        provenance=top.text("provenance") if top.has("provenance") else "analytical",
        precision=_precision(top.section("precision")),
        settings=_settings(top.section("settings")),
        link=_link(top.section("chip_link")),
        parts=_parts(top.section("parts")),
        noc=_noc(top.section("noc")),
        variables=grids,
        default=read_default(top, grids),
        codesign=read_codesign(top, grids),
    )


def _precision(s: Section) -> Precision:
    s.only(Precision.__dataclass_fields__)
    return Precision(
        s.integer("weight_bits"), s.integer("activation_bits"), s.integer("dac_bits"),
        s.integer("columns_per_bit", most=2),
    )  # fmt: skip


def _settings(s: Section) -> Settings:
    s.only(Settings.__dataclass_fields__)
    models = s.texts("adc_models")
    for model in models:
        if model not in ADC_MODELS:
            s.refuse("adc_models", f"has '{model}'{did_you_mean(model, ADC_MODELS)}")
    link = s.anything("chip_link")
    if not isinstance(link, bool):
        s.refuse("chip_link", f"must be true or false, got {shown(link)}")
    settings = Settings(
        adc_model=s.choice("adc_model", tuple(ADC_MODELS)), adc_models=models,
        router_model=s.choice("router_model", _ROUTERS), idle_tiles=s.choice("idle_tiles", _IDLE),
        array_read_ns=_positive(s, "array_read_ns"),
        cycle_ns=_positive(s, "cycle_ns"),
        reference_nm=s.number("reference_nm", *NODES_NM),
        leakage_mw_per_mm2=s.number("leakage_mw_per_mm2"), chip_link=link,
    )  # fmt: skip
    if settings.adc_model not in models:
        s.refuse("adc_models", "must contain adc_model, or the interval excludes the value")
    return settings


def _link(s: Section) -> ChipLink:
    s.only(ChipLink.__dataclass_fields__)
    return ChipLink(s.number("area_mm2"), s.number("power_mw"), s.text("source"))


def _parts(s: Section) -> dict[str, Part]:
    s.only(PARTS)
    return {name: _part(s.section(name)) for name in PARTS}


def _part(s: Section) -> Part:
    s.only(Part.__dataclass_fields__)
    scales = s.anything("scales") if s.has("scales") else True
    if not isinstance(scales, bool):
        s.refuse("scales", f"must be true or false, got {shown(scales)}")
    return Part(
        per=s.choice("per", _PER), count=_positive(s, "count"),
        power_mw=s.number("power_mw"), area_mm2=s.number("area_mm2"), source=s.text("source"),
        energy_pj=s.number("energy_pj") if s.has("energy_pj") else -1.0, scales=scales,
    )  # fmt: skip


def _noc(s: Section) -> Noc:
    s.only(Noc.__dataclass_fields__)
    numbers = [n for n in Noc.__dataclass_fields__ if n not in ("capacity", "source", "isaac")]
    router = s.section("isaac")
    router.only(FixedRouter.__dataclass_fields__)
    return Noc(
        **{name: s.number(name) for name in numbers},
        capacity=_positive(s, "capacity", 1.0),
        source=s.text("source"),
        isaac=FixedRouter(
            router.number("area_mm2"), router.number("power_mw"), router.number("pj_per_bit"),
            router.text("source"),
        ),
    )  # fmt: skip


def _positive(s: Section, key: str, most: float = math.inf) -> float:
    """A number above zero: something is divided by it."""
    value = s.number(key, most=most)
    if value == 0:
        s.refuse(key, "must be above zero")
    return value
