"""Kept importance: how much of a given model's weights a smaller variant keeps, layer by layer.

    I = 1/L  sum over layers l that are left of  max(0, 1 - log2(1 / s_l) / 4)

``s_l`` is the norm of layer l's weights restricted to what the variant keeps over the norm of all
of them; ``L`` counts the weighted layers of the model. I is 1 for the model itself. Each halving
of a layer's norm costs a quarter of the layer, so that the first channels left out cost less
than the last, and four halvings cost as much as leaving the layer out. The norm of filters as
their importance is from Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017; the
logarithm and the mean over layers, which makes it a sum over stages, are ours. It needs the
model's weights: only spaces that are made of a model (family ``model``) have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flash.errors import UsageError
from flash.metrics.metric import Ints, StageMetric
from flash.quantities import Quantity
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats, SeparableProblem, mesh

__all__ = ["KEPT_IMPORTANCE"]

_NAME = "kept_importance"


def _part(space: SearchSpace, values: Mapping[str, int | Ints], stage: str) -> Floats:
    """A stage's part, one value a design or of shape (1,)."""
    found = space.family.kept_importance(values, stage)
    if found is None:
        raise UsageError(
            f"{_NAME} needs a model's weights, which space {space.name} does not have: "
            "flash.shrink makes a space of a model"
        )
    return found


def _tables(problem: SeparableProblem, space: SearchSpace) -> SeparableProblem:
    stages = []
    for own, table in zip(space.family.stages, problem.stages, strict=True):
        values, shape = mesh(space, own)
        found = np.broadcast_to(_part(space, values, own.name), (int(np.prod(shape)),)).reshape(
            shape
        )
        stages.append(replace(table, values={_NAME: found, **table.values}))
    return SeparableProblem(problem.sizes, tuple(stages), {_NAME: "sum", **problem.combine})


def _of_designs(space: SearchSpace, indices: Ints) -> dict[str, Floats]:
    decoded = space.decode(indices)
    values: dict[str, int | Ints] = {name: decoded[:, k] for k, name in enumerate(space.variables)}
    total = np.zeros(len(indices))
    for stage in space.family.stages:
        total = total + _part(space, values, stage.name)
    return {_NAME: total}


def _of_network(network: Network) -> float:
    return float("nan")


KEPT_IMPORTANCE = StageMetric(
    quantity=Quantity(_NAME, "kept importance"),
    source="Li et al., ICLR 2017 (norm of filters); the mean over layers ours",
    network=_of_network,
    designs=_of_designs,
    tables=_tables,
)
