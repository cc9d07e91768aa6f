"""Designs in the forms that deployments take: what ``flash.export`` writes, a module a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flash.errors import UsageError, did_you_mean
from flash.export.calibration import Images, load_images, noise_images
from flash.export.int8 import int8_build
from flash.export.onnx_file import onnx_build
from flash.export.order import Build, Order
from flash.export.torch_file import torch_build
from flash.export.trained import read_weights
from flash.export.tvm_library import tvm_build

__all__ = [
    "FORMATS",
    "Build",
    "Images",
    "Order",
    "find_formats",
    "load_images",
    "noise_images",
    "read_weights",
]

#: Format, as users name it -> what makes it.
FORMATS: Mapping[str, Callable[[Order], Build]] = {
    "onnx": onnx_build,
    "onnx-int8": int8_build,
    "torch": torch_build,
    "tvm": tvm_build,
}


def find_formats(given: str | Sequence[str]) -> list[str]:
    """Format names, from ``A,B`` or a list; raises ``UsageError`` for one that is unknown."""
    words = given.split(",") if isinstance(given, str) else given
    for word in words:
        if word not in FORMATS:
            raise UsageError(f"unknown format '{word}'{did_you_mean(word, FORMATS)}")
    if not words:
        raise UsageError("name at least one format")
    return list(dict.fromkeys(words))
