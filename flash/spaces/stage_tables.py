"""Stage tables, the separable form of a search: every quantity of a design is a sum (or maximum)
of table look-ups, one a stage.

Costs add up over layers, so they add up over stages; a stage depends on the few variables it
owns or reads (``Stage``). Tabulating each stage once over those turns a space of 10^11
designs into a handful of small arrays: scoring a design is a look-up and a sum, and an exact
optimum is within reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.family import Stage
from flash.spaces.layers import INPUT, Tensor
from flash.spaces.look_ups import LookUps, flat_table
from flash.spaces.space import SearchSpace, alike, gathered
from flash.spaces.table import LayerTable, TableEmitter

__all__ = [
    "Floats",
    "Quantities",
    "SeparableProblem",
    "StageTable",
    "WholeProblem",
    "mesh",
    "separates",
    "tabulate",
    "with_cell_sum",
]

Floats = NDArray[np.float64]
#: Quantities of a layer table: name -> one value a design, for the rows the table holds.
Quantities = Callable[[LayerTable], Mapping[str, Floats]]
Combine = Literal["sum", "max"]

#: Entries of the largest stage table: some hundred MB of quantities, minutes to fill.
_MOST_ENTRIES = 1 << 24
#: Designs tabulated at a time: the layer table of a network of 500 layers takes some 25 MB.
_TABULATED = 1 << 12


@dataclass(frozen=True)
class StageTable:
    """The quantities of one stage for every value of the variables it depends on.

    reads, owns: columns (variable numbers) read and owned.
    values:      quantity -> array with one axis for each of ``reads`` then ``owns``.
    """

    name: str
    reads: tuple[int, ...]
    owns: tuple[int, ...]
    values: Mapping[str, Floats]


@dataclass(frozen=True)
class SeparableProblem:
    """Stage tables of a space, and how each quantity combines over the stages.

    sizes:     number of values of each variable.
    combine:   quantity -> "sum" or "max".
    tabulated: there are stage tables, as optimizers that prove anything need them.
    """

    sizes: tuple[int, ...]
    stages: tuple[StageTable, ...]
    combine: Mapping[str, Combine]
    tabulated: ClassVar[bool] = True

    @property
    def size(self) -> int:
        """Number of designs."""
        return math.prod(self.sizes)

    def evaluate(self, indices: NDArray[np.int64], *quantities: str) -> dict[str, Floats]:
        """Quantities (all by default) of designs given as indices, shape (designs, variables)."""
        wanted = quantities or tuple(self.combine)
        prepared = self._look_ups.get(wanted)
        if prepared is None:
            tables = {
                name: [flat_table(s.values[name], (*s.reads, *s.owns)) for s in self.stages]
                for name in wanted
            }
            adds = {name: self.combine[name] == "sum" for name in wanted}
            prepared = self._look_ups[wanted] = LookUps(len(self.sizes), tables, adds)
        return prepared.totals(indices)

    @cached_property
    def _look_ups(self) -> dict[tuple[str, ...], LookUps]:
        """Prepared tables by the quantities asked for together."""
        return {}

    def joined(self, other: SeparableProblem, names: Iterable[str]) -> SeparableProblem:
        """With the quantities ``names`` of ``other``, which has tables of the same stages.

        A stage reads what it reads in either.
        """
        names = tuple(names)
        stages = []
        for stage, own in zip(self.stages, other.stages, strict=True):
            reads = tuple(dict.fromkeys((*stage.reads, *own.reads)))
            values = _over(stage, reads, stage.values, self.sizes)
            values |= _over(own, reads, names, self.sizes)
            stages.append(replace(stage, reads=reads, values=values))
        combine = {**self.combine, **{name: other.combine[name] for name in names}}
        return replace(self, stages=tuple(stages), combine=combine)


@dataclass(frozen=True)
class WholeProblem(SeparableProblem):
    """The same questions about a space that does not separate: each design is looked at whole.

    It has no stage tables, so it is evaluated in milliseconds a design, not in nanoseconds, and
    no optimizer that needs tables can take it.

    scores: designs (indices) and names of quantities -> these, each of shape (designs,).
    """

    scores: Callable[[NDArray[np.int64], tuple[str, ...]], dict[str, Floats]] = field(repr=False)
    tabulated: ClassVar[bool] = False

    def evaluate(self, indices: NDArray[np.int64], *quantities: str) -> dict[str, Floats]:
        """See ``SeparableProblem``."""
        return self.scores(indices, quantities or tuple(self.combine))


def _over(
    stage: StageTable, reads: tuple[int, ...], names: Iterable[str], sizes: Sequence[int]
) -> dict[str, Floats]:
    """Quantities of a stage with an axis for each of ``reads``, among which are its own."""
    if reads == stage.reads:
        return {name: stage.values[name] for name in names}
    order = [stage.reads.index(k) for k in reads if k in stage.reads]
    order += range(len(stage.reads), len(stage.reads) + len(stage.owns))
    new = tuple(place for place, k in enumerate(reads) if k not in stage.reads)
    shape = tuple(sizes[k] for k in (*reads, *stage.owns))
    return {
        name: np.broadcast_to(np.expand_dims(stage.values[name].transpose(order), new), shape)
        for name in names
    }


def separates(space: SearchSpace) -> bool:
    """Every stage depends on so few variables that its table can be filled."""
    grids = dict(zip(space.variables, space.grids, strict=True))
    return all(
        math.prod(len(grids[name]) for name in (*stage.reads, *stage.owns)) <= _MOST_ENTRIES
        for stage in space.family.stages
    )


def tabulate(
    space: SearchSpace,
    costs: Quantities,
    metrics: Quantities | None,
    combine: Mapping[str, Combine],
) -> SeparableProblem:
    """Tabulate every stage of the space's family.

    costs:   quantities of a set of layers (latency, params, ...).
    metrics: quantities of whole cells (NN-Degree, ...), credited to the stage that
             completes the cell; None without any.
    combine: how each of them combines over stages.
    """
    stages = []
    columns = {name: k for k, name in enumerate(space.variables)}
    for stage in space.family.stages:
        values, shape = mesh(space, stage)
        own = _stage_columns(space, stage, values, math.prod(shape), costs, metrics)
        stages.append(
            StageTable(
                stage.name,
                tuple(columns[name] for name in stage.reads),
                tuple(columns[name] for name in stage.owns),
                {name: own[name].reshape(shape) for name in combine},
            )
        )
    return SeparableProblem(tuple(len(g) for g in space.grids), tuple(stages), dict(combine))


def _stage_columns(
    space: SearchSpace,
    stage: Stage,
    values: Mapping[str, int | NDArray[np.int64]],
    designs: int,
    costs: Quantities,
    metrics: Quantities | None,
) -> dict[str, Floats]:
    """What a stage's layers cost, and what the cell scores that it completes."""
    if metrics is None:
        return _in_blocks(space, values, designs, {stage.name}, costs)
    if stage.cell == (stage.name,):  # one table of its layers serves both
        return _in_blocks(
            space, values, designs, {stage.name}, lambda t: {**costs(t), **metrics(t)}
        )
    own = _in_blocks(space, values, designs, {stage.name}, costs)
    if not stage.cell:
        nothing = TableEmitter(designs, only=()).table(Tensor(0, 0, 0, INPUT))
        return {**own, **metrics(nothing)}
    return own | _in_blocks(space, values, designs, set(stage.cell), metrics)


