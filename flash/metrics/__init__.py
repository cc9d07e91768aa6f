"""Data-free scores of networks, vectorised over a layer table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from flash.metrics.memory import peak_activation_elements, weight_elements
from flash.metrics.nn_degree import network_nn_degree, nn_degree
from flash.metrics.nn_mass import nn_mass
from flash.metrics.sed import Score, Scores, score_network
from flash.spaces.table import LayerTable

__all__ = [
    "CELL_METRICS",
    "Score",
    "Scores",
    "network_nn_degree",
    "nn_degree",
    "nn_mass",
    "peak_activation_elements",
    "score_network",
    "weight_elements",
]

#: Scores that add up over cells, by the name users give them; more is better. What does not,
#: or needs more than a cell's own layers (``sed``, ``rank_score``), is in ``flash.metrics.rank``.
CELL_METRICS: Mapping[str, Callable[[LayerTable], NDArray[np.float64]]] = MappingProxyType(
    {"nn_degree": nn_degree, "nn_mass": nn_mass}
)
