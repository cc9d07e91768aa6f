"""What a data-free metric promises."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import UsageError
from flash.metrics import Metric
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import SeparableProblem, tabulate
from flash.testing.small import SMALL, Ints, every_design, small_space

__all__ = ["MetricConformance"]


class MetricConformance:
    """Subclass it and give the fixture ``metric``; ``families`` names the families tried."""

    families: tuple[str, ...] = tuple(SMALL)
    #: Relative difference allowed between two ways to the same score: sums in another order.
    tolerance: float = 1e-9

    @pytest.fixture
    def metric(self) -> Metric:
        """The metric under test."""
        raise NotImplementedError

    @pytest.fixture
    def spaces(self) -> list[SearchSpace]:
        """Small spaces, one a family."""
        return [small_space(family) for family in self.families]

    def test_it_declares_a_score(self, metric: Metric) -> None:
        """The quantity is one of which more is better, without a unit, and has a source."""
        assert metric.quantity.sense == "max", "a metric is the better the higher"
        assert metric.quantity.unit == "", "a metric has no unit"
        assert metric.quantity.label and metric.source

    def test_designs_have_one_finite_score_each(
        self, metric: Metric, spaces: list[SearchSpace]
    ) -> None:
        """One float64 a design, none of them infinite or undefined."""
        for space in spaces:
            designs = _designs(space)
            scores = metric.of_designs(space, designs)[metric.name]
            assert scores.shape == (len(designs),) and scores.dtype == np.float64
            assert np.isfinite(scores).all()

    def test_scores_do_not_depend_on_company_or_order(
        self, metric: Metric, spaces: list[SearchSpace]
    ) -> None:
        """A design scores the same, to rounding, alone, in any order, and when asked again."""
        for space in spaces:
            designs = _designs(space)
            scores = metric.of_designs(space, designs)[metric.name]
            backwards = metric.of_designs(space, designs[::-1])[metric.name][::-1]
            alone = metric.of_designs(space, designs[:1])[metric.name]
            assert np.allclose(scores, backwards, rtol=1e-12, atol=0, equal_nan=True)
            assert np.allclose(scores[:1], alone, rtol=1e-12, atol=0, equal_nan=True)

    def test_the_designs_and_their_graphs_score_the_same(
        self, metric: Metric, spaces: list[SearchSpace]
    ) -> None:
        """A network scores as its design does."""
        for space in spaces:
            designs = _designs(space)[:12]
            scores = metric.of_designs(space, designs)[metric.name]
            graphs = [metric.of_network(space.network(d))[metric.name] for d in designs]
            assert np.allclose(scores, graphs, rtol=self.tolerance, atol=0)

    def test_designs_that_are_one_network_score_the_same(
        self, metric: Metric, spaces: list[SearchSpace]
    ) -> None:
        """Values without effect do not change the score."""
        for space in spaces:
            designs = every_design([len(grid) for grid in space.grids])
            values = space.decode(designs)
            columns = {name: values[:, k] for k, name in enumerate(space.variables)}
            canonical = space.family.canonical(columns)
            rows = np.stack([np.asarray(canonical[name]) for name in space.variables], axis=1)
            _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
            same = designs[first][which.ravel()]
            changed = np.flatnonzero((same != designs).any(axis=1))[:20]
            if len(changed):
                scores = metric.of_designs(space, designs[changed])[metric.name]
                twins = metric.of_designs(space, same[changed])[metric.name]
                assert np.allclose(scores, twins, rtol=self.tolerance, atol=0)

    def test_zero_means_no_path_where_it_says_so(
        self, metric: Metric, spaces: list[SearchSpace]
    ) -> None:
        """A ``positive`` metric is above 0 exactly where the input reaches the output."""
        if not metric.positive:
            pytest.skip("the metric makes no promise about networks without a path")
        for space in spaces:
            designs = _designs(space)
            scores = metric.of_designs(space, designs)[metric.name]
            live = [bool(space.network(design).live().layers) for design in designs]
            assert np.array_equal(scores > 0, live)

    def test_stage_tables_add_up_to_the_score(
        self, metric: Metric, spaces: list[SearchSpace]
    ) -> None:
        """What an optimizer adds up is the score; other quantities stay as they were.

        A sum over cells can be tabulated in every space.
        """
        for space in spaces:
            before = _params(space)
            try:
                problem = metric.tabulated(before, space)
            except UsageError as error:
                assert not metric.per_cell, "a sum over cells is a sum over stages"
                assert space.name in str(error) and "\n" not in str(error)
                continue
            designs = _designs(space)
            found = problem.evaluate(designs)
            assert problem.combine[metric.name] == "sum"
            scores = metric.of_designs(space, designs)[metric.name]
            assert np.allclose(found[metric.name], scores, rtol=self.tolerance, atol=1e-12)
            assert np.array_equal(found["params"], before.evaluate(designs)["params"])


def _designs(space: SearchSpace) -> Ints:
    """At most 40 designs, spread over the space."""
    designs = every_design([len(grid) for grid in space.grids])
    return designs[np.unique(np.linspace(0, len(designs) - 1, 40).astype(np.int64))]


def _params(space: SearchSpace) -> SeparableProblem:
    return tabulate(
        space,
        lambda table: {"params": table.params.sum(axis=0).astype(np.float64)},
        lambda table: {},
        {"params": "sum"},
    )
