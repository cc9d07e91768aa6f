"""The search, step by step: ``run`` is the list, every step a function.

From Python: ``from flash.search import search``, then ``search(target="rpi3b",
max_latency_ms=20)``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flash.accuracy.storage import narrow_to_trained
from flash.errors import InfeasibleError, UsageError
from flash.optimize import Limit, OptimizerResult, SeparableProblem, confine, meets, scout
from flash.proxies.options import ProxyOptions
from flash.report.chip import ChipView
from flash.report.result import SearchReport
from flash.search.front import Background, Front, Screened, evaluate_front, report_on
from flash.search.loading import load_problem
from flash.search.measured import Measured
from flash.search.objective import Criteria, Goal, choose_criteria, choose_goal
from flash.search.problem import Effort, Problem
from flash.search.problem.base import Ints
from flash.search.request import OPTIMIZER, SHORTLIST, Request
from flash.search.waiting import Tell, silent
from flash.spaces.stage_tables import Floats
from flash.targets.chips import Given

if TYPE_CHECKING:
    from flash.search.formats import Part

__all__ = ["Outcome", "Setup", "prepare", "run", "search"]

#: Share of a front beyond the networks trained from which its cells are limited too: that takes up
#: to twice the time.
_STRAYS = 0.1


def search(
    target: str = "rpi3b",
    space: str = "cifar10-concat",
    *,
    runtime: str | None = None,
    hardware: Given | None = None,
    objectives: Sequence[str] | None = None,
    objective: str | None = None,
    metric: str | None = None,
    max_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    max_memory_kb: float | None = None,
    max_area_mm2: float | None = None,
    min_score: float | None = None,
    min_accuracy_percent: float | None = None,
    confidence: float | None = None,
    extrapolate: bool = False,
    optimizer: str = OPTIMIZER,
    seed: int = 0,
    certify_seconds: float | None = None,
    shortlist: int | None = None,
    scoring: ProxyOptions | None = None,
    tell: Tell = silent,
) -> SearchReport:
    """Search ``space`` for Pareto designs on ``target``.

    target, space: a name that comes with flash or the path of a TOML file.
    runtime:       one of the profile's runtimes; its default one if not given.
    hardware:      on accelerators, the hardware variables that are given (``rows=16,cols=32``); the
                   others are searched with the network. "default" takes them all from the
                   profile's default chip.
    objectives:    "score" and any of "latency", "energy", "memory", on accelerators "area";
                   score and latency if not given, and area where hardware is searched.
    objective:     "flash" asks for one design instead of a front: the most score over area
                   (where there is one) x latency x energy.
    metric:        the score, a data-free metric or one that runs the network; by default
                   predicted accuracy where the space is calibrated, else the space's own.
    limits:        in the unit of their name; ``min_score`` in units of the metric.
    confidence:    0.5 to 0.99: limits hold at the far end of the interval that has this
                   confidence, not at the predicted value.
    extrapolate:   search networks beyond those trained for the space's accuracy model, and beyond
                   those measured on the target, too.
    optimizer:     one of ``flash.optimize.OPTIMIZERS``: "shgo", "nsga2" (needs the extra of
                   that name) and those that other packages add are certified by "exact", whose
                   front is returned.
    certify_seconds: for the certificate where hardware is searched; if not given, its effort is
                   counted in work, so that the same search has the same answer.
    shortlist:     designs that a metric that runs the network scores, to pick anew; 64 if not
                   given.
    scoring:       how it scores them.
    tell:          hears the share of a long certificate that is done, 0 to 1, where hardware is
                   searched; it begins again for each number format.

    Raises ``UsageError``, ``SpaceError``, ``ProfileError`` or ``InfeasibleError``.

    >>> report = search("rpi4b", "nasbench201", optimizer="exact", max_latency_ms=10.0)
    >>> max(design.latency_ms.value for design in report.front) <= 10.0
    True
    """
    request = Request(
        target=target,
        space=space,
        runtime=runtime,
        hardware=hardware,
        objectives=objectives,
        objective=objective,
        metric=metric,
        max_latency_ms=max_latency_ms,
        max_energy_mj=max_energy_mj,
        max_memory_kb=max_memory_kb,
        max_area_mm2=max_area_mm2,
        min_score=min_score,
        min_accuracy_percent=min_accuracy_percent,
        confidence=confidence,
        extrapolate=extrapolate,
        optimizer=optimizer,
        seed=seed,
        certify_seconds=certify_seconds,
        shortlist=shortlist,
        scoring=scoring or ProxyOptions(),
        tell=tell,
    )
    return run(request).report


@dataclass(frozen=True)
class Setup:
    """A request made concrete: designs, what is maximised, stage tables, objectives and limits.

    exact:  the exact front of just these, where it is known already.
    binding: of ``criteria.within`` those that this front would break without them, where they are
            known: the others would only take time.
    """

    problem: Problem
    goal: Goal
    tables: SeparableProblem
    criteria: Criteria
    exact: OptimizerResult | None = None
    binding: tuple[Limit, ...] | None = None

    def limits(self) -> dict[str, float]:
        """The user's own limits as reports show them: quantity -> bound in its unit."""
        limits = {limit.quantity.name: limit.bound for limit in self.criteria.limits}
        if self.goal.min_accuracy_percent is not None:
            limits["accuracy"] = self.goal.min_accuracy_percent
        return limits

    def all_limits(self) -> tuple[Limit, ...]:
        """What the optimizer holds; ``InfeasibleError`` if no design reaches the accuracy."""
        within = self.criteria.within if self.binding is None else self.binding
        least = self.goal.limits(self.problem, self.tables)
        return (*self.criteria.bounds, *within, *least)


