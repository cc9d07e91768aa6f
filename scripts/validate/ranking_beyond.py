"""Two spaces of another kind than those the rule was made for: detectors, text encoders.

Used by ``ranking.py``, printed beside and part of no choice: YOLOBench's 968 detectors trained
on VOC from scratch (572 of them fine-tuned as well, on VOC and on COCO), and FlexiBERT's 500
encoders with their GLUE score.
"""

from __future__ import annotations

import csv
import gzip
from functools import partial
from pathlib import Path

import numpy as np
from ranking_networks import Builder
from ranking_spaces import Rows, Space, column

from flash.spaces.layers import Layer, Tensor
from flash.spaces.network import Network
from flash.spaces.reference.detectors import CLASSES, detector_network

__all__ = ["BEYOND", "detectors", "encoder", "encoders"]

_TOKENS = 128
_TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst", "sts")


def _read(path: Path) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def detectors(shared: Path) -> Space:
    """YOLOBench: versions 3 to 8 by depth, width and input side."""
    rows = _read(shared / "data" / "yolobench" / "voc_scratch_100epochs.csv.gz")
    tuned = {r["model"]: r for r in _read(shared / "data" / "yolobench" / "detectors.csv.gz")}
    names = [row["model"] for row in rows]
    truths = {"VOC from scratch": column(rows, "voc_scratch_map50_95")}
    for data in ("voc", "coco"):
        name = f"{data}_map50_95"
        truths[data] = column([tuned.get(n, {name: ""}) for n in names], name)
    builds = [partial(detector_network, name, CLASSES["voc"]) for name in names]
    return Space(names, builds, np.zeros(len(rows)), truths)


def encoders(shared: Path) -> Space:
    """FlexiBERT: layers of attention, fixed transforms and span convolutions."""
    rows = _read(shared / "data" / "language" / "flexibert_glue.csv.gz")
    truths = {task: column(rows, f"score_{task}") for task in _TASKS}
    builds = [partial(encoder, int(row["hidden_size"]), row["layers"]) for row in rows]
    names = [f"{row['hidden_size']} {row['layers']}" for row in rows]
    return Space(names, builds, column(rows, "Number of Parameters"), truths)


def encoder(width: int, layers: str) -> Network:
    """One encoder behind its embedding: tokens are positions, units are channels.

    Multiplying by an attention matrix or by a fixed transform has MACs and no parameters; the
    score sees it as a layer that mixes positions.
    """
    e = Builder()
    source = x = e.source(width, _TOKENS, 1)
    for layer in layers.split(";"):
        operation, kind, _, feed = layer.split("-")
        mixed = _linear(e, _mixed(e, x, operation, kind), width)
        x = e.norm(e.add((x, mixed)), act="")
        inner, repeats = map(int, feed[2:].split("x"))
        y = x
        for _ in range(repeats):
            y = _linear(e, _linear(e, y, inner, act="gelu"), width)
        x = e.norm(e.add((x, y)), act="")
    return e.network(source, e.linear(e.global_pool(x), 2))


def _linear(e: Builder, x: Tensor, units: int, act: str = "") -> Tensor:
    return e.conv(x, units, 1, norm=False, bias=True, act=act)


def _mixed(e: Builder, x: Tensor, operation: str, kind: str) -> Tensor:
    width = int(x.channels)
    value = _linear(e, x, width)
    if operation == "LT":
        return _product(e, (value,), width, _TOKENS * _TOKENS * width)
    query = _linear(e, x, width)
    if operation == "DSC":
        span = int(kind)
        near = e.conv(x, width, (span, 1), groups=width, norm=False)
        key = _linear(e, near, width)
        kernel = _linear(e, _product(e, (query, key), width, 0), span)
        return _product(e, (value, kernel), width, _TOKENS * span * width)
    key = _linear(e, x, width)
    if kind == "WMA":
        key = _linear(e, key, width)
    scores = _product(e, (query, key), _TOKENS, _TOKENS * _TOKENS * width)
    return _product(e, (value, scores), width, _TOKENS * _TOKENS * width)


def _product(e: Builder, xs: tuple[Tensor, ...], channels: int, macs: int) -> Tensor:
    x = xs[0]
    layer = Layer(
        "matmul", e._name("matmul"), "", -1, xs, int(x.channels), channels, x.height, x.width,
        x.height, x.width, operands=len(xs), params=0, macs=macs,
    )  # fmt: skip
    return e.layer(layer)


#: Space -> how it is read.
BEYOND = {"yolo": detectors, "bert": encoders}
