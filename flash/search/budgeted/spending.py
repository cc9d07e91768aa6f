"""A search that spends a training budget on the designs of a problem within limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from flash.errors import InfeasibleError, UsageError
from flash.optimize import Limit, SeparableProblem
from flash.optimize.infeasibility import none_known
from flash.report.design import DesignReport
from flash.search.budgeted.candidates import Candidates, Floats, Ints
from flash.search.budgeted.edges import removable_edges
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.listing import listed, within_limits
from flash.search.budgeted.options import BUDGET, CANDIDATES
from flash.search.budgeted.outcome import Outcome, run_strategy
from flash.search.budgeted.report import BudgetReport
from flash.search.budgeted.sampled import strategy_for
from flash.search.budgeted.scores import DATA_FREE, data_free_scores, usable
from flash.search.budgeted.statistics import layer_statistics
from flash.search.problem import Problem
from flash.search.problem.designs import design_reports, names_of
from flash.spaces.space import SearchSpace

__all__ = ["spend"]

#: Candidates scored together, and seconds between two words of how far it is.
_TOGETHER, _TELL_S = 1024, 4.0


def spend(
    problem: Problem,
    tables: SeparableProblem,
    limits: Sequence[Limit],
    strategy: str,
    make_evaluator: Callable[[int], Evaluator],
    source: str,
    *,
    budget: int = BUDGET,
    metric: str = "nn_degree",
    metrics: Sequence[str] = (),
    candidates: int = CANDIDATES,
    only: Ints | None = None,
    seed: int = 0,
    scored: Callable[[int, int, float], None] | None = None,
) -> BudgetReport:
    """Spend ``budget`` trainings on designs of one device or chip within the limits.

    tables:   stage tables of ``metric`` and of all costs (``problem.tables``).
    make_evaluator: budget -> evaluator.  source: what it is, for the report.
    metric:  the score that the limits may name.
    metrics: scores the strategy works with, of ``DATA_FREE``; by default those that tell
             candidates apart.
    candidates: designs drawn from a space too large to list.
    only:    designs (indices) there are accuracies for, where not every design has one.
    scored:  told how many candidates have scores, of how many, and the seconds left, every few
             seconds that this takes.

    Raises ``UsageError``, ``InputError`` and ``InfeasibleError``.
    """
    evaluator = make_evaluator(budget)
    chosen = strategy_for(strategy, evaluator)
    if chosen.needs_metrics and not metrics:
        raise UsageError(chosen.needs_metrics)
    space = problem.networks
    within = within_limits(problem, tables, limits)
    if only is None:
        designs, whole = _listed(problem, tables, limits, candidates, seed)
    else:
        designs, whole = only[within(only)], True
        if not len(designs):
            raise InfeasibleError(none_known())
    names, scores = _scored(space, designs, metrics or chosen.metrics or DATA_FREE, scored)
    chosen_from = Candidates(
        [len(grid) for grid in space.grids],
        designs,
        names,
        scores,
        None if whole else data_free_scores(space, names),
        within,
        lambda some: layer_statistics(space, some),
        removable_edges(space),
    )
    outcome = run_strategy(strategy, chosen_from, evaluator, seed)
    return BudgetReport(
        space,
        problem.target.summary(),
        {limit.quantity.name: limit.bound for limit in limits if not limit.implied},
        source,
        len(designs),
        whole,
        tuple(names),
        outcome,
        _best(problem, tables, metric, outcome),
    )


def _listed(
    problem: Problem, tables: SeparableProblem, limits: Sequence[Limit], most: int, seed: int
) -> tuple[Ints, bool]:
    within = within_limits(problem, tables, limits)
    try:
        return listed(
            problem.networks,
            within,
            most,
            np.random.default_rng(seed),
            tabulated=tables.tabulated,
        )
    except InfeasibleError as error:
        why = problem.why_unmet(tables, limits)
        raise InfeasibleError(why or str(error)) from None


def _scored(
    space: SearchSpace,
    designs: Ints,
    names: Sequence[str],
    tell: Callable[[int, int, float], None] | None,
) -> tuple[tuple[str, ...], Floats]:
    """Scores that tell the candidates apart, and their names."""
    of_designs = data_free_scores(space, names)
    began = told = time.monotonic()
    parts = []
    for done in range(0, len(designs), _TOGETHER):
        now = time.monotonic()
        if tell is not None and now - told > _TELL_S:
            tell(done, len(designs), (now - began) * (len(designs) - done) / done)
            told = now
        parts.append(of_designs(designs[done : done + _TOGETHER]))
    scores = np.concatenate(parts)
    keep = usable(names, scores) or [0]
    return tuple(names[k] for k in keep), scores[:, keep]


def _best(
    problem: Problem, tables: SeparableProblem, metric: str, outcome: Outcome
) -> DesignReport | None:
    if outcome.best is None:
        return None
    indices = np.array([outcome.best.design], dtype=np.int64)
    found = problem.evaluate(indices, tables)
    names = names_of(problem, indices)
    return design_reports(problem, indices, names, found, (metric, found.sums[metric]))[0]
