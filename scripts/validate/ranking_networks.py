"""Published networks with known accuracies, rebuilt layer by layer from their papers.

Used by ``ranking.py``. Every builder gives a ``Network``; the tests of the harness compare its
parameters with the source's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flash.spaces.emitter import Emitter
from flash.spaces.families.mobilenet import make_divisible
from flash.spaces.layers import Tensor
from flash.spaces.network import GraphEmitter, Network

__all__ = [
    "densenet",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3",
    "ofa_mobilenet_v3",
    "plain_cnn",
    "pyramidnet",
    "regnet",
    "resnet",
    "squeezenet",
    "transnas_macro",
    "vgg",
]


class Builder(GraphEmitter):
    """A graph emitter that can gate maps, as squeeze-and-excite does."""

    def gate(self, x: Tensor, hidden: int, act: str = "sigmoid") -> Tensor:
        """``x`` times a number a channel, worked out from the mean of each channel."""
        g = self.conv(self.global_pool(x), hidden, 1, norm=False, bias=True)
        g = self.conv(g, int(x.channels), 1, norm=False, bias=True, act=act)
        layer = self._pointwise("mul", (x, g), x.channels, x.channels, operands=2)
        return self._record(layer)


def finish(e: Builder, source: Tensor, x: Tensor, classes: int) -> Network:
    return e.network(source, e.linear(e.global_pool(x), classes))


# ------------------------------------------------------------------------------------ ResNets


def resnet(
    units: Sequence[int],
    channels: Sequence[int],
    *,
    stem: int,
    classes: int,
    side: int,
    bottleneck: int = 0,
    groups: int = 1,
    pre: bool = False,
    squeeze: int = 0,
    last: int = 0,
    stride_first: bool = False,
    shortcuts: bool = True,
) -> Network:
    """ResNets (He et al. 2016a, b), with squeeze-and-excite (Hu et al. 2018), wide, grouped.

    units, channels: of each stage.  stem: channels of the first convolution; ImageNet's stem
    where ``side`` is over 64.  bottleneck: inner channels are the block's divided by this, 0
    for two 3x3 convolutions; negative: inner channels for 1/64 of the block's are ``-bottleneck``
    x ``groups`` / 16 (ResNeXt).  pre: norm and activation come first.  squeeze: reduction of the
    gate, 0 for none.  last: channels of the last unit of all.  stride_first: the 1x1 convolution
    of a bottleneck has the stride.  shortcuts: without them the network is a plain chain.
    """
    e = Builder()
    source = e.source(3, side, side)
    if side > 64:
        x = e.max_pool(e.conv(source, stem, 7, 2), 3, 2)
    else:
        x = e.conv(source, stem, 3, act="" if pre else "relu", norm=not pre)
    block = _pre_unit if pre else _unit
    for stage, (number, width) in enumerate(zip(units, channels, strict=True)):
        for i in range(number):
            end = last and stage == len(units) - 1 and i == number - 1
            out = last if end else width
            stride = 2 if i == 0 and stage > 0 else 1
            inner = _inner(out, bottleneck, groups)
            x = block(e, x, out, stride, inner, groups, squeeze, stride_first, shortcuts)
    if pre:
        x = e.norm(x)
    return finish(e, source, x, classes)


def _inner(channels: int, bottleneck: int, groups: int) -> int:
    """Channels inside a bottleneck; 0 for a block of two 3x3 convolutions."""
    if bottleneck >= 0:
        return channels // bottleneck if bottleneck else 0
    return groups * (channels // 4 * -bottleneck // 64)


def _unit(
    e: Builder, x: Tensor, channels: int, stride: int, inner: int, groups: int, squeeze: int,
    stride_first: bool, shortcuts: bool,
) -> Tensor:  # fmt: skip
    if inner:
        first, second = (stride, 1) if stride_first else (1, stride)
        y = e.conv(e.conv(x, inner, 1, first), inner, 3, second, groups)
        y = e.conv(y, channels, 1, act="" if shortcuts else "relu")
    else:
        y = e.conv(e.conv(x, channels, 3, stride), channels, 3, act="" if shortcuts else "relu")
    if squeeze:
        y = e.gate(y, channels // squeeze)
    if not shortcuts:
        return y
    if stride > 1 or channels != x.channels:
        x = e.conv(x, channels, 1, stride, act="")
    return e.add([y, x], act="relu")


def _pre_unit(
    e: Builder, x: Tensor, channels: int, stride: int, inner: int, groups: int, squeeze: int,
    stride_first: bool, shortcuts: bool,
) -> Tensor:  # fmt: skip
    h = e.norm(x)
    if inner:
        first, second = (stride, 1) if stride_first else (1, stride)
        y = e.conv(e.conv(h, inner, 1, first), inner, 3, second, groups)
        y = e.conv(y, channels, 1, norm=False, act="")
    else:
        y = e.conv(e.conv(h, channels, 3, stride), channels, 3, norm=False, act="")
    if squeeze:
        y = e.gate(y, channels // squeeze)
    if stride > 1 or channels != x.channels:
        x = e.conv(h, channels, 1, stride, norm=False, act="")
    return e.add([y, x])


def pyramidnet(depth: int, alpha: int, bottleneck: bool, classes: int) -> Network:
    """PyramidNet (Han et al. 2017) at 32 x 32: channels grow by a constant a unit."""
    units = (depth - 2) // (9 if bottleneck else 6)
    e = Builder()
    source = e.source(3, 32, 32)
    x = e.conv(source, 16, 3, act="")
    width = 16.0
    for stage in range(3):
        for i in range(units):
            width += alpha / (3 * units)
            stride, inner = 2 if i == 0 and stage else 1, round(width)
            channels = 4 * inner if bottleneck else inner
            h = e.norm(x, act="")
            if bottleneck:
                y = e.conv(e.conv(h, inner, 1), inner, 3, stride)
                y = e.conv(y, channels, 1, act="")
            else:
                y = e.conv(e.conv(h, channels, 3, stride), channels, 3, act="")
            if stride == 2:
                x = e.avg_pool(x, 2, 2, pad=0)
            x = e.add([y, e.pad(x, channels)])
    return finish(e, source, e.norm(x), classes)


def regnet(first: int, slope: float, growth: float, group: int, depth: int, gated: bool) -> Network:
    """RegNet (Radosavovic et al. 2020): widths on a line, rounded to powers of ``growth``."""
    powers = [round(math.log(1 + slope * j / first) / math.log(growth)) for j in range(depth)]
    widths = [8 * round(first * growth**power / 8) for power in powers]
    e = Builder()
    source = e.source(3, 224, 224)
    x = e.conv(source, 32, 3, 2)
    before = 0
    for width in widths:
        groups = max(1, round(width / min(group, width)))
        channels, stride = groups * min(group, width), 2 if width != before else 1
        y = e.conv(e.conv(x, channels, 1), channels, 3, stride, groups)
        if gated:
            y = e.gate(y, round(int(x.channels) / 4))
        y = e.conv(y, channels, 1, act="")
        if width != before:
            x = e.conv(x, channels, 1, stride, act="")
        x, before = e.add([y, x], act="relu"), width
    return finish(e, source, x, 1000)


# ----------------------------------------------------------------------------------- DenseNets


def densenet(
    units: Sequence[int], growth: int, *, stem: int, classes: int, side: int,
    bottleneck: bool = True, compress: bool = True,
) -> Network:  # fmt: skip
    """DenseNet (Huang et al. 2017); ``stem`` channels of the first convolution."""
    e = Builder()
    source = e.source(3, side, side)
    if side > 64:
        x = e.max_pool(e.conv(source, stem, 7, 2), 3, 2)
    else:
        x = e.conv(source, stem, 3, norm=False, act="")
    for stage, number in enumerate(units):
        if stage:
            channels = int(x.channels) // 2 if compress else int(x.channels)
            x = e.avg_pool(e.conv(e.norm(x), channels, 1, norm=False, act=""), 2, 2, pad=0)
        for _ in range(number):
            h = e.norm(x)
            if bottleneck:
                h = e.conv(h, 4 * growth, 1)
            x = e.concat([x, e.conv(h, growth, 3, norm=False, act="")])
    return finish(e, source, e.norm(x), classes)


# -------------------------------------------------------------------------------------- chains


def vgg(units: Sequence[int], *, side: int, classes: int, norm: bool) -> Network:
    """VGG (Simonyan and Zisserman 2014); at 32 x 32 with one hidden layer of 512."""
    e = Builder()
    source = x = e.source(3, side, side)
    for stage, number in enumerate(units):
        for _ in range(number):
            x = e.conv(x, min(512, 64 << stage), 3, norm=norm, bias=not norm)
        x = e.max_pool(x, 2, 2, pad=0)
    hidden = 4096 if side > 64 else 512
    for _ in range(2):
        x = e.linear(x, hidden, act="relu")
    return e.network(source, e.linear(x, classes))


def plain_cnn(width: int, layers: int) -> Network:
    """Three stages of ``layers`` 3x3 convolutions, max pooling between."""
    e = Builder()
    source = x = e.source(3, 32, 32)
    for stage in range(3):
        if stage:
            x = e.max_pool(x, 2, 2, pad=0)
        for _ in range(layers):
            x = e.conv(x, width << stage, 3, bias=True)
    return finish(e, source, x, 10)


def squeezenet(version: str, residual: bool) -> Network:
    """SqueezeNet (Iandola et al. 2016) 1.0 or 1.1, with bypasses where asked for."""
    e = Builder()
    source = e.source(3, 224, 224)
    old = version == "1.0"
    x = e.conv(source, 96 if old else 64, 7 if old else 3, 2, pad=0, norm=False, bias=True)
    pools = (0, 3, 7) if old else (0, 2, 4)
    for i, channels in enumerate((128, 128, 256, 256, 384, 384, 512, 512)):
        if i in pools:
            x = e.max_pool(x, 3, 2, pad=0)
        y = e.conv(x, channels // 8, 1, norm=False, bias=True)
        halves = [e.conv(y, channels // 2, k, norm=False, bias=True) for k in (1, 3)]
        y = e.concat(halves)
        x = e.add([y, x]) if residual and x.channels == channels else y
    x = e.global_pool(e.conv(x, 1000, 1, norm=False, bias=True))
    return e.network(source, x)


def mobilenet_v1(widths: Sequence[int], strides: Sequence[int], side: int, stem: int) -> Network:
    """MobileNet v1 (Howard et al. 2017): depthwise and pointwise pairs, by width and stride."""
    e = Builder()
    source = e.source(3, side, side)
    x = e.conv(source, stem, 3, 2)
    for width, stride in zip(widths, strides, strict=True):
        x = e.conv(e.conv(x, int(x.channels), 3, stride, int(x.channels)), width, 1)
    return finish(e, source, x, 1000)


# -------------------------------------------------------------------------- inverted residuals


def divisible(channels: float) -> int:
    """Rounded to a multiple of 8, never below 90 %."""
    return int(make_divisible(round(channels * 100)))


def inverted(
    e: Builder, x: Tensor, hidden: int, channels: int, kernel: int, stride: int, act: str,
    squeeze: int = 0, residual: bool | None = None,
) -> Tensor:  # fmt: skip
    """Expand, depthwise, gate, project; added to its input where the shapes agree."""
    y = e.conv(x, hidden, 1, act=act) if hidden != x.channels else x
    if not squeeze:
        y = e.conv(y, hidden, kernel, stride, hidden, act=act)
    else:
        y = e.conv(y, hidden, kernel, stride, hidden, act=act)
        y = e.gate(y, squeeze, "hard_sigmoid")
    y = e.conv(y, channels, 1, act="")
    same = stride == 1 and x.channels == channels if residual is None else residual
    return e.add([y, x]) if same else y


#: Expansion, channels, blocks, first stride of MobileNet v2's stages.
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
      (6, 320, 1, 1))  # fmt: skip


def mobilenet_v2(
    width: float, side: int, classes: int, *, strides: Sequence[int] = (), stem_stride: int = 2,
    divisor: int = 8, head: int = 0, round_stem: bool = True,
) -> Network:  # fmt: skip
    """MobileNet v2 (Sandler et al. 2018)."""

    def scaled(channels: int) -> int:
        return divisible(channels * width) if divisor > 1 else int(channels * width)

    e = Builder()
    source = e.source(3, side, side)
    x = e.conv(source, scaled(32) if round_stem else 32, 3, stem_stride)
    for stage, (expand, base, blocks, stride) in enumerate(V2):
        first = strides[stage] if strides else stride
        for i in range(blocks):
            hidden = expand * int(x.channels)
            x = inverted(e, x, hidden, scaled(base), 3, first if i == 0 else 1, "relu")
    x = e.conv(x, head or (scaled(1280) if width > 1 else 1280), 1)
    return finish(e, source, x, classes)


#: Kernel, hidden, channels, squeeze, hard swish, stride (Howard et al. 2019).
V3_LARGE = (
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2),
    (5, 120, 40, 1, 0, 1), (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1),
    (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1),
    (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1),
)  # fmt: skip
V3_SMALL = (
    (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2),
    (5, 240, 40, 1, 1, 1), (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1),
    (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1), (5, 576, 96, 1, 1, 1),
)  # fmt: skip


def mobilenet_v3(large: bool, width: float, minimal: bool) -> Network:
    """MobileNet v3; ``minimal``: without gates, hard swish and 5x5 kernels."""
    e = Builder()
    source = e.source(3, 224, 224)
    x = e.conv(source, 16, 3, 2, act="relu" if minimal else "hard_swish")
    for kernel, hidden, base, squeeze, swish, stride in V3_LARGE if large else V3_SMALL:
        inner, channels = (divisible(c * width) for c in (hidden, base))
        act = "hard_swish" if swish and not minimal else "relu"
        gate = divisible(inner / 4) if squeeze and not minimal else 0
        x = inverted(e, x, inner, channels, 3 if minimal else kernel, stride, act, gate)
    act = "relu" if minimal else "hard_swish"
    last, features = (960, 1280) if large else (576, 1024)
    x = e.conv(x, divisible(last * width), 1, act=act)
    x = e.linear(e.global_pool(x), features, act=act)
    return e.network(source, e.linear(x, 1000))


def ofa_mobilenet_v3(
    kernels: Sequence[int], expands: Sequence[int], depths: Sequence[int], side: int
) -> Network:
    """A sub-network of Once-for-all's MobileNet v3 (Cai et al. 2020), width 1.0."""
    e = Builder()
    source = e.source(3, side, side)
    x = inverted(e, e.conv(source, 16, 3, 2, act="hard_swish"), 16, 16, 3, 1, "relu")
    stages = ((24, 2, 0, 0), (40, 2, 0, 1), (80, 2, 1, 0), (112, 1, 1, 1), (160, 2, 1, 1))
    for stage, (channels, stride, swish, squeeze) in enumerate(stages):
        for i in range(depths[stage]):
            at = 4 * stage + i
            hidden = divisible(int(x.channels) * expands[at])
            gate = divisible(hidden / 4) if squeeze else 0
            act = "hard_swish" if swish else "relu"
            step = stride if i == 0 else 1
            x = inverted(e, x, hidden, channels, kernels[at], step, act, gate)
    x = e.conv(x, 960, 1, act="hard_swish")
    x = e.conv(e.global_pool(x), 1280, 1, norm=False, act="hard_swish")
    return e.network(source, e.linear(x, 1000))


