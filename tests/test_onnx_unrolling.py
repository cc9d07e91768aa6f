"""Loops, lists, sizes that only a run knows, what other tools write: as what they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import InputError, UsageError
from flash.metrics.sed import score_network
from flash.metrics.sed.explain import layer_entropies
from flash.targets import load_target
from flash.targets.processor.kernels import kernel_of

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import model, node, normal  # noqa: E402

from flash.backends import network_of, read_onnx  # noqa: E402
from flash.spaces.layers import layer_macs  # noqa: E402

ANY = helper.make_tensor_value_info


def _body(nodes, inputs, outputs, weights=None):
    kinds = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "on": TensorProto.BOOL}
    return helper.make_graph(
        nodes,
        "body",
        [ANY(name, kinds.get(name, TensorProto.FLOAT), None) for name in inputs],
        [ANY(name, kinds.get(name, TensorProto.FLOAT), None) for name in outputs],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
    )


def _number(value):
    return np.array(value, dtype=np.int64)


# ---------------------------------------------------------------------------------- the loops
def test_a_scan_is_a_turn_a_row_and_its_weights_count_once():
    body = _body(
        [node("MatMul", ["h", "w"], ["m"]), node("Add", ["m", "row"], ["s"]),
         node("Tanh", ["s"], ["h2"]), node("Identity", ["h2"], ["out"])],
        ["h", "row"], ["h2", "out"], {"w": normal(8, 8)},
    )  # fmt: skip
    scan = node("Scan", ["start", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    made = [scan, node("Relu", ["all"], ["y"])]
    found = network_of(model(made, {"x": [5, 8]}, {"start": normal(8)}, ["last", "y"]))
    # The first turn multiplies two constants, which is done before the network runs.
    assert found.macs == 4 * 8 * 8
    assert found.params == 8 * 8 + 8
    assert found.layers[-2].out_channels == 5 * 8  # what the turns gave, joined
    assert "turns 5 times" in found.notes[0]


def test_a_scan_from_the_end_along_the_columns_and_the_rows_joined_last():
    body = _body([node("MatMul", ["part", "w"], ["out"])], ["part"], ["out"])
    scan = node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1, scan_input_axes=[1],
                scan_input_directions=[1], scan_output_axes=[1])  # fmt: skip
    found = network_of(model([scan], {"x": [3, 6]}, {"w": normal(3, 4)}))
    assert found.macs == 6 * 3 * 4 and found.params == 12
    assert found.layers[-1].out_channels == 4 * 6


@pytest.mark.parametrize(("given", "stop", "turns"), [(3, None, 3), ("", 4, 4), (9, 2, 2)])
def test_a_loop_turns_as_often_as_its_number_or_its_condition_says(given, stop, turns):
    weights = {"go0": np.array(True), "many": _number(0 if given == "" else given)}
    nodes = [node("MatMul", ["h", "w"], ["m"]), node("Relu", ["m"], ["h2"])]
    if stop is None:
        nodes.append(node("Identity", ["go"], ["on"]))
    else:
        nodes += [
            node("Constant", [], ["one"], value=numpy_helper.from_array(_number(1))),
            node("Add", ["i", "one"], ["next"]),
            node("Less", ["next", "stop"], ["on"]),
        ]
        weights["stop"] = _number(stop)
    body = _body(nodes, ["i", "go", "h"], ["on", "h2", "m"])
    loop = node("Loop", ["" if given == "" else "many", "go0", "x"], ["y", "all"], body=body)
    weights["w"] = normal(16, 16)
    found = network_of(model([loop], {"x": [1, 16]}, weights, ["y", "all"]))
    assert found.macs == turns * 256 and found.params == 256
    assert [layer.op for layer in found.layers].count("linear") == turns


def test_loops_in_loops_and_branches_in_them_multiply():
    inner = _body(
        [node("MatMul", ["k", "w"], ["k2"]), node("Identity", ["go"], ["on"])],
        ["i", "go", "k"], ["on", "k2"],
    )  # fmt: skip

    def branch(nodes, result):
        return helper.make_graph(nodes, "b", [], [ANY(result, TensorProto.FLOAT, None)])

    outer = _body(
        [node("Loop", ["two", "", "h"], ["m"], body=inner),
         node("Equal", ["i", "zero"], ["first"]),
         node("If", ["first"], ["h2"],
              then_branch=branch([node("MatMul", ["m", "w"], ["t"])], "t"),
              else_branch=branch([node("Relu", ["m"], ["e"])], "e")),
         node("Identity", ["go"], ["on"])],
        ["i", "go", "h"], ["on", "h2"],
    )  # fmt: skip
    loop = node("Loop", ["three", "", "x"], ["y"], body=outer)
    weights = {"two": _number(2), "three": _number(3), "zero": _number(0), "w": normal(4, 4)}
    found = network_of(model([loop], {"x": [1, 4]}, weights))
    assert found.macs == (3 * 2 + 1) * 16 and found.params == 16
    assert [layer.act for layer in found.layers].count("relu") == 2


def test_loops_that_only_a_run_can_count_are_refused_by_name():
    body = _body(
        [node("Relu", ["h"], ["h2"]), node("ReduceSum", ["h2"], ["s"], keepdims=0),
         node("Greater", ["s", "limit"], ["on"])],
        ["i", "go", "h"], ["on", "h2"],
    )  # fmt: skip
    weights = {"limit": np.array(1.0, np.float32), "go0": np.array(True)}
    loop = node("Loop", ["", "go0", "x"], ["y"], "while", body=body)
    with pytest.raises(InputError, match=r"Loop \(node 'while'\): its number of turns"):
        network_of(model([loop], {"x": [1, 4]}, weights))
    free = node("Loop", ["n", "", "x"], ["y"], "for", body=body)
    given = model([free], {"x": [1, 4], "n": []}, weights, types={"n": TensorProto.INT64})
    with pytest.raises(InputError, match=r"Loop \(node 'for'\): its number of turns"):
        network_of(given)


def test_a_loop_without_an_end_is_refused_in_time():
    body = _body(
        [node("Relu", ["h"], ["h2"]), node("Identity", ["go"], ["on"])],
        ["i", "go", "h"], ["on", "h2"],
    )  # fmt: skip
    loop = node("Loop", ["", "go0", "x"], ["y"], body=body)
    with pytest.raises(InputError, match="export its body as a model of its own"):
        network_of(model([loop], {"x": [1, 4]}, {"go0": np.array(True)}))


# ----------------------------------------------------------------------------- lists of tensors
def test_lists_of_known_places_are_the_tensors_they_hold():
    made = [
        node("SplitToSequence", ["x"], ["list"], axis=1),
        node("SequenceAt", ["list", "last"], ["a"]),
        node("SequenceErase", ["list", "first"], ["rest"]),
        node("SequenceInsert", ["rest", "a", "first"], ["more"]),
        node("Identity", ["more"], ["same"]),
        node("SequenceLength", ["same"], ["count"]),
        node("ConcatFromSequence", ["same"], ["joined"], axis=0),
        node("Unsqueeze", ["count", "axis"], ["rows"]),
        node("Concat", ["rows", "rest_of_shape"], ["shape"], axis=0),
        node("Reshape", ["joined", "shape"], ["square"]),
        node("MatMul", ["square", "w"], ["y"]),
    ]
    weights = {"last": _number(-1), "first": _number(0), "axis": _number([0]),
               "rest_of_shape": _number([8]), "w": normal(8, 2)}  # fmt: skip
    found = network_of(model(made, {"x": [8, 5]}, weights))
    assert found.macs == 5 * 8 * 2  # five columns of eight, one of them moved
    assert [layer.op for layer in found.layers] == ["copy"] * 5 + ["linear"]  # 4 parts, joined


def test_a_list_that_a_loop_fills_is_stacked():
    body = _body(
        [node("MatMul", ["x", "w"], ["m"]), node("SequenceInsert", ["list", "m"], ["list2"]),
         node("Identity", ["go"], ["on"])],
        ["i", "go", "list"], ["on", "list2"],
    )  # fmt: skip
    for index, name in ((2, "list"),):
        body.input[index].CopyFrom(
            helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None)
        )
    body.output[1].CopyFrom(
        helper.make_tensor_sequence_value_info("list2", TensorProto.FLOAT, None)
    )
    made = [
        node("SequenceEmpty", [], ["none"]),
        node("Loop", ["many", "", "none"], ["full"], body=body),
        node("ConcatFromSequence", ["full"], ["y"], axis=0, new_axis=1),
    ]
    found = network_of(model(made, {"x": [2, 4]}, {"many": _number(3), "w": normal(4, 4)}))
    assert found.macs == 3 * 2 * 4 * 4 and found.params == 16
    assert found.layers[-1].out_channels == 3 * 2 * 4


# ------------------------------------------------------------------- sizes that a run decides
def test_a_size_that_a_run_decides_is_asked_for_and_taken():
    made = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Cast", ["sum"], ["long"], to=TensorProto.INT64),
        node("Range", ["zero", "long", "one"], ["steps"]),
        node("Cast", ["steps"], ["times"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["times", "axis"], ["column"]),
        node("Mul", ["x", "column"], ["rows"]),
        node("MatMul", ["rows", "w"], ["y"]),
    ]
    given = model(made, {"x": [1, 4]}, {"zero": _number(0), "one": _number(1),
                                       "axis": _number([1]), "w": normal(4, 8)})  # fmt: skip
    with pytest.raises(InputError, match=r"Range .*'long'.*--input long=50"):
        network_of(given)
    for size in (7, 70):
        assert network_of(given, inputs={"long": (size,)}).macs == size * 4 * 8
    with pytest.raises(InputError, match="gives 2 values of 1"):
        network_of(given, inputs={"long": (7, 7)})


def test_what_the_file_says_of_a_size_is_believed_until_its_input_is_another():
    made = [node("Resize", ["x", "", "", "sizes"], ["big"], mode="nearest"),
            node("Conv", ["big", "w"], ["y"])]  # fmt: skip
    given = model(made, {"x": [2, 3, 4, 4], "sizes": [4]}, {"w": normal(5, 3, 1, 1)},
                  types={"sizes": TensorProto.INT64})  # fmt: skip
    with pytest.raises(InputError, match=r"Resize .*'sizes'"):
        network_of(given)
    given.graph.value_info.append(ANY("big", TensorProto.FLOAT, [2, 3, 8, 8]))
    assert network_of(given).macs == 2 * 64 * 15
    with pytest.raises(InputError, match=r"Resize .*'sizes'"):
        network_of(given, inputs={"x": (1, 3, 4, 4)})


def test_tensors_without_elements_cost_nothing():
    cache = [
        node("Concat", ["past", "x"], ["all"], axis=1),
        node("Split", ["all", "sizes"], ["head", "tail"], axis=2),
        node("Concat", ["head", "tail"], ["whole"], axis=2),
        node("MatMul", ["whole", "w"], ["y"]),
    ]
    weights = {"sizes": _number([8, 0]), "w": normal(8, 2)}
    given = model(cache, {"x": [1, 3, 8], "past": [1, "past", 8]}, weights)
    assert network_of(given, inputs={"past": (1, 0, 8)}).macs == 3 * 8 * 2
    assert network_of(given, inputs={"past": (1, 4, 8)}).macs == 7 * 8 * 2
    with pytest.raises(UsageError, match="sizes are 1 and more"):
        network_of(given, inputs={"past": (1, -1, 8)})


# -------------------------------------------------------------------------- weights, operators
def test_weights_that_are_computed_count_products_and_no_parameters():
    """A template that a tracker looks for, kernels mixed by attention, a cell's own state."""
    track = [node("Conv", ["x", "z"], ["y"], group=4)]
    found = network_of(model(track, {"x": [1, 4, 16, 16], "z": [4, 1, 5, 5]}))
    assert found.macs == 4 * 12 * 12 * 25 and found.params == 0
    assert len(found.layers[-1].inputs) == 2
    grow = [node("ConvTranspose", ["x", "z"], ["y"], strides=[2, 2])]
    found = network_of(model(grow, {"x": [1, 4, 8, 8], "z": [4, 6, 2, 2]}))
    assert found.macs == 4 * 8 * 8 * 6 * 4 and found.params == 0
    cell = [node("GRU", ["x", "w", "r"], ["y"], hidden_size=5)]
    found = network_of(model(cell, {"x": [7, 1, 3], "w": [1, 15, 3], "r": [1, 15, 5]}))
    assert found.macs == 7 * 15 * (3 + 5) and found.params == 0


