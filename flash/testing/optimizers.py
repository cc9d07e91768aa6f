"""What an optimizer of separable problems promises."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import InfeasibleError
from flash.optimize import (
    Limit,
    Objective,
    Optimizer,
    OptimizerResult,
    SeparableProblem,
    exact_front,
    hypervolume_gap,
    meets,
    non_dominated,
    values_of,
)
from flash.testing.small import random_problem

__all__ = ["OptimizerConformance"]

_OBJECTIVES = (Objective("score", "max"), Objective("latency_ms", "min"))
_MEMORY = Objective("memory_kb", "min", ("weight_kb", "activation_kb"))


class OptimizerConformance:
    """Subclass it and give the fixture ``optimizer``.

    gap_percent: the share of the exact front's hypervolume that it may miss on problems of at
                 most 4,096 designs; infinite for one that promises nothing.
    """

    gap_percent: float = 5.0
    seeds: tuple[int, ...] = (0, 1, 2, 3)

    @pytest.fixture
    def optimizer(self) -> Optimizer:
        """The optimizer under test."""
        raise NotImplementedError

    def test_the_front_holds_real_designs_at_their_values(self, optimizer: Optimizer) -> None:
        """Indices lie in the grids, each design once, with the values the problem gives it."""
        for seed in self.seeds:
            problem = random_problem(seed)
            found = optimizer.optimize(problem, _OBJECTIVES, (), seed)
            assert found.name == optimizer.name
            assert found.objectives == _OBJECTIVES
            assert found.indices.shape == (len(found), len(problem.sizes))
            assert ((found.indices >= 0) & (found.indices < np.array(problem.sizes))).all()
            assert len(np.unique(found.indices, axis=0)) == len(found) > 0
            assert np.array_equal(found.values, values_of(problem, found.indices, _OBJECTIVES))
            assert found.evaluations > 0 and found.seconds >= 0

    def test_no_design_of_the_front_dominates_another(self, optimizer: Optimizer) -> None:
        """Also where many designs have equal values."""
        for seed in self.seeds:
            for objectives in (_OBJECTIVES, (*_OBJECTIVES, _MEMORY)):
                found = optimizer.optimize(random_problem(seed, whole=True), objectives, (), seed)
                assert non_dominated(found.values, found.signs).all()

    def test_limits_hold(self, optimizer: Optimizer) -> None:
        """On costs, sums of costs and scores."""
        for seed in self.seeds:
            problem = random_problem(seed)
            free = exact_front(problem, _OBJECTIVES)
            limits = (
                Limit(Objective("latency_ms", "min"), float(np.median(free.values[:, 1]))),
                Limit(Objective("score", "max"), float(free.values[:, 0].min()) / 2),
            )
            found = optimizer.optimize(problem, _OBJECTIVES, limits, seed)
            assert meets(problem, found.indices, limits).all()

    def test_it_is_no_better_than_exact_and_close_to_it(self, optimizer: Optimizer) -> None:
        """Every design is on or behind the exact front, and little of that is missed."""
        for seed in self.seeds:
            problem = random_problem(seed)
            exact = exact_front(problem, _OBJECTIVES)
            found = optimizer.optimize(problem, _OBJECTIVES, (), seed)
            assert _behind(found, exact)
            gap = hypervolume_gap(found.values, exact.values, exact.signs)
            assert 0 <= gap <= self.gap_percent

    def test_one_objective_has_one_optimum(self, optimizer: Optimizer) -> None:
        """A front over one objective is a single value."""
        for seed in self.seeds:
            found = optimizer.optimize(random_problem(seed), _OBJECTIVES[1:], (), seed)
            assert len(np.unique(found.values)) == 1

    def test_limits_that_nothing_meets_are_told(self, optimizer: Optimizer) -> None:
        """``InfeasibleError`` in one line, no design that breaks a limit."""
        limit = Limit(Objective("latency_ms", "min"), 1e-9)
        with pytest.raises(InfeasibleError) as told:
            optimizer.optimize(random_problem(0), _OBJECTIVES, (limit,), 0)
        assert str(told.value) and "\n" not in str(told.value)

    def test_the_same_seed_gives_the_same_front(self, optimizer: Optimizer) -> None:
        """To the last bit, whatever the global random numbers were."""
        problem = random_problem(5)
        np.random.seed(1)  # noqa: NPY002 - a library's own use of them must not show
        first = optimizer.optimize(problem, _OBJECTIVES, (), 7)
        np.random.seed(2)  # noqa: NPY002
        second = optimizer.optimize(problem, _OBJECTIVES, (), 7)
        assert np.array_equal(first.indices, second.indices)
        assert np.array_equal(first.values, second.values)

    def test_the_problem_is_left_as_it_was(self, optimizer: Optimizer) -> None:
        """Tables may be shared between searches."""
        problem = random_problem(6)
        before = _copies(problem)
        optimizer.optimize(problem, _OBJECTIVES, (), 0)
        assert all(np.array_equal(a, b) for a, b in zip(before, _copies(problem), strict=True))


def _behind(found: OptimizerResult, exact: OptimizerResult) -> bool:
    """Each design found is dominated by, or equal to, one of the exact front."""
    signs = np.array(exact.signs)
    ours, best = found.values * signs, exact.values * signs
    return all((best <= row + 1e-12).all(axis=1).any() for row in ours)


def _copies(problem: SeparableProblem) -> list[np.ndarray]:
    return [np.array(table) for stage in problem.stages for table in stage.values.values()]
