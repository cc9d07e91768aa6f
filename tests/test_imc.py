"""Crossbar chips: published roll-ups, hand-worked mappings, and what must always hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.errors import ProfileError, UsageError
from flash.spaces.space import load_space
from flash.spaces.stage_tables import tabulate
from flash.spaces.table import TableEmitter
from flash.targets.components import component, models_of
from flash.targets.imc.breakdown import breakdown
from flash.targets.imc.mapping import map_layers
from flash.targets.imc.model import imc_costs, prepare
from flash.targets.imc.parts import part_component, tile_parts, tile_power_mw
from flash.targets.imc.profile import load_imc

HARDWARE = load_imc()
CHIP = {
    "rows": 128, "columns": 128, "crossbars_per_tile": 16, "cell_bits": 2, "adc_bits": 8,
    "columns_per_adc": 8, "buffer_kib": 64, "noc_bits": 32, "frequency_mhz": 1000,
    "node_nm": 32, "mvm_limit": 1_000_000,
}  # fmt: skip
ISAAC = CHIP | {"crossbars_per_tile": 96, "columns_per_adc": 128}
ISAAC_SETTINGS = replace(
    HARDWARE, settings=replace(HARDWARE.settings, router_model="isaac", chip_link=True)
)
chips = st.fixed_dictionaries(
    {name: st.sampled_from([int(v) for v in grid]) for name, grid in HARDWARE.variables.items()}
).map(lambda c: c | {"columns_per_adc": min(c["columns_per_adc"], c["columns"])})


def plain(widths, kernel=3, side=16, features=10, groups=1):
    """A chain of convolutions and a linear layer as a table of one design."""
    e = TableEmitter(1)
    x = e.source(widths[0], side, side)
    for width in widths[1:]:
        x = e.conv(x, width, kernel, groups=groups)
    return e.table(e.linear(e.global_pool(x), features))


def crossbars(table, hardware=HARDWARE, **changes):
    values = {name: np.array([float(v)]) for name, v in (CHIP | changes).items()}
    return map_layers(table, hardware.precision, hardware.options(values))


def isaac_tile(*names):
    """Area and power of ISAAC's tile, or of some of its parts."""
    options = ISAAC_SETTINGS.options(ISAAC)
    area = {n: p.area_mm2 for n, p in tile_parts(ISAAC_SETTINGS, options, "isaac").items()}
    power = tile_power_mw(ISAAC_SETTINGS, options, "isaac")
    return tuple(
        sum(float(np.ravel(values[name])[0]) for name in names or values)
        for values in (area, power)
    )


# ----------------------------------------------------------------------------- published chips
def test_isaacs_tile_and_chip_roll_up_to_the_published_figures():
    area, power = isaac_tile()
    assert area == pytest.approx(0.372, rel=0.02)
    assert power == pytest.approx(330, rel=0.02)
    link = ISAAC_SETTINGS.link
    assert 168 * area + link.area_mm2 == pytest.approx(85.4, rel=0.02)
    assert 168 * power + link.power_mw == pytest.approx(65_800, rel=0.02)


def test_converters_are_most_of_isaacs_unit():
    # Published: 16 of 24.1 mW, 0.0096 of 0.0131 mm2 of an in-situ unit.
    unit = ("adc", "dac", "sample_hold", "array", "shift_add", "input_register", "output_register")
    area, power = isaac_tile(*unit)
    assert area == pytest.approx(12 * 0.0131, rel=0.01)
    assert power == pytest.approx(12 * 24.1, rel=0.01)
    assert isaac_tile("adc")[0] / area == pytest.approx(0.73, abs=0.01)


def test_converter_models_give_their_published_points():
    def at(model, bits, node=32.0):
        one = component("adc", model, node, bits=bits, rows=128.0)
        return float(one.energy_pj["convert"]), float(one.area_mm2) * 1e6

    assert at("isaac", 8.0)[1] == pytest.approx(1200)
    assert at("survey", 8.0) == pytest.approx((1.543, 6469))
    assert at("survey", 6.0, 65.0) == pytest.approx((3.229, 16310), rel=0.01)
    assert at("survey", 10.0, 16.0) == pytest.approx((3.568, 4176), rel=0.01)
    assert at("zigzag", 8.0) == pytest.approx((0.70, 2085), rel=0.01)
    assert at("flash", 5.0) == pytest.approx((0.10, 801))


