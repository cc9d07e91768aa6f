"""Stage tables of the joint space: each stage for every chip at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flash.evaluation.designs import CellScore, separable
from flash.evaluation.joint.space import CoSpace
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats, SeparableProblem, StageTable
from flash.spaces.table import LayerTable, TableEmitter

__all__ = ["joint_problem"]

#: Costs of a chip that cannot be built: beyond every limit, yet finite.
_IMPOSSIBLE = 1e9


def joint_problem(space: CoSpace, metric: str, index: CellScore | None = None) -> SeparableProblem:
    """The separable problem of hardware and network variables together.

    Its first stage owns the hardware variables and holds what a chip costs whatever the network
    (``ChipFamily.own_costs``); every other stage reads them. Where the target is not ``exact``,
    costs are lower bounds.
    """
    base = space.family.target(int(np.argmax(space.possible)))
    network = separable(space.network, base, metric, index)
    shift, shape = len(space.free), space.shape
    hardware = tuple(range(shift))
    own = space.family.own_costs()
    combine: dict[str, Combine] = {**network.combine, **dict.fromkeys(own, "sum")}
    chip = {name: np.zeros(shape) for name in combine}
    chip |= {name: _every_chip(space, values).reshape(shape) for name, values in own.items()}
    stages = [StageTable("chip", (), hardware, chip)]
    for stage in network.stages:
        tail = next(iter(stage.values.values())).shape
        found = space.family.stage_costs(_stage_table(space.network, stage))
        values: dict[str, Floats] = {}
        for name in combine:
            if name in own:
                values[name] = np.broadcast_to(0.0, (*shape, *tail))
            elif name in found:
                values[name] = _every_chip(space, found[name]).reshape(*shape, *tail)
            else:  # the network's alone
                values[name] = np.broadcast_to(stage.values[name], (*shape, *tail))
        reads = (*hardware, *(k + shift for k in stage.reads))
        stages.append(StageTable(stage.name, reads, tuple(k + shift for k in stage.owns), values))
    return SeparableProblem((*shape, *network.sizes), tuple(stages), combine)


def _every_chip(space: CoSpace, values: Floats) -> Floats:
    """Values of the possible chips, (possible chips, ...), with the others in their places."""
    if space.possible.all():
        return values
    every = np.full((len(space.possible), *values.shape[1:]), _IMPOSSIBLE)
    every[space.possible] = values
    return every


def _stage_table(space: SearchSpace, stage: StageTable) -> LayerTable:
    """The layers of every option of a stage, in the order of its table."""
    axes = (*stage.reads, *stage.owns)
    grids = [space.grids[k] for k in axes]
    mesh = [g.ravel() for g in np.meshgrid(*grids, indexing="ij")] if grids else []
    values: dict[str, int | NDArray[np.int64]] = {
        name: int(grid[0]) for name, grid in zip(space.variables, space.grids, strict=True)
    }
    values.update((space.variables[k], g) for k, g in zip(axes, mesh, strict=True))
    emitter = TableEmitter(math.prod(len(g) for g in grids), only={stage.name})
    return emitter.table(space.family.emit(emitter, values)[1])