def with_cell_sum(
    problem: SeparableProblem,
    space: SearchSpace,
    name: str,
    score: Callable[[LayerTable], Floats],
) -> SeparableProblem:
    """``problem`` (stage tables of ``space``) with one more quantity, a sum over cells.

    score: the quantity of the cells in a layer table, shape (designs,).
    """
    stages = []
    for own, table in zip(space.family.stages, problem.stages, strict=True):
        values, shape = mesh(space, own)
        scores = np.zeros(shape)
        if own.cell:  # else the stage completes none
            found = _in_blocks(
                space, values, math.prod(shape), set(own.cell), lambda t: {name: score(t)}
            )
            scores = found[name].reshape(shape)
        stages.append(replace(table, values={name: scores, **table.values}))
    return SeparableProblem(problem.sizes, tuple(stages), {name: "sum", **problem.combine})


def _in_blocks(
    space: SearchSpace,
    values: Mapping[str, int | NDArray[np.int64]],
    designs: int,
    only: set[str],
    quantities: Quantities,
) -> dict[str, Floats]:
    """Quantities of the stages ``only``, some designs at a time: a layer table is large."""
    blocks = alike(space.family, values, designs, _TABULATED)
    return gathered(
        designs, ((rows, quantities(_emit(space, own, len(rows), only))) for rows, own in blocks)
    )


def mesh(
    space: SearchSpace, stage: Stage
) -> tuple[dict[str, int | NDArray[np.int64]], tuple[int, ...]]:
    """Every combination of what a stage reads and owns, by variable, and the table's shape.

    Variables the stage knows nothing of have their first value. Raises ``UsageError`` where there
    are too many.
    """
    grids = dict(zip(space.variables, space.grids, strict=True))
    names = (*stage.reads, *stage.owns)
    entries = math.prod(len(grids[name]) for name in names)
    if entries > _MOST_ENTRIES:
        raise UsageError(
            f"space {space.name} does not separate: a table of its stage {stage.name} would have "
            f"{entries:,} entries, beyond {_MOST_ENTRIES:,}"
        )
    axes = np.meshgrid(*(grids[name] for name in names), indexing="ij") if names else []
    values: dict[str, int | NDArray[np.int64]] = {n: int(grid[0]) for n, grid in grids.items()}
    values.update(zip(names, (axis.ravel() for axis in axes), strict=True))
    return values, tuple(len(grids[name]) for name in names)


def _emit(
    space: SearchSpace, values: Mapping[str, int | NDArray[np.int64]], designs: int, only: set[str]
) -> LayerTable:
    emitter = TableEmitter(designs, only=only)
    return emitter.table(space.family.emit(emitter, values)[1])
