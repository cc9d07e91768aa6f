"""Models priced as the graph that onnxruntime runs, and in the format they are stored in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import UsageError
from flash.estimate import check, estimate
from flash.estimate.layers import block_rows

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from onnx_models import model, node, normal  # noqa: E402

from flash.backends import optimised_network  # noqa: E402
from flash.estimate import command  # noqa: E402
from flash.profile import profile  # noqa: E402


@pytest.fixture
def path(tmp_path):
    """A convolution with leaky ReLU, one into a sum, SiLU, a product of rows with bias and GELU."""
    made = [
        node("Conv", ["x", "w1"], ["c1"], "/a/one/Conv", pads=[1] * 4),
        node("LeakyRelu", ["c1"], ["/a/one/Relu_output_0"], "/a/one/Relu", alpha=0.1),
        node("Conv", ["/a/one/Relu_output_0", "w2"], ["c2"], "/a/two/Conv", pads=[1] * 4),
        node("Add", ["c2", "/a/one/Relu_output_0"], ["s"], "/a/two/Add"),
        node("Sigmoid", ["s"], ["g"], "/a/two/Sigmoid"),
        node("Mul", ["s", "g"], ["m"], "/a/two/Mul"),
        node("Reshape", ["m", "shape"], ["f"], "/b/Reshape"),
        node("MatMul", ["f", "w3"], ["p"], "/b/one/MatMul"),
        node("Add", ["p", "b3"], ["q"], "/b/one/Add"),
        node("Relu", ["q"], ["a"], "/b/one/Relu"),
        node("Add", ["a", "f"], ["t"], "/b/two/Add"),
        node("LayerNormalization", ["t", "b3", "b3"], ["y"], "/b/two/Norm"),
    ]
    weights = {
        "w1": normal(16, 3, 3, 3), "w2": normal(16, 16, 3, 3), "shape": np.array([1, 16, 64]),
        "w3": normal(64, 64), "b3": normal(64),
    }  # fmt: skip
    place = tmp_path / "net.onnx"
    onnx.save(model(made, {"x": ["n", 3, 8, 8]}, weights), place)
    return place


def _quantized(tmp_path, dynamic=False):
    from onnxruntime.quantization import quantize_dynamic  # noqa: PLC0415

    from flash.backends import quantize_onnx  # noqa: PLC0415

    made = [
        node("Conv", ["x", "w"], ["a"], "c1", pads=[1] * 4),
        node("Conv", ["a", "v"], ["b"], "c2"),
        node("Flatten", ["b"], ["f"], "flat"),
        node("MatMul", ["f", "u"], ["y"], "last"),
    ]
    weights = {"w": normal(32, 3, 3, 3), "v": normal(32, 32, 1, 1), "u": normal(2048, 256)}
    plain = model(made, {"x": [1, 3, 8, 8]}, weights)
    place = tmp_path / "int8.onnx"
    if dynamic:
        onnx.save(plain, tmp_path / "fp32.onnx")
        quantize_dynamic(tmp_path / "fp32.onnx", place, op_types_to_quantize=["MatMul"])
    else:
        images = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
        place.write_bytes(quantize_onnx(plain.SerializeToString(), images))
    return place


def test_kernels_are_those_of_the_graph_that_is_run(path):
    plain = optimised_network(path, blocks=False)
    ops = [(layer.op, layer.act) for layer in plain.layers]
    # The first convolution does its activation, the product its bias, the norm its sum.
    assert ops == [
        ("conv", "leaky_relu"), ("conv", ""), ("add", ""), ("act", "silu"), ("linear", ""),
        ("act", "relu"), ("layer_norm", ""),
    ]  # fmt: skip
    assert plain.layers[-1].operands == 2
    blocked = optimised_network(path)
    assert [x.out_height for x in blocked.layers if x.op == "conv"] == [8, 8]
    if any(layer.act == "reorder" for layer in blocked.layers):  # not on every processor
        # In blocks a convolution does the sum, too.
        assert [x.op for x in blocked.layers[:3]] == ["conv", "conv", "act"]
        assert blocked.layers[0].name == "/a/one/Relu"


def test_an_estimate_of_the_optimised_graph_keeps_what_the_model_is(path):
    (rule,) = estimate(path, target="x86-epyc")
    (read,) = estimate(path, target="x86-epyc", optimized_by="onnxruntime", layers=True)
    for name in ("params", "macs", "weight_kb", "activation_kb", "nn_degree", "sed"):
        assert rule[name] == read[name]
    assert 0.5 < read["latency_ms"] / rule["latency_ms"] < 2
    assert sum(layer["latency_ms"] for layer in read["layers"]) == pytest.approx(read["latency_ms"])
    report = check(path, target="x86-epyc", max_latency_ms=1e3, optimized_by="onnxruntime")
    assert report[0].estimate["latency_ms"] == read["latency_ms"]


def test_blocks_add_up_their_layers(tmp_path):
    made = [
        node("Conv", ["x", "w"], ["a"], "/a/one/conv1/Conv"),
        node("Conv", ["a", "v"], ["b"], "/a/one/conv2/Conv"),
        node("MaxPool", ["b"], ["y"], "/a/two/MaxPool", kernel_shape=[2, 2]),
    ]
    weights = {"w": normal(8, 3, 3, 3), "v": normal(8, 8, 1, 1)}
    onnx.save(model(made, {"x": [1, 3, 8, 8]}, weights), tmp_path / "net.onnx")
    (row,) = estimate(tmp_path / "net.onnx", target="x86-epyc", layers=True)
    blocks = {block["block"]: block for block in row["blocks"]}
    assert blocks["a/one"]["layers"] == 2 and "a/two" in blocks
    for name in ("latency_ms", "macs", "share"):
        total = sum(layer[name] for layer in row["layers"])
        assert sum(block.get(name, 0) for block in blocks.values()) == pytest.approx(total)
    rows = [{"layer": name, "latency_ms": 1.0} for name in ("body1.conv1", "body1.conv2", "head")]
    assert [(b["block"], b["layers"]) for b in block_rows(rows)] == [("body1", 2), ("head", 1)]
    assert block_rows([{"layer": "a", "latency_ms": 1.0}, {"layer": "b", "latency_ms": 1.0}]) == []


@pytest.mark.parametrize(
    ("target", "optimizer", "message"),
    [
        ("rpi4b:tflite", "onnxruntime", "runs TFLite"),
        ("jetson-nano:ort-cuda", "onnxruntime", "not onnxruntime on a CPU"),
        ("systolic", "onnxruntime", "does not run its graphs"),
        ("x86-epyc", "onnxrutime", "did you mean"),
        (None, "onnxruntime", "needs a --target"),
    ],
)
def test_only_graphs_that_are_run_can_be_priced(path, target, optimizer, message):
    with pytest.raises(UsageError, match=message):
        estimate(path, target=target, optimized_by=optimizer)


def test_measured_kernels_stand_beside_predicted_ones(path, tmp_path, capsys):
    out = tmp_path / "m.jsonl"
    profile([path], out=out, threads=1, kernels=True, budget_s=1.0, processor_time=True)
    assert json.loads(out.read_text().splitlines()[0])["clock"] == "processor time"
    arguments = [path, "--target", "x86-epyc", "--layers", "--measured", out]
    assert run_command(command.main, [*map(str, arguments), "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    measured = [layer["measured_ms"] for layer in row["layers"] if layer["op"] != "call"]
    assert all(ms is not None and ms > 0 for ms in measured)
    assert sum(b.get("measured_ms", 0.0) for b in row["blocks"]) == pytest.approx(sum(measured))
    assert run_command(command.main, list(map(str, arguments))) == 0
    assert "measured" in capsys.readouterr().out


# --------------------------------------------------------------------------- number formats
def test_an_int8_model_is_priced_by_the_runtime_of_its_format(tmp_path, capsys):
    path = _quantized(tmp_path)
    (row,) = estimate(path, target="rpi4b")
    assert "stored in int8: priced as rpi4b:tflite_int8 runs it" in capsys.readouterr().err
    (named,) = estimate(path, target="rpi4b:tflite_int8")
    assert row["latency_ms"] == named["latency_ms"]
    report = check(path, target="rpi4b", max_latency_ms=1e3)
    assert report[0].target == "rpi4b:tflite_int8"


def test_a_format_without_rates_is_told_and_widens_the_interval(tmp_path, capsys):
    path = _quantized(tmp_path)
    for target in ("rpi3b", "rpi4b:tflite"):
        (row,) = estimate(path, target=target)
        assert "has no rates for that" in capsys.readouterr().err
        assert row["extrapolated"]
        assert row["latency_high_ms"] / row["latency_low_ms"] > 10


def test_a_model_whose_weights_alone_are_integers_is_no_int8_model(tmp_path, capsys):
    estimate(_quantized(tmp_path, dynamic=True), target="rpi4b")
    assert "quantized dynamically" in capsys.readouterr().err


def test_a_dynamically_quantized_lstm_is_the_lstm_it_was(tmp_path):
    from onnxruntime.quantization import quantize_dynamic  # noqa: PLC0415

    from flash.backends import read_onnx  # noqa: PLC0415

    weights = {"w": normal(1, 64, 24), "r": normal(1, 64, 16)}
    made = [node("LSTM", ["x", "w", "r"], ["y"], "cell", hidden_size=16)]
    onnx.save(model(made, {"x": [5, 1, 24]}, weights), tmp_path / "fp32.onnx")
    quantize_dynamic(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    plain, quantized = (read_onnx(tmp_path / name) for name in ("fp32.onnx", "int8.onnx"))
    assert quantized.macs == plain.macs == 4 * 16 * (24 + 16) * 5


@pytest.mark.parametrize("act", ["Relu", "HardSwish", "Elu", "Gelu", "PRelu", "Softmax", "Abs"])
def test_the_rule_has_the_kernels_of_the_graph_that_is_run(act):
    from flash.backends import network_of  # noqa: PLC0415
    from flash.targets.processor.costs import executed_layers  # noqa: PLC0415

    inputs = ["a", "s"] if act == "PRelu" else ["a"]
    weights = {"w": normal(16, 16, 3, 3), "v": normal(16, 16, 3, 3)}
    weights |= {"s": normal(16, 1, 1)} if act == "PRelu" else {}
    made = model(
        [
            node("Conv", ["x", "w"], ["a"], pads=[1] * 4), node(act, inputs, ["b"]),
            node("Conv", ["b", "v"], ["y"], pads=[1] * 4),
        ],
        {"x": [1, 16, 16, 16]},
        weights,
        opset=20,
    )  # fmt: skip
    read = optimised_network(made)
    if not any(layer.act == "reorder" for layer in read.layers):
        pytest.skip("this processor has no layouts in blocks")
    by_rule = executed_layers(network_of(made), "fed", "sum")
    assert sorted(x.act or x.op for x in by_rule) == sorted(x.act or x.op for x in read.layers)


def test_a_map_times_one_value_a_channel_is_a_gate():
    from flash.backends import network_of  # noqa: PLC0415
    from flash.targets.processor.kernel_classes import KERNEL_CLASSES  # noqa: PLC0415
    from flash.targets.processor.kernels import kernel_of  # noqa: PLC0415

    made = model(
        [
            node("GlobalAveragePool", ["x"], ["a"]), node("Mul", ["x", "a"], ["b"]),
            node("Mul", ["b", "x"], ["y"]),
        ],
        {"x": [1, 16, 7, 7]},
        {},
    )  # fmt: skip
    gate, product = (layer for layer in network_of(made).layers if layer.op == "mul")
    for layer, kind in ((gate, "gate"), (product, "elementwise")):
        assert KERNEL_CLASSES[int(kernel_of(layer, "blocks", 16).kind)] == kind
        assert KERNEL_CLASSES[int(kernel_of(layer, "sum", 16).kind)] == "elementwise"
    kernel = kernel_of(gate, "blocks", 16)
    assert (kernel.positions, kernel.outputs, kernel.weights) == (49 + 60, 16, 0)


@pytest.mark.parametrize(
    ("sizes", "order", "apart"),
    [
        ((1, 6, 4, 5), (0, 2, 3, 1), False),  # one axis moves
        ((1, 6, 4, 5), (0, 2, 1, 3), False),  # rows stay whole
        ((1, 6, 4, 5), (0, 3, 2, 1), True),
        ((3, 6, 4, 5), (2, 0, 3, 1), True),
    ],
)
def test_permuting_axes_costs_where_neighbours_part(sizes, order, apart):
    from flash.backends import network_of  # noqa: PLC0415
    from flash.targets.processor.kernel_classes import KERNEL_CLASSES  # noqa: PLC0415
    from flash.targets.processor.kernels import kernel_of  # noqa: PLC0415

    made = model([node("Transpose", ["x"], ["y"], perm=order)], {"x": list(sizes)}, {})
    (layer,) = (x for x in network_of(made).layers if x.op == "copy")
    for fusion, kind in (("blocks", "activation" if apart else "move"), ("ort", "move")):
        kernel = kernel_of(layer, fusion, 16)
        assert KERNEL_CLASSES[int(kernel.kind)] == kind
        assert kernel.elements == 2 * np.prod(sizes)


def test_windows_over_three_axes_are_products_of_matrices():
    from flash.backends import network_of  # noqa: PLC0415
    from flash.targets.processor.costs import executed_layers  # noqa: PLC0415
    from flash.targets.processor.kernel_classes import KERNEL_CLASSES  # noqa: PLC0415
    from flash.targets.processor.kernels import kernel_of  # noqa: PLC0415

    weights = {"w": normal(32, 16, 3, 3, 3)}
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1] * 6),
        node("MaxPool", ["a"], ["y"], kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
    ]
    layers = executed_layers(
        network_of(model(nodes, {"x": [1, 16, 4, 8, 8]}, weights)), "fed", "blocks", 16
    )
    assert [x.op for x in layers] == ["conv", "max_pool"]  # nothing is laid out in blocks
    assert KERNEL_CLASSES[int(kernel_of(layers[0], "blocks", 16).kind)] == "grouped"


def test_states_of_a_plain_rnn_are_activated_one_by_one():
    from flash.backends import network_of  # noqa: PLC0415
    from flash.targets.processor.kernels import kernel_of  # noqa: PLC0415

    added = []
    for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        weights = {"w": normal(1, gates * 16, 24), "r": normal(1, gates * 16, 16)}
        made = model([node(op, ["x", "w", "r"], ["y"], hidden_size=16)], {"x": [5, 1, 24]}, weights)
        (layer,) = (x for x in network_of(made).layers if x.op == "recurrent")
        by_path, plain = (kernel_of(layer, fusion, 16) for fusion in ("blocks", "ort"))
        added.append(by_path.reduction - plain.reduction)
    assert added == [190, 0, 0]


def test_fp16_on_x86_is_run_in_fp32_with_its_clips_alone(tmp_path, capsys):
    """As onnxruntime's own graph has it; where the activation is ReLU nothing changes."""
    from flash.backends import network_of, suite_models  # noqa: PLC0415
    from flash.measurements.workloads import workload_network  # noqa: PLC0415
    from flash.targets import load_target  # noqa: PLC0415
    from flash.targets.processor.costs import network_costs  # noqa: PLC0415

    profile = load_target("x86-epyc").profile
    for text, ratio in (("mobilenet_v2_0.35_96", (1.2, 2.0)), ("16x8x8: res k3 *2", (1.0, 1.0))):
        costs = []
        for precision in ("fp32", "fp16"):
            models, _ = suite_models({"m": workload_network(text)}, precision)
            network = network_of(onnx.load_model_from_string(models["m"]))
            costs.append(network_costs(network, profile)["latency_ms"])
        assert ratio[0] - 1e-9 <= costs[1] / costs[0] <= ratio[1] + 1e-9
    path = tmp_path / "half.onnx"
    path.write_bytes(models["m"])
    for target in ("x86-epyc", "rpi4b"):  # casts, and kernels that other versions have
        (row,) = estimate(path, target=target)
        assert row["extrapolated"]
        assert "has no rates for that" in capsys.readouterr().err


