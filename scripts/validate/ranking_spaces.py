"""The spaces a data-free score is judged on: networks, and the accuracies others trained.

``SPACES`` was fixed before any score was printed on it. All accuracies of a space are by one
author and recipe. Used by ``ranking.py``.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import ranking_networks as nets
from nasbench import live_operations
from numpy.typing import NDArray
from ranking_networks import transnas_macro

from flash.spaces.network import Network
from flash.spaces.space import load_space

__all__ = ["SPACES", "WHOLE", "Rows", "Space", "column", "read"]

Floats = NDArray[np.float64]
Rows = list[dict[str, str]]
Build = Callable[[], Network]

_SEED = 0
_OSMR = "imgclsmob recipe, best epoch on test"
_CHEN = "200 epochs, SGD 0.1 cosine, batch 256, wd 5e-4, best epoch on test"


@dataclass(frozen=True)
class Space:
    """names: of the networks.  builds: make each.  params: by the source, 0 where unknown.

    truths: task -> accuracies, shape (networks,), nan where there is none.
    """

    names: Sequence[str]
    builds: Sequence[Build]
    params: Floats
    truths: Mapping[str, Floats]


def read(shared: Path, name: str) -> Rows:
    """Rows of a table of third-party measurements."""
    path = shared / "data" / f"{name}.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    with gzip.open(shared / "data" / f"{name}.csv.gz", "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def column(rows: Rows, name: str) -> Floats:
    return np.array([float(row[name]) if row[name] else math.nan for row in rows])


def _some(rows: Rows, number: int) -> Rows:
    """A seeded choice of rows, in their order."""
    if len(rows) <= number:
        return rows
    chosen = np.random.default_rng(_SEED).choice(len(rows), number, replace=False)
    return [rows[i] for i in sorted(chosen)]


# ----------------------------------------------------------------------------- benchmark spaces


def nasbench201(shared: Path, number: int = 1200) -> Space:
    """Distinct live cells of the half of NAS-Bench-201 on which scores are chosen."""
    space = load_space("nasbench201")
    rows = read(shared, "nasbench201/accuracy")
    half = np.random.default_rng(0).permutation(len(rows)) < len(rows) // 2
    rows = [row for row, chosen in zip(rows, half, strict=True) if chosen]
    cells = space.encode(np.array([list(space.family.parse(r["arch"]).values()) for r in rows]))
    live = live_operations(cells)
    _, first = np.unique(live, axis=0, return_index=True)
    rows = _some([rows[i] for i in sorted(first) if (live[i] > 0).any()], number)
    tasks = {"CIFAR-10": "cifar10", "CIFAR-100": "cifar100", "ImageNet16": "imagenet16"}
    builds = [partial(space.network, space.design(space.family.parse(row["arch"]))) for row in rows]
    truths = {task: column(rows, f"{name}_test") for task, name in tasks.items()}
    return Space([r["arch"] for r in rows], builds, np.zeros(len(rows)), truths)


def nasbench_macro(shared: Path, number: int = 1000) -> Space:
    space = load_space("nasbench-macro")
    rows = _some(read(shared, "nasbench_macro/accuracy"), number)
    builds = [partial(space.network, space.design(space.family.parse(row["arch"]))) for row in rows]
    truths = {"CIFAR-10": column(rows, "mean_acc")}
    return Space([r["arch"] for r in rows], builds, np.zeros(len(rows)), truths)


def transnas(shared: Path, number: int = 700) -> Space:
    rows = _some(read(shared, "transnasbench101_macro/accuracy"), number)
    codes = [row["macro_code"].lstrip("m") for row in rows]
    tasks = [name for name in rows[0] if name.startswith("val_")]
    truths = {task[4:]: column(rows, task) for task in tasks}
    return Space(codes, [partial(transnas_macro, c) for c in codes], np.zeros(len(codes)), truths)


def ofa(shared: Path, number: int = 500) -> Space:
    rows = _some(read(shared, "imagenet_width/ofa_mbv3_w10_subnets"), number)

    def build(row: dict[str, str]) -> Network:
        kernels, expands, depths = ([int(n) for n in row[k].split("-")] for k in ("ks", "e", "d"))
        return nets.ofa_mobilenet_v3(kernels, expands, depths, int(row["r"]))

    truths = {"ImageNet": column(rows, "top1")}
    names = [f"{r['ks']} {r['e']} {r['d']} {r['r']}" for r in rows]
    return Space(names, [partial(build, row) for row in rows], column(rows, "params"), truths)


def tfslim(shared: Path) -> Space:
    """TF-slim's MobileNets by width and resolution, without those of 8 bits."""
    rows = read(shared, "imagenet_width/tfslim_mobilenet_width_resolution")
    rows = [row for row in rows if row["precision"] == "fp32"]
    builds = [partial(_tfslim, row["family"], row) for row in rows]
    names = [f"{r['family']} {r['width_mult']} {r['resolution']}" for r in rows]
    truths = {"ImageNet": column(rows, "top1")}
    return Space(names, builds, column(rows, "params_M") * 1e6, truths)


