"""Designs in the forms that deployments take: what ``flash.export`` writes, a module a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flash.delivery.calibration import Images, load_images, noise_images
from flash.delivery.int8 import int8_build
from flash.delivery.onnx_file import onnx_build
from flash.delivery.order import Build, Order
from flash.delivery.torch_file import load_torch, torch_build
from flash.delivery.trained import read_weights
from flash.delivery.tvm_library import tvm_build

__all__ = [
    "FORMATS",
    "Build",
    "Images",
    "Order",
    "load_images",
    "load_torch",
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
