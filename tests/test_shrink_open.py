"""How far a model is opened: kernels, the input's side, blocks of channels, importance by data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.shrink import shrink
from flash.shrink.pipeline import space_text
from flash.spaces.space import load_space

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
h = onnx.helper

from flash.backends import (  # noqa: E402
    Open,
    network_of,
    read_onnx,
    run_graph,
    run_onnx,
    torch_graph,
    variant_of,
    variants_of,
)


def small_model(side=16, width=16, seed=0):
    """A stem, a 5x5 depthwise convolution, a pointwise one, the mean, a classifier."""
    rng = np.random.default_rng(seed)

    def stored(name, *shape):
        return onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        h.make_node("Conv", ["x", "a", "ab"], ["p"], "stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        h.make_node("Relu", ["p"], ["q"], "relu"),
        h.make_node("Conv", ["q", "b", "bb"], ["r"], "deep", group=width, pads=[2, 2, 2, 2]),
        h.make_node("Conv", ["r", "c", "cb"], ["s"], "point"),
        h.make_node("GlobalAveragePool", ["s"], ["t"], "mean"),
        h.make_node("Flatten", ["t"], ["u"], "flat"),
        h.make_node("Gemm", ["u", "d", "db"], ["y"], "head", transB=1),
    ]
    weights = [
        stored("a", width, 3, 3, 3), stored("ab", width), stored("b", width, 1, 5, 5),
        stored("bb", width), stored("c", 24, width, 1, 1), stored("cb", 24),
        stored("d", 4, 24), stored("db", 4),
    ]  # fmt: skip
    graph = h.make_graph(
        nodes,
        "g",
        [h.make_tensor_value_info("x", 1, [1, 3, side, side])],
        [h.make_tensor_value_info("y", 1, [1, 4])],
        weights,
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def space_of(variants, folder):
    document = variants.document("m", "m.onnx")
    (folder / "m.graph.json").write_text(json.dumps(document))
    (folder / "m.toml").write_text(space_text("m", document))
    (folder / "m.onnx").write_bytes(variants.content)
    return load_space(str(folder / "m.toml"))


@pytest.fixture
def open_space(tmp_path):
    variants = variants_of(small_model(), "m", Open(sides=(10, 12)))
    return variants, space_of(variants, tmp_path)


def test_kernels_and_the_side_vary_and_every_variant_is_what_its_space_says(open_space):
    variants, space = open_space
    values = {c.name: c.values for c in variants.choices}
    assert values["kernel1"] == (3, 5) and values["side"] == (10, 12, 16)
    for design in space.sample(12, np.random.default_rng(0)):
        named = space.named(design)
        model = variants.model(named)
        network, read = space.network(design), network_of(model)
        assert (network.macs, network.params) == (read.macs, read.params)
        assert int(network.source.height) == named["side"] == int(read.source.height)
        shape = (1, 3, named["side"], named["side"])
        feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
        want = run_onnx(model, feeds)["y"]
        np.testing.assert_allclose(run_graph(torch_graph(model), feeds)["y"], want, atol=1e-4)
        # What a space and its model say is what was cut at first.
        again = variant_of(space.family.checked_model_file(), space.family.cutting(named))
        np.testing.assert_array_equal(run_onnx(again, feeds)["y"], want)


def test_a_smaller_kernel_is_the_middle_of_the_models(open_space):
    variants, _ = open_space
    smaller = variants.model(variants.largest | {"kernel1": 3})
    given, found = (
        {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer}
        for m in (variants.frozen.model, smaller)
    )
    np.testing.assert_array_equal(found["b"], given["b"][..., 1:-1, 1:-1])
    (deep,) = (n for n in smaller.graph.node if n.name == "deep")
    attributes = {a.name: list(h.get_attribute_value(a)) for a in deep.attribute if a.ints}
    assert attributes == {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}


def test_a_halving_of_the_side_costs_a_quarter_of_what_sees_it(open_space):
    variants, space = open_space
    rows = [space.design(variants.largest | more) for more in ({}, {"side": 12}, {"kernel1": 3})]
    total = sum(
        space.family.kept_importance(
            {n: space.decode(np.stack(rows))[:, k] for k, n in enumerate(space.variables)},
            stage.name,
        )
        for stage in space.family.stages
    )
    weights = {
        t.name: onnx.numpy_helper.to_array(t) for t in variants.frozen.model.graph.initializer
    }
    kernel = weights["b"]
    share = np.linalg.norm(kernel[..., 1:-1, 1:-1]) / np.linalg.norm(kernel)
    # Three of four layers see the side: the classifier reads a mean.
    want = [1, 1 - 3 / 4 * np.log2(16 / 12) / 4, 1 + np.log2(share) / 4 / 4]
    np.testing.assert_allclose(total, want, atol=1e-6)


def test_widths_are_whole_blocks_of_the_target():
    values = {
        block: {c.name: c.values for c in variants_of(small_model(), "m", Open(block)).choices}
        for block in (1, 8, 16)
    }
    assert values[8]["width1"] == (8, 16) and values[8]["width2"] == (8, 16, 24)
    assert values[16]["width2"] == (16, 24) and values[16]["width1"] == values[1]["width1"]


def test_importance_by_data_keeps_what_the_output_follows_from(tmp_path):
    """Rows of the stem that no data reaches go first, however large their weights are."""
    model = small_model()
    for stored in model.graph.initializer:
        value = onnx.numpy_helper.to_array(stored).copy()
        if stored.name == "a":
            value[:8, :2] = 0  # the first eight read the third channel only, which is dark
            value[:8] *= 3
        if stored.name in ("ab", "bb"):
            value[:8] = 0
        stored.CopyFrom(onnx.numpy_helper.from_array(value, stored.name))
    onnx.save(model, tmp_path / "m.onnx")
    data = np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)
    data[:, 2] = 0
    np.save(tmp_path / "x.npy", data)
    words = {"data": tmp_path / "x.npy", "max_latency_share": 0.95}
    report = shrink(
        tmp_path / "m.onnx", "x86-epyc", importance="taylor", out=tmp_path / "o", **words
    )
    assert any("Taylor" in note for note in report.notes)
    document = json.loads((tmp_path / "o" / "m.graph.json").read_text())
    order = document["orders"][min(document["orders"], key=lambda k: len(document["orders"][k]))]
    assert set(order[:8]) == set(range(8, 16))
    # A design of the front is cut by the same order when the space is read again.
    space = load_space(str(tmp_path / "o" / "m.toml"))
    cutting = space.family.cutting(report.smaller.design)
    again = network_of(variant_of(tmp_path / "o" / "m.onnx", cutting))
    written = read_onnx(tmp_path / "o" / f"m-{report.chosen}.onnx")
    assert (again.params, again.macs) == (written.params, written.macs)


def test_shrink_with_sides_writes_a_model_of_the_chosen_one(tmp_path, capsys):
    onnx.save(small_model(32), tmp_path / "m.onnx")
    words = ["shrink", str(tmp_path / "m.onnx"), "--sides", "16,24", "--max-latency", "40%"]
    assert run_command(_dispatch, [*words, "--out", str(tmp_path / "o"), "--verbose"]) == 0
    assert "side: height of the input" in capsys.readouterr().out
    document = json.loads((tmp_path / "o" / "shrink.json").read_text())
    (smaller,) = (c for c in document["candidates"] if c["id"] == document["chosen"])
    written = read_onnx(tmp_path / "o" / f"m-{document['chosen']}.onnx")
    assert int(written.source.height) == smaller["design"]["side"] < 32


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--sides", "16"], 4, "below the model's own, 16"),
        (["--sides", "x"], 2, "--sides"),
        (["--importance", "taylor"], 2, "give --data"),
        (["--importance", "gradient"], 2, "unknown importance"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, capsys, words, code, message):
    onnx.save(small_model(), tmp_path / "m.onnx")
    assert run_command(_dispatch, ["shrink", str(tmp_path / "m.onnx"), *words]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_model_whose_weights_follow_from_the_side_says_so(tmp_path, capsys):
    model = small_model()
    (mean, flat) = (n for n in model.graph.node if n.name in ("mean", "flat"))
    flat.input[0] = "s"
    model.graph.node.remove(mean)
    (head,) = (t for t in model.graph.initializer if t.name == "d")
    head.CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 24 * 64), np.float32), "d"))
    onnx.save(model, tmp_path / "m.onnx")
    assert run_command(_dispatch, ["shrink", str(tmp_path / "m.onnx"), "--sides", "8"]) == 4
    error = capsys.readouterr().err
    assert "side cannot" in error and error.count("\n") == 1
