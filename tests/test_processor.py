"""The processor cost model: one formula for both views, additive, monotone, checked by hand."""

import time
from dataclasses import replace

import numpy as np
import pytest

from flash.errors import UsageError
from flash.spaces.emitter import Emitter
from flash.spaces.layers import Layer, layer_macs
from flash.spaces.network import GraphEmitter
from flash.spaces.reference import reference_network
from flash.spaces.space import SearchSpace, load_space
from flash.spaces.table import TableEmitter
from flash.targets.processor.costs import (
    call_ms,
    costs,
    executed_layers,
    features,
    kernel_ms,
    layer_latency_ms,
    network_costs,
    network_features,
)
from flash.targets.processor.intervals import energy_interval, latency_interval
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.kernels import kernel_of
from flash.targets.processor.profile import Coefficients, Profile, load_profile
from flash.targets.processor.target import ProcessorTarget

RPI3 = load_profile("rpi3b")
RPI4 = load_profile("rpi4b")


def with_executes(profile: Profile, executes: str) -> Profile:
    runtime = replace(profile.runtime, executes=executes)
    return replace(profile, runtimes={**profile.runtimes, runtime.name: runtime})


def one_layer(build) -> Layer:
    emitter = GraphEmitter()
    source = emitter.source(16, 8, 8)
    return emitter.network(source, build(emitter, source)).layers[-1]


CONV3 = lambda e, x: e.conv(x, 30)  # noqa: E731
CASES = [
    (CONV3, "conv3x3", 64 * 144 * 32, 64 * 46, 30 * 144),
    (lambda e, x: e.conv(x, 30, 3, 2), "conv", 16 * 144 * 32, 16 * 64 + 30 * 16, 30 * 144),
    (lambda e, x: e.conv(x, 32, 1), "pointwise", 64 * 16 * 32, 64 * 48, 512),
    (lambda e, x: e.conv(x, 16, 5, groups=16), "depthwise", 64 * 25 * 16, 2 * 64 * 16, 400),
    # Each group a product of its own: 128 rows of 15 outputs; the other group's weights count as
    # traffic only.
    (
        lambda e, x: e.conv(x, 30, 3, groups=2),
        "grouped",
        128 * 72 * 15,
        64 * 46 + 15 * 72,
        15 * 72,
    ),
    (lambda e, x: e.linear(x, 10), "linear", 1024 * 12, 1034, 10240),
    (lambda e, x: e.max_pool(x, 2, 2, 0), "pool", 16 * 4 * 16, 16 * 80, 0),
    (lambda e, x: e.global_pool(x), "global_pool", 64 * 16, 16 * 65, 0),
    (lambda e, x: e.add([e.conv(x, 16), x, e.conv(x, 16)]), "elementwise", 0, 6 * 1024, 0),
    (lambda e, x: e.concat([e.conv(x, 8), x]), "elementwise", 0, 2 * 24 * 64, 0),
]


@pytest.mark.parametrize(("build", "kind", "work", "elements", "weights"), CASES)
def test_kernels_count_by_hand(build, kind, work, elements, weights) -> None:
    kernel = kernel_of(one_layer(build))
    assert KERNEL_CLASSES[kernel.kind] == kind
    assert kernel.positions * kernel.reduction * kernel.outputs == work
    assert (kernel.elements, kernel.weights) == (elements, weights)


