"""Screening: scoring the best of a front with a metric that runs the network, and picking anew.

The optimizers go through a space by a data-free score, at millions of designs a second. A proxy
takes milliseconds to seconds a network, so it sees a shortlist only: designs spread over that
front, and designs one step away from them. What no other design of the shortlist dominates, by
the proxy's score and the costs, is the new front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.metrics import METRICS
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem, within
from flash.optimize.objectives import values_of
from flash.optimize.pareto import non_dominated
from flash.proxies.metric import metric_scores, source_of
from flash.proxies.options import ProxyOptions
from flash.search.front import Screened
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.search.problem.relaxation import real_values
from flash.spaces.stage_tables import Floats

__all__ = ["screen", "shortlisted"]


def screen(
    problem: Problem,
    tables: SeparableProblem,
    base: OptimizerResult,
    limits: Sequence[Limit],
    metric: str,
    seed: int,
    size: int,
    options: ProxyOptions,
) -> Screened:
    """Score ``size`` designs on and around the front ``base``; keep those that none dominates.

    Raises ``FlashError`` if the metric can score no design, and as ``score_networks`` does.
    """
    designs = shortlisted(problem, tables, base, limits, size)
    networks = [problem.networks.network(design) for design in designs]
    scores = metric_scores(networks, metric, seed, options)
    designs = designs[scores.scored]
    is_score = [of.name in METRICS for of in base.objectives]
    objectives = tuple(
        Objective(metric, "max") if score else of
        for score, of in zip(is_score, base.objectives, strict=True)
    )
    values = _values(problem, tables, designs, base.objectives)
    values[:, is_score] = scores.values[metric][:, None]
    best = np.flatnonzero(non_dominated(values, [of.sign for of in objectives]))
    score_name = next(of.name for of, score in zip(base.objectives, is_score, strict=True) if score)
    before = "certified" if base.certified else "not certified"
    message = (
        f"{metric} re-picked {len(best)} of {len(designs)} designs on and near the "
        f"front by {score_name} ({len(base)} designs, {before})"
    )
    result = replace(
        base,
        objectives=objectives,
        indices=designs[best],
        values=values[best],
        gap_percent=None,
        certified=False,
        message=message,
    )
    kept = {name: values[best] for name, values in scores.values.items()}
    return Screened(result, kept, (source_of(metric, seed, options.data), *scores.notes))


def shortlisted(
    problem: Problem,
    tables: SeparableProblem,
    base: OptimizerResult,
    limits: Sequence[Limit],
    size: int,
) -> Ints:
    """Up to ``size`` designs, shape (k, variables): half of the front, the rest around it.

    Of the front those spread evenly over it, its ends included. Around it the designs one grid
    step away in one variable that meet the limits, in turn for each of those designs the one
    that loses least to the front.
    """
    order = np.lexsort(base.values.T[::-1])
    half = min(len(order), max(2, size // 2))
    front = base.indices[order[np.linspace(0, len(order) - 1, half).round().astype(np.int64)]]
    rows = [tuple(row) for row in front.tolist()]
    seen = {tuple(row) for row in base.indices.tolist()}
    queues = []
    for design in front:
        near = _steps(tables.sizes, design)
        limited = _values(problem, tables, near, [limit.quantity for limit in limits])
        near = near[within(limited, limits)]
        loss = _loss(base, _values(problem, tables, near, base.objectives))
        queues.append(near[np.argsort(loss, kind="stable")].tolist())
    while len(rows) < size and any(queues):
        for queue in queues:
            row = tuple(queue.pop(0)) if queue else None
            if row is not None and row not in seen and len(rows) < size:
                seen.add(row)
                rows.append(row)
    return np.array(rows, dtype=np.int64)


def _steps(sizes: Sequence[int], design: Ints) -> Ints:
    """Designs one grid step away in one variable, shape (k, variables)."""
    moves = np.concatenate([np.eye(len(sizes), dtype=np.int64) * step for step in (-1, 1)])
    moved = design + moves
    inside: NDArray[np.bool_] = ((moved >= 0) & (moved < np.asarray(sizes))).all(axis=1)
    return np.asarray(moved[inside])


def _loss(base: OptimizerResult, values: Floats) -> Floats:
    """How much of the front's range a design would have to gain in everything at once to be
    dominated by none of the front (the additive epsilon of Zitzler et al. 2003).
    """
    signs = np.asarray(base.signs)
    front = base.values * signs
    scale = np.where(np.ptp(front, axis=0) > 0, np.ptp(front, axis=0), 1.0)
    excess = (values[:, None, :] * signs - front[None, :, :]) / scale
    return np.asarray(excess.min(axis=2).max(axis=1))


def _values(
    problem: Problem, tables: SeparableProblem, designs: Ints, objectives: Sequence[Objective]
) -> Floats:
    """Objectives of designs: from the stage tables where these are exact, else layer by layer."""
    if problem.target.exact or not len(designs):
        return values_of(tables, designs, objectives)
    return real_values(tables, designs, problem.evaluate(designs), objectives)
