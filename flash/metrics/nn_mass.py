"""NN-Mass (Bhardwaj et al., CVPR 2021, arXiv 1910.00780): skip channels, weighted by density.

CONCAT cell of d layers of width w with budget t:

    rho = 2 sum_{i=2}^{d-1} min{w (i-1), t} / (w (d-1) (d-2)),    m = w d rho

ADD blocks (from the authors' code): a basic block counts ``c_in + c_out``, an inverted
residual of width c and hidden width h counts ``(c + 2h) c / (2c + h)``, each only if it has
its shortcut. A shortcut of t < w channels counts in proportion (ours). The network's mass is
the sum over cells or blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flash.spaces.families import Family
from flash.spaces.families.cells import AddFamily, ConcatFamily
from flash.spaces.families.mobilenet import MobileNetV2Family
from flash.spaces.layers import Ints

__all__ = ["nn_mass"]

_Floats = NDArray[np.float64]


def nn_mass(family: Family, values: Mapping[str, NDArray[np.int64]]) -> _Floats | None:
    """NN-Mass of every design, shape (designs,); None for families it is not defined for."""
    if isinstance(family, ConcatFamily):
        parts = [_concat_cell(*(values[n] for n in names)) for names in family.cells()]
    elif isinstance(family, AddFamily):
        parts = [_add_cell(*(values[n] for n in names)) for names in family.cells()]
    elif isinstance(family, MobileNetV2Family):
        parts = [_inverted_residuals(*block) for block in family.blocks(values)]
    else:
        return None
    total: _Floats = np.sum(parts, axis=0, dtype=np.float64)
    return total


def _concat_cell(
    width: NDArray[np.int64], depth: NDArray[np.int64], skip: NDArray[np.int64]
) -> _Floats:
    taken = np.zeros(np.shape(width))
    for i in range(2, int(np.max(depth))):
        taken += np.where(i < depth, np.minimum(width * (i - 1), skip), 0)
    # Below three layers there is no skip channel to have, and no mass.
    pairs = np.maximum((depth - 1) * (depth - 2), 1)
    mass: _Floats = 2 * depth * taken / pairs
    return mass


def _add_cell(
    width: NDArray[np.int64], blocks: NDArray[np.int64], skip: NDArray[np.int64]
) -> _Floats:
    mass: _Floats = 2.0 * np.minimum(width, skip) * (blocks - 1)
    return mass


def _inverted_residuals(
    before: Ints, channels: Ints, stride: int, expand: Ints, depth: Ints, skip: Ints
) -> _Floats:
    hidden = np.asarray(channels * expand, dtype=np.float64)
    mass = (channels + 2 * hidden) * channels / (2 * channels + hidden)
    first = (before == channels) & (stride == 1)
    result: _Floats = mass * (depth - 1 + first) * skip
    return result
