"""Networks of dense convolutions: AlexNet, VGG, GoogLeNet, Inception, ResNet, DenseNet ..."""

from __future__ import annotations

from flash.spaces.emitter import Emitter
from flash.spaces.layers import Tensor

__all__ = [
    "alexnet", "densenet121", "googlenet", "inception_v3", "resnet", "squeezenet", "vgg",
]  # fmt: skip

_CLASSES = 1000


def halve(e: Emitter, x: Tensor) -> Tensor:
    """3x3 max pooling, stride 2, output rounded up as Caffe and torch's ``ceil_mode`` do.

    For an even side, padding by one gives the same shape as rounding up.
    """
    return e.max_pool(x, 3, 2, pad=1 if x.height % 2 == 0 else 0)


def alexnet(e: Emitter, grouped: bool) -> tuple[Tensor, Tensor]:
    """AlexNet: ``grouped`` as in Caffe (227, two groups), else torchvision's (224, one tower)."""
    side, pad, groups = (227, 0, 2) if grouped else (224, 2, 1)
    widths = (96, 256, 384, 384, 256) if grouped else (64, 192, 384, 256, 256)
    source = e.source(3, side, side)
    x = e.max_pool(_plain(e, source, widths[0], 11, stride=4, pad=pad), 3, 2, pad=0)
    x = e.max_pool(_plain(e, x, widths[1], 5, groups=groups), 3, 2, pad=0)
    x = _plain(e, x, widths[2], 3)
    x = _plain(e, x, widths[3], 3, groups=groups)
    x = e.max_pool(_plain(e, x, widths[4], 3, groups=groups), 3, 2, pad=0)
    x = e.linear(e.linear(x, 4096, act="relu"), 4096, act="relu")
    return source, e.linear(x, _CLASSES)


def vgg(e: Emitter, depths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """VGG (Simonyan & Zisserman 2014): ``depths`` 3x3 convolutions before each pooling."""
    source = x = e.source(3, 224, 224)
    for depth, channels in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            x = _plain(e, x, channels, 3)
        x = e.max_pool(x, 2, 2, pad=0)
    x = e.linear(e.linear(x, 4096, act="relu"), 4096, act="relu")
    return source, e.linear(x, _CLASSES)


def resnet(e: Emitter, depths: tuple[int, ...], bottleneck: bool) -> tuple[Tensor, Tensor]:
    """ResNet v1 (He et al. 2015), stride in the 3x3 convolution as in torchvision."""
    source = e.source(3, 224, 224)
    x = e.max_pool(e.conv(source, 64, 7, 2), 3, 2)
    for stage, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512), strict=True)):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            out = 4 * width if bottleneck else width
            shortcut = x
            if stride == 2 or x.channels != out:
                shortcut = e.conv(x, out, 1, stride, act="")
            if bottleneck:
                y = e.conv(e.conv(x, width, 1), width, 3, stride)
                y = e.conv(y, out, 1, act="")
            else:
                y = e.conv(e.conv(x, width, 3, stride), out, 3, act="")
            x = e.add([y, shortcut], act="relu")
    return source, e.linear(e.global_pool(x), _CLASSES)


