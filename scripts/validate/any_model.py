"""Which networks can be priced, and are they counted right: about 60 exported here, both ways.

    python scripts/validate/any_model.py [--timm] [--json FILE] [--only TEXT]

Each network is exported by ``torch.onnx`` with and without ``dynamo``, read, and priced on
``x86-avx512``. MACs are compared with half of what ``torch.utils.flop_counter`` counts, where it
counts all (it knows no recurrent layers); parameters with the floats in the file's initializers,
without running statistics. Weights are random numbers, so that exporters merge none of them.

timm imports torchvision, of which the exported networks need nothing: where it is not installed,
empty classes stand in for it.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.machinery
import json
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import onnx
import torch
from any_model_networks import NETWORKS, Case
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from flash.backends import read_onnx
from flash.errors import FlashError
from flash.evaluation import evaluate_network
from flash.spaces.network import Network
from flash.targets import load_target

#: Of timm, by kind.
TIMM = {
    "cnn": ("resnet18", "mobilenetv3_small_100", "efficientnet_b0", "regnety_002", "ghostnet_100",
            "densenet121", "mixnet_s", "repvgg_a0", "convnext_atto", "fastvit_t8", "dla34",
            "hrnet_w18_small", "dpn48b", "vgg11", "inception_v3", "xception41"),
    "transformer": ("vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
                    "mobilevit_xxs", "edgenext_xx_small", "efficientformerv2_s0", "levit_128s",
                    "poolformer_s12", "efficientvit_b0", "pit_ti_224", "mixer_s32_224"),
}  # fmt: skip
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules and classes for a package that is imported and not used."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        class Names(type):
            def __getattr__(cls, name: str) -> str:
                if name.startswith("__"):
                    raise AttributeError(name)
                return name

        class Empty(types.ModuleType):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return Names(name, (nn.Module,), {})

        module = Empty(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def _timm() -> Iterator[tuple[str, Callable[[], Case]]]:
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.append(_StandIn())
    import timm  # noqa: PLC0415 (after what stands in for torchvision)

    def made(name: str) -> Case:
        module: Any = timm.create_model(name)
        return module, (torch.randn(1, *module.default_cfg["input_size"]),)

    for kind, names in TIMM.items():
        for name in names:
            yield f"{kind}/timm-{name}", partial(made, name)


def _prepared(module: nn.Module) -> nn.Module:
    """Every weight another number: exporters store equal tensors once."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point() and tensor.numel():
                noise = torch.rand(tensor.shape, generator=generator) * 0.02
                tensor.add_(noise.to(tensor.dtype).abs() if "var" in name else noise - 0.01)
    return module.eval().requires_grad_(False)


def _macs(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int | None:
    """Half of torch's FLOPs; None where it has layers that the counter does not know."""
    if any(isinstance(m, nn.RNNBase) for m in module.modules()):
        return None
    # The counter knows no fused attention on a CPU: products and softmax apart.
    torch.backends.mha.set_fastpath_enabled(False)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        module(*inputs)
    return int(counter.get_total_flops()) // 2


def _initializers(path: Path) -> int:
    """Floats that a file stores as parameters: initializers and ``Constant`` nodes.

    Without running statistics, scales of resizing, initial states, single numbers that are only
    added or multiplied, and tensors of one value: parameters are random numbers (``_prepared``),
    so that these are what exporters write for an operator that wants them.
    """
    graph = onnx.load(path, load_external_data=False).graph
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    stored = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            stored[node.output[0]] = node.attribute[0].t
    left_out = {"BatchNormalization": (3, 4), "Resize": (1, 2), "LSTM": (5, 6), "GRU": (5,),
                "RNN": (5,), "Constant": ()}  # fmt: skip
    counted: set[str] = set()
    for node in graph.node:
        single = node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu", "Add")
        for k, name in enumerate(node.input):
            tensor = stored.get(name)
            if tensor is None or k in left_out.get(node.op_type, ()) or _one_value(tensor):
                continue
            if tensor.data_type in kinds and (prod(tensor.dims) > 1 or (single and tensor.dims)):
                counted.add(name)
    return sum(prod(stored[name].dims) for name in counted)


def _one_value(tensor: onnx.TensorProto) -> bool:
    """Whether all of several elements are equal; of weights outside the file, no."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or prod(tensor.dims) < 2:
        return False
    values = onnx.numpy_helper.to_array(tensor).ravel()
    return bool((values == values[0]).all())


def _export(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, dynamo: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, path, dynamo=dynamo, verbose=False)


def _check(name: str, how: str, path: Path, macs: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"network": name, "exporter": how, "macs_torch": macs}
    try:
        start = time.perf_counter()
        network: Network = read_onnx(path)
        found = evaluate_network(network, load_target("x86-avx512"))
        row["seconds"] = time.perf_counter() - start
    except FlashError as error:
        return row | {"refused": str(error).removeprefix(f"{path}: ")}
    row |= {
        "macs": network.macs, "params": network.params, "initializers": _initializers(path),
        "latency_ms": float(found.latency_ms[0][0]), "notes": list(network.notes),
        "latency_high_ms": float(found.latency_ms[2][0]),
    }  # fmt: skip
    return row


def main() -> None:
    """Export, read, compare, print a line each and the totals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timm", action="store_true", help="networks of timm as well")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument("--json", metavar="FILE", help="write the rows to FILE")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cases = [*NETWORKS.items(), *(_timm() if options.timm else ())]
    rows = []
    for name, make in cases:
        if options.only not in name:
            continue
        module, inputs = make()
        module = _prepared(module)
        macs = _macs(module, inputs)
        for how in ("script", "dynamo"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.onnx"
                try:
                    _export(module, inputs, path, how == "dynamo")
                except Exception as error:  # torch's exporters raise whatever they like
                    row = {"network": name, "exporter": how, "not_exported": str(error)[:80]}
                else:
                    row = _check(name, how, path, macs)
            rows.append(row)
            sys.stdout.write(_line(row) + "\n")
            sys.stdout.flush()
        del module
        gc.collect()
    sys.stdout.write(_summary(rows))
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    head = f"{row['network']:42} {row['exporter']:7}"
    if "not_exported" in row:
        return f"{head} not exported: {' '.join(row['not_exported'].split())}"
    if "refused" in row:
        return f"{head} REFUSED {row['refused']}"
    macs = row["macs_torch"]
    same = "not counted by torch" if macs is None else f"{row['macs'] - macs:+d} of torch's"
    return (
        f"{head} {row['latency_ms']:9.3f} ms  MACs {row['macs']:>12} ({same})  params "
        f"{row['params']:>9} ({row['params'] - row['initializers']:+d} of initializers)"
    )


def _summary(rows: list[dict[str, Any]]) -> str:
    exported = [row for row in rows if "not_exported" not in row]
    priced = [row for row in exported if "refused" not in row]
    counted = [row for row in priced if row["macs_torch"] is not None]
    equal = sum(row["macs"] == row["macs_torch"] for row in counted)
    params = sum(row["params"] == row["initializers"] for row in priced)
    return (
        f"{len(rows)} files, {len(rows) - len(exported)} not exported by torch; priced "
        f"{len(priced)} of {len(exported)}; MACs equal to torch's {equal} of {len(counted)}; "
        f"params equal to initializers {params} of {len(priced)}\n"
    )


if __name__ == "__main__":
    main()
