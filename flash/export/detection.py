"""Detectors with their boxes decoded, and with the best of them chosen, as ONNX files.

A detector returns three maps, fine to coarse, of ``4 bins + classes`` numbers a position. For each
of a box's four sides (left, top, right, bottom) the first numbers are the logits of a distribution
over 0, 1, ... bins - 1 strides (Li et al. 2020, arXiv 2006.04388); its mean is the distance of
that side from the position's centre, so no anchor boxes are needed (Tian et al. 2019, arXiv
1904.01355). The rest are a logit a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, UsageError
from flash.export.exporter import Exporter
from flash.export.order import Build, Order, signature_of

if TYPE_CHECKING:
    from flash.spaces.network import Network

__all__ = ["BOXES", "NMS", "boxes_build", "decode_boxes", "detection_bins", "nms_build"]

Floats = NDArray[np.float32]
#: Largest difference to what numpy decodes, in pixels and in scores.
_TOLERANCE: Final = 1e-2


def detection_bins(network: Network) -> int:
    """Bins of a side's distribution; raises ``UsageError`` for a network that is no detector."""
    maps = network.outputs
    joined = [network.layers[int(x.producer)] for x in maps if int(x.producer) >= 0]
    if len(maps) != 3 or any(x.op != "concat" or len(x.inputs) != 2 for x in joined):
        raise UsageError("boxes are decoded of detectors: networks of a space detector-...")
    return int(joined[0].inputs[0].channels) // 4


def decode_boxes(maps: Sequence[Floats], side: int, bins: int) -> tuple[Floats, Floats]:
    """Boxes (positions, 4), corners x1, y1, x2, y2 in pixels, and scores (positions, classes).

    maps: a detector's outputs for one image of ``side`` pixels, each (1, channels, h, w).
    """
    boxes, scores = [], []
    for found in maps:
        height, width = found.shape[2:]
        flat = found[0].reshape(found.shape[1], -1)
        logits = flat[: 4 * bins].reshape(4, bins, -1)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        distance = np.tensordot(np.arange(bins, dtype=np.float32), shares, (0, 1))
        y, x = np.divmod(np.arange(height * width), width)
        centre = np.stack([x, y]) + 0.5
        corners = np.concatenate([centre - distance[:2], centre + distance[2:]])
        boxes.append((corners * (side // height)).T)
        # Beyond 80 a logit decides alone, and its exponential overflows.
        scores.append((1.0 / (1.0 + np.exp(-np.clip(flat[4 * bins :], -80.0, 80.0)))).T)
    return np.concatenate(boxes).astype(np.float32), np.concatenate(scores).astype(np.float32)


def boxes_build(order: Order) -> Build:
    """``STEM-boxes.onnx``: outputs ``boxes`` (1, positions, 4) and ``scores`` (1, classes,
    positions) of every position.

    Raises ``UsageError`` for a network that is no detector, ``FlashError`` unless the file
    computes what numpy decodes from the raw outputs.
    """
    from flash.backends import detection_model, run_onnx  # noqa: PLC0415 (an extra)

    bins, side = detection_bins(order.network), order.shape[1]
    model = detection_model(order.model, bins)
    content = model.SerializeToString(deterministic=True)
    image = np.random.default_rng(order.seed).standard_normal((1, *order.shape), dtype=np.float32)
    boxes, scores = decode_boxes(
        list(run_onnx(order.content, {"input": image}).values()), side, bins
    )
    found = run_onnx(content, {"input": image})
    off = max(
        float(np.abs(found["boxes"][0] - boxes).max()),
        float(np.abs(found["scores"][0].T - scores).max()),
    )
    if not off <= _TOLERANCE:
        raise FlashError(f"the file decodes boxes {off:.3g} off")
    entry = {
        **_about(model, order),
        "verified": [f"onnxruntime against boxes decoded by numpy: off by {off:.1e} at most"],
    }
    return Build({f"{order.stem}-boxes.onnx": content}, entry)


def nms_build(order: Order) -> Build:
    """``STEM-nms.onnx``: one output ``detections`` (found, 6): x1, y1, x2, y2, score, class.

    Raises as ``boxes_build``.
    """
    from flash.backends import (  # noqa: PLC0415 (an extra)
        IOU_THRESHOLD,
        SCORE_THRESHOLD,
        detection_model,
        verify_onnx,
    )

    model = detection_model(order.model, detection_bins(order.network), choose=True)
    content = model.SerializeToString(deterministic=True)
    verify_onnx(content, order.seed)
    entry = {
        **_about(model, order),
        "score_threshold": SCORE_THRESHOLD,
        "iou_threshold": IOU_THRESHOLD,
        "verified": ["onnxruntime: runs on a normal input of the seed to finite numbers"],
    }
    return Build({f"{order.stem}-nms.onnx": content}, entry)


def _about(model: Any, order: Order) -> Mapping[str, Any]:
    from flash.backends import OPSET  # noqa: PLC0415 (an extra)

    return {"opset": OPSET, **signature_of(model), "bins": detection_bins(order.network)}


BOXES = Exporter(boxes_build, runs_in="onnxruntime")
NMS = Exporter(nms_build, runs_in="onnxruntime")
