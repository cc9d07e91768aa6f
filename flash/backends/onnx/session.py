"""ONNX models run by onnxruntime on this machine's processor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from flash.errors import FlashError, InputError

__all__ = ["refused", "run_onnx", "run_onnx_many", "time_onnx", "verify_onnx"]

#: onnxruntime's logger: 3 shows errors and keeps quiet about unused weights.
_ERRORS_ONLY = 3
#: Turns of a timing that count.
_LEAST_TURNS, _MOST_TURNS = 3, 1000


def run_onnx(
    model: onnx.ModelProto | bytes, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Outputs by name of one run on ``inputs`` (by name); one thread.

    Raises ``InputError`` where onnxruntime refuses the model or the inputs.
    """
    session = _session(model if isinstance(model, bytes) else model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    try:
        results = session.run(names, dict(inputs))
    except Exception as error:
        raise refused(error) from None
    return dict(zip(names, results, strict=True))


def run_onnx_many(
    model: bytes, inputs: Sequence[Mapping[str, NDArray[Any]]]
) -> list[dict[str, NDArray[Any]]]:
    """Outputs by name for each of several inputs; errors as ``run_onnx``."""
    session = _session(model)
    names = [output.name for output in session.get_outputs()]
    try:
        return [dict(zip(names, session.run(names, dict(x)), strict=True)) for x in inputs]
    except Exception as error:
        raise refused(error) from None


def time_onnx(
    models: Sequence[bytes],
    inputs: Mapping[str, NDArray[np.float32]],
    *,
    seconds: float = 2.0,
    threads: int = 1,
    busy: bool = False,
) -> list[float]:
    """Median latency in ms of each model on the same inputs, on this machine's processor.

    The models take turns, so that a processor that changes its speed does so for all; at least
    three turns after one that does not count, more until ``seconds`` are over.

    busy: others use the machine: the least processor time of the one thread instead, as a thread
          that is stopped does not age.

    Raises ``InputError`` where onnxruntime refuses a model.
    """
    clock, taken_of = (time.thread_time, np.min) if busy else (time.perf_counter, np.median)
    sessions = [_session(model, 1 if busy else threads) for model in models]
    feeds = dict(inputs)
    times: list[list[float]] = [[] for _ in models]
    end = time.perf_counter() + seconds
    turn = 0
    while turn <= _LEAST_TURNS or (time.perf_counter() < end and turn <= _MOST_TURNS):
        for session, taken in zip(sessions, times, strict=True):
            start = clock()
            session.run(None, feeds)
            taken.append(1e3 * (clock() - start))
        turn += 1
    return [float(taken_of(taken[1:])) for taken in times]


def _session(content: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # onnxruntime's exceptions share no base class of its own.
    except Exception as error:
        raise refused(error) from None


def refused(error: Exception) -> InputError:
    """What to tell the user of onnxruntime's own words."""
    return InputError(f"onnxruntime refuses the model: {' '.join(str(error).split())}")


def verify_onnx(content: bytes, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Check a model that flash made, run it once, and return its outputs by name.

    The input is standard normal from ``seed``. Raises ``FlashError`` unless the model passes
    ONNX's checker and strict shape inference, runs, and gives finite numbers of the shape it
    declares.
    """
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    (given,) = model.graph.input
    rng = np.random.default_rng(seed)
    image = rng.standard_normal(_dims(given), dtype=np.float32)
    outputs = run_onnx(content, {given.name: image})
    for promised in model.graph.output:
        found, dims = outputs[promised.name], _dims(promised)
        # A size of 0 is one that the data decide.
        if [a for a, b in zip(found.shape, dims, strict=True) if b] != [b for b in dims if b]:
            raise FlashError(f"the written model gives {found.shape}, not {dims}")
        if not np.isfinite(found).all():
            raise FlashError("the written model gives numbers that are not finite")
    return outputs


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