def _tfslim(family: str, row: dict[str, str]) -> Network:
    width, side = float(row["width_mult"]), int(row["resolution"])
    if family == "mobilenet_v1":
        return _mobilenet_v1(width, side)
    if family == "mobilenet_v2":
        return nets.mobilenet_v2(width, side, 1000)
    return nets.mobilenet_v3("large" in family, width, "minimal" in family)


_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
       (1024, 1))  # fmt: skip
_FD = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 4, (1024, 1))


def _mobilenet_v1(width: float, side: int, blocks: Sequence[tuple[int, int]] = _V1) -> Network:
    widths = [int(channels * width) for channels, _ in blocks]
    return nets.mobilenet_v1(widths, [stride for _, stride in blocks], side, int(32 * width))


def plain(shared: Path) -> Space:
    """Plain CNNs by width and depth: all images, 50 epochs or the number nearest to it."""
    rows = read(shared, "cifar_trained/plain_cnn_scaling")
    best: dict[tuple[int, int], tuple[int, list[float]]] = {}
    for row in rows:
        if row["images"] != "50000" or int(row["epochs"]) < 16:
            continue
        key, off = (int(row["width"]), int(row["layers_per_stage"])), abs(int(row["epochs"]) - 50)
        top1 = float(row["test_top1_mean_last5" if int(row["epochs"]) >= 25 else "test_top1_best"])
        known = best.get(key)
        if known is None or off < known[0]:
            best[key] = off, [top1]
        elif off == known[0]:
            known[1].append(top1)
    names = [f"width {width}, {layers} a stage" for width, layers in best]
    builds = [partial(nets.plain_cnn, width, layers) for width, layers in best]
    params = {(int(r["width"]), int(r["layers_per_stage"])): float(r["params"]) for r in rows}
    truths = {"CIFAR-10": np.array([np.mean(values) for _, values in best.values()])}
    return Space(names, builds, np.array([params[key] for key in best]), truths)


# ----------------------------------------------------------------------------------- model zoos


def cifar_zoo(shared: Path) -> Space:
    return _zoo(read(shared, "cifar_trained/accuracy"), _OSMR, _cifar_zoo)


def chen(shared: Path) -> Space:
    return _zoo(read(shared, "cifar_trained/accuracy"), _CHEN, _chen)


def _zoo(rows: Rows, recipe: str, build: Callable[[str], Build | None]) -> Space:
    """Networks of one recipe that can be built, with a truth a data set."""
    truths: dict[str, dict[str, float]] = {"cifar10": {}, "cifar100": {}}
    params: dict[str, float] = {}
    for row in rows:
        if row["recipe"] == recipe and build(row["model"]) is not None:
            truths[row["dataset"]][row["model"]] = float(row["top1"])
            params.setdefault(row["model"], float(row["params"]))
    names = list(params)
    known = {
        task: np.array([of.get(name, math.nan) for name in names]) for task, of in truths.items()
    }
    builds = [made for name in names if (made := build(name)) is not None]
    return Space(names, builds, np.array(list(params.values())), known)


