"""Each pass alone: what it requires, what it ensures; and pairs of equal functions."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import InputError, UsageError
from flash.estimate.pricing import Model, price_models
from flash.targets import load_target

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")

from onnx import TensorProto, helper  # noqa: E402
from onnx_models import model, node, normal  # noqa: E402

from flash.backends import network_of  # noqa: E402
from flash.backends.onnx.file import checked_graph  # noqa: E402
from flash.backends.onnx.passes.activations import fuse_activations  # noqa: E402
from flash.backends.onnx.passes.axes import bind_axes  # noqa: E402
from flash.backends.onnx.passes.clean import clean  # noqa: E402
from flash.backends.onnx.passes.dequantise import dequantise  # noqa: E402
from flash.backends.onnx.passes.evaluate import evaluate_constants  # noqa: E402
from flash.backends.onnx.passes.functions import inline_functions  # noqa: E402
from flash.backends.onnx.passes.merge import merge_followers  # noqa: E402
from flash.backends.onnx.passes.normalisation import fuse_normalisation  # noqa: E402


def _graph(nodes, shape, weights=None, **given):
    """A graph with its axes bound."""
    graph = checked_graph(model(nodes, {"x": shape}, weights, **given))
    bind_axes(graph)
    return graph


def _ops(graph):
    return [n.op for n in graph.nodes]


def _number(value):
    return np.array(value, np.float32)


# ------------------------------------------------------------------------------ each alone
def _calling(depth, calls):
    """Functions, each calling the next so often."""
    functions = []
    for k in range(depth):
        body = (
            [node(f"f{k + 1}", ["a"] if c == 0 else [f"b{c - 1}"], [f"b{c}"], domain="own")
             for c in range(calls)]
            if k < depth - 1 else [node("Relu", ["a"], [f"b{calls - 1}"])]
        )  # fmt: skip
        functions.append(
            helper.make_function(
                "own", f"f{k}", ["a"], [f"b{calls - 1}"], body,
                [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
            )
        )  # fmt: skip
    made = model([node("f0", ["x"], ["y"], domain="own")], {"x": [1, 4]}, domains=["own"])
    made.functions.extend(functions)
    return made


def test_inlining_leaves_no_call_and_refuses_to_grow_without_end():
    inlined = inline_functions(_calling(3, 2), "m")
    assert [n.op_type for n in inlined.graph.node] == ["Relu"] * 4
    with pytest.raises(InputError, match="m: its functions expand to .* nodes; the limit is"):
        inline_functions(_calling(40, 2), "m")
    circle = _calling(2, 1)
    circle.functions[1].node[0].CopyFrom(node("f0", ["a"], ["b0"], domain="own"))
    with pytest.raises(InputError, match="calls itself"):
        inline_functions(circle, "m")


def test_binding_gives_every_axis_a_size_or_says_which_lacks_one():
    relu = [node("Relu", ["x"], ["y"])]
    graph = checked_graph(model(relu, {"x": ["n", 3, "h", "w"]}))
    with pytest.raises(InputError, match=r"axis 2 \('h'\)"):
        bind_axes(graph)
    bind_axes(graph, (2, 3, 8, 9))
    assert graph.values["x"].shape == (2, 3, 8, 9)
    with pytest.raises(UsageError, match="axis 1 of input 'x' 4; in model it is fixed at 3"):
        bind_axes(graph, (2, 4, 8, 9))
    with pytest.raises(UsageError, match="has 2 sizes"):
        bind_axes(graph, (2, 3))


def test_evaluation_folds_what_shapes_are_computed_with():
    made = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "one"], ["c"]),
        node("Div", ["c", "two"], ["h"]), node("Range", ["zero", "four", "step"], ["r"]),
        node("ReduceProd", ["r"], ["p"], keepdims=1), node("Where", ["flag", "p", "h"], ["q"]),
        node("Concat", ["batch", "two", "q", "rest"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["y"]),
    ]  # fmt: skip
    weights = {
        "one": np.array([1]), "two": np.array([2]), "batch": np.array([1]), "rest": np.array([-1]),
        "zero": np.array(1), "four": np.array(4), "step": np.array(1), "flag": np.array([False]),
    }  # fmt: skip
    graph = _graph(made, ["n", 6, 4, 4], weights)
    evaluate_constants(graph)
    assert _ops(graph) == ["Reshape"]
    assert graph.values["y"].shape == (1, 2, 3, 16)


def test_evaluation_keeps_no_value_of_large_constants_and_refuses_endless_ones():
    made = [
        node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"]),
    ]  # fmt: skip
    graph = _graph(made, [1, 300, 300], {"s": np.array([1, 300, 300])})
    evaluate_constants(graph)
    assert graph.constants["c"].value is None and graph.values["y"].size == 90_000
    with pytest.raises(InputError, match="computes a constant of 1e\\+12 elements; the limit"):
        evaluate_constants(_graph(made, [1], {"s": np.array([10**6, 10**6])}))


def test_shapes_that_do_not_fit_are_refused_with_the_node():
    made = [node("MatMul", ["x", "w"], ["y"], "product")]
    with pytest.raises(InputError, match=r"do not fit together: MatMul \(node 'product'\)"):
        evaluate_constants(_graph(made, [1, 4], {"w": normal(5, 3)}))


def test_cleaning_leaves_no_identity_and_one_concatenation():
    made = [
        node("Identity", ["x"], ["i"]), node("Dropout", ["i"], ["d"]),
        node("Concat", ["d", "x"], ["c"], axis=1), node("Concat", ["x", "c"], ["y"], axis=-3),
    ]  # fmt: skip
    graph = _graph(made, [1, 2, 4, 4])
    evaluate_constants(graph)
    clean(graph)
    assert _ops(graph) == ["Concat"] and graph.nodes[0].inputs == ["x", "x", "x"]


def _layer_norm(divided_by_root=True):
    end = (
        [node("Div", ["d", "r"], ["n"])] if divided_by_root
        else [node("Reciprocal", ["r"], ["i"]), node("Mul", ["d", "i"], ["n"])]
    )  # fmt: skip
    return [
        node("ReduceMean", ["x"], ["m"], axes=[-1]), node("Sub", ["x", "m"], ["d"]),
        node("Pow", ["d", "two"], ["p"]), node("ReduceMean", ["p"], ["v"], axes=[-1]),
        node("Add", ["v", "eps"], ["e"]), node("Sqrt", ["e"], ["r"]), *end,
        node("Mul", ["n", "g"], ["s"]), node("Add", ["s", "b"], ["y"]),
    ]  # fmt: skip


_AFFINE = {"two": _number(2), "eps": _number(1e-5), "g": normal(8), "b": normal(8)}


@pytest.mark.parametrize("divided", [True, False])
def test_a_layer_norm_of_nine_nodes_is_one(divided):
    graph = _graph(_layer_norm(divided), [1, 5, 8], _AFFINE)
    evaluate_constants(graph)
    fuse_normalisation(graph)
    assert _ops(graph) == ["LayerNormalization"]
    assert graph.nodes[0].inputs == ["x", "g", "b"]


def test_a_norm_whose_inside_is_read_elsewhere_stays_as_it_is():
    graph = _graph(_layer_norm(), [1, 5, 8], _AFFINE, outputs=["y", "v"])
    evaluate_constants(graph)
    fuse_normalisation(graph)
    assert "LayerNormalization" not in _ops(graph)


def _erf_gelu(order):
    start = [
        node("Div", ["x", "root"], ["a"]),
        node("Erf", ["a"], ["e"]),
        node("Add", ["e", "one"], ["p"]),
    ]  # fmt: skip
    return (
        start
        + {
            "last": [node("Mul", ["x", "p"], ["q"]), node("Mul", ["q", "half"], ["y"])],
            "first": [node("Mul", ["x", "half"], ["h"]), node("Mul", ["h", "p"], ["y"])],
            "middle": [node("Mul", ["p", "half"], ["h"]), node("Mul", ["x", "h"], ["y"])],
        }[order]
    )


_GELU = {"root": _number(np.sqrt(2)), "one": _number(1), "half": _number(0.5),
         "three": _number(3), "c": _number(0.044715), "k": _number(np.sqrt(2 / np.pi))}  # fmt: skip


@pytest.mark.parametrize("order", ["last", "first", "middle"])
def test_gelu_by_erf_is_one_node_wherever_its_half_stands(order):
    graph = _graph(_erf_gelu(order), [1, 5, 8], _GELU)
    evaluate_constants(graph)
    fuse_activations(graph)
    assert [(n.op, n.inputs) for n in graph.nodes] == [("Gelu", ["x"])]


def _tanh_gelu():
    return [
        node("Pow", ["x", "three"], ["p"]), node("Mul", ["p", "c"], ["q"]),
        node("Add", ["x", "q"], ["a"]), node("Mul", ["a", "k"], ["b"]), node("Tanh", ["b"], ["t"]),
        node("Add", ["t", "one"], ["u"]), node("Mul", ["x", "u"], ["v"]),
        node("Mul", ["v", "half"], ["y"]),
    ]  # fmt: skip


def test_gelu_by_tanh_mish_and_silu_are_one_node_each():
    for made, op in (
        (_tanh_gelu(), "Gelu"),
        ([node("Softplus", ["x"], ["s"]), node("Tanh", ["s"], ["t"]),
          node("Mul", ["x", "t"], ["y"])], "Mish"),
        ([node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "x"], ["y"])], "flash.Silu"),
        ([node("HardSigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])], "HardSwish"),
    ):  # fmt: skip
        graph = _graph(made, [1, 5, 8], _GELU)
        evaluate_constants(graph)
        fuse_activations(graph)
        assert _ops(graph) == [op]


def test_merging_takes_what_one_kernel_does_and_nothing_that_is_read_twice():
    made = [
        node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "b"], ["c"]),
        node("Relu", ["c"], ["d"]), node("MatMul", ["d", "v"], ["e"]),
        node("Elu", ["e"], ["f"]), node("Add", ["f", "e"], ["y"]),
    ]  # fmt: skip
    graph = _graph(made, [1, 8], {"w": normal(8, 4), "b": normal(4), "v": normal(4, 4)})
    evaluate_constants(graph)
    fuse_activations(graph)
    merge_followers(graph)
    assert [(n.op, [m.op for m in n.merged]) for n in graph.nodes] == [
        ("MatMul", ["Add", "Relu"]), ("MatMul", []), ("Elu", []), ("Add", []),
    ]  # fmt: skip


def test_dequantising_keeps_the_formats_and_leaves_no_quantized_operator():
    scale, zero = {"s": _number(0.1)}, {"z": np.array(0, np.uint8)}
    weights = scale | zero | {"w": np.ones((6, 3, 3, 3), np.int8), "zw": np.array(0, np.int8)}
    made = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "s", "zw", "s", "z"], ["c"]),
        node("DequantizeLinear", ["c", "s", "z"], ["y"]),
    ]  # fmt: skip
    graph = _graph(made, [1, 3, 8, 8], weights)
    dequantise(graph)
    assert _ops(graph) == ["Conv", "Relu"]  # the zero point cuts at zero
    assert graph.roots["w"] == (162, "int8")
    assert graph.formats["x"] == "int8"


def test_weights_quantized_as_the_network_runs_are_products_without_scales():
    made = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z", "zw"], ["i"]), node("Cast", ["i"], ["f"], to=1),
        node("Mul", ["s", "sw"], ["t"]), node("Mul", ["f", "t"], ["m"]),
        node("Add", ["m", "b"], ["y"]),
    ]  # fmt: skip
    weights = {"w": np.ones((8, 4), np.int8), "zw": np.array(0, np.int8), "sw": _number(0.1),
               "b": normal(4)}  # fmt: skip
    found = network_of(model(made, {"x": [3, 8]}, weights))
    (layer,) = found.layers
    assert (layer.op, layer.bias, layer.format) == ("linear", True, "int8")
    assert (found.macs, found.params) == (96, 36)


# ------------------------------------------------------------- equal functions, equal numbers
def _fused(op, inputs, weights=None, domain="com.microsoft", **attributes):
    given = node(op, inputs, ["y"], domain=domain, **attributes)
    return [given], weights or {}, [domain] if domain else []


def _attention_apart():
    return [
        node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]), node("MatMul", ["x", "kt"], ["s"]),
        node("Softmax", ["s"], ["p"], axis=-1), node("MatMul", ["p", "v"], ["y"]),
    ]  # fmt: skip


PAIRS = {
    "layer norm": (
        (_layer_norm(), _AFFINE, []),
        ([node("LayerNormalization", ["x", "g", "b"], ["y"], axis=-1)], _AFFINE, []), [1, 5, 8]),
    "gelu": ((_erf_gelu("last"), _GELU, []), _fused("Gelu", ["x"]), [1, 5, 8]),
    "gelu by tanh": ((_tanh_gelu(), _GELU, []), _fused("FastGelu", ["x"]), [1, 5, 8]),
    "mean and pool": (
        ([node("ReduceMean", ["x"], ["y"], axes=[2, 3])], {}, []),
        ([node("GlobalAveragePool", ["x"], ["y"])], {}, []), [1, 4, 8, 8]),
    "bias apart": (
        ([node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "b"], ["y"])],
         {"w": normal(8, 4), "b": normal(4)}, []),
        ([node("Gemm", ["x", "w", "b"], ["y"])], {"w": normal(8, 4), "b": normal(4)}, []), [5, 8]),
    "turned weights": (
        ([node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": normal(4, 8)}, []),
        ([node("Transpose", ["w"], ["t"]), node("MatMul", ["x", "t"], ["y"])],
         {"w": normal(4, 8)}, []), [5, 8]),
    "joined at once or twice": (
        ([node("Concat", ["x", "x", "x"], ["y"], axis=1)], {}, []),
        ([node("Concat", ["x", "x"], ["a"], axis=1), node("Concat", ["a", "x"], ["y"], axis=1)],
         {}, []), [1, 4, 8, 8]),
    "identity between": (
        ([node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])],
         {"w": normal(6, 4, 3, 3)}, []),
        ([node("Conv", ["x", "w"], ["a"]), node("Identity", ["a"], ["b"]),
          node("Relu", ["b"], ["y"])], {"w": normal(6, 4, 3, 3)}, []), [1, 4, 8, 8]),
    "skip norm": (
        ([node("Add", ["x", "x"], ["a"]), node("LayerNormalization", ["a", "g", "b"], ["y"])],
         _AFFINE, []),
        _fused("SkipLayerNormalization", ["x", "x", "g", "b"], _AFFINE), [1, 5, 8]),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_equal_functions_get_equal_numbers(name):
    one, other, shape = PAIRS[name]
    rows = []
    for nodes, weights, domains in (one, other):
        read = {n for made in nodes for n in made.input}
        kept = {k: w for k, w in weights.items() if k in read}
        network = network_of(model(nodes, {"x": shape}, kept, domains=domains))
        (row,) = price_models([Model("m", network)], [load_target("x86-avx512")])
        rows.append(row)
    assert rows[0] == rows[1]


def test_the_batch_axis_of_a_file_may_be_another():
    made = [node("MatMul", ["x", "w"], ["y"])]
    given = model(made, {"x": [1, 8]}, {"w": normal(8, 4)})
    assert network_of(given, input_shape=(6, 8)).macs == 6 * 32


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
def test_damaged_nodes_of_every_operator_end_in_one_line(kind):
    from flash.backends.onnx.operators import OPERATORS

    for op in OPERATORS:
        domain, _, name = op.rpartition(".")
        for inputs in ([], ["x"], ["x", "x"], ["x", "w", ""], ["", "w"]):
            made = [helper.make_node(name, inputs, ["y"], domain=domain)]
            given = model(made, {"x": [2, 3]}, {"w": normal(3, 2)}, domains=[domain or "own"],
                          types={"x": kind})  # fmt: skip
            try:
                network_of(given)
            except (InputError, UsageError) as error:
                assert "\n" not in str(error)


def test_bounds_that_are_left_out_bound_nothing():
    """Convolutions padded as TensorFlow does compute their padding: ``max(needed, 0)``, a Clip of a
    constant without an upper bound."""
    nodes = [node("Clip", ["k", "zero"], ["most"]), node("Expand", ["x", "sizes"], ["y"])]
    nodes.insert(1, node("Cast", ["most"], ["sizes"], to=TensorProto.INT64))
    graph = _graph(nodes, [1, 1], {"k": np.array([-3, 5], np.float32), "zero": _number(1)})
    evaluate_constants(graph)
    assert graph.shape("y") == (1, 5)


@pytest.mark.parametrize(
    ("low", "act"), [(50, "relu"), (50.5, "relu"), (-1, "sigmoid"), (40.25, "sigmoid")]
)
def test_an_input_without_axes_takes_the_value_given_whatever_its_type(low, act):
    def branch(kind):
        value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
        return helper.make_graph([node(kind, ["x"], ["inner"])], "b", [], [value])

    made = [
        node("Greater", ["low", "limit"], ["c"]),
        node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Sigmoid")),
    ]
    for kind in (TensorProto.FLOAT, TensorProto.DOUBLE):
        limit = np.array(40.25, dtype=helper.tensor_dtype_to_np_dtype(kind))
        given = model(made, {"x": [1, 4], "low": []}, {"limit": limit}, types={"low": kind})
        found = network_of(given, inputs={"low": (low,)})
        assert [layer.act for layer in found.layers] == [act]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TensorProto.INT64, 16000.5),
        (TensorProto.UINT8, -1),
        (TensorProto.INT8, 300),
        (TensorProto.BOOL, 2),
    ],
)
def test_a_value_that_an_input_cannot_hold_is_refused(kind, value):
    made = [node("Cast", ["k"], ["f"], to=TensorProto.FLOAT), node("Mul", ["x", "f"], ["y"])]
    given = model(made, {"x": [1, 4], "k": []}, types={"k": kind})
    with pytest.raises(UsageError, match=rf"--input k: {value} is no u?(int|bool)"):
        network_of(given, inputs={"k": (value,)})
    with pytest.raises(UsageError, match="--input x: sizes are whole numbers"):
        network_of(given, inputs={"x": (1, 4.5)})


def test_weights_that_are_computed_from_no_stored_float_are_no_parameters():
    """The matrix of a Fourier transform: products and cosines of counted whole numbers."""
    made = [
        node("Mul", ["rows", "columns"], ["turns"]),
        node("Cast", ["turns"], ["angle"], to=TensorProto.FLOAT),
        node("Cos", ["angle"], ["matrix"]),
        node("MatMul", ["x", "matrix"], ["z"]),
        node("MatMul", ["z", "w"], ["y"]),
    ]
    count = np.arange(8)
    given = {"rows": count[:, None], "columns": count[None], "w": normal(8, 3)}
    found = network_of(model(made, {"x": [1, 8]}, given))
    assert (found.params, found.macs) == (8 * 3, 8 * 8 + 8 * 3)


def test_a_few_numbers_of_another_format_are_not_said_to_be_the_format_of_the_file():
    made = [
        node("MatMul", ["x", "w"], ["z"]),
        node("ReduceMax", ["z"], ["m"], axes=[1]),
        node("Cast", ["m"], ["d"], to=TensorProto.DOUBLE),
        node("Mul", ["d", "scale"], ["y"]),
    ]
    weights = {"w": normal(64, 50), "scale": np.ones(5)}
    (note,) = network_of(model(made, {"x": [1, 64]}, weights)).notes
    said = "a small part of its numbers is stored in fp64 (5 of 3,205 parameters)"
    assert note == f"{said}, and memory is counted so"
    made = [node("MatMul", ["x", "w"], ["y"])]
    given = model(made, {"x": [1, 64]}, {"w": np.ones((64, 5))}, types={"x": TensorProto.DOUBLE})
    (note,) = network_of(given).notes
    assert note == "its numbers are stored in fp64, and memory is counted so"
