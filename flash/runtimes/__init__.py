"""What runs networks or stores them for others to run: the only folder with heavy imports.

Each function is imported when it is first asked for; where the library behind it is missing,
the error names the extra that brings it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flash.errors import UsageError
from flash.interrupts import quiet_imports

if TYPE_CHECKING:
    from flash.runtimes.onnx_int8 import quantize_onnx
    from flash.runtimes.onnx_quantized import holds_quantized
    from flash.runtimes.onnx_reader import network_of, read_onnx
    from flash.runtimes.onnx_session import run_onnx, time_onnx, verify_onnx
    from flash.runtimes.onnx_writer import OPSET, network_model
    from flash.runtimes.suite_model import (
        WEIGHTS_FILE,
        Region,
        keeps_weights_outside,
        suite_models,
    )
    from flash.runtimes.torch_module import load_weights, module_weights, torch_network
    from flash.runtimes.tvm_build import run_tvm, time_tvm, tvm_library, tvm_version
    from flash.runtimes.tvm_rpc import Tracker, measure_tvm_rpc
    from flash.runtimes.tvm_tuning import Tuning, tuned_library
    from flash.runtimes.weights import random_weights

__all__ = [
    "OPSET",
    "WEIGHTS_FILE",
    "Region",
    "Tracker",
    "Tuning",
    "holds_quantized",
    "keeps_weights_outside",
    "load_weights",
    "measure_tvm_rpc",
    "module_weights",
    "network_model",
    "network_of",
    "quantize_onnx",
    "random_weights",
    "read_onnx",
    "run_onnx",
    "run_tvm",
    "suite_models",
    "time_onnx",
    "time_tvm",
    "torch_network",
    "tuned_library",
    "tvm_library",
    "tvm_version",
    "verify_onnx",
]

#: Public name -> (module, extra that brings the libraries the module imports).
_HOMES = {
    "OPSET": ("onnx_writer", "onnx"),
    "WEIGHTS_FILE": ("suite_model", "onnx"),
    "Region": ("suite_model", "onnx"),
    "Tracker": ("tvm_rpc", "tvm"),
    "Tuning": ("tvm_tuning", "tvm"),
    "holds_quantized": ("onnx_quantized", "onnx"),
    "keeps_weights_outside": ("suite_model", "onnx"),
    "load_weights": ("torch_module", "torch"),
    "measure_tvm_rpc": ("tvm_rpc", "tvm"),
    "module_weights": ("torch_module", "torch"),
    "network_model": ("onnx_writer", "onnx"),
    "network_of": ("onnx_reader", "onnx"),
    "quantize_onnx": ("onnx_int8", "onnx"),
    "random_weights": ("weights", ""),
    "read_onnx": ("onnx_reader", "onnx"),
    "run_onnx": ("onnx_session", "onnx"),
    "run_tvm": ("tvm_build", "tvm"),
    "suite_models": ("suite_model", "onnx"),
    "time_onnx": ("onnx_session", "onnx"),
    "time_tvm": ("tvm_build", "tvm"),
    "torch_network": ("torch_module", "torch"),
    "tuned_library": ("tvm_tuning", "tvm"),
    "tvm_library": ("tvm_build", "tvm"),
    "tvm_version": ("tvm_build", "tvm"),
    "verify_onnx": ("onnx_session", "onnx"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flash.runtimes' has no attribute '{name}'")
    module, extra = _HOMES[name]
    try:
        with quiet_imports():
            home = importlib.import_module(f"flash.runtimes.{module}")
    except ImportError as error:
        if not extra or (error.name or "").startswith("flash"):
            raise
        raise UsageError(
            f"this needs the package {error.name or extra}: pip install 'flash-codesign[{extra}]'"
        ) from None
    return getattr(home, name)
