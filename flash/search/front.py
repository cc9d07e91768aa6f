"""The designs of a front: evaluated once, then reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.calibration import Prediction
from flash.evaluation import Evaluation, costs_of_random, sums_of_random
from flash.metrics import evidence
from flash.optimize import OptimizerResult, SeparableProblem
from flash.report.chip import ChipView
from flash.report.data import OptimizerSummary, Picks, SpaceSummary
from flash.report.design import DesignReport
from flash.report.result import SearchReport
from flash.search.objective import Goal
from flash.search.picks import DIGITS, Choice, written_apart
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.search.problem.designs import (
    design_reports,
    names_of,
)
from flash.search.request import PICKS
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["Background", "Front", "Screened", "evaluate_front", "report_on"]

#: Random designs behind the front of the picture: (latency in ms, score as reports show it).
Background = tuple[tuple[float, float], ...]
#: How many of them.
_BACKGROUND = 400


@dataclass(frozen=True)
class Screened:
    """A front, and the scores by which it was picked anew.

    result: where a proxy scored, its score takes the place of the front's score.
    scores: what the proxy's metric is made of, and the metric itself, by name; shape (designs,).
    notes:  what the reader should know, a sentence each.
    """

    result: OptimizerResult
    scores: Mapping[str, Floats] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Front:
    """Everything known of the designs an optimizer found, a row each.

    objectives: values of the objectives as reports show them, shape (designs, objectives).
    score:      the metric maximised.
    utility:    what the most accurate design has most of.
    kept:       which designs reach the limit on accuracy.
    """

    indices: Ints
    objectives: Floats
    costs: Evaluation
    score: Floats
    accuracy: Prediction | None
    utility: Floats
    kept: NDArray[np.bool_]
    background: Background


def evaluate_front(
    problem: Problem,
    tables: SeparableProblem,
    goal: Goal,
    result: OptimizerResult,
    proxy: Floats | None,
    seed: int,
) -> Front:
    """Evaluate the designs of ``result``, and random ones for the picture, drawn with ``seed``.

    Where stage tables are exact, the costs are the sums that limits were checked on. ``proxy``
    is the score by which the front was picked anew, if it was.

    Raises ``InfeasibleError`` if no design reaches the limit on accuracy.
    """
    indices = result.indices
    costs = problem.evaluate(indices, tables)
    latency_ms, metric = _random(problem, goal, tables, seed)
    score = costs.sums[goal.metric]
    accuracy = goal.predict(problem, indices, score)
    objectives = np.array(result.values)
    for column, of in enumerate(result.objectives):
        if of.name == goal.metric:
            objectives[:, column] = goal.shown(objectives[:, column])
    utility = score if accuracy is None or goal.rises else accuracy.value
    return Front(
        indices,
        objectives,
        costs,
        score,
        accuracy,
        utility if proxy is None else proxy,
        goal.kept(accuracy, len(indices)),
        tuple(zip(latency_ms.tolist(), goal.shown(metric).tolist(), strict=True)),
    )


def _random(
    problem: Problem, goal: Goal, tables: SeparableProblem, seed: int
) -> tuple[Floats, Floats]:
    """Latency and metric of random designs, each of shape (designs,), as the front's are told."""
    if problem.target.exact:
        names = ("latency_ms", goal.metric)
        latency_ms, metric = sums_of_random(problem.space.sample, tables, names, _BACKGROUND, seed)
        return latency_ms, metric
    sample = problem.space.sample
    found = costs_of_random(sample, lambda x: problem.evaluate(x, tables), _BACKGROUND, seed)
    return found.latency_ms[0], found.sums[goal.metric]


