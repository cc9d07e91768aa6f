"""Chips of crossbar tiles as data: parts, settings and variables from ``hw_profiles/``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean, shown
from flash.files.section import Section
from flash.targets.chips import read_codesign, read_default, read_grids
from flash.targets.components import (
    COMPONENTS,
    NODES_NM,
    ComponentModel,
    PublishedPart,
    component_model,
    models_of,
)
from flash.targets.components.routers import FittedRouter, FixedRouter
from flash.targets.profile_files import check_schema, find_profile, load_document, read_document

__all__ = [
    "PARTS",
    "ChipLink",
    "Errors",
    "ImcHardware",
    "Noc",
    "Options",
    "Part",
    "Precision",
    "Settings",
    "load_imc",
    "read_imc",
]

Floats = NDArray[np.float64]
SCHEMA: Final = "flash.imc/1"
_KEYS: Final = frozenset(
    {
        "schema",
        "name",
        "description",
        "provenance",
        "precision",
        "settings",
        "chip_link",
        "variables",
        "default",
        "codesign",
        "parts",
        "noc",
        "errors",
    }
)
#: What a part comes with: every row, column or cell of a crossbar, every row or column of a
#: tile's crossbars (same number, but working at the tile's pace), every KiB of buffer.
_PER: Final = ("row", "column", "cell", "tile_row", "tile_column", "kib")
#: The parts the model charges for; a profile gives all of them and no others.
PARTS: Final = (
    "dac",
    "input_register",
    "sample_hold",
    "shift_add",
    "output_register",
    "array",
    "bus",
    "buffer",
    "activation",
    "pooling",
    "accumulator",
    "tile_register",
)
#: Parts whose standby current is no logic leakage: cells, wires and capacitors have none.
_NOT_LEAKING: Final = ("array", "bus", "sample_hold")
#: Figures of a profile's own router, in the order of ``FittedRouter``.
_FITTED_ROUTER: Final = (
    "router_pj_per_bit",
    "router_pj_per_bit_and_width",
    "router_area_mm2_per_bit",
    "router_area_mm2_per_bit2",
)
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


_VARIABLES: Final = tuple(each.name for each in fields(Options))
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
    """A part of a tile: what it comes with (see ``_PER``), and the component each of them is.

    model: called with the node, ``cycle_ns`` and ``leakage_mw_per_mm2``; its action is "use".
    """

    per: str
    model: ComponentModel


@dataclass(frozen=True)
class Noc:
    """Coefficients of the mesh; see ``flash.targets.imc.noc``.

    routers: those whose figures the profile gives, by ``router_model``.
    """

    pipeline_cycles: float
    ejection_cycles: float
    capacity: float
    wire_pj_per_bit_mm: float
    source: str
    routers: Mapping[str, ComponentModel] = field(default_factory=dict)


@dataclass(frozen=True)
class ChipLink:
    """Links that leave the chip."""

    area_mm2: float
    power_mw: float
    source: str


@dataclass(frozen=True)
class Errors:
    """Factors by which a figure may be off either way; 1 where only converters are compared."""

    area: float = 1.0
    latency: float = 1.0
    energy: float = 1.0
    source: str = ""


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
    errors: Errors = field(default_factory=Errors)

    @property
    def parts_of(self) -> str:
        """Whose parts a tile is made of."""
        own = any("NeuroSim" in part.model.source for part in self.parts.values()
                  if isinstance(part.model, PublishedPart))  # fmt: skip
        return "NeuroSim and ISAAC" if own else "ISAAC"

    @property
    def size(self) -> int:
        """Number of hardware configurations."""
        return math.prod(len(grid) for grid in self.variables.values())

    @property
    def router(self) -> ComponentModel:
        """The router of each tile: the profile's own of that name, or the library's."""
        model = self.settings.router_model
        return self.noc.routers.get(model) or component_model("router", model)

    def options(self, values: Mapping[str, int | NDArray[np.int64]]) -> Options:
        """The variables as arrays; a missing or unknown name or an impossible value is refused.

        Values need not be in the profile's grids: those bound a search, not the model.
        Raises ``UsageError``.
        """
        for name in values:
            if name not in _VARIABLES:
                raise UsageError(
                    f"unknown hardware variable '{name}'{did_you_mean(name, _VARIABLES)}"
                )
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
    scale, mesh = top.section("settings").number("reference_nm", *NODES_NM), top.section("noc")
    noc = _noc(mesh, scale)
    settings = _settings(top.section("settings"), noc.routers)
    return ImcHardware(
        name=top.text("name") if top.has("name") else "imc",
        description=top.text("description") if top.has("description") else "",
        provenance=top.text("provenance") if top.has("provenance") else "analytical",
        precision=_precision(top.section("precision")),
        settings=settings,
        link=_link(top.section("chip_link")),
        parts=_parts(top.section("parts"), settings),
        noc=noc,
        variables=grids,
        default=read_default(top, grids),
        codesign=read_codesign(top, grids),
        errors=_errors(top),
    )


def _errors(top: Section) -> Errors:
    if not top.has("errors"):
        return Errors()
    s = top.section("errors")
    s.only(Errors.__dataclass_fields__)
    return Errors(
        s.number("area", 1.0, 100.0),
        s.number("latency", 1.0, 100.0),
        s.number("energy", 1.0, 100.0),
        s.text("source"),
    )


def _precision(s: Section) -> Precision:
    s.only(Precision.__dataclass_fields__)
    return Precision(
        s.integer("weight_bits"),
        s.integer("activation_bits"),
        s.integer("dac_bits"),
        s.integer("columns_per_bit", most=2),
    )


def _settings(s: Section, own_routers: Collection[str]) -> Settings:
    s.only(Settings.__dataclass_fields__)
    models = s.texts("adc_models")
    for model in models:
        if f"adc.{model}" not in COMPONENTS:
            s.refuse("adc_models", f"has '{model}'{did_you_mean(model, models_of('adc'))}")
    link = s.anything("chip_link")
    if not isinstance(link, bool):
        s.refuse("chip_link", f"must be true or false, got {shown(link)}")
    settings = Settings(
        adc_model=s.text("adc_model"),
        adc_models=models,
        router_model=s.text("router_model"),
        idle_tiles=s.choice("idle_tiles", _IDLE),
        array_read_ns=_positive(s, "array_read_ns"),
        cycle_ns=_positive(s, "cycle_ns"),
        reference_nm=s.number("reference_nm", *NODES_NM),
        leakage_mw_per_mm2=s.number("leakage_mw_per_mm2"),
        chip_link=link,
    )
    for key, part, known in (("adc_model", "adc", models), ("router_model", "router", own_routers)):
        model = getattr(settings, key)
        if model not in known and f"{part}.{model}" not in COMPONENTS:
            s.refuse(key, f"is '{model}'{did_you_mean(model, models_of(part))}")
    if settings.adc_model not in models:
        s.refuse("adc_models", "must contain adc_model, or the interval excludes the value")
    return settings


def _link(s: Section) -> ChipLink:
    s.only(ChipLink.__dataclass_fields__)
    return ChipLink(s.number("area_mm2"), s.number("power_mw"), s.text("source"))


def _parts(s: Section, settings: Settings) -> dict[str, Part]:
    s.only(PARTS)
    return {name: _part(s.section(name), name, settings) for name in PARTS}


def _part(s: Section, name: str, settings: Settings) -> Part:
    """A component of the library by name, or a published one with its figures."""
    per = s.choice("per", _PER)
    if s.has("component"):
        s.only(("per", "component"))
        component = s.text("component")
        if component not in COMPONENTS:
            s.refuse("component", f"is '{component}'{did_you_mean(component, COMPONENTS)}")
        return Part(per, COMPONENTS[component])
    s.only(("per", "count", "power_mw", "area_mm2", "source", "energy_pj", "scales"))
    scales = s.anything("scales") if s.has("scales") else True
    if not isinstance(scales, bool):
        s.refuse("scales", f"must be true or false, got {shown(scales)}")
    published = PublishedPart(
        name,
        _positive(s, "count"),
        s.number("power_mw"),
        s.number("area_mm2"),
        s.text("source"),
        settings.reference_nm,
        settings.cycle_ns,
        s.number("energy_pj") if s.has("energy_pj") else -1.0,
        scales,
        name not in _NOT_LEAKING,
    )
    return Part(per, published)


def _noc(s: Section, reference_nm: float) -> Noc:
    """The mesh; profiles may give their own figures of the routers "booksim" and "isaac"."""
    own = ("pipeline_cycles", "ejection_cycles", "capacity", "wire_pj_per_bit_mm", "source")
    s.only((*own, *_FITTED_ROUTER, "isaac"))
    source = s.text("source")
    routers: dict[str, ComponentModel] = {}
    if any(map(s.has, _FITTED_ROUTER)):
        energy, by_width, area, by_square = (s.number(name) for name in _FITTED_ROUTER)
        routers["booksim"] = FittedRouter(reference_nm, energy, by_width, area, by_square, source)
    if s.has("isaac"):
        r = s.section("isaac")
        r.only(("area_mm2", "power_mw", "pj_per_bit", "source"))
        routers["isaac"] = FixedRouter(
            reference_nm,
            r.number("area_mm2"),
            r.number("power_mw"),
            r.number("pj_per_bit"),
            r.text("source"),
        )
    return Noc(
        s.number("pipeline_cycles"),
        s.number("ejection_cycles"),
        _positive(s, "capacity", 1.0),
        s.number("wire_pj_per_bit_mm"),
        source,
        routers,
    )


def _positive(s: Section, key: str, most: float = math.inf) -> float:
    """A number above zero: something is divided by it."""
    value = s.number(key, most=most)
    if value == 0:
        s.refuse(key, "must be above zero")
    return value