def _cifar_zoo(name: str) -> Build | None:
    small = partial(nets.resnet, side=32, classes=10)
    if found := re.fullmatch(r"(SE-)?(Pre)?ResNet-(\d+)(\(BN\))?", name):
        depth, deep = int(found[3]), found[4] is not None or found[3] == "1001"
        units = [(depth - 2) // (9 if deep else 6)] * 3
        channels = (64, 128, 256) if deep else (16, 32, 64)
        squeeze = 16 if found[1] else 0
        return partial(small, units, channels, stem=16, bottleneck=4 if deep else 0,
                       pre=found[2] is not None, squeeze=squeeze)  # fmt: skip
    if found := re.fullmatch(r"ResNeXt-(\d+) \((\d+)x(\d+)d\)", name):
        units = [(int(found[1]) - 2) // 9] * 3
        return partial(small, units, (256, 512, 1024), stem=64, bottleneck=-int(found[3]),
                       groups=int(found[2]))  # fmt: skip
    if found := re.fullmatch(r"WRN-(\d+)-(\d+)", name):
        units, wide = [(int(found[1]) - 4) // 6] * 3, int(found[2])
        return partial(small, units, [wide * c for c in (16, 32, 64)], stem=16, pre=True)
    if found := re.fullmatch(r"DenseNet(-BC)?-(\d+) \(k=(\d+)\)", name):
        bc, growth = found[1] is not None, int(found[3])
        units = [(int(found[2]) - 4) // (6 if bc else 3)] * 3
        return partial(nets.densenet, units, growth, stem=2 * growth if bc else 16, classes=10,
                       side=32, bottleneck=bc)  # fmt: skip
    if found := re.fullmatch(r"PyramidNet-(\d+) \(a=(\d+)(, BN)?\)", name):
        return partial(nets.pyramidnet, int(found[1]), int(found[2]), found[3] is not None, 10)
    return None


def _chen(name: str) -> Build | None:
    if found := re.fullmatch(r"resnet(\d+)", name):
        units = [(int(found[1]) - 2) // 6] * 3
        return partial(nets.resnet, units, (16, 32, 64), stem=16, side=32, classes=10)
    if found := re.fullmatch(r"vgg(\d+)_bn", name):
        return partial(nets.vgg, _VGG[int(found[1])], side=32, classes=10, norm=True)
    if found := re.fullmatch(r"mobilenetv2_x(\d)_(\d+)", name):
        width = float(f"{found[1]}.{found[2]}")
        strides = (1, 1, 2, 2, 1, 2, 1)
        return partial(nets.mobilenet_v2, width, 32, 10, strides=strides, stem_stride=1)
    return None


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_UNITS = {
    10: (1, 1, 1, 1), 12: (2, 1, 1, 1), 14: (2, 2, 1, 1), 16: (2, 2, 2, 1), 18: (2, 2, 2, 2),
    26: (3, 3, 3, 3), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
    152: (3, 8, 36, 3), 200: (3, 24, 36, 3), 269: (3, 30, 48, 8),
}  # fmt: skip
_BOTTLENECK_UNITS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 38: (3, 3, 3, 3)}
_DENSE = {121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


def imagenet_zoo(shared: Path) -> Space:
    rows = read(shared, "imagenet_trained/imgclsmob")
    rows = [r for r in rows if r["weights"] == "own training"]
    made = [(row, build) for row in rows if (build := _imagenet_zoo(row["model"])) is not None]
    rows = [row for row, _ in made]
    names, builds = [row["model"] for row in rows], [build for _, build in made]
    return Space(names, builds, column(rows, "params"), {"ImageNet": column(rows, "top1")})


def _imagenet_zoo(name: str) -> Build | None:
    for family in (_imagenet_resnet, _imagenet_mobile):
        if (build := family(name)) is not None:
            return build
    if found := re.fullmatch(r"(BN-)?VGG-(\d+)", name):
        units = _VGG[int(found[2])]
        return partial(nets.vgg, units, side=224, classes=1000, norm=found[1] is not None)
    if found := re.fullmatch(r"DenseNet-(\d+)", name):
        wide = found[1] == "161"
        return partial(nets.densenet, _DENSE[int(found[1])], 48 if wide else 32,
                       stem=96 if wide else 64, classes=1000, side=224)  # fmt: skip
    if found := re.fullmatch(r"Squeeze(Net|ResNet) v(1\.\d)", name):
        return partial(nets.squeezenet, found[2], found[1] == "ResNet")
    return None


def _imagenet_resnet(name: str) -> Build | None:
    large = partial(nets.resnet, side=224, classes=1000)
    if found := re.fullmatch(r"(SE-)?(Pre)?ResNet-(BC-)?(\d+)(b)?( x[\d.]+)?", name):
        depth, scale = int(found[4]), float(found[6][2:]) if found[6] else 1.0
        deep = found[3] is not None or depth >= 50
        units = (_BOTTLENECK_UNITS if found[3] else _UNITS)[depth]
        channels = [int(c * scale) for c in (64, 128, 256, 512)]
        if deep:
            channels = [4 * c for c in channels]
        return partial(
            large, units, channels, stem=int(64 * scale), bottleneck=4 if deep else 0,
            pre=found[2] is not None, squeeze=16 if found[1] else 0,
            stride_first=found[5] is None, last=512 if scale < 1 else 0,
        )  # fmt: skip
    if found := re.fullmatch(r"(SE-)?ResNeXt-(\d+) \((\d+)x(\d+)d\)", name):
        depth = int(found[2])
        units = _BOTTLENECK_UNITS.get(depth) or _UNITS[depth]
        return partial(
            large, units, (256, 512, 1024, 2048), stem=64, bottleneck=-int(found[4]),
            groups=int(found[3]), squeeze=16 if found[1] else 0,
        )  # fmt: skip
    return None


def _imagenet_mobile(name: str) -> Build | None:
    if found := re.fullmatch(r"(FD-)?MobileNet x([\d.]+)", name):
        return partial(_mobilenet_v1, float(found[2]), 224, _FD if found[1] else _V1)
    if found := re.fullmatch(r"MobileNetV2b? x([\d.]+)", name):
        return partial(nets.mobilenet_v2, float(found[1]), 224, 1000, divisor=1)
    if name == "MobileNetV3 L/224/1.0":
        return partial(nets.mobilenet_v3, True, 1.0, False)
    return None


#: First width, slope, growth, group width, depth of RegNets by millions of MACs.
_REGNETS = {
    "X-200MF": (24, 36.44, 2.49, 8, 13), "X-400MF": (24, 24.48, 2.54, 16, 22),
    "X-600MF": (48, 36.97, 2.24, 24, 16), "X-800MF": (56, 35.73, 2.28, 16, 16),
    "X-1.6GF": (80, 34.01, 2.25, 24, 18), "X-3.2GF": (88, 26.31, 2.25, 48, 25),
    "X-4.0GF": (96, 38.65, 2.43, 40, 23), "X-6.4GF": (184, 60.83, 2.07, 56, 17),
    "X-8.0GF": (80, 49.56, 2.88, 120, 23), "X-12GF": (168, 73.36, 2.37, 112, 19),
    "X-16GF": (216, 55.59, 2.1, 128, 22), "X-32GF": (320, 69.86, 2.0, 168, 23),
    "Y-200MF": (24, 36.44, 2.49, 8, 13), "Y-400MF": (48, 27.89, 2.09, 8, 16),
    "Y-600MF": (48, 32.54, 2.32, 16, 15), "Y-800MF": (56, 38.84, 2.4, 16, 14),
    "Y-1.6GF": (48, 20.71, 2.65, 24, 27), "Y-4.0GF": (96, 31.41, 2.24, 64, 22),
    "Y-6.4GF": (112, 33.22, 2.27, 72, 25), "Y-8.0GF": (192, 76.82, 2.19, 56, 17),
    "Y-12GF": (168, 73.36, 2.37, 112, 19), "Y-16GF": (200, 106.23, 2.48, 112, 18),
    "Y-32GF": (232, 115.89, 2.53, 232, 20),
}  # fmt: skip


def regnets(shared: Path) -> Space:
    """The RegNets of the ImageNet zoo: looked at once, when the rule was final."""
    rows = read(shared, "imagenet_trained/imgclsmob")
    rows = [r for r in rows if r["model"].removeprefix("RegNet") in _REGNETS]
    rows = [r for r in rows if r["weights"] == "own training"]
    names = [row["model"] for row in rows]
    builds = [partial(nets.regnet, *_REGNETS[name[6:]], gated=name[6] == "Y") for name in names]
    return Space(names, builds, column(rows, "params"), {"ImageNet": column(rows, "top1")})


#: Fixed before looking, but for the RegNets, which were looked at when the rule was final.
#: ``chen``, with 12 networks a task, and ``regnet`` are printed beside, never chosen on.
SPACES: dict[str, Callable[[Path], Space]] = {
    "nb201": nasbench201,
    "nbmacro": nasbench_macro,
    "tmacro": transnas,
    "tfslim": tfslim,
    "ofa": ofa,
    "plain": plain,
    "czoo": cifar_zoo,
    "izoo": imagenet_zoo,
    "chen": chen,
    "regnet": regnets,
}
#: The spaces of which ``SPACES`` draws networks, with all of them (NAS-Bench-201: of the half).
WHOLE: dict[str, Callable[[Path], Space]] = {
    name: partial(space, number=sys.maxsize)
    for name, space in {
        "nb201": nasbench201, "nbmacro": nasbench_macro, "tmacro": transnas, "ofa": ofa
    }.items()
}  # fmt: skip
