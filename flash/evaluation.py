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
    nn_degree,
    nn_mass,
    peak_activation_elements,
    weight_elements,
)
from flash.optimize.problem import Floats, SeparableProblem, tabulate
from flash.spaces.space import SearchSpace
from flash.spaces.table import LayerTable

__all__ = ["Evaluation", "Metrics", "evaluate", "measure", "separable"]

#: Designs looked at together: large enough to vectorise, small enough for the cache.
_CHUNK = 2048

Triple = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Metrics:
    """What designs are, without a target; arrays of shape (designs,).

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


def evaluate(space: SearchSpace, profile: Profile, indices: NDArray[np.int64]) -> Evaluation:
    """Everything about designs (indices, shape (designs, variables)) on a target."""
    element_bytes = BYTES[profile.runtime.precision]

    def look(table: LayerTable) -> dict[str, Floats]:
        found = _metrics(table, element_bytes)
        found |= costs(table, profile)
        found |= {f"total_{name}": v for name, v in features(table, profile).items()}
        return found

    found = _in_chunks(space, indices, look)
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


def separable(space: SearchSpace, profile: Profile, metric: str) -> SeparableProblem:
    """The stage tables of ``metric`` and of all costs on the target.

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

    return tabulate(
        space,
        stage_costs,
        lambda table: {metric: CELL_METRICS[metric](table)},
        {
            metric: "sum",
            "latency_ms": "sum",
            "energy_mj": "sum",
            "weight_mb": "sum",
            "activation_mb": "max",
        },
    )


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
