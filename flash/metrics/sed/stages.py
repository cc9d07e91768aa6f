"""SED and capacity as sums over the stages of a chain family: the form that optimizers need.

Exact for networks that are chains of blocks: additions join independent branches, and every
strided layer is a bare one, where the statistics restart (``SED.md``, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.metrics.sed.maps import (
    IMAGE,
    PIXEL_ENTROPY,
    SIZE,
    Floats,
    correlation,
    left_by_relu,
    relu_parts,
    window_entropy,
)
from flash.metrics.sed.paths import POSITIONS
from flash.spaces.layers import INPUT, ZEROS, Layer, Tensor
from flash.spaces.table import LayerTable

__all__ = ["Summed", "stage_sums"]

Ints = NDArray[np.int64]

#: The image: its covariance, and no mean.
_IMAGE = np.append(IMAGE, 0.0)[None]
#: What adds up over the stages of chain families.
Summed = Literal["sed", "capacity"]


@dataclass(slots=True)
class _Maps:
    """One tensor in many designs: few distinct covariances, and which one each design has.

    states: (distinct, SIZE + 1), the last number is the mean.  which: (designs,).
    rank, share: (designs,) or a number; the share of the channels that is not padding.
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


def stage_sums(table: LayerTable, name: Summed) -> dict[str, Floats]:
    """SED or capacity of each stage of the designs in ``table`` (whole networks).

    Stage -> values of shape (designs,).
    """
    walk = _Walk(table)
    for row in range(len(table)):
        walk.step(row)
    return walk.sed if name == "sed" else walk.capacity()


