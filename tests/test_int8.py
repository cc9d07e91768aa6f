"""int8 files: as small as their meaning, integer kernels throughout, read as what they quantize."""

from __future__ import annotations

import collections
import csv
import io

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import InputError
from flash.estimate import command as estimate_command
from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space

REASON = "needs the extra onnx: pip install 'flash-codesign[onnx]'"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)

from numpy_networks import trained_looking  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402
from onnxruntime.quantization import (  # noqa: E402
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: E402

from flash.backends import (  # noqa: E402
    network_model,
    network_of,
    quantize_onnx,
    random_weights,
    run_onnx,
)
from flash.backends.onnx.lean import lean_model  # noqa: E402

CONCAT = "w=8,16,32 d=3,3,3 t=0,0,0"  # the fastest pick of most boards


def _content(network):
    weights = trained_looking(random_weights(network), 1)
    return network_model(network, weights).SerializeToString(deterministic=True)


def _design(space, text):
    found = load_space(space)
    return found.network(found.design(found.family.parse(text)))


def _noise(images, height=32, width=32, channels=3, seed=0):
    shape = (images, channels, height, width)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _smallest(space, seed=3):
    found = load_space(space)
    drawn = [found.network(d) for d in found.sample(40, np.random.default_rng(seed))]
    return min(drawn, key=lambda network: network.macs)


def _by_the_tools(content, folder, **options):
    """What onnxruntime's tool writes by itself."""

    class Reader(CalibrationDataReader):
        feeds = iter([{"input": image[None]} for image in _noise(2)])

        def get_next(self):
            return next(self.feeds, None)

    source, target = folder / "fp32.onnx", folder / "tool.onnx"
    quant_pre_process(onnx.load_model_from_string(content), source, skip_symbolic_shape=True)
    quantize_static(source, target, Reader(), **options)
    return target.read_bytes()


def _operators(content, folder):
    """What onnxruntime makes of a model."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(folder / "optimized.onnx").graph
    return collections.Counter(node.op_type for node in graph.node)


@pytest.mark.parametrize("space", ["cifar10-concat", "cifar10-mobilenet-v2", "nasbench201"])
def test_a_lean_file_computes_the_same_bits(space, tmp_path):
    content = _content(_smallest(space))
    options = {"quant_format": QuantFormat.QDQ, "per_channel": True}
    options |= {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    thick = _by_the_tools(content, tmp_path, **options)
    lean = lean_model(onnx.load_model_from_string(thick))
    onnx.checker.check_model(lean, full_check=True)
    content = lean.SerializeToString()
    kernels = sum(int(np.prod(t.dims)) for t in lean.graph.initializer if len(t.dims) > 1)
    assert len(content) - kernels < 0.6 * (len(thick) - kernels)
    image = _noise(1, seed=5)
    want, got = (run_onnx(model, {"input": image})["output"] for model in (thick, content))
    assert np.array_equal(got, want)
    assert _operators(content, tmp_path) == _operators(thick, tmp_path)


def test_a_lean_file_keeps_the_names_people_look_for(tmp_path):
    network = _design("cifar10-concat", CONCAT)
    content = _content(network)
    model = onnx.load_model_from_string(quantize_onnx(content, _noise(2)))
    assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["input", "output"]
    names = {node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
    assert names == {x.name for x in network.layers if x.op in ("conv", "linear")}
    values = [(t.data_type, tuple(t.dims), t.raw_data) for t in model.graph.initializer]
    assert len(set(values)) == len(values), "equal initializers are one"
    assert not model.graph.value_info


@pytest.mark.parametrize(
    "network",
    [
        _design("cifar10-concat", CONCAT),
        _design("cifar10-add", "w=16,32,64 b=2,2,2 t=8,16,32"),
        _smallest("cifar10-mobilenet-v2"),
    ],
    ids=["concat", "add", "mobilenet"],
)
def test_every_convolution_runs_in_integers(network, tmp_path):
    content = quantize_onnx(_content(network), _noise(2))
    found = _operators(content, tmp_path)
    convolutions = sum(x.op == "conv" for x in network.used().layers)
    assert found["QLinearConv"] == convolutions
    assert found["Conv"] == found["Gemm"] == 0
    assert found["QGemm"] == 1


def test_the_smallest_pick_is_under_thirty_percent():
    content = _content(_design("cifar10-concat", CONCAT))
    assert len(quantize_onnx(content, _noise(2))) < 0.30 * len(content)


def test_what_is_computed_from_zeros_is_not_stored_as_maps():
    cell = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
    network = _design("nasbench201", cell)
    assert any(not x.signal for layer in network.layers for x in layer.inputs)
    content = _content(network)
    assert len(quantize_onnx(content, _noise(2))) < 0.30 * len(content)


# ------------------------------------------------------------------------- flash.estimate


def _estimate(*arguments):
    return run_command(estimate_command.main, list(map(str, arguments)))


@pytest.mark.parametrize(
    "space", ["cifar10-add", "cifar10-concat", "cifar10-mobilenet-v2", "nasbench-macro"]
)
@pytest.mark.parametrize("tool", ["ours", "signed", "unsigned"])
def test_an_int8_file_costs_what_its_fp32_file_costs(space, tool, tmp_path, capsys):
    content = _content(_smallest(space))
    fp32, int8 = tmp_path / "m.onnx", tmp_path / "m-int8.onnx"
    fp32.write_bytes(content)
    if tool == "ours":
        int8.write_bytes(quantize_onnx(content, _noise(2)))
    else:
        kind = QuantType.QInt8 if tool == "signed" else QuantType.QUInt8
        int8.write_bytes(_by_the_tools(content, tmp_path, activation_type=kind))
    assert _estimate(fp32, int8, "--target", "rpi4b", "--runtime", "tflite") == 0
    printed = capsys.readouterr()
    plain, quantized = csv.DictReader(io.StringIO(printed.out))
    assert quantized["macs"] == plain["macs"]
    # Folded batch norms leave one number a channel instead of two.
    assert 0.95 * int(plain["params"]) < int(quantized["params"]) <= int(plain["params"])
    if tool == "ours":
        assert float(quantized["latency_ms"]) == pytest.approx(float(plain["latency_ms"]), rel=0.02)
    assert float(quantized["weight_kb"]) < 0.3 * float(plain["weight_kb"])
    assert float(quantized["activation_kb"]) < 0.5 * float(plain["activation_kb"])
    assert f"note: {int8}: its numbers are stored in int8" in printed.err
    assert "number formats without a rate of their own" in printed.err


def test_activations_that_tools_merged_into_quantizing_are_read_back():
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    network = e.network(source, e.conv(e.conv(source, 8), 4, act=""))
    content = quantize_onnx(_content(network), _noise(4, 8, 8))
    read = network_of(onnx.load_model_from_string(content))
    assert [layer.act for layer in read.layers] == ["relu", ""]


def test_integer_operators_are_read_as_the_network_they_quantize(tmp_path):
    content = _content(_design("cifar10-concat", CONCAT))
    tool = _by_the_tools(content, tmp_path, quant_format=QuantFormat.QOperator)
    qdq = _by_the_tools(content, tmp_path, quant_format=QuantFormat.QDQ)
    plain, integer, pairs = (
        network_of(onnx.load_model_from_string(x)) for x in (content, tool, qdq)
    )
    assert integer.macs == pairs.macs == plain.macs
    assert integer.params == pairs.params
    assert [x.op for x in integer.layers] == [x.op for x in pairs.layers]
    assert {x.format for x in integer.layers if x.op == "conv"} == {"int8"}


def test_damaged_quantizing_nodes_end_in_one_line():
    scale = numpy_helper.from_array(np.float32(1), "s")
    for inputs in ([], ["x"], ["x", "s", "nowhere"], ["", "s"]):
        node = helper.make_node("DequantizeLinear", inputs, ["y"], "d")
        value = helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 3, 8, 8])
        out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
        graph = helper.make_graph([node], "g", [value], [out], [scale])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        with pytest.raises(InputError) as caught:
            network_of(model)
        assert "\n" not in str(caught.value)
