"""Profiles of systolic accelerators: technology, memory, area factors, hardware variables.

The file is TOML (``hw_profiles/systolic.toml`` is the model). Each constant is written with
its source, ``name = { value = ..., source = "..." }``, and a constant without one is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from flash.errors import ProfileError, did_you_mean, shown
from flash.files.section import Section
from flash.targets.chips import read_default, read_grids
from flash.targets.components import COMPONENTS, NODES_NM, models_of
from flash.targets.profile_files import check_schema, find_profile, load_document, read_document
from flash.targets.systolic.gemm import DATAFLOWS
from flash.targets.systolic.row_stationary import RowStationary

__all__ = [
    "ROW_STATIONARY_VARIABLES",
    "SCHEMA",
    "VARIABLES",
    "WORDS",
    "SystolicHardware",
    "load_systolic",
    "read_systolic",
]

SCHEMA: Final = "flash.systolic/1"

#: Hardware variables with the smallest and largest value each may take.
VARIABLES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "rows": (1, 1024),
        "cols": (1, 1024),
        "buffer_kib": (4, 65536),
        "dataflow": (0, len(DATAFLOWS) - 1),
        "bits": (4, 32),
        "frequency_mhz": (10, 3000),
    }
)


#: Variables of row-stationary arrays, with the value of profiles and searches that say nothing.
ROW_STATIONARY_VARIABLES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"batch": (1, 256), "zeros_percent": (0, 99)}
)
_UNSAID: Final = MappingProxyType({"batch": 1, "zeros_percent": 0})


#: Variables whose values have names.
WORDS: Final = MappingProxyType({"dataflow": DATAFLOWS})


@dataclass(frozen=True, slots=True)
class SystolicHardware:
    """A systolic accelerator; see ``hw_profiles/systolic.toml`` for the source of each figure.

    variables:          values of each hardware variable a search may choose, rising.
    default:            the chip meant when a variable is not given.
    sources:            constant -> where it comes from.
    mac_model:          a "mac" of the component library.
    *_share:            parts of the buffer for inputs, weights, and outputs with partial sums.
    bank_kib:           largest piece of a buffer that one access switches on.
    keeps_activations:  tensors that fit half of the input buffer stay on the chip.
    keeps_weights:      weights stay on the chip from one image to the next.
    pe_factor:          area of a processing element over its MAC and registers.
    edge_um2:           feeding and draining one row or column, the vector lane included.
    sram_factor:        area of a buffer over that of its bare macro.
    control_mm2:        what is there once.
    pe_scratchpad_bytes: memory in each processing element, read once a MAC.
    latency_low, latency_high: between which factors of this model's the latency of a chip not
                        seen lies.
    latency_low_grouped, latency_high_grouped: the same of networks with convolutions in groups
                        (depthwise ones), which this model computes group by group; None where they
                        are no others.
    area_low, area_high, energy_low, energy_high: the same of area and energy; of energy None where
                        only models of a MAC are compared.
    row_stationary:     the array's elements and ports where the dataflow is "rs"; else None. Such
                        profiles have two variables more: ``batch``, images that share weights,
                        and ``zeros_percent``, of the activations.
    """

    name: str
    description: str
    provenance: str
    variables: Mapping[str, tuple[int, ...]]
    default: Mapping[str, int]
    sources: Mapping[str, str]
    node_nm: float
    mac_model: str
    leakage_mw_per_mm2: float
    vector_op_pj_45nm: float
    dram: str
    dram_gb_s: float
    input_share: float
    weight_share: float
    sum_share: float
    bank_kib: float
    keeps_activations: bool
    keeps_weights: bool
    pe_factor: float
    edge_um2: float
    sram_factor: float
    control_mm2: float
    pe_scratchpad_bytes: float
    latency_low: float
    latency_high: float
    area_low: float
    area_high: float
    latency_low_grouped: float | None = None
    latency_high_grouped: float | None = None
    energy_low: float | None = None
    energy_high: float | None = None
    row_stationary: RowStationary | None = None

    @property
    def provenance_line(self) -> str:
        """Origin of the figures in one line."""
        cycles = (
            "cycles as SCALE-Sim 3.0.0"
            if self.row_stationary is None
            else "row stationary in passes (Chen et al., JSSC 2017)"
        )
        return (
            f"{self.name}: analytical systolic model at {self.node_nm:g} nm, no measurement; "
            f"{cycles}, energy {self.mac_model} and CACTI 7 based, {self.dram}"
        )

    @property
    def options(self) -> int:
        """Number of hardware choices."""
        return math.prod(len(values) for values in self.variables.values())


def load_systolic(name_or_path: str) -> SystolicHardware:
    """The profile in ``hw_profiles/NAME.toml``, or in a file of the user's.

    Raises ``UsageError`` for an unknown name and ``ProfileError`` for a file that is no
    systolic profile.
    """
    path, _ = find_profile(name_or_path)
    return read_document(load_document(path), path, read_systolic)


_TEXTS = ("name", "description", "provenance")
_SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "technology": {
        "node_nm": NODES_NM,
        "mac_model": "mac",
        "leakage_mw_per_mm2": (0.0, 1e4),
        "vector_op_pj_45nm": (0.0, 1e4),
    },
    "memory": {
        "dram": "dram",
        "dram_gb_s": (1e-3, 1e5),
        "input_share": (0.01, 0.98),
        "weight_share": (0.01, 0.98),
        "sum_share": (0.01, 0.98),
        "bank_kib": (1.0, 4096.0),
        "keeps_activations": bool,
        "keeps_weights": bool,
    },
    "area": {  # all at the profile's own node
        "pe_factor": (1.0, 100.0),
        "edge_um2": (0.0, 1e7),
        "sram_factor": (1.0, 100.0),
        "control_mm2": (0.0, 1e3),
        "pe_scratchpad_bytes": (0.0, 65536.0),
    },
    "errors": {
        "latency_low": (0.01, 1.0),
        "latency_high": (1.0, 100.0),
    },
}


#: Figures that a profile may leave out.
_OPTIONAL: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "errors": {
        "latency_low_grouped": (0.01, 1.0),
        "latency_high_grouped": (1.0, 100.0),
        "area_low": (0.01, 1.0),
        "area_high": (1.0, 100.0),
        "area_error": (0.0, 0.99),  # older: 1 / (1 + error) to 1 / (1 - error)
        "energy_low": (0.01, 1.0),
        "energy_high": (1.0, 100.0),
    }
}
#: Smallest and largest of each figure of a row-stationary array.
_ROW_STATIONARY: Mapping[str, tuple[float, float]] = {
    "buffer_bytes": (256.0, 1e9),
    "filter_words": (1.0, 65536.0),
    "input_words": (1.0, 65536.0),
    "sum_words": (1.0, 65536.0),
    "filter_port_words": (0.125, 1024.0),
    "input_port_words": (0.125, 1024.0),
    "sum_port_words": (0.125, 1024.0),
    "clocked_bits": (0.0, 1e6),
}


def read_systolic(top: Section) -> SystolicHardware:
    """The profile that a document holds; raises ``ProfileError`` naming what is wrong."""
    check_schema(top, SCHEMA)
    top.only(("schema", *_TEXTS, "variables", "default", *_SECTIONS, "row_stationary"))
    constants: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, expected in _SECTIONS.items():
        section = top.section(name)
        optional = _OPTIONAL.get(name, {})
        section.only((*expected, *optional))
        given = {key: allowed for key, allowed in optional.items() if section.has(key)}
        for key, allowed in (*expected.items(), *given.items()):
            constants[key], sources[key] = _constant(section, key, allowed)
    shares = constants["input_share"] + constants["weight_share"] + constants["sum_share"]
    if abs(shares - 1) > 1e-9:
        raise ProfileError(
            f"memory.input_share, weight_share and sum_share must add up to 1, got {shares:g}"
        )
    _area_ends(top.section("errors"), constants, sources)
    stationary = _row_stationary(top, sources)
    grids = read_grids(top.section("variables"), VARIABLES, WORDS)
    if stationary is not None:
        grids |= {name: (value,) for name, value in _UNSAID.items()}
    _check_dataflows(top, grids["dataflow"], stationary)
    default = read_default(top, grids, WORDS)
    return SystolicHardware(
        **{name: top.text(name) for name in _TEXTS},  # type: ignore[arg-type]  # the texts
        variables=MappingProxyType(grids),
        default=MappingProxyType(default),
        sources=MappingProxyType(sources),
        row_stationary=stationary,
        **constants,
    )


def _area_ends(errors: Section, constants: dict[str, Any], sources: dict[str, str]) -> None:
    """Both ends of the area's interval, or the one error of older profiles."""
    error = constants.pop("area_error", None)
    if error is not None and "area_low" not in constants and "area_high" not in constants:
        constants |= {"area_low": 1 / (1 + error), "area_high": 1 / (1 - error)}
        sources |= dict.fromkeys(("area_low", "area_high"), sources.pop("area_error"))
    elif error is not None:
        errors.refuse("area_error", "stands for area_low and area_high, which are there too")
    for key in ("area_low", "area_high"):
        if key not in constants:
            errors.refuse(key, "is missing")
    if ("energy_low" in constants) != ("energy_high" in constants):
        errors.refuse("energy_low", "and energy_high go together")


