"""A k x k mesh with XY routing: distances, waiting, energy and area.

Latency of a packet of one flit over H routers, H = 1 + |dx| + |dy|, in an empty mesh is
``5 H + 2`` cycles (routing, channel, switch, transfer and link one cycle each): BookSim2's
canonical router, within 0.3 % of its runs at 2 x 2 to 12 x 12.

A link saturates well below one flit a cycle, because a packet holds the only virtual channel
while it is routed. With rho the load of the busiest link over that ``capacity`` the wait at
every router is that of an M/D/1 queue, ``rho / (2 (1 - rho))`` cycles; at rho >= 1 there is no
steady state. The capacity, 0.30, is fitted to BookSim2: it predicts which of its runs saturate,
and the latency of the others within a few per cent (``scripts/validate/imc.py``).

A burst of F flits over the busiest link can be injected at any pace rho; it then takes
``F / (c rho) + H rho / (2 (1 - rho))`` cycles. The best pace gives
``F / c + sqrt(2 F H / c)``, which is what a transfer costs here.

Tiles are numbered along a snake, row by row, back and forth, in the order of the layers, on
the smallest square mesh that holds them; the input enters left of tile 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.hardware.imc.profile import Noc

__all__ = [
    "burst_cycles",
    "least_mean_hops",
    "mean_hops",
    "mesh_side",
    "packet_cycles",
    "router_area_mm2",
    "router_pj_per_bit",
    "uniform_traffic_cycles",
    "wire_pj_per_bit",
]

Floats = NDArray[np.float64]


def mesh_side(tiles: ArrayLike) -> Floats:
    """Side of the smallest square mesh with room for ``tiles`` tiles (at least 1)."""
    count = np.maximum(np.asarray(tiles, dtype=np.float64), 1)
    side = np.floor(np.sqrt(count))
    return np.asarray(side + (side * side < count), dtype=np.float64)


def packet_cycles(noc: Noc, hops: ArrayLike, load: ArrayLike = 0.0) -> Floats:
    """Mean latency of a packet over ``hops`` links; infinite where ``load`` saturates.

    load: flits a cycle on the busiest link.
    """
    routers = np.asarray(hops, dtype=np.float64) + 1
    rho = np.asarray(load, dtype=np.float64) / noc.capacity
    with np.errstate(divide="ignore"):
        wait = np.where(rho < 1, rho / (2 * np.maximum(1 - rho, 0)), np.inf)
    latency: Floats = noc.pipeline_cycles * routers + noc.ejection_cycles + routers * wait
    return latency


def uniform_traffic_cycles(noc: Noc, side: int, rate: float) -> float:
    """Mean latency when each of ``side`` squared nodes sends ``rate`` packets a cycle.

    Destinations are uniform, the sender included. The busiest link is one of the middle, with
    ``rate side / 4`` flits a cycle (``side`` even), or the one into a node, with ``rate``.
    """
    hops = 2 * (side * side - 1) / (3 * side)
    return float(packet_cycles(noc, hops, max(rate * side / 4, rate)))


def burst_cycles(noc: Noc, flits: Floats, hops: Floats) -> Floats:
    """Cycles until the last of ``flits`` flits over the busiest link has arrived.

    Never falls when ``flits`` or ``hops`` rise; 0 where there are no flits.
    """
    queue = np.sqrt(2 * flits * (hops + 1) / noc.capacity)
    total: Floats = packet_cycles(noc, hops) + flits / noc.capacity + queue
    return np.where(flits > 0, total, 0.0)


# ---------------------------------------------------------------------------------- distances
def mean_hops(
    start_a: Floats, size_a: Floats, start_b: Floats, size_b: Floats, side: Floats
) -> Floats:
    """Mean Manhattan distance between the tiles of two stretches of the snake, exactly.

    ``start`` is the number of a stretch's first tile, ``size`` its tiles; -1 and 1 mean the
    chip's input. Shapes broadcast. By E|X - Y| = sum_t F(t) (1 - G(t)) + G(t) (1 - F(t)) with
    F, G the shares of the tiles in the first t + 1 columns (or rows).
    """
    outside = start_a < 0
    begin_a, begin_b = np.where(outside, 0, start_a), start_b
    number_a, number_b = np.maximum(size_a, 1), np.maximum(size_b, 1)
    total = outside.astype(np.float64) + np.zeros(np.shape(side))
    for line in range(int(np.max(side)) - 1):
        inside = line < side - 1
        for count in (_in_columns, _in_rows):
            f = (count(begin_a + number_a, line, side) - count(begin_a, line, side)) / number_a
            g = (count(begin_b + number_b, line, side) - count(begin_b, line, side)) / number_b
            total = total + np.where(inside, f * (1 - g) + g * (1 - f), 0.0)
    return np.asarray(total, dtype=np.float64)


def _in_columns(tiles: Floats, line: int, side: Floats) -> Floats:
    """Of the first ``tiles`` tiles of the snake, those in columns 0 to ``line``."""
    full = np.floor(tiles / side)
    rest = tiles - full * side
    forth = np.minimum(rest, line + 1)
    back = np.maximum(rest - (side - 1 - line), 0)
    counted: Floats = full * (line + 1) + np.where(full % 2 == 0, forth, back)
    return counted


def _in_rows(tiles: Floats, line: int, side: Floats) -> Floats:
    return np.minimum(tiles, (line + 1) * side)


def least_mean_hops(size: Floats) -> Floats:
    """A lower bound of ``mean_hops`` that knows only the tiles of the destination.

    No tile has more than 4 r others at distance r, so the mean distance from a tile to
    ``size`` others is at least that to its ``size`` nearest in an endless mesh; the mean
    over all tiles of any other stretch is then no less. Holds for every placement.
    """
    count = np.maximum(size, 1)
    rings = np.floor((np.sqrt(1 + 2 * count) - 1) / 2)
    inside = 2 * rings * (rings + 1)
    distance = 2 * rings * (rings + 1) * (2 * rings + 1) / 3
    mean: Floats = (distance + (count - inside) * (rings + 1)) / count
    return mean


# ------------------------------------------------------------------------------ energy, area
def router_pj_per_bit(noc: Noc, model: str, noc_bits: Floats) -> Floats:
    """Energy of a bit through one router at the reference node."""
    if model == "isaac":
        return np.full(np.shape(noc_bits), noc.isaac.pj_per_bit)
    return noc.router_pj_per_bit + noc.router_pj_per_bit_and_width * noc_bits


def wire_pj_per_bit(noc: Noc, pitch_mm: Floats) -> Floats:
    """Energy of a bit over one link of ``pitch_mm``."""
    return noc.wire_pj_per_bit_mm * pitch_mm


def router_area_mm2(noc: Noc, model: str, noc_bits: Floats) -> Floats:
    """Area of a tile's router at the reference node."""
    if model == "isaac":
        return np.full(np.shape(noc_bits), noc.isaac.area_mm2)
    linear = noc.router_area_mm2_per_bit * noc_bits
    area: Floats = linear + noc.router_area_mm2_per_bit2 * noc_bits**2
    return area
