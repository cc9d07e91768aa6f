"""Components: against the published models they are fitted to, and against sense."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import shared_folder
from hypothesis import given
from hypothesis import strategies as st

from flash.errors import UsageError
from flash.files.locations import data_file
from flash.spaces.space import load_space
from flash.targets import load_target
from flash.targets.components import (
    COMPONENTS,
    PublishedPart,
    area_scale,
    component,
    energy_scale,
    models_of,
)
from flash.testing import ComponentConformance


def mac(bits, node, model="aladdin"):
    return component("mac", model, node, bits=bits)


def sram_area_mm2(kib, node):
    return component("sram", "cacti7", node, kib=kib).area_mm2


def sram_read_pj(kib, node, bits=64):
    return component("sram", "cacti7", node, kib=kib).energy_pj["read"] * bits


def sram_write_pj(kib, node, bits=64):
    return component("sram", "cacti7", node, kib=kib).energy_pj["write"] * bits


@pytest.fixture(scope="module")
def cacti():
    """Runs of CACTI 7 with a 64-bit port: (node, KiB, area mm2, read pJ, write pJ)."""
    path = shared_folder() / "data" / "accelerators" / "cacti7_sram_hwcomponents.csv"
    if not path.exists():
        pytest.skip("CACTI 7 runs are not on this machine")
    with path.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["port_width_bits"] == "64"]
    names = ("node_nm", "size_KB", "area_mm2", "read_pJ_per_access", "write_pJ_per_access")
    return np.array([[float(row[name]) for name in names] for row in rows])


@pytest.mark.parametrize(
    ("column", "model", "within"),
    [(2, sram_area_mm2, 0.103), (3, sram_read_pj, 0.192), (4, sram_write_pj, 0.116)],
)
def test_sram_is_as_near_to_cacti_as_documented(cacti, column, model, within):
    assert len(cacti) == 52
    ratio = np.array([model(row[1], row[0]) for row in cacti]) / cacti[:, column]
    assert np.abs(np.log(ratio)).max() < np.log1p(within)


def test_published_mac_figures_are_reproduced_at_five_nodes():
    # hwcomponents-library: Aladdin's units scaled by Stillmaker & Baas, 8-bit and 16-bit.
    published = {
        45: (1.03, 783, 3.89, 2727), 32: (0.68, 358, 2.56, 1246), 28: (0.53, 293, 2.00, 1021),
        16: (0.179, 147, 0.675, 512), 7: (0.097, 46, 0.367, 161),
    }  # fmt: skip
    for node, (pj8, um8, pj16, um16) in published.items():
        assert mac([8, 16], node).energy_pj["mac"] == pytest.approx([pj8, pj16], rel=0.01)
        assert 1e6 * mac([8, 16], node).area_mm2 == pytest.approx([um8, um16], rel=0.01)


def test_sram_between_and_below_the_known_nodes():
    at = {node: float(sram_area_mm2(64, node)) for node in (7, 16, 22, 28, 32)}
    assert at[22] < at[28] < at[32]
    assert at[16] / at[22] == pytest.approx(area_scale(22, 16))
    # Published bit cells: 22 nm 0.092 to 0.108, 7 nm 0.027 um2.
    assert 0.027 / 0.108 * 0.8 < at[7] / at[22] < 0.027 / 0.092 * 1.2


def test_register_file_is_dearer_than_sram_in_area_and_cheaper_in_energy():
    kib = 8 * 1024
    flip_flop = component("register", "aladdin", 32)
    assert kib * flip_flop.area_mm2 > 5 * sram_area_mm2(1, 32)
    assert 64 * flip_flop.energy_pj["write"] < sram_read_pj(1, 32)


def test_horowitz_has_the_cheaper_multiplier():
    horowitz, aladdin = (mac(8, 45, model).energy_pj["mac"] for model in ("horowitz", "aladdin"))
    assert 0.2 < horowitz / aladdin < 0.4
    assert horowitz == pytest.approx(0.3)


@given(st.floats(1, 4096), st.floats(1, 4096), st.sampled_from([7.0, 14.0, 22.0, 28.0, 45.0, 65.0]))
def test_a_larger_sram_is_never_smaller_or_cheaper(a, b, node):
    small, large = sorted((a, b))
    for quantity in (sram_area_mm2, sram_read_pj, sram_write_pj):
        assert quantity(small, node) <= quantity(large, node)


@given(st.floats(7, 65), st.floats(7, 65))
def test_scales_are_ratios_and_smaller_nodes_are_smaller(a, b):
    small, large = sorted((a, b))
    for scale in (area_scale, energy_scale):
        assert scale(large, small) <= 1 + 1e-12
        assert scale(small, large) * scale(large, small) == pytest.approx(1)


def test_shapes_follow_the_arguments_and_no_memory_costs_nothing():
    assert sram_area_mm2(np.array([0.0, 1.0]), 32).tolist() == [0.0, pytest.approx(0.0017727)]
    assert sram_read_pj(np.full((3, 2), 8.0), 45).shape == (3, 2)
    assert sram_read_pj(8, 45, 128) == pytest.approx(2 * sram_read_pj(8, 45, 64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sram_area_mm2(8, 180), "no figures for 180 nm"),
        (lambda: component("dram", "LPDR4", 16), "did you mean 'LPDDR4'"),
        (lambda: mac(8, 45, "alladin"), "did you mean 'aladdin'"),
    ],
)
def test_what_is_not_known_is_refused(call, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        call()


class TestComponents(ComponentConformance):
    @pytest.fixture(params=[name for name in COMPONENTS.builtin if not name.startswith("dram.")])
    def model(self, request):
        return COMPONENTS[request.param]


class TestMemoryBesideTheChip(ComponentConformance):
    on_chip = False

    @pytest.fixture(params=[name for name in COMPONENTS.builtin if name.startswith("dram.")])
    def model(self, request):
        return COMPONENTS[request.param]


def test_the_library_has_every_part_of_both_accelerators():
    assert {name.partition(".")[0] for name in COMPONENTS} == {
        "sram", "dram", "mac", "register", "adc", "dac", "crossbar", "router",
        "column", "shift_add",
    }  # fmt: skip


@pytest.fixture
def dear():
    """A multiplier and a converter of one's own, ten times as dear as Aladdin's and ISAAC's."""

    def mac(node_nm, *, bits, **attributes):
        made = component("mac", "aladdin", node_nm, bits=bits)
        return replace(made, energy_pj={"mac": 10 * made.energy_pj["mac"]})

    def adc(node_nm, *, bits, rows, **attributes):
        made = component("adc", "isaac", node_nm, bits=bits, rows=rows)
        return replace(made, energy_pj={"convert": 10 * made.energy_pj["convert"]})

    for name, model in (("mac.dear", mac), ("adc.dear", adc)):
        COMPONENTS.add(name, model)
    yield
    for name in ("mac.dear", "adc.dear"):
        COMPONENTS.remove(name)


