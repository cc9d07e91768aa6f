"""Every form that ``flash.export`` delivers, against the others, on random designs of each space.

    python scripts/validate/delivery.py [--designs 20] [--space S] [--done FILE] [--no-tvm]

For each design, with random weights, biases and batch-norm statistics, on one normal input:

* torch:  ``flash.backends.torch_network`` against onnxruntime on the written ONNX file;
* tvm:    TVM's library for this machine, as ``--format tvm`` compiles it, against the farther
          of the two;
* counts: parameters and MACs that onnx-tool counts in the file, less those of its own
          conventions (a bias is one MAC an output, running statistics are parameters), against
          ``Network.params`` and ``Network.macs``.

Differences are the largest one over the largest output, or over 1 if that is smaller. Prints a
line a design and a table; exit code 1 where torch is off by more than 1e-4, TVM by more than
1e-3, or a count differs at all. ``--done`` keeps finished designs (JSON Lines) and goes on from
there. Needs the extras torch, tvm (unless ``--no-tvm``) and test; TVM takes seconds to minutes a
design.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_tool
import torch
from numpy.typing import NDArray

from flash.backends import network_model, random_weights, run_onnx, torch_network
from flash.backends.weights import Weights
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.targets.machine import machine_of

SPACES = (
    "cifar10-add",
    "cifar10-concat",
    "cifar10-mobilenet-v2",
    "imagenet-mobilenet-v2",
    "nasbench-macro",
    "nasbench201",
)
SEED = 11
TORCH_TOLERANCE, TVM_TOLERANCE = 1e-4, 1e-3


def lively_weights(network: Network, seed: int) -> Weights:
    """Random kernels as ever; biases and batch norms that are not the identity either."""
    rng = np.random.default_rng(seed)
    weights = dict(random_weights(network, seed))
    for name, values in weights.items():
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        if name.endswith((".scale", ".variance")):
            weights[name] = np.exp(0.3 * noise)
        elif name.endswith((".bias", ".shift", ".mean")):
            weights[name] = 0.3 * noise
    return weights


def apart(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    """The largest difference over the largest output (at least 1); shapes must agree."""
    if got.shape != want.shape:
        return float("inf")
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))


def counted(model: onnx.ModelProto) -> tuple[int, int]:
    """Parameters and MACs of a file by onnx-tool."""
    graph = onnx_tool.Model(model, {"verbose": False, "constant_folding": False}).graph
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    graph.shape_infer({"input": np.zeros(shape, np.float32)})
    graph.profile()
    params = macs = 0
    for node in graph.nodemap.values():
        # Two of a batch norm's four values a channel are running statistics.
        params += node.params // 2 if node.op_type == "BatchNormalization" else node.params
        macs += node.macs[0] if node.op_type in ("Conv", "Gemm") else 0
    return int(params), int(macs)


def check(network: Network, seed: int, with_tvm: bool) -> dict[str, Any]:
    """What one design gives."""
    start = time.perf_counter()
    weights = lively_weights(network, seed)
    model = network_model(network, weights)
    content = model.SerializeToString(deterministic=True)
    source = network.source
    shape = (1, int(source.channels), int(source.height), int(source.width))
    image = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    want = run_onnx(content, {"input": image})["output"]
    with torch.no_grad():
        by_torch = torch_network(network, weights).eval()(torch.from_numpy(image)).numpy()
    found: dict[str, Any] = {"torch": apart(by_torch, want)}
    if with_tvm:
        from flash.backends import run_tvm, tvm_library  # noqa: PLC0415 (takes seconds)

        by_tvm = run_tvm(tvm_library(content, machine_of("host")), image)
        found["tvm"] = max(apart(by_tvm, want), apart(by_tvm, by_torch))
    params, macs = counted(model)
    biases = sum(x.out_channels * x.out_height * x.out_width for x in network.layers if x.bias)
    found["params"] = [int(network.params), params]
    found["macs"] = [int(network.macs), macs - int(biases)]
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def agrees(found: dict[str, Any]) -> bool:
    """Whether a design is within every tolerance."""
    same = all(ours == theirs for ours, theirs in (found["params"], found["macs"]))
    return (
        same and found["torch"] <= TORCH_TOLERANCE and found.get("tvm", 0.0) <= TVM_TOLERANCE
    )  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """Worst difference and number of equal counts, a line a space."""
    lines = [f"{'space':24}{'designs':>8}{'torch':>10}{'tvm':>10}{'params =':>10}{'MACs =':>8}"]
    for space in dict.fromkeys(result["space"] for result in results):
        rows = [result for result in results if result["space"] == space]
        tvm = [row["tvm"] for row in rows if "tvm" in row]
        equal = [sum(row[key][0] == row[key][1] for row in rows) for key in ("params", "macs")]
        worst = f"{max(row['torch'] for row in rows):10.1e}"
        worst += f"{max(tvm):10.1e}" if len(tvm) == len(rows) else f"{'-':>10}"
        lines.append(f"{space:24}{len(rows):8}{worst}{equal[0]:10}{equal[1]:8}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", type=int, default=20, metavar="N")
    parser.add_argument("--space", action="append", choices=SPACES, help="only this; repeatable")
    parser.add_argument("--done", type=Path, metavar="FILE", help="finished designs, kept")
    parser.add_argument("--no-tvm", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = options.done.read_text().splitlines() if options.done and options.done.exists() else []
    done = {(row["space"], row["design"]): row for row in map(json.loads, kept)}
    results = []
    for name in options.space or SPACES:
        space = load_space(name)
        drawn = space.sample(options.designs, np.random.default_rng(SEED))
        for number, design in enumerate(drawn):
            row = done.get((name, space.identify(design)))
            if row is None:
                row = {"space": name, "design": space.identify(design)}
                row |= check(space.network(design), number, not options.no_tvm)
                if options.done:
                    with options.done.open("a") as file:
                        file.write(json.dumps(row) + "\n")
            print(row, flush=True)
            results.append(row)
    print(table(results))
    wrong = [row for row in results if not agrees(row)]
    if wrong:
        raise SystemExit(f"FAILED: {len(wrong)} of {len(results)} designs")


if __name__ == "__main__":
    main()
