"""A small graph convolution network (Kipf and Welling 2017), in numpy: fitted once, then read.

    H_0 = standardised features,   H_l+1 = relu(A H_l W_l + b_l),   score = mean over nodes of H . v

``A`` is the adjacency with self-loops, D^-1/2 (A + A^T + I) D^-1/2, of each graph on its own.
Graphs of different sizes are put side by side, so that a batch is one product of sparse matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fitting", "Graph", "GraphNetwork", "mean_scores"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Graph:
    """Nodes with features, and directed edges between them.

    features: shape (nodes, features).  edges: (2, edges), from and to.
    """

    features: Floats
    edges: Ints


@dataclass(frozen=True)
class Fitting:
    """How a network is fitted: AdamW on the mean squared error; the sizes are ours.

    The rate falls to a tenth after every ``falls`` epochs.
    """

    hidden: int = 8
    layers: int = 1
    epochs: int = 30
    batch: int = 32
    rate: float = 3e-3
    decay: float = 1e-2
    falls: int = 15


@dataclass(frozen=True)
class _Batch:
    """Graphs side by side: adjacency (nodes, nodes), mean over each one's nodes (graphs, nodes)."""

    features: Floats
    adjacency: Any
    mean: Any


class GraphNetwork:
    """Weights of the layers, with the mean and deviation of the features they were fitted on."""

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        self.arrays = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}
        self._layers = sum(name.startswith("weight") for name in self.arrays)

    @classmethod
    def fitted(
        cls, graphs: Sequence[Graph], targets: Floats, seed: int, how: Fitting | None = None
    ) -> GraphNetwork:
        """The network fitted to graphs and their scores, shape (graphs,); seeded."""
        how = how or Fitting()
        rng = np.random.default_rng(seed)
        nodes = np.concatenate([graph.features for graph in graphs])
        deviation = nodes.std(axis=0)
        arrays = {"mean": nodes.mean(axis=0), "deviation": np.where(deviation > 0, deviation, 1.0)}
        sizes = [nodes.shape[1], *[how.hidden] * how.layers]
        for k, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            arrays[f"weight{k}"] = rng.normal(size=(fan_in, fan_out)) * np.sqrt(2 / fan_in)
            arrays[f"shift{k}"] = np.zeros(fan_out)
        arrays["out"] = rng.normal(size=how.hidden) / np.sqrt(how.hidden)
        arrays["offset"] = np.zeros(1)
        network = cls(arrays)
        adam = _AdamW([n for n in arrays if n not in ("mean", "deviation")], how)
        for epoch in range(how.epochs):
            order = rng.permutation(len(graphs))
            for start in range(0, len(order), how.batch):
                chosen = order[start : start + how.batch]
                batch = _side_by_side([graphs[k] for k in chosen])
                adam.step(network.arrays, network._gradients(batch, targets[chosen]), epoch)
        return network

    def scores(self, graphs: Sequence[Graph]) -> Floats:
        """Scores of graphs, shape (graphs,)."""
        return mean_scores((self,), graphs)

    def forward(self, batch: _Batch) -> tuple[Floats, list[Floats]]:
        """Scores, and what each layer read: A H_l, then what the last one put out."""
        own = self.arrays
        x = (batch.features - own["mean"]) / own["deviation"]
        kept = []
        for k in range(self._layers):
            spread = batch.adjacency @ x
            kept.append(spread)
            x = np.maximum(spread @ own[f"weight{k}"] + own[f"shift{k}"], 0)
        kept.append(x)
        return batch.mean @ (x @ own["out"]) + own["offset"][0], kept

    def _gradients(self, batch: _Batch, targets: Floats) -> dict[str, Floats]:
        """Of the mean squared error, by array."""
        own = self.arrays
        found, kept = self.forward(batch)
        slope = 2 * (found - targets) / len(targets)
        node = batch.mean.T @ slope
        last = kept[-1]
        gradients = {"out": last.T @ node, "offset": np.array([slope.sum()])}
        back = np.outer(node, own["out"])
        for k in reversed(range(self._layers)):
            active = kept[k] @ own[f"weight{k}"] + own[f"shift{k}"] > 0
            back = back * active
            gradients[f"weight{k}"] = kept[k].T @ back
            gradients[f"shift{k}"] = back.sum(axis=0)
            back = batch.adjacency @ (back @ own[f"weight{k}"].T)
        return gradients


def mean_scores(networks: Sequence[GraphNetwork], graphs: Sequence[Graph]) -> Floats:
    """Means over the networks of the scores of graphs, shape (graphs,)."""
    parts = []
    for some in _chunks(graphs):
        batch = _side_by_side(some)
        parts.append(np.mean([network.forward(batch)[0] for network in networks], axis=0))
    return np.concatenate(parts) if parts else np.zeros(0)


class _AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); shifts do not decay."""

    def __init__(self, names: Sequence[str], how: Fitting) -> None:
        self._how = how
        self._moments: dict[str, tuple[Floats, Floats]] = {}
        self._names = names
        self._steps = 0

    def step(self, arrays: dict[str, Floats], gradients: Mapping[str, Floats], epoch: int) -> None:
        """One step down."""
        self._steps += 1
        rate = self._how.rate * 0.1 ** (epoch // self._how.falls)
        for name in self._names:
            slope = gradients[name]
            mean, square = self._moments.get(name, (np.zeros_like(slope), np.zeros_like(slope)))
            mean = 0.9 * mean + 0.1 * slope
            square = 0.999 * square + 0.001 * slope**2
            self._moments[name] = mean, square
            size = np.sqrt(square / (1 - 0.999**self._steps)) + 1e-8
            step = mean / (1 - 0.9**self._steps) / size
            if arrays[name].ndim > 1:
                step = step + self._how.decay * arrays[name]
            arrays[name] = arrays[name] - rate * step


#: Graphs computed together; only memory depends on it.
_TOGETHER = 256


def _chunks(graphs: Sequence[Graph]) -> Iterator[Sequence[Graph]]:
    for start in range(0, len(graphs), _TOGETHER):
        yield graphs[start : start + _TOGETHER]


def _side_by_side(graphs: Sequence[Graph]) -> _Batch:
    from scipy.sparse import csr_array  # noqa: PLC0415 (slow to import)

    sizes = np.array([len(graph.features) for graph in graphs])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    edges = np.concatenate(
        [graph.edges + start for graph, start in zip(graphs, starts, strict=True)], axis=1
    )
    total = int(sizes.sum())
    own = np.arange(total)
    rows = np.concatenate([edges[0], edges[1], own])
    columns = np.concatenate([edges[1], edges[0], own])
    adjacency = csr_array((np.ones(len(rows)), (rows, columns)), shape=(total, total))
    adjacency.data = np.minimum(adjacency.data, 1.0)
    scale = 1 / np.sqrt(np.asarray(adjacency.sum(axis=1)).ravel())
    adjacency = adjacency.multiply(scale[:, None]).multiply(scale[None, :]).tocsr()
    graph_of = np.repeat(np.arange(len(graphs)), sizes)
    mean = csr_array((1 / sizes[graph_of], (graph_of, own)), shape=(len(graphs), total))
    return _Batch(np.concatenate([graph.features for graph in graphs]), adjacency, mean)
