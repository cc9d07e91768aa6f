"""Totals of designs by look-ups in flat tables: the arithmetic of ``SeparableProblem.evaluate``.

The place of a design in a flat table is a sum of its indices, each times a step. All places of
a block of designs are therefore one product of two small matrices, which is fast in floating
point and exact while places are below 2^24 (float32) or 2^53 (float64).

Tables are added in the order of the stages, so totals are those of adding stage by stage to the
last bit. Leading tables are added up beforehand as long as their sum is small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axes", "FlatTable", "LookUps", "flat_table"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: (variable, number of its values) of each axis of a table, the last one changes fastest.
Axes = tuple[tuple[int, int], ...]

#: Entries of leading tables added up beforehand: 256 KiB, half of a core's second cache.
_JOINED = 1 << 15
#: Designs in a block: fewer make more calls than work, more leave the core's caches.
_BLOCK = 8192
#: Multiplications in one product: beyond 2^18 OpenBLAS starts threads.
_PRODUCTS = 1 << 18
#: Integers below are exact in float32.
_EXACT = 1 << 24


@dataclass(frozen=True)
class FlatTable:
    """One quantity of one stage, an entry for each combination of values of ``axes``."""

    values: Floats
    axes: Axes

    @property
    def sizes(self) -> tuple[int, ...]:
        """Values of each axis."""
        return tuple(size for _, size in self.axes)


def flat_table(values: Floats, variables: Sequence[int]) -> FlatTable:
    """The table laid out flat, without axes along which it is broadcast."""
    varied = [step != 0 for step in values.strides]
    kept = values[tuple(slice(None) if v else 0 for v in varied)]
    axes = zip(variables, values.shape, strict=True)
    return FlatTable(np.ravel(kept), tuple(a for a, v in zip(axes, varied, strict=True) if v))


class LookUps:
    """Tables of several quantities, prepared for designs by the thousand.

    variables: number of variables of a design.
    tables:    quantity -> its tables, one a stage.
    add:       quantity -> whether tables are added; otherwise the largest counts.
    """

    def __init__(
        self,
        variables: int,
        tables: Mapping[str, Sequence[FlatTable]],
        add: Mapping[str, bool],
    ) -> None:
        alike: dict[tuple[bool, tuple[Axes, ...]], dict[str, tuple[FlatTable, ...]]] = {}
        for name, own in tables.items():
            joined = _joined(own, np.add if add[name] else np.maximum)
            axes = tuple(table.axes for table in joined)
            alike.setdefault((add[name], axes), {})[name] = joined
        self._names = tuple(tables)
        self._alike = [
            _Alike(variables, np.add if adds else np.maximum, axes, group)
            for (adds, axes), group in alike.items()
        ]

    def totals(self, indices: Ints) -> dict[str, Floats]:
        """Quantities of designs (indices, shape (designs, variables)), each of shape (designs,)."""
        result = {name: np.empty(len(indices)) for name in self._names}
        kinds = {group.steps.dtype for group in self._alike}
        rows = {kind: np.empty((_BLOCK, indices.shape[1]), dtype=kind) for kind in kinds}
        for start in range(0, len(indices), _BLOCK):
            block = indices[start : start + _BLOCK]
            for own in rows.values():
                own[: len(block)] = block
            for group in self._alike:
                found = group.totals(rows[group.steps.dtype][: len(block)])
                for name, total in zip(group.names, found, strict=True):
                    result[name][start : start + len(block)] = total
        return result


class _Alike:
    """Quantities whose tables have the same axes and are put together in the same way.

    steps:  of each table's places, shape (variables, tables).
    starts: of each table among all, shape (tables, 1).
    """

    def __init__(
        self,
        variables: int,
        merge: np.ufunc,
        axes: Sequence[Axes],
        tables: Mapping[str, Sequence[FlatTable]],
    ) -> None:
        self.names = tuple(tables)
        self._merge = merge
        self._values = [np.concatenate([t.values for t in own]) for own in tables.values()]
        kind = np.float32 if self._values[0].size <= _EXACT else np.float64
        self.steps = np.zeros((variables, len(axes)), dtype=kind)
        self._starts = np.zeros((len(axes), 1), dtype=np.intp)
        start = 0
        for table, own in enumerate(axes):
            self._starts[table] = start
            step = 1
            for variable, size in reversed(own):
                self.steps[variable, table] = step
                step *= size
            start += step

    def totals(self, rows: NDArray[np.floating[Any]]) -> list[Floats]:
        """Totals of designs (indices of shape (designs, variables)), one row a name."""
        sums = np.empty((len(rows), self.steps.shape[1]), dtype=rows.dtype)
        most = max(_PRODUCTS // self.steps.size, 64)
        for start in range(0, len(rows), most):
            part = slice(start, start + most)
            np.matmul(rows[part], self.steps, out=sums[part])
        places = sums.T.astype(np.intp, order="C")
        places += self._starts
        return [self._merge.reduce(own.take(places), axis=0) for own in self._values]


def _joined(tables: Sequence[FlatTable], merge: np.ufunc) -> tuple[FlatTable, ...]:
    """The tables, as many leading ones in one as are small together."""
    first = FlatTable(np.zeros(1), ())
    for k, table in enumerate(tables):
        axes = tuple(dict.fromkeys((*first.axes, *table.axes)))
        if math.prod(size for _, size in axes) > _JOINED:
            return (first, *tables[k:])
        values = merge(_spread(first, axes), _spread(table, axes))
        first = FlatTable(np.ravel(values), axes)
    return (first,)


def _spread(table: FlatTable, axes: Axes) -> Floats:
    """The table with an axis for each of ``axes``, which hold its own in their order."""
    shape = [size if (variable, size) in table.axes else 1 for variable, size in axes]
    order = [table.axes.index(axis) for axis in axes if axis in table.axes]
    return table.values.reshape(table.sizes).transpose(order).reshape(shape)
