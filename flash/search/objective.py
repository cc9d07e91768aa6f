"""What a search maximises, and what accuracy that promises.

In a space with an accuracy model that rises with one number an optimizer can search (a score, or
a sum over stages), that number is searched: the front is the front of predicted accuracy and a
limit on accuracy is exact (its hypervolume gap is measured in that number). Under any other model,
or where the optimizer cannot have that number (sums of our own together with hardware, and on
targets whose costs are bounds), or for another metric of the user's choice, the
metric's front is searched; each of its designs is shown with its predicted accuracy, and a limit
on accuracy drops those predicted below it (the best design may then be one the metric ranks low).
Either way no design below the limit is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.calibration import AccuracyModel, Prediction
from flash.accuracy.features import size_problem
from flash.accuracy.storage import accuracy_of
from flash.errors import InfeasibleError, UsageError, did_you_mean
from flash.evaluation import CellScore
from flash.metrics import METRICS, own_metric
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem, exact_front
from flash.report.result import WIDENED, AccuracyStatus, Interval
from flash.search.problem import Effort, Networks, NetworksAndChips, Subject
from flash.search.screening import SHORTLIST_METRICS
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["Scoring", "scoring"]


@dataclass(frozen=True)
class Scoring:
    """What is maximised.

    metric: the quantity of the problem.  name: what reports call it, "accuracy" where the front
    is one of predicted accuracy.  least: the limit on predicted accuracy, per cent.
    rises: the model's prediction rises with ``metric``.
    """

    metric: str
    name: str
    model: AccuracyModel | None
    rises: bool
    least: float | None

    @property
    def index(self) -> CellScore | None:
        """The metric as a function of cells, where it is the model's own."""
        return self.model.index if self.model is not None and self.metric == "accuracy" else None

    @property
    def worth(self) -> Callable[[Floats], Floats] | None:
        """Metric -> predicted accuracy, where that is possible; it never falls."""
        return self.model.from_metric if self.model is not None and self.rises else None

    @property
    def status(self) -> AccuracyStatus:
        """Whether there is an accuracy model, and where it comes from."""
        if self.model is None:
            return AccuracyStatus()
        return AccuracyStatus(True, self.model.statement)

    def limits(self, space: SearchSpace, problem: SeparableProblem) -> list[Limit]:
        """The limit on accuracy as one on the metric; none where it is applied afterwards.

        Raises ``InfeasibleError`` with the best there is if no design of the space reaches it.
        """
        if self.least is None or self.model is None or not self.rises:
            return []
        of = Objective(self.metric, "max")
        alone = problem
        if len(problem.sizes) != len(space.variables):
            alone = size_problem(space, metrics=(self.metric,))
        best = exact_front(alone, [of], [])
        top = float(best.values[0, 0])
        bound = self.model.least_metric(self.least, top)
        if bound > top:
            raise self._unreached(space, best.indices[0], top, "")
        return [Limit(of, bound)]

    def why_unmet(
        self, space: SearchSpace, problem: SeparableProblem, others: Sequence[Limit]
    ) -> str:
        """The best accuracy under the other limits, in one line; empty if that does not bind."""
        if self.least is None or self.worth is None or len(problem.sizes) != len(space.variables):
            return ""
        try:
            best = exact_front(problem, [Objective(self.metric, "max")], others)
        except InfeasibleError:
            return ""
        top = float(best.values[0, 0])
        if self.worth(np.array([top]))[0] >= self.least:
            return ""
        return str(self._unreached(space, best.indices[0], top, " within the other limits"))

    def optimum(
        self, subject: Subject, problem: SeparableProblem, objectives: Sequence[Objective],
        bounds: Sequence[Limit], effort: Effort,
    ) -> OptimizerResult:  # fmt: skip
        """What the optimizer finds; raises ``InfeasibleError`` with the limit that binds."""
        networks = subject.space if isinstance(subject, Networks) else subject.space.network
        own = self.limits(networks, problem)
        try:
            return subject.optimize(problem, tuple(objectives), (*bounds, *own), effort)
        except InfeasibleError as error:
            why = self.why_unmet(networks, problem, bounds)
            why = why or subject.why_unmet(problem, tuple(bounds))
            raise InfeasibleError(why or str(error)) from None

    def in_shown_units(self, result: OptimizerResult) -> OptimizerResult:
        """With the metric as reports show it, on which the balanced design is picked."""
        values = np.array(result.values)
        for column, of in enumerate(result.objectives):
            if of.name == self.metric:
                values[:, column] = self.shown(values[:, column])
        return replace(result, values=values)

    def _unreached(
        self, space: SearchSpace, design: NDArray[np.int64], metric: float, within: str
    ) -> InfeasibleError:
        worth = self.worth
        reached = 0.0 if worth is None else float(worth(np.array([metric]))[0])
        return InfeasibleError(
            f"no design of {space.name} is predicted to reach {self.least:g} %{within}; the best "
            f"reachable is {np.floor(100 * reached) / 100:.2f} % ({space.describe(design)})"
        )

    def predict(
        self, subject: Subject, indices: NDArray[np.int64], score: Floats
    ) -> Prediction | None:
        """Predicted accuracy of a front's designs; ``score`` is their metric."""
        if self.model is None:
            return None
        space, networks = _networks(subject, indices)
        found = self.model.predict(space, networks)
        if not self.rises:
            return found
        # The very numbers the limit was checked on: sums of tables differ in the last digits.
        value = self.model.from_metric(score)
        low, high = np.minimum(found.low, value), np.maximum(found.high, value)
        return replace(found, value=value, low=low, high=high)

    def kept(
        self, result: OptimizerResult, found: Prediction | None
    ) -> tuple[OptimizerResult, Prediction | None]:
        """Without the designs predicted below the limit; raises ``InfeasibleError`` if none stay.

        Where the metric is the model's, the limit has been kept already and nothing is dropped.
        """
        if self.least is None or found is None:
            return result, found
        stay = found.value >= self.least
        if not stay.any():
            raise InfeasibleError(
                f"no design on the front of {self.metric} is predicted to reach {self.least:g} %; "
                f"the best of them reaches {np.floor(100 * found.value.max()) / 100:.2f} %"
            )
        if stay.all():
            return result, found
        message = (
            f"{result.message}; {len(stay) - stay.sum():,} of {len(stay):,} designs are predicted "
            f"below {self.least:g} % and left out"
        )
        kept = replace(
            result, indices=result.indices[stay], values=result.values[stay], message=message
        )
        return kept, Prediction(
            found.value[stay], found.low[stay], found.high[stay], found.outside[stay]
        )

    def notes(self, found: Prediction | None) -> list[str]:
        """What the reader should know of a front's predicted accuracies."""
        outside = 0 if found is None else int(found.outside.sum())
        if found is None or not outside:
            return []
        return [
            f"{outside:,} of {len(found.outside):,} designs lie beyond the trained networks: their "
            "accuracy is extrapolated; flash.calibrate with another --max-macs trains such networks"
        ]

    def interval(self, found: Prediction | None, row: int) -> Interval | None:
        """The predicted accuracy of one design."""
        if found is None or self.model is None:
            return None
        wider = f", {WIDENED} the trained networks (our rule)" if found.outside[row] else ""
        value, low, high = (float(v[row]) for v in (found.value, found.low, found.high))
        return Interval(value, low, high, self.model.how + wider)

    def shown(self, values: Floats) -> Floats:
        """The metric in the unit reports show it in."""
        if self.name == self.metric and self.metric != "accuracy":
            return values
        return values if self.worth is None else self.worth(values)


