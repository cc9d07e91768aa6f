"""Intervals from chips: the rule for few kinds, and that profiles hold what recorded chips give."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from flash.fitting.intervals import new_kind_factors
from flash.targets.systolic.profile import load_systolic

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts" / "validate"


@pytest.fixture(scope="module")
def chips():
    spec = importlib.util.spec_from_file_location("validate_chips", SCRIPTS / "chips.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["validate_chips"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["validate_chips"]


def test_one_figure_a_kind_gives_the_prediction_interval_of_the_textbook():
    # Mean 0.2, deviation 0.1 of three values; t of a 90 % interval with 2 degrees of freedom 2.920.
    low, high = new_kind_factors([[0.1], [0.2], [0.3]], holds_one=False)
    half = 2.920 * 0.1 * (1 + 1 / 3) ** 0.5
    assert np.log([low, high]) == pytest.approx([0.2 - half, 0.2 + half], abs=2e-4)


def test_more_figures_of_the_same_kinds_do_not_narrow_the_interval():
    kinds = [[-0.4], [0.0], [0.5]]
    few = new_kind_factors(kinds)
    many = new_kind_factors([kind * 50 for kind in kinds])
    assert many == pytest.approx(few)


def test_the_interval_holds_the_model_and_needs_three_kinds():
    low, high = new_kind_factors([[0.50], [0.51], [0.52]])
    assert low == 1.0
    assert high > 1.6
    with pytest.raises(ValueError, match="at least 3 kinds, got 2"):
        new_kind_factors([[0.1, 0.2], [0.3]])


@pytest.mark.parametrize(
    ("kinds", "between", "inside"), [(3, 0.5, 0.2), (6, 0.3, 0.5), (8, 0.5, 0.0)]
)
def test_nine_in_ten_figures_of_new_kinds_lie_inside(kinds, between, inside):
    rng, hits, draws = np.random.default_rng(7), 0, 1500
    for _ in range(draws):
        known = [
            rng.normal(rng.normal(0, between), inside, rng.integers(1, 9)) for _ in range(kinds)
        ]
        low, high = new_kind_factors(known, holds_one=False)
        hits += low <= np.exp(rng.normal(rng.normal(0, between), inside)) <= high
    # Chance: 3 standard errors of 1,500 draws are 2.3 points; above is the safe side.
    assert hits / draws > 0.9 - 0.023


def test_profiles_hold_what_the_recorded_chips_give(chips, capsys):
    assert chips.check_errors(), capsys.readouterr().out


def test_each_chip_left_out_lies_in_the_interval_of_the_others(chips):
    held = chips.times()
    for grouped in (False, True):
        kinds = chips.by_kind([x for x in held if x.grouped is grouped])
        covered = []
        for name, ratios in kinds.items():
            low, high = new_kind_factors([np.log(r) for n, r in kinds.items() if n != name])
            covered.append(np.mean((ratios >= low) & (ratios <= high)))
        assert np.mean(covered) > 0.9


def test_published_chips_are_read_as_their_sources_have_them(chips):
    ratio = {(x.chip, x.workload): x.ratio for x in chips.times()}
    # NVDLA's primer: 269 frames a second of ResNet-50 with 2,048 multipliers at 1 GHz, and as many
    # multiply-adds (4.09e9) take 2.0 ms at full use; the model's time lies above.
    ideal_ms = 4.09e9 / 2048 / 1e6
    assert ratio["nvdla-2048", "resnet50"] < 1e3 / 269 / ideal_ms
    # VTA: TVM's own rate of a layer, 31.26 GFLOPS of 51.2 that 256 multipliers have at 100 MHz.
    assert ratio["vta-pynq", "conv 64 64 56 3 1"] < 51.2 / 31.26


def test_older_profiles_with_one_error_of_the_area_are_read(tmp_path):
    text = Path("hw_profiles/eyeriss-like.toml").read_text(encoding="utf-8")
    assert "area_error" in text
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    hardware = load_systolic(str(path))
    assert (1 / hardware.area_low - 1, 1 - 1 / hardware.area_high) == pytest.approx((0.093, 0.093))
