"""What onnxruntime runs by other code on x86, as networks from files are priced with it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto  # noqa: E402
from onnx_models import model, node, normal  # noqa: E402

from flash.backends import network_of  # noqa: E402
from flash.targets.processor.costs import executed_layers  # noqa: E402
from flash.targets.processor.kernel_classes import KERNEL_CLASSES, Kernel  # noqa: E402
from flash.targets.processor.kernels import is_rated, kernel_of  # noqa: E402


def _kernel(given, op, fusion="blocks", lanes=16) -> Kernel:
    network = network_of(given)
    (layer,) = (x for x in executed_layers(network, "fed", fusion, lanes) if x.op == op)
    return kernel_of(layer, fusion, lanes)


@pytest.mark.parametrize("kind", ["norm", "softmax"])
def test_short_rows_cost_more_an_element(kind):
    """As many elements in rows of 16 and of 256: each row costs besides."""
    found = []
    for rows, length in ((256, 16), (16, 256)):
        if kind == "norm":
            weights = {"g": np.ones(length, np.float32), "b": np.zeros(length, np.float32)}
            made = [node("LayerNormalization", ["x", "g", "b"], ["y"], axis=-1)]
            given = model(made, {"x": [1, rows, length]}, weights, opset=17)
        else:
            made = [node("Softmax", ["x"], ["y"], axis=-1)]
            given = model(made, {"x": [1, rows, length]}, {}, opset=17)
        op = "layer_norm" if kind == "norm" else "act"
        found.append(_kernel(given, op))
        plain = _kernel(given, op, "ort", 4)
        assert plain.positions == rows * length
    short, long = found
    assert short.reduction == long.reduction
    extra = [kernel.positions - 256 * 16 for kernel in found]
    assert extra[0] == 16 * extra[1] > 0


@pytest.mark.parametrize(("shape", "window"), [([1, 8, 64], [3]), ([1, 4, 6, 8, 8], [3, 3, 3])])
def test_average_pools_of_new_files_are_computed_tap_by_tap(shape, window):
    work = {}
    for opset in (17, 20):
        made = [node("AveragePool", ["x"], ["y"], kernel_shape=window)]
        kernel = _kernel(model(made, {"x": shape}, {}, opset=opset), "avg_pool")
        work[opset] = kernel.reduction
        assert kernel.outputs == shape[1]
    assert work[20] > 1.2 * work[17]
    # Pools in blocks of channels are what they were, whatever the file's version.
    for opset in (17, 20):
        made = [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3])]
        assert (
            _kernel(model(made, {"x": [1, 16, 9, 9]}, {}, opset=opset), "avg_pool").reduction == 9
        )


def test_statistics_that_are_stored_scale_values_one_by_one_where_there_is_no_map():
    names = {k: np.abs(normal(32)) for k in ("g", "b", "m", "v")}
    made = [node("Relu", ["x"], ["r"]), node("BatchNormalization", ["r", *names], ["y"])]
    for shape, computed in (([64, 32], True), ([1, 32, 8, 8], False)):
        kernel = _kernel(model(made, {"x": shape}, names), "norm")
        assert (kernel.positions > 0) is computed


def test_in_integers_convolutions_clip_and_other_activations_are_converted_there_and_back():
    quantized = {"s": np.float32(0.1), "z": np.uint8(128), "zw": np.int8(0)}
    weights = {"w": np.ones((8, 8, 1, 1), np.int8)}
    took = {}
    for kind in ("Relu", "HardSwish", "PRelu"):
        slope = ["slope"] if kind == "PRelu" else []
        made = [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("DequantizeLinear", ["w", "s", "zw"], ["dw"]),
            node("Conv", ["d", "dw"], ["c"]),
            node(kind, ["c", *slope], ["a"]),
            node("QuantizeLinear", ["a", "s", "z"], ["qa"]),
            node("DequantizeLinear", ["qa", "s", "z"], ["y"]),
        ]
        constants = {**quantized, **weights, "slope": np.full((8, 1, 1), 0.1, np.float32)}
        if kind != "PRelu":
            del constants["slope"]
        network = network_of(model(made, {"x": [1, 8, 4, 4]}, constants))
        layers = executed_layers(network, "fed", "ort", 8)
        took[kind] = [(x.op, kernel_of(x, "ort", 8).reduction) for x in layers]
    assert [op for op, _ in took["Relu"]] == ["conv"]
    assert [op for op, _ in took["HardSwish"]] == ["conv", "act"]
    plain = _kernel(
        model([node("PRelu", ["x", "s"], ["y"])], {"x": [1, 8, 4, 4]}, {"s": normal(8, 1, 1)}),
        "act", "ort", 8,
    )  # fmt: skip
    assert took["PRelu"][1][1] > plain.reduction > 0


def test_a_choice_by_a_known_mask_is_computed_one_by_one():
    mask = np.tril(np.ones((8, 8), bool))
    made = [node("Where", ["m", "x", "low"], ["y"])]
    constants = {"m": mask, "low": np.float32(-1e4)}
    small, large = (
        _kernel(model(made, {"x": [1, n, 8, 8]}, constants), "act").positions for n in (2, 4)
    )
    assert large - small == 2 * 64 and small > 2 * 64  # and a call of it costs more than others


def test_what_indices_place_takes_time_value_by_value():
    """onnxruntime walks the indices: 0.6 to 1.1 ns a value read, 2.7 and more a value written."""
    types = {"i": TensorProto.INT64}

    def kernel(op, indices, updates=None):
        inputs = {"x": [1000, 16], "i": indices} | ({"u": updates} if updates else {})
        return _kernel(
            model([node(op, list(inputs), ["y"])], inputs, opset=16, types=types),
            "scatter" if updates else "gather",
        )

    written = kernel("ScatterElements", [4000, 16], [4000, 16])
    assert written.positions == 4000 * 16
    assert kernel("ScatterND", [4000, 1], [4000, 16]).positions == 4000  # rows, piece by piece
    read = kernel("GatherElements", [4000, 16])
    assert read.positions == written.positions
    assert 2 < written.reduction / read.reduction < 6
    rows = kernel("Gather", [4000])
    assert rows.positions == 4000 and rows.reduction > written.reduction


def test_no_suite_has_measured_what_is_written_by_index():
    inputs = {"x": [1000, 16], "i": [40, 16], "u": [40, 16]}
    made = [node("ScatterElements", list(inputs), ["y"])]
    (layer,) = (
        x
        for x in network_of(model(made, inputs, opset=16, types={"i": TensorProto.INT64})).layers
        if x.op == "scatter"
    )
    assert not is_rated(layer, KERNEL_CLASSES)
