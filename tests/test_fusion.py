"""What runtimes run and merge: rules of a compiler, and onnxruntime's own lists of kernels."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from flash.errors import ProfileError
from flash.fitting.fitted import quality
from flash.fitting.learning import learn
from flash.fitting.prior import unknown_prior
from flash.fitting.structure import Structure, known_structure
from flash.measurements.reading import read_measurements
from flash.spaces.emitter import Emitter
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.space import load_space
from flash.spaces.table import LayerTable, TableEmitter, network_table
from flash.targets.processor.costs import costs, executed_layers, network_costs
from flash.targets.processor.fusion import fused_network, fused_table
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.kernels import REORDER, kernel_of
from flash.targets.processor.layout import reorders, reorders_within_stages
from flash.targets.processor.profile import EXECUTES, Profile, load_profile

ROOT = Path(__file__).resolve().parents[1]
CELLS = load_space("nasbench201")
#: onnxruntime's names of operations.
ORT_OPERATORS = {
    "Conv": "conv", "MaxPool": "max_pool", "AveragePool": "avg_pool", "Add": "add", "Relu": "act",
    "GlobalAveragePool": "global_pool", "Concat": "concat", "Slice": "slice", "Pad": "pad",
    "Gemm": "linear",
}  # fmt: skip
#: A cell that pools its input twice.
TWICE = "|avg_pool_3x3~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"


def with_structure(fusion: str, lanes: int, executes: str) -> Profile:
    profile = load_profile("rpi4b")
    runtime = replace(profile.runtime, fusion=fusion, lanes=lanes, executes=executes)
    return replace(profile, runtimes={runtime.name: runtime})


def test_a_compiler_merges_what_nothing_else_reads() -> None:
    e = GraphEmitter()
    source = e.source(8, 4, 4)
    stem = e.conv(source, 8, act="")
    left = e.conv(e.activation(stem), 8, act="")  # the sum reads the stem too: no merging
    y = e.add([stem, left, source])  # one kernel, which takes as long as two activations
    z = e.conv(e.activation(y), 8)  # only this reads the sum: merged
    kept = fused_network(e.network(source, z), "graph")
    assert [layer.op for layer in kept] == ["conv", "act", "conv", "add", "conv"]
    assert [kernel_of(layer, "graph").launches for layer in kept] == [1, 1, 1, 2, 1]


def test_a_compiler_runs_sums_of_one_tensor_or_none_that_are_read() -> None:
    def sums(text: str) -> int:
        kept = fused_network(CELLS.network(CELLS.parse(text)).used(), "graph")
        return sum(layer.op == "add" for layer in kept) - 2  # of the reductions

    # Node 3 always; node 1 hands on the input; node 2 sums nothing, and node 3 reads it.
    assert sums("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|") == 15
    assert sums("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|") == 30
    assert sums("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|avg_pool_3x3~2|") == 45
    network = CELLS.network(
        CELLS.parse("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|")
    )
    assert len(network.lone_sums) == 45  # five cells of three nodes, three times
    assert sum(layer.op == "add" for layer in network.layers) == 2


def test_the_drawn_example_of_three_operands() -> None:
    for act, operators in {"": ["conv", "conv", "avg_pool"],
                           "relu": ["conv", "conv", "avg_pool", "add", "act"]}.items():  # fmt: skip
        e = GraphEmitter()
        source = e.source(16, 8, 8)
        operands = [
            e.conv(source, 16, act=act),
            e.conv(source, 16, act=""),
            e.avg_pool(source, 3, 1),
        ]
        found = fused_network(e.network(source, e.activation(e.add(operands))), "sum")
        assert [x.op for x in found if x.act != REORDER] == operators
        # The convolutions and the pool read one reordered input; what they make is reordered back.
        assert [x.out_channels for x in found if x.act == REORDER] == [16, 16]
        assert [kernel_of(x).launches for x in found] == [1] * len(found)


def test_the_drawn_example_of_what_runtimes_execute() -> None:
    e = GraphEmitter()
    source = e.source(16, 8, 8)
    a = e.conv(source, 16)
    e.avg_pool(a, 3, 1)
    e.conv(a, 16)
    zeros = e.zeros(a)
    d = e.conv(zeros, 16)
    e.avg_pool(zeros, 3, 1)
    network = e.network(source, e.add([a, d]))
    letters = {layer.name: letter for layer, letter in zip(network.layers, "ABCDE+", strict=True)}

    def runs(executes: str) -> str:
        return "".join(letters[x.name] for x in executed_layers(network, executes)).strip("+")

    found = {executes: runs(executes) for executes in EXECUTES}
    assert found == {"all": "ABCDE", "used": "AD", "kept": "ACD", "live": "A", "fed": "ABC"}


def test_onnxruntime_adds_what_only_a_sum_reads_in_the_convolution() -> None:
    e = GraphEmitter()
    source = e.source(16, 8, 8)
    stem = e.conv(source, 16)
    left = e.conv(stem, 16, act="")
    y = e.activation(e.add([stem, left]))  # done by the second convolution, like its activation
    z = e.add([y, e.conv(y, 16), e.avg_pool(y, 3, 1)])  # rectified first: two sums are left
    cut = e.add([e.conv(z, 8, act=""), e.slice(z, 8)])  # nothing is added to a slice
    kept = [x for x in fused_network(e.network(source, cut), "sum") if x.act != REORDER]
    ops = ["conv", "conv", "conv", "avg_pool", "add", "conv", "slice", "add"]
    assert [x.op for x in kept] == ops
    assert [kernel_of(x).launches for x in kept if x.op == "add"] == [2, 1]


def test_onnxruntime_runs_equal_operations_on_one_tensor_once() -> None:
    kept = fused_network(CELLS.network(CELLS.parse(TWICE)).fed(), "sum")
    assert sum(x.op == "avg_pool" for x in kept) == 15 + 2  # one a cell, and the reductions'


@pytest.mark.parametrize("threads", ["1-thread", "2-threads"])
def test_the_kernels_of_a_network_are_those_that_onnxruntime_lists(threads: str) -> None:
    """On the shipped machine: by operator, for nearly all; by number within 2 % for the rest."""
    file = ROOT / "hw_profiles" / "measurements" / f"x86-avx512-{threads}.jsonl"
    found = read_measurements(file)
    same, listed_in_all, ours_in_all = 0, 0, 0
    for row in found.rows:
        kept = fused_network(row.network.fed(), "sum")
        ours = Counter(x.op for x in kept for _ in range(x.operands - 1 if x.op == "add" else 1))
        listed = Counter(ORT_OPERATORS[k.op] for k in row.kernels if k.op in ORT_OPERATORS)
        # The head's batch norm is a convolution here, a kernel of its own there, or neither.
        ours, listed = (
            Counter({op: n for op, n in x.items() if op in ORT_OPERATORS.values()})
            for x in (ours, listed)
        )
        same += ours == listed
        listed_in_all += listed.total()
        ours_in_all += ours.total()
    assert same >= 0.75 * len(found.rows)
    assert ours_in_all == pytest.approx(listed_in_all, rel=0.02)


def test_a_framework_that_runs_the_code_makes_zeros_and_adds_them() -> None:
    text = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|skip_connect~1|skip_connect~2|"
    network = CELLS.network(CELLS.parse(text))
    run = Counter(x.op for x in fused_network(network, "eager"))
    # Three products with zero a cell, sums of two and of three at nodes 2 and 3, none at node 1.
    assert run["mul"] == 15 * 3
    assert run["add"] == 15 * 2 + 2
    launches = sum(kernel_of(x).launches for x in fused_network(network, "eager") if x.op == "add")
    assert launches == 15 * (1 + 2) + 2
    assert run["conv"] == sum(x.op == "conv" for x in network.layers)
    # What a sum leaves out because its code does not compute it is not made here either.
    chains = load_space("cifar10-add")
    table = chains.table(chains.sample(50, np.random.default_rng(0)))
    layers, left = fused_table(table, table.active, "eager")
    assert not any(layer.op == "mul" for layer in layers)
    assert np.array_equal(left, table.active)


def test_only_a_runtime_that_runs_everything_is_eager(tmp_path: Path) -> None:
    profile = (ROOT / "hw_profiles" / "rpi4b.toml").read_text(encoding="utf-8")
    eager = 'executes = "used"\nfusion = "eager"\n'
    changed = profile.replace('\nexecutes = "used"\n', "\n" + eager, 1)
    file = tmp_path / "board.toml"
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(ProfileError, match='fusion can be "eager" only where executes = "all"'):
        load_profile(str(file))


@pytest.mark.parametrize(
    ("column", "rank", "error"), [("1080ti_1_ms", 0.97, 2.5), ("titan_rtx_256_ms", 0.995, 0.6)]
)
def test_zeros_explain_what_pytorch_takes_on_a_gpu(
    shared_rows: Callable[[str], list[dict[str, str]]], column: str, rank: float, error: float
) -> None:
    """25 cells predict 200 others; trees on half of all: .987 and 1.6 %, .9996 and 0.5 %."""
    rows = shared_rows("nasbench201/help_latency")
    order = np.random.default_rng(11).permutation(len(rows))
    networks, latency_ms = [], []
    for row in (rows[i] for i in order[:230]):
        network = CELLS.network(CELLS.parse(row["arch"]))
        if network.live().layers:
            networks.append(network)
            latency_ms.append(float(row[column]))
    measured = np.array(latency_ms)
    fit = learn(networks[:25], ["cell"] * 25, measured[:25], None, unknown_prior(), baselines=False)
    assert (fit.variants[0].executes, fit.variants[0].fusion) == ("all", "eager")
    found = quality(measured[25:], fit.latency_ms(networks[25:]))
    assert found["spearman"] >= rank
    assert found["median_error_percent"] <= error


def test_what_onnxruntime_merges_is_known_where_it_blocks_channels() -> None:
    header = {
        "runtime": {"name": "onnxruntime", "provider": "CPUExecutionProvider"},
        "device": {"arch": "x86_64", "simd_bits": 512},
    }
    assert known_structure(header) == Structure("fed", "blocks", 16)
    for changed in ({"arch": "aarch64"}, {"simd_bits": None}, {"simd_bits": 128}):
        assert known_structure(header | {"device": header["device"] | changed}) is None
    # In integers it blocks nothing, wherever it runs, but computes as many channels at once.
    for arch, bits, lanes in (("x86_64", 512, 16), ("x86_64", None, 4), ("aarch64", 128, 4)):
        device = {"arch": arch, "simd_bits": bits}
        found = known_structure(header | {"device": device, "precision": "int8"})
        assert found == Structure("fed", "ort", lanes)
    assert known_structure({}) is None


def test_an_unread_convolution_is_kept_with_what_feeds_it_but_no_unread_sum() -> None:
    def convolutions(text: str) -> tuple[int, int]:
        design = CELLS.parse(text)
        network, table = CELLS.network(design), CELLS.table(design[None])
        for mode in ("used", "kept"):
            assert len(getattr(network, mode)().layers) == getattr(table, mode).sum()
        return tuple(
            sum(x.op == "conv" for x in v.layers) for v in (network.used(), network.kept())
        )  # type: ignore[return-value]

    used, kept = convolutions("|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert kept - used == 15
    used, kept = convolutions(
        "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
    )
    assert kept - used == 30
    used, kept = convolutions(
        "|skip_connect~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
    )
    assert kept == used
    used, kept = convolutions(
        "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"
    )
    assert kept == used


@pytest.fixture(scope="module", params=["nasbench201", "cifar10-add", "cifar10-concat"])
def both_views(request: pytest.FixtureRequest) -> tuple[LayerTable, list[Network]]:
    """Twelve designs as a table, and each as a graph."""
    space = load_space(request.param)
    designs = space.sample(12, np.random.default_rng(1))
    return space.table(designs), [space.network(design) for design in designs]


@pytest.mark.parametrize(
    ("executes", "fusion"),
    [*product(("used", "kept", "fed"), ("graph", "sum", "blocks")), ("all", "eager")],
)
def test_both_views_agree_whatever_a_runtime_merges(
    both_views: tuple[LayerTable, list[Network]], executes: str, fusion: str
) -> None:
    table, networks = both_views
    profile = with_structure(fusion, 16, executes)
    by_table = costs(table, profile)["latency_ms"]
    by_graph = [network_costs(network, profile)["latency_ms"] for network in networks]
    assert np.allclose(by_table, by_graph)


@pytest.mark.parametrize("space", ["cifar10-add", "cifar10-concat", "cifar10-mobilenet-v2"])
@pytest.mark.parametrize(
    ("executes", "fusion"),
    [("used", "graph"), ("used", "sum"), ("all", "eager"), ("used", "blocks")],
)
def test_stages_add_up_whatever_a_runtime_merges(space: str, executes: str, fusion: str) -> None:
    found = load_space(space)
    designs = found.sample(8, np.random.default_rng(2))
    profile = with_structure(fusion, 16, executes)
    values = found.decode(designs)
    columns = {name: values[:, k] for k, name in enumerate(found.variables)}
    total = np.zeros(len(designs))
    for stage in found.family.stages:
        emitter = TableEmitter(len(designs), only=(stage.name,))
        table = emitter.table(found.family.emit(emitter, columns)[1])
        total += costs(table, profile)["latency_ms"]
    assert np.allclose(total, costs(found.table(designs), profile)["latency_ms"])


# ------------------------------------------------------------------------------- onnxruntime
def _operators(emit) -> list[tuple[str, str]]:
    e = GraphEmitter()
    source = e.source(3, 16, 16)
    return [(x.op, x.act) for x in fused_network(e.network(source, emit(e, source)), "sum")]


def test_layouts_change_between_blocks_and_plain_tensors() -> None:
    """As the graphs that onnxruntime 1.32 optimises: a grouped convolution whose groups do not
    fill blocks is plain, one whose groups do is not; of a single position nothing is reordered."""
    moved = ("copy", REORDER)
    assert _operators(lambda e, x: e.conv(x, 32)) == [("conv", "relu"), moved]
    narrow = _operators(lambda e, x: e.conv(e.conv(e.conv(x, 64), 64, groups=8), 64))
    assert narrow == [("conv", "relu")] * 3 + [moved] * 3
    wide = _operators(lambda e, x: e.conv(e.conv(e.conv(x, 64), 64, groups=4), 64))
    assert wide == [("conv", "relu")] * 3 + [moved]
    gap = _operators(lambda e, x: e.linear(e.global_pool(e.conv(x, 32)), 10))
    assert gap == [("conv", "relu"), ("global_pool", ""), ("linear", "")]


def test_layouts_of_many_designs_are_those_of_each() -> None:
    """Within one stage, but for the output: as the rule for one network has it."""
    groups, widths = np.array([1, 8, 4, 8]), np.array([64, 64, 64, 128])

    def emit(e: Emitter, groups, width):
        source = e.source(3, 16, 16)
        x = e.activation(e.conv(source, width, act=""), "silu")
        y = e.conv(x, width, 3, groups=groups)
        x = e.max_pool(e.conv(e.activation(e.add([x, y]), "elu"), 20, 1), 2, 2, 0)
        return source, e.conv(e.concat([x, e.max_pool(y, 2, 2, 0)]), 32)

    table = TableEmitter(4)
    whole = table.table(emit(table, groups, widths)[1])
    layers, happens = reorders_within_stages(whole.layers, whole.active, 16)
    for n in range(4):
        e = GraphEmitter()
        alone = network_table(e.network(*emit(e, int(groups[n]), int(widths[n]))))
        single = reorders(alone.layers, alone.active[:, 0], alone.output)
        sizes = [int(np.ravel(x.in_channels)[0]) for x in single[:-1]]  # the last is the output's
        found = [int(np.broadcast_to(x.in_channels, 4)[n]) for x in np.array(layers)[happens[:, n]]]
        assert found == sizes


def test_whether_groups_fill_blocks_is_the_processors_affair() -> None:
    """Groups of eight channels leave the layout in blocks of 16, not that in blocks of 8."""
    e = GraphEmitter()
    source = e.source(3, 16, 16)
    network = e.network(source, e.conv(e.conv(e.conv(source, 64), 64, groups=8), 64))
    for lanes, reordered in ((16, 3), (8, 1)):
        layers = fused_network(network, "blocks", lanes)
        assert sum(x.act == REORDER for x in layers) == reordered
        kind = KERNEL_CLASSES[int(kernel_of(layers[1], "blocks", lanes).kind)]
        assert kind == ("grouped" if lanes == 16 else "conv3x3")


def test_activations_that_no_convolution_does_are_kernels_of_their_own() -> None:
    gated = _operators(lambda e, x: e.global_pool(e.conv(x, 32, act="silu")))
    assert gated == [("conv", ""), ("act", "silu"), ("global_pool", "")]
    done = _operators(lambda e, x: e.global_pool(e.conv(x, 32, act="hard_swish")))
    assert done == [("conv", "hard_swish"), ("global_pool", "")]
    e = GraphEmitter()
    source = e.source(3, 16, 16)
    stem = e.conv(source, 32)
    network = e.network(source, e.add([e.conv(stem, 32, act=""), stem], act="relu"))
    e = GraphEmitter()
    source = e.source(3, 16, 16)
    gated = e.network(source, e.add([e.conv(source, 8), e.conv(source, 8)], act="silu"))
    last = [(x.op, x.act) for x in fused_network(gated, "blocks") if x.op != "conv"]
    assert last[:2] == [("add", ""), ("act", "silu")]
    plain = [(x.op, x.act) for x in fused_network(network, "ort")]
    assert plain == [("conv", "relu"), ("conv", ""), ("add", ""), ("act", "relu")]
