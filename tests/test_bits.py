"""What few bits cost in accuracy: published pairs, their range, and where a search says it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from flash.accuracy.bits import (
    PAIRS,
    TRAINED_HERE,
    Pair,
    beyond,
    drop_of,
    drop_without,
    quantization_drop,
)
from flash.search import search

#: The other variables of one chip.
_CHIP = {"rows": 32, "cols": 32, "buffer_kib": 256, "dataflow": "ws", "frequency_mhz": 800}


@pytest.mark.parametrize(
    "pair",
    # Published by others than those whose networks the range is made of: HAWQ-V3's model zoo,
    # RedBit's wiki (MNIST), and two READMEs (CIFAR-10), see scripts/validate/bits.py.
    [
        Pair("", "ResNet18", 71.47, 71.56),
        Pair("", "ResNet50", 77.72, 77.58),
        Pair("", "LeNet-5", 99.69, 99.52),
        Pair("", "VGG16-mini", 79.66, 79.63),
        Pair("", "ResNet-20", 91.53, 91.55),
    ],
    ids=lambda pair: pair.network,
)
def test_eight_bits_of_others_lie_in_the_range(pair):
    drop = quantization_drop(8)
    assert drop.low <= pair.points <= drop.high
    assert drop.low < 0 < drop.points < 0.5 < drop.high < 2


def test_most_pairs_of_a_kind_left_out_lie_in_the_range_of_the_others():
    pairs, held = PAIRS[8], 0
    for kind in {pair.kind for pair in pairs}:
        own = [pair for pair in pairs if pair.kind == kind]
        held += beyond(drop_without(8, kind), own).count(0.0)
    assert held >= 0.9 * len(pairs)


def test_a_range_that_kinds_left_out_miss_is_widened_until_nine_of_ten_are_in():
    pairs = PAIRS[4]
    far = [beyond(drop_without(4, pair.kind), [pair])[0] for pair in pairs]
    assert sum(points == 0 for points in far) < 0.9 * len(pairs)
    plain, stated = drop_of(4, pairs), quantization_drop(4)
    more = stated.high - plain.high
    assert plain.low - stated.low == pytest.approx(more) and stated.points == plain.points
    assert sum(points <= more + 1e-9 for points in far) >= 0.9 * len(pairs)
    assert sum(points < more - 1e-9 for points in far) < 0.9 * len(pairs)
    # Eight bits need none.
    assert quantization_drop(8) == drop_of(8, PAIRS[8])


def test_the_range_is_made_of_the_pairs_own_ends():
    few = tuple(Pair("a", str(k), 50.0 + k, 50.0) for k in range(9))
    drop = drop_of(4, few)
    assert (drop.low, drop.points, drop.high, drop.pairs) == (0.0, 4.0, 8.0, 9)
    # Of 39 the second smallest and largest: (39 + 1) / 20.
    many = tuple(Pair("a", str(k), 50.0 + k, 50.0) for k in range(39))
    assert (drop_of(8, many).low, drop_of(8, many).high) == (1.0, 37.0)


@pytest.mark.parametrize("bits, before", [(8, "float"), (4, "float_plus")])
def test_networks_trained_here_lie_in_the_ranges(bits, before):
    table = Path(__file__).parents[1] / "scripts" / "validate" / "recorded" / "bits-trained.csv"
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    drop = drop_without(bits, TRAINED_HERE)
    points = [float(row[before]) - float(row[f"int{bits}"]) for row in rows]
    assert len(points) == 3
    assert all(drop.low <= one <= drop.high for one in points)


def test_of_other_bits_nothing_is_said():
    assert quantization_drop(16) is None and quantization_drop(32) is None


def test_networks_with_convolutions_in_groups_have_pairs_of_eight_bits_only():
    assert quantization_drop(4, grouped=True) is None
    assert quantization_drop(8, grouped=True) == quantization_drop(8)


def test_accuracy_and_interval_are_those_after_the_drop():
    drop = quantization_drop(4)
    value, low, high = (np.array([end, 100.0, 0.1]) for end in (90.0, 85.0, 93.0))
    found = drop.widened(value, low, high)
    assert found[0][0] == pytest.approx(90 - drop.points)
    # Independent errors: squares add up.
    assert found[0][0] - found[1][0] == pytest.approx(np.hypot(5, drop.high - drop.points))
    assert found[2][0] - found[0][0] == pytest.approx(np.hypot(3, drop.points - drop.low))
    assert all((end >= 0).all() and (end <= 100).all() for end in found)
    assert (found[1] <= found[0]).all() and (found[0] <= found[2]).all()


def test_a_search_of_an_eight_bit_chip_takes_off_what_eight_bits_cost():
    drop = quantization_drop(8)
    eight, sixteen = (search("systolic", hardware={"bits": b, **_CHIP}) for b in (8, 16))
    assert str(drop) in eight.notes
    assert not any("quantization" in note for note in (*sixteen.notes, *search("rpi4b").notes))
    of_floats = {tuple(x.design.items()): x.accuracy for x in sixteen.front}
    same = [
        (x.accuracy, of_floats[tuple(x.design.items())])
        for x in eight.front
        if tuple(x.design.items()) in of_floats
    ]
    assert same
    for few, many in same:
        assert many.value - few.value == pytest.approx(drop.points)
        assert few.high - few.low > many.high - many.low


def test_estimate_and_search_say_the_same_accuracy_of_a_design_on_a_chip():
    from flash.estimate import estimate

    report = search("systolic", hardware={"bits": 4, **_CHIP})
    design = report.front[0]
    (row,) = estimate(
        space="cifar10-concat",
        designs=[" ".join(design.description.split(" on ")[0].split())],
        target="systolic",
        hardware=dict(design.hardware),
    )
    assert row["accuracy"] == pytest.approx(design.accuracy.value)
    assert row["accuracy_low"] == pytest.approx(design.accuracy.low)
