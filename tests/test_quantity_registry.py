"""The registry of quantities, and the one parser of numbers for every command."""

from __future__ import annotations

import dataclasses
import doctest
import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.errors import UsageError
from flash.proxies.registry import AGGREGATES, PROXIES
from flash.quantities import (
    QUANTITIES,
    Quantity,
    known_quantities,
    parse_count,
    parse_number,
    parse_seed,
    parse_sizes,
    parse_whole,
    quantity,
)


@pytest.mark.parametrize("module", ["registry", "numbers"])
def test_the_examples_are_right(module):
    assert doctest.testmod(importlib.import_module(f"flash.quantities.{module}")).failed == 0


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_name_ends_in_its_unit_and_what_is_written_is_read_back(name):
    found = quantity(name)
    if found.unit and found.unit != "%":
        assert name.endswith(f"_{found.unit.lower()}")
        assert found.columns == (
            name,
            f"{found.word}_low{name[len(found.word) :]}",
            f"{found.word}_high{name[len(found.word) :]}",
        )
    if found.parse is not parse_number:
        assert found.parse(found.format(12.5)) == 12.5
    assert dataclasses.replace(found) == found


def test_less_cost_and_more_score_are_better():
    senses = {name: quantity(name).sense for name in known_quantities()}
    costs = {name for name, sense in senses.items() if sense == "min"}
    assert costs == {
        "latency_ms",
        "energy_mj",
        "memory_kb",
        "weight_kb",
        "activation_kb",
        "area_mm2",
        "params",
        "macs",
    }
    assert {*PROXIES, *AGGREGATES} < set(senses)


def test_a_proxy_declares_its_own_and_a_wrong_name_gets_the_closest():
    assert quantity("naswot").label == "naswot"
    with pytest.raises(UsageError, match="did you mean 'latency_ms'"):
        quantity("latency")
    for wrong in ("latency ms", "1st", "größe", ""):
        with pytest.raises(ValueError, match="identifier"):
            Quantity(wrong, "x")
    with pytest.raises(ValueError, match="sense"):
        Quantity("x", "x", sense="up")


WRONG = [
    "", " ", "１２", "1_000", "inf", "-inf", "nan", "0x10", "1e", "--", "1,5", "1 2", "१",
    "9" * 50, "1e999", "\x00", "12\n",
]  # fmt: skip


@pytest.mark.parametrize("parse", [parse_whole, parse_number, parse_count, parse_seed, parse_sizes])
@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_plain_number_is_refused_in_one_line_with_the_option(parse, text):
    with pytest.raises(UsageError, match=r"\A--option .*: expected .*\Z") as error:
        parse(text, "--option")
    assert str(error.value).isprintable() and len(str(error.value)) < 200


@given(st.text(alphabet="0123456789.eE+-_ １०infa", max_size=12))
def test_a_number_taken_is_the_number_that_python_reads(text):
    try:
        value = parse_number(text, "--n", -1e30, 1e30)
    except UsageError:
        return
    assert text.isascii() and "_" not in text and value == float(text)


def test_bounds_are_inclusive_and_told():
    assert parse_whole("3", "--n", 3, 5) == 3 and parse_whole("5", "--n", 3, 5) == 5
    for text in ("2", "6"):
        with pytest.raises(UsageError, match="--n .: expected a whole number from 3 to 5"):
            parse_whole(text, "--n", 3, 5)
    with pytest.raises(UsageError, match="--n 1.5: expected a number from 0 to 1"):
        parse_number("1.5", "--n", 0, 1)
    assert parse_seed("9" * 18) == 10**18 - 1
    assert parse_count("1.5k") == 1500
    assert parse_sizes("1x8") == (1, 8)
