"""Profiles of systolic accelerators: technology, memory, area factors, hardware variables.

The file is TOML (``hw_profiles/systolic.toml`` is the model). Each constant is written with
its source, ``name = { value = ..., source = "..." }``, and a constant without one is refused.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from flash.errors import ProfileError, UsageError, did_you_mean
from flash.files.locations import data_file, known_names
from flash.targets.components import DRAM_PJ_PER_BIT, MAC_MODELS, NODES_NM
from flash.targets.default_chip import default_chip
from flash.targets.systolic.gemm import DATAFLOWS

__all__ = ["SCHEMA", "VARIABLES", "SystolicHardware", "load_systolic", "parse_systolic"]

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


@dataclass(frozen=True, slots=True)
class SystolicHardware:
    """A systolic accelerator; see ``hw_profiles/systolic.toml`` for the source of each figure.

    variables:          values of each hardware variable a search may choose, rising.
    default:            the chip meant when a variable is not given.
    sources:            constant -> where it comes from.
    mac_model:          one of ``memories.MAC_MODELS``.
    *_share:            parts of the buffer for inputs, weights, and outputs with partial sums.
    bank_kib:           largest piece of a buffer that one access switches on.
    keeps_activations:  tensors that fit half of the input buffer stay on the chip.
    keeps_weights:      weights stay on the chip from one image to the next.
    pe_factor:          area of a processing element over its MAC and registers.
    edge_um2:           feeding and draining one row or column, the vector lane included.
    sram_factor:        area of a buffer over that of its bare macro.
    control_mm2:        what is there once.
    pe_scratchpad_bytes: memory in each processing element, read once a MAC.
    latency_low, latency_high: least and most of others' latencies over this model's.
    area_error:         largest error of the area on a chip that was left out, as a share.
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
    area_error: float

    @property
    def provenance_line(self) -> str:
        """Origin of the figures in one line."""
        return (
            f"{self.name}: analytical systolic model at {self.node_nm:g} nm, no measurement; "
            f"cycles as SCALE-Sim 3.0.0, energy {self.mac_model} and CACTI 7 based, {self.dram}"
        )

    @property
    def codesign(self) -> Mapping[str, tuple[int, ...]]:
        """Values that a search of network and chip goes through: all."""
        return self.variables

    @property
    def options(self) -> int:
        """Number of hardware choices."""
        return math.prod(len(values) for values in self.variables.values())


def load_systolic(name_or_path: str) -> SystolicHardware:
    """The profile in ``hw_profiles/NAME.toml``, or in a file of the user's.

    Raises ``UsageError`` for an unknown name and ``ProfileError`` for a file that is no
    systolic profile.
    """
    path = data_file("hw_profiles", name_or_path)
    if path is None:
        known = known_names("hw_profiles")
        raise UsageError(f"unknown target '{name_or_path}'{did_you_mean(name_or_path, known)}")
    return parse_systolic(path)


def parse_systolic(path: Path) -> SystolicHardware:
    """The profile in a file; raises ``ProfileError`` with the file and the place."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: not valid TOML: {error}") from None
    try:
        return _hardware(document)
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


_TEXTS = ("name", "description", "provenance")
_SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "technology": {
        "node_nm": NODES_NM,
        "mac_model": MAC_MODELS,
        "leakage_mw_per_mm2": (0.0, 1e4),
        "vector_op_pj_45nm": (0.0, 1e4),
    },
    "memory": {
        "dram": tuple(DRAM_PJ_PER_BIT),
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
        "area_error": (0.0, 0.99),
    },
}


def _hardware(document: Mapping[str, Any]) -> SystolicHardware:
    known = ("schema", *_TEXTS, "variables", "default", *_SECTIONS)
    _only(document, known, "")
    if document.get("schema") != SCHEMA:
        raise ProfileError(f'expected schema = "{SCHEMA}", got {document.get("schema")!r}')
    constants: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for section, expected in _SECTIONS.items():
        table = _table(document, section)
        _only(table, expected, f"{section}.")
        for name, allowed in expected.items():
            constants[name], sources[name] = _constant(table, section, name, allowed)
    shares = constants["input_share"] + constants["weight_share"] + constants["sum_share"]
    if abs(shares - 1) > 1e-9:
        raise ProfileError(
            f"memory.input_share, weight_share and sum_share must add up to 1, got {shares:g}"
        )
    texts: dict[str, Any] = {name: _text(document, name) for name in _TEXTS}
    variables = _table(document, "variables")
    _only(variables, VARIABLES, "variables.")
    grids = {name: _grid(variables, name) for name in VARIABLES}
    default = default_chip(document.get("default", {}), grids, {"dataflow": DATAFLOWS})
    return SystolicHardware(
        **texts,
        variables=MappingProxyType(grids),
        default=MappingProxyType(default),
        sources=MappingProxyType(sources),
        **constants,
    )


def _only(table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any], place: str) -> None:
    for key in table:
        if key not in known:
            raise ProfileError(f"unknown key '{place}{key}'{did_you_mean(key, known)}")


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = document.get(key)
    if not isinstance(table, dict):
        raise ProfileError(f"the table [{key}] is missing")
    return table


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise ProfileError(f"{key} must be one line of text, got {value!r}")
    return value


def _constant(table: Mapping[str, Any], section: str, name: str, allowed: Any) -> tuple[Any, str]:
    """Value and source of a constant; ``allowed`` is ``bool``, names, or a range."""
    place = f"{section}.{name}"
    entry = table.get(name)
    if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
        raise ProfileError(f'{place} must be {{ value = ..., source = "..." }}, got {entry!r}')
    value, source = entry["value"], _text(entry, "source")
    if allowed is bool:
        if not isinstance(value, bool):
            raise ProfileError(f"{place} must be true or false, got {value!r}")
        return value, source
    if isinstance(allowed[0], str):
        if value not in allowed:
            raise ProfileError(f"{place} is {value!r}{did_you_mean(str(value), allowed)}")
        return value, source
    low, high = allowed
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ProfileError(f"{place} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value), source


def _grid(table: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """The values of a hardware variable, rising; dataflows are given by name."""
    given = table.get(name)
    if not isinstance(given, list) or not given:
        raise ProfileError(f"variables.{name} must be a list of values, got {given!r}")
    if name == "dataflow":
        for word in given:
            if word not in DATAFLOWS:
                raise ProfileError(
                    f"variables.dataflow has {word!r}{did_you_mean(str(word), DATAFLOWS)}"
                )
        given = [DATAFLOWS.index(word) for word in given]
    low, high = VARIABLES[name]
    for value in given:
        if type(value) is not int or not low <= value <= high:
            raise ProfileError(
                f"variables.{name} must hold whole numbers from {low} to {high}, got {value!r}"
            )
    if any(a >= b for a, b in zip(given, given[1:], strict=False)):
        raise ProfileError(f"variables.{name} must be in rising order without repeats")
    return tuple(given)