def densenet121(e: Emitter) -> tuple[Tensor, Tensor]:
    """DenseNet-121 (Huang et al. 2016); each layer appends 32 channels to what came before."""
    source = e.source(3, 224, 224)
    x = e.max_pool(e.conv(source, 64, 7, 2), 3, 2)
    for number, depth in enumerate((6, 12, 24, 16)):
        if number:
            x = e.conv(e.norm(x), x.channels // 2, 1, norm=False, act="")
            x = e.avg_pool(x, 2, 2, pad=0)
        for _ in range(depth):
            y = e.conv(e.norm(x), 128, 1)
            x = e.concat([x, e.conv(y, 32, 3, norm=False, act="")])
    return source, e.linear(e.global_pool(e.norm(x)), _CLASSES)


def squeezenet(e: Emitter, version: str, side: int) -> tuple[Tensor, Tensor]:
    """SqueezeNet (Iandola et al. 2016) versions 1.0 and 1.1."""
    source = e.source(3, side, side)
    if version == "1.0":
        x = halve(e, _plain(e, source, 96, 7, stride=2, pad=0))
        pools = (3, 7)
    else:
        x = halve(e, _plain(e, source, 64, 3, stride=2, pad=0))
        pools = (1, 3)
    for fire, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if version == "1.1" and fire - 1 in pools or version == "1.0" and fire in pools:
            x = halve(e, x)
        s = _plain(e, x, squeeze, 1)
        x = e.concat([_plain(e, s, 4 * squeeze, 1), _plain(e, s, 4 * squeeze, 3)])
    return source, e.global_pool(_plain(e, x, _CLASSES, 1))


#: GoogLeNet's modules: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection (its table 1).
_GOOGLENET = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def googlenet(e: Emitter, torchvision: bool) -> tuple[Tensor, Tensor]:
    """GoogLeNet without its side heads.

    As published and in Caffe (5x5 branch, biases, no batch norm), or torchvision's (batch
    norm, a 3x3 in place of the 5x5).
    """
    norm, large = torchvision, 3 if torchvision else 5

    def conv(x: Tensor, channels: int, kernel: int, stride: int = 1) -> Tensor:
        return e.conv(x, channels, kernel, stride, norm=norm, bias=not norm)

    source = e.source(3, 224, 224)
    x = halve(e, conv(source, 64, 7, 2))
    x = halve(e, conv(conv(x, 64, 1), 192, 3))
    for number, (one, reduce3, three, reduce5, five, pool) in enumerate(_GOOGLENET):
        if number in (2, 7):
            x = halve(e, x)
        x = e.concat([
            conv(x, one, 1),
            conv(conv(x, reduce3, 1), three, 3),
            conv(conv(x, reduce5, 1), five, large),
            conv(e.max_pool(x, 3, 1), pool, 1),
        ])  # fmt: skip
    return source, e.linear(e.global_pool(x), _CLASSES)


def inception_v3(e: Emitter, side: int) -> tuple[Tensor, Tensor]:
    """Inception v3 (Szegedy et al. 2015) without its side head, laid out as in torchvision."""
    source = e.source(3, side, side)
    x = e.conv(e.conv(source, 32, 3, 2, pad=0), 32, 3, pad=0)
    x = e.max_pool(e.conv(x, 64, 3), 3, 2, pad=0)
    x = e.max_pool(e.conv(e.conv(x, 80, 1), 192, 3, pad=0), 3, 2, pad=0)
    for pool in (32, 64, 64):
        x = e.concat([
            e.conv(x, 64, 1),
            _chain(e, x, (48, 1), (64, 5)),
            _chain(e, x, (64, 1), (96, 3), (96, 3)),
            e.conv(e.avg_pool(x, 3, 1), pool, 1),
        ])  # fmt: skip
    x = e.concat([
        e.conv(x, 384, 3, 2, pad=0),
        e.conv(_chain(e, x, (64, 1), (96, 3)), 96, 3, 2, pad=0),
        e.max_pool(x, 3, 2, pad=0),
    ])  # fmt: skip
    for c in (128, 160, 160, 192):
        x = e.concat([
            e.conv(x, 192, 1),
            _chain(e, x, (c, 1), (c, (1, 7)), (192, (7, 1))),
            _chain(e, x, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
            e.conv(e.avg_pool(x, 3, 1), 192, 1),
        ])  # fmt: skip
    x = e.concat([
        e.conv(e.conv(x, 192, 1), 320, 3, 2, pad=0),
        e.conv(_chain(e, x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192, 3, 2, pad=0),
        e.max_pool(x, 3, 2, pad=0),
    ])  # fmt: skip
    for _ in range(2):
        a = e.conv(x, 384, 1)
        b = _chain(e, x, (448, 1), (384, 3))
        split = [e.conv(y, 384, k) for y in (a, b) for k in ((1, 3), (3, 1))]
        x = e.concat([e.conv(x, 320, 1), *split, e.conv(e.avg_pool(x, 3, 1), 192, 1)])
    return source, e.linear(e.global_pool(x), _CLASSES)


def _chain(e: Emitter, x: Tensor, *convs: tuple[int, int | tuple[int, int]]) -> Tensor:
    for channels, kernel in convs:
        x = e.conv(x, channels, kernel)
    return x


def _plain(
    e: Emitter,
    x: Tensor,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int | None = None,
    groups: int = 1,
) -> Tensor:
    """Convolution with bias and ReLU, without batch norm, as before 2015."""
    return e.conv(x, channels, kernel, stride, groups, pad=pad, norm=False, bias=True)
