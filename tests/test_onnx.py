"""ONNX both ways: what is written computes and costs the design; anyone's model is read."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import FlashError, InputError, UsageError
from flash.estimate import command as estimate_command
from flash.estimate import estimate
from flash.evaluation import evaluate_network, measure_network
from flash.extras import install_command
from flash.spaces.reference import reference_network
from flash.spaces.space import load_space
from flash.targets import load_target
from flash.targets.processor.costs import network_costs
from flash.targets.processor.profile import load_profile

REASON = "needs the extra onnx: pip install 'flash-codesign[onnx]'"
onnx = pytest.importorskip("onnx", reason=REASON)
pytest.importorskip("onnxruntime", reason=REASON)

from numpy_networks import compute, trained_looking  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from flash.backends import (  # noqa: E402
    OPSET,
    network_model,
    network_of,
    random_weights,
    read_onnx,
    run_onnx,
)


def _networks(space, designs, seed):
    return [space.network(d) for d in space.sample(designs, np.random.default_rng(seed))]


def _zeros(network):
    return {name: np.zeros_like(w) for name, w in random_weights(network).items()}


def _signature(layer):
    names = ("op", "name", "in_channels", "out_channels", "in_height", "in_width", "out_height",
             "out_width", "kernel_height", "kernel_width", "stride", "pad_height", "pad_width",
             "groups", "operands", "norm", "bias", "act", "signal")  # fmt: skip
    inputs = tuple((x.producer, x.channels, x.present, x.signal) for x in layer.inputs if x.present)
    return tuple(getattr(layer, name) for name in names), inputs


# --------------------------------------------------------------------------------- writing


def _small_networks(space, designs, seed):
    """Random designs from the low quarter of each grid: every kind of layer, sooner computed."""
    if not space.family.connected:  # the low ones lead nowhere
        return _networks(space, designs, seed)
    rng = np.random.default_rng(seed)
    highest = [1 + len(grid) // 4 for grid in space.grids]
    return [space.network(design) for design in rng.integers(0, highest, (designs, len(highest)))]


def _largest_error(networks):
    worst = 0.0
    for seed, network in enumerate(networks):
        weights = trained_looking(random_weights(network, seed), seed)
        shape = (network.source.channels, network.source.height, network.source.width)
        image = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        model = network_model(network, weights)
        got = run_onnx(model, {"input": image[None]})["output"].ravel()
        want = compute(network, weights, image).ravel()
        worst = max(worst, np.abs(got - want).max() / max(1.0, np.abs(want).max()))
    return worst


def test_exported_designs_compute_what_their_layers_say(space):
    assert _largest_error(_small_networks(space, 2, 11)) <= 1e-4


@pytest.mark.slow
def test_twenty_exported_designs_compute_what_their_layers_say(space):
    assert _largest_error(_networks(space, 20, 11)) <= 1e-4


def test_layers_outside_the_families_are_written_too():
    # squeezenet: concat, biases, a pool for an output; densenet's norm layers; stacked linears.
    for name in ("squeezenet_1.1", "mobilenet_v3_small_minimalistic"):
        network = reference_network(name)
        weights = trained_looking(random_weights(network), 1)
        image = np.random.default_rng(1).standard_normal((3, 224, 224)).astype(np.float32)
        got = run_onnx(network_model(network, weights), {"input": image[None]})["output"].ravel()
        want = compute(network, weights, image).ravel()
        assert np.abs(got - want).max() <= 1e-4 * max(1.0, np.abs(want).max())


def test_parameters_are_the_initializers_without_running_statistics(space):
    (network,) = _small_networks(space, 1, 3)
    model = network_model(network, _zeros(network))
    counted = sum(
        int(np.prod(t.dims))
        for t in model.graph.initializer
        if not t.name.endswith((".mean", ".variance"))
    )
    assert counted == network.params
    assert model.opset_import[0].version == OPSET


def _counted_by_onnx_tool(model):
    """(params, MACs) of convolutions and linear layers; its MACs add one a bias."""
    tool = pytest.importorskip("onnx_tool", reason="needs the extra test")
    graph = tool.Model(model, {"verbose": False, "constant_folding": False}).graph
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    graph.shape_infer({"input": np.zeros(shape, np.float32)})
    graph.profile()
    params = macs = 0
    for node in graph.nodemap.values():
        # A batch norm's four values a channel are two parameters and two running statistics.
        params += node.params // 2 if node.op_type == "BatchNormalization" else node.params
        if node.op_type in ("Conv", "Gemm"):
            macs += node.macs[0]
    return params, macs


def _counts_agree(networks):
    for network in networks:
        params, macs = _counted_by_onnx_tool(network_model(network, _zeros(network)))
        biases = sum(x.out_channels * x.out_height * x.out_width for x in network.layers if x.bias)
        assert params == network.params
        assert macs == network.macs + biases


def test_an_independent_tool_counts_the_same_parameters_and_macs(space):
    _counts_agree(_small_networks(space, 2, 5))


@pytest.mark.slow
def test_an_independent_tool_counts_the_same_on_twenty_designs(space):
    _counts_agree(_networks(space, 20, 5))


def test_weights_are_seeded_and_of_he_variance():
    network = load_space("nasbench-macro").network(np.full(8, 1))
    first, again, other = (random_weights(network, seed) for seed in (4, 4, 5))
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert not np.array_equal(first["head.linear0.weight"], other["head.linear0.weight"])
    weight = first["head.linear0.weight"]
    assert weight.std() == pytest.approx(np.sqrt(2 / weight.shape[1]), rel=0.05)


def test_a_weight_that_is_missing_or_misshapen_is_named():
    network = load_space("nasbench-macro").network(np.zeros(8, dtype=int))
    weights = random_weights(network)
    with pytest.raises(InputError, match=r"lack stem\.conv0\.weight.*\(32, 3, 3, 3\)"):
        network_model(network, {k: v for k, v in weights.items() if k != "stem.conv0.weight"})
    with pytest.raises(InputError, match=r"shape \(10,\); expected \(32, 3, 3, 3\)"):
        network_model(network, weights | {"stem.conv0.weight": np.zeros(10, np.float32)})


# --------------------------------------------------------------------------------- reading


def _reads_back(networks):
    profiles = [load_profile("rpi3b"), load_profile("rpi4b"), load_profile("rpi4b:tflite_hw_nas")]
    for network in networks:
        model = network_model(network, _zeros(network))
        read = network_of(model)
        if not all(layer.signal for layer in network.layers):  # what zeros feed is a constant
            assert read.macs == network.live().macs < network.macs
            continue
        assert [_signature(x) for x in read.layers] == [_signature(x) for x in network.layers]
        for profile in profiles:
            assert network_costs(read, profile) == network_costs(network, profile)
        # Without flash's name on it the file is read as anyone's: what fuses may differ.
        model.producer_name = ""
        foreign = network_of(model)
        assert (foreign.params, foreign.macs) == (network.params, network.macs)


def test_reading_back_gives_the_same_layers_and_costs(space):
    _reads_back(_small_networks(space, 3, 7))


@pytest.mark.slow
def test_reading_back_twenty_designs_gives_the_same_layers_and_costs(space):
    _reads_back(_networks(space, 20, 7))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet_1.1", "mobilenet_v1_0.25_128"])
def test_a_published_network_read_as_anyones_file_costs_the_same(name):
    network = reference_network(name)
    model = network_model(network, _zeros(network))
    model.producer_name = "someone"
    read, profile = network_of(model), load_profile("rpi3b")
    assert [x.op for x in read.layers] == [x.op for x in network.layers]
    assert network_costs(read, profile) == network_costs(network, profile)


def _model(nodes, shape, output, weights=(), opset=17):
    """A model of someone else's: ``x`` in, ``y`` out."""
    initializers = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _kernel(*shape):
    return np.zeros(shape, np.float32)


