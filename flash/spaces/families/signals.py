"""Networks over time: keywords, sensors, anything of channels x length or a small spectrogram.

``ds_cnn`` is built as the keyword network of Zhang et al., "Hello Edge: Keyword Spotting on
Microcontrollers", 2018 (arXiv:1711.07128), which MLPerf Tiny measures; ``tc_resnet`` as those of
Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices", Interspeech
2019 (arXiv:1904.03814), where frequencies, or sensors, are channels and windows lie over time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from flash.errors import SpaceError
from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, InputShape, Setting, Stage
from flash.spaces.layers import Ints, Tensor

__all__ = ["DSCNNFamily", "TCResNetFamily"]


def _same_pad(size: int, kernel: int, stride: int) -> int:
    """Padding of both ends that leaves ``size / stride`` positions, rounded up."""
    needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return (needed + 1) // 2


class _SignalFamily(Family):
    """Stem convolution, stages of equal blocks, the mean over all positions, a classifier.

    Variables: ``width0`` channels of the stem; of stage s (from 1) ``width{s}`` its channels,
    ``kernel{s}`` the side of its windows, ``depth{s}`` its blocks. Windows are over the width only
    where the input's height is 1.
    """

    settings = {
        "stem_kernel": Setting((3, 3), most=255, entries=2),
        "stem_stride": Setting(1, most=16),
        "strides": Setting(None, most=16, entries=16),
    }

    def __init__(self, shape: InputShape, classes: int, settings: Mapping[str, Any]) -> None:
        super().__init__(shape, classes, settings)
        kernel = self.options["stem_kernel"]
        if len(kernel) != 2 or kernel[0] > shape.height or kernel[1] > shape.width:
            raise SpaceError("[settings] stem_kernel must be two sides that fit into the input")

    @property
    def _numbers(self) -> range:
        return range(1, len(self.options["strides"]) + 1)

    def _stage_variables(self, stage: int) -> tuple[str, ...]:
        return tuple(f"{name}{stage}" for name in ("width", "kernel", "depth"))

    @property
    def variables(self) -> tuple[str, ...]:
        inner = (name for stage in self._numbers for name in self._stage_variables(stage))
        return ("width0", *inner)

    @property
    def stages(self) -> tuple[Stage, ...]:
        inner = [
            Stage(f"stage{s}", self._stage_variables(s), (f"width{s - 1}",), cell=(f"stage{s}",))
            for s in self._numbers
        ]
        return (
            Stage("stem", ("width0",)),
            *inner,
            Stage("head", (), (f"width{self._numbers[-1]}",)),
        )

    def cells(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self._stage_variables(s) for s in self._numbers)

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        shape, stride = self.shape, self.options["stem_stride"]
        source = e.source(shape.channels, shape.height, shape.width)
        high, wide = self.options["stem_kernel"]
        pad = _same_pad(shape.height, high, stride), _same_pad(shape.width, wide, stride)
        with e.stage("stem"):
            x = e.conv(source, values["width0"], (high, wide), stride, pad=pad)
        for number, stride in zip(self._numbers, self.options["strides"], strict=True):
            width, kernel, depth = (values[name] for name in self._stage_variables(number))
            window = (1 if shape.height == 1 else kernel, kernel)
            with e.cell(), e.stage(f"stage{number}"):
                for i in e.repeat(depth):
                    x = e.merge(self._block(e, x, width, window, stride if i == 0 else 1, i), x)
        with e.stage("head"):
            x = e.linear(e.global_pool(x), self.classes)
        return source, x

    @abstractmethod
    def _block(
        self,
        e: Emitter,
        x: Tensor,
        width: Ints,
        window: tuple[Ints, Ints],
        stride: int,
        number: int,
    ) -> Tensor:
        """Block ``number`` of a stage, from 0."""

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        self._require(values, "width0", 1, 65_536)
        for width, kernel, depth in self.cells():
            self._require(values, width, 1, 65_536)
            self._require(values, kernel, 1, 63)
            if any(v % 2 == 0 for v in values[kernel]):
                raise SpaceError(f"[variables.{kernel}] must hold odd kernels")
            self._require(values, depth, 1, 16)


class DSCNNFamily(_SignalFamily):
    """Blocks of a depthwise and a pointwise convolution (Zhang et al. 2018)."""

    name = "ds_cnn"

    def _block(
        self,
        e: Emitter,
        x: Tensor,
        width: Ints,
        window: tuple[Ints, Ints],
        stride: int,
        number: int,
    ) -> Tensor:
        y = e.conv(x, x.channels, window, stride, groups=x.channels)
        return e.conv(y, width, 1)


class TCResNetFamily(_SignalFamily):
    """Residual blocks of two convolutions; the first of a stage has one in its skip (Choi 2019)."""

    name = "tc_resnet"

    def _block(
        self,
        e: Emitter,
        x: Tensor,
        width: Ints,
        window: tuple[Ints, Ints],
        stride: int,
        number: int,
    ) -> Tensor:
        y = e.conv(e.conv(x, width, window, stride), width, window, act="")
        if number == 0:
            return e.add([y, e.conv(x, width, 1, stride)], act="relu")
        return e.add([y, x], act="relu", skip=width)
