"""What a search maximises, and how a limit on predicted accuracy acts.

    space has an     metric       a searchable number     maximised           a limit on accuracy
    accuracy model   given        accuracy rises with
    --------------   ----------   ---------------------   -----------------   --------------------
    no               any, none    -                       the metric          is refused
    yes              none         there is one            that number, shown  is a limit on that
                                                          as accuracy         number: exact
    yes              none         there is none           the space's own     drops designs of the
                                                          metric              front below it
    yes              that one     the metric              the metric          is a limit on the
                                                                              metric: exact
    yes              another      not the metric          the metric          drops designs of the
                                                                              front below it

The number is a metric, or the accuracy model's own index, a sum over the cells of a network. The
optimizer can search it on one device or chip. Where hardware is searched too, or where stage
tables are lower bounds of the costs (imc), only metrics that are sums over cells are searched.
Where a limit drops designs, the best design within it may be one that the metric ranks low, and
so be missed; in every row, no design below the limit is returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.calibration import AccuracyModel, Prediction
from flash.accuracy.features import size_problem
from flash.accuracy.storage import accuracy_of, why_no_accuracy, words_on_bits
from flash.errors import InfeasibleError, UsageError, did_you_mean
from flash.evaluation import UNCONNECTED, CellScore
from flash.metrics import METRICS, own_metric
from flash.optimize import Limit, Objective, SeparableProblem, exact_front, objective
from flash.optimize.infeasibility import accuracy_unreached, front_unreached
from flash.proxies.options import proxy_names
from flash.report.data import IN_PLACE_OF, OF_THE_MODEL, AccuracyStatus
from flash.search.problem import Problem
from flash.search.problem.base import Ints
from flash.search.request import COSTS, Request
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats, with_cell_sum

__all__ = ["Criteria", "Goal", "choose_criteria", "choose_goal"]

#: Sums over layers of which one over the other is a network's mean width.
_MEAN = ("channels", "convs")
#: What a mean width within limits makes at most zero: below the least, above the most.
_WIDTH = ("too_narrow", "too_wide")
#: Sums in another order differ by less, as a share.
_SLACK = 1e-12
#: What designs within limits that nobody gave do.
_TRAINED = "stays within the sizes that were trained (--extrapolate leaves them)"
_CONNECTED = "leads its input to its output"


@dataclass(frozen=True)
class Goal:
    """What is maximised.

    metric:   the quantity of the stage tables.
    shown_as: what reports call it: "accuracy" where the front is one of predicted accuracy.
    model:    the space's accuracy model, None without one.
    rises:    the model's prediction rises with ``metric``.
    min_accuracy_percent: the limit on predicted accuracy, None without one.
    inside:   only designs within what was trained are searched: the space was narrowed to it.
    no_accuracy: why a model in the space's file is not used; empty where it is, or there is none.
    sizes:    the least and the largest sizes of networks that were trained, where a search stays
              within those; empty where it does not.
    cells:    the same of sums over cells that the model reads, by name.
    width:    the same of the mean width of a network's convolutions; None where it does not.
    most:     metric -> the most that is within what was trained, where a search stays inside.
    notes:    what the target's number format costs in accuracy, where accuracies are shown.
    """

    metric: str
    shown_as: str
    model: AccuracyModel | None
    rises: bool
    min_accuracy_percent: float | None
    inside: bool = False
    no_accuracy: str = ""
    sizes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    cells: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    width: tuple[float, float] | None = None
    most: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def index(self) -> CellScore | None:
        """The metric as a function of cells, where it is the accuracy model's own index."""
        return self.model.index if self.model is not None and self.metric == "accuracy" else None

    @property
    def utility(self) -> Callable[[Floats], Floats] | None:
        """Metric -> predicted accuracy, where that is possible; it never falls."""
        return self.model.from_metric if self.model is not None and self.rises else None

    def shown(self, values: Floats) -> Floats:
        """Values of the metric as reports show them: in per cent where ``shown_as`` says so."""
        utility = self.utility
        return values if utility is None or self.shown_as != "accuracy" else utility(values)

    def predict(self, problem: Problem, indices: Ints, metric: Floats) -> Prediction | None:
        """Predicted accuracy of designs whose ``metric`` is known; None without a model."""
        if self.model is None:
            return None
        known = metric if self.rises else None
        return self.model.predict(problem.networks, problem.networks_of(indices), known)

    def kept(self, accuracy: Prediction | None, designs: int) -> NDArray[np.bool_]:
        """Which of the designs of a front reach the limit on accuracy, shape (designs,).

        Raises ``InfeasibleError`` if none does.
        """
        kept = np.ones(designs, dtype=np.bool_)
        if accuracy is None:
            return kept
        if self.inside and not accuracy.outside.all():
            kept = ~accuracy.outside
        least = self.min_accuracy_percent
        if least is None:
            return kept
        reached = np.asarray(accuracy.value >= least)
        if not reached.any():
            raise InfeasibleError(front_unreached(self.metric, least, float(accuracy.value.max())))
        return reached & kept if (reached & kept).any() else reached

    def dropped(self, dropped: int, designs: int) -> str:
        """What to add to an optimizer's message where designs of its front were dropped."""
        if not dropped:
            return ""
        least = self.min_accuracy_percent
        why = [] if least is None else [f"are predicted below {least:g} %"]
        why += ["lie beyond the trained networks"] if self.inside else []
        return f"; {dropped:,} of {designs:,} designs {' or '.join(why)} and are left out"

    def size_limits(self) -> list[Limit]:
        """The limits of ``sizes``."""
        return _within_ends(self.sizes)

    def cell_limits(self) -> list[Limit]:
        """The limits of ``cells``."""
        return _within_ends(self.cells)

    def only(self, name: str) -> Goal:
        """With the limits on one quantity alone."""
        sizes, cells = (
            {own: ends for own, ends in every.items() if own == name}
            for every in (self.sizes, self.cells)
        )
        return replace(self, sizes=sizes, cells=cells, width=self.width if name in _WIDTH else None)

    @property
    def sums(self) -> tuple[str, ...]:
        """Sums over layers that the limits need beside the metric."""
        sizes = [name for name in self.sizes if name != self.metric]
        return tuple(dict.fromkeys([*sizes, *(_MEAN if self.width else ())]))

    def with_width(self, tables: SeparableProblem) -> SeparableProblem:
        """The tables with what ``width_limits`` bounds: of a mean, a sum of differences."""
        if self.width is None:
            return tables
        least, most = self.width
        stages = []
        for stage in tables.stages:
            channels, convs = (stage.values[name] for name in _MEAN)
            beyond = (least * convs - channels, channels - most * convs)
            values = dict(zip(_WIDTH, beyond, strict=True))
            stages.append(replace(stage, values={**stage.values, **values}))
        combine: dict[str, Combine] = {**tables.combine, **dict.fromkeys(_WIDTH, "sum")}
        return replace(tables, stages=tuple(stages), combine=combine)

    def width_limits(self) -> tuple[Limit, ...]:
        """The limits of ``width``."""
        names = _WIDTH if self.width else ()
        return tuple(Limit(Objective(name, "min"), 0.0, _TRAINED) for name in names)

    @property
    def status(self) -> AccuracyStatus:
        """Whether there is an accuracy model, and where it comes from."""
        if self.model is not None:
            model = self.model
            return AccuracyStatus(True, model.statement, model.measure, model.reached)
        return AccuracyStatus(False, self.no_accuracy) if self.no_accuracy else AccuracyStatus()

    @property
    def how(self) -> str:
        """How intervals of predicted accuracy come about; empty without a model."""
        return "" if self.model is None else self.model.how

    def limits(self, problem: Problem, tables: SeparableProblem) -> list[Limit]:
        """The limit on accuracy as one on the metric; none where designs are dropped afterwards.

        Raises ``InfeasibleError`` with the best there is if no design of the space reaches it.
        """
        least = self.min_accuracy_percent
        if least is None or self.model is None or not self.rises:
            return []
        of = Objective(self.metric, "max")
        alone = tables
        if not problem.one_chip:
            alone = self._of_networks(problem.networks)
        best = exact_front(alone, [of], [])
        top = float(best.values[0, 0])
        bound = self.model.least_metric(least, top)
        if bound > top:
            raise InfeasibleError(self._unreached(problem, least, best.indices[0], top))
        return [Limit(of, bound)]

    def _of_networks(self, networks: SearchSpace) -> SeparableProblem:
        """Stage tables of the metric of networks, whatever the chip."""
        if self.index is None:
            return size_problem(networks, metrics=(self.metric,))
        return with_cell_sum(size_problem(networks), networks, self.metric, self.index)

    def most_of_trained(self, networks: SearchSpace) -> float:
        """The most of the metric that networks no larger than those trained have."""
        tables = self._of_networks(networks)
        sizes = {} if self.model is None else self.model.trained_sizes
        known = {name: ends for name, ends in sizes.items() if name in tables.combine}
        limits = [Limit(Objective(name, "min"), most) for name, (_, most) in known.items()]
        try:
            best = exact_front(tables, [Objective(self.metric, "max")], limits)
        except InfeasibleError:
            return math.inf
        return float(best.values[0, 0]) * (1 + _SLACK)

    def why_unmet(self, problem: Problem, tables: SeparableProblem, others: Sequence[Limit]) -> str:
        """The best accuracy under the other limits, in one line; empty if that does not bind."""
        least, utility = self.min_accuracy_percent, self.utility
        if least is None or utility is None or not problem.one_chip:
            return ""
        try:
            best = exact_front(tables, [Objective(self.metric, "max")], others)
        except InfeasibleError:
            return ""
        top = float(best.values[0, 0])
        if utility(np.array([top]))[0] >= least:
            return ""
        return self._unreached(problem, least, best.indices[0], top, others)

    def _unreached(
        self,
        problem: Problem,
        least: float,
        network: Ints,
        top: float,
        others: Sequence[Limit] = (),
    ) -> str:
        utility = self.utility
        best = 0.0 if utility is None else float(utility(np.array([top]))[0])
        networks = problem.networks
        return accuracy_unreached(networks.name, least, best, networks.describe(network), others)


