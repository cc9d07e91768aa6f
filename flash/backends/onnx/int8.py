"""fp32 ONNX models to int8 by static quantization: onnxruntime's tools, nothing trained.

Batch norms are folded first. Weights get one int8 scale an output channel, activations one uint8
scale and zero point a tensor (smallest and largest value seen in calibration), in QDQ form:
QuantizeLinear and DequantizeLinear nodes around fp32 operators, which runtimes fuse into integer
kernels. Unsigned activations, because onnxruntime fuses signed ones on x86 only where a tensor
has one reader: of a network with branches it computes half in fp32, and 1.18 some of it wrongly
(both seen by us, on random designs). It is also what its developers name for small ARM cores
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

Left in fp32 is what has no integer kernel, or a slow one: batch norms that follow no convolution,
and average pooling, whose integer kernel takes longer than all else in NAS-Bench-201 cells.
(Between two convolutions onnxruntime takes it all the same.)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from flash.backends.onnx.lean import lean_model
from flash.errors import FlashError

__all__ = ["quantize_onnx"]

_FP32_OPERATORS: Final = ("AveragePool", "BatchNormalization")


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Images one at a time, under the name of the model's input."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: image[None]} for image in images
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next input, or None after the last."""
        return next(self._feeds, None)


def quantize_onnx(content: bytes, images: NDArray[np.float32]) -> bytes:
    """The int8 model of an fp32 one with a single input.

    images: what the scales of activations are read off, (images, channels, height, width), as
            the network is fed.

    The same model and images give the same bytes. Raises ``FlashError`` where onnxruntime's
    tools fail.
    """
    model = onnx.load_model_from_string(content)
    (source,) = model.graph.input
    with tempfile.TemporaryDirectory(prefix="flash-int8-") as folder:
        folded, quantized = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        try:
            _fold(content, folded)
            quantize_static(
                folded,
                quantized,
                _Images(source.name, images),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=_left_in_fp32(folded),
            )
        except (OSError, MemoryError):
            raise
        # The tools raise whatever they come across, bare Exception among it.
        except Exception as error:
            message = " ".join(str(error).split())
            raise FlashError(f"onnxruntime cannot quantize the model: {message}") from None
        lean: bytes = lean_model(onnx.load(quantized)).SerializeToString(deterministic=True)
        return lean


def _fold(content: bytes, path: Path) -> None:
    """Store the model with batch norms in their convolutions and without what has no effect.

    Constants stay computed: what a convolution makes of zeros is a map, larger than its kernel.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3  # errors; else it warns that the file is for this machine
    onnxruntime.InferenceSession(
        content,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["ConstantFolding"],
    )
    model = onnx.load(path)
    add_pre_process_metadata(model)  # else the tools advise doing what has been done
    onnx.save(model, path)


def _left_in_fp32(path: Path) -> list[str]:
    """Names of the nodes that are not quantized.

    Sums of averages neither: onnxruntime fuses every pool between a DequantizeLinear and a
    QuantizeLinear.
    """
    graph = onnx.load(path).graph
    averages = {node.output[0] for node in graph.node if node.op_type == "AveragePool"}
    return [
        node.name
        for node in graph.node
        if node.op_type in _FP32_OPERATORS
        or (node.op_type == "Add" and averages.intersection(node.input))
    ]
