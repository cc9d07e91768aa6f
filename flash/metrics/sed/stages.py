"""SED as a sum over the stages of a chain family: the form that optimizers need.

Exact for networks that are chains of blocks: additions join independent branches, and every
strided layer is a bare one, where the statistics restart (``SED.md``, section 2). A stage then
depends on what it reads and, where nothing restarts in between, on earlier variables; those are
found by varying each one, and added to what the stage reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.metrics.sed.graph import trace
from flash.metrics.sed.maps import (
    IMAGE,
    PIXEL_ENTROPY,
    SIZE,
    Floats,
    correlation,
    relu,
    window_entropy,
)
from flash.spaces.layers import INPUT, ZEROS, Layer, Tensor
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import SeparableProblem, StageTable
from flash.spaces.table import LayerTable, TableEmitter

__all__ = ["stage_sed", "with_sed"]

Ints = NDArray[np.int64]

#: Columns a stage may be tabulated over.
_MOST = 1 << 20
#: Random designs varied to find what a stage depends on.
_BASES = 16
#: Random designs compared with whole networks: all at once, and one by one.
_CHECKED, _CHECKED_ALONE = 100, 4


@dataclass(slots=True)
class _Maps:
    """One tensor in many designs: few distinct covariances, and which one each design has.

    states: (distinct, SIZE).  which: (designs,).  rank, share: (designs,) or a number; the
    share is the part of the channels that is not padding.
    """

    states: Floats
    which: Ints
    rank: Ints | int
    factor: NDArray[np.bool_] | bool = False
    share: Floats | float = 1.0


@dataclass(slots=True)
class _Operand:
    """An input of a sum or concat: its maps, how much of each, and a hash of both (by design)."""

    maps: _Maps
    active: NDArray[np.bool_]
    amount: Floats
    rank: Ints
    code: Ints
    #: Kept alive, as ``id`` tells tensors apart.
    tensor: Tensor


def stage_sed(table: LayerTable) -> dict[str, Floats]:
    """SED of each stage of the designs in ``table`` (whole networks), shape (designs,) each."""
    walk = _Walk(table)
    for row in range(len(table)):
        walk.step(row)
    return walk.totals


class _Walk:
    """One pass over the rows of a table."""

    def __init__(self, table: LayerTable) -> None:
        self.table = table
        self.maps: dict[int, _Maps] = {}
        self.operands: dict[tuple[int, str], _Operand] = {}
        self.mixers = np.random.default_rng(0)
        self.totals = {layer.stage: np.zeros(table.designs) for layer in table.layers}
        nobody = np.zeros(table.designs, dtype=np.int64)
        self.image = _Maps(IMAGE[None], nobody, 0)

    def step(self, row: int) -> None:
        """Compute the map that row ``row`` writes, for the designs that have this row."""
        layer, active = self.table.layers[row], self.table.active[row]
        present = [x for x in layer.inputs if np.any(x.present)]
        if layer.op == "conv":
            self.maps[row] = self._conv(layer, self._read(present[0], active), active)
        elif layer.op in ("add", "concat"):
            self.maps[row] = self._mix(layer, present, active)
        elif layer.op in ("slice", "pad"):
            x = self._read(present[0], active)
            share = x.share if layer.op == "slice" else x.share * _ratio(layer)
            rank = np.minimum(x.rank, layer.out_channels)
            self.maps[row] = _Maps(x.states, x.which, rank, x.factor, share)
        elif layer.op in ("global_pool", "linear"):
            self.maps[row] = replace(self.image, rank=layer.out_channels)
        else:
            raise UsageError(f"stages with '{layer.op}' layers have no table of sed")

    def _read(self, x: Tensor, active: NDArray[np.bool_]) -> _Maps:
        """The map of an input; designs may read it from different rows."""
        if not isinstance(x.producer, np.ndarray):
            return self._written(int(x.producer), x)
        wanted = active & x.present
        states, start = [IMAGE[None]], 1
        which, rank = np.zeros((2, len(wanted)), dtype=np.int64)
        factor, share = np.zeros(len(wanted), dtype=np.bool_), np.ones(len(wanted))
        for producer in np.flatnonzero(np.bincount(x.producer[wanted] - ZEROS)) + ZEROS:
            maps = self._written(int(producer), x)
            here = wanted & (x.producer == producer)
            used = np.zeros(len(maps.states), dtype=np.bool_)
            used[maps.which[here]] = True
            position = np.cumsum(used) - 1 + start
            which[here] = position[maps.which[here]]
            np.copyto(rank, maps.rank, where=here)
            if maps.factor is not False:
                factor |= here & maps.factor
            if not isinstance(maps.share, float):
                np.copyto(share, maps.share, where=here)
            states.append(maps.states[used])
            start += len(states[-1])
        return _Maps(np.concatenate(states), which, rank, factor, share)

    def _written(self, producer: int, x: Tensor) -> _Maps:
        if producer == INPUT:
            return replace(self.image, rank=np.asarray(x.channels))
        return self.maps[producer]

    def _conv(self, layer: Layer, x: _Maps, active: NDArray[np.bool_]) -> _Maps:
        positions = np.asarray(layer.out_height * layer.out_width)
        stride = int(np.max(layer.stride))
        if stride > 1:
            x = _Maps(IMAGE[None], self.image.which, x.rank, x.factor, 1.0)
        r = correlation(x.states)
        entropy = np.zeros(len(active))
        kernels = np.asarray(layer.kernel_height)
        for kernel in np.unique(kernels):
            here = np.broadcast_to(kernels == kernel, active.shape)
            found = window_entropy(r, int(kernel), int(kernel))[x.which]
            np.copyto(entropy, found, where=here)
        whole = (kernels > 1) | x.factor
        rank = np.where(whole, layer.out_channels, np.minimum(layer.out_channels, x.rank))
        term = np.sqrt(x.rank * positions) * entropy + np.sqrt(rank * positions) * PIXEL_ENTROPY
        self.totals[layer.stage] += np.where(active, term, 0.0)
        depthwise = (np.asarray(layer.groups) == layer.in_channels) & (
            np.asarray(layer.in_channels) > 1
        )
        return _Maps(relu(r) if layer.act else r, x.which, rank, depthwise)

    def _mix(self, layer: Layer, inputs: Sequence[Tensor], active: NDArray[np.bool_]) -> _Maps:
        """A sum of independent maps, or maps side by side, once for each distinct mixture."""
        key, rank = np.zeros((2, self.table.designs), dtype=np.int64)
        operands = [self._operand(x, layer.op, active) for x in inputs]
        for operand in operands:
            key += operand.code
            rank += operand.rank
        key[~active] = 0
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        states = np.zeros((len(first), SIZE))
        channels = np.broadcast_to(layer.out_channels, key.shape)[first, None]
        for operand in operands:
            part = operand.amount[first, None]
            if layer.op == "concat":
                part = part / channels
            states += part * operand.maps.states[operand.maps.which[first]]
        rank = np.minimum(rank, layer.out_channels)
        return _Maps(relu(states) if layer.act else states, which.ravel(), rank)

    def _operand(self, x: Tensor, op: str, active: NDArray[np.bool_]) -> _Operand:
        """One input of a sum or concat; the pieces of a growing concat are prepared once."""
        known = self.operands.get((id(x), op))
        if known is not None and not (active & ~known.active).any():
            return known
        maps = self._read(x, active)
        here = np.broadcast_to(active & x.present, active.shape)
        amount = np.where(here, x.channels if op == "concat" else maps.share, 0.0)
        mix = self.mixers.integers(1 << 62, size=2) * 2 + 1
        code = amount.view(np.int64) * mix[0] + maps.which * mix[1]
        code = np.where(here, code ^ (code >> 31), 0)
        operand = _Operand(maps, active, amount, np.where(here, maps.rank, 0), code, x)
        self.operands[id(x), op] = operand
        return operand


def _ratio(layer: Layer) -> Floats:
    return np.asarray(layer.in_channels / np.asarray(layer.out_channels, dtype=np.float64))


# ------------------------------------------------------------------------- tables of a space


def with_sed(problem: SeparableProblem, space: SearchSpace) -> SeparableProblem:
    """``problem`` (stage tables of ``space``) with the quantity ``sed``, a sum over stages.

    Stages read more variables where their SED depends on more. Raises ``UsageError`` if the
    SED of the space does not separate into stages of a size that can be tabulated.
    """
    rng = np.random.default_rng(0)
    extra = _dependencies(space, rng)
    stages = tuple(_extended(space, s, extra[s.name]) for s in problem.stages)
    result = SeparableProblem(problem.sizes, stages, {**problem.combine, "sed": "sum"})
    _check(space, result, rng)
    return result


def _check(space: SearchSpace, problem: SeparableProblem, rng: np.random.Generator) -> None:
    """Random designs score the same by stage tables, by layer tables and as graphs."""
    designs = space.sample(_CHECKED, rng)
    tabulated = problem.evaluate(designs, "sed")["sed"]
    together = sum(stage_sed(space.table(designs)).values())
    alone = [trace(space.network(design)).sed for design in designs[:_CHECKED_ALONE]]
    if not (
        np.allclose(tabulated, together, rtol=1e-9, atol=0)
        and np.allclose(tabulated[:_CHECKED_ALONE], alone, rtol=1e-9, atol=0)
    ):
        raise UsageError(f"the SED of space {space.name} is no sum over its stages")


def _emit(space: SearchSpace, values: Mapping[str, int | Ints], designs: int) -> LayerTable:
    emitter = TableEmitter(designs)
    return emitter.table(space.family.emit(emitter, values)[1])


def _dependencies(space: SearchSpace, rng: np.random.Generator) -> dict[str, list[int]]:
    """Stage -> variables it neither owns nor reads but whose values change its SED."""
    if space.size * (len(space.grids) + 1) <= _MOST >> 4:
        bases = np.indices([len(g) for g in space.grids]).reshape(len(space.grids), -1).T
    else:
        bases = space.sample(_BASES, rng)
    moved = [bases]
    for k, grid in enumerate(space.grids):
        other = bases.copy()
        other[:, k] = rng.integers(len(grid), size=len(bases))
        moved.append(other)
    found = stage_sed(space.table(np.concatenate(moved)))
    names = space.variables
    result: dict[str, list[int]] = {}
    for stage in space.family.stages:
        known = (*stage.reads, *stage.owns)
        values = found.get(stage.name, np.zeros(len(bases) * len(moved)))
        rows = values.reshape(len(moved), -1)
        differs = (np.abs(rows[1:] - rows[0]) > 1e-9 * np.abs(rows[0])).any(axis=1)
        result[stage.name] = [k for k, name in enumerate(names) if differs[k] and name not in known]
    return result


def _extended(space: SearchSpace, stage: StageTable, extra: Sequence[int]) -> StageTable:
    """The stage with a table of SED, reading the variables ``extra`` too."""
    grids = space.grids
    columns = (*stage.reads, *extra, *stage.owns)
    shape = tuple(len(grids[k]) for k in columns)
    size = math.prod(shape)
    if size > _MOST:
        raise UsageError(
            f"the SED of stage {stage.name} of space {space.name} depends on too many variables "
            f"({size} combinations); search it with another metric"
        )
    values: dict[str, int | Ints] = {
        name: int(grid[0]) for name, grid in zip(space.variables, grids, strict=True)
    }
    mesh = np.meshgrid(*(grids[k] for k in columns), indexing="ij") if columns else []
    values.update((space.variables[k], m.ravel()) for k, m in zip(columns, mesh, strict=True))
    own = stage_sed(_emit(space, values, size)).get(stage.name, np.zeros(size))
    between = tuple(range(len(stage.reads), len(stage.reads) + len(extra)))
    table = {
        name: np.broadcast_to(np.expand_dims(v, between), shape) for name, v in stage.values.items()
    }
    reads = (*stage.reads, *extra)
    return StageTable(stage.name, reads, stage.owns, {**table, "sed": own.reshape(shape)})
