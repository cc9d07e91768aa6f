"""Reading an ONNX file without its weights gives the same network, and never reads them."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from flash.backends.onnx import skipping  # noqa: E402
from flash.backends.onnx.file import load_model  # noqa: E402
from flash.backends.onnx.reader import read_onnx  # noqa: E402
from flash.backends.onnx.writer import network_model  # noqa: E402
from flash.backends.weights import random_weights  # noqa: E402
from flash.errors import InputError  # noqa: E402
from flash.spaces.reference import reference_network  # noqa: E402


@pytest.fixture
def always(monkeypatch):
    """Files of any size are looked through."""
    monkeypatch.setattr(skipping, "_SMALL_FILE", 0)


def _without_weights(path):
    with path.open("rb") as stream:
        return skipping.bytes_without_weights(stream, 1000)


def small_and_large():
    """A model of one large weight, and of small constants in every form of data."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 16, 3, 3)).astype(np.float32)
    tensors = [
        numpy_helper.from_array(weight, "weight"),
        helper.make_tensor("as_floats", TensorProto.FLOAT, (80, 64), rng.normal(size=5120)),
        helper.make_tensor("as_ints", TensorProto.INT64, (3000,), range(3000)),
        helper.make_tensor("shape", TensorProto.INT64, (2,), [1, -1]),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["y", "shape"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 8, 8))],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 4096))],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_large_numbers_are_left_out_and_nothing_else(tmp_path, always):
    model, path = small_and_large(), tmp_path / "model.onnx"
    onnx.save_model(model, path)
    found = onnx.load_model_from_string(_without_weights(path))
    left = {tensor.name: tensor for tensor in found.graph.initializer}
    for tensor in model.graph.initializer:
        own = left[tensor.name]
        assert (list(own.dims), own.data_type) == (list(tensor.dims), tensor.data_type)
        if np.prod(tensor.dims) > 4096:
            assert own.data_location == TensorProto.EXTERNAL
            assert not own.raw_data and not own.float_data
        else:
            assert own == tensor
    del found.graph.initializer[:], model.graph.initializer[:]
    assert found == model


@pytest.mark.parametrize("name", ["squeezenet_1.1", "mobilenet_v1_0.25_128"])
def test_the_network_is_the_same(tmp_path, monkeypatch, name):
    network = reference_network(name)
    path = tmp_path / "model.onnx"
    onnx.save_model(network_model(network, random_weights(network, 0), name), path)
    monkeypatch.setattr(skipping, "_SMALL_FILE", 1 << 40)
    whole = read_onnx(path)
    monkeypatch.setattr(skipping, "_SMALL_FILE", 0)
    assert len(_without_weights(path)) < 0.1 * path.stat().st_size
    assert repr(read_onnx(path)) == repr(whole)


def test_an_odd_file_is_left_to_protobuf(tmp_path, always):
    content = small_and_large().SerializeToString()
    path = tmp_path / "model.onnx"
    rng = np.random.default_rng(1)
    for cut in (*rng.integers(1, len(content), size=40), len(content) - 1):
        path.write_bytes(content[:cut])
        found = _without_weights(path)
        # What can be looked through to its end is a message of its own; else it is as it was.
        if found != content[:cut]:
            onnx.load_model_from_string(found)
    for _ in range(40):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        _without_weights(path)  # ends, whatever it is


@pytest.mark.usefixtures("always")
def test_a_graph_of_too_many_nodes_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    nodes = [helper.make_node("Relu", [f"x{k}"], [f"x{k + 1}"]) for k in range(30)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x0", "x30")]
    path = tmp_path / "chain.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])), path)
    with path.open("rb") as stream:
        assert skipping.bytes_without_weights(stream, 30) == path.read_bytes()
    monkeypatch.setattr("flash.backends.onnx.file.MOST_NODES", 29)
    monkeypatch.setattr(onnx, "load_model_from_string", None)
    with pytest.raises(InputError, match="more than 29 nodes, which is the limit"):
        load_model(path)