def scoring(subject: Subject, metric: str | None, least: float | None) -> Scoring:
    """What to maximise: the metric given, else predicted accuracy where the space has a model.

    least: the limit on predicted accuracy, per cent. Raises ``UsageError`` for an unknown metric,
    or a limit in a space without a model.
    """
    space, _ = _networks(subject, np.zeros((0, 0), dtype=np.int64))
    model = accuracy_of(space)
    if least is not None and model is None:
        raise UsageError(
            f"space {space.name} is not calibrated, so it has no accuracy to limit; use --min-score"
        )
    if metric is None and model is not None and _searchable(subject, model.metric):
        return Scoring(model.metric, "accuracy", model, True, least)
    chosen = _metric(subject, metric)
    rises = model is not None and model.metric == chosen
    return Scoring(chosen, chosen, model, rises, least)


def _searchable(subject: Subject, metric: str) -> bool:
    """Whether a metric, or "accuracy", can stand for accuracy in a search of the subject."""
    if isinstance(subject, Networks) and subject.target.exact:
        return metric != ""
    return metric not in ("", "accuracy") and METRICS[metric].per_cell


def _metric(subject: Subject, metric: str | None) -> str:
    if metric is None:
        return own_metric(subject.space).name if isinstance(subject, Networks) else "nn_degree"
    if metric not in METRICS:
        hint = did_you_mean(metric, (*METRICS, *SHORTLIST_METRICS))
        raise UsageError(f"unknown metric '{metric}'{hint}")
    if isinstance(subject, NetworksAndChips) and not METRICS[metric].per_cell:
        known = [name for name, member in METRICS.items() if member.per_cell]
        raise UsageError(
            f"--metric {metric} cannot be searched together with hardware; fix the chip with "
            f"--hardware default, or take {' or '.join(known)}"
        )
    return metric


def _networks(
    subject: Subject, indices: NDArray[np.int64]
) -> tuple[SearchSpace, NDArray[np.int64]]:
    """The space of networks, and the networks of designs."""
    if isinstance(subject, Networks):
        return subject.space, indices
    return subject.space.network, indices[:, len(subject.space.free) :]
