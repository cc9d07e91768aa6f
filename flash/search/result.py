"""From what a search found to the objects that reports are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.evaluation import Evaluation
from flash.optimize import OptimizerResult, SeparableProblem, knee
from flash.report.result import WIDENED, DesignReport, Interval, Picks
from flash.search.problem import Subject
from flash.spaces.stage_tables import Floats
from flash.targets import Triple

__all__ = ["design_report", "looked_up", "notes", "picks"]


def looked_up(problem: SeparableProblem, found: Evaluation, result: OptimizerResult) -> Evaluation:
    """The evaluation with the very numbers the limits were checked on.

    Layers and stage tables add up in different orders; the last digits differ.
    """
    same = problem.evaluate(result.indices)

    def around(value: Floats, triple: Triple) -> Triple:
        return value, np.minimum(triple[1], value), np.maximum(triple[2], value)

    return replace(
        found,
        latency_ms=around(same["latency_ms"], found.latency_ms),
        energy_mj=around(same["energy_mj"], found.energy_mj),
        weight_mb=same["weight_mb"],
        activation_mb=same["activation_mb"],
    )


def design_report(
    subject: Subject, metric: str, indices: NDArray[np.int64],
    found: Evaluation, row: int, score: float, accuracy: Interval | None = None,
    proxies: Mapping[str, float] | None = None,
) -> DesignReport:  # fmt: skip
    """Everything about the design in row ``row`` of ``found``."""
    space, target = subject.space, subject.target
    own = {} if metric in DesignReport.__dataclass_fields__ else {metric: score}
    extrapolated = bool(found.extrapolated[row])
    widened = f", {WIDENED} the fitted networks (our rule)" if extrapolated else ""
    return DesignReport(
        id=space.identify(indices),
        design=space.named(indices),
        accuracy=accuracy,
        nn_degree=found.nn_degree[row],
        nn_mass=found.nn_mass[row],
        sed=score if metric == "sed" else None,
        rank_score=score if metric == "rank_score" else None,
        latency_ms=_interval(found.latency_ms, row, target.latency_how + widened),
        energy_mj=_interval(found.energy_mj, row, how) if (how := target.energy_how) else None,
        memory_mb=found.weight_mb[row] + found.activation_mb[row],
        weight_mb=found.weight_mb[row],
        activation_mb=found.activation_mb[row],
        area_mm2=found.area_mm2 and _interval(found.area_mm2, row, target.area_how),
        params=int(found.params[row]),
        macs=int(found.macs[row]),
        extrapolated=extrapolated,
        description=space.describe(indices),
        hardware=subject.hardware(indices),
        proxies={**own, **(proxies or {})},
    )


def _interval(triple: Triple, row: int, how: str) -> Interval:
    value, low, high = (float(values[row]) for values in triple)
    return Interval(value, low, high, how)


def picks(
    result: OptimizerResult, front: Sequence[DesignReport], latency_ms: Floats, score: Floats
) -> Picks:
    """The fastest, the balanced and the most accurate design."""
    return Picks(
        fastest=front[int(np.argmin(latency_ms))].id,
        balanced=front[knee(result.values, result.signs)].id,
        most_accurate=front[int(np.argmax(score))].id,
    )


def notes(given: Sequence[str], found: Evaluation) -> list[str]:
    """What the reader should know, a sentence each."""
    found_notes = list(given)
    outside = int(found.extrapolated.sum())
    if outside:
        found_notes.append(
            f"{outside} of {len(found.extrapolated)} designs lie outside the networks the "
            "cost model was fitted to; their intervals are widened"
        )
    return found_notes