def test_a_number_by_itself_in_a_computed_constant_is_no_parameter():
    made = [node("Range", ["zero", "n", "one"], ["grid"]), node("Add", ["grid", "half"], ["at"]),
            node("Add", ["x", "at"], ["y"])]  # fmt: skip
    weights = {"zero": np.float32(0), "n": np.float32(6), "one": np.float32(1),
               "half": np.float32(0.5)}  # fmt: skip
    found = network_of(model(made, {"x": [1, 6]}, weights))
    assert [layer_macs(layer) for layer in found.layers] == [0] and found.params == 0


def test_columns_that_a_classifier_picks_have_their_shape():
    made = [node("ArrayFeatureExtractor", ["x", "at"], ["picked"], domain="ai.onnx.ml"),
            node("MatMul", ["picked", "w"], ["y"])]  # fmt: skip
    given = model(made, {"x": [5, 9]}, {"at": _number([0, 3]), "w": normal(2, 7)},
                  domains=["ai.onnx.ml"])  # fmt: skip
    assert network_of(given).macs == 5 * 2 * 7


def test_functions_of_another_opset_are_inlined():
    function = helper.make_function(
        "own", "twice", ["a"], ["b"],
        [node("MatMul", ["a", "a"], ["m"]), node("MatMul", ["m", "a"], ["b"])],
        [helper.make_opsetid("", 16)],
    )  # fmt: skip
    made = model([node("twice", ["x"], ["y"], domain="own")], {"x": [4, 4]}, domains=["own"])
    made.functions.append(function)
    assert network_of(made).macs == 2 * 64


