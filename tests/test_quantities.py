"""Quantities: what people type is read exactly or refused with one line they can act on."""

from __future__ import annotations

import argparse
import doctest
import functools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flash import quantities as q
from flash.errors import UsageError


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (q.parse_latency_ms, "20ms", 20.0),
        (q.parse_latency_ms, " 20 ms ", 20.0),
        (q.parse_latency_ms, "0.3s", 300.0),
        (q.parse_latency_ms, "7us", 0.007),
        (q.parse_latency_ms, "7\u00b5s", 0.007),
        (q.parse_latency_ms, "7\u03bcs", 0.007),
        (q.parse_latency_ms, "1e-3s", 1.0),
        (q.parse_latency_ms, ".5ms", 0.5),
        (q.parse_energy_mj, "5mJ", 5.0),
        (q.parse_energy_mj, "300uJ", 0.3),
        (q.parse_energy_mj, "1.5 J", 1500.0),
        (q.parse_memory_kb, "8MB", 8000.0),
        (q.parse_memory_kb, "1B", 1e-3),
        (q.parse_memory_kb, "64kB", 64.0),
        (q.parse_memory_kb, "64KB", 64.0),
        (q.parse_memory_kb, "64KiB", 65536 / 1e3),
        (q.parse_memory_kb, "2MiB", 2 * 1024**2 / 1e3),
        (q.parse_memory_kb, "1GB", 1e6),
        (q.parse_memory_kb, "1GiB", 1024**3 / 1e3),
        (q.parse_area_mm2, "40mm2", 40.0),
        (q.parse_area_mm2, "40mm\u00b2", 40.0),
        (q.parse_area_mm2, "9000um2", 0.009),
        (q.parse_accuracy_percent, "92", 92.0),
        (q.parse_accuracy_percent, "92.5 %", 92.5),
    ],
)
def test_a_quantity_with_a_unit_is_read_exactly(parse, text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (q.parse_latency_ms, "20", "20: give a unit, e.g. 20ms, 20us or 20s"),
        (q.parse_energy_mj, "2.5", "give a unit, e.g. 2.5mJ, 2.5uJ or 2.5J"),
        (q.parse_memory_kb, "8", "give a unit, e.g. 8MB, 8MiB or 8kB"),
        (q.parse_area_mm2, "40", "give a unit, e.g. 40mm2 or 40um2"),
        (q.parse_latency_ms, "20MS", "unknown unit 'MS' (did you mean 'ms'?)"),
        (q.parse_latency_ms, "20msec", "unknown unit 'msec' (did you mean 'ms'?)"),
        (q.parse_memory_kb, "8mb", "did you mean 'MB'?"),
        (q.parse_memory_kb, "8M", "did you mean 'MB'?"),
        (q.parse_energy_mj, "5MJ", "did you mean 'mJ'?"),
        (q.parse_latency_ms, "5mJ", "mJ is a unit of energy; a latency is in us, ms or s"),
        (q.parse_latency_ms, "20 parsecs", "unknown unit 'parsecs' (known: ms, s, us)"),
        (q.parse_latency_ms, "0ms", "above zero"),
        (q.parse_latency_ms, "-5ms", "above zero"),
        (q.parse_latency_ms, "nan", "finite"),
        (q.parse_latency_ms, "nanms", "finite"),
        (q.parse_latency_ms, "inf s", "finite"),
        (q.parse_latency_ms, "-Infinity", "finite"),
        (q.parse_latency_ms, "1e999ms", "out of range"),
        (q.parse_latency_ms, "1e308s", "out of range"),
        (q.parse_latency_ms, "1e-400ms", "above zero"),
        (q.parse_latency_ms, "", "expected a latency such as 20ms, 20us or 20s"),
        (q.parse_latency_ms, "fast", "expected a latency"),
        (q.parse_latency_ms, "fast\nslow", "fast slow: expected a latency"),
        (q.parse_latency_ms, "1,5ms", "expected a latency"),
        (q.parse_latency_ms, "1_000ms", "unknown unit '_000ms'"),
        (q.parse_latency_ms, "20ms 5us", "expected a latency"),
        (q.parse_accuracy_percent, "0.92", "did you mean 92%?"),
        (q.parse_accuracy_percent, "101", "at most 100"),
        (q.parse_accuracy_percent, "-3", "above 0"),
        (q.parse_accuracy_percent, "high", "e.g. 92 or 92%"),
    ],
)
def test_what_is_no_quantity_is_refused_with_one_line_that_helps(parse, text, says):
    with pytest.raises(UsageError) as caught:
        parse(text, "--limit")
    message = str(caught.value)
    assert says in message
    assert message.startswith("--limit ")
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_the_message_names_the_option_when_argparse_calls_the_parser():
    parser = argparse.ArgumentParser()
    parse = functools.partial(q.parse_latency_ms, option="--max-latency")
    parser.add_argument("--max-latency", type=parse)
    assert parser.parse_args(["--max-latency", "20ms"]).max_latency == 20.0
    with pytest.raises(UsageError, match=r"^--max-latency 20: give a unit, e\.g\. 20ms, 20us or"):
        parser.parse_args(["--max-latency", "20"])


