"""Stage tables of the joint space: each stage for every chip at once.

A stage of a family has thousands of options made of few different layers, so costs are
worked out once for each distinct layer and chip and added up by counts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.evaluation import CellScore, separable
from flash.search.joint.catalog import CoSpace
from flash.spaces.layers import INPUT, Layer, Tensor
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats, SeparableProblem, StageTable
from flash.spaces.table import LayerTable, TableEmitter
from flash.targets import fixed_chip
from flash.targets.imc import ImcHardware, imc_costs
from flash.targets.systolic import SystolicHardware, systolic_area_mm2, systolic_costs
from flash.targets.systolic.shapes import distinct_layers

__all__ = ["chip_costs", "joint_problem"]

#: Costs of a chip that cannot be built: beyond every limit, yet finite.
_IMPOSSIBLE = 1e9
#: Entries (chips x layers) priced together.
_BLOCK = 200_000


def joint_problem(space: CoSpace, metric: str, index: CellScore | None = None) -> SeparableProblem:
    """The separable problem of hardware and network variables together.

    Its first stage owns the hardware variables and holds the area of chips that have one of
    their own; every other stage reads them. On imc, latency and energy are lower bounds.
    """
    base = fixed_chip(space.family, space.chips[int(np.argmax(space.possible))])
    network = separable(space.network, base, metric, index)
    shift, shape = len(space.free), space.shape
    hardware = tuple(range(shift))
    combine: dict[str, Combine] = {**network.combine, "area_mm2": "sum"}
    none = {name: np.zeros(shape) for name in combine}
    if isinstance(space.family, SystolicHardware):
        none["area_mm2"] = systolic_area_mm2(space.family, _columns(space)).reshape(shape)
    stages = [StageTable("chip", (), hardware, none)]
    for stage in network.stages:
        tail = next(iter(stage.values.values())).shape
        found = chip_costs(space, _stage_table(space.network, stage))
        values: dict[str, Floats] = {}
        for name in combine:
            if name in found:
                values[name] = found[name].reshape(*shape, *tail)
            elif name == "area_mm2":
                values[name] = np.broadcast_to(0.0, (*shape, *tail))
            else:
                values[name] = np.broadcast_to(stage.values[name], (*shape, *tail))
        reads = (*hardware, *(k + shift for k in stage.reads))
        stages.append(StageTable(stage.name, reads, tuple(k + shift for k in stage.owns), values))
    return SeparableProblem((*shape, *network.sizes), tuple(stages), combine)


def chip_costs(space: CoSpace, table: LayerTable) -> dict[str, Floats]:
    """Costs of a table's designs on every chip of the space, shape (chips, designs)."""
    if isinstance(space.family, ImcHardware):
        return _imc_costs(space, space.family, table)
    return systolic_costs(table, space.family, _columns(space))


def _columns(space: CoSpace) -> dict[str, NDArray[np.int64]]:
    return {name: np.array([[chip[name]] for chip in space.chips]) for name in space.chips[0]}


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


# ------------------------------------------------------------------------------------- imc
def _imc_costs(space: CoSpace, family: ImcHardware, table: LayerTable) -> dict[str, Floats]:
    possible = space.possible
    total = {name: np.full((len(possible), table.designs), _IMPOSSIBLE) for name in _COSTS}
    for name in _COSTS:
        total[name][possible] = 0.0
    settings = replace(family.settings, adc_models=(family.settings.adc_model,))
    hardware = replace(family, settings=settings)
    built = [chip for chip, ok in zip(space.chips, possible, strict=True) if ok]
    for act in sorted({layer.act for layer in table.layers}):
        rows = np.array([layer.act == act for layer in table.layers])
        layers, counts = distinct_layers(table, table.active & rows[:, None])
        found = [_shapes_on_chips(layer, act, hardware, built) for layer in layers]
        for name in _COSTS:
            if found:
                by_shape = np.concatenate([costs[name] for costs in found], axis=1)
                total[name][possible] += (counts @ by_shape.T).T
    return total


def _shapes_on_chips(
    layer: Layer, act: str, hardware: ImcHardware, chips: list[dict[str, int]]
) -> dict[str, Floats]:
    """Lower bounds for distinct shapes of one operation, shape (chips, shapes)."""
    shapes = len(np.atleast_1d(layer.out_channels))
    parts: list[dict[str, Floats]] = []
    per_block = max(1, _BLOCK // shapes)
    for start in range(0, len(chips), per_block):
        block = chips[start : start + per_block]
        table = _one_row(layer, act, shapes, len(block))
        variables = {
            name: np.repeat(np.array([c[name] for c in block]), shapes) for name in block[0]
        }
        costs = imc_costs(table, hardware, variables, "least")
        parts.append({n: costs[n].reshape(len(block), shapes) for n in _COSTS})
    return {name: np.concatenate([part[name] for part in parts]) for name in _COSTS}


_COSTS = ("latency_ms", "energy_mj", "area_mm2")
_SIZES = (
    "in_channels", "out_channels", "in_height", "in_width", "out_height", "out_width",
    "kernel_height", "kernel_width", "groups", "operands",
)  # fmt: skip


def _one_row(layer: Layer, act: str, shapes: int, repeats: int) -> LayerTable:
    """A table of one row: the shapes side by side, repeated for each chip."""
    sizes: dict[str, Any] = {
        name: np.tile(np.broadcast_to(np.asarray(getattr(layer, name)), (shapes,)), repeats)
        for name in _SIZES
    }
    x = Tensor(sizes["in_channels"], sizes["in_height"], sizes["in_width"], INPUT)
    row = replace(layer, inputs=(x,), act=act, signal=True, **sizes)
    out = Tensor(sizes["out_channels"], sizes["out_height"], sizes["out_width"], 0)
    return LayerTable([row], [True], replace(out, producer=np.full(shapes * repeats, INPUT)),
                      shapes * repeats)  # fmt: skip
