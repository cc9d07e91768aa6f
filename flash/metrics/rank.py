"""Ranking designs of a space from their description alone: ``rank_score``, ``capacity``, ``sed``.

``rank_score`` is the default ranking, one rule for every network (``SED.md``, section 4). It does
not add up over stages: in spaces of several stages optimizers take ``capacity``, its largest part,
which does. In a space of one stage (NAS-Bench-201) any score is a table.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.metrics.metric import StageMetric
from flash.metrics.sed.cells import cell_numbers, score_cells
from flash.metrics.sed.score import Scores, score_network
from flash.metrics.sed.tabulated import with_sum
from flash.quantities import Quantity
from flash.spaces.family import InputShape, RepeatedCell
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats, SeparableProblem, StageTable

__all__ = ["CAPACITY", "RANK_SCORE", "SED", "RankMetric", "score_designs", "with_score"]

RankMetric = Literal["capacity", "rank_score", "sed"]

#: As many networks are scored one by one in the time it takes to tabulate NAS-Bench-201.
_TABLE_PAYS = 400


def score_designs(space: SearchSpace, indices: NDArray[np.int64]) -> Scores:
    """Scores of designs (indices, shape (designs, variables)).

    A graph is built and scored for each design (1 to 3 ms); many NAS-Bench-201 cells are
    looked up in a table of all of them instead, with equal results.
    """
    cell = space.family.repeated_cell
    if cell is not None and len(indices) > _TABLE_PAYS:
        return _cells(cell, space.family.shape, space.decode(indices))
    found = [score_network(space.network(design)) for design in indices]
    return Scores.of(found)


def with_score(
    problem: SeparableProblem, space: SearchSpace, metric: RankMetric
) -> SeparableProblem:
    """``problem`` (stage tables of ``space``) with the quantity ``metric``, summed over stages.

    Raises ``UsageError`` if the metric of this space is no sum over stages that can be
    tabulated: ``rank_score`` is one only where a single stage holds every variable.
    """
    cell = space.family.repeated_cell
    if cell is not None:
        mesh = np.indices(problem.sizes).reshape(len(problem.sizes), -1).T
        scores: NDArray[np.float64] = getattr(
            _cells(cell, space.family.shape, space.decode(mesh)), metric
        )
        (stage,) = problem.stages
        values = {**stage.values, metric: scores.reshape(problem.sizes)}
        stages = (StageTable(stage.name, stage.reads, stage.owns, values),)
        return SeparableProblem(problem.sizes, stages, {**problem.combine, metric: "sum"})
    if metric != "rank_score":
        return with_sum(problem, space, metric)
    raise UsageError(
        f"rank_score is no sum over the stages of space {space.name}, so an optimizer cannot "
        "take it; search with capacity, its largest part, and rank what is found by rank_score"
    )


def _cells(cell: RepeatedCell, shape: InputShape, operations: NDArray[np.int64]) -> Scores:
    return _table(cell, shape).at(cell_numbers(operations))


def _table(cell: RepeatedCell, shape: InputShape) -> Scores:
    return score_cells(cell.cells, cell.channels, shape.height, shape.width)


def _of_network(network: Network) -> dict[str, float]:
    found = score_network(network)
    return {name: getattr(found, name) for name in get_args(RankMetric)}


def _of_designs(
    space: SearchSpace, indices: NDArray[np.int64], name: RankMetric
) -> dict[str, Floats]:
    cell = space.family.repeated_cell
    if cell is not None and len(indices) > _TABLE_PAYS:  # each look-up costs: no other score
        table = _table(cell, space.family.shape)
        column: Floats = getattr(table, name)
        whole = all(np.array_equal(grid, np.arange(len(grid))) for grid in space.grids)
        return {name: column[cell_numbers(indices if whole else space.decode(indices))]}
    found = score_designs(space, indices)
    return {name: getattr(found, name) for name in get_args(RankMetric)}


def _metric(name: RankMetric, label: str, source: str) -> StageMetric:
    return StageMetric(
        quantity=Quantity(name, label),
        source=source,
        positive=True,
        network=_of_network,
        designs=lambda space, indices: _of_designs(space, indices, name),
        tables=lambda problem, space: with_score(problem, space, name),
    )


SED = _metric("sed", "SED", "derived here after Wu et al. 2024 (SED.md)")
CAPACITY = _metric(
    "capacity", "capacity", "sum over layers of the root of effective MACs, ours (SED.md)"
)
RANK_SCORE = _metric(
    "rank_score", "rank score", "capacity as far as depth can be trained, ours (SED.md)"
)