@dataclass(frozen=True)
class Outcome:
    """A finished search.

    background: random designs for the picture.
    chip:       what there is to draw of the balanced design's chip.
    """

    report: SearchReport
    background: Background
    chip: ChipView | None


def run(request: Request) -> Outcome:
    """The search: load, choose what is maximised, tabulate, optimise, screen, evaluate, report."""
    began = time.perf_counter()
    problem = load_problem(request.target, request.runtime, request.hardware, request.space)
    if len(problem.bits) > 1:
        from flash.search.formats import choose_formats  # noqa: PLC0415 (accelerators)

        problem = choose_formats(problem, request)
    found = (_of_one if len(problem.bits) == 1 else _of_all)(request, problem)
    setup, screened = found.setup, found.screened
    result = replace(screened.result, seconds=time.perf_counter() - began)
    report, chip = report_on(
        setup.problem, setup.tables, setup.goal, result, found.front, setup.limits(), screened
    )
    space = replace(report.space, measured=found.measured)
    report = replace(report, space=space, confidence=request.confidence)
    return Outcome(report, () if request.proxy else found.front.background, chip)


@dataclass(frozen=True)
class _Found:
    """A front and what it was found with; ``measured``: see ``stay_inside``."""

    setup: Setup
    measured: float | None
    screened: Screened
    front: Front


def _of_one(request: Request, problem: Problem) -> _Found:
    """The front of a problem with one number format."""
    try:
        setup, measured, found = _searched(request, problem, closely=True)
    except InfeasibleError:
        if request.extrapolate:
            raise
        setup, measured, found = _searched(request, problem, closely=False)
    found = replace(found, message=found.message + _searched_only([setup]))
    screened = screen_front(setup, found, request)
    proxy = screened.scores.get(request.proxy)
    front = evaluate_front(
        setup.problem, setup.tables, setup.goal, screened.result, proxy, request.seed
    )
    return _Found(setup, measured, screened, front)


def _searched(
    request: Request, problem: Problem, *, closely: bool
) -> tuple[Setup, float | None, OptimizerResult]:
    """The front by itself, with what it was found with; closely: see ``choose_goal``."""
    setup, measured = stay_inside(prepare(request, problem, closely=closely), request)
    return setup, measured, hold(setup, optimise(setup, request), request)


