"""Ten networks as users bring them, shrunk: is every variant what its space says?

    python scripts/validate/shrink.py [--target T] [--members 50] [--only TEXT] [--json FILE]

Seven networks of timm and three that are written in ``tests/user_networks.py``. For each: the
largest member beside the model (MACs, parameters, outputs); random members, read back from their
files (MACs, parameters), run in onnxruntime and in PyTorch; the time of the certified front and of
the best design under a limit; the pick at half the predicted latency, measured on this machine in
turns of a second with the model (least processor time of one thread), beside the interval of
``--target``: a profile of this machine, measured the same way (``flash profile --processor-time``,
then ``flash fit``). With the profile of another machine the ratio of pick to model is what can be
judged.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tests")]

from flash.backends import (  # noqa: E402
    Open,
    module_model,
    network_of,
    run_graph,
    run_onnx,
    time_onnx,
    torch_graph,
    variants_of_file,
)
from flash.search import search  # noqa: E402
from flash.shrink import shrink  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402
from flash.targets.processor.profile import load_profile  # noqa: E402

#: Turns of a second that each model is measured in.
TURNS = 4

TIMM = ("resnet18", "mobilenetv2_100", "mobilenetv3_small_100", "efficientnet_b0",
        "regnety_002", "convnext_atto", "vit_tiny_patch16_224")  # fmt: skip


def networks() -> dict[str, Callable[[], tuple[Any, tuple[int, ...]]]]:
    any_model: Any = importlib.import_module("any_model")
    next(any_model._timm(), None)  # what stands in for torchvision
    timm: Any = importlib.import_module("timm")
    user: Any = importlib.import_module("user_networks")
    found: dict[str, Callable[[], tuple[Any, tuple[int, ...]]]] = {
        name: partial(_of_timm, timm, name) for name in TIMM
    }
    return found | {
        "unet": lambda: (user.UNet(), (1, 3, 128, 128)),
        "detector": lambda: (user.Detector(), (1, 3, 256, 256)),
        "ds-cnn": lambda: (user.DSCNN(), (1, 1, 49, 10)),
    }


def _of_timm(timm: Any, name: str) -> tuple[Any, tuple[int, ...]]:
    return timm.create_model(name), (1, 3, 224, 224)


def examine(path: Path, target: str, members: int, timing: bool) -> dict[str, Any]:
    """All that is to be shown of one model."""
    began = time.process_time()
    block = load_profile(target).runtime.lanes
    variants = variants_of_file(path, how=Open(block))
    out = path.parent / "out"
    report = shrink(path, target, max_latency_share=0.5, out=out)
    row: dict[str, Any] = {"variables": len(variants.choices), "size": report.size}
    row["shrink_cpu_s"] = round(time.process_time() - began, 2)
    space = load_space(str(out / f"{report.space}.toml"))
    feeds = noise(variants)
    row |= checked_members(variants, space, onnx.load(path), feeds, members)
    row |= timed_searches(target, str(out / f"{report.space}.toml"), report.limits["latency_ms"])
    if timing:
        smaller = (out / f"{report.space}-{report.chosen}.onnx").read_bytes()
        row |= measured_pick(report, path.read_bytes(), smaller, feeds)
    return row


def noise(variants: Any) -> dict[str, Any]:
    """Normal inputs of the model by name."""
    rng = np.random.default_rng(0)
    sizes = variants.frozen.inputs.items()
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in sizes}


def checked_members(
    variants: Any, space: Any, model: Any, feeds: dict[str, Any], members: int
) -> dict[str, Any]:
    """The largest member beside the model, and random members read back and run."""
    given, own = network_of(model), space.network(space.design(variants.largest))
    row: dict[str, Any] = {
        "same_macs_params": (given.macs, given.params) == (own.macs, own.params),
        "unshared": variants.frozen.unshared,
        "largest_output": _difference(
            run_onnx(variants.model(variants.largest), feeds), run_onnx(model, feeds)
        ),
    }
    exact, worst = 0, 0.0
    for design in space.sample(members, np.random.default_rng(0)):
        member = variants.model(space.named(design))
        network, read = space.network(design), network_of(member)
        exact += (network.macs, network.params) == (read.macs, read.params)
        want = run_onnx(member, feeds)
        worst = max(worst, _difference(run_graph(torch_graph(member), feeds), want))
    return row | {"members": members, "exact": exact, "torch_difference": worst}


def timed_searches(target: str, space: str, limit_ms: float) -> dict[str, Any]:
    """Seconds of the whole certified front, and of the best designs within the limit."""
    row: dict[str, Any] = {}
    for name, limit in (("front", None), ("limit", limit_ms)):
        started, cpu = time.perf_counter(), time.process_time()
        found = search(target, space, optimizer="exact", max_latency_ms=limit)
        row[f"{name}_s"] = round(time.perf_counter() - started, 2)
        row[f"{name}_cpu_s"] = round(time.process_time() - cpu, 2)
        row[f"{name}_designs"] = len(found.front)
    return row


def in_turns(models: list[bytes], feeds: dict[str, Any]) -> list[float]:
    """Least processor time (ms) of each model; a turn is a second of one of them alone.

    Runs of one model follow one another, as where it is used and as in ``flash profile``: run by
    run in turns each would find the other's weights in the caches.
    """
    turns = [
        [time_onnx([x], feeds, seconds=1.0, busy=True)[0] for x in models] for _ in range(TURNS)
    ]
    return [min(taken) for taken in zip(*turns, strict=True)]


def measured_pick(
    report: Any, model: bytes, smaller: bytes, feeds: dict[str, Any]
) -> dict[str, Any]:
    """The pick and the model run in turns on this machine, beside what is predicted."""
    whole, part = in_turns([model, smaller], feeds)
    own, original = report.smaller.latency_ms, report.original.latency_ms
    return {
        "model_ms": whole,
        "model_predicted_ms": original.value,
        "model_inside": bool(original.low <= whole <= original.high),
        "pick_ms": part,
        "predicted_ms": own.value,
        "low_ms": own.low,
        "high_ms": own.high,
        "inside": bool(own.low <= part <= own.high),
        "ratio": part / whole,
        "ratio_predicted": own.value / original.value,
    }


def _difference(found: dict[str, Any], want: dict[str, Any]) -> float:
    return max(float(np.abs(found[name] - want[name]).max()) for name in want)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, default=50, help="random variants each")
    parser.add_argument("--target", default="x86-epyc", help="profile of this machine")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks with TEXT in the name")
    parser.add_argument("--json", metavar="FILE", help="write the rows")
    parser.add_argument("--no-timing", action="store_true", help="measure nothing")
    options = parser.parse_args()
    any_model: Any = importlib.import_module("any_model")
    rows = {}
    for name, make in networks().items():
        if options.only not in name:
            continue
        torch.manual_seed(0)
        module, shape = make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.onnx"
            onnx.save(module_model(any_model._prepared(module), torch.randn(*shape)), path)
            rows[name] = examine(path, options.target, options.members, not options.no_timing)
        print(name, json.dumps(rows[name]), flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
