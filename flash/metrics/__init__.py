"""Data-free scores of networks, each declared once (``flash.metrics.metric``)."""

from __future__ import annotations

from flash.metrics.memory import (
    parameter_count,
    peak_activation_bytes,
    peak_activation_elements,
)
from flash.metrics.metric import CellMetric, Metric, NetworkMetric, StageMetric
from flash.metrics.nn_degree import network_nn_degree, nn_degree
from flash.metrics.nn_mass import nn_mass
from flash.metrics.scores import METRICS, network_scores, own_metric, scores
from flash.metrics.sed import Score, Scores, score_network

__all__ = [
    "METRICS",
    "CellMetric",
    "Metric",
    "NetworkMetric",
    "Score",
    "Scores",
    "StageMetric",
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
