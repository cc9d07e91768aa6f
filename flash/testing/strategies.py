"""What a search that spends a training budget promises."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from flash.search.budgeted import (
    Candidates,
    Edges,
    FunctionEvaluator,
    LayerStatistics,
    Strategy,
    TableEvaluator,
    TrainingError,
    all_designs,
)
from flash.spaces.stage_tables import Floats
from flash.testing.small import Ints

__all__ = ["StrategyConformance"]

_SIZES = (4, 4, 4, 4)
#: What each value of a variable adds to a design's width and depth.
_WIDTH = np.array([0.0, 1.0, 2.0, 0.5])
_DEPTH = np.array([0.0, 0.3, 1.0, 2.0])


class StrategyConformance:
    """Subclass it and give the fixture ``strategy``; seconds each.

    budget: trainings, as few as the strategy takes.  metrics: scores it is given, of "wide",
    "deep", "noise" and "cost".
    """

    budget: int = 12
    metrics: tuple[str, ...] = ("wide", "deep", "noise")

    @pytest.fixture
    def strategy(self) -> Strategy:
        """The strategy under test."""
        raise NotImplementedError

    def _candidates(self, rows: slice = slice(None)) -> Candidates:
        designs = all_designs(_SIZES)[rows]
        scores = _scores(designs)
        columns = np.stack([scores[name] for name in self.metrics], axis=1)
        return Candidates(
            _SIZES, designs, self.metrics, columns, statistics=_statistics, edges=_EDGES
        )

    def _run(
        self, strategy: Strategy, seed: int = 0, train: Callable[[Ints], float] | None = None
    ) -> FunctionEvaluator:
        spent = FunctionEvaluator(self.budget, train or _accuracy)
        told = strategy.run(self._candidates(), spent, np.random.default_rng(seed))
        json.dumps(told, allow_nan=False)
        return spent

    def test_the_budget_is_spent_on_candidates_each_once(self, strategy: Strategy) -> None:
        """At least one training, never more than the budget, none paid twice."""
        found = self._run(strategy)
        designs = [trial.design for trial in found.trials]
        assert 1 <= len(designs) <= self.budget
        assert len(set(designs)) == len(designs)
        assert self._candidates().admitted(np.array(designs, dtype=np.int64)).all()

    def test_the_same_seed_gives_the_same_search(self, strategy: Strategy) -> None:
        """Trial by trial, whatever the global random numbers were."""
        np.random.seed(1)  # noqa: NPY002 - a library's own use of them must not show
        first = self._run(strategy, 3)
        np.random.seed(2)  # noqa: NPY002
        second = self._run(strategy, 3)
        assert [t.design for t in first.trials] == [t.design for t in second.trials]

    def test_failed_trainings_are_survived(self, strategy: Strategy) -> None:
        """Half of the designs have no accuracy; the others are found."""

        def half(design: Ints) -> float:
            if design[0] % 2:
                raise TrainingError("an odd design")
            return _accuracy(design)

        found = self._run(strategy, train=half)
        assert 1 <= found.spent <= self.budget
        assert all(trial.failed == bool(trial.design[0] % 2) for trial in found.trials)

    def test_trainings_that_all_fail_end_the_search(self, strategy: Strategy) -> None:
        """No accuracy at all is no reason to crash."""

        def none(design: Ints) -> float:
            raise TrainingError("the data is gone")

        found = self._run(strategy, train=none)
        assert all(trial.failed for trial in found.trials)

    def test_few_candidates_are_enough(self, strategy: Strategy) -> None:
        """A budget beyond the candidates is not an error."""
        candidates = self._candidates(slice(0, 10))
        designs = all_designs(_SIZES)
        accuracy = np.array([_accuracy(design) for design in designs])
        spent = TableEvaluator(self.budget, designs, accuracy)
        strategy.run(candidates, spent, np.random.default_rng(0))
        assert 1 <= spent.spent <= 10


def _parts(designs: Ints) -> tuple[Floats, Floats]:
    place = np.arange(1, designs.shape[1] + 1)
    return (_WIDTH[designs] * place).sum(axis=1), _DEPTH[designs].sum(axis=1)


def _accuracy(design: Ints) -> float:
    """Saturating in width and depth, best where both are large and balanced."""
    (width,), (depth,) = _parts(design[None])
    return float(95 - 40 * np.exp(-(width + 2 * depth) / 12) - 0.05 * abs(width - 2 * depth))


def _scores(designs: Ints) -> dict[str, Floats]:
    width, depth = _parts(designs)
    rows = np.ravel_multi_index(tuple(designs.T), _SIZES)
    noise = np.random.default_rng(0).normal(size=(4 ** len(_SIZES), 2))[rows]
    return {
        "wide": width + noise[:, 0],
        "deep": np.exp(0.5 * depth),
        "noise": noise[:, 1],
        "cost": width**2 + depth,
    }


def _statistics(designs: Ints) -> LayerStatistics:
    """Each variable is a layer with a width and a depth."""
    place = np.arange(1, designs.shape[1] + 1)
    values = np.stack([_WIDTH[designs] * place, _DEPTH[designs]])
    return LayerStatistics(("width", "depth"), values, np.ones(designs.shape, dtype=np.bool_))


def _without(design: Ints) -> Ints:
    """A variable is an edge, which is absent where its value is 0."""
    fewer: Ints = np.repeat(design[None], len(design), axis=0)
    np.fill_diagonal(fewer, 0)
    return fewer[np.any(fewer != design, axis=1)]


def _macs(designs: Ints) -> Floats:
    width, depth = _parts(designs)
    return 1e6 * (1 + width + depth)


_EDGES = Edges(np.array([3, 3, 3, 3]), _without, _macs)