@pytest.mark.parametrize("model", models_of("adc"))
def test_more_bits_never_make_a_converter_cheaper(model):
    bits = np.arange(4.0, 11.0)
    made = component("adc", model, np.full(7, 32.0), bits=bits, rows=np.full(7, 128.0))
    assert (np.diff(made.energy_pj["convert"]) > 0).all()
    assert (np.diff(made.area_mm2) > 0).all()


# ------------------------------------------------------------------------- hand-worked mappings
def test_crossbars_of_vgg8_by_hand():
    # ceil(9 C_in / 128) x ceil(4 C_out / 128); 1x1 for linear; e.g. 1152/128 x 512/128 = 36.
    e = TableEmitter(1)
    x = e.source(3, 32, 32)
    for number, width in enumerate((128, 128, 256, 256, 512, 512)):
        x = e.conv(x, width, 3)
        x = e.max_pool(x, 2, 2, pad=0) if number % 2 else x
    table = e.table(e.linear(e.linear(x, 1024), 10))
    mapped = crossbars(table)
    held = mapped.crossbars[mapped.crossbars > 0]
    assert held.tolist() == [4, 36, 72, 144, 288, 576, 2048, 8]
    assert mapped.tiles[mapped.tiles > 0].tolist() == [1, 3, 5, 9, 18, 36, 128, 1]


@pytest.mark.parametrize(
    ("groups", "width", "expected"),
    [
        (64, 64, 5),  # depthwise: 9 rows, 4 columns a channel; 14 channels a crossbar
        (2, 256, 72),  # two groups of 1152 x 512: 9 x 4 each
        (8, 64, 8),  # groups of 72 x 32: one a crossbar, for lack of rows
    ],
)
def test_crossbars_of_grouped_convolutions_by_hand(groups, width, expected):
    mapped = crossbars(plain([width, width], groups=groups))
    assert mapped.crossbars[0, 0] == expected


def test_depthwise_uses_three_percent_of_its_cells():
    mapped = crossbars(plain([1400, 1400], groups=1400))
    used = mapped.used_cells[0, 0] / (mapped.crossbars[0, 0] * 128 * 128)
    assert used == pytest.approx(14 * 9 * 4 / 128**2)


def test_differential_pairs_and_finer_cells_take_more_columns():
    table = plain([128, 128])
    pairs = replace(HARDWARE, precision=replace(HARDWARE.precision, columns_per_bit=2))
    assert crossbars(table).crossbars[0, 0] == 36
    assert crossbars(table, pairs).crossbars[0, 0] == 72
    assert crossbars(table, cell_bits=1).crossbars[0, 0] == 72
    assert crossbars(table, rows=256, columns=256).crossbars[0, 0] == 10


def test_layers_with_many_products_are_copied():
    mapped = crossbars(plain([128, 128], side=32), mvm_limit=256)
    assert mapped.copies[0, 0] == 4
    assert mapped.mvms[0, 0] == 256
    assert mapped.crossbars[0, 0] == 4 * 36
    assert mapped.copies[2, 0] == 1


def test_computing_time_by_hand():
    # 256 products x 8 input bits x max(10 ns read, 8 columns x 1 ns); linear: one product.
    result = breakdown(plain([128, 128]), HARDWARE, CHIP)
    assert result.latency_ms["compute"] == pytest.approx((256 + 1) * 8 * 10e-6)


def test_converter_energy_by_hand():
    # 256 products x 8 bits x 9 row blocks x 512 columns, and 1 x 8 x 1 x 40 for the head.
    conversions = 256 * 8 * 9 * 512 + 8 * 40
    result = breakdown(plain([128, 128]), HARDWARE, CHIP)
    assert result.energy_mj["adc"] == pytest.approx(conversions * 1.5625e-9)


