"""Fast scoring of many designs of a separable problem, for optimizers that score thousands.

The same totals as ``SeparableProblem.evaluate`` up to rounding (stages are added in another
order); results are always reported with the numbers of ``evaluate``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flash.optimize.chain import aligned
from flash.optimize.objectives import Objective
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["Lookup"]

#: Designs looked up at a time.
_BLOCK = 1 << 14


class Lookup:
    """Values of objectives by table look-up."""

    def __init__(self, problem: SeparableProblem, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self._quantities = tuple(
            dict.fromkeys(q for o in objectives for q in o.checked(problem).quantities)
        )
        self._adds = [problem.combine[q] == "sum" for q in self._quantities]
        tables = self._joined(problem)
        # One row a table: the place of a design in it is a weighted sum of its indices.
        self._weights = np.zeros((len(tables), len(problem.sizes)))
        starts = np.cumsum([0] + [table[0].size for _, table in tables[:-1]])
        for row, (variables, _) in enumerate(tables):
            step = 1
            for k in reversed(variables):
                self._weights[row, k] = step
                step *= problem.sizes[k]
        self._starts = starts[:, None]
        self._flat = np.concatenate(
            [table.reshape(len(self._quantities), -1) for _, table in tables], axis=1
        )

    def _joined(self, problem: SeparableProblem) -> list[tuple[tuple[int, ...], Floats]]:
        """Stage tables, each stage joined to one that depends on all of its variables."""
        stages = sorted(problem.stages, key=lambda s: -len(s.reads) - len(s.owns))
        joined: list[tuple[tuple[int, ...], Floats]] = []
        for stage in stages:
            variables = (*stage.reads, *stage.owns)
            own = np.stack([stage.values[q] for q in self._quantities])
            for onto, table in joined:
                if set(variables) <= set(onto):
                    for k, adds in enumerate(self._adds):
                        merge = np.add if adds else np.maximum
                        merge(table[k], aligned(own[k], variables, onto), out=table[k])
                    break
            else:
                joined.append((variables, own))
        return joined

    def __call__(self, indices: NDArray[np.int64]) -> Floats:
        """Values of designs, shape (designs, objectives)."""
        if len(indices) <= _BLOCK:
            return self._values(indices)
        starts = range(0, len(indices), _BLOCK)
        return np.concatenate([self._values(indices[s : s + _BLOCK]) for s in starts])

    def _values(self, indices: NDArray[np.int64]) -> Floats:
        places = (self._weights @ indices.T.astype(np.float64)).astype(np.int64) + self._starts
        found = {
            name: table[places].sum(axis=0) if adds else table[places].max(axis=0).clip(0.0)
            for name, table, adds in zip(self._quantities, self._flat, self._adds, strict=True)
        }
        result = np.empty((len(indices), len(self.objectives)))
        for column, of in enumerate(self.objectives):
            first, *rest = (found[name] for name in of.quantities)
            result[:, column] = sum(rest, start=first)
        return result
