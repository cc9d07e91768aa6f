"""Search spaces: sizes, encoding, files, and counts against independent sources."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.errors import SpaceError, UsageError
from flash.files.locations import data_file
from flash.spaces.space import load_space

# ------------------------------------------------------------------ independent counts


def test_nasbench201_params_and_macs_equal_the_benchmarks_for_all_cells(shared_rows):
    rows = shared_rows("nasbench201/accuracy")
    space = load_space("nasbench201")
    designs = np.array([space.design(space.family.parse(row["arch"])) for row in rows])
    for start in range(0, len(rows), 2048):
        part = slice(start, start + 2048)
        table = space.table(designs[part])
        params = table.params.sum(axis=0)
        assert [f"{p / 1e6:.6f}" for p in params] == [row["params_m"] for row in rows[part]]
        # The benchmark's counter also counts 1 an element for ReLU, 2 for batch norm, the
        # window for pooling (9 a side of an 8 x 8 map for the global one).
        out = table.out_elements
        ops = table.ops
        norm = np.array([layer.norm for layer in table.layers])
        act = np.array([layer.op in ("act", "norm") for layer in table.layers])
        window = (table["kernel_height"] * table["kernel_width"] * out)[ops == "avg_pool"]
        total = table.macs.sum(axis=0) + 2 * out[norm].sum(axis=0) + out[act].sum(axis=0)
        total += window.sum(axis=0) + 81 * out[ops == "global_pool"].sum(axis=0)
        assert [f"{m / 1e6:.6f}" for m in total] == [row["macs_m"] for row in rows[part]]


def test_nasbench_macro_params_and_flops_equal_the_benchmarks_for_all_networks(shared_rows):
    rows = shared_rows("nasbench_macro/accuracy")
    space = load_space("nasbench-macro")
    table = space.table(np.array([space.design(space.family.parse(row["arch"])) for row in rows]))
    assert table.params.sum(axis=0).tolist() == [int(row["params"]) for row in rows]
    assert table.macs.sum(axis=0).tolist() == [int(row["flops"]) for row in rows]


def test_published_mobilenet_v2_is_a_design_of_its_space():
    space = load_space("imagenet-mobilenet-v2")
    published = [(1, 1), (6, 2), (6, 3), (6, 4), (6, 3), (6, 3), (6, 1)]
    values = {}
    for s, (expand, depth) in enumerate(published, start=1):
        values |= {f"width{s}": 100, f"expand{s}": expand, f"kernel{s}": 3}
        values |= {f"depth{s}": depth, f"skip{s}": 1}
    network = space.network(space.design(values))
    assert network.params == 3_504_872  # torchvision.models.mobilenet_v2
    assert network.macs == 300_774_272


def test_concat_cell_equals_a_hand_count():
    space = load_space("cifar10-concat")
    design = {"w1": 8, "d1": 4, "t1": 8, "w2": 16, "d2": 3, "t2": 0, "w3": 32, "d3": 3, "t3": 608}
    network = space.network(space.design(design))
    weights = 3 * 16 * 9  # stem
    weights += 9 * (16 * 8 + 8 * 8 + 16 * 8 + 16 * 8)  # cell 1: two layers read 8 skip channels
    weights += 9 * (8 * 16 + 16 * 16 + 16 * 16)  # cell 2: no skips
    weights += 9 * (16 * 32 + 32 * 32 + 64 * 32)  # cell 3: all 32 earlier channels
    channels = 16 + 4 * 8 + 3 * 16 + 3 * 32
    assert network.params == weights + 2 * channels + 32 * 10 + 10


# ---------------------------------------------------------------------- size and encoding


def test_default_space_holds_more_than_63_billion_distinct_designs():
    space = load_space("cifar10-concat")
    assert space.size == (16 * 16 * 20) ** 3
    assert space.distinct > 63_000_000_000


@pytest.mark.parametrize("name", ["cifar10-concat", "cifar10-add"])
def test_distinct_count_equals_the_number_of_different_networks(name, rng):
    space = load_space(name)
    grids = tuple(np.sort(rng.choice(grid, 2, replace=False)) for grid in space.grids)
    small = dataclasses.replace(space, grids=grids)
    every = np.array(list(itertools.product(*(range(len(g)) for g in grids))))
    networks = {str(_signature(small.network(design))) for design in every}
    assert small.distinct == len(networks)


def _signature(network):
    return tuple(
        (x.op, x.in_channels, x.out_channels, x.act, [int(i.producer) for i in x.inputs])
        for x in network.layers
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_encode_undoes_decode(seed):
    space = load_space("cifar10-concat")
    designs = space.sample(20, np.random.default_rng(seed))
    assert (space.encode(space.decode(designs)) == designs).all()
    assert (space.design(space.named(designs[0])) == designs[0]).all()
    text = space.family.describe(space.named(designs[0]))
    assert space.family.parse(text) == space.named(designs[0])


@given(seed=st.integers(0, 2**32 - 1), variable=st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_more_of_anything_never_costs_fewer_macs_or_params(seed, variable):
    space = load_space("cifar10-concat")
    design = space.sample(1, np.random.default_rng(seed))[0]
    larger = design.copy()
    larger[variable] = min(larger[variable] + 1, len(space.grids[variable]) - 1)
    small, large = space.network(design), space.network(larger)
    assert small.macs <= large.macs
    assert small.params <= large.params


def test_every_cell_string_of_nasbench201_survives_a_round_trip():
    family = load_space("nasbench201").family
    for ops in itertools.product(range(5), repeat=6):
        values = dict(zip(family.variables, ops, strict=True))
        assert family.parse(family.describe(values)) == values


def test_dead_branches_count_for_nothing():
    space = load_space("nasbench201")
    # Node 1 feeds nothing (its edges to 2 and 3 are none): its convolution is dead.
    dead = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|skip_connect~2|"
    clean = "|none~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|skip_connect~2|"
    nets = [space.network(space.design(space.family.parse(text))) for text in (dead, clean)]
    assert nets[0].macs > nets[1].macs
    assert nets[0].live().macs == nets[1].live().macs == nets[1].macs
    # Fed by zeros only: a runtime that prunes unused results still runs it, yet it is dead.
    zeros = "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
    network = space.network(space.design(space.family.parse(zeros)))
    assert network.used().macs > network.live().macs == nets[1].macs


# ------------------------------------------------------------------------------ bad files

_GOOD = """schema = "flash.space/1"
family = "concat"
classes = 10
[input]
channels = 3
height = 32
width = 32
[settings]
cells = 1
[variables]
w1 = [8, 16]
d1 = [3, 4]
t1 = {from = 0, to = 16, step = 8}
"""


def _write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_users_file_is_a_space(tmp_path):
    assert load_space(_write(tmp_path, _GOOD)).size == 12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("w1 = ", "v1 = ", "v1"),
        ("classes", "clases", "did you mean 'classes'"),
        ('"concat"', '"conca"', "did you mean 'concat'"),
        ("[8, 16]", "[16, 8]", "rising order"),
        ("[8, 16]", "[]", "must be a list of integers"),
        ("[8, 16]", "[0, 16]", "takes 1 to 4096"),
        ("[8, 16]", '"8"', "must be a list of integers"),
        ("to = 16", "to = 17", "do not end at 17"),
        ("d1 = [3, 4]\n", "", "lacks d1"),
        ("height = 32\n", "", "'input.height' is missing"),
        ("classes = 10", "classes = -1", "classes must be a whole number from 1 to 1000000"),
        ("cells = 1", "cels = 1", "did you mean 'cells'"),
        ("space/1", "space/9", "flash.space/1"),
        ("[settings]", "[settings", "not valid TOML"),
        ("w1 = [8, 16]", "w1 = " + "[" * 20_000, "nested too deeply"),
        ("classes = 10", "classes = " + "1" * 5000, "not valid TOML"),
        ("classes = 10", "classes = 0x" + "f" * 5000, "a value too large to show"),
        ("classes = 10", "classes = 1_000_001", "whole number from 1 to 1000000"),
        ("classes = 10", "classes = true", "must be a whole number"),
        ("height = 32", "height = 8193", "input.height must be a whole number from 1 to 8192"),
        ("height = 32", "height = 32.0", "input.height must be"),
        ('"concat"', '["concat"]', "family must be one line of text"),
        ('family = "concat"', 'family = "concat"\nname = 5', "name must be one line"),
        ('family = "concat"', 'family = "concat"\nname = "a\\nb"', "name must be one line"),
        ('family = "concat"', 'family = "concat"\nname = ""', "name must be one line"),
        ('family = "concat"', 'family = "concat"\ndescription = "\\u001b[31m"', "description must"),
        ("[8, 16]", "[true, 16]", "must be a list of integers"),
        ("[8, 16]", "[8, 999999999999999999999999]", "takes 1 to 4096"),
        ("[8, 16]", f"[{', '.join(map(str, range(1, 4098)))}]", "has 4097 values; at most 4096"),
        ("to = 16, step = 8", "to = 1_000_000_000_000, step = 1", "values; at most 4096"),
        ("to = 16, step = 8", "to = 16, step = true", "must be a list of integers"),
        ("to = 16, step = 8", "to = 16, step = 0", "must be a list of integers"),
    ],
)
def test_a_wrong_file_is_named_with_its_mistake(tmp_path, old, new, message):
    assert old in _GOOD
    path = _write(tmp_path, _GOOD.replace(old, new))
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert path in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["settings", "variables"])
def test_a_table_that_is_a_number_is_refused(tmp_path, key):
    lines = _GOOD.split(f"[{key}]")[0].replace("[input]", f"{key} = 5\n[input]", 1)
    with pytest.raises(SpaceError, match=f"{key} must be a table, got 5"):
        load_space(_write(tmp_path, lines))


_SETTINGS = {
    "add": "cells = 3\nstem = 16",
    "mobilenet_v2": "stem = 32\nstem_stride = 1\nchannels = [16]\nstrides = [1]\nhead = 64",
    "nasbench201": "cells = 5\nchannels = 16",
    "nasbench_macro": "stem = 32\nlayers = [2, 3, 3]\nhead = 1280",
}


@pytest.mark.parametrize(
    ("family", "old", "new", "message"),
    [
        ("add", "cells = 3", 'cells = "three"', "cells must be an integer from 1 to 16"),
        ("add", "cells = 3", "cells = 17", "cells must be an integer from 1 to 16"),
        ("add", "cells = 3", "cells = true", "cells must be an integer from 1 to 16"),
        ("add", "cells = 3", "cells = 0", "cells must be an integer from 1 to 16"),
        ("add", "stem = 16", "stem = 16.5", "stem must be an integer from 1 to 65536"),
        ("add", "stem = 16", "stem = -1", "stem must be an integer from 1 to 65536"),
        ("add", "stem = 16", "stem = 65537", "stem must be an integer from 1 to 65536"),
        ("mobilenet_v2", "strides = [1]", "strides = 3", "strides must be a list of 1 to 16"),
        ("mobilenet_v2", "strides = [1]", "strides = [0]", "each from 1 to 8, got [0]"),
        ("mobilenet_v2", "strides = [1]", "strides = [1, 1]", "one entry a stage each"),
        ("mobilenet_v2", "stem_stride = 1", "stem_stride = 0", "stem_stride must be an integer"),
        ("mobilenet_v2", "channels = [16]", 'channels = ["x"]', "channels must be a list"),
        ("mobilenet_v2", "channels = [16]", "channels = []", "channels must be a list of 1 to 16"),
        ("mobilenet_v2", "channels = [16]\n", "", "[settings] lacks channels"),
        ("mobilenet_v2", "head = 64", "head = 999999999999999999999", "head must be an integer"),
        ("nasbench201", "channels = 16", "channels = [16]", "channels must be an integer"),
        ("nasbench_macro", "[2, 3, 3]", '"abc"', "layers must be a list of 1 to 8 integers"),
        ("nasbench_macro", "[2, 3, 3]", "[2, -3]", "each from 1 to 16, got [2, -3]"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(tmp_path, family, old, new, message):
    head = _GOOD.partition("[settings]")[0].replace("concat", family)
    assert _SETTINGS[family].count(old) == 1
    path = _write(tmp_path, f"{head}[settings]\n{_SETTINGS[family].replace(old, new)}\n")
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert f"{path}: [settings]" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_beyond_64_bit_counts_is_refused(tmp_path):
    text = _GOOD.replace("concat", "mobilenet_v2").partition("[settings]")[0]
    text = text.replace("height = 32", "height = 8192").replace("width = 32", "width = 8192")
    text += "[settings]\nchannels = [65536]\nstrides = [1]\n[variables]\n"
    text += "width1 = [1000]\nexpand1 = [16]\nkernel1 = [15]\ndepth1 = [64]\nskip1 = [1]\n"
    with pytest.raises(SpaceError, match="the largest network is beyond all that can be counted"):
        load_space(_write(tmp_path, text))


def test_an_unknown_space_gets_the_closest_name():
    with pytest.raises(UsageError, match="did you mean 'cifar10-concat'"):
        load_space("cifar10-conct")


def test_a_value_outside_the_space_is_refused_by_name():
    space = load_space("nasbench201")
    with pytest.raises(SpaceError, match="e0=7 is not in space nasbench201"):
        space.design({f"e{i}": 7 for i in range(6)})
    with pytest.raises(SpaceError, match="lacks a value for e5"):
        space.design({f"e{i}": 0 for i in range(5)})
    with pytest.raises(SpaceError, match="did you mean 'e0'"):
        space.design({"e00": 0})


def test_a_variable_of_one_value_need_not_be_written():
    space = load_space("detector-voc")
    short = "side=160 style=61 w=64,128,256 d=1,2,2,2 n=1,1,1,2"
    whole = space.named(space.parse(short))
    assert (whole["h3"], whole["h4"], whole["h5"]) == (100, 100, 100)
    with pytest.raises(SpaceError, match="lacks a value for n1, n2, n3, n4$"):
        space.parse("side=160 style=61 w=64,128,256 d=1,2,2,2")


@pytest.mark.parametrize("value", [999999999999999999999999, -(10**30), 8.0, True, "8", None])
def test_a_value_that_is_no_integer_of_the_space_is_refused_by_name(value, tmp_path):
    space = load_space(_write(tmp_path, _GOOD.replace("[8, 16]", "[1, 8, 16]")))
    with pytest.raises(SpaceError, match="^w1=.* is not in space mine; w1 is one of 1, 8, 16$"):
        space.design({"w1": value, "d1": 3, "t1": 0})
    assert space.design({"w1": np.int64(8), "d1": 3, "t1": 0}).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cifar10-concat", "w=8,16,32 w=8,16,32", "gives w twice"),
        ("cifar10-concat", f"w={'9' * 5000},16,32", "a number of over 9 digits"),
        ("cifar10-concat", "w=8,16", "w takes 3 values"),
        ("cifar10-concat", "x" * 5000, "is no design: expected a line such as w=1,1,1"),
        ("nasbench-macro", "0" * 5000, "expected 8 digits 0 to 2"),
        ("nasbench201", "junk|{0}", "is no cell"),
        ("nasbench201", "|{0}junk", "is no cell"),
        ("nasbench201", "junk {0}", "is no cell"),
        ("nasbench201", "|none~0|none~0|none~1|none~0|none~1|none~2|", "is no cell"),
        ("nasbench201", "{1}", "unknown operation 'nune' \\(did you mean 'none'"),
    ],
)
def test_a_text_that_is_no_design_is_refused_in_one_short_line(name, text, message):
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(name).family.parse(text.format(cell, cell.replace("none~1", "nune~1")))
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_shipped_files_are_found_by_name():
    path = data_file("models", "cifar10-concat")
    assert path is not None
    assert path.name == "cifar10-concat.toml"
