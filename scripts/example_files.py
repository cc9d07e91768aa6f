"""The files that the documentation's commands read: ``python scripts/example_files.py``.

Writes ``examples/files``: two small ONNX models (random weights of a fixed seed), measurements of a
board (every second record of one that comes with flash), cells of NAS-Bench-201, a table of trained
networks (the calibration of cifar10-concat), a chip and a space of one's own.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flash.spaces.space import load_space

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "files"


def main() -> None:
    """Write them all."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, widths in (("mine", (16, 32, 64)), ("smaller", (8, 16, 32))):
        onnx.save(_network(widths), FOLDER / f"{name}.onnx")
    rng = np.random.default_rng(0)
    space = load_space("nasbench201")
    cells = [space.describe(row) for row in space.sample(5, rng)]
    (FOLDER / "cells.txt").write_text("\n".join(cells) + "\n")
    _measurements()
    _table()
    own = (ROOT / "models" / "nasbench-macro.toml").read_text()
    (FOLDER / "myspace.toml").write_text(own.replace('name = "nasbench-macro"', 'name = "myspace"'))
    chip = (ROOT / "hw_profiles" / "systolic.toml").read_text()
    (FOLDER / "mychip.toml").write_text(chip.replace('name = "systolic"', 'name = "mychip"'))


def _network(widths: tuple[int, ...]) -> onnx.ModelProto:
    """3x3 convolutions with ReLU, each of stride 2, then ten classes, for 32 x 32 images."""
    rng = np.random.default_rng(0)
    nodes, weights, source, channels = [], [], "image", 3
    for k, width in enumerate(widths):
        values = rng.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3))
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{k}"))
        options: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
        nodes.append(helper.make_node("Conv", [source, f"w{k}"], [f"c{k}"], **options))
        nodes.append(helper.make_node("Relu", [f"c{k}"], [f"r{k}"]))
        source, channels = f"r{k}", width
    weights.append(
        numpy_helper.from_array(rng.normal(0, 0.1, (10, channels)).astype(np.float32), "head")
    )
    nodes.append(helper.make_node("GlobalAveragePool", [source], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "head"], ["classes"], transB=1))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    out = helper.make_tensor_value_info("classes", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "example", [image], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _measurements() -> None:
    source = ROOT / "hw_profiles" / "measurements" / "x86-avx512-1-thread.jsonl"
    header, *records = source.read_text().splitlines()
    (FOLDER / "board.jsonl").write_text("\n".join([header, *records[::2]]) + "\n")


def _table() -> None:
    with (ROOT / "models" / "calibration" / "cifar10-concat.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["recipe"] == "quick"]
    with (FOLDER / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["design", "accuracy", "split"])
        writer.writerows([row["design"], row["validation_accuracy"], row["split"]] for row in rows)


if __name__ == "__main__":
    main()
