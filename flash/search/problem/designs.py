"""Designs as reports show them: named, with every quantity and where its interval comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.calibration import Prediction
from flash.evaluation import Evaluation
from flash.report.design import DesignReport
from flash.report.interval import Interval
from flash.search.problem.base import Ints, Problem
from flash.spaces.stage_tables import Floats
from flash.targets import Triple

__all__ = ["DesignNames", "design_reports", "names_of"]

#: What a design's costs are extrapolated from.
_FITTED: Final = "fitted networks"


@dataclass(frozen=True)
class DesignNames:
    """What one design is called: its id, its variables, one line for people."""

    id: str
    values: dict[str, int]
    description: str


def names_of(problem: Problem, indices: Ints) -> list[DesignNames]:
    """The names of designs, shape (designs, variables)."""
    space = problem.space
    return [
        DesignNames(space.identify(row), space.named(row), space.describe(row)) for row in indices
    ]


def design_reports(
    problem: Problem,
    indices: Ints,
    names: Sequence[DesignNames],
    found: Evaluation,
    score: tuple[str, Floats],
    accuracy: tuple[Prediction | None, str] = (None, ""),
    proxies: Mapping[str, Floats] | None = None,
) -> list[DesignReport]:
    """One report a design; every argument has a row for each.

    score:    the metric maximised and its values.
    accuracy: predicted, and how its intervals come about.
    proxies:  further scores by name.
    """
    target = problem.target
    latency_how, energy_how, area_how = target.latency_how, target.energy_how, target.area_how
    chips = [problem.hardware(row) for row in indices]
    metric, values = score
    scores = dict(proxies or {})
    if metric not in DesignReport.__dataclass_fields__:
        scores[metric] = values
    latency = _intervals(found.latency_ms, latency_how, _FITTED, found.extrapolated)
    energy = (
        _intervals(found.energy_mj, energy_how, _FITTED, found.extrapolated) if energy_how else None
    )
    predicted, accuracy_how = accuracy
    percent = None
    if predicted is not None:
        ends = (predicted.value, predicted.low, predicted.high)
        percent = _intervals(ends, accuracy_how, "trained networks", predicted.outside)
    area = None if found.area_mm2 is None else _intervals(found.area_mm2, area_how)
    return [
        DesignReport(
            id=name.id,
            design=name.values,
            accuracy=None if percent is None else percent[row],
            nn_degree=found.nn_degree[row],
            nn_mass=found.nn_mass[row],
            sed=values[row] if metric == "sed" else None,
            rank_score=values[row] if metric == "rank_score" else None,
            latency_ms=latency[row],
            energy_mj=None if energy is None else energy[row],
            memory_kb=found.weight_kb[row] + found.activation_kb[row],
            weight_kb=found.weight_kb[row],
            activation_kb=found.activation_kb[row],
            area_mm2=None if area is None else area[row],
            params=int(found.params[row]),
            macs=int(found.macs[row]),
            extrapolated=bool(found.extrapolated[row]),
            description=name.description,
            hardware=chips[row],
            proxies={name: float(own[row]) for name, own in scores.items()},
        )
        for row, name in enumerate(names)
    ]


def _intervals(
    triple: Triple, how: str, known: str = "", extrapolated: NDArray[np.bool_] | None = None
) -> list[Interval]:
    """Intervals of designs; those extrapolated are unlike all networks ``known``."""
    wider = f"{how}, widened outside the {known} (our rule)"
    flags = [False] * len(triple[0]) if extrapolated is None else extrapolated.tolist()
    ends = (np.asarray(end).tolist() for end in triple)
    return [
        Interval(value, low, high, wider if outside else how, outside)
        for value, low, high, outside in zip(*ends, flags, strict=True)
    ]