# ------------------------------------------------------------------------------- whole networks
def _gated(swapped):
    """A feed-forward layer with a gate that is no sigmoid (GeGLU), as Gemma has it."""
    factors = ["active", "b"][:: -1 if swapped else 1]
    made = [
        node("Conv", ["x", "u"], ["a"]), node("Conv", ["x", "v"], ["b"]),
        node("Tanh", ["a"], ["active"]), node("Mul", factors, ["m"]),
        node("Conv", ["m", "w"], ["y"]),
    ]  # fmt: skip
    weights = {"u": normal(12, 8, 1, 1), "v": normal(12, 8, 1, 1), "w": normal(8, 12, 1, 1)}
    return network_of(model(made, {"x": [1, 8, 16, 16]}, weights))


def test_products_of_two_maps_have_scores_whichever_comes_first():
    one, other = (score_network(_gated(swapped)) for swapped in (False, True))
    assert one.sed == pytest.approx(other.sed) and one.sed > 0
    rows = [layer_entropies(_gated(swapped)) for swapped in (False, True)]
    convs = [[row.layer for row in each if row.op == "conv"] for each in rows]
    assert len(convs[0]) == len(convs[1]) == 3


def test_layers_that_read_no_channel_of_a_map_lose_no_entropy():
    made = [
        node("Conv", ["x", "w"], ["c"]), node("NonZero", ["c"], ["where"]),
        node("Cast", ["where"], ["float"], to=TensorProto.FLOAT),
        node("Transpose", ["float"], ["y"]),
    ]  # fmt: skip
    found = network_of(model(made, {"x": [1, 3, 8, 8]}, {"w": normal(4, 3, 3, 3)}))
    assert all(np.isfinite(row.lost) for row in layer_entropies(found))


