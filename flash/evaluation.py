"""Designs of a space on a target: every quantity flash knows about them.

``evaluate`` goes through the layers of each design and returns everything; ``separable``
tabulates what an optimizer needs, so that millions of designs a second can be scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.hardware.processor import costs, energy_interval, features, latency_interval
from flash.hardware.profile import BYTES, Profile
from flash.metrics import (
    CELL_METRICS,
    network_nn_degree,
    nn_degree,
    nn_mass,
    peak_activation_elements,
    weight_elements,
)
from flash.metrics.rank import RANK_METRICS, with_score
from flash.optimize.problem import Combine, Floats, SeparableProblem, tabulate
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.table import LayerTable

__all__ = [
    "METRICS",
    "Evaluation",
    "Metrics",
    "evaluate",
    "evaluate_network",
    "measure",
    "measure_network",
    "separable",
]

#: Designs looked at together: large enough to vectorise, small enough for the cache.
_CHUNK = 2048

#: Scores a search can maximise.
METRICS = (*CELL_METRICS, *RANK_METRICS)

Triple = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Metrics:
    """What designs are, without a target; arrays of shape (designs,).

    nn_degree, nn_mass: NaN for a network without cells, such as one read from a file.
    weight_mb, activation_mb: 10^6 bytes in the target's precision (fp32 without one).
    """

    nn_degree: Floats
    nn_mass: Floats
    params: Floats
    macs: Floats
    weight_mb: Floats
    activation_mb: Floats


@dataclass(frozen=True)
class Evaluation(Metrics):
    """What designs are and cost; arrays of shape (designs,).

    latency_ms, energy_mj: value, low and high of the 90 % interval.
    extrapolated:          the cost model was fitted to nothing like the design.
    """

    latency_ms: Triple
    energy_mj: Triple
    extrapolated: NDArray[np.bool_]


def measure(space: SearchSpace, indices: NDArray[np.int64]) -> Metrics:
    """What can be said of designs (indices, shape (designs, variables)) without a target."""
    return Metrics(**_in_chunks(space, indices, lambda t: _metrics(t, BYTES["fp32"])))


def measure_network(network: Network) -> Metrics:
    """What can be said of one network without a target; arrays of shape (1,)."""
    return Metrics(**_without_cells(network, _metrics(_table(network), BYTES["fp32"])))


def evaluate(space: SearchSpace, profile: Profile, indices: NDArray[np.int64]) -> Evaluation:
    """Everything about designs (indices, shape (designs, variables)) on a target."""
    return _evaluation(_in_chunks(space, indices, lambda t: _look(t, profile)), profile)


def evaluate_network(network: Network, profile: Profile) -> Evaluation:
    """Everything about one network on a target; arrays of shape (1,)."""
    return _evaluation(_without_cells(network, _look(_table(network), profile)), profile)


def _look(table: LayerTable, profile: Profile) -> dict[str, Floats]:
    found = _metrics(table, BYTES[profile.runtime.precision])
    found |= costs(table, profile)
    found |= {f"total_{name}": v for name, v in features(table, profile).items()}
    return found


def _evaluation(found: dict[str, Floats], profile: Profile) -> Evaluation:
    totals = {name[6:]: found.pop(name) for name in list(found) if name.startswith("total_")}
    latency, energy = found.pop("latency_ms"), found.pop("energy_mj")
    low, high, extrapolated = latency_interval(latency, totals, profile)
    energy_low, energy_high = energy_interval(energy, low / latency, high / latency, profile)
    return Evaluation(
        **found,
        latency_ms=(latency, low, high),
        energy_mj=(energy, energy_low, energy_high),
        extrapolated=extrapolated,
    )


def _table(network: Network) -> LayerTable:
    return LayerTable(network.layers, [True] * len(network.layers), network.output, 1)


def _without_cells(network: Network, found: dict[str, Floats]) -> dict[str, Floats]:
    """Where nobody says what a cell is: NN-Degree from the graph, NN-Mass unknown (not 0)."""
    if all(layer.cell < 0 for layer in network.layers):
        found |= {
            "nn_degree": np.array([network_nn_degree(network)]),
            "nn_mass": np.full(1, np.nan),
        }
    return found


def separable(space: SearchSpace, profile: Profile, metric: str) -> SeparableProblem:
    """The stage tables of ``metric`` and of all costs on the target.

    Raises ``UsageError`` for a metric that is no sum over the stages of the space.

    Quantities: the metric, ``latency_ms``, ``energy_mj``, ``weight_mb`` (sums over stages)
    and ``activation_mb`` (a maximum).
    """
    element_bytes = BYTES[profile.runtime.precision]

    def stage_costs(table: LayerTable) -> Mapping[str, Floats]:
        return {
            **costs(table, profile),
            "weight_mb": _megabytes(weight_elements(table), element_bytes),
            "activation_mb": _megabytes(peak_activation_elements(table), element_bytes),
        }

    combine: dict[str, Combine] = {
        "latency_ms": "sum",
        "energy_mj": "sum",
        "weight_mb": "sum",
        "activation_mb": "max",
    }
    if metric in RANK_METRICS:
        problem = tabulate(space, stage_costs, lambda _: {}, combine)
        return with_score(problem, space, metric)
    score = CELL_METRICS[metric]
    return tabulate(space, stage_costs, lambda t: {metric: score(t)}, {metric: "sum", **combine})


def _metrics(table: LayerTable, element_bytes: int) -> dict[str, Floats]:
    return {
        "nn_degree": nn_degree(table),
        "nn_mass": nn_mass(table),
        "params": table.params.sum(axis=0).astype(np.float64),
        "macs": table.macs.sum(axis=0).astype(np.float64),
        "weight_mb": _megabytes(weight_elements(table), element_bytes),
        "activation_mb": _megabytes(peak_activation_elements(table), element_bytes),
    }


def _megabytes(elements: NDArray[np.int64], element_bytes: int) -> Floats:
    megabytes: Floats = elements.astype(np.float64) * (element_bytes / 1e6)
    return megabytes


def _in_chunks(
    space: SearchSpace,
    indices: NDArray[np.int64],
    look: Callable[[LayerTable], dict[str, Floats]],
) -> dict[str, Floats]:
    parts = [
        look(space.table(indices[start : start + _CHUNK]))
        for start in range(0, len(indices), _CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