def _within_ends(ends: Mapping[str, tuple[float, float]]) -> list[Limit]:
    limits = []
    for name, (least, most) in ends.items():
        limits += [Limit(Objective(name, "max"), least, _TRAINED)] if least > 0 else []
        limits += [Limit(Objective(name, "min"), most, _TRAINED)]
    return limits


def choose_goal(
    problem: Problem,
    metric: str | None,
    min_accuracy_percent: float | None,
    bits: int = 32,
    *,
    closely: bool = False,
) -> Goal:
    """What to maximise, by the table above; ``metric`` is the one given, ``bits`` a weight's.

    closely: a search that stays within the networks trained is limited by all that tells them from
             others, else by their largest sizes.

    Raises ``UsageError`` for an unknown metric, or a limit in a space without a model.
    """
    networks = problem.networks
    model, least = accuracy_of(networks, bits), min_accuracy_percent
    why = "" if model is not None else why_no_accuracy(networks)
    if least is not None and model is None:
        raise UsageError(f"{why}, so it has no accuracy to limit; use --min-score")
    why = why if networks.accuracy is not None else ""
    inside = networks.whole is not None
    rising = "" if model is None else model.metric
    within = model is not None and inside and problem.one_chip
    words = "" if model is None else words_on_bits(bits, model)
    notes: tuple[str, ...] = (words,) if words else ()
    if model is not None and model.why_worthless:
        notes += (f"{OF_THE_MODEL}{model.why_worthless}",)
    if metric is None and problem.stands_for_accuracy(rising):
        chosen, shown_as, why = rising, "accuracy", ""
    else:
        chosen = shown_as = _checked(problem, metric or problem.own_metric)
        own = own_metric(networks).name
        if metric is None and own != chosen:
            searched = " or ".join(_with_hardware())
            notes += (
                f"{IN_PLACE_OF}{own}, the score of this space: only {searched} can be searched "
                f"together with hardware; --hardware default takes {own}",
            )
    rises = rising == chosen
    known = model.trained_sizes.items() if model is not None and within else ()
    sizes = {
        name: ends if closely else (0.0, ends[1])
        for name, ends in known
        if name in ("params", "macs") or (closely and (name != rising or rises))
    }
    width = model.trained_width if model is not None and within and closely else None
    most = {chosen: model.most_metric} if model is not None and inside and rises else {}
    indexed = chosen == "accuracy" and rises and within and closely
    cells = model.trained_cells if model is not None and indexed else {}
    goal = Goal(
        chosen, shown_as, model, rises, least, inside, why, sizes, cells, width, most, notes
    )
    if np.isinf([*most.values()]).any() and not problem.target.exact:
        return replace(goal, most={chosen: goal.most_of_trained(networks)})
    return goal


