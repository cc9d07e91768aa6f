"""Tables of SED or capacity by stage, for optimizers.

A stage depends on what it reads and, where nothing restarts in between (``SED.md``, section 2), on
earlier variables; those are found by varying each one, and added to what the stage reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.metrics.sed.score import score_network
from flash.metrics.sed.stages import Summed, stage_sums
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats, SeparableProblem, StageTable
from flash.spaces.table import LayerTable, TableEmitter

__all__ = ["with_sum"]

Ints = NDArray[np.int64]

#: Columns a stage may be tabulated over.
_MOST = 1 << 20
#: Random designs varied to find what a stage depends on.
_BASES = 16
#: Designs gone through at a time: their layer table takes a few ten MB.
_AT_ONCE = 1 << 14
#: Random designs compared with whole networks: all at once, and one by one.
_CHECKED, _CHECKED_ALONE = 100, 4


def with_sum(problem: SeparableProblem, space: SearchSpace, name: Summed) -> SeparableProblem:
    """``problem`` (stage tables of ``space``) with the quantity ``name``, a sum over stages.

    Stages read more variables where their score depends on more. Raises ``UsageError`` if the
    score does not separate into stages of a size that can be tabulated.
    """
    rng = np.random.default_rng(0)
    extra = _dependencies(space, name, rng)
    stages = tuple(_extended(space, s, name, extra[s.name]) for s in problem.stages)
    result = SeparableProblem(problem.sizes, stages, {**problem.combine, name: "sum"})
    _check(space, result, name, rng)
    return result


def _check(
    space: SearchSpace, problem: SeparableProblem, name: Summed, rng: np.random.Generator
) -> None:
    """Random designs score the same by stage tables, by layer tables and as graphs."""
    designs = space.sample(_CHECKED, rng)
    tabulated = problem.evaluate(designs, name)[name]
    together = sum(stage_sums(space.table(designs), name).values())
    networks = [space.network(design) for design in designs[:_CHECKED_ALONE]]
    alone = [getattr(score_network(network), name) for network in networks]
    if not (
        np.allclose(tabulated, together, rtol=1e-9, atol=0)
        and np.allclose(tabulated[:_CHECKED_ALONE], alone, rtol=1e-9, atol=0)
    ):
        raise UsageError(f"the {name} of space {space.name} is no sum over its stages")


def _emit(space: SearchSpace, values: Mapping[str, int | Ints], designs: int) -> LayerTable:
    emitter = TableEmitter(designs)
    return emitter.table(space.family.emit(emitter, values)[1])


def _sums_of(space: SearchSpace, designs: Ints, name: Summed) -> dict[str, Floats]:
    """``stage_sums`` of designs, some at a time."""
    blocks = [designs[start : start + _AT_ONCE] for start in range(0, len(designs), _AT_ONCE)]
    parts = [stage_sums(space.table(block), name) for block in blocks]
    # A stage that no design of a block has is not in its part.
    return {
        stage: np.concatenate(
            [part.get(stage, np.zeros(len(b))) for part, b in zip(parts, blocks, strict=True)]
        )
        for stage in {stage: None for part in parts for stage in part}
    }


def _dependencies(
    space: SearchSpace, name: Summed, rng: np.random.Generator
) -> dict[str, list[int]]:
    """Stage -> variables it neither owns nor reads but whose values change its score."""
    sizes = tuple(len(grid) for grid in space.grids)
    whole = space.size * (len(sizes) + 1) <= _MOST >> 4
    bases = np.indices(sizes).reshape(len(sizes), -1).T if whole else space.sample(_BASES, rng)
    moved = [bases]
    for k, grid in enumerate(space.grids):
        other = bases.copy()
        other[:, k] = rng.integers(len(grid), size=len(bases))
        moved.append(other)
    designs = np.concatenate(moved)
    found = _sums_of(space, bases if whole else designs, name)
    if whole:  # every design moved is one of them
        numbers = np.ravel_multi_index(tuple(designs.T), sizes)
        found = {stage: values[numbers] for stage, values in found.items()}
    variables = space.variables
    result: dict[str, list[int]] = {}
    for stage in space.family.stages:
        known = (*stage.reads, *stage.owns)
        values = found.get(stage.name, np.zeros(len(bases) * len(moved)))
        rows = values.reshape(len(moved), -1)
        differs = (np.abs(rows[1:] - rows[0]) > 1e-9 * np.abs(rows[0])).any(axis=1)
        result[stage.name] = [k for k, v in enumerate(variables) if differs[k] and v not in known]
    return result


def _extended(
    space: SearchSpace, stage: StageTable, name: Summed, extra: Sequence[int]
) -> StageTable:
    """The stage with a table of ``name``, reading the variables ``extra`` too."""
    grids = space.grids
    columns = (*stage.reads, *extra, *stage.owns)
    shape = tuple(len(grids[k]) for k in columns)
    size = math.prod(shape)
    if size > _MOST:
        raise UsageError(
            f"the {name} of stage {stage.name} of space {space.name} depends on too many variables "
            f"({size} combinations); search it with another metric"
        )
    values: dict[str, int | Ints] = {
        variable: int(grid[0]) for variable, grid in zip(space.variables, grids, strict=True)
    }
    mesh = np.meshgrid(*(grids[k] for k in columns), indexing="ij") if columns else []
    values.update((space.variables[k], m.ravel()) for k, m in zip(columns, mesh, strict=True))
    own = stage_sums(_emit(space, values, size), name).get(stage.name, np.zeros(size))
    between = tuple(range(len(stage.reads), len(stage.reads) + len(extra)))
    table = {
        known: np.broadcast_to(np.expand_dims(v, between), shape)
        for known, v in stage.values.items()
    }
    reads = (*stage.reads, *extra)
    return StageTable(stage.name, reads, stage.owns, {**table, name: own.reshape(shape)})
