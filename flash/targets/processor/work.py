"""What operations that compute more than they move take: multiply-accumulates an element.

Multiply-accumulates that take as long, at the rate of the class ``activation`` or ``norm``. From
nanoseconds an element measured with onnxruntime 1.32 on one thread of an AVX-512 machine (200,704
elements, the cost of the call taken off), times the 47 GMAC/s that one thread of the machine of
``x86-avx512`` does in dense products; mish, elu and strided softmax agree with whole networks
measured on that one. Ratios between them are those of that runtime; how fast a device does them all
is fitted. ``fourier`` alone was measured elsewhere: 2.2 to 3.9 ns a step of radix 2, in 512 to
1,024 samples and (by Bluestein) in 400, on one thread of the machine of ``x86-avx2``, whose
activations do 24 GMAC/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "CHOICE_ELEMENTS",
    "CONVERSION_WORK",
    "ELEMENT_WORK",
    "FUSED_WORK",
    "GATE_WORK",
    "GATHER_WORK",
    "NORM_ROW",
    "NORM_WORK",
    "PLAIN_POOL_WORK",
    "SCALE_WORK",
    "SCATTER_WORK",
    "SKIP_NORM_WORK",
    "SLOW_ACTIVATIONS",
    "SOFTMAX_ROW",
    "STATE_WORK",
    "TAP_ROW_WORK",
    "TAP_WORK",
    "WORK",
    "WORK_IN_BLOCKS",
]

#: Of an activation, by name. PReLU takes 0.1 to 3.8 ns on four x86 machines, by how often they
#: guess a sign right, 0.8 in the geometric mean.
SLOW_ACTIVATIONS: Final[Mapping[str, int]] = {
    "acos": 70,
    "acosh": 70,
    "asin": 70,
    "asinh": 70,
    "atan": 70,
    "atanh": 70,
    "celu": 92,
    "cos": 57,
    "cosh": 70,
    "elu": 78,
    "erf": 16,
    "gelu": 21,
    "hard_swish": 10,
    "log": 68,
    "log_softmax": 20,
    "mish": 500,
    "selu": 80,
    "sigmoid": 11,
    "silu": 6,
    "sin": 57,
    "sinh": 70,
    "softmax": 18,
    "softplus": 490,
    "sqrt": 13,
    "pow": 300,
    "prelu": 33,
    "strided_log_softmax": 420,
    "strided_softmax": 420,
    "tan": 70,
    "tanh": 10,
}
#: Of ``SLOW_ACTIVATIONS``, what is otherwise where code paths are told apart: softmax without what
#: a row costs besides. A choice by a mask that is known takes 0.65 ns, and 5.3 us a kernel: as much
#: as ``CHOICE_ELEMENTS``.
WORK_IN_BLOCKS: Final[Mapping[str, int]] = {
    "silu": 15,
    "gelu": 30,
    "softmax": 10,
    "where_constant": 27,
}
CHOICE_ELEMENTS: Final = 8000
#: Elements that a row costs besides its own, where rows are normalised (11 ns) or a softmax is
#: taken of them (8 ns), and work of an element normalised (0.41 ns). This and the next five:
#: onnxruntime 1.32 on one thread of a Xeon with AMX, whose sigmoid and erf do 41 GMAC/s by the
#: numbers above and pools 40; rows of 16 to 1,024.
NORM_ROW: Final = 27
SOFTMAX_ROW: Final = 33
NORM_WORK: Final = 17
#: Work of a value that is scaled and shifted by stored statistics, not of a map: 0.14 ns.
SCALE_WORK: Final = 6
#: Work of an output of a pool on a plain tensor besides two a tap: 1.2 ns and 0.05.
PLAIN_POOL_WORK: Final = 47
#: Work of a tap of an average pool from opset 19 on, and of a row of its window: 0.5 and 1.3 ns, by
#: which eight windows over one to three axes are met within a tenth.
TAP_WORK: Final = 21
TAP_ROW_WORK: Final = 51
#: What it takes to bring a value from integers to floats and back, around an activation that is
#: computed in floats: 0.7 ns (Xeon with AMX, four networks).
CONVERSION_WORK: Final = 29
#: What an activation takes that a convolution does itself, an output, at the convolution's rate.
#: onnxruntime runs all but ReLU over each row that it has computed. Measured with 1.32 on one
#: thread of a Zen 4 with AVX-512 (depthwise and pointwise convolutions, 7 to 56 pixels wide): 0.10,
#: 0.15, 0.13, 0.15, 0.28 and 0.27 ns an output, times the 55 GMAC/s of its convolutions.
FUSED_WORK: Final[Mapping[str, int]] = {
    "relu6": 6,
    "clip": 6,
    "leaky_relu": 8,
    "hard_sigmoid": 7,
    "hard_swish": 8,
    "sigmoid": 15,
    "tanh": 15,
}
#: The same of a map that is multiplied by one value a channel, an element of it: 0.11 ns.
GATE_WORK: Final = 5
#: The same of a tensor whose axes are permuted so that neighbours part, an element: 3.2 to 3.6 ns
#: in nine shapes; where one axis moves it is 0.1 to 0.4, which is traffic. What is written piece by
#: piece where indices say takes as long a piece: 2.7 to 3.9 ns in eight shapes that stay in the
#: cache, up to 13 (and 20 over three axes) where indices of 8 bytes do not.
SCATTER_WORK: Final = 160
#: The same of a piece that is looked up along an axis, all that is behind the axis: 7.6 to 8.5 ns
#: for pieces of one and of four values (2,048 to 25,200 of them); long ones are traffic.
GATHER_WORK: Final = 400
#: The same of a value that is looked up by an index of its own (``GatherElements``): 0.6 to 1.1 ns
#: in eight shapes.
ELEMENT_WORK: Final = 40
#: The same of a sum that is normalised in one kernel (``SkipLayerNormalization``), an element read,
#: of which there are two a value: 5.1 to 5.3 ns a value in six shapes (rows of 64 to 768), where a
#: sum and a norm apart take 0.7.
SKIP_NORM_WORK: Final = 120
#: The same of a state of a plain RNN, a step, at the rate of recurrent layers: 4 to 7 ns (16 to 256
#: states), times their 31 GMAC/s; the gates of LSTM and GRU are computed several at once.
STATE_WORK: Final = 190
#: The same of other operations from files, an element read or written (the more of the two); by
#: what the layer's ``act`` says of it where that is listed.
WORK: Final[Mapping[str, int]] = {
    "cubic": 2500,
    "fourier": 78,
    "layer_norm": 25,
    "linear": 52,
    "lrn": 1500,
    "nearest": 14,
    "reduce": 6,
    "sort": 22,
    "topk": 580,
}
