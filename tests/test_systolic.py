"""The systolic model: cycles against SCALE-Sim, traffic by hand, and what must always hold."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import shared_folder
from hypothesis import given, settings
from hypothesis import strategies as st

import flash.targets.shapes as shapes_module
from flash.errors import ProfileError, UsageError
from flash.files.locations import data_file
from flash.spaces.network import GraphEmitter
from flash.spaces.reference import reference_network
from flash.spaces.space import load_space
from flash.spaces.stage_tables import tabulate
from flash.spaces.table import network_table
from flash.targets import load_target
from flash.targets.components import component, energy_scale
from flash.targets.systolic.chip import (
    systolic_area_mm2,
    systolic_areas_mm2,
    systolic_weight_kb,
)
from flash.targets.systolic.costs import layer_reports, systolic_costs
from flash.targets.systolic.gemm import DATAFLOWS, Array, Gemm, gemm_cycles, gemm_of, gemm_traffic
from flash.targets.systolic.kind import SystolicArrays
from flash.targets.systolic.profile import VARIABLES, load_systolic

OS, WS, IS = range(3)
CHIP = {
    "rows": 16, "cols": 32, "buffer_kib": 128, "dataflow": WS, "bits": 8, "frequency_mhz": 800,
}  # fmt: skip
HARDWARE = load_systolic("systolic")
SYSTOLIC_TOML = data_file("hw_profiles", "systolic")


def shared_table(name):
    path = shared_folder() / "data" / "accelerators" / name
    if not path.exists():
        pytest.skip(f"third-party data {name} is not on this machine")
    with path.open(encoding="utf-8") as stream:
        return [
            {key.strip(): value for key, value in row.items() if key}
            for row in csv.DictReader(stream, skipinitialspace=True)
        ]


def conv_layers(channels=8, size=16, filters=8, kernel=3, groups=1, features=10):
    """A convolution, a pool, an addition and a linear layer, as one network's layers."""
    e = GraphEmitter()
    x = e.source(channels, size, size)
    y = e.conv(x, filters, kernel, groups=groups)
    z = e.max_pool(y, 3, 2)
    z = e.add([z, e.conv(z, filters, 1)])
    return e.network(x, e.linear(e.global_pool(z), features)).layers


def byte_pj():
    """Reading and writing a byte in a bank of 32 KiB at 16 nm."""
    bank = component("sram", "cacti7", 16, kib=32)
    return tuple(8 * float(bank.energy_pj[action]) for action in ("read", "write"))


def totals(layers, hardware=HARDWARE, **variables):
    found = layer_reports(layers, hardware, CHIP | variables)
    return sum(x.latency_ms for x in found), sum(x.energy_mj for x in found)


# --------------------------------------------------------------------------------- cycles
# M, N, K, rows, cols, dataflow, cycles, reads of inputs and weights, writes of sums: runs of
# SCALE-Sim 3.0.0 (512 KB buffers). It adds R + C to the writes of every output-stationary fold.
SCALESIM = (
    (20, 17, 33, 8, 16, WS, 499, 1320, 561, 1700),
    (50, 9, 70, 8, 16, WS, 719, 3500, 630, 4050),
    (21, 153, 72, 8, 8, OS, 5159, 30240, 33048, 4173 - 60 * 16),
    (139, 112, 132, 16, 32, OS, 6407, 73392, 133056, 17296 - 36 * 48),
    (16, 52, 101, 5, 3, OS, 7703, 29088, 21008, 1408 - 72 * 8),
)


@pytest.mark.parametrize(("m", "n", "k", "rows", "cols", "flow", "a", "b", "c", "d"), SCALESIM)
def test_cycles_and_sram_accesses_equal_runs_of_scalesim(m, n, k, rows, cols, flow, a, b, c, d):
    huge = 1e15
    moved = gemm_traffic(
        Gemm(m, n, k, 1, m * k, n * k), Array(rows, cols, flow, huge, huge, huge, 1, 4)
    )
    assert gemm_cycles(m, n, k, rows, cols, flow) == a
    assert (moved.input_reads, moved.weight_reads, moved.sum_writes) == (b, c, d)
    assert moved.reload_cycles == 0


