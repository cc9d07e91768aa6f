"""A k x k mesh with XY routing: distances, waiting, and energy of its links.

Latency of a packet of one flit over H routers, H = 1 + |dx| + |dy|, in an empty mesh is
``5 H + 2`` cycles (routing, channel, switch, transfer and link one cycle each): BookSim2's
canonical router, within 0.3 % of its runs at 2 x 2 to 12 x 12.

A link saturates well below one flit a cycle, because a packet holds the only virtual channel
while it is routed. With rho the load of the busiest link over that ``capacity`` the wait at
every router is that of an M/D/1 queue, ``rho / (2 (1 - rho))`` cycles; at rho >= 1 there is no
steady state. The capacity, 0.28, is fitted to BookSim2: it predicts which of its runs saturate,
and the latency of the others within 7 % (``scripts/validate/imc.py``).

A burst of F flits over the busiest link can be injected at any pace rho; it then takes
``F / (c rho) + H rho / (2 (1 - rho))`` cycles. The best pace gives
``F / c + sqrt(2 F H / c)``, which is what a transfer costs here.

Tiles are numbered along a snake, row by row, back and forth, in the order of the layers, on
the smallest square mesh that holds them; the input enters left of tile 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.targets.imc.profile import Noc

__all__ = [
    "burst_cycles",
    "least_mean_hops",
    "mean_hops",
    "mesh_side",
    "packet_cycles",
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
    chip's input. Shapes broadcast. A stretch is a part of a row, full rows, and a part of a
    row; distances between such runs add up in closed form.
    """
    outside = start_a < 0
    size_a, size_b = np.maximum(size_a, 1), np.maximum(size_b, 1)
    ones = _runs(np.where(outside, 0, start_a), size_a, side)
    others = _runs(start_b, size_b, side)
    total = np.zeros(np.broadcast_shapes(np.shape(size_a), np.shape(size_b), np.shape(side)))
    for left, right, top, bottom in ones:
        for left2, right2, top2, bottom2 in others:
            rows, rows2 = bottom - top + 1, bottom2 - top2 + 1
            columns, columns2 = right - left + 1, right2 - left2 + 1
            across = _distances(left, right, left2, right2) * rows * rows2
            down = _distances(top, bottom, top2, bottom2) * columns * columns2
            total = total + across + down
    return np.asarray(total / (size_a * size_b) + outside, dtype=np.float64)


def _runs(start: Floats, size: Floats, side: Floats) -> list[tuple[Floats, Floats, Floats, Floats]]:
    """Left, right, top and bottom of three blocks of tiles; empty ones have no columns."""
    end = start + size
    first, last = np.ceil(start / side), np.floor(end / side)
    one_row = last < first
    head_end = np.where(one_row, end, first * side)
    tail_start = np.where(one_row, end, last * side)
    rows = np.maximum(last - first, 0)
    runs = [(np.zeros_like(rows), np.where(rows > 0, side, 0) - 1, first, first + rows - 1)]
    for begin, stop, row in (
        (start, head_end, np.floor(start / side)),
        (tail_start, end, last),
    ):
        left, width = begin - row * side, stop - begin
        left = np.where(row % 2 == 0, left, side - left - width)
        runs.append((left, left + width - 1, row, row))
    return runs


def _distances(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Sum of |i - j| over integers i in a..b and j in c..d (0 where either is empty).

    (|k|^3 - |k|) / 6 has |k| as its second difference, so the sum telescopes twice.
    """

    def twice_summed(k: Floats) -> Floats:
        size = np.abs(k)
        value: Floats = (size**3 - size) / 6
        return value

    total = twice_summed(b - c + 1) + twice_summed(a - d - 1)
    total = total - twice_summed(a - c) - twice_summed(b - d)
    return np.where((b >= a) & (d >= c), total, 0.0)


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


# ------------------------------------------------------------------------------------ energy
def wire_pj_per_bit(noc: Noc, pitch_mm: Floats) -> Floats:
    """Energy of a bit over one link of ``pitch_mm``."""
    return noc.wire_pj_per_bit_mm * pitch_mm
