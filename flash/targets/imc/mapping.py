"""From layers to crossbars: how many, how full, how often each is used.

The weights of a convolution form a matrix of ``k_h k_w C_in / groups`` rows and
``C_out / groups`` columns a group; each weight takes ``weight_bits / cell_bits`` neighbouring
cells (twice that for differential pairs). The matrix is cut into blocks of one crossbar.

Groups share no inputs. Where a whole group fits, crossbars are packed with several groups
down the diagonal: right results at full speed, cells off the diagonal wasted. A depthwise
3x3 convolution on 128 x 128 cells packs 14 channels a crossbar and uses 3 % of its cells;
that is what it costs on this hardware. Groups that do not fit get crossbars of their own.

A layer is copied until no copy makes more than ``mvm_limit`` products an inference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.spaces.table import LayerTable
from flash.targets.imc.profile import Options, Precision

__all__ = ["MAPPED", "Mapped", "map_layers", "sum_bits"]

Floats = NDArray[np.float64]

#: Operations whose weights are held in crossbars; all others run beside them, in the tiles.
MAPPED = ("conv", "linear")


@dataclass(frozen=True)
class Mapped:
    """Arrays of shape (rows of the table, options); zero where a layer is absent or unmapped.

    crossbars, tiles:  taken, copies included; tiles are never shared by two layers.
    copies:            of the whole layer.
    mvms:              matrix-vector products a copy makes, one after the other.
    all_mvms:          of all copies together: one for each output position.
    matrix_rows:       different inputs of one MVM.
    driven_rows:       word lines driven by one MVM, over all crossbars of a copy.
    read_columns:      bit lines converted by one MVM, over all crossbars of a copy.
    used_cells:        cells holding weights, of one copy.
    input_copies:      tiles of a copy that need the same input, on average (at least 1).
    partial_sums:      times an output crosses from tile to tile to be added up, on average.
    sum_distance:      tiles between two such neighbours along the snake.
    block_rows:        row blocks whose results are added up for each output.
    """

    crossbars: Floats
    tiles: Floats
    copies: Floats
    mvms: Floats
    all_mvms: Floats
    matrix_rows: Floats
    driven_rows: Floats
    read_columns: Floats
    used_cells: Floats
    input_copies: Floats
    partial_sums: Floats
    sum_distance: Floats
    block_rows: Floats


def map_layers(table: LayerTable, precision: Precision, options: Options) -> Mapped:
    """Map every convolution and linear layer of ``table``.

    Layers whose result never reaches the output are mapped too, if the table has them.
    """
    mapped = table.active & np.isin(table.ops, MAPPED)[:, None]
    groups = table["groups"]
    kernel = table["kernel_height"] * table["kernel_width"]
    height = np.where(mapped, kernel * (table["in_channels"] // groups), 1).astype(np.float64)
    weights = np.where(mapped, table["out_channels"] // groups, 1).astype(np.float64)
    number = np.where(mapped, groups, 1).astype(np.float64)
    slices = precision.columns_per_bit * np.ceil(precision.weight_bits / options.cell_bits)
    width = weights * slices

    down, across = np.ceil(height / options.rows), np.ceil(width / options.columns)
    fitting = np.minimum(options.rows // height, options.columns // width)
    packed = (number > 1) & (fitting >= 1)
    per_copy = np.where(packed, np.ceil(number / np.maximum(fitting, 1)), down * across * number)

    all_mvms = (table["out_height"] * table["out_width"]).astype(np.float64)
    copies = np.maximum(np.ceil(all_mvms / options.mvm_limit), 1)
    crossbars = per_copy * copies
    inputs = np.where(mapped, table.in_elements, 0) / np.maximum(all_mvms, 1)
    sums, distance, input_copies = _traffic(
        np.where(packed, 1, down),
        np.where(packed, 1, across),
        options,
        weights * sum_bits(precision, options),
        inputs * precision.activation_bits,
    )
    # Several groups share no inputs and no results.
    alone = number > 1
    sums, distance, input_copies = (
        np.where(alone, plain, value)
        for plain, value in ((0.0, sums), (1.0, distance), (1.0, input_copies))
    )
    on = mapped.astype(np.float64)
    return Mapped(
        crossbars=on * crossbars,
        tiles=on * np.ceil(crossbars / options.crossbars_per_tile),
        copies=on * copies,
        mvms=on * np.ceil(all_mvms / copies),
        all_mvms=on * all_mvms,
        matrix_rows=on * height * number,
        driven_rows=on * height * number * np.where(packed, 1, across),
        read_columns=on * width * number * np.where(packed, 1, down),
        used_cells=on * height * width * number,
        input_copies=on * input_copies,
        partial_sums=on * sums,
        sum_distance=on * distance,
        block_rows=on * np.where(packed, 1, down),
    )


def sum_bits(precision: Precision, options: Options) -> Floats:
    """Bits of a partial sum on its way between tiles."""
    return precision.weight_bits + precision.activation_bits + np.ceil(np.log2(options.rows))


def _traffic(
    down: Floats, across: Floats, options: Options, output_bits: Floats, input_bits: Floats
) -> tuple[Floats, Floats, Floats]:
    """Tile crossings of each output, their distance in tiles, and copies of every input.

    The ``down x across`` blocks of a layer fill its tiles one after the other, column of
    blocks by column (each tile then needs many inputs, and only the columns that a tile's
    end cuts have sums to pass on) or row by row (the reverse); whichever moves fewer bits.

    output_bits, input_bits: sums and fresh inputs of one output position, in bits.
    """
    capacity = options.crossbars_per_tile
    blocks = down * across
    tiles = np.ceil(blocks / capacity)
    # Ends of tiles that are no ends of a column (row) of blocks.
    cut_columns = tiles - 1 - np.floor((blocks - 1) / _lcm(capacity, down))
    cut_rows = tiles - 1 - np.floor((blocks - 1) / _lcm(capacity, across))
    by_column = (
        cut_columns / across,
        np.ones_like(tiles),
        np.maximum(tiles * np.minimum(down, capacity) / down, 1),
    )
    by_row = (
        np.maximum(tiles * np.minimum(across, capacity) / across, 1) - 1,
        np.maximum(np.ceil(across / capacity), 1),
        1 + cut_rows / down,
    )
    cost_column, cost_row = (
        sums * output_bits + (copies - 1) * input_bits for sums, _, copies in (by_column, by_row)
    )
    sums, distance, copies = (
        np.where(cost_row <= cost_column, a, b) for a, b in zip(by_row, by_column, strict=True)
    )
    return sums, distance, copies


def _lcm(a: Floats, b: Floats) -> Floats:
    return np.lcm(a.astype(np.int64), b.astype(np.int64)).astype(np.float64)
