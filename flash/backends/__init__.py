"""What runs networks or stores them for others to run: the only folder with heavy imports.

Each function is imported when it is first asked for; where the library behind it is missing,
the error names the extra that brings it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.backends.onnx.blocks import block_network
    from flash.backends.onnx.detection import IOU_THRESHOLD, SCORE_THRESHOLD, detection_model
    from flash.backends.onnx.head import (
        described_model,
        output_count,
        renamed_ends,
        static_input,
        with_outputs,
    )
    from flash.backends.onnx.int8 import quantize_onnx
    from flash.backends.onnx.optimised import optimised_network
    from flash.backends.onnx.passes.kernels import plain_name
    from flash.backends.onnx.reader import network_of, read_onnx
    from flash.backends.onnx.session import run_onnx, run_onnx_many, time_onnx, verify_onnx
    from flash.backends.onnx.suite_model import (
        WEIGHTS_FILE,
        Region,
        batch_shapes,
        outside_files,
        suite_models,
        tensor_names,
    )
    from flash.backends.onnx.variants.model import (
        Open,
        Variants,
        reopened,
        variant_of,
        variants_model,
        variants_of,
        variants_of_file,
    )
    from flash.backends.onnx.writer import OPSET, network_model
    from flash.backends.torch.export import module_model
    from flash.backends.torch.graph import (
        TorchGraph,
        graph_weights,
        match_statistics,
        run_graph,
        torch_graph,
        with_weights,
    )
    from flash.backends.torch.module import load_weights, module_weights, torch_network
    from flash.backends.torch.state import read_state, run_torch, state_file, torch_version
    from flash.backends.torch.taylor import taylor_importance
    from flash.backends.tvm.build import run_tvm, time_tvm, tvm_library, tvm_version
    from flash.backends.tvm.rpc import Tracker, measure_tvm_rpc
    from flash.backends.tvm.tuning import Tuning, tuned_library
    from flash.backends.weights import random_weights

__all__ = [
    "IOU_THRESHOLD",
    "OPSET",
    "SCORE_THRESHOLD",
    "WEIGHTS_FILE",
    "Region",
    "TorchGraph",
    "Tracker",
    "Tuning",
    "Variants",
    "batch_shapes",
    "block_network",
    "described_model",
    "detection_model",
    "graph_weights",
    "load_weights",
    "match_statistics",
    "measure_tvm_rpc",
    "module_model",
    "module_weights",
    "network_model",
    "network_of",
    "optimised_network",
    "output_count",
    "outside_files",
    "plain_name",
    "quantize_onnx",
    "random_weights",
    "read_onnx",
    "read_state",
    "renamed_ends",
    "run_graph",
    "run_onnx",
    "run_onnx_many",
    "run_torch",
    "run_tvm",
    "state_file",
    "static_input",
    "suite_models",
    "taylor_importance",
    "tensor_names",
    "time_onnx",
    "time_tvm",
    "torch_graph",
    "torch_network",
    "torch_version",
    "tuned_library",
    "tvm_library",
    "tvm_version",
    "variants_model",
    "variants_of",
    "variants_of_file",
    "verify_onnx",
    "with_outputs",
    "with_weights",
    "Open",
    "reopened",
    "variant_of",
]

#: Public name -> (module, extra that brings the libraries the module imports).
_HOMES = {
    "IOU_THRESHOLD": ("onnx.detection", "onnx"),
    "OPSET": ("onnx.writer", "onnx"),
    "SCORE_THRESHOLD": ("onnx.detection", "onnx"),
    "WEIGHTS_FILE": ("onnx.suite_model", "onnx"),
    "Region": ("onnx.suite_model", "onnx"),
    "TorchGraph": ("torch.graph", "torch"),
    "Tracker": ("tvm.rpc", "tvm"),
    "Tuning": ("tvm.tuning", "tvm"),
    "Open": ("onnx.variants.model", "onnx"),
    "Variants": ("onnx.variants.model", "onnx"),
    "taylor_importance": ("torch.taylor", "torch"),
    "reopened": ("onnx.variants.model", "onnx"),
    "variant_of": ("onnx.variants.model", "onnx"),
    "batch_shapes": ("onnx.suite_model", "onnx"),
    "block_network": ("onnx.blocks", "onnx"),
    "described_model": ("onnx.head", "onnx"),
    "detection_model": ("onnx.detection", "onnx"),
    "graph_weights": ("torch.graph", "torch"),
    "load_weights": ("torch.module", "torch"),
    "match_statistics": ("torch.graph", "torch"),
    "measure_tvm_rpc": ("tvm.rpc", "tvm"),
    "module_model": ("torch.export", "torch"),
    "module_weights": ("torch.module", "torch"),
    "network_model": ("onnx.writer", "onnx"),
    "network_of": ("onnx.reader", "onnx"),
    "output_count": ("onnx.head", "onnx"),
    "optimised_network": ("onnx.optimised", "onnx"),
    "outside_files": ("onnx.suite_model", "onnx"),
    "plain_name": ("onnx.passes.kernels", "onnx"),
    "quantize_onnx": ("onnx.int8", "onnx"),
    "random_weights": ("weights", ""),
    "read_onnx": ("onnx.reader", "onnx"),
    "read_state": ("torch.state", "torch"),
    "renamed_ends": ("onnx.head", "onnx"),
    "run_graph": ("torch.graph", "torch"),
    "run_onnx": ("onnx.session", "onnx"),
    "run_onnx_many": ("onnx.session", "onnx"),
    "run_torch": ("torch.state", "torch"),
    "run_tvm": ("tvm.build", "tvm"),
    "state_file": ("torch.state", "torch"),
    "static_input": ("onnx.head", "onnx"),
    "suite_models": ("onnx.suite_model", "onnx"),
    "tensor_names": ("onnx.suite_model", "onnx"),
    "time_onnx": ("onnx.session", "onnx"),
    "time_tvm": ("tvm.build", "tvm"),
    "torch_graph": ("torch.graph", "torch"),
    "torch_network": ("torch.module", "torch"),
    "torch_version": ("torch.state", "torch"),
    "tuned_library": ("tvm.tuning", "tvm"),
    "tvm_library": ("tvm.build", "tvm"),
    "tvm_version": ("tvm.build", "tvm"),
    "variants_model": ("onnx.variants.model", "onnx"),
    "variants_of": ("onnx.variants.model", "onnx"),
    "variants_of_file": ("onnx.variants.model", "onnx"),
    "verify_onnx": ("onnx.session", "onnx"),
    "with_outputs": ("onnx.head", "onnx"),
    "with_weights": ("torch.graph", "torch"),
}


__getattr__ = lazily(__name__, _HOMES)
