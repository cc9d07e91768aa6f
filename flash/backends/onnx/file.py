"""An ONNX file, read into memory and checked.

Only shapes matter to costs, so large weights are passed over in the file and weights stored
outside it are not even opened. Nothing in a file is executed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import onnx
from onnx import helper, shape_inference

from flash.backends.onnx.ir.graph import Graph, graph_of, one_line
from flash.backends.onnx.passes.functions import MOST_NODES, inline_functions
from flash.backends.onnx.skipping import TooManyNodesError, bytes_without_weights
from flash.backends.onnx.writer import PRODUCER
from flash.errors import InputError
from flash.files.reading import opened

__all__ = ["checked_graph", "load_model", "no_model"]

#: What protobuf can hold in one file.
_LARGEST_BYTES: Final = 2**31 - 1
#: The bytes that say what other files are, and those of TensorFlow Lite from the fifth on.
_HEAD: Final = 8
_TENSORFLOW_LITE: Final = b"TFL3"
#: Operators of onnxruntime that its files have in ONNX's domain.
_MISPLACED: Final = ("SimplifiedLayerNormalization",)
#: What onnx raises on malformed models; it has no base class of its own.
_MALFORMED: Final = (
    onnx.checker.ValidationError,
    shape_inference.InferenceError,
    RuntimeError,
    TypeError,
    ValueError,
    KeyError,
    IndexError,
)


def load_model(path: str | Path, *, weights: bool = False) -> onnx.ModelProto:
    """The model in a file, unchecked, large weights without their numbers unless ``weights``.

    Raises ``InputError``, one line that names the path, for what is no ONNX model or no file.
    """
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > _LARGEST_BYTES:
            raise InputError(
                f"{path}: {size / 1e9:.1f} GB; an ONNX file holds 2 GB at most: save the model "
                "with its weights as external data"
            )
        head = stream.read(_HEAD)
        if not head or head[4:] == _TENSORFLOW_LITE:
            raise no_model(path, head)
        stream.seek(0)
        try:
            content = stream.read() if weights else bytes_without_weights(stream, MOST_NODES)
        except TooManyNodesError:
            raise InputError(f"{path}: more than {MOST_NODES} nodes, which is the limit") from None
    if content[:2] == b"PK":
        raise no_model(path, content)
    try:
        return onnx.load_model_from_string(content)
    # protobuf's DecodeError lives in a package that is not ours to depend on.
    except Exception:
        raise no_model(path, content) from None


def no_model(path: str | Path, content: bytes) -> InputError:
    """The error for a file that is no ONNX model: what it is, if its first bytes say so."""
    if not content:
        return InputError(f"{path}: is empty")
    if content[:2] == b"PK":
        return InputError(
            f"{path}: a zip archive (a PyTorch checkpoint?), not an ONNX model; export it with "
            "torch.onnx.export"
        )
    if content[4:_HEAD] == _TENSORFLOW_LITE:
        return InputError(
            f"{path}: a TensorFlow Lite model, not an ONNX model; convert it with tf2onnx (python "
            "-m tf2onnx.convert --tflite FILE --output FILE.onnx)"
        )
    return InputError(f"{path}: not an ONNX model, or a damaged one")


def checked_graph(model: onnx.ModelProto, path: str = "model") -> Graph:
    """The graph of a model, with its functions inlined.

    Changes ``model``. Raises ``InputError``, one line beginning with ``path``.
    """
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path}: not an ONNX model, or a damaged one")
    if len(model.graph.node) > MOST_NODES:
        raise InputError(f"{path}: {len(model.graph.node)} nodes; the limit is {MOST_NODES}")
    own = model.producer_name == PRODUCER
    # Before version 4 every initializer had to be an input as well, which few writers heeded.
    model.ir_version = max(model.ir_version, 4)
    try:
        model = inline_functions(model, path)
        graph = graph_of(model, path, own)
        _strip_weights(model)
        _own_domains(model)
        onnx.checker.check_model(model)
    except _MALFORMED as error:
        reason = one_line(str(error) or type(error).__name__)
        raise InputError(f"{path}: not a valid ONNX model: {reason}") from None
    return graph


def _own_domains(model: onnx.ModelProto) -> None:
    """Move onnxruntime's operators that it writes among ONNX's own out of the checker's way."""
    moved = [node for node in model.graph.node if not node.domain and node.op_type in _MISPLACED]
    for node in moved:
        node.domain = "com.microsoft"
    if moved and all(o.domain != "com.microsoft" for o in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _strip_weights(model: onnx.ModelProto) -> None:
    """Turn all initializers into inputs: the checker need not see a weight.

    Outputs without a shape, which some exporters write, get one for its sake.
    """
    graph = model.graph
    for value in graph.output:
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
            value.type.tensor_type.shape.SetInParent()
    inputs = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if tensor.name not in inputs:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    del graph.initializer[:]