class _Walk:
    """One pass over the rows of a table."""

    def __init__(self, table: LayerTable) -> None:
        self.table = table
        self.maps: dict[int, _Maps] = {}
        self.operands: dict[tuple[int, str], _Operand] = {}
        self.mixers = np.random.default_rng(0)
        self.sed = {layer.stage: np.zeros(table.designs) for layer in table.layers}
        #: Row of a convolution -> entropy of the windows it reads, (designs,).
        self.entropies: dict[int, Floats] = {}
        #: Row of a sum -> variance of each of its present inputs, (designs,).
        self.variances: dict[int, list[Floats]] = {}
        nobody = np.zeros(table.designs, dtype=np.int64)
        self.image = _Maps(_IMAGE, nobody, 0)

    def step(self, row: int) -> None:
        """Compute the map that row ``row`` writes, for the designs that have this row."""
        layer, active = self.table.layers[row], self.table.active[row]
        present = [x for x in layer.inputs if np.any(x.present)]
        if layer.op == "conv":
            self.maps[row] = self._conv(row, layer, self._read(present[0], active), active)
        elif layer.op in ("add", "concat"):
            self.maps[row] = self._mix(row, layer, present, active)
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
        states, start = [_IMAGE], 1
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

    def _conv(self, row: int, layer: Layer, x: _Maps, active: NDArray[np.bool_]) -> _Maps:
        positions = np.asarray(layer.out_height * layer.out_width)
        stride = int(np.max(layer.stride))
        if stride > 1:
            x = _Maps(_IMAGE, self.image.which, x.rank, x.factor, 1.0)
        r = correlation(x.states[:, :SIZE])
        entropy = np.zeros(len(active))
        heights, widths = np.asarray(layer.kernel_height), np.asarray(layer.kernel_width)
        for height in np.unique(heights):
            for width in np.unique(widths):
                here = np.broadcast_to((heights == height) & (widths == width), active.shape)
                if here.any():
                    found = window_entropy(r, int(height), int(width))[x.which]
                    np.copyto(entropy, found, where=here)
        whole = (heights > 1) | (widths > 1) | x.factor
        rank = np.where(whole, layer.out_channels, np.minimum(layer.out_channels, x.rank))
        term = np.sqrt(x.rank * positions) * entropy + np.sqrt(rank * positions) * PIXEL_ENTROPY
        self.sed[layer.stage] += np.where(active, term, 0.0)
        self.entropies[row] = entropy
        depthwise = (np.asarray(layer.groups) == layer.in_channels) & (
            np.asarray(layer.in_channels) > 1
        )
        written = np.concatenate([r, np.zeros((len(r), 1))], axis=1)
        return _Maps(_rectified(written) if layer.act else written, x.which, rank, depthwise)

    def _mix(
        self, row: int, layer: Layer, inputs: Sequence[Tensor], active: NDArray[np.bool_]
    ) -> _Maps:
        """A sum of independent maps, or maps side by side, once for each distinct mixture."""
        key, rank = np.zeros((2, self.table.designs), dtype=np.int64)
        operands = [self._operand(x, layer.op, active) for x in inputs]
        for operand in operands:
            key += operand.code
            rank += operand.rank
        key[~active] = 0
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        states = np.zeros((len(first), SIZE + 1))
        channels = np.broadcast_to(layer.out_channels, key.shape)[first, None]
        for operand in operands:
            part = operand.amount[first, None]
            if layer.op == "concat":
                part = part / channels
            states += part * operand.maps.states[operand.maps.which[first]]
        if layer.op == "add":
            self.variances[row] = [o.amount * o.maps.states[o.maps.which, 0] for o in operands]
        rank = np.minimum(rank, layer.out_channels)
        return _Maps(_rectified(states) if layer.act else states, which.ravel(), rank)

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

    # ------------------------------------------------------------------------------ capacity
    def capacity(self) -> dict[str, Floats]:
        """Capacity of each stage, after all steps (``paths.py``)."""
        table, shares = self.table, self._shares()
        totals = {layer.stage: np.zeros(table.designs) for layer in table.layers}
        for row, entropy in self.entropies.items():
            layer = table.layers[row]
            links = layer.in_channels * layer.out_channels / layer.groups
            positions = np.asarray(layer.out_height * layer.out_width, dtype=np.float64)
            found = np.sqrt(links * entropy / PIXEL_ENTROPY * np.sqrt(shares[row]))
            totals[layer.stage] += np.where(table.active[row], found * positions**POSITIONS, 0.0)
        return totals

    def _shares(self) -> Floats:
        """(rows, designs) path share of each row (``paths.path_shares``)."""
        table = self.table
        columns = np.arange(table.designs)
        shares = np.zeros((len(table), table.designs))
        shares[np.asarray(table.output.producer), columns] = 1.0
        for row in range(len(table) - 1, -1, -1):
            layer, active = table.layers[row], table.active[row]
            mine = np.minimum(shares[row], 1.0, out=shares[row])
            present = [x for x in layer.inputs if np.any(x.present)]
            parts = [mine] * len(present)
            if layer.op == "add":
                variances = self.variances[row]
                total = np.maximum(sum(variances, np.zeros(table.designs)), 1e-300)
                parts = [mine * variance / total for variance in variances]
            for x, part in zip(present, parts, strict=True):
                reads = np.broadcast_to(
                    active & x.present & (np.asarray(x.producer) >= 0), active.shape
                )
                producer = np.broadcast_to(np.asarray(x.producer), active.shape)[reads]
                shares[producer, columns[reads]] += part[reads]
        return shares


def _rectified(states: Floats) -> Floats:
    """After ReLU: covariances and means, (distinct, SIZE + 1)."""
    r, variance = correlation(states[:, :SIZE]), np.maximum(states[:, 0], 1e-12)
    left = [
        left_by_relu(m, v) for m, v in zip(states[:, SIZE].tolist(), variance.tolist(), strict=True)
    ]
    kept, written, linear, _ = np.array(left).T[:, :, None]
    return np.concatenate([relu_parts(r, written, linear), kept], axis=1)


def _ratio(layer: Layer) -> Floats:
    return np.asarray(layer.in_channels / np.asarray(layer.out_channels, dtype=np.float64))
