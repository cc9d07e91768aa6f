"""Where the time, energy and area of one network on one target go, and how to draw that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Block", "Breakdown", "Drawing", "LayerCost", "added_up"]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer of a network on a target.

    energy_mj:   component -> energy of the layer.
    bound:       what the time is spent on, ``compute``, ``memory`` or ``overhead``; empty where
                 the target does not say.
    rated:       the operation, in its number format, has a rate of its own on this target.
    utilisation: share of multipliers at work, or of cells that hold weights (0 to 1); NaN where
                 the target does not say.
    details:     what else this kind of target tells of a layer, units in the names: ``cycles``,
                 ``dram_bytes``, ``tiles``.
    """

    name: str
    op: str
    latency_ms: float
    energy_mj: Mapping[str, float]
    utilisation: float = math.nan
    details: Mapping[str, float] = field(default_factory=dict)
    bound: str = ""
    rated: bool = True


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle in a drawing of the unit square, from the top left corner.

    layer:   position among the layers drawn, which decides the colour.
    opacity: 0 to 1.
    words:   what a reader sees when pointing at it.
    """

    left: float
    top: float
    width: float
    height: float
    layer: int
    opacity: float
    words: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chip and its layers as rectangles in the unit square; a report gives it size and colour.

    layers:     how many different ones the blocks belong to.
    note:       what the picture shows, for the line below it.
    cell:       side of the smallest square a block is made of; 0 where there are none. Blocks
                of cells that are large enough are drawn with a gap between them.
    percent_axis: whether heights are shares, to be read on an axis from 0 to 100 %.
    """

    blocks: tuple[Block, ...]
    layers: int
    note: str
    cell: float = 0.0
    percent_axis: bool = False


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One network on one target.

    area_mm2, latency_ms, energy_mj: component -> its part; each adds up to the whole.
    drawing: None where there is no chip to draw, on a board one buys.
    """

    layers: tuple[LayerCost, ...]
    area_mm2: Mapping[str, float]
    latency_ms: Mapping[str, float]
    energy_mj: Mapping[str, float]
    drawing: Drawing | None = None

    def share(self, quantity: str, *components: str) -> float:
        """Part of ``area_mm2``, ``latency_ms`` or ``energy_mj`` due to ``components``."""
        values: Mapping[str, float] = getattr(self, quantity)
        return sum(values[name] for name in components) / sum(values.values())

    def __str__(self) -> str:
        lines = []
        for title in ("area_mm2", "latency_ms", "energy_mj"):
            values: Mapping[str, float] = getattr(self, title)
            total = sum(values.values())
            if not values:
                continue
            lines.append(f"{title:<12}{total:10.4g}")
            for name, value in sorted(values.items(), key=lambda item: -item[1]):
                share = 100 * value / total if total else 0.0
                lines.append(f"  {name:<18}{value:10.4g}{share:7.1f} %")
        return "\n".join(lines)


def added_up(layers: Iterable[LayerCost]) -> dict[str, float]:
    """Energy of all layers together, component -> mJ, in the order components first come."""
    total: dict[str, float] = {}
    for layer in layers:
        for name, energy_mj in layer.energy_mj.items():
            total[name] = total.get(name, 0.0) + energy_mj
    return total