def _of_all(request: Request, problem: Problem) -> _Found:
    """The front over several number formats, each searched by itself.

    Raises ``InfeasibleError`` where none has a design within the limits.
    """
    from flash.search.formats import (  # noqa: PLC0415 (accelerators)
        front_of_all,
        in_words,
        of_all,
    )

    if request.certify_seconds is not None:
        seconds = request.certify_seconds / len(problem.bits)
        request = replace(request, certify_seconds=seconds)
    try:
        setups, parts = _parts(request, problem, closely=True)
    except InfeasibleError:
        if request.extrapolate:
            raise
        setups, parts = _parts(request, problem, closely=False)
    whole = problem.of_networks(setups[0].problem.networks)
    result, left = of_all(parts, whole.space.size, single=request.single)
    fronts = [
        evaluate_front(part.problem, part.tables, part.goal, part.result, None, request.seed)
        for part in left
    ]
    notes = dict.fromkeys(note for setup in setups for note in setup.goal.notes)
    result = replace(result, message=result.message + _searched_only(setups))
    told = (f"{part.problem.bits[0]} bits: {part.result.message}" for part in parts)
    setup = replace(
        setups[0],
        problem=whole,
        goal=replace(in_words(setup.goal for setup in setups), notes=(*notes, *told)),
    )
    return _Found(setup, None, Screened(result), front_of_all(whole, left, fronts))


def _parts(request: Request, problem: Problem, *, closely: bool) -> tuple[list[Setup], list[Part]]:
    """Each number format with what it was searched with, and those that have a design."""
    from flash.search.formats import Part, rivals  # noqa: PLC0415 (accelerators)

    parts: list[Part] = []
    setups: list[Setup] = []
    errors: list[str] = []
    for bits in problem.bits:
        setup = prepare(request, problem.of_bits(bits), closely=closely)
        setups.append(setup)
        try:
            known = rivals(parts, setup.goal, setup.tables, setup.criteria.objectives, request)
            found = hold(setup, optimise(setup, request, every=True, known=known), request)
        except InfeasibleError as error:
            errors.append(f"of {bits} bits: {error}")
            continue
        parts.append(Part(setup.problem, setup.goal, setup.tables, found))
    if not parts:
        raise InfeasibleError("; ".join(errors))
    return setups, parts


def _searched_only(setups: Sequence[Setup]) -> str:
    """What to add to the message of a joint search whose networks are limited."""
    joint = [setup for setup in setups if not setup.problem.one_chip]
    limits = dict.fromkeys(limit.quantity.name for x in joint for limit in x.criteria.within)
    return f"; searched are those with no more {' or '.join(limits)} than trained" if limits else ""


def prepare(
    request: Request,
    problem: Problem | None = None,
    *,
    budgeted: bool = False,
    closely: bool = False,
) -> Setup:
    """Choose what is maximised, and tabulate the problem with all costs.

    problem: that of the request with one number format; loaded where it is not given.
    closely: see ``choose_goal``.
    budgeted: for a search that spends trainings: on one chip, with a score and not predicted
    accuracy for limits to name.
    """
    if problem is None:
        problem = load_problem(request.target, request.runtime, request.hardware, request.space)
    leaves, bits = request.extrapolate or budgeted, problem.bits[0]
    sums = () if leaves else Measured.needs(problem)
    if not leaves:
        problem = problem.of_networks(narrow_to_trained(problem.networks))
    needs_one_chip = f"--metric {request.proxy}" if request.proxy else "--search" * budgeted
    if needs_one_chip and not problem.one_chip:
        raise UsageError(f"{needs_one_chip} needs one chip: fix it with --hardware default")
    if problem.one_chip and request.certify_seconds is not None:
        raise UsageError("--certify-seconds is for searches of hardware, and the chip is given")
    metric = None if request.proxy else request.metric
    if metric is None and (request.proxy or budgeted):
        metric = problem.own_metric
    goal = choose_goal(problem, metric, request.min_accuracy_percent, bits, closely=closely)
    closest: tuple[Limit, ...] = ()
    # Where costs are bounds, what is missing is bounded without a limit, and little.
    if closely and problem.target.exact and not (leaves or problem.one_chip or request.single):
        from flash.search.closest import limited_to_trained  # noqa: PLC0415 (accelerators)

        goal, closest = limited_to_trained(problem, goal, request)
    cells = tuple(goal.cells)
    tables = problem.tables(goal.metric, goal.index, goal.sums, sums, cells, peaks=request.memory)
    tables = goal.with_width(tables)
    criteria = choose_criteria(problem, goal, tables, request)
    return Setup(problem, goal, tables, replace(criteria, within=closest) if closest else criteria)


