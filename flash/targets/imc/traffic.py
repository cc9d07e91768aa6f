"""What travels between tiles: where every tensor is, how far it goes, how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flash.spaces.table import LayerTable
from flash.targets.imc.mapping import Mapped, sum_bits
from flash.targets.imc.moves import ELSEWHERE, layer_moves
from flash.targets.imc.noc import burst_cycles, least_mean_hops, mean_hops, mesh_side
from flash.targets.imc.profile import ImcHardware, Options

__all__ = ["Hops", "Traffic", "least_transfer", "network_traffic", "refetch"]

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


def network_traffic(
    table: LayerTable, mapped: Mapped, hardware: ImcHardware, options: Options, hops: Hops
) -> Traffic:
    """Everything that crosses the mesh in one inference (``layer_moves`` says what moves).

    ``least`` counts only what the table knows whatever else the network has: what its layers take
    in, over the shortest distance there can be between so many tiles and by the most links.
    """
    found = layer_moves(table, partial=hops == "least")
    shape, rows = mapped.tiles.shape, found.row
    every = (len(rows), shape[1])
    sender, home = (np.broadcast_to(x, every) for x in (found.sender, found.home))
    activations: Floats = np.broadcast_to(found.elements, every)
    bits: Floats = activations * float(hardware.precision.activation_bits)
    # What does not fit is sent once a kernel row; what several tiles need is dropped off at
    # each on the way, so it loads ports of the destination but no link of the way twice. Its
    # energy is counted as if each copy came all the way.
    bits = bits * refetch(table, mapped, hardware, options)[rows]
    fan_out = np.where(mapped.tiles > 0, mapped.input_copies, 1.0)[rows]
    # The row after the last is elsewhere: the chip's input, which is one tile.
    tiles = np.concatenate([mapped.tiles, np.ones((1, shape[1]))])
    size_a, size_b = (np.take_along_axis(tiles, at, axis=0) for at in (sender, home))
    if hops == "least":
        size_a = np.where(sender == ELSEWHERE, np.inf, size_a)
        copied, busiest, distance = least_transfer(bits, fan_out, size_a, size_b, options)
    else:
        first = np.cumsum(mapped.tiles, axis=0) - mapped.tiles
        start = np.concatenate([first, np.full((1, shape[1]), float(ELSEWHERE))])
        side = np.broadcast_to(mesh_side(mapped.tiles.sum(axis=0)), bits.shape)
        copied, busiest = bits * fan_out, _taken(bits, fan_out, size_b, options)
        distance = np.zeros_like(bits)
        # Most entries are layers that a design lacks, or data already where it is needed.
        moving = bits > 0
        start_a, start_b = (np.take_along_axis(start, at, axis=0) for at in (sender, home))
        places = [x[moving] for x in (start_a, size_a, start_b, size_b, side)]
        distance[moving] = mean_hops(*places)
        way = np.ceil(bits / options.noc_bits)[moving] / _lanes(*places)
        busiest[moving] = np.maximum(busiest[moving], way)
    received = Traffic(*(np.zeros(shape) for _ in range(6)))
    np.add.at(received.bits, rows, copied)
    np.add.at(received.bit_hops, rows, copied * distance)
    np.add.at(received.bit_routers, rows, copied * (distance + 1))
    np.add.at(received.cycles, rows, burst_cycles(hardware.noc, busiest, distance))
    np.add.at(received.busiest, rows, busiest / hardware.noc.capacity)
    _add_partial_sums(received, table, mapped, hardware, options)
    return received


def least_transfer(
    bits: Floats, fan_out: Floats, size_a: Floats, size_b: Floats, options: Options
) -> tuple[Floats, Floats, Floats]:
    """Bits with their copies, flits over the busiest link and hops, none above any placement's.

    size_a, size_b: tiles that send and receive; infinite where it is not known how many send.
    """
    lanes = np.maximum(np.minimum(size_a, size_b), 1)
    way = np.ceil(bits / options.noc_bits) / lanes
    distance = least_mean_hops(np.maximum(np.where(np.isinf(size_a), 0, size_a), size_b))
    return bits * fan_out, np.maximum(_taken(bits, fan_out, size_b, options), way), distance


def _taken(bits: Floats, fan_out: Floats, size_b: Floats, options: Options) -> Floats:
    """Flits into one of the tiles that receive."""
    flits: Floats = np.ceil(bits * fan_out / options.noc_bits) / np.maximum(size_b, 1)
    return flits


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


def refetch(table: LayerTable, mapped: Mapped, hardware: ImcHardware, options: Options) -> Floats:
    """How often each input is sent: once, or once a kernel row if its lines do not fit."""
    lines = table["kernel_height"] * table["in_width"] * table["in_channels"]
    kib = lines * mapped.input_copies * hardware.precision.activation_bits / 8 / 1024
    own_tiles = np.maximum(mapped.tiles / np.maximum(mapped.copies, 1), 1)
    fits = kib / own_tiles <= options.buffer_kib
    return np.where(fits | (mapped.tiles == 0), 1, table["kernel_height"]).astype(np.float64)
