"""A detector's ONNX model with its boxes decoded, and with the best of them chosen.

What the numbers mean: ``flash.export.detection``. Written in operators of opset 17 that every
runtime has; only ``NonMaxSuppression`` is left out by some compilers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["IOU_THRESHOLD", "SCORE_THRESHOLD", "detection_model"]

#: Least score of a detection, overlap from which the weaker of two is dropped, most of a class:
#: what demonstrations of YOLO detectors use.
SCORE_THRESHOLD: Final = 0.25
IOU_THRESHOLD: Final = 0.7
_MOST: Final = 300


def detection_model(raw: onnx.ModelProto, bins: int, choose: bool = False) -> onnx.ModelProto:
    """The model with outputs ``boxes`` (1, positions, 4), corners in pixels, and ``scores`` (1,
    classes, positions).

    raw:    a detector as ``network_model`` writes it: one image, three maps.
    choose: instead one output ``detections`` (found, 6): corners, score and class of those that
            non-maximum suppression leaves, by class.
    """
    model = onnx.ModelProto()
    model.CopyFrom(raw)
    return _Decoder(model, bins).run(choose)


class _Decoder:
    """Nodes appended to a model's graph."""

    def __init__(self, model: onnx.ModelProto, bins: int) -> None:
        self._model, self._graph, self._bins = model, model.graph, bins

    def run(self, choose: bool) -> onnx.ModelProto:
        shapes = [_dims(output) for output in self._graph.output]
        side = _dims(self._graph.input[0])[2]
        boxes, scores = self._decoded([x.name for x in self._graph.output], shapes, side)
        del self._graph.output[:]
        positions, classes = sum(h * w for *_, h, w in shapes), shapes[0][1] - 4 * self._bins
        if choose:
            self._chosen(boxes, scores)
            self._graph.output.append(_float("detections", ["found", 6]))
        else:
            self._node("Identity", [boxes], "boxes")
            self._node("Identity", [scores], "scores")
            self._graph.output.append(_float("boxes", [1, positions, 4]))
            self._graph.output.append(_float("scores", [1, classes, positions]))
        onnx.checker.check_model(self._model, full_check=True)
        return onnx.shape_inference.infer_shapes(self._model, check_type=True, strict_mode=True)

    def _decoded(
        self, maps: Sequence[str], shapes: Sequence[tuple[int, ...]], side: int
    ) -> tuple[str, str]:
        """Names of the boxes (1, positions, 4) and of the scores (1, classes, positions)."""
        channels, bins = shapes[0][1], self._bins
        flat = [
            self._node("Reshape", [name, self._ints([1, channels, -1])], f"decode.flat{n}")
            for n, name in enumerate(maps)
        ]
        joined = self._node("Concat", flat, "decode.joined", axis=2)
        sizes = self._ints([4 * bins, channels - 4 * bins])
        sides, classes = self._nodes_of("Split", [joined, sizes], ("sides", "classes"), axis=1)
        logits = self._node("Reshape", [sides, self._ints([1, 4, bins, -1])], "decode.logits")
        shares = self._node("Softmax", [logits], "decode.shares", axis=2)
        steps = self._constant(np.arange(bins, dtype=np.float32).reshape(1, 1, bins, 1))
        parts = self._node("Mul", [shares, steps], "decode.parts")
        distance = self._node("ReduceSum", [parts, self._ints([2])], "decode.distance", keepdims=0)
        near, far = self._nodes_of("Split", [distance, self._ints([2, 2])], ("near", "far"), axis=1)
        centre, stride = _grid(shapes, side)
        middle = self._constant(centre)
        corners = [
            self._node("Sub", [middle, near], "decode.first"),
            self._node("Add", [middle, far], "decode.second"),
        ]
        both = self._node("Concat", corners, "decode.corners", axis=1)
        pixels = self._node("Mul", [both, self._constant(stride)], "decode.pixels")
        boxes = self._node("Transpose", [pixels], "decode.boxes", perm=[0, 2, 1])
        return boxes, self._node("Sigmoid", [classes], "decode.scores")

    def _chosen(self, boxes: str, scores: str) -> None:
        limits = [
            self._constant(np.array([_MOST], dtype=np.int64)),
            self._constant(np.array([IOU_THRESHOLD], dtype=np.float32)),
            self._constant(np.array([SCORE_THRESHOLD], dtype=np.float32)),
        ]
        # Rows of (image, class, position).
        kept = self._node("NonMaxSuppression", [boxes, scores, *limits], "choose.kept")
        split = [kept, self._ints([1, 1, 1])]
        _, own, place = self._nodes_of("Split", split, ("image", "class", "position"), axis=1)
        first = self._ints([0])
        corners = self._node(
            "GatherND",
            [self._node("Squeeze", [boxes, first], "choose.all_boxes"), place],
            "choose.boxes",
        )
        both = self._node("Concat", [own, place], "choose.class_and_position", axis=1)
        score = self._node(
            "GatherND",
            [self._node("Squeeze", [scores, first], "choose.all_scores"), both],
            "choose.score",
        )
        column = self._node("Unsqueeze", [score, self._ints([1])], "choose.score_column")
        number = self._node("Cast", [own], "choose.number", to=TensorProto.FLOAT)
        self._node("Concat", [corners, column, number], "detections", axis=1)

    # ------------------------------------------------------------------------------ nodes
    def _node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self._graph.node.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def _nodes_of(
        self, op: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> list[str]:
        outputs = [f"decode.{name}" for name in names]
        self._graph.node.append(
            helper.make_node(op, inputs, outputs, f"{outputs[0]}.{op.lower()}", **attributes)
        )
        return outputs

    def _ints(self, values: Sequence[int]) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"decode.constant{len(self._graph.node)}"
        return self._node("Constant", [], name, value=numpy_helper.from_array(array, name))


def _grid(shapes: Sequence[tuple[int, ...]], side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Centres (1, 2, positions) in strides, x before y, and the strides (1, 1, positions)."""
    centres, strides = [], []
    for *_, height, width in shapes:
        y, x = np.divmod(np.arange(height * width), width)
        centres.append(np.stack([x, y]) + 0.5)
        strides.append(np.full(height * width, side // height))
    centre, stride = np.concatenate(centres, axis=1), np.concatenate(strides)
    return centre[None].astype(np.float32), stride[None, None].astype(np.float32)


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def _float(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