# ------------------------------------------------------------------------------------ TransNAS


def transnas_macro(code: str, side: int = 256, classes: int = 0) -> Network:
    """The network of a TransNAS-Bench-101 macro code (Duan et al., CVPR 2021): digits 1 to 4.

    A digit is a module of two residual blocks: 2 and 4 double the channels, 3 and 4 halve the
    map, both in the first block. Classification backbone on 256 x 256 images, without its head
    unless classes are given.
    """
    e = GraphEmitter()
    source = e.source(3, side, side)
    x = e.conv(e.conv(source, 32, 3, 2), 64, 3, 2, act="")
    for digit in code:
        channels = int(x.channels) * (2 if digit in "24" else 1)
        x = _module(e, x, channels, 2 if digit in "34" else 1)
        x = _module(e, x, channels, 1)
    if classes:
        x = e.linear(e.global_pool(x), classes)
    return e.network(source, x)


def _module(e: Emitter, x: Tensor, channels: int, stride: int) -> Tensor:
    """Two times ReLU, 3x3 convolution, batch norm; shortcut pooled, projected or none."""
    y = e.conv(e.activation(x), channels, 3, stride, act="")
    y = e.conv(e.activation(y), channels, 3, act="")
    shortcut = x
    if stride == 2:
        shortcut = e.conv(e.avg_pool(x, 2, 2, pad=0), channels, 1, norm=False, act="")
    elif channels != x.channels:
        shortcut = e.conv(e.activation(x), channels, 1, act="")
    return e.add([y, shortcut])