def _row_stationary(top: Section, sources: dict[str, str]) -> RowStationary | None:
    if not top.has("row_stationary"):
        return None
    section = top.section("row_stationary")
    section.only(_ROW_STATIONARY)
    found: dict[str, float] = {}
    for key, allowed in _ROW_STATIONARY.items():
        found[key], sources[key] = _constant(section, key, allowed)
    return RowStationary(**found)


def _check_dataflows(
    top: Section, dataflows: tuple[int, ...], stationary: RowStationary | None
) -> None:
    """Row stationary is an array of its own kind: alone, and with its figures."""
    rows = DATAFLOWS.index("rs")
    if rows in dataflows and (len(dataflows) > 1 or stationary is None):
        top.section("variables").refuse(
            "dataflow", 'has "rs", which stands alone and needs a [row_stationary] table'
        )


def _constant(section: Section, key: str, allowed: Any) -> tuple[Any, str]:
    """Value and source of a constant; ``allowed`` is ``bool``, a part of the
    component library whose model is named, or a range."""
    if not section.is_table(key):
        section.refuse(key, 'must be { value = ..., source = "..." }')
    entry = section.section(key)
    entry.only(("value", "source"))
    source = entry.text("source")
    if allowed is bool:
        value = entry.anything("value")
        if not isinstance(value, bool):
            entry.refuse("value", f"must be true or false, got {shown(value)}")
        return value, source
    if isinstance(allowed, str):
        model = entry.text("value")
        if f"{allowed}.{model}" not in COMPONENTS:
            entry.refuse("value", f"is '{model}'{did_you_mean(model, models_of(allowed))}")
        return model, source
    return entry.number("value", *allowed), source