@pytest.mark.parametrize(
    ("profile", "old", "new", "part"),
    [
        ("systolic", '"aladdin", source', '"dear", source', "multipliers"),
        ("imc", '"isaac"\nadc_models = [', '"dear"\nadc_models = ["dear", ', "adc"),
    ],
)
def test_profiles_may_name_components_of_ones_own(dear, tmp_path, profile, old, new, part):
    text = data_file("hw_profiles", profile).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "own.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    space = load_space("cifar10-add")
    network = space.network(space.sample(1, np.random.default_rng(0))[0])
    before, after = (load_target(name).breakdown(network) for name in (profile, str(path)))
    share = after.energy_mj[part] / before.energy_mj[part]
    # A multiplier's share includes registers, whose energy is the same.
    assert share == pytest.approx(10) if part == "adc" else 5 < share < 10
    for name, energy in before.energy_mj.items():
        assert name == part or after.energy_mj[name] == pytest.approx(energy)


def test_a_published_part_by_hand_and_as_hardware_of_ones_own():
    part = PublishedPart("cell", 1000, 2.0, 0.5, "made up", reference_nm=45, cycle_ns=10)
    made = part(32)
    assert float(made.energy_pj["use"]) == pytest.approx(2.0 * 10 / 1000 * energy_scale(45, 32))
    assert float(made.area_mm2) == pytest.approx(0.5 / 1000 * area_scale(45, 32))
    assert float(made.leakage_mw) == pytest.approx(12.0 * float(made.area_mm2))
    assert float(part(32, cycle_ns=5).energy_pj["use"]) == pytest.approx(
        0.5 * float(made.energy_pj["use"])
    )
    COMPONENTS.add("dac.mine", part)
    try:
        assert "mine" in models_of("dac")
        assert component("dac", "mine", 45).sources["use"] == "made up"
    finally:
        COMPONENTS.remove("dac.mine")
