"""The design as an int8 ONNX file, and what the eight bits cost and gain."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError
from flash.export.calibration import noise_images
from flash.export.exporter import Exporter
from flash.export.order import Build, Order

__all__ = ["ONNX_INT8", "int8_build"]


def int8_build(order: Order) -> Build:
    """``STEM-int8.onnx``: QDQ, weights by output channel; the same order gives the same bytes.

    The entry has the output's error against fp32 on images that calibration has not seen, and
    the time of both on this machine. Raises ``FlashError`` where the tools fail or the result
    does not run to finite numbers.
    """
    from flash.backends import OPSET, quantize_onnx, time_onnx  # noqa: PLC0415 (an extra)

    images = order.images or noise_images(order.shape, order.seed)
    content = quantize_onnx(order.content, images.calibration)
    error = _error(order.content, content, images.test)
    fp32_ms, int8_ms = time_onnx([order.content, content], {"input": images.test[:1]})
    entry = {
        "opset": OPSET,
        **order.signature,
        "calibration": images.to_dict(),
        "output_error": error,
        "size_ratio": round(len(content) / len(order.content), 4),
        "measured_here": {
            "runtime": f"onnxruntime, 1 thread, {platform.machine()}",
            "fp32_ms": round(fp32_ms, 4),
            "int8_ms": round(int8_ms, 4),
            "latency_ratio": round(int8_ms / fp32_ms, 4),
        },
        "verified": ["onnxruntime: finite output of the declared shape on the test images"],
    }
    return Build({f"{order.stem}-int8.onnx": content}, entry)


def _error(fp32: bytes, int8: bytes, images: NDArray[np.float32]) -> dict[str, Any]:
    """How far the outputs are apart: root mean square over that of fp32, and the first place."""
    from flash.backends import run_onnx  # noqa: PLC0415 (an extra)

    want, got = (
        np.stack([_flat(run_onnx(model, {"input": image[None]})) for image in images])
        for model in (fp32, int8)
    )
    if got.shape != want.shape or not np.isfinite(got).all():
        raise FlashError("the int8 model does not run to finite numbers of the fp32 model's shape")
    scale = float(np.sqrt(np.mean(want**2))) or 1.0
    flat_want, flat_got = (x.reshape(len(images), -1) for x in (want, got))
    same = np.mean(flat_want.argmax(axis=1) == flat_got.argmax(axis=1))
    return {
        "relative_rms": round(float(np.sqrt(np.mean((got - want) ** 2))) / scale, 6),
        "largest": round(float(np.abs(got - want).max()), 6),
        "same_first_class": round(float(same), 4),
    }


def _flat(outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """All outputs of one image, one after the other."""
    return np.concatenate([x.ravel() for x in outputs.values()])


def _describe(entry: Mapping[str, Any]) -> list[str]:
    error, here = entry["output_error"], entry["measured_here"]
    return [
        f"{100 * entry['size_ratio']:.0f} % of fp32",
        f"output off by {100 * error['relative_rms']:.2g} % (RMS of "
        f"{entry['calibration']['test_images']} test images; calibrated on "
        f"{entry['calibration']['source']})",
        f"x{here['latency_ratio']:.2f} the latency of fp32, measured here "
        f"({here['fp32_ms']:.3g} -> {here['int8_ms']:.3g} ms, {here['runtime']})",
    ]


ONNX_INT8 = Exporter(int8_build, _describe, runs_in="onnxruntime", bits=8)
