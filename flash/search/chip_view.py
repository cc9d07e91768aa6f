"""What there is to draw of one design's chip."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flash.report.chip import ChipView, LayerBlock
from flash.spaces.space import SearchSpace
from flash.targets import ImcTarget, SystolicTarget, Target
from flash.targets.imc import breakdown as imc_breakdown
from flash.targets.systolic import breakdown as systolic_breakdown
from flash.targets.systolic import systolic_areas_mm2

__all__ = ["chip_view"]


def chip_view(
    space: SearchSpace, target: Target, indices: NDArray[np.int64], title: str
) -> ChipView | None:
    """The chip with one network (indices, shape (variables,)); None where none is known.

    Crossbar tiles with the profile's own converter model; arrays with its own MAC.
    """
    words = ", ".join(f"{name} {value}" for name, value in _words(target).items())
    lines = [space.describe(indices), *textwrap.wrap(words, 110)]
    if isinstance(target, ImcTarget):
        return _tiles(space, target, indices, title, lines)
    if isinstance(target, SystolicTarget):
        return _array(space, target, indices, title, lines)
    return None


def _words(target: Target) -> Mapping[str, object]:
    found: Mapping[str, object] = target.summary().get("hardware", {})
    return found


def _tiles(
    space: SearchSpace, target: ImcTarget, indices: NDArray[np.int64], title: str, lines: list[str]
) -> ChipView:
    found = imc_breakdown(space.table(indices[None]), target.hardware, target.chip)
    layers = [
        LayerBlock(x.name, x.utilisation, x.compute_ms + x.noc_ms, x.tiles, x.first_tile)
        for x in found.layers
    ]
    return ChipView(title, lines, layers, found.mesh_side, found.area_mm2, found.energy_mj)


def _array(
    space: SearchSpace,
    target: SystolicTarget,
    indices: NDArray[np.int64],
    title: str,
    lines: list[str],
) -> ChipView:
    network = space.network(indices).live()
    found = systolic_breakdown(network.layers, target.hardware, target.chip)
    layers = [LayerBlock(x.name, x.utilisation, x.latency_ms) for x in found if x.latency_ms > 0]
    energy = {
        name: sum(getattr(x, f"{key}_uj") for x in found) / 1e3
        for name, key in (
            ("multipliers", "mac"), ("SRAM", "sram"), ("DRAM", "dram"),
            ("vector unit", "vector"), ("leakage", "leakage"),
        )
    }  # fmt: skip
    area = {n: float(v) for n, v in systolic_areas_mm2(target.hardware, target.chip).items()}
    return ChipView(title, lines, layers, 0, area, energy)
