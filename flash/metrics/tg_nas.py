"""A graph predictor of accuracy for networks of spaces that it never saw, after TG-NAS.

TG-NAS (Qiao et al. 2024, arXiv 2404.00271) describes each operation by a sentence, takes a frozen
language model's vector of it as the node's features, and fits a graph convolution network once, on
networks of one space. Ours: physical descriptors (``DESCRIPTORS``) stand in place of the vectors,
so any operation has some and no language model is needed; every node counts equally in the score,
where the source has a node that reads all; one layer of 8 units in place of 2 to 4 of 64, and the
mean of several fits, because larger ones, and single ones, do not carry over to a space of another
kind; and the weights that come with flash are fitted to three spaces
(``scripts/fit_graph_predictor.py``, which prints what is left of the rank correlation on a space
left out).

The score only ranks: its unit is one deviation of accuracy within a space.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from flash.files.locations import predictor_file
from flash.files.reading import parse_json, read_text
from flash.metrics.graph_network import Graph, GraphNetwork, mean_scores
from flash.metrics.metric import NetworkMetric
from flash.quantities import Quantity
from flash.spaces.layers import Layer, layer_macs, layer_params
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["DESCRIPTORS", "TG_NAS", "graph_of"]

#: What a node says of its operation; counts enter as log2(1 + x), channels are those written.
DESCRIPTORS = (
    "is_convolution",
    "is_depthwise",
    "is_pool",
    "is_skip",
    "kernel_area",
    "is_strided",
    "groups",
    "parameters_per_channel",
    "macs_per_channel",
    "readers",
)
_POOLS = ("avg_pool", "max_pool")
#: Joins, of which one operand is a path around the others.
_JOINS = ("add", "concat")


def graph_of(network: Network) -> Graph:
    """The live layers as nodes with ``DESCRIPTORS``; edges from what produces to what reads."""
    live = network.live()
    edges = [
        (int(x.producer), number)
        for number, layer in enumerate(live.layers)
        for x in layer.inputs
        if int(x.producer) >= 0
    ]
    readers = np.zeros(max(len(live.layers), 1))
    for start, _ in edges:
        readers[start] += 1
    pixels = max(int(live.source.height) * int(live.source.width), 1)
    rows = [_described(layer, readers[k], pixels) for k, layer in enumerate(live.layers)]
    features = np.array(rows or [[0.0] * len(DESCRIPTORS)], dtype=np.float64)
    return Graph(features, np.array(edges, dtype=np.int64).reshape(-1, 2).T)


def _described(layer: Layer, readers: float, pixels: int) -> list[float]:
    channels = max(int(layer.out_channels), 1)
    groups = int(layer.groups)
    window = layer.op == "conv" or layer.op in _POOLS
    kernel = int(layer.kernel_height) * int(layer.kernel_width) if window else 0
    values = (
        layer.op == "conv",
        layer.op == "conv" and groups > 1,
        layer.op in _POOLS,
        layer.op in _JOINS,
        np.log2(1 + kernel),
        int(layer.stride) > 1,
        np.log2(groups) if layer.op == "conv" else 0,
        np.log2(1 + int(layer_params(layer)) / channels),
        np.log2(1 + int(layer_macs(layer)) / channels / pixels),
        np.log2(1 + readers),
    )
    return [float(value) for value in values]


@cache
def _shipped() -> tuple[GraphNetwork, ...]:
    path = predictor_file("tg-nas")
    document = parse_json(read_text(path), str(path))
    return tuple(
        GraphNetwork({name: np.array(value) for name, value in fit.items()})
        for fit in document["fits"]
    )


def _score(network: Network) -> float:
    return float(mean_scores(_shipped(), [graph_of(network)])[0])


def _scores(space: SearchSpace, indices: NDArray[np.int64]) -> dict[str, Floats]:
    graphs = [graph_of(space.network(design)) for design in indices]
    return {TG_NAS.name: mean_scores(_shipped(), graphs)}


TG_NAS = NetworkMetric(
    quantity=Quantity("tg_nas", "TG-NAS"),
    source="after Qiao et al. 2024 (arXiv 2404.00271); descriptors, pooling and weights are ours",
    network=_score,
    designs=_scores,
)
