"""MobileNet-V2-type networks: inverted residual blocks (Sandler et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flash.errors import SpaceError
from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, InputShape, Setting, Stage, clip
from flash.spaces.layers import Ints, Tensor

__all__ = ["MobileNetV2Family"]


def make_divisible(channels_x100: Ints) -> Ints:
    """``channels_x100 / 100`` rounded to a multiple of 8, never below 90 % (MobileNet's rule)."""
    rounded = clip((channels_x100 + 400) // 800 * 8, 8, 1 << 20)
    return rounded + 8 * ((rounded * 1000 < 9 * channels_x100) * 1)


class MobileNetV2Family(Family):
    """Stem, stages of inverted residual blocks, 1x1 head, pooling, classifier.

    Variables of stage s (from 1): ``width{s}`` per cent of the stage's base channels,
    ``expand{s}`` expansion factor, ``kernel{s}`` depthwise kernel, ``depth{s}`` blocks,
    ``skip{s}`` 1 if blocks that keep their shape add their input, else 0.
    """

    name = "mobilenet_v2"
    settings = {
        "stem": Setting(32),
        "stem_stride": Setting(2, most=8),
        "channels": Setting(None, entries=16),
        "strides": Setting(None, most=8, entries=16),
        "head": Setting(1280),
    }

    def __init__(self, shape: InputShape, classes: int, settings: Mapping[str, Any]) -> None:
        super().__init__(shape, classes, settings)
        if len(self.options["channels"]) != len(self.options["strides"]):
            raise SpaceError("[settings] channels and strides must have one entry a stage each")

    def _stage_variables(self, stage: int) -> tuple[str, ...]:
        return tuple(f"{name}{stage}" for name in ("width", "expand", "kernel", "depth", "skip"))

    @property
    def _numbers(self) -> range:
        return range(1, len(self.options["channels"]) + 1)

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(name for stage in self._numbers for name in self._stage_variables(stage))

    @property
    def stages(self) -> tuple[Stage, ...]:
        inner = [
            Stage(
                f"stage{s}",
                self._stage_variables(s),
                (f"width{s - 1}",) if s > 1 else (),
                cell=(f"stage{s}",),
            )
            for s in self._numbers
        ]
        last = f"width{self._numbers[-1]}"
        return (Stage("stem", ()), *inner, Stage("head", (), (last,)))

    def cells(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self._stage_variables(s) for s in self._numbers)

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        result = dict(values)
        before: Ints = self.options["stem"]
        for names, base, stride in zip(
            self.cells(), self.options["channels"], self.options["strides"], strict=True
        ):
            width, _, _, depth, skip = names
            channels = make_divisible(base * values[width])
            # The residual of the first block needs equal shapes; later blocks always have them.
            effect = (values[depth] > 1) | ((before == channels) & (stride == 1))
            result[width] = channels
            result[skip] = values[skip] * (effect * 1)
            before = channels
        return result

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        with e.stage("stem"):
            x = e.conv(
                source, self.options["stem"], stride=self.options["stem_stride"], act="relu6"
            )
        bases = zip(self._numbers, self.options["channels"], self.options["strides"], strict=True)
        for number, base, stride in bases:
            width, *block = (values[name] for name in self._stage_variables(number))
            with e.cell(), e.stage(f"stage{number}"):
                x = self._blocks(e, x, make_divisible(base * width), stride, *block)
        with e.stage("head"):
            x = e.conv(x, self.options["head"], kernel=1, act="relu6")
            x = e.linear(e.global_pool(x), self.classes)
        return source, x

    def _blocks(
        self,
        e: Emitter,
        x: Tensor,
        channels: Ints,
        stride: int,
        expand: Ints,
        kernel: Ints,
        depth: Ints,
        skip: Ints,
    ) -> Tensor:
        for i in e.repeat(depth):
            wide = x
            hidden = x.channels * expand
            for _ in e.when(expand > 1):
                wide = e.merge(e.conv(x, hidden, kernel=1, act="relu6"), wide)
            step = stride if i == 0 else 1
            y = e.conv(wide, hidden, kernel, step, groups=hidden, act="relu6")
            y = block = e.conv(y, channels, kernel=1, act="")
            same = (x.channels == channels) & (skip > 0) & (step == 1)
            for _ in e.when(same):
                block = e.merge(e.add([y, x], skip=channels), block)
            x = e.merge(block, x)
        return x

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for width, expand, kernel, depth, skip in self.cells():
            self._require(values, width, 5, 1000)
            self._require(values, expand, 1, 16)
            self._require(values, kernel, 1, 15)
            if any(v % 2 == 0 for v in values[kernel]):
                raise SpaceError(f"[variables.{kernel}] must hold odd kernels")
            self._require(values, depth, 1, 64)
            self._require(values, skip, 0, 1)