def test_cycles_equal_all_recorded_runs_of_scalesim():
    rows = shared_table("scalesim_v3_gemm_reference.csv")
    assert len(rows) == 31
    names = ("M", "N", "K", "rows", "cols")
    shapes = np.array([[int(row[name]) for name in names] for row in rows]).T
    flows = np.array([DATAFLOWS.index(row["dataflow"]) for row in rows])
    expected = [int(row["scalesim_total_cycles"]) for row in rows]
    assert gemm_cycles(*shapes, flows).tolist() == expected


@pytest.mark.parametrize(
    ("name", "shape", "flow"),
    [
        ("calc", (3025, 96, 363), WS),
        ("user_os", (256, 128, 256), OS),
        ("user_ws", (256, 128, 256), WS),
        ("user_is", (256, 128, 256), IS),
    ],
)
def test_cycles_equal_scalesims_golden_reports(name, shape, flow):
    prefix = f"scalesim_golden/test__general__golden_trace_{name}__"
    compute = shared_table(f"{prefix}COMPUTE_REPORT.csv")[0]
    access = shared_table(f"{prefix}DETAILED_ACCESS_REPORT.csv")[0]
    expected = int(compute["Total Cycles"]) - int(compute["Stall Cycles"])
    assert gemm_cycles(*shape, 32, 32, flow) == expected
    m, n, k = shape
    moved = gemm_traffic(Gemm(m, n, k, 1, m * k, n * k), Array(32, 32, flow, 1e9, 1e9, 1e9, 1, 4))
    assert moved.input_reads == int(access["SRAM IFMAP Reads"])
    assert moved.weight_reads == int(access["SRAM Filter Reads"])


