"""Does it pay to tell apart what onnxruntime runs by different code on x86?

    python scripts/validate/code_paths.py [--alone]

Prints for every x86 suite in ``hw_profiles`` the error on networks held out (ten folds), and the
median error on kinds left out averaged over kinds, with code paths priced alike (fusion "sum") and
told apart ("blocks"). ``--alone`` times instead, on this machine, one thread, the operations that
the difference was found on: nanoseconds of each by onnxruntime's own profiler (tenth percentile).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from flash.fitting.fitted import quality
from flash.fitting.prior import unknown_prior
from flash.fitting.selection import candidates, folds_of, kinds_apart
from flash.fitting.structure import Structure, known_structure
from flash.fitting.workload import workload
from flash.measurements.reading import read_measurements
from flash.targets.processor.profile import BYTES

ROOT = Path(__file__).resolve().parents[2] / "hw_profiles"
STRUCTURES = ("sum", "blocks")
RUNS = 60


def suites() -> Iterator[tuple[str, Any, Structure]]:
    """Name, measurements and known structure of every suite of onnxruntime on blocks."""
    for folder in ("measurements", "contributed"):
        for path in sorted((ROOT / folder).glob("*.jsonl")):
            file = read_measurements(path, "", 10)
            known = known_structure(file.header)
            if known is not None and known.fusion == STRUCTURES[1]:
                yield path.stem, file, known


def held_out(file: Any, known: Structure, fusion: str) -> tuple[dict[str, float], dict[str, float]]:
    """Errors on networks held out, and the median error of each kind left out, in per cent."""
    networks, truth = [row.network for row in file.rows], file.latency_ms
    element_bytes = BYTES[str(file.header.get("precision", "fp32"))]
    load = workload(networks, known.executes, element_bytes, fusion, known.lanes)
    (candidate,) = candidates(unknown_prior(), processor=True)
    folds = folds_of([str(k) for k in range(len(networks))])
    predicted = np.zeros(len(networks))
    for fold, found in zip(folds, candidate.left_out(load, truth, folds), strict=True):
        predicted[fold] = found
    apart = kinds_apart([row.kind for row in file.rows])
    left_out = candidate.left_out(load, truth, list(apart.values()))
    by_kind = {
        kind: 100 * float(np.median(np.abs(found / truth[rows] - 1)))
        for (kind, rows), found in zip(apart.items(), left_out, strict=True)
    }
    return quality(truth, predicted), by_kind


def compare() -> None:
    for name, file, known in suites():
        for fusion in STRUCTURES:
            figures, by_kind = held_out(file, known, fusion)
            worst = max(by_kind, key=lambda kind: by_kind[kind])
            print(
                f"{name:24s} {fusion:7s} {len(file.rows):4d} networks held out: median "
                f"{figures['median_error_percent']:5.2f} %, MAPE {figures['mape_percent']:5.2f} %; "
                f"kinds left out: mean of medians {np.mean(list(by_kind.values())):5.2f} %, "
                f"worst {worst} {by_kind[worst]:.1f} %"
            )


# ------------------------------------------------------------------------------- timed alone
class Chain:
    """Operations on a map, written node by node."""

    def __init__(self, channels: int, side: int) -> None:
        self.shape, self.value = (1, channels, side, side), "x"
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._source = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)

    def weight(self, *shape: int) -> str:
        """The name of new random weights."""
        values = np.random.default_rng(len(self._weights)).standard_normal(shape) / 20
        self._weights.append(
            numpy_helper.from_array(values.astype(np.float32), f"w{len(self._weights)}")
        )
        return str(self._weights[-1].name)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The result's name of a new node."""
        name = f"{op}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def conv(self, outputs: int, kernel: int, groups: int = 1, stride: int = 1) -> Chain:
        """A convolution without activation."""
        _, channels, side, _ = self.shape
        weight = self.weight(outputs, channels // groups, kernel, kernel)
        self.value = self.node("Conv", self.value, weight, self.weight(outputs), group=groups,
                               strides=[stride] * 2, pads=[kernel // 2] * 4)  # fmt: skip
        side = (side - 1) // stride + 1
        self.shape = (1, outputs, side, side)
        return self

    def act(self, name: str) -> Chain:
        """An activation by ONNX's name; none of an empty one."""
        if name == "Silu":
            self.value = self.node("Mul", self.value, self.node("Sigmoid", self.value))
        elif name == "Clip":
            self._weights += [
                numpy_helper.from_array(np.array(v, np.float32), f"limit{v}") for v in (0, 6)
            ]
            self.value = self.node("Clip", self.value, "limit0", "limit6")
        elif name:
            self.value = self.node(name, self.value)
        return self

    def gate(self) -> Chain:
        """The map times one value a channel."""
        pooled = self.node("GlobalAveragePool", self.value)
        self.value = self.node("Mul", self.value, self.node("Sigmoid", pooled))
        return self

    def times_ns(self) -> list[tuple[str, float]]:
        """Operator and nanoseconds of each node that onnxruntime runs, one thread."""
        import onnxruntime  # noqa: PLC0415 (an extra)

        result = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "chain", [self._source], [result], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.enable_profiling = 1, True
        shape = [d.dim_value for d in self._source.type.tensor_type.shape.dim]
        feed = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        with tempfile.TemporaryDirectory() as folder:
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            for _ in range(RUNS):
                session.run(None, feed)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        found: dict[str, tuple[str, list[float]]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                operator = event["args"]["op_name"]
                found.setdefault(event["name"], (operator, []))[1].append(1e3 * event["dur"])
        return [(operator, float(np.percentile(ns, 10))) for operator, ns in found.values()]


def alone() -> None:
    import os  # noqa: PLC0415

    print(f"grouped 3x3 convolutions ({os.cpu_count()} cores here, one used)")
    for channels, side, width, stride in (
        (64, 28, 2, 1), (64, 28, 4, 1), (64, 28, 8, 1), (64, 28, 16, 1), (64, 28, 32, 1),
        (64, 28, 64, 1), (96, 7, 24, 1), (128, 7, 8, 1), (152, 14, 8, 1), (56, 28, 8, 1),
        (24, 56, 8, 1), (56, 28, 8, 2), (24, 56, 8, 2),
    ):  # fmt: skip
        made = Chain(channels, side).conv(channels, 3, channels // width, stride)
        out = made.shape[2]
        ns = next(t for operator, t in made.times_ns() if operator.endswith("Conv"))
        rate = out * out * channels * width * 9 / ns
        print(f"  {channels:4d} x {side:3d}, groups of {width:2d}, stride {stride}: "
              f"{ns / 1e3:7.1f} us, {rate:5.1f} GMAC/s")  # fmt: skip
    print("activations that a depthwise 3x3 convolution does, ns an output, beside none")
    plain = 0.0
    for act in ("", "Relu", "Clip", "HardSigmoid", "HardSwish", "Tanh", "Sigmoid"):
        chain = Chain(576, 14).conv(576, 3, 576).act(act).conv(16, 1)
        ns = next(t for operator, t in chain.times_ns() if operator == "Conv")
        plain = plain or ns
        print(f"  {act or 'none':12s} {(ns - plain) / (576 * 196):6.3f}")
    print("kernels of their own, ns an element")
    steps: tuple[tuple[str, Callable[[Chain], Chain], str], ...] = (
        ("SiLU", lambda c: c.act("Silu"), "QuickGelu"),
        ("GELU", lambda c: c.act("Gelu"), "Gelu"),
        ("tanh", lambda c: c.act("Tanh"), "Tanh"),
    )
    for name, step, operator in steps:
        ns = dict(step(Chain(256, 28)).times_ns())[operator]
        print(f"  {name:12s} {ns / (256 * 784):6.3f}")
    print("gates, ns a channel")
    for channels, side in ((16, 56), (240, 28), (672, 14), (1152, 7)):
        times = Chain(channels, side).conv(channels, 1).gate().conv(16, 1).times_ns()
        ns = dict(times)["Mul"]
        print(f"  {channels:4d} x {side:3d} {ns / channels:8.1f}")


def main() -> int:
    """Print the comparison, or the timings; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alone", action="store_true", help="time operations here instead")
    if parser.parse_args().alone:
        alone()
    else:
        compare()
    return 0


if __name__ == "__main__":
    sys.exit(main())
