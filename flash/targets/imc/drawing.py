"""A chip of crossbar tiles as a picture: the mesh, each tile in the colour of its layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flash.quantities import format_number
from flash.targets.breakdown import Block, Drawing, LayerCost

__all__ = ["draw"]


def draw(layers: Sequence[LayerCost], mesh_side: int) -> Drawing:
    """The snake of tiles: a block for each run of one layer in one row of the mesh.

    layers: with ``tiles`` and ``first_tile`` among their details. Blocks are fainter the fewer of
    their cells hold weights.
    """
    shown = [layer for layer in layers if layer.details["tiles"]]
    blocks = []
    for number, layer in enumerate(shown):
        tiles = int(layer.details["tiles"])
        words = (
            f"{layer.name}: {tiles} tiles, {100 * layer.utilisation:.0f} % of cells in use, "
            f"{format_number(layer.latency_ms)} ms"
        )
        opacity = 0.3 + 0.7 * layer.utilisation
        for left, row, run in _runs(int(layer.details["first_tile"]), tiles, mesh_side):
            place = (left / mesh_side, row / mesh_side, run / mesh_side, 1 / mesh_side)
            blocks.append(Block(*place, number, opacity, words))
    note = (
        f"{mesh_side} x {mesh_side} mesh, tiles in the order of the layers; faint: few cells in use"
    )
    return Drawing(tuple(blocks), len(shown), note, cell=1 / mesh_side)


def _runs(first: int, tiles: int, side: int) -> Iterator[tuple[int, int, int]]:
    """(left column, row, tiles) of each run; every other row of the snake goes back."""
    last = first + tiles
    while first < last:
        row, column = divmod(first, side)
        run = min(last - first, side - column)
        yield (column if row % 2 == 0 else side - column - run), row, run
        first += run
