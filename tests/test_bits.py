"""What few bits cost in accuracy: published pairs, their range, and where a search says it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from flash.accuracy.bits import PUBLISHED, Pair, drop_of, quantization_drop
from flash.search import search


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
    pairs, held = PUBLISHED[8], 0
    for kind in {pair.kind for pair in pairs}:
        drop = drop_of(8, tuple(pair for pair in pairs if pair.kind != kind))
        own = [pair.points for pair in pairs if pair.kind == kind]
        held += sum(drop.low - 1e-9 <= points <= drop.high + 1e-9 for points in own)
    assert held >= 0.85 * len(pairs)


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
    drop = quantization_drop(bits)
    points = [float(row[before]) - float(row[f"int{bits}"]) for row in rows]
    assert len(points) == 3
    assert all(drop.low <= one <= drop.high for one in points)


def test_of_other_bits_nothing_is_said():
    assert quantization_drop(16) is None and quantization_drop(32) is None


def test_a_search_of_an_eight_bit_chip_says_what_eight_bits_cost():
    said = str(quantization_drop(8))
    assert said in search("systolic", hardware="default").notes
    assert not any("quantization" in note for note in search("rpi4b").notes)