def test_shipped_topologies_of_scalesim_are_evaluated_whole():
    rows = shared_table("scalesim_topologies/Resnet18.csv")
    sizes = [[int(v) for v in list(row.values())[1:8]] for row in rows if row["Channels"]]
    h, w, kh, kw, c, n, stride = np.array(sizes).T
    m = (-(-(h - kh) // stride) + 1) * (-(-(w - kw) // stride) + 1)
    assert len(m) == 21
    for flow in (OS, WS, IS):
        cycles = gemm_cycles(m, n, kh * kw * c, 32, 32, flow)
        ideal = m * n * kh * kw * c / 1024
        assert (cycles > ideal).all()
        assert 0.5 < ideal.sum() / cycles.sum() < 0.9


# -------------------------------------------------------------------------------- mapping
def test_products_of_dense_grouped_and_linear_layers():
    first, _, pointwise, _, _, linear = conv_layers(channels=8, size=16, filters=24, groups=1)
    assert gemm_of(first)[:4] == (256, 24, 72, 1)
    assert gemm_of(first).inputs == 8 * 16 * 16 < 256 * 72
    assert gemm_of(pointwise)[:5] == (64, 24, 24, 1, 24 * 64)
    assert gemm_of(linear) == (1, 10, 24, 1, 24, 240)
    depthwise = conv_layers(channels=8, size=16, filters=8, groups=8)[0]
    assert gemm_of(depthwise)[:4] == (256, 1, 9, 8)
    assert gemm_of(depthwise).inputs == 256


def test_depthwise_layers_are_as_slow_as_one_column_lets_them_be():
    layer = conv_layers(channels=32, size=16, filters=32, groups=32)[0]
    report = layer_reports([layer], HARDWARE, CHIP)[0]
    assert report.compute_cycles == 32 * (256 + 2 * 16 + 32 - 2 - 1)
    assert report.utilisation < 1 / CHIP["cols"]


# -------------------------------------------------------------------------------- traffic
def dram(flow, shape, held, sums=1e9, rows=8, cols=8):
    """Bytes of inputs and weights and reload cycles, 1-byte operands, 4-byte sums."""
    m, n, k = shape
    inputs, weights = held
    moved = gemm_traffic(
        Gemm(m, n, k, 1, m * k, n * k), Array(rows, cols, flow, inputs, weights, sums, 1.0, 4.0)
    )
    return int(moved.input_bytes), int(moved.weight_bytes), int(moved.reload_cycles)


def test_output_stationary_traffic_by_hand():
    shape = (64, 32, 100)  # inputs 6400 bytes in 8 strips, weights 3200 bytes in 4 strips
    assert dram(OS, shape, (6400, 3200)) == (6400, 3200, 0)
    # Only a strip of each fits: keep the input strip and pass the weights 8 times (32000), or
    # keep the weight strip and pass the inputs 4 times (28800).
    assert dram(OS, shape, (800, 800)) == (6400 * 4, 3200, 0)
    assert dram(OS, shape, (800, 3200)) == (6400, 3200, 0)
    assert dram(OS, shape, (799, 799)) == (6400 * 4, 3200 * 8, 0)


def test_weight_stationary_traffic_by_hand():
    shape = (64, 32, 100)  # 13 x 4 folds
    assert dram(WS, shape, (6400, 0)) == (6400, 3200, 0)
    assert dram(WS, shape, (6399, 0)) == (6400 * 4, 3200, 0)
    # Sums of 16 of the 64 vectors fit (8 columns x 4 bytes): 4 chunks, of 1600 bytes each.
    assert dram(WS, shape, (1600, 0), sums=512) == (6400, 3200 * 4, 52 * 3 * 22)
    assert dram(WS, shape, (1600, 3200), sums=512) == (6400, 3200, 52 * 3 * 22)
    assert dram(WS, (64, 8, 8), (0, 0), sums=512) == (512, 64, 0)  # one fold stays filled


def test_input_stationary_is_weight_stationary_with_operands_swapped():
    for held, sums in (((6400, 3200), 1e9), ((100, 700), 1e9), ((900, 1600), 512)):
        inputs, weights, reload = dram(IS, (32, 64, 100), held, sums)
        assert dram(WS, (64, 32, 100), held[::-1], sums) == (weights, inputs, reload)


def test_tensors_stay_on_the_chip_exactly_when_half_the_input_buffer_holds_them():
    layer = conv_layers(channels=8, size=32, filters=8)[0]  # 8 KiB in, 8 KiB out
    share = 2 / HARDWARE.input_share
    weights = 8 * 8 * 9 + 4 * 8
    fitting, short = (
        layer_reports([layer], HARDWARE, CHIP | {"buffer_kib": int(kib * share)})[0].dram_bytes
        for kib in (8, 7)
    )
    assert fitting == weights
    assert short == weights + 2 * 8192
    never = replace(HARDWARE, keeps_activations=False)
    assert layer_reports([layer], never, CHIP | {"buffer_kib": 2048})[0].dram_bytes == short


def test_kept_weights_cost_no_traffic_and_limit_the_network():
    chip = {name: values[0] for name, values in load_systolic("edge-tpu-like").variables.items()}
    hardware = load_systolic("edge-tpu-like")
    assert sum(x.dram_bytes for x in layer_reports(conv_layers(), hardware, chip)) == 0
    assert systolic_weight_kb(hardware, chip) == pytest.approx(0.7 * 8 * 1048.576)
    assert systolic_weight_kb(HARDWARE, CHIP) == np.inf


def test_a_layer_waits_for_whichever_of_array_and_dram_is_slower():
    layers = conv_layers(channels=32, size=32, filters=64)[:1]
    fast = layer_reports(layers, replace(HARDWARE, dram_gb_s=1e5), CHIP)[0]
    slow = layer_reports(layers, replace(HARDWARE, dram_gb_s=0.01), CHIP)[0]
    assert fast.cycles == pytest.approx(fast.compute_cycles, rel=0.4)
    first_fold = 16 * 32  # weights of the whole array, before anything can start
    assert slow.latency_ms == pytest.approx((slow.dram_bytes + first_fold) / 0.01e9 * 1e3)


def test_cycles_beyond_scalesims_are_reloads_of_the_array():
    layer = conv_layers(channels=8, size=16, filters=24)[0]  # 256 x 24 x 72: 5 x 1 folds
    # 64 KiB: 8 KiB for sums, of 24 columns x 4 bytes: 85 of the 256 vectors, 4 chunks.
    report = layer_reports([layer], replace(HARDWARE, dram_gb_s=1e5), CHIP | {"buffer_kib": 64})[0]
    assert report.compute_cycles == 5 * (256 + 2 * 16 + 32 - 2) - 1
    assert report.cycles == pytest.approx(report.compute_cycles + 5 * 3 * 62, abs=10)


def test_energy_of_a_layer_by_hand():
    layer = conv_layers(channels=8, size=16, filters=64)[0]  # 256 x 64 x 72: 5 x 2 folds
    report = layer_reports([layer], HARDWARE, CHIP)[0]  # sums of 128 vectors fit: 2 chunks
    assert report.macs == 256 * 64 * 72
    mac, register = component("mac", "aladdin", 16, bits=8), component("register", "aladdin", 16)
    per_mac = mac.energy_pj["mac"] + (8 + 32) * register.energy_pj["write"]
    assert report.mac_uj == pytest.approx(report.macs * per_mac / 1e6)
    read, write = byte_pj()
    weights, offsets, outputs = 64 * 72, 4 * 64, 64 * 256
    sums = 5 * outputs * 4 * write + 4 * outputs * 4 * read
    operands = (256 * 72 * 2 + weights * 2) * read + (weights + offsets) * write  # 2 chunks
    results = outputs * 4 * read + outputs * write
    assert report.dram_bytes == weights + offsets  # both tensors stay on the chip
    assert report.sram_uj == pytest.approx(float(sums + operands + results) / 1e6)
    assert report.dram_uj == pytest.approx(report.dram_bytes * 8 * 8 / 1e6)
    assert report.vector_uj == pytest.approx(outputs * 0.0857 * energy_scale(45, 16) / 1e6)
    leakage_mw = float(systolic_area_mm2(HARDWARE, CHIP)) * 12
    assert report.leakage_uj == pytest.approx(leakage_mw * report.latency_ms)


def test_what_comes_from_dram_is_written_to_the_buffer_first():
    layer = conv_layers(channels=8, size=16, filters=64)[0]
    kept, fetched = (
        layer_reports([layer], replace(HARDWARE, keeps_activations=keeps), CHIP)[0]
        for keeps in (True, False)
    )
    outputs, inputs = 64 * 256, 8 * 256
    assert fetched.dram_bytes - kept.dram_bytes == outputs + inputs
    byte = byte_pj()[1] / 1e6
    assert fetched.sram_uj - kept.sram_uj == pytest.approx((inputs - outputs) * byte)


def test_the_vector_unit_does_one_operation_a_lane_and_cycle():
    _, pool, _, add, last, _ = layer_reports(conv_layers(size=16, filters=24), HARDWARE, CHIP)
    assert (pool.compute_cycles, add.compute_cycles) == (24 * 64 * 9 // 32, 24 * 64 // 32)
    assert last.compute_cycles == 24 * 64 // 32
    assert pool.vector_uj == pytest.approx(9 * add.vector_uj)
    assert last.vector_uj == pytest.approx(add.vector_uj)
    byte_read, byte_write = (energy / 1e6 for energy in byte_pj())
    away = layer_reports(
        conv_layers(size=16, filters=24), replace(HARDWARE, keeps_activations=False), CHIP
    )
    assert away[3].dram_bytes == 3 * 24 * 64
    # Two operands read; the sum written, and counted as what the next layer finds there.
    assert add.sram_uj == pytest.approx(24 * 64 * (2 * byte_read + byte_write))


# ------------------------------------------------------------------- tables, chips, networks
@pytest.mark.parametrize("name", ["cifar10-add", "imagenet-mobilenet-v2", "nasbench201"])
def test_table_costs_equal_the_sum_over_the_layers_of_each_network(name, rng):
    space = load_space(name)
    indices = space.sample(20, rng)
    for flow in (OS, WS, IS):
        chip = CHIP | {"dataflow": flow}
        costs = systolic_costs(space.table(indices), HARDWARE, chip)
        for i, design in enumerate(indices):
            found = totals(space.network(design).live().layers, **chip)
            assert (costs["latency_ms"][i], costs["energy_mj"][i]) == pytest.approx(found)


def test_stage_tables_add_up_to_the_network(rng):
    space = load_space("cifar10-concat")
    problem = tabulate(
        space, lambda t: systolic_costs(t, HARDWARE, CHIP), lambda t: {},
        {"latency_ms": "sum", "energy_mj": "sum"},
    )  # fmt: skip
    indices = space.sample(50, rng)
    whole = systolic_costs(space.table(indices), HARDWARE, CHIP)
    parts = problem.evaluate(indices)
    assert parts["latency_ms"] == pytest.approx(whole["latency_ms"])
    assert parts["energy_mj"] == pytest.approx(whole["energy_mj"])


@pytest.mark.parametrize("name", ["cifar10-mobilenet-v2", "nasbench201"])
def test_many_chips_at_once_are_the_chips_one_by_one(name, rng):
    space = load_space(name)
    table = space.table(space.sample(7, rng))
    chips = {key: rng.choice(HARDWARE.variables[key], size=12) for key in VARIABLES}
    grid = systolic_costs(table, HARDWARE, {k: v[:, None] for k, v in chips.items()})
    areas = systolic_area_mm2(HARDWARE, chips)
    assert grid["latency_ms"].shape == (12, 7)
    for i in range(12):
        chip = {key: int(values[i]) for key, values in chips.items()}
        alone = systolic_costs(table, HARDWARE, chip)
        assert grid["latency_ms"][i] == pytest.approx(alone["latency_ms"])
        assert grid["energy_mj"][i] == pytest.approx(alone["energy_mj"])
        assert areas[i] == pytest.approx(float(systolic_area_mm2(HARDWARE, chip)))


def test_chips_meet_the_stages_of_a_space_as_they_meet_whole_networks(rng, monkeypatch):
    space = load_space("cifar10-add")
    indices = space.sample(30, rng)
    chips = {name: rng.choice(HARDWARE.variables[name], size=(5, 1)) for name in VARIABLES}
    whole = systolic_costs(space.table(indices), HARDWARE, chips)
    for number in range(5):
        chip = {name: int(values[number, 0]) for name, values in chips.items()}
        parts = tabulate(
            space, lambda t, chip=chip: systolic_costs(t, HARDWARE, chip), lambda t: {},
            {"latency_ms": "sum"},
        ).evaluate(indices)  # fmt: skip
        assert whole["latency_ms"][number] == pytest.approx(parts["latency_ms"])
    # A hash that tells nothing apart must change nothing.
    monkeypatch.setattr(
        shapes_module, "_FACTORS", np.zeros(len(shapes_module.SIZES), dtype=np.int64)
    )
    again = systolic_costs(space.table(indices), HARDWARE, chips)
    assert again["energy_mj"] == pytest.approx(whole["energy_mj"])


# ------------------------------------------------------------------------ what always holds
chips = st.fixed_dictionaries(
    {name: st.sampled_from(HARDWARE.variables[name]) for name in VARIABLES}
)
shapes = st.tuples(
    st.integers(1, 200), st.integers(3, 40), st.integers(1, 200), st.sampled_from([1, 3, 5]),
    st.just(1), st.integers(1, 1000),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(chips, shapes, shapes)
def test_a_larger_network_is_never_cheaper(chip, a, b):
    small = totals(conv_layers(*map(min, a, b)), **chip)
    large = totals(conv_layers(*map(max, a, b)), **chip)
    assert small[0] <= large[0] * (1 + 1e-12)
    assert small[1] <= large[1] * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(chips, shapes, st.sampled_from([1.5, 2.0, 3.0]))
def test_more_memory_and_more_bandwidth_are_never_slower(chip, shape, factor):
    layers = conv_layers(*shape)
    latency, _ = totals(layers, **chip)
    larger = int(chip["buffer_kib"] * factor)
    assert totals(layers, **(chip | {"buffer_kib": larger}))[0] <= latency * (1 + 1e-12)
    wider = replace(HARDWARE, dram_gb_s=HARDWARE.dram_gb_s * factor)
    assert totals(layers, wider, **chip)[0] <= latency * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(chips, shapes)
def test_a_faster_clock_is_never_slower_in_time_and_16_bits_never_cheaper(chip, shape):
    layers = conv_layers(*shape)
    times = [totals(layers, **(chip | {"frequency_mhz": mhz}))[0] for mhz in (200, 400, 1000)]
    assert times[0] >= times[1] >= times[2]
    eight, sixteen = (totals(layers, **(chip | {"bits": bits})) for bits in (8, 16))
    assert eight[0] <= sixteen[0] * (1 + 1e-12)
    assert eight[1] < sixteen[1]


@given(*(st.integers(1, 300) for _ in range(2)), *(st.integers(1, 40) for _ in range(4)))
def test_twice_the_columns_halve_the_folds_where_they_divide_the_work(m, k, rows, cols, pairs, f):
    n = 2 * cols * pairs
    for flow, shape in ((OS, (m, n, k)), (WS, (m, n, k)), (IS, (n, m, k))):
        assert gemm_cycles(*shape, rows, 2 * cols, flow) <= gemm_cycles(*shape, rows, cols, flow)


def test_more_elements_than_work_are_slower_as_in_scalesim():
    # SCALE-Sim, linear layer of 512 to 1000 features: 32 x 32 takes longer than 16 x 64.
    assert gemm_cycles(1, 1000, 512, 16, 64, OS) == 9439
    assert gemm_cycles(1, 1000, 512, 32, 32, OS) == 18367
    assert gemm_cycles(8, 8, 8, 64, 64, OS) > gemm_cycles(8, 8, 8, 8, 8, OS)


@given(chips)
def test_area_grows_with_every_part_and_no_network_has_a_part_in_it(chip):
    area = systolic_area_mm2(HARDWARE, chip)
    for name in ("rows", "cols", "buffer_kib", "bits"):
        assert systolic_area_mm2(HARDWARE, chip | {name: min(2 * chip[name], 128)}) > area or (
            2 * chip[name] > 128
        )
    other = {"dataflow": OS, "frequency_mhz": 123}
    assert systolic_area_mm2(HARDWARE, chip | other) == area
    assert sum(systolic_areas_mm2(HARDWARE, chip).values()) == pytest.approx(area)


# ---------------------------------------------------------------------------------- anchors
@pytest.mark.parametrize(("profile", "column"), [("systolic", "16nm"), ("edge-tpu-like", "28nm")])
def test_area_is_within_ten_percent_of_nvdlas_seven_sizes(profile, column):
    hardware = load_systolic(profile)
    for row in shared_table("nvdla_primer_table.csv"):
        macs = int(float(row["int8_MACs"]))
        side = 1 << (macs.bit_length() - 1) // 2
        sizes = {"rows": side, "cols": macs // side, "buffer_kib": float(row["conv_buffer_KB"])}
        area = systolic_area_mm2(hardware, CHIP | sizes)
        assert area == pytest.approx(float(row[f"area_mm2_{column}"]), rel=0.10)


def test_eyeriss_sizes_give_eyeriss_area_within_thirty_percent():
    hardware = load_systolic("eyeriss-like")
    chip = {name: values[0] for name, values in hardware.variables.items()}
    assert systolic_area_mm2(hardware, chip) == pytest.approx(12.25, rel=0.30)


def test_intervals_are_the_profiles_and_hold_its_own_models_of_a_multiplier():
    hardware = load_systolic("systolic")
    table = load_space("cifar10-concat").table(np.zeros((1, 9), dtype=np.int64))
    found = SystolicArrays(hardware).target().costs(table)
    for name in ("latency_ms", "area_mm2", "energy_mj"):
        value, low, high = (float(x[0]) for x in getattr(found, name))
        short = name.partition("_")[0]
        assert low / value == pytest.approx(getattr(hardware, f"{short}_low"))
        assert high / value == pytest.approx(getattr(hardware, f"{short}_high"))
    # Horowitz's multiplier takes 0.3 of Aladdin's: nearer than chips are.
    compared = replace(hardware, energy_low=None, energy_high=None)
    value, low, high = (
        float(x[0]) for x in SystolicArrays(compared).target().costs(table).energy_mj
    )
    assert hardware.energy_low < low / value < high / value == 1.0


@pytest.mark.parametrize(
    ("name", "published_ms"),
    # coral.ai/docs/edgetpu/benchmarks, table 1, Dev Board with Edge TPU.
    [("mobilenet_v1", 2.4), ("mobilenet_v2", 2.6), ("googlenet_torchvision", 4.1)],
)
def test_the_interval_of_the_edge_tpu_holds_what_google_published(name, published_ms):
    network = reference_network(name)
    found = load_target("edge-tpu-like").costs(network_table(network))
    value, low, high = (float(x[0]) for x in found.latency_ms)
    assert low <= published_ms <= high
    depthwise = any(x.op == "conv" and x.groups > 1 for x in network.layers)
    assert depthwise == name.startswith("mobilenet")
    # With convolutions in groups chips take less of the model's time.
    hardware = load_systolic("edge-tpu-like")
    ends = (
        (hardware.latency_low_grouped, hardware.latency_high_grouped)
        if depthwise
        else (hardware.latency_low, hardware.latency_high)
    )
    assert (low / value, high / value) == pytest.approx(ends)


# ------------------------------------------------------------------------------------ files
@pytest.mark.parametrize("name", ["systolic", "eyeriss-like", "edge-tpu-like"])
def test_shipped_profiles_give_a_source_for_every_constant(name):
    hardware = load_systolic(name)
    assert len(hardware.sources) == (25 if hardware.row_stationary is None else 31)
    assert all(hardware.sources.values())
    assert hardware.provenance == "analytical"
    assert "no measurement" in hardware.provenance_line


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flash.systolic/1", "flash.space/1", 'expected schema = "flash.systolic/1"'),
        (
            "node_nm = ",
            "nodes_nm = ",
            "unknown key 'technology.nodes_nm' (did you mean 'node_nm'?)",
        ),
        (
            "value = 16, source",
            "value = 180, source",
            "node_nm.value must be a number from 7",
        ),
        ('"aladdin", source', '"alladin", source', "did you mean 'aladdin'?"),
        ("value = 0.5, source", "value = 0.6, source", "must add up to 1, got 1.1"),
        ("{ value = 12.0, source", "12.0 # ", "must be { value = ..., source"),
        ('"os", "ws", "is"', '"os", "ds"', "variables.dataflow has 'ds'"),
        ("rows = [8, 16", "rows = [16, 8", "variables.rows must be in rising order"),
        ("bits = [4, 8, 16]", "bits = [1, 16]", "variables.bits must hold whole numbers from 4"),
        ("value = true", 'value = "yes"', "memory.keeps_activations.value must be true or false"),
        ('name = "systolic"', "name = 3", "name must be one line of text"),
        ("[area]", "[areas]", "unknown key 'areas' (did you mean 'area'?)"),
        ("schema", "schema = [", "not valid TOML"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_place(tmp_path, old, new, message):
    text = SYSTOLIC_TOML.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "chip.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProfileError, match=re.escape(message)) as caught:
        load_systolic(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value) or "TOML" in message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_systolic("sistolic"), "did you mean 'systolic'"),
        (lambda: systolic_area_mm2(HARDWARE, CHIP | {"row": 8}), "did you mean 'rows'"),
        (lambda: systolic_area_mm2(HARDWARE, {"rows": 8}), "lacks a value for cols, buffer_kib"),
        (lambda: systolic_area_mm2(HARDWARE, CHIP | {"rows": 0}), "rows must lie in 1 to 1024"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        call()
