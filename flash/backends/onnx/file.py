"""An ONNX file, checked and with the shape of every tensor known.

Only shapes matter to costs, so large weights are never copied and weights stored outside the
file are not even opened. Nothing in a file is executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference

from flash.backends.onnx.operators import refuse_unknown
from flash.backends.onnx.quantized import drop_quantization, is_quantized
from flash.backends.onnx.shapes import SMALL, infer_shapes, known_shapes
from flash.backends.onnx.writer import PRODUCER
from flash.errors import InputError, UsageError

__all__ = ["Graph", "load_graph", "prepare_graph"]

#: What protobuf can hold in one file.
_LARGEST_BYTES: Final = 2**31 - 1
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


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order and what is known of their tensors.

    shapes:    every tensor's shape, by name.
    constants: initializers by name, with their value where they are small, else None.
    own:       flash wrote the file, so that its node names tell the layers.
    """

    nodes: tuple[onnx.NodeProto, ...]
    source: str
    output: str
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, NDArray[Any] | None]
    own: bool


def load_graph(path: str | Path, input_shape: Sequence[int] | None = None) -> Graph:
    """The graph in a file; see ``prepare_graph``.

    Raises ``InputError``, one line that begins with the path, for what is no ONNX model.
    """
    place = Path(path)
    try:
        size = place.stat().st_size
        if size > _LARGEST_BYTES:
            raise InputError(
                f"{path}: {size / 1e9:.1f} GB; an ONNX file holds 2 GB at most: save the model "
                "with its weights as external data"
            )
        content = place.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if content[:2] == b"PK":
        raise InputError(
            f"{path}: a zip archive (a PyTorch checkpoint?), not an ONNX model; export it with "
            "torch.onnx.export"
        )
    try:
        model = onnx.load_model_from_string(content)
    # protobuf's DecodeError lives in a package that is not ours to depend on.
    except Exception:
        raise InputError(f"{path}: not an ONNX model, or a damaged one") from None
    del content
    return prepare_graph(model, str(path), input_shape)


def prepare_graph(
    model: onnx.ModelProto, path: str = "model", input_shape: Sequence[int] | None = None
) -> Graph:
    """Check a model, give its input a definite shape and infer every other.

    input_shape: replaces dynamic axes; without it only the batch axis may be dynamic (it
                 becomes 1).
    Changes ``model``. Raises ``InputError`` (``UsageError`` for an ``input_shape`` that
    contradicts the model), one line beginning with ``path``.
    """
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path}: not an ONNX model, or a damaged one")
    if len(model.graph.output) != 1:
        names = ", ".join(o.name for o in model.graph.output)
        raise InputError(
            f"{path}: {len(model.graph.output)} outputs ({_short(names)}); expected one: cut the "
            "model with onnx.utils.extract_model"
        )
    own = model.producer_name == PRODUCER
    # Before version 4 every initializer had to be an input as well, which few writers heeded.
    model.ir_version = max(model.ir_version, 4)
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        if is_quantized(model):
            drop_quantization(model.graph)
        refuse_unknown(model.graph.node, path)
        constants = _lighten(model.graph)
        onnx.checker.check_model(model)
    except _MALFORMED as error:
        raise InputError(f"{path}: not a valid ONNX model: {_reason(error)}") from None
    source = _fix_input(model.graph, path, input_shape, constants)
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    try:
        model = infer_shapes(model)
        for tensor in model.graph.initializer:
            constants[tensor.name] = numpy_helper.to_array(tensor)
    except _MALFORMED as error:
        raise InputError(f"{path}: its shapes do not fit together: {_reason(error)}") from None
    graph = model.graph
    return Graph(
        tuple(graph.node), source, graph.output[0].name, _shapes(graph, path), constants, own
    )


def _lighten(graph: onnx.GraphProto) -> dict[str, NDArray[Any] | None]:
    """Turn large and outside initializers into inputs of their shape; return all by name."""
    inputs = {value.name for value in graph.input}
    kept: list[onnx.TensorProto] = []
    constants: dict[str, NDArray[Any] | None] = {}
    for tensor in graph.initializer:
        outside = tensor.data_location == TensorProto.EXTERNAL
        if outside or int(np.prod(tensor.dims, dtype=np.float64)) > SMALL:
            constants[tensor.name] = None
            if tensor.name not in inputs:
                graph.input.append(
                    helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                )
        else:
            constants[tensor.name] = numpy_helper.to_array(tensor)
            kept.append(tensor)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return constants


def _fix_input(
    graph: onnx.GraphProto,
    path: str,
    input_shape: Sequence[int] | None,
    constants: Mapping[str, Any],
) -> str:
    """Give the model's one input definite sizes, batch 1; return its name."""
    given = [value for value in graph.input if value.name not in constants]
    if len(given) != 1:
        names = ", ".join(value.name for value in given) or "none"
        raise InputError(f"{path}: expected one input, got {len(given)} ({_short(names)})")
    name: str = given[0].name
    dims = given[0].type.tensor_type.shape.dim
    if input_shape is not None and len(input_shape) != len(dims):
        raise UsageError(
            f"--input-shape has {len(input_shape)} sizes; input '{name}' of {path} has {len(dims)}"
        )
    for axis, dim in enumerate(dims):
        wanted = input_shape[axis] if input_shape is not None else None
        if dim.dim_value > 0 and axis > 0:
            if wanted not in (None, dim.dim_value):
                raise UsageError(
                    f"--input-shape gives axis {axis} of input '{name}' {wanted}; in {path} it is "
                    f"fixed at {dim.dim_value}"
                )
        elif axis == 0:
            if wanted is None and dim.dim_value > 1:
                raise InputError(
                    f"{path}: input '{name}' takes batches of {dim.dim_value}; costs are of one "
                    "image: export with batch 1"
                )
            dim.dim_value = 1 if wanted is None else wanted
        elif wanted is None:
            axis_name = f" ('{dim.dim_param}')" if dim.dim_param else ""
            raise InputError(
                f"{path}: axis {axis}{axis_name} of input '{name}' is dynamic; give its size, "
                "e.g. --input-shape 1x3x224x224"
            )
        else:
            dim.dim_value = wanted
    return name


def _shapes(graph: onnx.GraphProto, path: str) -> dict[str, tuple[int, ...]]:
    shapes = known_shapes(graph)
    for node in graph.node:
        name = node.output[0]
        # A constant need not have a shape: nothing is computed from it that costs.
        if name not in shapes and node.op_type != "Constant":
            raise InputError(
                f"{path}: the shape of '{name}' ({node.op_type}) cannot be inferred; simplify "
                "the model (e.g. with onnxsim) or export it with a fixed input shape"
            )
    return shapes


def _reason(error: Exception) -> str:
    return _short(str(error) or type(error).__name__)


def _short(text: str) -> str:
    """One line of at most 200 characters."""
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= 200 else line[:197] + "..."