@pytest.mark.parametrize(("axis", "piece"), [(1, 16), (2, 4), (3, 1)])
def test_a_look_up_takes_as_long_as_its_pieces_are_many(axis, piece):
    look = [node("Gather", ["x", "at"], ["y"], axis=axis)]
    given = model(look, {"x": [1, 8, 4, 4]}, {"at": _number([0, 1, 1])})
    (layer,) = network_of(given).layers
    kernel = kernel_of(layer, "blocks", 16)
    size = 128 // (8, 4, 4)[axis - 1] * 3
    assert kernel.positions == size // piece and layer.kernel_width == piece
    assert kernel_of(layer, "conv").reduction == 0


def test_a_sum_that_is_normalised_in_one_kernel_is_priced_as_that_kernel():
    """onnxruntime's SkipLayerNormalization takes seven times what a sum and a norm apart take."""
    weights = {"s": np.ones(64, np.float32), "t": normal(64), "w": normal(64, 64)}
    norm = node("LayerNormalization", ["sum", "s", "t"], ["n"], axis=-1)
    made = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["x", "m"], ["sum"]), norm]
    after = network_of(model(made, {"x": [1, 32, 64]}, weights, ["n"]))
    before = network_of(model(made, {"x": [1, 32, 64]}, weights, ["n", "sum"]))
    target = load_target("x86-zen4")
    together, apart = (
        sum(row.latency_ms for row in target.breakdown(x).layers if row.op in ("add", "layer_norm"))
        for x in (after, before)
    )
    assert 3 < together / apart < 9  # 10.7 us were measured for 2,048 values, 2.3 apart


