"""fp32 ONNX models to int8 by static quantization: onnxruntime's tools, nothing trained.

Batch norms are folded first. Weights get one scale an output channel, activations one a tensor
(smallest and largest value seen in calibration), both symmetric or affine int8 in QDQ form:
QuantizeLinear and DequantizeLinear nodes around fp32 operators, which runtimes fuse into int8
kernels. That form and int8 for both are what onnxruntime recommends to try first
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from flash.errors import FlashError

__all__ = ["quantize_onnx"]


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
            quant_pre_process(model, folded, skip_symbolic_shape=True)
            quantize_static(
                folded,
                quantized,
                _Images(source.name, images),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=_lone_norms(folded),
            )
        except (OSError, MemoryError):
            raise
        # The tools raise whatever they come across, bare Exception among it.
        except Exception as error:
            message = " ".join(str(error).split())
            raise FlashError(f"onnxruntime cannot quantize the model: {message}") from None
        return _lean(onnx.load(quantized))


def _lone_norms(path: Path) -> list[str]:
    """Batch norms that follow no convolution: no runtime has an int8 kernel for them."""
    graph = onnx.load(path).graph
    return [node.name for node in graph.node if node.op_type == "BatchNormalization"]


def _lean(model: Any) -> bytes:
    """Without the shapes of inner tensors and the tools' notes, which readers infer again."""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    content: bytes = model.SerializeToString(deterministic=True)
    return content
