"""ONNX models run by onnxruntime on this machine's processor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from flash.errors import FlashError, InputError

__all__ = ["run_onnx", "verify_onnx"]

#: onnxruntime's logger: 3 shows errors and keeps quiet about unused weights.
_ERRORS_ONLY = 3


def run_onnx(
    model: onnx.ModelProto | bytes, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Outputs by name of one run on ``inputs`` (by name); fp32, one thread.

    Raises ``InputError`` where onnxruntime refuses the model or the inputs.
    """
    content = model if isinstance(model, bytes) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        results = session.run(names, dict(inputs))
    # onnxruntime's exceptions share no base class of its own.
    except Exception as error:
        raise InputError(f"onnxruntime refuses the model: {' '.join(str(error).split())}") from None
    return dict(zip(names, results, strict=True))


def verify_onnx(content: bytes, seed: int = 0) -> NDArray[np.float32]:
    """Check a model that ``network_model`` made, run it once, and return its output.

    The input is standard normal from ``seed``. Raises ``FlashError`` unless the model passes
    ONNX's checker and strict shape inference, runs, and gives finite numbers of the shape it
    declares.
    """
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    (given,), (promised,) = model.graph.input, model.graph.output
    rng = np.random.default_rng(seed)
    image = rng.standard_normal(_dims(given), dtype=np.float32)
    output = run_onnx(content, {given.name: image})[promised.name]
    if output.shape != _dims(promised):
        raise FlashError(f"the written model gives {output.shape}, not {_dims(promised)}")
    if not np.isfinite(output).all():
        raise FlashError("the written model gives numbers that are not finite")
    return output


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