def test_blocks_cut_by_tiles_pass_on_sums():
    # 9 x 4 blocks on tiles of 16, column by column: tiles end inside columns 1 and 3.
    mapped = crossbars(plain([128, 128]))
    assert mapped.partial_sums[0, 0] in (2 / 4, 3 * 4 / 4 - 1)
    # Tiles of 9 hold a column each: nothing to pass on, or everything in rows.
    assert crossbars(plain([128, 128]), crossbars_per_tile=36).partial_sums[0, 0] == 0


# -------------------------------------------------------------------------- what always holds
@settings(max_examples=40, deadline=None)
@given(chips, st.integers(0, 2**32 - 1))
def test_wider_links_are_never_slower(chip, seed):
    space = load_space("cifar10-concat")
    table = space.table(space.sample(3, np.random.default_rng(seed)))
    narrow = imc_costs(table, HARDWARE, chip | {"noc_bits": 32})
    wide = imc_costs(table, HARDWARE, chip | {"noc_bits": 128})
    for key in ("latency_ms", "latency_ms_low", "latency_ms_high", "interval_ms"):
        assert (wide[key] <= narrow[key] * (1 + 1e-12)).all()


@settings(max_examples=40, deadline=None)
@given(chips, st.integers(8, 200), st.integers(0, 100), st.integers(1, 4), st.integers(0, 2))
def test_larger_networks_are_never_smaller(chip, width, wider, depth, deeper):
    small = imc_costs(plain([3] + depth * [width]), HARDWARE, chip)
    large = imc_costs(plain([3] + (depth + deeper) * [width + wider]), HARDWARE, chip)
    for key in ("area_mm2", "area_mm2_low", "area_mm2_high", "tiles"):
        assert large[key][0] >= small[key][0]


@settings(max_examples=25, deadline=None)
@given(chips)
def test_copies_never_slow_down_computing(chip):
    table = plain([16, 32, 64], side=32)
    many = breakdown(table, HARDWARE, chip | {"mvm_limit": 64})
    few = breakdown(table, HARDWARE, chip | {"mvm_limit": 4096})
    assert many.latency_ms["compute"] <= few.latency_ms["compute"]
    assert sum(many.area_mm2.values()) >= sum(few.area_mm2.values())


@settings(max_examples=15, deadline=None)
@given(chips)
def test_least_adds_up_over_stages_and_is_below_placed(chip):
    quantities = ("latency_ms", "energy_mj", "area_mm2", "tiles", "energy_mj_low")
    space = load_space("cifar10-mobilenet-v2")
    indices = space.sample(4, np.random.default_rng(5))
    least = imc_costs(space.table(indices), HARDWARE, chip, hops="least")
    placed = imc_costs(space.table(indices), HARDWARE, chip)
    grids = tuple(grid[[i]] for grid, i in zip(space.grids, indices[0], strict=True))
    problem = tabulate(
        replace(space, grids=grids),
        lambda table: imc_costs(table, HARDWARE, chip, hops="least"),
        lambda table: {},
        dict.fromkeys(quantities, "sum"),
    )
    summed = problem.evaluate(np.zeros((1, len(grids)), dtype=np.int64))
    for key in ("area_mm2", "tiles"):
        assert summed[key][0] == pytest.approx(least[key][0], rel=1e-9)
    for key in quantities[:4]:
        # Layers of a whole network know more of each other than those of its stages.
        assert summed[key][0] <= least[key][0] * (1 + 1e-9)
        assert (least[key] <= placed[key] * (1 + 1e-9)).all()
    # Ends of an interval may come from another converter in each stage: the sum is wider.
    assert summed["energy_mj_low"][0] <= least["energy_mj_low"][0] * (1 + 1e-9)
    for key in ("area_mm2", "tiles", "crossbars"):
        np.testing.assert_allclose(least[key], placed[key])