#: Of 16 channels, 8 x 8, where code paths are told apart, with blocks of eight.
BY_PATH = [
    (lambda e, x: e.conv(x, 30, act="relu"), "conv3x3", (64, 144, 32), 64 * 46, 30 * 144),
    (lambda e, x: e.conv(x, 30, act="relu6"), "conv3x3", (64, 150, 32), 64 * 46, 30 * 144),
    # Groups that fill blocks: 8 channels read by each output.
    (lambda e, x: e.conv(x, 32, groups=2), "conv3x3", (64, 72, 32), 64 * 48, 32 * 72),
    # Groups that do not: rows of 8 positions are copied to columns as if they had 14.
    (
        lambda e, x: e.conv(x, 32, groups=4),
        "grouped",
        (64, 144 + 144 * 6 // 8, 8),
        64 * 48,
        8 * 144,
    ),
    (
        lambda e, x: e.conv(x, 32, 3, 2, groups=4, act="tanh"),
        "grouped",
        (16, 144 + 144 * 6 // 4 + 4 * 15, 18),
        16 * 64 + 32 * 16,
        8 * 144,
    ),
    (
        lambda e, x: e.conv(x, 16, 5, groups=16, act="hard_swish"),
        "depthwise",
        (64, 33, 16),
        2 * 64 * 16,
        400,
    ),
    # Four channels of an image fill no block, are no more, and nothing is reordered for them.
    (lambda e, x: e.conv(e.slice(x, 4), 8), "conv3x3", (64, 36, 8), 64 * 12, 8 * 36),
    # Five are read from a plain tensor, to which they are reordered first.
    (lambda e, x: e.conv(e.slice(x, 5), 8), "conv3x3", (64, 45, 8), 64 * (13 + 80), 8 * 45),
    # Depthwise channels that are no multiple of four: a product, each row of columns copied.
    (
        lambda e, x: e.conv(e.slice(x, 10), 10, 5, groups=10),
        "grouped",
        (64, 250 + 250 * 6 // 8, 1),
        64 * 20,
        10 * 25,
    ),
]


@pytest.mark.parametrize(("build", "kind", "sizes", "elements", "weights"), BY_PATH)
def test_code_paths_of_onnxruntime_count_by_hand(build, kind, sizes, elements, weights) -> None:
    kernel = kernel_of(one_layer(build), "blocks", 8)
    assert KERNEL_CLASSES[int(kernel.kind)] == kind
    assert (kernel.positions, kernel.reduction, kernel.outputs) == sizes
    assert (kernel.elements, kernel.weights) == (elements, weights)


def test_weights_times_positions_are_the_macs() -> None:
    for name in ("alexnet_caffe", "mobilenet_v2", "inception_v3"):
        for layer in reference_network(name).layers:
            if layer.op in ("conv", "linear"):
                for fusion, lanes in (("conv", 4), ("blocks", 16)):
                    kernel = kernel_of(layer, fusion, lanes)
                    assert kernel.weights * kernel.positions == layer_macs(layer), layer.name


def test_a_kernel_takes_what_the_formula_says() -> None:
    c = Coefficients((50.0,) * 7, (2.0,) * 7, (0.5,) * 7, (16.0,) * 7, (8.0,) * 7)
    kernel = kernel_of(one_layer(CONV3))
    compute_ms = 64 * (144 + 16) * (32 + 8) / 2e9 * 1e3
    memory_ms = 4 * (64 * 46 + 30 * 144) / 0.5e9 * 1e3
    assert kernel_ms(kernel, c, 4) == pytest.approx(0.05 + max(compute_ms, memory_ms))
    slow_memory = replace(c, gb_s=(0.01,) * 7)
    assert kernel_ms(kernel, slow_memory, 4) == pytest.approx(0.05 + 50 * memory_ms)


@pytest.mark.parametrize(
    "name", ["cifar10-concat", "cifar10-add", "cifar10-mobilenet-v2", "nasbench201"]
)
@pytest.mark.parametrize("profile", [RPI3, RPI4])
def test_table_and_network_agree(name: str, profile: Profile) -> None:
    space = load_space(name)
    indices = space.sample(12, np.random.default_rng(3))
    table = space.table(indices)
    by_table = features(table, profile)
    for quantity, values in costs(table, profile).items():
        assert np.array_equal(values, by_table[quantity])
    for n, design in enumerate(indices):
        network = space.network(design)
        single = network_costs(network, profile) | network_features(network, profile)
        for quantity, value in single.items():
            assert by_table[quantity][n] == pytest.approx(np.max(value), rel=1e-12), quantity


def test_kernels_that_differ_by_design_are_classed_one_by_one() -> None:
    kernel, groups = np.array([1, 3, 3, 5, 3]), np.array([1, 1, 16, 2, 4])

    def emit(e: Emitter, kernel, groups):
        source = e.source(16, 8, 8)
        return source, e.conv(source, 16, kernel, groups=groups)

    table = TableEmitter(5)
    together = table.table(emit(table, kernel, groups)[1])
    by_path = replace(RPI4.runtime, fusion="blocks", lanes=8)
    blocked = replace(RPI4, runtimes={by_path.name: by_path}, default_runtime=by_path.name)
    for profile in (RPI4, blocked):
        for n in range(5):
            single = GraphEmitter()
            layer = single.network(*emit(single, int(kernel[n]), int(groups[n]))).layers[0]
            expected = layer_latency_ms(layer, profile) + call_ms(profile)
            assert costs(together, profile)["latency_ms"][n] == pytest.approx(float(expected))


def test_costs_of_the_stages_add_up_to_the_network() -> None:
    space = load_space("cifar10-concat")
    indices = space.sample(50, np.random.default_rng(5))
    values = dict(zip(space.variables, space.decode(indices).T, strict=True))
    whole = costs(space.table(indices), RPI4)
    parts = []
    for stage in space.family.stages:
        emitter = TableEmitter(50, only={stage.name})
        parts.append(costs(emitter.table(space.family.emit(emitter, values)[1]), RPI4))
    for quantity, total in whole.items():
        assert np.allclose(sum(p[quantity] for p in parts), total, rtol=1e-12)


@pytest.mark.parametrize("name", ["cifar10-concat", "cifar10-add", "cifar10-mobilenet-v2"])
@pytest.mark.parametrize("target", ["rpi3b:tvm", "rpi3b:ncnn", "rpi4b:tflite", "rpi4b:armnn"])
def test_wider_and_deeper_is_never_faster(name: str, target: str) -> None:
    space, profile = load_space(name), load_profile(target)
    indices = space.sample(300, np.random.default_rng(1))
    before = costs(space.table(indices), profile)
    for k, variable in enumerate(space.variables):
        # A larger skip budget can save work: a whole tensor needs no slice and no padding.
        if variable.startswith(("skip", "t")):
            continue
        wider = indices.copy()
        wider[:, k] = np.minimum(wider[:, k] + 1, len(space.grids[k]) - 1)
        after = costs(space.table(wider), profile)
        for quantity in ("latency_ms", "energy_mj"):
            grown = after[quantity] >= before[quantity] * (1 - 1e-12)
            assert grown.all(), (variable, quantity)


def test_what_a_runtime_executes_follows_the_profile() -> None:
    space = load_space("nasbench201")
    # Edge 2 -> 3 convolves the zeros of node 2 (used, not live); 0 -> 1 leads nowhere.
    dead = {"e0": 3, "e1": 0, "e2": 0, "e3": 1, "e4": 0, "e5": 3}
    network = space.network(space.design(dead))
    convs = [
        sum(x.op == "conv" for x in executed_layers(network, mode))
        for mode in ("all", "used", "live")
    ]
    assert convs[0] - convs[1] == convs[1] - convs[2] == 15
    table = space.table(space.design(dead)[None])
    latencies = [
        costs(table, with_executes(RPI4, mode))["latency_ms"][0] for mode in ("all", "used", "live")
    ]
    assert latencies[0] > latencies[1] > latencies[2]


def test_layer_latencies_add_up() -> None:
    network = reference_network("resnet18")
    total = sum(layer_latency_ms(x, RPI3) for x in network.layers)
    assert network_costs(network, RPI3)["latency_ms"] == pytest.approx(total)


def test_energy_is_power_times_time_plus_work() -> None:
    network = reference_network("resnet50")
    energy, cost = RPI4.energy, network_costs(network, RPI4)
    total = network_features(network, RPI4)
    expected = (
        energy.power_w * cost["latency_ms"]
        + energy.mj_per_gmac * network.macs / 1e9
        + energy.mj_per_gb * total["bytes"][0] / 1e9
    )
    assert cost["energy_mj"] == pytest.approx(expected)


def test_the_interval_holds_the_value_and_widens_outside_the_fitted_networks() -> None:
    latency = np.array([10.0, 10.0, 10.0])
    known = network_features(reference_network("mobilenet_v2_0.75_160"), RPI4)
    totals = {k: np.repeat(v, 3) * [1.0, 30.0, 3000.0] for k, v in known.items()}
    low, high, outside = latency_interval(latency, totals, RPI4)
    assert list(outside) == [False, True, True]
    assert (low < latency).all()
    assert (high > latency).all()
    assert (np.diff(high / low) > 0).all()
    interval = RPI4.runtime.interval
    assert high[0] / latency[0] == pytest.approx(interval.high)
    energy_low, energy_high = energy_interval(latency, (latency, low, high), RPI4)
    assert (energy_low < low).all()
    assert (energy_high > high).all()


def test_a_share_of_dense_windows_beyond_the_fitted_ones_counts_as_outside() -> None:
    vgg = network_features(reference_network("vgg16"), RPI4)
    # MACs, bytes and kernels of a fitted network, but nearly all of them in 3x3 windows.
    inside = network_features(reference_network("mobilenet_v1"), RPI4)
    share = vgg["conv_macs"] / vgg["macs"]
    totals = {**inside, "conv_macs": inside["macs"] * share}
    assert not latency_interval(np.ones(1), inside, RPI4)[2][0]
    assert latency_interval(np.ones(1), totals, RPI4)[2][0]


def test_a_network_of_which_nothing_runs_takes_no_time_and_has_finite_intervals() -> None:
    cells = load_space("nasbench201")
    dead = cells.parse("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|")
    found = ProcessorTarget(with_executes(RPI4, "live")).costs(cells.table(dead[None]))
    assert [float(x[0]) for x in found.latency_ms] == [0.0, 0.0, 0.0]
    assert [float(x[0]) for x in found.energy_mj] == [0.0, 0.0, 0.0]


def test_a_kernel_of_a_class_never_measured_counts_as_outside() -> None:
    network = reference_network("mobilenet_v1")
    inside = network_features(network, RPI4)
    assert not latency_interval(np.ones(1), inside, RPI4)[2][0]
    interval = replace(
        RPI4.runtime.interval, classes=tuple(c for c in KERNEL_CLASSES if c != "depthwise")
    )
    runtime = replace(RPI4.runtime, interval=interval)
    without = replace(RPI4, runtimes={runtime.name: runtime})
    latency = np.array([network_costs(network, without)["latency_ms"]])
    low, high, outside = latency_interval(latency, network_features(network, without), without)
    assert outside[0]
    # The share that only the prior knows may take five times as long.
    channelwise = [x for x in network.used().layers if x.op == "conv" and x.groups > 1]
    share = sum(layer_latency_ms(x, without) for x in channelwise) / latency[0]
    assert 0.1 < share < 0.9
    as_far = 1 + np.log10(2)  # as a factor of two outside
    above, below = interval.outside_high**as_far, interval.outside_low**as_far
    assert high[0] / latency[0] == pytest.approx(above * (1 + share * 4.18), rel=1e-3)
    assert low[0] / latency[0] == pytest.approx(below * (1 - share * 0.807), rel=1e-3)
    squeeze = network_features(reference_network("squeezenet_1.1"), without)
    assert squeeze["unmeasured_ms"][0] == 0


def scored_a_second(space: SearchSpace, profile: Profile) -> float:
    table = space.table(space.sample(2048, np.random.default_rng(0)))
    costs(table, profile)
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        costs(table, profile)
        best = min(best, time.process_time() - start)
    return 2048 / best


def test_scoring_is_vectorised() -> None:
    # 200,000 and more on an idle core; a loop over designs would not reach 2,000.
    assert scored_a_second(load_space("cifar10-concat"), RPI3) > 20_000


def test_unknown_runtime_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        RPI3.select("onnxruntime")
