"""What travels between tiles: where every tensor is, how far it goes, how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flash.spaces.table import LayerTable
from flash.targets.imc.mapping import MAPPED, Mapped, sum_bits
from flash.targets.imc.noc import burst_cycles, least_mean_hops, mean_hops, mesh_side
from flash.targets.imc.profile import ImcHardware, Options

__all__ = ["Hops", "Traffic", "network_traffic"]

Floats = NDArray[np.float64]
#: ``placed``: distances of the real placement; ``least``: a lower bound, layer by layer.
Hops = Literal["placed", "least"]


@dataclass(frozen=True)
class Traffic:
    """Sums over everything a row of the table receives; shape (rows, options).

    bits:      taken in by the tiles of the row (a bit for two tiles counts twice).
    bit_hops:  bits times links; ``bit_routers`` bits times routers.
    cycles:    of the network, until the last flit has arrived; ``busiest`` only those that
               the busiest link (or port) is taken.
    sum_cycles: of partial sums between the tiles of the row, which flow while it computes.
    """

    bits: Floats
    bit_hops: Floats
    bit_routers: Floats
    cycles: Floats
    busiest: Floats
    sum_cycles: Floats


@dataclass(frozen=True)
class _Transfers:
    """Tensors that move, stacked: shape (transfers, options); ``row`` is who receives."""

    row: NDArray[np.int64]
    on_crossbars: NDArray[np.bool_]
    elements: Floats
    start_a: Floats
    size_a: Floats
    start_b: Floats
    size_b: Floats


def network_traffic(
    table: LayerTable, mapped: Mapped, hardware: ImcHardware, options: Options, hops: Hops
) -> Traffic:
    """Everything that crosses the mesh in one inference.

    A convolution or linear layer fetches each of its inputs from where it is. Other
    operations run in the tiles that hold their largest operand (the latest of equals); the
    other operands come there.

    ``least`` counts only what a layer knows of itself: what its own tiles take in, over
    the shortest distance there can be.
    """
    moves = _transfers(table, mapped)
    bits = moves.elements * hardware.precision.activation_bits
    # What does not fit is sent once a kernel row; what several tiles need is dropped off at
    # each on the way, so it loads ports of the destination but no link of the way twice. Its
    # energy is counted as if each copy came all the way.
    bits = bits * _refetch(table, mapped, hardware, options)[moves.row]
    sent = np.ceil(bits / options.noc_bits)
    fan_out = np.where(mapped.tiles > 0, mapped.input_copies, 1.0)[moves.row]
    bits = bits * fan_out
    taken = np.ceil(bits / options.noc_bits) / np.maximum(moves.size_b, 1)
    distance = np.zeros_like(bits)
    busiest = taken * np.ones_like(bits)
    if hops == "placed":
        side = np.broadcast_to(mesh_side(mapped.tiles.sum(axis=0)), bits.shape)
        # Most entries are layers that a design lacks, or data already where it is needed.
        moving = bits > 0
        places = (moves.start_a, moves.size_a, moves.start_b, moves.size_b, side)
        a, a_size, b, b_size, sides = (values[moving] for values in places)
        distance[moving] = mean_hops(a, a_size, b, b_size, sides)
        way = sent[moving] / _lanes(a, a_size, b, b_size, sides)
        busiest[moving] = np.maximum(busiest[moving], way)
    else:
        distance = least_mean_hops(moves.size_b)
        busiest, bits = busiest * moves.on_crossbars, bits * moves.on_crossbars
    shape = mapped.tiles.shape
    received = Traffic(*(np.zeros(shape) for _ in range(6)))
    rows = moves.row
    np.add.at(received.bits, rows, bits)
    np.add.at(received.bit_hops, rows, bits * distance)
    np.add.at(received.bit_routers, rows, bits * (distance + 1))
    np.add.at(received.cycles, rows, burst_cycles(hardware.noc, busiest, distance))
    np.add.at(received.busiest, rows, busiest / hardware.noc.capacity)
    _add_partial_sums(received, table, mapped, hardware, options)
    return received


def _lanes(a: Floats, a_size: Floats, b: Floats, b_size: Floats, side: Floats) -> Floats:
    """Links side by side that a transfer has: the fewer ports, the columns, or one.

    XY routing turns in the destination's column, so there are no more lanes than columns;
    two stretches in one row of the mesh share a single one.
    """
    ends = np.maximum(a + a_size, b + b_size) - 1
    begins = np.maximum(np.minimum(a, b), 0)
    one_row = np.floor(begins / side) == np.floor(ends / side)
    ports = np.minimum(np.minimum(a_size, b_size), side)
    return np.where(one_row, 1.0, np.maximum(ports, 1))


def _add_partial_sums(
    received: Traffic, table: LayerTable, mapped: Mapped, hardware: ImcHardware, options: Options
) -> None:
    """Sums that go from tile to tile of one layer, along the snake."""
    outputs = mapped.all_mvms * table["out_channels"]
    bits = outputs * mapped.partial_sums * sum_bits(hardware.precision, options)
    pairs = np.maximum(mapped.tiles - mapped.copies, 1)
    busiest = np.ceil(bits / options.noc_bits) / pairs
    received.bits[:] += bits
    received.bit_hops[:] += bits * mapped.sum_distance
    received.bit_routers[:] += bits * (mapped.sum_distance + 1)
    received.busiest[:] += busiest / hardware.noc.capacity
    received.sum_cycles[:] += burst_cycles(hardware.noc, busiest, mapped.sum_distance)


def _refetch(table: LayerTable, mapped: Mapped, hardware: ImcHardware, options: Options) -> Floats:
    """How often each input is sent: once, or once a kernel row if its lines do not fit."""
    lines = table["kernel_height"] * table["in_width"] * table["in_channels"]
    kib = lines * mapped.input_copies * hardware.precision.activation_bits / 8 / 1024
    own_tiles = np.maximum(mapped.tiles / np.maximum(mapped.copies, 1), 1)
    fits = kib / own_tiles <= options.buffer_kib
    return np.where(fits | (mapped.tiles == 0), 1, table["kernel_height"]).astype(np.float64)


def _transfers(table: LayerTable, mapped: Mapped) -> _Transfers:
    shape = mapped.tiles.shape
    # The row after the last is the chip's input: producer -1.
    start = np.full((shape[0] + 1, shape[1]), -1.0)
    size = np.ones((shape[0] + 1, shape[1]))
    first = np.cumsum(mapped.tiles, axis=0) - mapped.tiles
    columns = np.arange(shape[1])
    rows: list[int] = []
    stacks: tuple[list[Floats], ...] = ([], [], [], [], [])
    for row, layer in enumerate(table.layers):
        active = np.broadcast_to(table.active[row], columns.shape)
        homes, elements = [], []
        for x in layer.inputs:
            producer = np.broadcast_to(np.asarray(x.producer), columns.shape)
            homes.append((start[producer, columns], size[producer, columns]))
            count = np.asarray(x.channels * x.height * x.width * 1.0) * (active & x.present)
            elements.append(np.broadcast_to(count, columns.shape))
        if layer.op in MAPPED:
            start[row], size[row] = first[row], mapped.tiles[row]
        else:
            start[row], size[row] = _home(homes, elements)
            if len(homes) == 1:
                continue
        for (a, a_size), count in zip(homes, elements, strict=True):
            moved = np.where(a == start[row], 0.0, count)
            for stack, value in zip(stacks, (moved, a, a_size, start[row], size[row]), strict=True):
                stack.append(np.array(value))
            rows.append(row)
    stacked = [np.array(stack).reshape(len(rows), shape[1]) for stack in stacks]
    row_numbers = np.array(rows, dtype=np.int64)
    on_crossbars = np.array([table.layers[row].op in MAPPED for row in rows], dtype=np.bool_)
    return _Transfers(row_numbers, on_crossbars.reshape(-1, 1), *stacked)


def _home(homes: list[tuple[Floats, Floats]], elements: list[Floats]) -> tuple[Floats, Floats]:
    """Where the largest operand is, the latest among equals."""
    (start, size), most = homes[0], elements[0]
    for (other, other_size), count in zip(homes[1:], elements[1:], strict=True):
        better = (count > most) | ((count == most) & (other > start))
        start, size = np.where(better, other, start), np.where(better, other_size, size)
        most = np.where(better, count, most)
    return start, size
