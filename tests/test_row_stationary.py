"""Row stationary: the published mapping, what bounds a pass, zeros, batches, wrong profiles."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import ProfileError, UsageError
from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space
from flash.targets import load_hardware
from flash.targets.systolic.costs import layer_reports, systolic_costs
from flash.targets.systolic.passes import Zeros
from flash.targets.systolic.profile import load_systolic
from flash.targets.systolic.row_stationary import Shape, best_mapping, run_length_share

EYERISS = load_systolic("eyeriss-like")
ARRAY = EYERISS.row_stationary
CHIP = {name: values[0] for name, values in EYERISS.variables.items()}

#: AlexNet's convolutions, a group each, and Table III of JSSC 2017: m, n, e, p, q, r, t.
PUBLISHED = [
    (Shape(3, 96, 55, 55, 227, 227, 11, 11, 4), (96, 1, 7, 16, 1, 1, 2)),
    (Shape(48, 128, 27, 27, 31, 31, 5, 5, 1), (64, 1, 27, 16, 2, 1, 1)),
    (Shape(256, 384, 13, 13, 15, 15, 3, 3, 1), (64, 4, 13, 16, 4, 1, 4)),
    (Shape(192, 192, 13, 13, 15, 15, 3, 3, 1), (64, 4, 13, 16, 3, 2, 2)),
    (Shape(192, 128, 13, 13, 15, 15, 3, 3, 1), (64, 4, 13, 16, 3, 2, 2)),
]


@pytest.mark.parametrize(("shape", "published"), PUBLISHED)
def test_the_mapping_is_the_published_one(shape, published):
    m = best_mapping(shape, 12, 14, ARRAY, 4, 2)
    own = (m.kept_filters, m.images, m.strip, m.filters, m.channels, m.channel_sets, m.filter_sets)
    assert own == published


@pytest.mark.parametrize(("shape", "_"), PUBLISHED)
def test_a_mapping_fits_its_scratchpads_and_buffer(shape, _):
    m = best_mapping(shape, 12, 14, ARRAY, 4, 2)
    assert m.filters <= ARRAY.sum_words
    assert m.filters * m.channels * shape.kernel_width <= ARRAY.filter_words
    assert m.channels * shape.kernel_width <= ARRAY.input_words
    rows = (m.strip - 1) * shape.stride + shape.kernel_height
    inputs = m.images * m.channels * m.channel_sets * rows * shape.in_width
    sums = m.images * m.kept_filters * m.strip * shape.out_width
    assert 2 * (inputs + sums) <= ARRAY.buffer_bytes
    assert m.active <= 12 * 14
    macs = shape.channels * shape.filters * shape.kernel_height * shape.kernel_width
    assert m.cycles >= 4 * macs * shape.out_height * shape.out_width / m.active


def _conv(channels=64, filters=64, side=28, kernel=3):
    e = GraphEmitter()
    source = e.source(channels, side, side)
    return e.network(source, e.conv(source, filters, kernel, norm=False, act="")).layers


def test_zeros_save_energy_and_dram_but_no_array_time():
    layers = _conv()
    (dense,) = layer_reports(layers, EYERISS, CHIP)
    (sparse,) = layer_reports(layers, EYERISS, CHIP, {layers[0].name: Zeros(0.6, 0.6)})
    assert sparse.compute_cycles == dense.compute_cycles
    assert sparse.mac_uj == pytest.approx(0.4 * dense.mac_uj)
    assert sparse.dram_bytes < dense.dram_bytes
    (said,) = layer_reports(layers, EYERISS, CHIP | {"zeros_percent": 60})
    assert said == sparse


def test_a_batch_shares_the_weights():
    layers = _conv(256, 256, 7)
    (one,), (four,) = (layer_reports(layers, EYERISS, CHIP | {"batch": n}) for n in (1, 4))
    assert four.dram_bytes < 0.5 * one.dram_bytes
    assert four.macs == one.macs


def test_the_run_length_code_never_makes_values_longer():
    assert run_length_share(0.0) == 1.0
    # Zeros and values in random order, coded by hand: 31 zeros at most before a value.
    rng = np.random.default_rng(0)
    values, codes, run = rng.random(20_000) >= 0.8, 0, 0
    for value in values:
        codes += value or run == 31
        run = 0 if value or run == 31 else run + 1
    assert run_length_share(0.8) == pytest.approx(codes * 64 / 3 / (16 * len(values)), rel=0.03)


def test_tables_price_designs_as_reports_do(rng):
    space = load_space("cifar10-concat")
    indices = space.sample(2, rng)
    costs = systolic_costs(space.table(indices), EYERISS, CHIP)
    for row, design in enumerate(indices):
        reports = layer_reports(space.network(design).live().layers, EYERISS, CHIP)
        assert costs["latency_ms"][row] == pytest.approx(sum(x.latency_ms for x in reports))
        assert costs["energy_mj"][row] == pytest.approx(sum(x.energy_mj for x in reports))


def test_row_stationary_needs_an_array_of_its_own(tmp_path):
    with pytest.raises(UsageError, match="has no row-stationary array"):
        load_hardware("systolic").target("dataflow=rs")
    text = open_profile("eyeriss-like").replace('dataflow = ["rs"]', 'dataflow = ["ws", "rs"]')
    path = tmp_path / "both.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError, match=r"stands alone and needs a \[row_stationary\] table"):
        load_systolic(str(path))


def open_profile(name):
    from flash.targets.profile_files import find_profile

    return find_profile(name)[0].read_text(encoding="utf-8")