def _checked(problem: Problem, metric: str) -> str:
    """The metric; raises ``UsageError`` if it is none that this problem can maximise."""
    if metric not in METRICS:
        hint = did_you_mean(metric, (*METRICS, *proxy_names()))
        raise UsageError(f"unknown metric '{metric}'{hint}")
    if not problem.one_chip and not METRICS[metric].per_cell:
        raise UsageError(
            f"--metric {metric} cannot be searched together with hardware; fix the chip with "
            f"--hardware default, or take {' or '.join(_with_hardware())}"
        )
    return metric


def _with_hardware() -> list[str]:
    """The metrics that can be searched together with hardware."""
    return [name for name, member in METRICS.items() if member.per_cell]


@dataclass(frozen=True)
class Criteria:
    """Objectives and limits of a search.

    limits: the user's own.
    bounds: those, the weights that the chip can hold, and that there is a network at all.
    within: those that keep a search inside what was trained, and measured on the target.
    """

    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    bounds: tuple[Limit, ...]
    within: tuple[Limit, ...] = ()


def choose_criteria(
    problem: Problem, goal: Goal, tables: SeparableProblem, request: Request
) -> Criteria:
    """The objectives and limits that ``request`` names, of what ``goal`` maximises.

    tables: of the problem, with that goal.

    Raises ``UsageError`` for a quantity that the target does not have.
    """
    given = request.limits
    given.pop("accuracy", None)
    if "score" in given and goal.shown_as == "accuracy":
        raise UsageError("the score is predicted accuracy: use --min-accuracy, or give --metric")
    if "accuracy" in (request.objectives or ()) and goal.shown_as != "accuracy":
        raise UsageError("accuracy is not what is maximised here: write score in its place")
    words = _objective_words(problem, request)
    wanted = {COSTS.get(word, word) for word in words} | set(given)
    target, most_kb = problem.target, problem.target.weight_limit_kb
    if "area_mm2" in wanted and "area_mm2" not in target.quantities:
        raise UsageError(f"target {target.name} has no chip area; leave area out")
    if "energy_mj" in wanted and not target.energy_how:
        raise UsageError(f"energy was not measured on {target.name}: it can be no goal or limit")

    def of(name: str) -> Objective:
        return Objective(goal.metric, "max") if name == "score" else objective(name)

    limits = tuple(Limit(of(name), bound) for name, bound in given.items())
    objectives = tuple(of(COSTS.get(word, word)) for word in words)
    within = (*goal.size_limits(), *goal.width_limits())
    return Criteria(objectives, limits, (*limits, *_implied(most_kb, tables)), within)


def _objective_words(problem: Problem, request: Request) -> tuple[str, ...]:
    """The objectives in the user's words; FLASH's ratio is of all there are."""
    if request.single:
        area = ("area",) if "area_mm2" in problem.target.quantities else ()
        return ("score", "latency", "energy", *area)
    if request.objectives is None:
        return problem.objectives
    return request.words


def _implied(weight_limit_kb: float, tables: SeparableProblem) -> list[Limit]:
    """Limits that nobody has to give."""
    implied = []
    if np.isfinite(weight_limit_kb):
        implied.append(Limit(objective("weight_kb"), weight_limit_kb))
    if UNCONNECTED in tables.combine:
        # Above zero is too much by any measure: no design comes near that has no path.
        tiny = float(np.finfo(np.float64).tiny)
        implied.append(Limit(Objective(UNCONNECTED, "min"), tiny, _CONNECTED))
    return implied