def test_intervals_contain_the_value_and_span_the_published_disagreement(rng):
    space = load_space("cifar10-add")
    costs = imc_costs(space.table(space.sample(20, rng)), HARDWARE, CHIP | {"adc_bits": 4})
    for key in ("latency_ms", "energy_mj", "area_mm2"):
        assert (costs[f"{key}_low"] <= costs[key]).all()
        assert (costs[key] <= costs[f"{key}_high"]).all()
    assert (costs["area_mm2_high"] > 2 * costs["area_mm2_low"]).all()


def test_many_designs_cost_what_each_costs_alone(rng):
    space = load_space("cifar10-add")
    indices = space.sample(8, rng)
    together = imc_costs(space.table(indices), HARDWARE, CHIP)
    for number in range(len(indices)):
        alone = imc_costs(space.table(indices[number : number + 1]), HARDWARE, CHIP)
        for key, values in alone.items():
            assert together[key][number] == pytest.approx(values[0])


def test_many_chips_cost_what_each_costs_alone():
    table = plain([16, 64, 64])
    widths = np.array([16, 32, 64])
    together = imc_costs(table, HARDWARE, CHIP | {"noc_bits": widths})
    for number, width in enumerate(widths):
        alone = imc_costs(table, HARDWARE, CHIP | {"noc_bits": int(width)})
        assert together["energy_mj"][number] == pytest.approx(alone["energy_mj"][0])


@pytest.mark.parametrize("idle", ["on", "gated"])
def test_breakdown_adds_up_to_the_costs(idle):
    hardware = replace(HARDWARE, settings=replace(HARDWARE.settings, idle_tiles=idle))
    table = plain([3, 64, 128])
    costs, parts = imc_costs(table, hardware, CHIP), breakdown(table, hardware, CHIP)
    for key in ("area_mm2", "latency_ms", "energy_mj"):
        assert sum(getattr(parts, key).values()) == pytest.approx(costs[key][0])
    assert sum(layer.details["tiles"] for layer in parts.layers) == costs["tiles"][0]
    assert 0 < parts.share("area_mm2", "adc") < 1
    assert "adc" in str(parts)


def test_idle_tiles_leak_unless_gated():
    on = replace(HARDWARE, settings=replace(HARDWARE.settings, idle_tiles="on"))
    table = plain([3, 64, 128])
    assert imc_costs(table, on, CHIP)["energy_mj"] > imc_costs(table, HARDWARE, CHIP)["energy_mj"]


def test_pipeline_is_paced_by_the_slowest_layer():
    costs = imc_costs(plain([16, 32, 32, 32]), HARDWARE, CHIP)
    assert costs["interval_ms"] <= costs["pipelined_latency_ms"] <= costs["latency_ms"]
    assert costs["interval_ms"] >= 256 * 8 * 10e-6 * (1 - 1e-9)


def test_residual_operands_travel_to_the_sum():
    e = TableEmitter(1)
    x = e.conv(e.source(16, 16, 16), 64, 3)
    y = e.conv(e.conv(x, 64, 3), 64, 3)
    table = e.table(e.add([y, x]))
    received = prepare(table, HARDWARE, CHIP, "placed").traffic.bits
    assert received[3, 0] == 64 * 16 * 16 * 8