def report_on(
    problem: Problem,
    tables: SeparableProblem,
    goal: Goal,
    result: OptimizerResult,
    front: Front,
    limits: Mapping[str, float],
    screened: Screened,
) -> tuple[SearchReport, ChipView | None]:
    """The report of a search, and what there is to draw of the balanced design's chip.

    limits: the user's own, by quantity.
    """
    status, how = goal.status, goal.how
    whole = np.flatnonzero(front.kept)
    kept = whole[written_apart(front.objectives[whole], result.signs)]
    kept = kept[np.argsort(front.costs.latency_ms[0][kept], kind="stable")]
    objectives = [{goal.metric: goal.shown_as}.get(of.name, of.name) for of in result.objectives]
    fastest, balanced, most_accurate = kept[
        list(_choice(front, kept, objectives, result.signs).best())
    ]
    names = names_of(problem, front.indices)
    space, inside = _space_summary(problem), _inside_note(problem.networks)
    chip = problem.chip(front.indices[balanced], "Balanced design")
    target, facts = problem.target.summary(), problem.target.notes
    designs = design_reports(
        problem,
        front.indices,
        names,
        front.costs,
        (goal.metric, front.score),
        (front.accuracy, how),
        screened.scores,
    )
    shown = [designs[row] for row in kept]
    report = SearchReport(
        target=target,
        space=space,
        objectives=objectives,
        limits=limits,
        optimizer=_certificate(
            result,
            goal.dropped(len(designs) - len(whole), len(designs))
            + _same_in_print(len(whole) - len(kept)),
        ),
        front=shown,
        picks=Picks(*(designs[row].id for row in (fastest, balanced, most_accurate))),
        notes=[
            *facts,
            *inside,
            *_notes(shown),
            *goal.notes,
            *(_evidence(problem, tables, goal.metric) if goal.model is None else ()),
            *screened.notes,
            PICKS,
        ],
        accuracy=status,
    )
    return report, chip


def _evidence(problem: Problem, tables: SeparableProblem, metric: str) -> list[str]:
    """What to believe of the metric, which tables of one stage know of all designs."""

    def known(designs: Ints) -> Floats:
        return tables.evaluate(designs, metric)[metric]

    whole = problem.one_chip and tables.tabulated and len(tables.stages) == 1
    return evidence.of_space(problem.networks, metric, known if whole else None)


def _certificate(result: OptimizerResult, left_out: str) -> OptimizerSummary:
    """What the optimizer did; ``left_out`` goes on where its message ends."""
    gap = None if result.gap_percent is None else result.gap_percent / 100
    return OptimizerSummary(
        result.name,
        result.evaluations,
        result.seconds,
        gap,
        result.certified,
        result.message + left_out,
    )


def _choice(front: Front, rows: Ints, names: Sequence[str], signs: Sequence[float]) -> Choice:
    """The designs of these rows, to pick from."""
    costs = front.costs
    ends = {
        name: tuple(end[rows] for end in triple)
        for name in ("latency_ms", "energy_mj", "area_mm2")
        if (triple := getattr(costs, name)) is not None
    }
    if front.accuracy is not None:
        found = front.accuracy
        ends["accuracy"] = found.value[rows], found.low[rows], found.high[rows]
    outside, utility = costs.extrapolated[rows], front.utility[rows]
    return Choice(names, signs, front.objectives[rows], ends, outside, utility)


def _same_in_print(dropped: int) -> str:
    """What to add to an optimizer's message where designs differ in digits nobody is shown."""
    if not dropped:
        return ""
    are = "is" if dropped == 1 else "are"
    return f"; {dropped:,} that another dominates in {DIGITS} digits {are} left out"


def _space_summary(problem: Problem) -> SpaceSummary:
    """The space, and how much of it was searched where that was narrowed to what was trained."""
    space, networks = problem.space, problem.networks
    legend = networks.family.legend or None
    if networks.whole is None:
        return SpaceSummary(space.name, space.size, space.distinct, legend=legend)
    every = _whole(networks)
    size = space.size // networks.size * every.size
    distinct = space.distinct // networks.distinct * every.distinct
    return SpaceSummary(space.name, size, distinct, space.size, legend=legend)


def _whole(networks: SearchSpace) -> SearchSpace:
    """The space before it was narrowed."""
    return replace(networks, grids=networks.whole or networks.grids, whole=None)


def _inside_note(networks: SearchSpace) -> list[str]:
    """How many designs were searched where a search stays within what was trained."""
    if networks.whole is None:
        return []
    return [
        f"searched are the {networks.size:,} networks within what was trained for the accuracy "
        f"model, of {_whole(networks).size:,}; --extrapolate searches all"
    ]


def _notes(designs: Sequence[DesignReport]) -> list[str]:
    """What the reader should know of designs unlike all that was measured or trained."""
    notes = []
    outside = sum(design.extrapolated for design in designs)
    if outside:
        notes.append(
            f"{outside} of {len(designs)} designs lie outside the networks the "
            "cost model was fitted to; their intervals are widened"
        )
    untrained = sum(d.accuracy is not None and d.accuracy.extrapolated for d in designs)
    if untrained:
        notes.append(
            f"{untrained:,} of {len(designs):,} designs lie beyond the trained networks: their "
            "accuracy is extrapolated; flash.calibrate with another --max-macs trains such networks"
        )
    return notes
