"""Loop nests: counts against a walk through the loops, optima against all nests there are."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from flash.errors import UsageError
from flash.targets.systolic.mapper import best_nest, best_pair
from flash.targets.systolic.nests import DIMENSIONS, Aim, Loop, Memories, Nest, Product, nest_costs

ARRAY = Memories(
    rows=2, cols=2, weight_words=6, buffer_bytes=60, dram_bytes_per_cycle=1.5, mac=0.04,
    weight_read=0.1, weight_write=0.2, sum_read=0.02, sum_write=0.03, buffer_read_byte=1.5,
    buffer_write_byte=1.25, dram_read_byte=20, dram_write_byte=30, grain_bytes=1,
)  # fmt: skip
#: ZigZag 3.9.1's answers on its ``tpu_like`` chip, and that chip.
_TABLE: Final = (
    Path(__file__).parents[1] / "scripts" / "validate" / "recorded" / "zigzag-networks.csv"
)
TPU_LIKE: Final = Memories(
    rows=32, cols=32, weight_words=128, buffer_bytes=2 * 2**20, dram_bytes_per_cycle=8,
    mac=0.04, weight_read=0.095, weight_write=0.095, sum_read=0.021, sum_write=0.021,
    buffer_read_byte=416.16 / 256, buffer_write_byte=378.4 / 256,
    dram_read_byte=700 / 8, dram_write_byte=750 / 8,
)  # fmt: skip
#: Groups, filters, channels, rows, columns, kernel rows and columns, stride, input rows, columns.
LAYERS = (
    Product(1, 4, 4, 4, 1, 1, 1, 1, 4, 1),
    Product(1, 4, 2, 3, 1, 3, 1, 1, 5, 1),
    Product(2, 2, 4, 2, 2, 1, 1, 1, 2, 2),
    Product(1, 6, 4, 2, 1, 2, 1, 2, 4, 1),
    Product(1, 6, 4, 1, 1, 2, 1, 1, 2, 1),
)


def _factors(number: int) -> list[int]:
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found


def _nests(sizes: Product, memories: Memories) -> Iterator[Nest]:
    """Every order of the prime factors with every place of every boundary."""
    steps = list(sizes.loops)
    steps[1] = -(-sizes.filters // memories.cols)
    steps[2] = -(-sizes.channels // memories.rows)
    loops = [(d, f) for d, n in zip(DIMENSIONS, steps, strict=True) for f in _factors(n)]
    for order in sorted(set(permutations(loops))):
        at_bottom = 0
        while at_bottom < len(order) and order[at_bottom][0] in "CRS":
            at_bottom += 1
        places = range(len(order) + 1)
        for sums, *others in product(range(at_bottom + 1), places, places, places):
            if sums <= others[2]:
                yield Nest(order, sums, *others)


@pytest.mark.parametrize(
    "sizes, words, port", [*((sizes, 6, 1.5) for sizes in LAYERS), (LAYERS[-1], 1, 16)]
)
def test_no_nest_is_better_than_the_best(sizes: Product, words: int, port: float) -> None:
    array = replace(ARRAY, weight_words=words, dram_bytes_per_cycle=port)
    aims: tuple[Aim, ...] = ("latency", "energy", "product")
    least = dict.fromkeys(aims, np.inf)
    for nest in _nests(sizes, array):
        try:
            costs = nest_costs(sizes, array, nest)
        except UsageError:  # a tile does not fit
            continue
        for aim in aims:
            least[aim] = min(least[aim], float(costs.of(aim)))
    for aim in aims:
        nest, costs = best_nest(sizes, array, aim)
        assert float(costs.of(aim)) == pytest.approx(least[aim], rel=1e-12)
        assert float(nest_costs(sizes, array, nest).of(aim)) == pytest.approx(least[aim], rel=1e-12)


def _walk(sizes: Product, loops: tuple[Loop, ...], inside: int, seen: str) -> int:
    """Loads of a tile: how often what the loops outside show of a tensor changes."""
    outside = [(d, n) for d, n in reversed(loops[inside:])]
    before: tuple[int, ...] | None = None
    changes = 0
    for step in np.ndindex(*(n for _, n in outside)):
        now = tuple(k for (d, _), k in zip(outside, step, strict=True) if d in seen)
        changes += now != before
        before = now
    return changes


@pytest.mark.parametrize("seed", range(20))
def test_weights_are_loaded_when_the_walk_through_the_loops_changes_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = LAYERS[seed % len(LAYERS)]
    loops = next(_nests(sizes, ARRAY)).loops
    order = tuple(loops[k] for k in rng.permutation(len(loops)))
    roomy = replace(ARRAY, weight_words=10**6, buffer_bytes=1e9)
    place = int(rng.integers(len(order) + 1))
    nest = Nest(order, 0, place, len(order), len(order))
    tile = int(np.prod([n for d, n in order[:place] if d in "GKCRS"]))
    loads = _walk(sizes, order, place, "GKCRS")
    weights = sizes.groups * sizes.filters * sizes.channels
    weights *= sizes.kernel_height * sizes.kernel_width
    steps = int(np.prod([n for d, n in order if d in "GKCRS"]))
    costs = nest_costs(sizes, roomy, nest)
    whole = nest_costs(sizes, roomy, Nest(order, 0, len(order), len(order), len(order)))
    moved = float(costs.dram_bytes) - float(whole.dram_bytes)
    assert moved == pytest.approx(weights * (tile * loads / steps - 1))


def test_time_is_that_of_the_slower_of_arithmetic_and_dram() -> None:
    sizes = LAYERS[0]  # 2 x 2 x 4 = 16 cycles; 16 weights, inputs and outputs, 1.5 bytes a cycle
    roomy = replace(ARRAY, weight_words=100, buffer_bytes=1e9)
    nest = Nest((("Y", 4), ("K", 2), ("C", 2)), 0, 3, 3, 3)
    costs = nest_costs(sizes, roomy, nest)
    assert costs.arithmetic == 16 and float(costs.dram_cycles) == 32
    assert float(costs.cycles) == 32 + 2  # and two cycles until the last sum is out
    fast = replace(roomy, dram_bytes_per_cycle=1e6)
    assert float(nest_costs(sizes, fast, nest).cycles) == pytest.approx(18, abs=1e-3)


def test_two_layers_keep_what_is_between_them_where_it_fits() -> None:
    first = Product(1, 4, 4, 4, 1, 1, 1, 1, 4, 1)
    second = Product(1, 2, 4, 4, 1, 1, 1, 1, 4, 1)
    apart = [best_nest(sizes, ARRAY, "energy")[1] for sizes in (first, second)]
    pair = best_pair(first, second, ARRAY, "energy")
    assert pair.fused
    saved = sum(float(costs.dram_bytes) for costs in apart) - sum(
        float(costs.dram_bytes) for costs in pair.costs
    )
    assert saved == 2 * 16  # written once, read once
    assert pair.energy_pj < sum(float(costs.energy_pj) for costs in apart)
    small = replace(ARRAY, buffer_bytes=17)
    assert not best_pair(first, second, small, "energy").fused
    with pytest.raises(UsageError, match="reads"):
        best_pair(second, first, ARRAY, "energy")


def test_a_nest_that_does_not_fit_is_refused() -> None:
    sizes = LAYERS[0]
    nest = Nest((("Y", 4), ("K", 2), ("C", 2)), 0, 3, 3, 3)
    with pytest.raises(UsageError, match="element"):
        nest_costs(sizes, replace(ARRAY, weight_words=3), nest)
    with pytest.raises(UsageError, match="buffer"):
        nest_costs(sizes, replace(ARRAY, buffer_bytes=8), nest)
    with pytest.raises(UsageError, match="are not those"):
        nest_costs(sizes, ARRAY, Nest((("Y", 4),), 0, 1, 1, 1))
    with pytest.raises(UsageError, match="fits"):
        best_nest(sizes, replace(ARRAY, buffer_bytes=1))


def _recorded() -> Iterator[tuple[dict[str, str], Product, Nest]]:
    with _TABLE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names = ("groups", "filters", "channels", "out", "in", "kernel", "stride")
            groups, filters, channels, out, side, kernel, stride = (int(row[n]) for n in names)
            sizes = Product(groups, filters, channels, out, out, kernel, kernel, stride, side, side)
            loops = tuple((word[0], int(word[1:])) for word in row["loops"].split())
            ends = (int(row[n]) for n in ("sums", "weights", "inputs", "outputs"))
            yield row, sizes, Nest(loops, *ends)


def test_zigzags_mappings_take_what_zigzag_says() -> None:
    totals = dict.fromkeys(("resnet18", "mobilenetv2"), (0.0, 0.0))
    seen = 0
    for row, sizes, nest in _recorded():
        if row["aim"] != "latency":
            continue
        seen += 1
        costs = nest_costs(sizes, TPU_LIKE, nest)
        assert float(costs.energy_pj) == pytest.approx(float(row["energy_pj"]), rel=0.04)
        for name, (theirs, ours) in totals.items():
            often = int(row[name])
            totals[name] = (
                theirs + often * float(row["cycles"]),
                ours + often * float(costs.cycles),
            )
    assert seen == 43
    for theirs, ours in totals.values():
        assert ours == pytest.approx(theirs, rel=0.03)


@pytest.mark.parametrize("aim", ["energy", "product"])
def test_the_best_nest_is_at_least_as_good_as_zigzags(aim: Aim) -> None:
    for row, sizes, nest in _recorded():
        if row["aim"] == aim:
            theirs = float(nest_costs(sizes, TPU_LIKE, nest).of(aim))
            assert float(best_nest(sizes, TPU_LIKE, aim)[1].of(aim)) <= theirs * (1 + 1e-9)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rows": 0}, "rows must be a whole number from 1 on, got 0"),
        ({"cols": "32"}, "cols must be a whole number"),
        ({"mac": math.nan}, "mac must be a number from 0 on, got nan"),
        ({"dram_bytes_per_cycle": 0}, "dram_bytes_per_cycle must be a number"),
    ],
)
def test_memories_that_are_none_are_told(wrong, told):
    with pytest.raises(UsageError, match=told):
        best_nest(Product(1, 4, 4, 4, 4, 1, 1, 1, 4, 4), replace(ARRAY, **wrong))


def test_sizes_and_aims_that_are_none_are_told():
    with pytest.raises(UsageError, match="channels must be a whole number from 1 on, got -3"):
        best_nest(Product(1, 4, -3, 4, 4, 1, 1, 1, 4, 4), ARRAY)
    with pytest.raises(UsageError, match="aim must be one of latency, energy, product, got 'spe"):
        best_nest(Product(1, 4, 4, 4, 4, 1, 1, 1, 4, 4), ARRAY, "speed")