# ------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rowz": 3}, "did you mean 'rows'"),
        ({"adc_bits": 2}, "adc_bits must be 4 to 10"),
        ({"node_nm": 5}, "node_nm must be 16 to 65"),
        ({"columns": 4}, "columns_per_adc must not exceed columns"),
        ({"rows": 0}, "rows must be at least 1"),
        ({"noc_bits": np.array([16, 32, 64])}, "do not pair up"),
    ],
)
def test_impossible_variables_are_refused_in_one_line(change, words, rng):
    space = load_space("cifar10-add")
    with pytest.raises(UsageError, match=words) as caught:
        imc_costs(space.table(space.sample(2, rng)), HARDWARE, CHIP | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("flash.imc/1", "flash.imc/9", "expected schema"),
        ('adc_model = "isaac"', 'adc_model = "isac"', "did you mean 'isaac'"),
        ("dac_bits = 1 ", "dac_bitz = 1 ", "did you mean 'dac_bits'"),
        ("[parts.dac]", "[parts.dca]", "did you mean 'dac'"),
        ("rows = [32, 64, 128, 256] ", "rows = [64, 32] ", "rising order"),
        ("capacity = 0.28", "capacity = 0.0", "capacity must be above zero"),
        ("count = 64\n", "count = 0\n", "count must be above zero"),
        ('per = "kib"', 'per = "kb"', "did you mean 'kib'"),
        ('"crossbar.isaac"', '"crossbar.isac"', "did you mean 'crossbar.isaac'"),
        ('router_model = "booksim"', 'router_model = "booksin"', "did you mean 'booksim'"),
        ("array_read_ns = 10.0 ", 'array_read_ns = "10" ', "must be a number"),
    ],
)
def test_profiles_are_read_strictly(tmp_path, old, new, words):
    from flash.files.locations import data_file

    text = data_file("hw_profiles", "imc").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProfileError, match=words) as caught:
        load_imc(str(path))
    assert str(path) in str(caught.value)


def test_unknown_targets_are_refused():
    with pytest.raises(UsageError, match="did you mean 'imc'"):
        load_imc("imcc")


def test_every_constant_names_its_source():
    made = [part_component(HARDWARE, name, np.float64(32)) for name in HARDWARE.parts]
    made += [HARDWARE.router(32, width_bits=64), component("adc", "isaac", 32, bits=8, rows=128)]
    for part in made:
        assert all(part.sources[name] for name in (*part.energy_pj, "area"))
    assert HARDWARE.noc.source and HARDWARE.link.source
    assert HARDWARE.provenance == "analytical"


_OWN_ROUTERS = """
router_pj_per_bit = 0.048
router_pj_per_bit_and_width = 0.001125
router_area_mm2_per_bit = 1.01e-5
router_area_mm2_per_bit2 = 6.413e-7
[noc.isaac]
area_mm2 = 0.03775
power_mw = 10.5
pj_per_bit = 0.081
source = "ISAAC"
"""
_OWN_CELLS = """count = 131072
power_mw = 2.4
area_mm2 = 0.0002
scales = false
source = "ISAAC: 8 arrays of 128 x 128 cells"
"""


@pytest.mark.parametrize("router", ["booksim", "isaac"])
def test_figures_in_a_profile_do_what_the_library_does_under_the_same_name(tmp_path, router):
    from flash.files.locations import data_file

    text = data_file("hw_profiles", "imc").read_text(encoding="utf-8").rstrip()
    text = text.replace('router_model = "booksim"', f'router_model = "{router}"')
    named, own = tmp_path / "named.toml", tmp_path / "own.toml"
    named.write_text(text, encoding="utf-8")
    with_cells = text.replace('component = "crossbar.isaac"\n', _OWN_CELLS)
    assert with_cells != text
    own.write_text(with_cells + _OWN_ROUTERS, encoding="utf-8")
    table = plain([3, 64, 128])
    one, other = (imc_costs(table, load_imc(str(path)), CHIP) for path in (named, own))
    for quantity, values in one.items():
        assert values == pytest.approx(other[quantity], rel=1e-12), quantity


def test_a_profile_may_state_its_own_error():
    from flash.spaces.table import TableEmitter
    from flash.targets import load_target

    e = TableEmitter(1)
    table = e.table(e.linear(e.conv(e.source(3, 32, 32), 64, 3), 10))
    plain, own = (load_target(name).costs(table) for name in ("imc", "imc-neurosim"))
    for name in ("latency_ms", "energy_mj", "area_mm2"):
        value, low, high = (end[0] for end in getattr(own, name))
        assert (low, high) == (value / 2, value * 2)
        assert getattr(plain, name)[1] <= getattr(plain, name)[0] <= getattr(plain, name)[2]
    assert "a factor either way" in load_target("imc-neurosim").latency_how
