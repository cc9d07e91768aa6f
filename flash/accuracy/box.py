"""The bounding box of what was trained, in the variables of a space."""

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
    """The least and the largest value of each variable among trained designs.

    Values are canonical (``Family.canonical``): of two ways to write one network both lie inside,
    or neither.
    """

    ranges: Mapping[str, tuple[int, int]]

    @staticmethod
    def around(space: SearchSpace, indices: Ints) -> Box:
        """The box of designs given as indices, shape (designs, variables)."""
        values = _canonical(space, space.decode(indices))
        low, high = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        return Box(dict(zip(space.variables, zip(low, high, strict=True), strict=True)))

    def distance(self, space: SearchSpace, indices: Ints) -> Floats:
        """How far designs lie outside, shape (designs,); 0 inside.

        The root of the sum of squares over variables, each in ranges of the box; where all trained
        designs have one value, in that value.
        """
        values = _canonical(space, space.decode(indices)).astype(np.float64)
        low, high = (np.array(ends, dtype=np.float64) for ends in self._ends(space))
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
        low, high = self._ends(space)
        for k, grid in enumerate(space.grids):
            designs = np.tile(largest, (len(grid), 1))
            designs[:, k] = np.arange(len(grid))
            values = _canonical(space, space.decode(designs))[:, k]
            kept.append(np.flatnonzero((values >= low[k]) & (values <= high[k])))
        return tuple(kept)

    def _ends(self, space: SearchSpace) -> tuple[list[int], list[int]]:
        pairs = [self.ranges[name] for name in space.variables]
        return [low for low, _ in pairs], [high for _, high in pairs]


def _canonical(space: SearchSpace, values: Ints) -> Ints:
    named = {name: values[:, k] for k, name in enumerate(space.variables)}
    canonical = space.family.canonical(named)
    rows: Ints = np.stack(
        [np.broadcast_to(canonical[name], len(values)) for name in space.variables], axis=1
    )
    return rows
