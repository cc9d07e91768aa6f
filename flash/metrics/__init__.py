"""Data-free scores of networks, each declared once (``flash.metrics.metric``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.metrics.degree import network_nn_degree, nn_degree
    from flash.metrics.mass import nn_mass
    from flash.metrics.memory import (
        parameter_count,
        peak_activation_bytes,
        peak_activation_elements,
    )
    from flash.metrics.metric import CellMetric, Metric, NetworkMetric, StageMetric
    from flash.metrics.registry import METRICS, network_scores, own_metric, scores
    from flash.metrics.sed import LayerEntropy, Score, Scores, layer_entropies, score_network

__all__ = [
    "METRICS",
    "CellMetric",
    "LayerEntropy",
    "Metric",
    "NetworkMetric",
    "Score",
    "Scores",
    "StageMetric",
    "layer_entropies",
    "network_nn_degree",
    "network_scores",
    "nn_degree",
    "nn_mass",
    "own_metric",
    "peak_activation_bytes",
    "peak_activation_elements",
    "score_network",
    "parameter_count",
    "scores",
]

_HOMES = {
    "memory": (
        "parameter_count",
        "peak_activation_bytes",
        "peak_activation_elements",
    ),
    "metric": (
        "CellMetric",
        "Metric",
        "NetworkMetric",
        "StageMetric",
    ),
    "degree": (
        "network_nn_degree",
        "nn_degree",
    ),
    "mass": ("nn_mass",),
    "registry": (
        "METRICS",
        "network_scores",
        "own_metric",
        "scores",
    ),
    "sed": (
        "LayerEntropy",
        "Score",
        "Scores",
        "layer_entropies",
        "score_network",
    ),
}

__getattr__ = lazily(
    __name__, {name: (module, "") for module, names in _HOMES.items() for name in names}
)
