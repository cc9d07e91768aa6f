"""What a front shows: rows told apart in print, and picks that stay inside what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from flash.search import search
from flash.search.picks import Choice, written_apart


def test_rows_that_six_digits_cannot_tell_from_better_ones_are_not_written():
    values = np.array(
        [
            [60.0, 2.0],
            [60.000001, 2.0000001],  # in print equal to the first: stays
            [60.0000004, 2.00001],  # in print as accurate, and slower
            [61.0, 3.0],
            [0.0, 1.0],
        ]
    )
    assert written_apart(values, [-1, 1]).tolist() == [True, True, False, True, True]


def test_rows_of_all_sizes_are_rounded_to_six_digits():
    values = np.array([[1e9, -1.234567], [1e9 + 100, -1.2345671]])
    assert written_apart(values, [1, 1]).tolist() == [True, True]
    values[1, 1] = -1.23456
    assert written_apart(values, [1, 1]).tolist() == [True, False]


@pytest.fixture(scope="module")
def report():
    return search("rpi3b", optimizer="exact", max_latency_ms=8.0)


def picks(designs):
    """designs: (low, value, high) of latency and of accuracy, and whether they are outside."""
    latency, accuracy = (np.array([one[k] for one in designs], dtype=float) for k in (0, 1))
    ends = {
        "latency_ms": (latency[:, 1], latency[:, 0], latency[:, 2]),
        "accuracy": (accuracy[:, 1], accuracy[:, 0], accuracy[:, 2]),
    }
    values = np.stack([accuracy[:, 1], latency[:, 1]], axis=1)
    outside = np.array([one[2] for one in designs])
    names = ["accuracy", "latency_ms"]
    return Choice(names, [-1.0, 1.0], values, ends, outside, accuracy[:, 1]).best()


def test_a_pick_prefers_what_was_measured_where_its_interval_reaches():
    designs = [
        ((1.0, 2.0, 4.0), (50, 55, 60), True),
        ((2.1, 3.0, 4.0), (50, 57, 62), False),
        ((9.0, 10.0, 11.0), (60, 65, 70), False),
        ((20.0, 30.0, 40.0), (60, 66, 72), True),
    ]
    assert picks(designs)[0] == 0  # 2.1 ms does not reach 2.0 ms
    designs[1] = ((1.9, 3.0, 4.0), (50, 57, 62), False)
    assert picks(designs)[0] == 1
    assert picks(designs)[2] == 2  # 70 reaches 66
    designs[2] = ((9.0, 10.0, 11.0), (60, 65, 65.9), False)
    assert picks(designs)[2] == 3
    inside = [(*one[:2], False) for one in designs]
    assert picks(inside)[0] == 0 and picks(inside)[2] == 3


def test_the_report_says_what_the_picks_are(report):
    assert any(note.startswith("picks: fastest has the least latency") for note in report.notes)