@example("0\x85")  # a line break to Python, no white space to an ASCII pattern
@given(st.text(max_size=12))
def test_any_text_is_read_as_a_positive_number_or_refused_in_one_line(text):
    try:
        assert 0 < q.parse_memory_kb(text) < float("inf")
    except UsageError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (q.format_latency(12.345), "12.3 ms"),
        (q.format_latency(0.0321), "32.1 us"),
        (q.format_latency(0.9999), "1.00 ms"),
        (q.format_latency(999.9), "1.00 s"),
        (q.format_latency(1234567.0), "1235 s"),
        (q.format_latency(0.000012), "0.0120 us"),
        (q.format_energy(5.1), "5.10 mJ"),
        (q.format_memory(524.288), "524 kB"),
        (q.format_memory(8000), "8.00 MB"),
        (q.format_memory(0.001), "1.00 B"),
        (q.format_area(40), "40.0 mm2"),
        (q.format_number(9.996), "10.0"),
        (q.format_number(-0.5), "-0.500"),
        (q.format_number(3.14159, 4), "3.142"),
        (q.format_count(950), "950"),
        (q.format_count(999_900), "1.00M"),
        (q.format_count(63_200_000_000), "63.2G"),
        (q.format_count(0), "0"),
        (q.count_in_words(0), "0"),
        (q.count_in_words(6_561), "6,561"),
        (q.count_in_words(999_999), "1.00 million"),
        (q.count_in_words(134_217_728_000), "134 billion"),
        (q.count_in_words(1.35e15), "1.35e15"),
    ],
)
def test_quantities_are_shown_with_three_digits_and_the_unit_that_suits(shown, expected):
    assert shown == expected


@given(st.floats(min_value=1e-4, max_value=1e6))
def test_a_shown_latency_reads_back_within_its_rounding(latency_ms):
    assert q.parse_latency_ms(q.format_latency(latency_ms)) == pytest.approx(latency_ms, rel=0.006)


def test_the_examples_in_the_documentation_hold():
    assert doctest.testmod(q).failed == 0


@pytest.mark.parametrize("named", ["", "x="])
@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ("1x3x99999999999x9", "expected sizes up to 999,999,999, one is too large"),
        ("0x3x8x8", "expected sizes of 1 or more, got 0"),
        ("1x00x8", "expected sizes of 1 or more, got 0"),
    ],
)
def test_sizes_that_cannot_be_are_told_apart_from_what_are_no_sizes(named, sizes, why):
    with pytest.raises(UsageError, match=why) as refused:
        q.parse_only_input(None, [named + sizes])
    assert str(refused.value).startswith(f"--input {named.rstrip('=')}".rstrip() + f" {sizes}: ")
    with pytest.raises(UsageError, match=why):
        q.parse_only_input(sizes, [])
    with pytest.raises(UsageError, match="expected (sizes such as |NAME=)1x3x224x224"):
        q.parse_only_input(None, [f"{named}1x3xbig"])
