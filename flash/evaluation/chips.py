"""Networks on every chip of a family: stage tables of all at once, and what designs cost.

A joint design is a chip, given by its hardware variables, and a network. Its variables are those
of the chip, in the order of ``ChipGrid.free``, then those of the network's space.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.evaluation.designs import (
    CellScore,
    Evaluation,
    evaluate_summed,
    joined,
    separable,
)
from flash.optimize.chain import aligned
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats, Quantities, SeparableProblem, StageTable
from flash.spaces.table import LayerTable, TableEmitter
from flash.targets import ChipFamily

__all__ = ["evaluate_on_chips", "separable_on_chips"]

Ints = NDArray[np.int64]

#: Entries of a table of joined stages, chips x options: 64 MB a quantity, a second to fill.
_MOST_JOINED = 8_000_000
#: Costs of a chip that cannot be built: beyond every limit, yet finite.
_IMPOSSIBLE = 1e9


def separable_on_chips(
    space: SearchSpace,
    family: ChipFamily,
    metric: str,
    index: CellScore | None = None,
    more: Quantities | None = None,
    names: Sequence[str] = (),
    cells: Quantities | None = None,
    cell_names: Sequence[str] = (),
    *,
    peaks: bool = True,
) -> SeparableProblem:
    """The separable problem of hardware and network variables together.

    Its first stage owns the hardware variables and holds what a chip costs whatever the network
    (``ChipFamily.own_costs``); every other stage reads them. Where the target is not ``exact``,
    costs are lower bounds, the tighter the more layers know each other: neighbouring stages are
    then one (``_neighbours_joined``). The other arguments are those of ``separable``.
    """
    base = family.target(int(np.argmax(family.possible)))
    network = separable(space, base, metric, index, more, names, (), cells, cell_names, peaks=peaks)
    shape = tuple(len(values) for values in family.grid.free.values())
    hardware = tuple(range(len(shape)))
    own = family.own_costs()
    combine: dict[str, Combine] = {**network.combine, **dict.fromkeys(own, "sum")}
    chip = {name: np.zeros(shape) for name in combine}
    chip |= {name: _every_chip(family, values).reshape(shape) for name, values in own.items()}
    stages = [StageTable("chip", (), hardware, chip)]
    most = 0 if base.exact else _MOST_JOINED // len(family.possible)
    for stage, parts in _neighbours_joined(space, network, most):
        tail = next(iter(stage.values.values())).shape
        found = family.stage_costs(_stage_table(space, stage, parts))
        values: dict[str, Floats] = {}
        for name in combine:
            if name in own:
                values[name] = np.broadcast_to(0.0, (*shape, *tail))
            elif name in found:
                values[name] = _every_chip(family, found[name]).reshape((*shape, *tail))
            else:  # the network's alone
                values[name] = np.broadcast_to(stage.values[name], (*shape, *tail))
        reads = (*hardware, *(k + len(shape) for k in stage.reads))
        owns = tuple(k + len(shape) for k in stage.owns)
        stages.append(StageTable(stage.name, reads, owns, values))
    return SeparableProblem((*shape, *network.sizes), tuple(stages), combine)


def _every_chip(family: ChipFamily, values: Floats) -> Floats:
    """Values of the possible chips, (possible chips, ...), with the others in their places."""
    if family.possible.all():
        return values
    every = np.full((len(family.possible), *values.shape[1:]), _IMPOSSIBLE)
    every[family.possible] = values
    return every


def _neighbours_joined(
    space: SearchSpace, network: SeparableProblem, most: int
) -> list[tuple[StageTable, set[str]]]:
    """The stages, neighbours as one where that table has at most ``most`` entries; and the names of
    the space's stages that each is.

    Neighbours are stages of one cell, and a stage that chooses nothing (a stem) with what follows
    it, at the end with what it follows.
    """
    parts: list[tuple[StageTable, set[str]]] = []
    for stage, names in _cells_joined(space, network, most):
        before = parts[-1][0] if parts else stage
        joined = None
        if parts and not before.owns:
            joined = _joined(network, [before, stage], most)
        if joined is None:
            parts.append((stage, names))
        else:
            parts[-1] = (joined, parts[-1][1] | names)
    if len(parts) > 1 and not parts[-1][0].owns:
        last = _joined(network, [stage for stage, _ in parts[-2:]], most)
        if last is not None:
            parts[-2:] = [(last, parts[-2][1] | parts[-1][1])]
    return parts


def _cells_joined(
    space: SearchSpace, network: SeparableProblem, most: int
) -> Iterator[tuple[StageTable, set[str]]]:
    """As ``_neighbours_joined``, but only those of one cell."""
    cells = {stage.cell[0]: stage.cell for stage in space.family.stages if len(stage.cell) > 1}
    stages = list(network.stages)
    while stages:
        names = cells.get(stages[0].name, ())
        group = stages[: len(names)]
        if [stage.name for stage in group] == list(names) and group:
            joined = _joined(network, group, most)
            if joined is not None:
                yield joined, set(names)
                del stages[: len(names)]
                continue
        yield stages[0], {stages[0].name}
        del stages[0]


def _joined(network: SeparableProblem, group: Sequence[StageTable], most: int) -> StageTable | None:
    """Stages that follow each other as one; None where its table would be too large."""
    owns = tuple(k for stage in group for k in stage.owns)
    reads = tuple(dict.fromkeys(k for stage in group for k in stage.reads if k not in owns))
    axes = (*reads, *owns)
    shape = tuple(network.sizes[k] for k in axes)
    if math.prod(shape) > most:
        return None
    values = {}
    for name, combine in network.combine.items():
        parts = [aligned(stage.values[name], (*stage.reads, *stage.owns), axes) for stage in group]
        merge = np.add if combine == "sum" else np.maximum
        values[name] = np.broadcast_to(functools.reduce(merge, parts), shape)
    return StageTable(group[-1].name, reads, owns, values)


def _stage_table(space: SearchSpace, stage: StageTable, names: set[str]) -> LayerTable:
    """The layers of every option of a stage, in the order of its table.

    names: of the space's stages that it is.
    """
    axes = (*stage.reads, *stage.owns)
    grids = [space.grids[k] for k in axes]
    mesh = [g.ravel() for g in np.meshgrid(*grids, indexing="ij")] if grids else []
    values: dict[str, int | NDArray[np.int64]] = {
        name: int(grid[0]) for name, grid in zip(space.variables, space.grids, strict=True)
    }
    values.update((space.variables[k], g) for k, g in zip(axes, mesh, strict=True))
    emitter = TableEmitter(math.prod(len(g) for g in grids), only=names)
    return emitter.table(space.family.emit(emitter, values)[1])


def evaluate_on_chips(
    space: SearchSpace,
    family: ChipFamily,
    indices: Ints,
    tables: SeparableProblem | None = None,
) -> Evaluation:
    """Everything about joint designs (indices, shape (designs, variables)), in their order.

    tables: of ``separable_on_chips``; as in ``flash.evaluation.evaluate``.
    """
    grid = tuple(len(values) for values in family.grid.free.values())
    chips = np.ravel_multi_index(tuple(indices[:, : len(grid)].T), grid)
    networks = indices[:, len(grid) :]
    sums = {} if tables is None else tables.evaluate(indices)
    parts = [
        evaluate_summed(
            space,
            family.target(int(chip)),
            networks[chips == chip],
            {name: values[chips == chip] for name, values in sums.items()},
        )
        for chip in np.unique(chips)
    ]
    back = np.argsort(np.argsort(chips, kind="stable"), kind="stable")
    return replace(joined(parts, back), sums=sums)
