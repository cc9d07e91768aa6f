"""What one layer is, and what it counts: the vocabulary every view of a network shares.

A ``Layer`` describes one operation of one network (plain integers) or the same operation in
many networks at once (integer arrays, one entry a design). The counting functions below only
use arithmetic, so they serve both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ELEMENTWISE",
    "FORMAT_BYTES",
    "INPUT",
    "NO_SUM",
    "ZEROS",
    "Flags",
    "Ints",
    "Layer",
    "Tensor",
    "in_elements",
    "layer_macs",
    "layer_params",
    "out_elements",
    "param_bytes",
    "weight_elements",
]

#: An integer, or one integer a design.
Ints = int | NDArray[np.int64]

#: A truth value, or one a design.
Flags = bool | NDArray[np.bool_]

#: Producer numbers that are no layer.
INPUT: Final = -1
ZEROS: Final = -2
#: Number of the sum that a tensor came out of, where it came out of none.
NO_SUM: Final = -1

#: Operations that move or combine activations without weights or a window.
ELEMENTWISE: Final = ("act", "add", "concat", "copy", "mul", "norm", "pad", "slice")

#: Bytes of an element in each number format a file may state.
FORMAT_BYTES: Final[dict[str, float]] = {
    "fp64": 8.0,
    "fp32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5,
}
#: In these formats only the kernel is small: biases and offsets take 4 bytes.
_INTEGER_FORMATS: Final = ("int8", "int4")


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An activation: ``channels`` x ``height`` x ``width``, made by layer number ``producer``.

    ``producer`` is ``INPUT`` for the network's input and ``ZEROS`` for constant zeros.
    present: something computes it. Sums and concats leave out what is not present.
    signal:  it depends on the network's input (what follows only from zeros does not).
    lone_sum: it came out of the lone sum with this number (see ``Emitter.add``).
    passer: its number among the tensors that pass the stages of a partial table
            (``flash.spaces.passing``), -1 where nobody follows them.
    """

    channels: Ints
    height: Ints
    width: Ints
    producer: Ints
    present: Flags = True
    signal: Flags = True
    lone_sum: Ints = NO_SUM
    passer: Ints = -1


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One operation.

    op:        ``conv``, ``linear``, ``max_pool``, ``avg_pool``, ``global_pool``, or one of
               ``ELEMENTWISE``. A conv carries its batch norm (``norm``) and activation
               (``act``), because runtimes fuse them into one kernel.
               From files only: ``mul`` and ``copy`` (a product of tensors, data moved about);
               ``conv_transpose``; ``matmul`` (of two activations, ``out_height`` rows);
               ``recurrent``; ``layer_norm`` (any that normalises as it runs), ``reduce``,
               ``resize``, ``gather``, ``scatter``, ``sort``, ``trees``; ``other``, an operator
               known by its traffic only; ``input`` and ``output``, which cost nothing: inputs
               beside the first, and what joins several outputs.
    name:      readable, unique in the network.
    stage:     the part of the family that emitted it (see ``Family.stages``).
    cell:      number of the cell it belongs to, -1 outside cells.
    channels:  ``in_channels`` counts every channel read (all pieces of a concat; one
               operand of an add), ``out_channels`` those written.
    operands:  number of input tensors; of an average pool from a file 2 where its opset has
               runtimes compute it tap by tap.
    kernel_width: of a softmax or a normalisation of rows the length of a row (1: not known), of a
               gather of a piece; else of the window. kernel_height of a scatter: pieces written.
    dilation:  distance between the positions that a kernel reads, of networks that flash builds;
               one read from a file does not tell.
    batch:     times all this is done on other data with the same weights: images of a batch,
               matrices of a stack. Sizes are of one of them. A ``linear`` layer has as many
               rows as ``out_height * out_width``; convolutions over three axes count the first
               two as height, those over one axis have height 1.
    axes:      3 of a convolution or pool over three axes, from files only; else 2.
    params:    trainable parameters where op and sizes do not tell: weights that an earlier
               layer counts, slopes, tables. None where they do.
    macs:      the same of multiply-accumulates.
    format:    number format of the weights, one of ``FORMAT_BYTES``; empty for the target's.
    out_format: the same of what the layer writes.
    skip:      channels that reach this layer over long-range links (NN-Degree, NN-Mass).
    signal:    its result depends on the network's input.
    """

    op: str
    name: str
    stage: str
    cell: int
    inputs: tuple[Tensor, ...]
    in_channels: Ints
    out_channels: Ints
    in_height: Ints
    in_width: Ints
    out_height: Ints
    out_width: Ints
    kernel_height: Ints = 1
    kernel_width: Ints = 1
    stride: Ints = 1
    dilation: Ints = 1
    pad_height: Ints = 0
    pad_width: Ints = 0
    groups: Ints = 1
    operands: Ints = 1
    batch: Ints = 1
    axes: int = 2
    params: Ints | None = None
    macs: Ints | None = None
    format: str = ""
    out_format: str = ""
    skip: Ints = 0
    norm: bool = False
    bias: bool = False
    act: str = ""
    signal: Flags = True


def weight_elements(layer: Layer) -> Ints:
    """Weights of the layer's kernel, without bias and batch norm."""
    if layer.op == "conv":
        fan_in = layer.in_channels // layer.groups * layer.kernel_height * layer.kernel_width
        return layer.out_channels * fan_in
    if layer.op == "linear":
        return layer.in_channels * layer.out_channels
    if layer.op == "conv_transpose":
        fan_out = layer.out_channels // layer.groups * layer.kernel_height * layer.kernel_width
        return layer.in_channels * fan_out
    return 0 * layer.out_channels


