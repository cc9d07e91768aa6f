"""The bounding box of what was trained, in the variables of a space.

Of a variable whose values are names of kinds (``Family.branches``) the box has those trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["Box"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Box:
    """The least and the largest value of each variable among trained designs, or all its values.

    Values are canonical (``Family.canonical``): of two ways to write one network both lie inside,
    or neither.
    """

    ranges: Mapping[str, tuple[int, ...]]

    @staticmethod
    def around(space: SearchSpace, indices: Ints) -> Box:
        """The box of designs given as indices, shape (designs, variables)."""
        values = _canonical(space, space.decode(indices))
        ranges = {}
        for name, column in zip(space.variables, values.T, strict=True):
            every = sorted(set(column.tolist()))
            ranges[name] = tuple(every) if name in space.family.branches else (every[0], every[-1])
        return Box(ranges)

    def distance(self, space: SearchSpace, indices: Ints) -> Floats:
        """How far designs lie outside, shape (designs,); 0 inside.

        The root of the sum of squares over variables, each in ranges of the box; where all trained
        designs have one value, in that value. Kinds have no distance from each other: what a
        strange one is worth ``flash.accuracy.kinds`` says.
        """
        ordered = [k for k, name in enumerate(space.variables) if self._is_range(space, name)]
        values = _canonical(space, space.decode(indices))[:, ordered].astype(np.float64)
        ends = [self.ranges[space.variables[k]] for k in ordered]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        span = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
        beyond = np.maximum(np.maximum(low - values, values - high), 0.0) / span
        distance: Floats = np.sqrt((beyond**2).sum(axis=1))
        return distance

    def inside(self, space: SearchSpace) -> tuple[Ints, ...]:
        """For each variable of a space the indices of its values that lie inside.

        What a value stands for may depend on other variables (skip channels); those have their
        largest value here.
        """
        kept = []
        largest = np.array([len(grid) - 1 for grid in space.grids])
        for k, grid in enumerate(space.grids):
            designs = np.tile(largest, (len(grid), 1))
            designs[:, k] = np.arange(len(grid))
            values = _canonical(space, space.decode(designs))[:, k]
            name = space.variables[k]
            trained = self.ranges[name]
            if self._is_range(space, name):
                kept.append(np.flatnonzero((values >= trained[0]) & (values <= trained[1])))
            else:
                kept.append(np.flatnonzero(np.isin(values, trained)))
        return tuple(kept)

    @staticmethod
    def _is_range(space: SearchSpace, name: str) -> bool:
        return name not in space.family.branches


def _canonical(space: SearchSpace, values: Ints) -> Ints:
    named = {name: values[:, k] for k, name in enumerate(space.variables)}
    canonical = space.family.canonical(named)
    rows: Ints = np.stack(
        [np.broadcast_to(canonical[name], len(values)) for name in space.variables], axis=1
    )
    return rows