@pytest.mark.parametrize("read_again", [False, True])
def test_a_sum_that_only_a_norm_reads_is_part_of_it(read_again):
    from flash.backends import network_of  # noqa: PLC0415
    from flash.targets.processor.costs import executed_layers  # noqa: PLC0415

    made = [
        node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "x"], ["s"]),
        node("LayerNormalization", ["s", "g", "g"], ["n"]),
        node("Add", ["n", "s" if read_again else "x"], ["y"]),
    ]  # fmt: skip
    built = model(made, {"x": [1, 8, 64]}, {"w": normal(64, 64), "g": normal(64)})
    by_rule = [layer.op for layer in executed_layers(network_of(built), "fed", "ort")]
    read = [layer.op for layer in optimised_network(built, blocks=False).layers]
    assert by_rule == read == ["linear", *["add"] * read_again, "layer_norm", "add"]


def _half(folder):
    """One convolution with weights and activations of fp16."""
    kind = onnx.TensorProto.FLOAT16
    shape = [1, 16, 8, 8]
    weights = onnx.numpy_helper.from_array(np.ones((16, 16, 3, 3), dtype=np.float16), "w")
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    ends = [onnx.helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "half", [ends[0]], [ends[1]], [weights])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = folder / "half.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_a_chip_computes_a_file_in_the_bits_that_it_is_stored_in(tmp_path, capsys):
    half, whole = _half(tmp_path), _quantized(tmp_path)

    def price(path, hardware=None):
        (row,) = estimate(path, target="systolic", hardware=hardware)
        return row["area_mm2"], row["latency_ms"], row["energy_mj"]

    assert price(half) == price(half, "bits=16") != price(half, "bits=8")
    assert "stored in fp16: priced as systolic with bits=16 runs it" in capsys.readouterr().err
    assert price(whole) == price(whole, "bits=8") != price(whole, "bits=16")
    assert "priced as" not in capsys.readouterr().err
