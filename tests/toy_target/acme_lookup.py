"""A kind of target from another package: an accelerator priced by a table of its operations.

Everything that flash must know of it is here, found through the entry point ``acme.lookup``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flash.errors import UsageError
from flash.spaces.table import network_table
from flash.targets import Block, Breakdown, ChipGrid, Costs, Drawing, LayerCost, TargetKind
from flash.targets.chips import chip_of, open_grid, read_default, read_grids, values_of
from flash.targets.profile_files import check_schema

_LATENCY_ERROR = 1.5


@dataclass(frozen=True)
class LookupHardware:
    """ns_per_mac: operation -> time of one multiply-accumulate on one lane."""

    name: str
    ns_per_mac: dict[str, float]
    mm2_per_lane: float
    variables: dict[str, tuple[int, ...]]
    default: dict[str, int]

    def select(self, runtime):
        raise UsageError(f"target {self.name} has no runtimes; leave --runtime out")

    def target(self, given=None):
        return LookupTarget(self, chip_of(given, self.default, tuple(self.variables)))

    def family(self, given=None):
        fixed = values_of(given, tuple(self.variables))
        example = self.target(fixed)
        grid = open_grid(self.variables, example.chip, fixed)
        return None if grid is None else LookupFamily(self, grid, example)

    def machine(self):
        raise UsageError(f"target {self.name} is no processor that TVM compiles for")

    def options(self):
        return {name: tuple(map(str, values)) for name, values in self.variables.items()}

    def lane_ns(self, table):
        """Time on one lane, shape (layers, designs)."""
        rates = np.array([self.ns_per_mac.get(op, 0.0) for op in table.ops])
        return table.macs * rates[:, None]


@dataclass(frozen=True)
class LookupTarget:
    hardware: LookupHardware
    chip: dict[str, int]

    weight_bytes = activation_bytes = 1
    weight_limit_kb = float("inf")
    latency_how = "a table of operations, within a factor 1.5"
    energy_how = ""
    area_how = "lanes"
    exact = True
    notes = ("an accelerator of the test suite",)
    quantities = {"latency_ms": "sum", "energy_mj": "sum", "area_mm2": "max"}

    @property
    def name(self):
        return self.hardware.name

    @property
    def area_mm2(self):
        return self.chip["lanes"] * self.hardware.mm2_per_lane

    def summary(self):
        lines = [f"{self.name}: a table of operations", f"chip: lanes={self.chip['lanes']}"]
        return {
            "name": self.name, "description": "", "kind": "lookup", "hardware": dict(self.chip),
            "provenance": lines,
        }  # fmt: skip

    def costs(self, table, totals=None):
        found = self.stage_costs(table) | dict(totals or {})
        latency, energy, area = (found[name] for name in self.quantities)
        return Costs(
            (latency, latency / _LATENCY_ERROR, latency * _LATENCY_ERROR),
            (energy, energy, energy), np.zeros(table.designs, dtype=bool), (area, area, area),
        )  # fmt: skip

    def stage_costs(self, table):
        latency = self.hardware.lane_ns(table).sum(axis=0) * 1e-6 / self.chip["lanes"]
        area = np.full(table.designs, self.area_mm2)
        return {"latency_ms": latency, "energy_mj": latency, "area_mm2": area}

    def breakdown(self, network):
        table = network_table(network)
        times = self.hardware.lane_ns(table)[:, 0] * 1e-6 / self.chip["lanes"]
        layers = tuple(
            LayerCost(layer.name, layer.op, float(ms), {"lanes": float(ms)})
            for layer, ms in zip(network.layers, times, strict=True)
        )
        total = float(times.sum())
        drawing = Drawing((Block(0, 0, 1, 1, 0, 1.0, "all lanes"),), 1, "one block of lanes")
        area = {"lanes": self.area_mm2}
        return Breakdown(layers, area, {"lanes": total}, {"lanes": total}, drawing)


@dataclass(frozen=True)
class LookupFamily:
    hardware: LookupHardware
    grid: ChipGrid
    example: LookupTarget

    notes = ("an accelerator of the test suite",)

    @property
    def name(self):
        return self.hardware.name

    @cached_property
    def chips(self):
        return self.grid.chips()

    @cached_property
    def possible(self):
        return np.ones(len(self.chips), dtype=bool)

    def target(self, chip):
        return LookupTarget(self.hardware, self.chips[chip])

    def own_costs(self):
        return {"area_mm2": np.array([self.target(k).area_mm2 for k in range(len(self.chips))])}

    def stage_costs(self, table):
        lanes = np.array([[chip["lanes"]] for chip in self.chips])
        latency = self.hardware.lane_ns(table).sum(axis=0) * 1e-6 / lanes
        return {"latency_ms": latency, "energy_mj": latency}


def _read(top):
    check_schema(top, "acme.lookup/1")
    top.only(("schema", "name", "mm2_per_lane", "ns_per_mac", "variables", "default"))
    rates = top.section("ns_per_mac")
    variables = read_grids(top.section("variables"), {"lanes": (1, 4096)})
    return LookupHardware(
        top.text("name"), {op: rates.number(op) for op in rates.names()},
        top.number("mm2_per_lane"), variables, read_default(top, variables),
    )  # fmt: skip


KIND = TargetKind("an accelerator priced by a table of its operations", _read)