def _convolution(shape=(1, 3, 8, 8), **attributes):
    node = helper.make_node("Conv", ["x", "w"], ["y"], "only", pads=[1] * 4, **attributes)
    return _model([node], list(shape), [None] * 4, [("w", _kernel(6, 3, 3, 3))])


def test_bias_norm_and_activation_become_part_of_their_convolution():
    n = helper.make_node
    per_channel = [(k, np.ones(6, np.float32)) for k in ("b", "s", "t", "m", "v")]
    nodes = [
        n("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4, strides=[2, 2]),
        n("BatchNormalization", ["c", "s", "t", "m", "v"], ["d"]),
        n("Sigmoid", ["d"], ["g"]),
        n("Mul", ["d", "g"], ["e"]),
        n("GlobalAveragePool", ["e"], ["p"]),
        n("Conv", ["p", "q"], ["f"]),
        n("HardSigmoid", ["f"], ["h"]),
        n("Mul", ["e", "h"], ["y"]),
    ]
    weights = [("w", _kernel(6, 3, 3, 3)), ("q", _kernel(6, 6, 1, 1)), *per_channel]
    read = network_of(_model(nodes, [1, 3, 8, 8], [1, 6, 4, 4], weights))
    assert [(x.op, x.act) for x in read.layers] == [
        ("conv", "silu"), ("global_pool", ""), ("conv", "hard_sigmoid"), ("mul", ""),
    ]  # fmt: skip
    # 6 3x3x3 kernels + bias + batch norm, then 6x6; 16 positions of the first, 1 of the second.
    assert read.params == 6 * 27 + 6 + 12 + 36
    assert read.macs == 6 * 27 * 16 + 36


def test_a_result_read_twice_is_not_fused():
    n = helper.make_node
    nodes = [
        n("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        n("Relu", ["c"], ["r"]),
        n("Add", ["c", "r"], ["y"]),
    ]
    read = network_of(_model(nodes, [1, 3, 8, 8], [1, 6, 8, 8], [("w", _kernel(6, 3, 3, 3))]))
    assert [(x.op, x.act) for x in read.layers] == [("conv", ""), ("act", "relu"), ("add", "")]


def test_shapes_that_the_model_computes_are_followed():
    n = helper.make_node
    nodes = [
        n("Shape", ["x"], ["s"]),
        n("Gather", ["s", "one"], ["c"]),
        n("Div", ["c", "two"], ["half"]),
        n("Concat", ["batch", "two", "half", "rest"], ["t"], axis=0),
        n("Reshape", ["x", "t"], ["groups"]),
        n("Transpose", ["groups"], ["turned"], perm=[0, 2, 1, 3, 4]),
        n("Reshape", ["turned", "back"], ["y"]),
    ]
    numbers = {"one": [1], "two": [2], "batch": [1], "rest": [8, 8], "back": [1, 6, 8, 8]}
    weights = [(k, np.array(v, dtype=np.int64)) for k, v in numbers.items()]
    read = network_of(_model(nodes, ["batch", 6, 8, 8], [None] * 4, weights))
    assert [(x.op, x.out_channels, x.out_height) for x in read.layers] == [("copy", 6, 8)]


def test_weights_kept_outside_the_file_are_not_needed(tmp_path):
    network = load_space("nasbench201").network(np.array([3, 3, 3, 1, 2, 4]))
    model, path = network_model(network, random_weights(network)), tmp_path / "big.onnx"
    onnx.save(model, path, save_as_external_data=True, location="big.data", size_threshold=0)
    (tmp_path / "big.data").unlink()
    assert read_onnx(path).macs == network.macs


def test_windows_that_are_not_symmetric_keep_their_real_output():
    read = network_of(_convolution(strides=[2, 1], dilations=[1, 2]))
    (layer,) = read.layers
    assert (layer.out_height, layer.out_width) == (4, 6)
    assert read.macs == 6 * 27 * 4 * 6


# ---------------------------------------------------------------------------- wrong inputs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "m.onnx: is empty$"),
        (b"\x18\0\0\0TFL3\x10\0\x1c\0", "a TensorFlow Lite model, .* convert it with tf2onnx"),
        (b"layer { type: 'Convolution' }\n", "not an ONNX model"),
        (b"\x80\x04\x95torch pickle", "not an ONNX model"),
        (None, "no such file: "),
    ],
)
def test_a_file_that_is_no_model_gets_one_line(tmp_path, content, message):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_onnx(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_torch_checkpoint_is_recognised_and_never_unpickled(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(InputError, match=r"PyTorch checkpoint.*torch\.onnx\.export"):
        read_onnx(path)


def test_a_file_beyond_two_gigabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)  # sparse: takes no disk
    with pytest.raises(InputError, match=r"2\.1 GB.*external data"):
        read_onnx(path)


def test_damaged_models_never_end_in_anything_but_one_line(tmp_path):
    whole, path = _convolution().SerializeToString(), tmp_path / "m.onnx"
    refused = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        content = bytearray(whole[: rng.integers(len(whole))] if seed % 3 == 0 else whole)
        for _ in range(seed % 3):
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(bytes(content))
        try:
            measure_network(read_onnx(path))
        except FlashError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


def test_dynamic_axes_are_named_with_the_option_that_helps():
    assert network_of(_convolution(("batch", 3, 8, 8))).macs == 6 * 27 * 64
    dynamic = _convolution(("batch", 3, "height", "width"))
    with pytest.raises(InputError, match=r"axis 2 \('height'\) of input 'x'.*--input 1x3x"):
        network_of(dynamic)
    assert network_of(dynamic, input_shape=(1, 3, 8, 8)).macs == 6 * 27 * 64
    with pytest.raises(UsageError, match="axis 1 of input 'x' 4; in model it is fixed at 3"):
        network_of(dynamic, input_shape=(1, 4, 8, 8))
    with pytest.raises(UsageError, match="has 3 sizes; input 'x' of model has 4"):
        network_of(dynamic, input_shape=(3, 8, 8))
    assert network_of(_convolution((8, 3, 8, 8))).macs == 8 * 6 * 27 * 64


def test_operators_whose_results_have_no_known_shape_are_all_named_in_one_line():
    n = helper.make_node
    nodes = [
        n("FusedThing", ["x"], ["a"], "fused1", domain="com.maker"),
        n("FusedThing", ["a"], ["b"], "fused2", domain="com.maker"),
        n("OtherThing", ["b"], ["c"], "other", domain="com.maker"),
        n("Relu", ["c"], ["y"]),
    ]
    with pytest.raises(InputError) as error:
        network_of(_custom(nodes))
    named = "com.maker.FusedThing (node 'fused1' and 1 more), com.maker.OtherThing (node 'other')"
    assert named in str(error.value)
    assert "flash.operators" in str(error.value)


def _custom(nodes):
    model = _model(nodes, [1, 3, 8, 8], [1, 3, 8, 8])
    model.opset_import.append(helper.make_opsetid("com.maker", 1))
    return model


def test_an_unknown_operator_of_a_stated_shape_is_priced_by_its_traffic():
    node = helper.make_node("FusedThing", ["x"], ["y"], "fused", domain="com.maker")
    (layer,) = network_of(_custom([node])).layers
    assert (layer.op, layer.in_channels, layer.out_channels) == ("other", 192, 192)


def test_every_operator_of_the_registry_has_a_handler():
    from flash.backends.onnx.operators import OPERATORS

    assert all(callable(handler) for _, handler in OPERATORS.items())
    assert len(OPERATORS) > 150


def test_misfit_weights_are_refused():
    with pytest.raises(InputError, match=r"node 'only'\): its weights do not fit"):
        network_of(_convolution((1, 4, 8, 8)))


# -------------------------------------------------------------------------------- estimate


def _estimate(*arguments):
    return run_command(estimate_command.main, list(map(str, arguments)))


@pytest.fixture
def exported(tmp_path):
    """(space, design's text, its file)."""
    space = load_space("nasbench201")
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    network = space.network(space.design(space.family.parse(text)))
    path = tmp_path / "cell.onnx"
    onnx.save(network_model(network, random_weights(network)), path)
    return space, text, path


def test_a_file_costs_what_its_design_costs(exported, capsys):
    space, text, path = exported
    assert _estimate(path, "--target", "rpi4b") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    (design,) = estimate(space=space.name, designs=[text], target="rpi4b")
    assert list(rows[0]) == list(design)
    assert [row["design"] for row in rows] == [str(path)]
    assert rows[0]["nn_mass"] == "", "a file does not tell its cells"
    for name in set(design) - {"design", "nn_degree", "nn_mass", "extrapolated"}:
        assert float(rows[0][name]) == pytest.approx(design[name], rel=1e-12), name
    assert rows[0]["extrapolated"] == str(design["extrapolated"]).lower()


def test_estimate_writes_json_with_null_for_what_is_not_known(exported, capsys):
    assert _estimate(exported[2], "--json", "-") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["nn_mass"] is None
    assert row["nn_degree"] > 0
    assert "latency_ms" not in row
    assert row["weight_kb"] == pytest.approx(row["params"] * 4 / 1000)


def test_a_file_of_a_concat_design_has_the_designs_scores(tmp_path):
    space = load_space("cifar10-concat")
    design = space.design(space.family.parse("w=8,16,32 d=4,3,5 t=8,0,64"))
    path = tmp_path / "concat.onnx"
    network = space.network(design)
    onnx.save(network_model(network, random_weights(network)), path)
    (row,) = estimate(models=[path])
    (same,) = estimate(space=space.name, designs=["w=8,16,32 d=4,3,5 t=8,0,64"])
    for name in ("nn_degree", "sed", "rank_score", "params", "macs"):
        assert row[name] == pytest.approx(same[name], rel=1e-9), name


def test_one_network_evaluates_as_its_design_does(rng):
    from flash.evaluation import evaluate

    space, target = load_space("cifar10-concat"), load_target("rpi3b")
    designs = space.sample(5, rng)
    together = evaluate(space, target, designs)
    for i, design in enumerate(designs):
        alone = evaluate_network(space.network(design), target)
        assert alone.latency_ms[2][0] == pytest.approx(together.latency_ms[2][i], rel=1e-12)
        assert alone.nn_degree[0] == pytest.approx(together.nn_degree[i])
        assert alone.activation_kb[0] == together.activation_kb[i]
        assert alone.extrapolated[0] == together.extrapolated[i]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give ONNX files, or designs"),
        (["m.onnx", "--space", "nasbench201"], 2, "not both"),
        (["m.onnx", "--designs", "-"], 2, "not both"),
        (["m.onnx", "--input-shape", "3,224,224"], 2, "1x3x224x224"),
        (["--designs", "d.txt", "--input-shape", "1x3x8x8"], 2, "for ONNX files"),
        (["none.onnx"], 4, "no such file: none.onnx"),
        (["m.onnx", "--target", "nope"], 2, "unknown target 'nope'"),
    ],
)
def test_estimate_refuses_in_one_line(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(_convolution(), "m.onnx")
    assert _estimate(*arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(package, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from flash.errors import UsageError\n"
        "try:\n    from flash.backends import read_onnx, run_onnx\n"
        "except UsageError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == (f"this needs the package {package}: {install_command('onnx')}\n"), (
        done.stderr
    )


# ----------------------------------------------------------------------------------- torch


@pytest.mark.slow
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_a_residual_network_exported_by_torch_is_read(folded, tmp_path):
    torch = pytest.importorskip("torch", reason="needs torch")
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, before, channels, stride):
            super().__init__()
            self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
            self.second = nn.Conv2d(channels, channels, 3, 1, 1, groups=2, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(3))
            self.short = nn.Conv2d(before, channels, 1, stride, bias=False)

        def forward(self, x):
            y = torch.relu(self.norms[0](self.first(x)))
            return torch.relu(self.norms[1](self.second(y)) + self.norms[2](self.short(x)))

    net = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU6(), nn.MaxPool2d(3, 2, 1), Block(8, 8, 1),
        Block(8, 16, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(16, 10),
    ).eval()  # fmt: skip
    for parameter in net.parameters():  # equal norms would be one in the file, and counted once
        nn.init.uniform_(parameter, 0.5, 1.5)
    counted = [0]

    def count(module, _, result):
        counted[0] += module.weight[0].numel() * result.numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    image, path = torch.randn(1, 3, 64, 64), tmp_path / "net.onnx"
    net(image)
    macs = counted[0]
    modes = torch.onnx.TrainingMode
    torch.onnx.export(
        net, (image,), path, dynamo=False, input_names=["image"], do_constant_folding=folded,
        dynamic_axes={"image": {0: "n"}}, training=modes.EVAL if folded else modes.PRESERVE,
    )  # fmt: skip
    read = read_onnx(path)
    assert read.macs == macs
    convolutions = 1 + 3 + 3
    assert [x.op for x in read.layers].count("conv") == convolutions
    assert {x.op for x in read.layers} == {"conv", "max_pool", "add", "global_pool", "linear"}
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    folded_away = sum(m.num_features for m in norms) if folded else 0
    assert read.params == sum(p.numel() for p in net.parameters()) - folded_away
