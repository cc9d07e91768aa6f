"""A kind of target: lanes that each take so many nanoseconds for a multiply-accumulate.

All figures are made up; a kind of your own cites its sources in ``provenance``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.backends.tvm.machine import Machine
from flash.errors import UsageError
from flash.files.section import Section
from flash.spaces.network import Network
from flash.spaces.stage_tables import Combine, Floats
from flash.spaces.table import LayerTable, network_table
from flash.targets import Breakdown, ChipGrid, Costs, Given, LayerCost, TargetKind
from flash.targets.chips import chip_of, open_grid, read_default, read_grids, values_of
from flash.targets.profile_files import check_schema

__all__ = ["KIND"]

#: Latencies are right within this factor; made up.
_ERROR = 1.5


@dataclass(frozen=True)
class Lanes:
    """A profile. ns_per_mac: operation -> time of a multiply-accumulate on one lane."""

    name: str
    ns_per_mac: Mapping[str, float]
    pj_per_mac: float
    mm2_per_lane: float
    variables: Mapping[str, tuple[int, ...]]
    default: Mapping[str, int]

    def select(self, runtime: str) -> Lanes:
        """There are none to select."""
        raise UsageError(f"target {self.name} has no runtimes; leave --runtime out")

    def target(self, given: Given | None = None) -> LanesTarget:
        """One chip."""
        return LanesTarget(self, chip_of(given, dict(self.default), tuple(self.variables)))

    def family(self, given: Given | None = None) -> LanesFamily | None:
        """All chips that ``given`` leaves open."""
        fixed = values_of(given, tuple(self.variables))
        example = self.target(fixed)
        grid = open_grid(dict(self.variables), dict(example.chip), fixed)
        return None if grid is None else LanesFamily(self, grid, example)

    def machine(self) -> Machine:
        """Nothing compiles for it."""
        raise UsageError(f"target {self.name} is no processor that TVM compiles for")

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """The hardware variables and their values."""
        return {name: tuple(map(str, values)) for name, values in self.variables.items()}

    def lane_ms(self, table: LayerTable) -> Floats:
        """Time of every layer on one lane, shape (layers, designs)."""
        rates = np.array([self.ns_per_mac.get(op, 0.0) for op in table.ops], dtype=np.float64)
        return np.asarray(table.macs * rates[:, None] * 1e-6, dtype=np.float64)

    def energy_mj(self, table: LayerTable) -> Floats:
        """Energy of every layer, shape (layers, designs)."""
        return np.asarray(table.macs * (self.pj_per_mac * 1e-9), dtype=np.float64)


@dataclass(frozen=True)
class LanesTarget:
    """One chip."""

    hardware: Lanes
    chip: Mapping[str, int]

    weight_bytes: float = 1.0
    activation_bytes: float = 1.0
    weight_limit_kb: float = float("inf")
    latency_how: str = "within a factor 1.5, made up"
    energy_how: str = "multiply-accumulates, made up"
    area_how: str = "lanes, made up"
    exact: bool = True
    notes: tuple[str, ...] = ("an example: every figure of this accelerator is made up",)

    @property
    def name(self) -> str:
        """The profile's."""
        return self.hardware.name

    @property
    def quantities(self) -> Mapping[str, Combine]:
        """Times and energies add up; the area is the chip's."""
        return {"latency_ms": "sum", "energy_mj": "sum", "area_mm2": "max"}

    def summary(self) -> dict[str, Any]:
        """For reports."""
        lines = ["made up, an example", f"chip: lanes={self.chip['lanes']}"]
        return {
            "name": self.name, "description": "lanes", "kind": "lanes",
            "hardware": dict(self.chip), "provenance": lines,
        }  # fmt: skip

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """See ``flash.targets.Target``."""
        area = self.chip["lanes"] * self.hardware.mm2_per_lane
        return {
            "latency_ms": self.hardware.lane_ms(table).sum(axis=0) / self.chip["lanes"],
            "energy_mj": self.hardware.energy_mj(table).sum(axis=0),
            "area_mm2": np.full(table.designs, area),
        }

    def costs(self, table: LayerTable, totals: Mapping[str, Floats] | None = None) -> Costs:
        """See ``flash.targets.Target``."""
        found = {**self.stage_costs(table), **(totals or {})}
        latency, energy, area = (found[name] for name in self.quantities)
        return Costs(
            (latency, latency / _ERROR, latency * _ERROR), (energy, energy, energy),
            np.zeros(table.designs, dtype=np.bool_), (area, area, area),
        )  # fmt: skip

    def breakdown(self, network: Network) -> Breakdown:
        """See ``flash.targets.Target``."""
        table, lanes = network_table(network), self.chip["lanes"]
        times = self.hardware.lane_ms(table)[:, 0] / lanes
        energies = self.hardware.energy_mj(table)[:, 0]
        layers = tuple(
            LayerCost(layer.name, layer.op, float(ms), {"lanes": float(mj)})
            for layer, ms, mj in zip(network.layers, times, energies, strict=True)
        )
        area = {"lanes": lanes * self.hardware.mm2_per_lane}
        return Breakdown(
            layers, area, {"lanes": float(times.sum())}, {"lanes": float(energies.sum())}
        )


@dataclass(frozen=True)
class LanesFamily:
    """All chips of a profile; see ``flash.targets.ChipFamily``."""

    hardware: Lanes
    grid: ChipGrid
    example: LanesTarget
    notes: tuple[str, ...] = ("an example: every figure of this accelerator is made up",)

    @property
    def name(self) -> str:
        """The profile's."""
        return self.hardware.name

    @cached_property
    def chips(self) -> tuple[Mapping[str, int], ...]:
        """Every number of lanes."""
        return self.grid.chips()

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """All can be built."""
        return np.ones(len(self.chips), dtype=np.bool_)

    def target(self, chip: int) -> LanesTarget:
        """One chip."""
        return LanesTarget(self.hardware, self.chips[chip])

    def own_costs(self) -> Mapping[str, Floats]:
        """The area, whatever runs."""
        lanes = np.array([chip["lanes"] for chip in self.chips], dtype=np.float64)
        return {"area_mm2": lanes * self.hardware.mm2_per_lane}

    def stage_costs(self, table: LayerTable) -> Mapping[str, Floats]:
        """Shape (chips, designs)."""
        lanes = np.array([[chip["lanes"]] for chip in self.chips])
        energy = self.hardware.energy_mj(table).sum(axis=0)
        return {
            "latency_ms": self.hardware.lane_ms(table).sum(axis=0) / lanes,
            "energy_mj": np.broadcast_to(energy, (len(self.chips), table.designs)),
        }


def _read(top: Section) -> Lanes:
    check_schema(top, "example.lanes/1")
    top.only(("schema", "name", "mm2_per_lane", "pj_per_mac", "ns_per_mac", "variables", "default"))
    rates = top.section("ns_per_mac")
    variables = read_grids(top.section("variables"), {"lanes": (1, 4096)})
    return Lanes(
        top.text("name"), {op: rates.number(op) for op in rates.names()},
        top.number("pj_per_mac"), top.number("mm2_per_lane"), variables,
        read_default(top, variables),
    )  # fmt: skip


KIND = TargetKind("lanes that multiply and accumulate; an example", _read)