# -------------------------------------------------------------------- what other tools leave
def test_formats_that_do_not_match_change_no_size():
    """A bias in int32 that is shared, a weight that was halved and its reader not."""
    quantized = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["w"]),
        node("Identity", ["shared"], ["bias"]),
        node("Conv", ["x", "w", "bias"], ["y"]),
    ]
    weights = {"q": np.ones((4, 3, 3, 3), np.int8), "scale": np.float32(0.1),
               "zero": np.int8(0), "shared": np.arange(4, dtype=np.int32)}  # fmt: skip
    found = network_of(model(quantized, {"x": [1, 3, 8, 8]}, weights))
    assert found.macs == 36 * 4 * 27 and found.params >= 4 * 27
    halved = [node("MatMul", ["x", "w"], ["y"])]
    found = network_of(model(halved, {"x": [2, 8]}, {"w": normal(8, 4).astype(np.float16)}))
    assert found.macs == 2 * 8 * 4
    with pytest.raises(InputError, match="do not fit together"):
        network_of(model(halved, {"x": [2, 9]}, {"w": normal(8, 4).astype(np.float16)}))


def test_a_quantized_softmax_keeps_no_attribute_of_its_own():
    made = [node("MatMul", ["x", "w"], ["m"]),
            node("QLinearSoftmax", ["m", "s", "z", "s", "z"], ["y"], domain="com.microsoft",
                 opset=13, axis=-1)]  # fmt: skip
    weights = {"w": normal(8, 4), "s": np.float32(0.1), "z": np.uint8(0)}
    given = model(made, {"x": [2, 8]}, weights, domains=["com.microsoft"])
    assert [layer.act for layer in network_of(given).layers][-1] == "softmax"


def test_a_graph_that_onnxruntime_merged_is_the_network_that_it_merged():
    fused = [node("FusedConv", ["x", "w", "b"], ["y"], domain="com.microsoft",
                  activation=b"Relu", pads=[1, 1, 1, 1], kernel_shape=[3, 3])]  # fmt: skip
    weights = {"w": normal(8, 3, 3, 3), "b": normal(8)}
    given = model(fused, {"x": [1, 3, 8, 8]}, weights, domains=["com.microsoft"])
    plain = [node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["y"])]
    found, same = network_of(given), network_of(model(plain, {"x": [1, 3, 8, 8]}, weights))
    assert (found.macs, found.params) == (same.macs, same.params) == (64 * 8 * 27, 8 * 28)
    assert [x.act for x in found.layers] == [x.act for x in same.layers] == ["relu"]


@pytest.mark.parametrize("level", ["ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_files_that_onnxruntime_wrote_are_read(level, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    made = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "v"], ["d"]), node("Sigmoid", ["d"], ["y"])]  # fmt: skip
    weights = {"w": normal(64, 32, 1, 1), "v": normal(32, 64, 3, 3)}
    given = model(made, {"x": [1, 32, 8, 8]}, weights)
    options = runtime.SessionOptions()
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    runtime.InferenceSession(given.SerializeToString(), options, ["CPUExecutionProvider"])
    # Channels fill blocks of 8 and of 16, so that none is added.
    assert read_onnx(tmp_path / "optimised.onnx").macs == 64 * 32 * 64 + 36 * 64 * 32 * 9


def test_an_operator_of_onnxruntime_among_those_of_onnx_is_read():
    made = [node("SimplifiedLayerNormalization", ["x", "s"], ["n"], axis=-1),
            node("MatMul", ["n", "w"], ["y"])]  # fmt: skip
    found = network_of(model(made, {"x": [2, 8]}, {"s": normal(8), "w": normal(8, 4)}))
    assert found.macs == 64 and [layer.op for layer in found.layers] == ["layer_norm", "linear"]


@pytest.mark.parametrize(
    ("equation", "copies"),
    [("bhld,bhdm->bhlm", 0), ("bhld,bhmd->bhlm", 1), ("blhd,bmhd->bhlm", 2),
     ("bhlm,bmhd->blhd", 2)],
)  # fmt: skip
def test_sums_by_subscripts_bring_axes_into_order_first(equation, copies):
    sizes = {"b": 2, "h": 4, "l": 6, "m": 5, "d": 3}
    left, right = equation.split("->")[0].split(",")
    inputs = {"x": [sizes[k] for k in left], "z": [sizes[k] for k in right]}
    found = network_of(model([node("Einsum", ["x", "z"], ["y"], equation=equation)], inputs))
    assert found.macs == 2 * 4 * 6 * 5 * 3
    assert [layer.op for layer in found.layers if layer.op != "input"].count("copy") == copies
