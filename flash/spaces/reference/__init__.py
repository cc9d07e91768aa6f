"""Published networks, each written once: what hardware profiles are fitted and checked on.

Left out: networks that need an operation flash's vocabulary lacks (squeeze-excite's product
in MobileNet v3 and EfficientNet, ShuffleNet's channel shuffle).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from flash.errors import UsageError, did_you_mean
from flash.spaces.emitter import Emitter
from flash.spaces.layers import Tensor
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.reference import classic, detectors, mobile

__all__ = ["is_reference", "reference_names", "reference_network"]

Emit = Callable[[Emitter], tuple[Tensor, Tensor]]

_FIXED: dict[str, Emit] = {
    "alexnet": partial(classic.alexnet, grouped=False),
    "alexnet_caffe": partial(classic.alexnet, grouped=True),
    "densenet121": classic.densenet121,
    **{f"efficientnet_lite{n}": partial(mobile.efficientnet_lite, size=n) for n in range(5)},
    "googlenet": partial(classic.googlenet, torchvision=False),
    "googlenet_torchvision": partial(classic.googlenet, torchvision=True),
    "inception_v3": partial(classic.inception_v3, side=299),
    "mnasnet": mobile.mnasnet,
    "mobilenet_v3_large_minimalistic": partial(mobile.mobilenet_v3_minimalistic, large=True),
    "mobilenet_v3_small_minimalistic": partial(mobile.mobilenet_v3_minimalistic, large=False),
    "proxylessnas_mobile": partial(mobile.proxylessnas_mobile, first=16),
    "proxylessnas_mobile_ncnn": partial(mobile.proxylessnas_mobile, first=32),
    "resnet18": partial(classic.resnet, depths=(2, 2, 2, 2), bottleneck=False),
    "resnet50": partial(classic.resnet, depths=(3, 4, 6, 3), bottleneck=True),
    "squeezenet_1.0": partial(classic.squeezenet, version="1.0", side=224),
    "squeezenet_1.1": partial(classic.squeezenet, version="1.1", side=224),
    "squeezenet_1.1_227": partial(classic.squeezenet, version="1.1", side=227),
    "vgg16": partial(classic.vgg, depths=(2, 2, 3, 3, 3)),
    "vgg19": partial(classic.vgg, depths=(2, 2, 4, 4, 4)),
}
_SCALED = {"mobilenet_v1": mobile.mobilenet_v1, "mobilenet_v2": mobile.mobilenet_v2}
_SCALED_NAME = re.compile(r"(mobilenet_v[12])(?:_(\d+(?:\.\d{1,2})?)_(\d+))?")


def reference_names() -> tuple[str, ...]:
    """Names ``reference_network`` knows.

    ``mobilenet_v1`` and ``mobilenet_v2`` also take a width and a resolution, as in
    ``mobilenet_v2_0.75_160``; alone they mean 1.0 and 224. Detectors are not listed: they are
    called as ``flash.spaces.reference.detectors`` says, ``yolo8n_320``.
    """
    return tuple(sorted((*_FIXED, *_SCALED)))


def is_reference(name: str) -> bool:
    """Whether a text has the form of a name that ``reference_network`` knows."""
    return name in _FIXED or bool(_SCALED_NAME.fullmatch(name)) or name.startswith("yolo")


def reference_network(name: str) -> Network:
    """The published network ``name`` for 1000 classes; a detector for COCO's 80.

    Raises ``UsageError`` for a name that is none of ``reference_names()``.

    >>> reference_network("resnet18").params
    11689512
    """
    if name.startswith("yolo"):
        return detectors.detector_network(name)
    emit = _FIXED.get(name) or _scaled(name)
    if emit is None:
        raise UsageError(
            f"unknown reference network '{name}'{did_you_mean(name, reference_names())}"
        )
    emitter = GraphEmitter()
    return emitter.network(*emit(emitter))


def _scaled(name: str) -> Emit | None:
    match = _SCALED_NAME.fullmatch(name)
    if match is None:
        return None
    family, width, side = match.groups(default="")
    percent, pixels = round(100 * float(width or 1)), int(side or 224)
    if not (5 <= percent <= 1000 and 32 <= pixels <= 4096):
        raise UsageError(f"'{name}': width must be 0.05 to 10 and resolution 32 to 4096")
    return partial(_SCALED[family], percent=percent, side=pixels)
