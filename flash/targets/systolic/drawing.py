"""A systolic array as a picture: how busy its multipliers are over the time of one inference."""

from __future__ import annotations

from collections.abc import Sequence

from flash.quantities import format_number
from flash.targets.breakdown import Block, Drawing, LayerCost

__all__ = ["draw"]


def draw(layers: Sequence[LayerCost]) -> Drawing:
    """A block for each layer that takes time: as wide as its time, as high as its utilisation."""
    shown = [layer for layer in layers if layer.latency_ms > 0]
    total_ms = sum(layer.latency_ms for layer in shown) or 1.0
    blocks, left = [], 0.0
    for number, layer in enumerate(shown):
        width = layer.latency_ms / total_ms
        words = (
            f"{layer.name}: {100 * layer.utilisation:.0f} % of the multipliers, "
            f"{format_number(layer.latency_ms)} ms"
        )
        top, height = 1 - layer.utilisation, layer.utilisation
        blocks.append(Block(left, top, width, height, number, 1.0, words))
        left += width
    note = (
        f"multipliers at work over one inference of {format_number(total_ms)} ms; a block a layer"
    )
    return Drawing(tuple(blocks), len(shown), note, percent_axis=True)
