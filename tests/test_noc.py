"""The mesh against BookSim2's runs, against counting by hand, and its promised orderings."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
from conftest import shared_folder
from hypothesis import given
from hypothesis import strategies as st

from flash.targets.components import component
from flash.targets.imc.noc import (
    burst_cycles,
    least_mean_hops,
    mean_hops,
    mesh_side,
    packet_cycles,
    uniform_traffic_cycles,
    wire_pj_per_bit,
)
from flash.targets.imc.profile import load_imc

NOC = load_imc().noc


def booksim_rows() -> list[dict[str, float]]:
    path = shared_folder() / "data" / "accelerators" / "booksim2_mesh_reference.csv"
    if not path.exists():
        pytest.skip("BookSim2's table is not on this machine")
    names = ("side", "width", "rate", "packet", "network", "hops", "power", "area")
    with path.open(encoding="utf-8") as stream:
        lines = list(csv.reader(stream))[1:]
    return [dict(zip(names, (float(x or "nan") for x in line), strict=True)) for line in lines]


def place(tile: int, side: int) -> tuple[int, int]:
    if tile < 0:
        return -1, 0
    row, column = divmod(tile, side)
    return (column if row % 2 == 0 else side - 1 - column), row


def counted_hops(a: range, b: range, side: int) -> float:
    total = 0
    for i, j in itertools.product(a, b):
        (x1, y1), (x2, y2) = place(i, side), place(j, side)
        total += abs(x1 - x2) + abs(y1 - y2)
    return total / (len(a) * len(b))


def test_empty_mesh_latency_is_booksims_within_one_percent():
    rows = [r for r in booksim_rows() if r["rate"] == 0.005]
    assert len(rows) == 4
    for row in rows:
        ours = uniform_traffic_cycles(NOC, int(row["side"]), 0.0)
        assert ours == pytest.approx(row["packet"], rel=0.01)


def test_mesh_saturates_exactly_where_booksim_does():
    for row in booksim_rows():
        saturated = row["packet"] > 200
        assert np.isinf(uniform_traffic_cycles(NOC, int(row["side"]), row["rate"])) == saturated


def test_loaded_latency_follows_booksim():
    for row in booksim_rows():
        if row["packet"] < 200:
            ours = uniform_traffic_cycles(NOC, int(row["side"]), row["rate"])
            assert ours == pytest.approx(row["packet"], rel=0.07)


def test_router_energy_and_area_are_booksims():
    # Published fit figures: pJ per bit and hop at 0.5, 1, 2 mm; mm2 a router.
    known = {32: (0.342, 0.598, 1.116), 64: (0.378, 0.634, 1.152), 128: (0.450, 0.706, 1.224)}
    for width, energies in known.items():
        for pitch, energy in zip((0.5, 1.0, 2.0), energies, strict=True):
            router = component("router", "booksim", 32, width_bits=width)
            ours = router.energy_pj["route"] + wire_pj_per_bit(NOC, np.float64(pitch))
            assert float(ours) == pytest.approx(energy, rel=0.01)
    for width, area in {32: 0.00098, 64: 0.0033, 128: 0.0118}.items():
        router = component("router", "booksim", 32, width_bits=width)
        assert float(router.area_mm2) == pytest.approx(area, rel=0.02)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 60), st.integers(0, 60))
def test_mean_hops_equal_counting_every_pair(size_a, size_b, start, gap):
    begin_b = start + size_a + gap
    side = int(mesh_side(begin_b + size_b))
    exact = counted_hops(range(start, start + size_a), range(begin_b, begin_b + size_b), side)
    values = (np.array([float(v)]) for v in (start, size_a, begin_b, size_b, side))
    assert float(mean_hops(*values)[0]) == pytest.approx(exact)
    assert float(least_mean_hops(np.array([float(size_b)]))[0]) <= exact + 1e-9


def test_input_enters_left_of_the_first_tile():
    values = (np.array([float(v)]) for v in (-1, 1, 0, 5, 3))
    assert float(mean_hops(*values)[0]) == pytest.approx(counted_hops(range(-1, 0), range(5), 3))


def test_mesh_is_the_smallest_square():
    tiles = np.arange(1, 5000)
    side = mesh_side(tiles)
    assert ((side * side >= tiles) & ((side - 1) ** 2 < tiles)).all()


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 60), st.floats(0, 60))
def test_more_flits_or_hops_are_never_faster(flits, more, hops, further):
    before = burst_cycles(NOC, np.array([flits]), np.array([hops]))
    after = burst_cycles(NOC, np.array([flits + more]), np.array([hops + further]))
    assert after[0] >= before[0] * (1 - 1e-12)


def test_burst_is_the_best_constant_pace():
    flits, hops = 5000.0, 7.0
    rho = np.linspace(0.01, 0.999, 20000)
    paces = packet_cycles(NOC, hops, rho * NOC.capacity) + flits / (NOC.capacity * rho)
    ours = burst_cycles(NOC, np.array([flits]), np.array([hops]))[0]
    assert ours == pytest.approx(paces.min(), rel=1e-4)