def stay_inside(setup: Setup, request: Request) -> tuple[Setup, float | None]:
    """The setup with limits that keep a front inside what was trained, and measured on the target.

    With the share of the designs inside what was measured. None where there is no need, no design
    inside within the user's limits, or the request is to leave it.
    """
    problem, tables = setup.problem, setup.tables
    if request.extrapolate or not Measured.possible(problem, tables):
        return setup, None
    criteria = setup.criteria

    def front(
        tables: SeparableProblem, limits: Sequence[Limit], near: Ints | None
    ) -> OptimizerResult:
        inside = replace(setup, tables=tables, binding=tuple(limits))
        return _optimised(inside, request, "exact", seen=near)

    def near(tables: SeparableProblem, limits: Sequence[Limit], start: Ints | None) -> Ints | None:
        """None where what is asked for is no front of two objectives."""
        if not problem.target.exact or request.single or len(criteria.objectives) > 2:
            return None
        inside = replace(setup, tables=tables, binding=tuple(limits))
        return scout(tables, criteria.objectives, inside.all_limits(), start)

    measured = Measured(problem, tables, front, near)
    always = [(limit, tables) for limit in criteria.within]
    found = confine(tables, measured, always)
    cells = setup.goal.cell_limits()
    if found.front is not None and cells:
        strays = ~meets(tables, found.front.indices, cells)
        if strays.mean() > _STRAYS:
            always += [(limit, tables) for limit in cells]
            found = confine(found.tables, measured, always, found)
    # The best design alone is no front, and one by bounds is not proven.
    exact = found.front if problem.target.exact and not request.single else None
    ranges = [limit for limit in found.limits if limit not in criteria.within]
    inside = replace(
        setup,
        tables=found.tables,
        criteria=replace(criteria, within=(*criteria.within, *ranges)),
        exact=exact,
        binding=found.limits,
    )
    return inside, found.share


def optimise(
    setup: Setup, request: Request, *, every: bool = False, known: Floats | None = None
) -> OptimizerResult:
    """What the optimizer finds; raises ``InfeasibleError`` with the limit that binds.

    every, known: ``every`` and ``rivals`` of ``Effort``.
    """
    problem, goal, tables, criteria = setup.problem, setup.goal, setup.tables, setup.criteria
    try:
        return _optimised(setup, request, request.optimizer, every=every, known=known)
    except InfeasibleError as error:
        bounds = (*criteria.bounds, *goal.size_limits())
        why = goal.why_unmet(problem, tables, bounds) or problem.why_unmet(tables, bounds)
        raise InfeasibleError(why or str(error)) from None


def _optimised(
    setup: Setup,
    request: Request,
    optimizer: str,
    *,
    every: bool = False,
    known: Floats | None = None,
    seen: Ints | None = None,
) -> OptimizerResult:
    problem, goal, tables, criteria = setup.problem, setup.goal, setup.tables, setup.criteria
    effort = Effort(
        optimizer,
        request.seed,
        request.certify_seconds,
        request.single,
        goal.utility,
        setup.exact,
        goal.most,
        every,
        known,
        seen,
        request.tell,
    )
    return problem.optimize(tables, criteria.objectives, setup.all_limits(), effort)


def hold(setup: Setup, found: OptimizerResult, request: Request) -> OptimizerResult:
    """The front whose limits hold at the far end of an interval, where that is asked for."""
    if request.confidence is None:
        return found
    from flash.search.confidence import Held, hold_limits  # noqa: PLC0415 (seldom asked for)

    held = Held(setup.problem, setup.tables, setup.goal, setup.criteria, request.confidence)
    return hold_limits(
        held,
        found,
        lambda criteria, goal: optimise(
            replace(setup, criteria=criteria, goal=goal, exact=None, binding=None), request
        ),
    )


def screen_front(setup: Setup, found: OptimizerResult, request: Request) -> Screened:
    """The front picked anew by a metric that runs the network, where one is asked for."""
    if not request.proxy:
        return Screened(found)
    from flash.search.screening import screen  # noqa: PLC0415 (proxies are seldom asked for)

    return screen(
        setup.problem,
        setup.tables,
        found,
        (*setup.criteria.bounds, *setup.criteria.within),
        request.proxy,
        request.seed,
        request.shortlist or SHORTLIST,
        request.scoring,
    )
