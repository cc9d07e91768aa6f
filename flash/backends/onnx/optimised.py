"""A model as onnxruntime runs it: the graph it optimises the model into, every node one kernel.

onnxruntime writes that graph itself (``SessionOptions.optimized_model_filepath``). Nothing in it is
guessed: what is merged, which layouts change, where numbers are cast. Its convolutions on blocks of
channels (``com.microsoft.nchwc``) count the channels that fill the last block, as they run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import onnx
import onnxruntime

from flash.backends.onnx.file import checked_graph, load_model
from flash.backends.onnx.ir.graph import Graph
from flash.backends.onnx.ir.mapper import Mapper
from flash.backends.onnx.operators import handler_of
from flash.backends.onnx.operators.moving import by_traffic
from flash.backends.onnx.passes.activations import classify_activations
from flash.backends.onnx.passes.axes import bind_axes
from flash.backends.onnx.passes.dequantise import dequantise, is_quantized
from flash.backends.onnx.passes.evaluate import evaluate_constants
from flash.backends.onnx.passes.kernels import name_kernels
from flash.backends.onnx.passes.merge import merge_followers
from flash.backends.onnx.session import refused
from flash.errors import InputError
from flash.spaces.network import Network

__all__ = ["optimised_network"]

#: onnxruntime's logger: 3 shows errors only.
_ERRORS_ONLY: Final = 3
#: Weights of so many bytes are written beside the optimised graph, which then stays small.
_OUTSIDE_BYTES: Final = 4096


def optimised_network(
    source: str | Path | onnx.ModelProto,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    *,
    blocks: bool = True,
) -> Network:
    """The kernels that onnxruntime runs for a model on a CPU, as the layers of a network.

    source: an ONNX file, or a model in memory. input_shape, inputs: as ``read_onnx``.
    blocks: with the layouts in blocks of channels that it chooses on this machine; a target whose
            runtime has none (Arm) runs the graph before them.

    Raises ``InputError`` where onnxruntime refuses the model or its graph cannot be priced.
    """
    name = "model" if isinstance(source, onnx.ModelProto) else str(source)
    with tempfile.TemporaryDirectory(prefix="flash-optimised-") as folder:
        given = source.SerializeToString() if isinstance(source, onnx.ModelProto) else name
        place = Path(folder) / "optimised.onnx"
        # Layouts of quantized models have the channels last, which sizes here do not say.
        _optimise(given, place, blocks and not _is_quantized(source))
        model = load_model(place)
    try:
        return _read(checked_graph(model, name), input_shape, inputs)
    except InputError as error:
        raise InputError(f"{error} (in the graph that onnxruntime made of it)") from None


def _is_quantized(source: str | Path | onnx.ModelProto) -> bool:
    if isinstance(source, onnx.ModelProto):
        model = onnx.ModelProto()
        model.CopyFrom(source)
    else:
        model = load_model(source)
    return is_quantized(checked_graph(model, str(source)[:200]))


def _optimise(given: str | bytes, place: Path, blocks: bool) -> None:
    """Let onnxruntime write the graph that it would run."""
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if blocks else levels.ORT_ENABLE_EXTENDED
    )
    options.optimized_model_filepath = str(place)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    beside = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{beside}_file_name", "weights.bin")
    options.add_session_config_entry(f"{beside}_min_size_in_bytes", str(_OUTSIDE_BYTES))
    try:
        onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    # onnxruntime's exceptions share no base class of its own.
    except Exception as error:
        raise refused(error) from None


def _read(
    graph: Graph,
    input_shape: Sequence[int] | None,
    inputs: Mapping[str, Sequence[float]] | None,
) -> Network:
    bind_axes(graph, input_shape, inputs)
    quantized = is_quantized(graph)
    name_kernels(graph)
    dequantise(graph)
    evaluate_constants(graph)
    classify_activations(graph)
    if quantized:  # a ReLU that a quantized operator does by its zero point
        merge_followers(graph)
    mapper = Mapper(graph)
    for node in graph.nodes:
        mapper.run(node, handler_of(node.op) or by_traffic)
    return mapper.network()
