"""Networks of depthwise-separable convolutions: MobileNets, MnasNet, EfficientNet-lite ..."""

from __future__ import annotations

import math

from flash.spaces.emitter import Emitter
from flash.spaces.families.mobilenet import MobileNetV2Family, make_divisible
from flash.spaces.family import InputShape
from flash.spaces.layers import Tensor

__all__ = [
    "efficientnet_lite", "mnasnet", "mobilenet_v1", "mobilenet_v2",
    "mobilenet_v3_minimalistic", "proxylessnas_mobile",
]  # fmt: skip

_CLASSES = 1000


def mobilenet_v1(e: Emitter, percent: int, side: int) -> tuple[Tensor, Tensor]:
    """MobileNet v1 (Howard et al. 2017), width ``percent`` of the published one."""
    source = e.source(3, side, side)
    x = e.conv(source, 32 * percent // 100, 3, 2, act="relu6")
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for channels, stride in (*blocks, (1024, 2), (1024, 1)):
        x = e.conv(x, x.channels, 3, stride, groups=x.channels, act="relu6")
        x = e.conv(x, channels * percent // 100, 1, act="relu6")
    return source, e.linear(e.global_pool(x), _CLASSES)


#: Channels, expansion, blocks and first stride of the stages (its table 2).
_V2 = (
    (16, 1, 1, 1), (24, 6, 2, 2), (32, 6, 3, 2), (64, 6, 4, 2),
    (96, 6, 3, 1), (160, 6, 3, 2), (320, 6, 1, 1),
)  # fmt: skip


def mobilenet_v2(e: Emitter, percent: int, side: int) -> tuple[Tensor, Tensor]:
    """MobileNet v2 (Sandler et al. 2018): the head keeps 1280 channels below 100 per cent."""
    settings = {
        "stem": make_divisible(32 * percent),
        "channels": [c for c, _, _, _ in _V2],
        "strides": [s for _, _, _, s in _V2],
        "head": make_divisible(1280 * max(percent, 100)),
    }
    values: dict[str, int] = {}
    for s, (_, expand, depth, _) in enumerate(_V2, start=1):
        values |= {
            f"width{s}": percent, f"expand{s}": expand, f"kernel{s}": 3,
            f"depth{s}": depth, f"skip{s}": 1,
        }  # fmt: skip
    return MobileNetV2Family(InputShape(3, side, side), _CLASSES, settings).emit(e, values)


#: Hidden channels, output channels, stride of MobileNet v3's blocks (its tables 1 and 2).
_V3_LARGE = (
    (16, 16, 1), (64, 24, 2), (72, 24, 1), (72, 40, 2), (120, 40, 1), (120, 40, 1),
    (240, 80, 2), (200, 80, 1), (184, 80, 1), (184, 80, 1), (480, 112, 1), (672, 112, 1),
    (672, 160, 2), (960, 160, 1), (960, 160, 1),
)  # fmt: skip
_V3_SMALL = (
    (16, 16, 2), (72, 24, 2), (88, 24, 1), (96, 40, 2), (240, 40, 1), (240, 40, 1),
    (120, 48, 1), (144, 48, 1), (288, 96, 2), (576, 96, 1), (576, 96, 1),
)  # fmt: skip


def mobilenet_v3_minimalistic(e: Emitter, large: bool) -> tuple[Tensor, Tensor]:
    """MobileNet v3 without squeeze-excite, hard swish and 5x5 kernels (TF-slim's variant)."""
    source = e.source(3, 224, 224)
    x = e.conv(source, 16, 3, 2)
    for hidden, channels, stride in _V3_LARGE if large else _V3_SMALL:
        x = _block(e, x, hidden, 3, stride, channels, act="relu")
    last, features = (960, 1280) if large else (576, 1024)
    x = e.linear(e.global_pool(e.conv(x, last, 1)), features, act="relu")
    return source, e.linear(x, _CLASSES)


#: Expansion, kernel, first stride, channels, blocks of MnasNet-B1's stages after the first.
_MNASNET = (
    (3, 3, 2, 24, 3), (3, 5, 2, 40, 3), (6, 5, 2, 80, 3),
    (6, 3, 1, 96, 2), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip


def mnasnet(e: Emitter) -> tuple[Tensor, Tensor]:
    """MnasNet-B1 1.0 (Tan et al. 2018, no squeeze-excite); ncnn's benchmark runs this one."""
    source = e.source(3, 224, 224)
    x = _block(e, e.conv(source, 32, 3, 2), 32, 3, 1, 16, act="relu")
    for expand, kernel, stride, channels, depth in _MNASNET:
        for i in range(depth):
            hidden = expand * int(x.channels)
            x = _block(e, x, hidden, kernel, stride if i == 0 else 1, channels, act="relu")
    return source, e.linear(e.global_pool(e.conv(x, 1280, 1)), _CLASSES)


#: Hidden channels, kernel, stride, channels of ProxylessNAS-mobile's blocks after the first.
_PROXYLESS = (
    (48, 5, 2, 32), (96, 3, 1, 32),
    (96, 7, 2, 40), (120, 3, 1, 40), (120, 5, 1, 40), (120, 5, 1, 40),
    (240, 7, 2, 80), (240, 5, 1, 80), (240, 5, 1, 80), (240, 5, 1, 80),
    (480, 5, 1, 96), (288, 5, 1, 96), (288, 5, 1, 96), (288, 5, 1, 96),
    (576, 7, 2, 192), (1152, 7, 1, 192), (576, 7, 1, 192), (576, 7, 1, 192),
    (1152, 7, 1, 320),
)  # fmt: skip


def proxylessnas_mobile(e: Emitter, first: int) -> tuple[Tensor, Tensor]:
    """ProxylessNAS-mobile (Cai et al. 2019).

    first: channels of the first block; 16 as published, 32 in the file ncnn benchmarks.
    """
    source = e.source(3, 224, 224)
    x = _block(e, e.conv(source, 32, 3, 2, act="relu6"), 32, 3, 1, first)
    for hidden, kernel, stride, channels in _PROXYLESS:
        x = _block(e, x, hidden, kernel, stride, channels)
    return source, e.linear(e.global_pool(e.conv(x, 1280, 1, act="relu6")), _CLASSES)


#: Expansion, kernel, first stride, channels, blocks of EfficientNet-B0's stages.
_EFFICIENTNET = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip
#: Width and depth in tenths and resolution of EfficientNet-lite0 ... lite4.
_LITE = ((10, 10, 224), (10, 11, 240), (11, 12, 260), (12, 14, 280), (14, 18, 300))


def efficientnet_lite(e: Emitter, size: int) -> tuple[Tensor, Tensor]:
    """EfficientNet-lite0 ... 4 (Google, 2020): no squeeze-excite; stem, head and the number of
    blocks of the first and the last stage are those of lite0."""
    width, depth, side = _LITE[size]
    source = e.source(3, side, side)
    x = e.conv(source, 32, 3, 2, act="relu6")
    for stage, (expand, kernel, stride, base, blocks) in enumerate(_EFFICIENTNET):
        fixed = stage in (0, len(_EFFICIENTNET) - 1)
        channels = make_divisible(base * width * 10)
        for i in range(blocks if fixed else math.ceil(blocks * depth / 10)):
            hidden = expand * int(x.channels)
            x = _block(e, x, hidden, kernel, stride if i == 0 else 1, int(channels))
    return source, e.linear(e.global_pool(e.conv(x, 1280, 1, act="relu6")), _CLASSES)


def _block(
    e: Emitter,
    x: Tensor,
    hidden: int,
    kernel: int,
    stride: int,
    channels: int,
    act: str = "relu6",
) -> Tensor:
    """Inverted residual: expand (unless it would not), depthwise, project, add if shapes match."""
    y = e.conv(x, hidden, 1, act=act) if hidden != x.channels else x
    y = e.conv(y, hidden, kernel, stride, groups=hidden, act=act)
    y = e.conv(y, channels, 1, act="")
    return e.add([y, x]) if stride == 1 and x.channels == channels else y
