"""Classes of kernels, what runtimes run by one code path, and what one kernel is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from flash.spaces.layers import Ints

__all__ = [
    "ACTIVATION",
    "BASE_CLASS",
    "CALL",
    "CONV",
    "CONV3",
    "DEPTHWISE",
    "ELEMENTWISE",
    "GATE",
    "GLOBAL_POOL",
    "GROUPED",
    "KERNEL_CLASSES",
    "LANES",
    "LINEAR",
    "MATMUL",
    "MOVE",
    "NORM",
    "POINTWISE",
    "POOL",
    "RECURRENT",
    "REORDERED",
    "TRANSPOSED",
    "Kernel",
    "lane_multiple",
]

#: Kernel classes, what runtimes run by one code path; ``Kernel.kind`` is a position in this tuple.
#: conv3x3 is the 3x3 convolution with stride 1, which some runtimes compute by Winograd's
#: method; conv any other window; depthwise has as many outputs as inputs, each of one input;
#: grouped any other convolution in groups; linear a product with weights, matmul one of two
#: activations; activation computes more than it moves, norm too, over statistics of what it reads;
#: move puts data elsewhere, reorder into another layout; gate multiplies each channel of a map by
#: one value; call is what a run costs, once a network.
KERNEL_CLASSES: Final = (
    "pointwise",
    "conv3x3",
    "conv",
    "depthwise",
    "linear",
    "pool",
    "elementwise",
    "grouped",
    "transposed",
    "global_pool",
    "activation",
    "norm",
    "move",
    "reorder",
    "matmul",
    "recurrent",
    "gate",
    "call",
)
(
    POINTWISE,
    CONV3,
    CONV,
    DEPTHWISE,
    LINEAR,
    POOL,
    ELEMENTWISE,
    GROUPED,
    TRANSPOSED,
    GLOBAL_POOL,
    ACTIVATION,
    NORM,
    MOVE,
    REORDERED,
    MATMUL,
    RECURRENT,
    GATE,
    CALL,
) = range(18)
#: Class -> the class that it was once part of: whose rates it has where it has none of its own.
BASE_CLASS: Final[Mapping[str, str]] = {
    "grouped": "conv",
    "transposed": "conv",
    "global_pool": "pool",
    "activation": "elementwise",
    "norm": "elementwise",
    "move": "elementwise",
    "reorder": "elementwise",
    "matmul": "linear",
    "recurrent": "linear",
    "gate": "elementwise",
}

#: Channels a runtime computes at once, its output channels rounded up: 4 fp32 lanes of a 128-bit
#: NEON register; 8 (AVX2) and 16 (AVX-512) where onnxruntime lays out activations in blocks.
LANES: Final = (4, 8, 16)


class Kernel(NamedTuple):
    """One kernel, or the same kernel in many designs (arrays, one value a design).

    kind:      class (see ``KERNEL_CLASSES``), one a design where designs differ.
    positions: output positions.
    reduction: multiply-accumulates an output element takes (window elements for a pool).
    outputs:   output channels, those of each group rounded up to lanes.
    elements:  activations read and written; those whose layout onnxruntime reorders for a
               convolution (NCHW <-> NCHWc) count ``REORDER_TIMES`` times.
    weights:   weights read; ``weights * positions`` are the multiply-accumulates.
    launches:  kernels run (n - 1 for a sum of n tensors, or two for any).

    Work is ``positions * reduction * outputs``; elementwise kernels have none, but for those
    that compute more than they move (``SLOW_ACTIVATIONS``).
    """

    kind: Ints
    positions: Ints
    reduction: Ints
    outputs: Ints
    elements: Ints
    weights: Ints
    launches: Ints


def lane_multiple(channels: Ints, lanes: int = LANES[0]) -> Ints:
    """``channels`` rounded up to a multiple of ``lanes``, a power of two."""
    return (channels + (lanes - 1)) & -lanes
