"""The distinct layers of many designs, and how often each design has them.

A stage of a space has thousands of options but few different layers. Where every chip of a
list meets every design, costs are worked out once a chip and distinct layer and multiplied
by these counts, which is what makes hardware searched with the network affordable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Layer
from flash.spaces.table import LayerTable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SIZES", "distinct_layers", "distinct_rows", "sizes_of"]

#: What the cost of a layer depends on, beside its operation and whether it has an offset.
SIZES: Final = (
    "in_channels",
    "out_channels",
    "in_height",
    "in_width",
    "out_height",
    "out_width",
    "kernel_height",
    "kernel_width",
    "pad_height",
    "pad_width",
    "groups",
    "operands",
)

#: Odd random factors of the hash in ``distinct_rows``; rows have no more columns.
_FACTORS: Final = np.random.default_rng(0).integers(2**62, size=len(SIZES)) * 2 + 1


def distinct_layers(
    table: LayerTable, present: NDArray[np.bool_]
) -> tuple[tuple[Layer, ...], csr_array]:
    """Layers whose sizes are arrays over distinct shapes, and counts of shape (designs, shapes).

    present: (rows, designs), the layers that count. The shapes of all the layers returned,
    one after the other, are the columns of the counts.
    """
    # Takes as long to import as everything else of flash, which most targets do without.
    from scipy.sparse import csr_array  # noqa: PLC0415

    kinds: dict[tuple[object, ...], list[int]] = {}
    for row, layer in enumerate(table.layers):
        if present[row].any():
            kinds.setdefault(_kind(layer), []).append(row)
    layers: list[Layer] = []
    designs, columns, width = [], [], 0
    for rows in kinds.values():
        sizes = np.concatenate([sizes_of(table.layers[row], present[row]) for row in rows])
        shapes, index = distinct_rows(sizes)
        columns.append(index + width)
        designs += [np.flatnonzero(present[row]) for row in rows]
        width += len(shapes)
        by_name = dict(zip(SIZES, shapes.T, strict=True))
        layers.append(replace(table.layers[rows[0]], **by_name))
    if not layers:
        return (), csr_array((table.designs, 0))
    at = np.concatenate(designs), np.concatenate(columns)
    return tuple(layers), csr_array((np.ones(len(at[0])), at), shape=(table.designs, width))


def _kind(layer: Layer) -> tuple[object, ...]:
    """What layers that are priced together share; stacks come from files, one design each."""
    stack = layer.batch if isinstance(layer.batch, int) else None
    return layer.op, layer.norm or layer.bias, stack


def sizes_of(layer: Layer, present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sizes of a layer in the designs that have it, shape (those, sizes)."""
    sizes = np.empty((int(present.sum()), len(SIZES)), dtype=np.int64)
    for k, name in enumerate(SIZES):
        value = np.asarray(getattr(layer, name))
        sizes[:, k] = value if value.ndim == 0 else value[present]
    return sizes


def distinct_rows(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows of a table of at most ``len(SIZES)`` columns, and each row's number.

    Sorting one hash a row is ten times faster than sorting rows; should two rows ever share
    a hash, the rows themselves are sorted.
    """
    hashes = (rows * _FACTORS[: rows.shape[1]]).sum(axis=1)  # wraps around, as a hash may
    _, first, index = np.unique(hashes, return_index=True, return_inverse=True)
    distinct, index = rows[first], index.ravel()
    if not (distinct[index] == rows).all():
        distinct, index = np.unique(rows, axis=0, return_inverse=True)
    return distinct, index.ravel()
