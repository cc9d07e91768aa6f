"""Number formats of a search: which there are to choose from, and the fronts of several as one.

Chips of some profiles compute in several number formats: fewer bits are smaller, faster and cheaper
whatever the network, and cost accuracy. So a search that maximises predicted accuracy goes through
the formats whose cost in accuracy is known, each in a search of its own: within one format the
accuracy rises with what the optimizer maximises. Of their designs together those stay that no other
one dominates in accuracy after that cost. Where accuracy is not what is maximised nothing speaks
against the fewest bits, and the usual ones are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.calibration import Prediction
from flash.accuracy.storage import accuracy_of, knows_cost_of
from flash.evaluation import joined
from flash.optimize import Objective, OptimizerResult, hypervolume_gap, non_dominated
from flash.optimize.nested import SHOWN, thin
from flash.search.front import Front
from flash.search.objective import Goal
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.search.request import Request
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["Part", "choose_formats", "front_of_all", "in_words", "of_all", "rivals"]

#: Halvings of an interval of the metric: to the last bit of what matters.
_HALVINGS = 60


def choose_formats(problem: Problem, request: Request) -> Problem:
    """The problem with the number formats that its search can choose from."""
    if len(problem.bits) == 1:
        return problem
    model = accuracy_of(problem.networks)
    usual = problem.usual_bits
    others = [bits for bits in problem.bits if bits != usual]
    if model is None or not _maximises_accuracy(problem, request, model.metric):
        why = (
            f"bits={usual}: fewer bits are smaller, faster and cheaper, and what they cost is "
            "known of predicted accuracy alone, which is not searched; --hardware bits=N for others"
        )
        return problem.without_bits(others, why)
    unknown = [b for b in problem.bits if not knows_cost_of(b, model, problem.networks)]
    if len(unknown) == len(problem.bits):
        unknown = others
    if not unknown:
        return problem
    words = " and ".join(map(str, unknown))
    why = (
        f"bits: {words} left out, as nobody has told what they cost such networks in accuracy; "
        "--hardware bits=N searches them"
    )
    return problem.without_bits(unknown, why)


def _maximises_accuracy(problem: Problem, request: Request, rising: str) -> bool:
    """Whether a search is about predicted accuracy: as ``flash.search.objective`` decides."""
    named = request.objectives is not None and "score" not in request.words
    about = not named or request.min_accuracy_percent is not None
    return about and request.metric is None and problem.stands_for_accuracy(rising)


@dataclass(frozen=True)
class Part:
    """The search of one number format, and all designs of its front."""

    problem: Problem
    goal: Goal
    tables: SeparableProblem
    result: OptimizerResult

    @property
    def metric(self) -> Floats:
        """What the optimizer maximised, of each design."""
        name = self.goal.metric
        return self.tables.evaluate(self.result.indices, name)[name]

    def shown(self, values: Floats) -> Floats:
        """Objectives as reports show them: accuracy in place of the metric."""
        shown = np.array(values)
        for column, of in enumerate(self.result.objectives):
            if of.name == self.goal.metric:
                shown[:, column] = self.goal.shown(shown[:, column])
        return shown

    @cached_property
    def outside(self) -> NDArray[np.bool_]:
        """Which designs lie beyond the networks trained."""
        none = np.zeros(len(self.result), dtype=np.bool_)
        if not len(self.result) or not self.goal.inside:
            return none
        found = self.goal.predict(self.problem, self.result.indices, self.metric)
        return none if found is None else found.outside

    def only(self, rows: Ints) -> Part:
        """With some of its designs."""
        result = self.result
        fewer = replace(result, indices=result.indices[rows], values=result.values[rows])
        return replace(self, result=fewer)


def rivals(
    parts: Sequence[Part],
    goal: Goal,
    tables: SeparableProblem,
    objectives: Sequence[Objective],
    request: Request,
) -> Floats | None:
    """Designs of formats that were searched, as values of another's objectives; None of none.

    goal, tables: of that other format. In place of a metric stands the most of it by which a
    design is predicted no better than the rival.
    """
    if request.single or request.confidence is not None or not parts:
        return None
    values = np.concatenate([part.shown(part.result.values)[~part.outside] for part in parts])
    if not len(values):
        return None
    values = values[non_dominated(values, [of.sign for of in objectives])]
    for column, of in enumerate(objectives):
        if of.name == goal.metric:
            ends = [(x.values[of.name].min(), x.values[of.name].max()) for x in tables.stages]
            low, high = np.sum(ends, axis=0)
            values[:, column] = _most_metric(goal, values[:, column], float(low), float(high))
    found: Floats = values[np.isfinite(values).all(axis=1)]
    return found


def _most_metric(goal: Goal, shown: Floats, low: float, high: float) -> Floats:
    """The most of the metric, from ``low`` to ``high``, that is shown as no more; -inf of none."""
    least, most = np.full(len(shown), low), np.full(len(shown), high)
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        no_more = goal.shown(middle) <= shown
        least, most = np.where(no_more, middle, least), np.where(no_more, most, middle)
    least = np.where(goal.shown(most) <= shown, most, least)
    found: Floats = np.where(goal.shown(least) <= shown, least, -np.inf)
    return found


def of_all(parts: Sequence[Part], size: int, *, single: bool) -> tuple[OptimizerResult, list[Part]]:
    """The front of several formats together, its values as reports show them, and what is left of
    each.

    size:   designs of all formats, for the message.
    single: each part has the one design of most utility over its costs; the best of all is meant.
    """
    if single:
        return _best_of_all(parts, size)
    signs = parts[0].result.signs
    values = np.concatenate([part.shown(part.result.values) for part in parts])
    outside = np.concatenate([part.outside for part in parts])
    kept = np.arange(len(values)) if outside.all() else np.flatnonzero(~outside)
    best = kept[non_dominated(values[kept], signs)]
    best = best[np.lexsort((values[best] * np.array(signs)).T[::-1])]
    certified = all(part.result.certified for part in parts)
    gap = 0.0 if certified else _gap(parts, values, signs)
    owner = np.repeat(np.arange(len(parts)), [len(part.result) for part in parts])
    counts = {part.problem.bits[0]: int((owner[best] == k).sum()) for k, part in enumerate(parts)}
    message = _message(counts, size, gap, certified=certified)
    if len(kept) < len(values):
        message += (
            f"; {len(values) - len(kept):,} of {len(values):,} designs lie beyond the trained "
            "networks and are left out"
        )
    whole = replace(
        parts[0].result,
        indices=best[:, None],  # for now, rows of all
        values=values[best],
        evaluations=sum(part.result.evaluations for part in parts),
        gap_percent=gap,
        certified=certified,
        message=message,
        bound=None,
    )
    whole = thin(whole, SHOWN)
    rows = whole.indices[:, 0]
    starts = np.cumsum([0, *(len(part.result) for part in parts)])
    left = [part.only(rows[owner[rows] == k] - starts[k]) for k, part in enumerate(parts)]
    return whole, [part for part in left if len(part.result)]


def _gap(parts: Sequence[Part], values: Floats, signs: Sequence[float]) -> float:
    """How much of the hypervolume is missing at most, by the bounds of all."""
    bounds = [part.shown(part.result.bound) for part in parts if part.result.bound is not None]
    every = np.concatenate([values, *bounds])
    return hypervolume_gap(values, every[non_dominated(every, signs)], signs)


def _message(counts: Mapping[int, int], size: int, gap: float, *, certified: bool) -> str:
    designs = ", ".join(f"{count:,} of {bits} bits" for bits, count in counts.items())
    if certified:
        return f"the exact front of {size:,} designs ({sum(counts.values()):,}: {designs})"
    return (
        f"at most {gap:.2g} % of any front's hypervolume is missing over {size:,} designs "
        f"({designs})"
    )


def _best_of_all(parts: Sequence[Part], size: int) -> tuple[OptimizerResult, list[Part]]:
    """The design of most utility over its costs, and how much more another can have."""
    ratios, bounds = [], []
    for part in parts:
        values, utility = part.result.values[0], part.goal.utility
        is_score = np.array([of.name == part.goal.metric for of in part.result.objectives])
        score = values[is_score] if utility is None else utility(values[is_score])
        ratios.append(float(score[0] / np.prod(values[~is_score])))
        bounds.append(ratios[-1] / (1 - (part.result.gap_percent or 0.0) / 100))
    top = int(np.argmax(ratios))
    gap = 100 * (1 - ratios[top] / max(bounds))
    part = parts[top]
    message = (
        f"score over the product of its costs is {ratios[top]:.4g}; no design of {size:,} of "
        f"{len(parts)} number formats has more than {max(bounds):.4g}"
    )
    result = replace(
        part.result,
        evaluations=sum(one.result.evaluations for one in parts),
        gap_percent=gap,
        certified=all(one.result.certified for one in parts),
        message=message,
    )
    return result, [part]


def front_of_all(problem: Problem, parts: Sequence[Part], fronts: Sequence[Front]) -> Front:
    """The designs of all parts, each evaluated in its own format, as designs of ``problem``."""
    found = [problem.among_all(p.problem, f.indices) for p, f in zip(parts, fronts, strict=True)]
    utility = [
        f.score if f.accuracy is None else f.accuracy.value for f in fronts
    ]  # the metric alone does not know the bits
    behind = [point for front in fronts for point in front.background]
    return Front(
        np.concatenate(found),
        np.concatenate([front.objectives for front in fronts]),
        joined([front.costs for front in fronts]),
        np.concatenate([front.score for front in fronts]),
        _accuracies(fronts),
        np.concatenate(utility),
        np.concatenate([front.kept for front in fronts]),
        tuple(behind[:: len(fronts)]),
    )


def in_words(goals: Iterable[Goal]) -> Goal:
    """What all formats' searches maximise, for the reader: after any of their quantizations."""
    every = list(goals)
    models = [goal.model for goal in every if goal.model is not None]
    drops = [model.drop for model in models if model.drop is not None]
    if not drops:
        return every[0]
    drop = replace(drops[0], how=" or ".join(drop.how for drop in drops))
    return replace(every[0], model=replace(models[0], drop=drop))


def _accuracies(fronts: Sequence[Front]) -> Prediction | None:
    found = [front.accuracy for front in fronts if front.accuracy is not None]
    if not found:
        return None
    names = ("value", "low", "high", "outside")
    return Prediction(*(np.concatenate([getattr(one, name) for one in found]) for name in names))
