"""The design as an ONNX file in fp32."""

from __future__ import annotations

from flash.export.exporter import Exporter
from flash.export.order import Build, Order

__all__ = ["ONNX", "onnx_build"]


def onnx_build(order: Order) -> Build:
    """``STEM.onnx``; the same order gives the same bytes."""
    from flash.backends import OPSET  # noqa: PLC0415 (an extra)

    entry = {
        "opset": OPSET,
        **order.signature,
        "verified": [
            "onnx.checker with strict shape inference",
            "onnxruntime: finite output of the declared shape on a normal input of seed "
            f"{order.seed}",
        ],
    }
    return Build({f"{order.stem}.onnx": order.content}, entry)


ONNX = Exporter(onnx_build, runs_in="onnxruntime")
