"""What numbers of few bits cost in accuracy, from pairs of float and quantized networks.

A statistic of other networks, no prediction for one: the median drop and the range that nine of ten
lie in, also where a kind of network is left out of it. Eight bits are quantized after training with
calibration images; four are trained that way, since without training they lose far more. Of numbers
of ``LOSSLESS`` bits nothing is taken off. ``scripts/validate/bits.py`` leaves out whole kinds and
holds the ranges against pairs that other people published.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flash.spaces.stage_tables import Floats

__all__ = [
    "LOSSLESS",
    "PAIRS",
    "TRAINED_HERE",
    "Drop",
    "Pair",
    "beyond",
    "drop_of",
    "drop_without",
    "quantization_drop",
]

#: Bits from which numbers are taken to lose nothing (ours: no pairs of 16 bits are collected here).
LOSSLESS: Final = 16
#: One pair in so many lies beyond either end of the range: nine of ten lie within.
_ONE_IN: Final = 20
#: Kind of the networks trained here.
TRAINED_HERE: Final = "trained here"
#: Kinds whose networks have convolutions in groups (depthwise ones), which other pairs lack.
_GROUPED: Final = frozenset({"mobilenet", "efficientnet", "shufflenet"})


@dataclass(frozen=True)
class Pair:
    """A network in floats and quantized: top-1 accuracy in per cent.

    kind: networks alike, left out together where the range is checked.
    """

    kind: str
    network: str
    float_percent: float
    quantized_percent: float

    @property
    def points(self) -> float:
        """Points of accuracy lost."""
        return self.float_percent - self.quantized_percent


@dataclass(frozen=True)
class Drop:
    """Points of accuracy lost: the median of ``pairs`` networks and the range of most of them.

    own: how many of them were trained here.
    """

    bits: int
    points: float
    low: float
    high: float
    pairs: int
    how: str
    own: int = 0

    def __str__(self) -> str:
        of = f"{self.pairs} published networks"
        if self.own:
            of = f"{self.pairs} networks, {self.own} of them trained here"
        return (
            f"predicted accuracies are those after {self.how}: {self.points:.1f} points less than "
            f"of floats, what it cost ({self.low:.1f} to {self.high:.1f}) in {of}"
        )

    def off(self, value: Floats) -> Floats:
        """Accuracies in per cent, of floats -> of so many bits; rises with them."""
        return np.clip(value - self.points, 0.0, 100.0)

    def widened(self, value: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """Accuracy and interval with the drop taken off: independent errors, so squares add up."""
        found = self.off(value)
        down = np.hypot(value - low, self.high - self.points)
        up = np.hypot(high - value, self.points - self.low)
        return found, np.maximum(found - down, 0.0), np.minimum(found + up, 100.0)


#: ImageNet, 8-bit weights and activations after training: Intel Neural Compressor, validated models
#: (docs/source/validated_model_list.md, 2023-06): TensorFlow 2.12, its extension by Intel, PyTorch
#: 2.0.1 static, onnxruntime 1.15 QDQ.
_EIGHT: Final = tuple(
    Pair(*row)
    for row in (
        ("resnet", "ResNet50 v1.0", 74.27, 74.12), ("resnet", "ResNet50 v1.5", 76.46, 76.23),
        ("resnet", "ResNet101", 76.45, 77.50), ("inception", "Inception V1", 69.74, 70.44),
        ("inception", "Inception V2", 73.97, 74.38), ("inception", "Inception V3", 76.75, 76.71),
        ("inception", "Inception V4", 80.27, 80.18),
        ("inception", "Inception ResNet V2", 80.40, 80.34),
        ("mobilenet", "MobileNet V1", 70.96, 71.78), ("mobilenet", "MobileNet V2", 71.76, 72.52),
        ("vgg", "VGG16", 70.89, 72.64), ("vgg", "VGG19", 71.01, 72.69),
        ("resnet", "ResNetV2 50", 69.64, 70.44), ("resnet", "ResNetV2 101", 71.87, 72.65),
        ("resnet", "ResNetV2 152", 72.37, 73.07), ("densenet", "Densenet 121", 72.89, 73.59),
        ("densenet", "Densenet 161", 76.29, 76.35), ("densenet", "Densenet 169", 74.65, 74.34),
        ("efficientnet", "EfficientNet B0", 76.76, 76.14),
        ("resnet", "ResNet50 v1.0", 74.27, 74.16), ("resnet", "ResNet50 v1.5", 76.46, 76.27),
        ("inception", "Inception V1", 69.74, 69.59), ("inception", "Inception V2", 73.97, 73.75),
        ("inception", "Inception V4", 80.27, 80.03), ("mobilenet", "MobileNet V1", 70.96, 70.61),
        ("mobilenet", "MobileNet V2", 71.76, 71.15), ("vgg", "VGG16", 70.89, 70.84),
        ("vgg", "VGG19", 71.01, 71.03), ("resnet", "ResNetV2 50", 69.64, 69.43),
        ("resnet", "ResNetV2 101", 71.87, 71.84), ("resnet", "ResNetV2 152", 72.37, 72.26),
        ("efficientnet", "EfficientNet B0", 76.76, 76.76),
        ("efficientnet", "EfficientNet V2 B0", 78.62, 78.63),
        ("resnet", "ResNet18", 69.76, 69.61), ("resnet", "ResNet50", 76.15, 75.92),
        ("inception", "Inception V3", 69.52, 69.47), ("resnet", "ResNeSt50", 81.04, 80.80),
        ("resnet", "ResNeXt101_32x8d", 79.31, 78.94),
        ("efficientnet", "Efficientnet_b0", 77.67, 76.89),
        ("efficientnet", "Efficientnet_b3", 78.54, 77.82),
        ("efficientnet", "Efficientnet_b7", 73.92, 73.55), ("densenet", "Peleenet", 72.10, 71.85),
        ("resnet", "ResNet50 V1.5", 72.29, 72.14), ("resnet", "ResNet50 V1.5 MLPerf", 76.46, 76.13),
        ("resnet", "ResNet50 V1.5, Zoo", 74.99, 74.82), ("mobilenet", "MobileNet V2", 66.89, 65.49),
        ("mobilenet", "MobileNet V2, Zoo", 69.48, 68.38), ("vgg", "VGG16", 66.69, 66.59),
        ("vgg", "VGG16, Zoo", 72.40, 72.33), ("mobilenet", "MobileNet V3", 75.74, 75.56),
        ("shufflenet", "ShuffleNet V2", 66.36, 66.09), ("inception", "GoogleNet", 67.79, 67.73),
        ("squeezenet", "SqueezeNet", 56.87, 56.54), ("alexnet", "CaffeNet", 56.30, 56.25),
        ("alexnet", "AlexNet", 54.79, 54.71), ("alexnet", "ZFNet", 55.96, 55.86),
        ("inception", "Inception V1", 67.24, 67.21),
        ("efficientnet", "EfficientNet, Zoo", 77.11, 76.99),
    )
)  # fmt: skip
#: 4-bit weights and activations, trained so: kinds are who published them, as each has a method of
#: its own (model zoo of HAWQ-V3; README of hustzxd/LSQuantization, of Jzz24/pytorch_quantization;
#: RedBit's wiki: LeNet-5 on MNIST by QNN and DoReFa). CIFAR-10 where named, else ImageNet.
_FOUR: Final = tuple(
    Pair(*row)
    for row in (
        ("hawq", "ResNet18", 71.47, 68.45), ("hawq", "ResNet50", 77.72, 74.24),
        ("lsq", "AlexNet", 56.55, 56.96), ("lsq", "ResNet18", 69.76, 70.26),
        ("lsq", "VGG small, CIFAR-10", 93.34, 94.26),
        ("dorefa", "ResNet-18, CIFAR-10", 94.71, 94.36), ("dorefa", "ResNet-18", 69.80, 66.60),
        ("redbit", "LeNet-5, QNN", 99.69, 99.55), ("redbit", "LeNet-5, DoReFa", 99.67, 99.68),
        # CIFAR-10, scripts/validate/bits_trained.py: lay within the range of the nine above.
        (TRAINED_HERE, "concat, 7.5 M MACs", 76.05, 75.41),
        (TRAINED_HERE, "add, 25.5 M MACs", 82.01, 80.81),
        (TRAINED_HERE, "add, 20.5 M MACs", 81.52, 80.20),
    )
)  # fmt: skip
#: Bits of weights and activations -> pairs, published ones and ours.
PAIRS: Final = {8: _EIGHT, 4: _FOUR}
_HOW: Final = {8: "quantization to 8 bits after training", 4: "training in 4 bits"}


def quantization_drop(bits: int, *, grouped: bool = False) -> Drop | None:
    """What weights and activations of so many bits cost; None where nothing is known here.

    grouped: of networks with convolutions in groups, of which there must be some among the pairs.

    >>> str(quantization_drop(16)), str(quantization_drop(4, grouped=True))
    ('None', 'None')
    """
    pairs = PAIRS.get(bits, ())
    if not pairs or (grouped and not any(pair.kind in _GROUPED for pair in pairs)):
        return None
    return _drop(bits)


@functools.cache
def _drop(bits: int) -> Drop:
    """The range of all pairs, widened until nine of ten lie in that of the other kinds."""
    pairs = PAIRS[bits]
    found = drop_of(bits, pairs)
    outside = sorted(beyond(drop_without(bits, pair.kind), [pair])[0] for pair in pairs)
    more = outside[-1 - len(pairs) // 10]
    return replace(found, low=found.low - more, high=found.high + more)


def drop_without(bits: int, kind: str) -> Drop:
    """The median and the range of the pairs of other kinds, not widened."""
    return drop_of(bits, tuple(pair for pair in PAIRS[bits] if pair.kind != kind))


def beyond(drop: Drop, pairs: Sequence[Pair]) -> list[float]:
    """How far each pair lies beyond the ends of a range, to rounding; 0 within."""
    far = (max(drop.low - pair.points, pair.points - drop.high) for pair in pairs)
    return [points if points > 1e-9 else 0.0 for points in far]


def drop_of(bits: int, pairs: tuple[Pair, ...]) -> Drop:
    """The median of some pairs, and the range that nine of ten lie in.

    The k-th smallest and largest of n, k = (n + 1) / 20 rounded down: another network of the
    same kind lies between them with at least 90 %; of fewer than 19 pairs all are between.
    """
    points = sorted(pair.points for pair in pairs)
    rank = max((len(points) + 1) // _ONE_IN, 1)
    median = statistics.median(points)
    own = sum(pair.kind == TRAINED_HERE for pair in pairs)
    return Drop(bits, median, points[rank - 1], points[-rank], len(points), _HOW[bits], own)