def layer_params(layer: Layer) -> Ints:
    """Trainable parameters: weights, bias, and the two of each batch-norm channel."""
    if layer.params is not None:
        return layer.params
    per_channel = int(layer.bias) + 2 * int(layer.norm)
    return weight_elements(layer) + per_channel * layer.out_channels


def param_bytes(layer: Layer, element_bytes: float) -> Any:
    """Bytes of the layer's parameters in their own format, else at ``element_bytes`` each.

    Beside an integer kernel, biases and offsets take 4 bytes (ONNX's and TF Lite's int32).
    """
    params = layer_params(layer)
    if not layer.format:
        return params * element_bytes
    own = FORMAT_BYTES[layer.format]
    if layer.format not in _INTEGER_FORMATS:
        return params * own
    kernel: Ints = np.minimum(weight_elements(layer), params)
    return kernel * own + (params - kernel) * FORMAT_BYTES["fp32"]


def layer_macs(layer: Layer) -> Ints:
    """Multiply-accumulates: of convolutions, matrix products and recurrent layers.

    Operations the field does not count by them (sums, pools, activations) have none.
    """
    if layer.macs is not None:
        return layer.macs
    if layer.op == "matmul":
        one = layer.in_channels * layer.out_channels * layer.out_height
    elif layer.op == "conv_transpose":
        one = weight_elements(layer) * layer.in_height * layer.in_width
    else:
        one = weight_elements(layer) * layer.out_height * layer.out_width
    return _times(one, layer.batch)


def in_elements(layer: Layer) -> Ints:
    """Activation elements read, all operands together."""
    if layer.op == "matmul":
        rows_and_columns = layer.out_height + layer.out_channels
        return _times(layer.in_channels * rows_and_columns, layer.batch)
    per_operand = layer.in_channels * layer.in_height * layer.in_width
    one = per_operand * layer.operands if layer.op == "add" else per_operand
    return _times(one, layer.batch)


def out_elements(layer: Layer) -> Ints:
    """Activation elements written."""
    return _times(layer.out_channels * layer.out_height * layer.out_width, layer.batch)


def _times(one: Ints, batch: Ints) -> Ints:
    """``one * batch``, without touching an array where there is no batch."""
    return one if isinstance(batch, int) and batch == 1 else one * batch
