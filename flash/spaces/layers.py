"""What one layer is, and what it counts: the vocabulary every view of a network shares.

A ``Layer`` describes one operation of one network (plain integers) or the same operation in
many networks at once (integer arrays, one entry a design). The counting functions below only
use arithmetic, so they serve both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ELEMENTWISE",
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


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An activation: ``channels`` x ``height`` x ``width``, made by layer number ``producer``.

    ``producer`` is ``INPUT`` for the network's input and ``ZEROS`` for constant zeros.
    present: something computes it. Sums and concats leave out what is not present.
    signal:  it depends on the network's input (what follows only from zeros does not).
    lone_sum: it came out of the lone sum with this number (see ``Emitter.add``).
    """

    channels: Ints
    height: Ints
    width: Ints
    producer: Ints
    present: Flags = True
    signal: Flags = True
    lone_sum: Ints = NO_SUM


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One operation.

    op:        ``conv``, ``linear``, ``max_pool``, ``avg_pool``, ``global_pool``, or one of
               ``ELEMENTWISE``. A conv carries its batch norm (``norm``) and activation
               (``act``), because runtimes fuse them into one kernel. ``mul`` and ``copy``
               (a product of tensors, data moved about) come from files only.
    name:      readable, unique in the network.
    stage:     the part of the family that emitted it (see ``Family.stages``).
    cell:      number of the cell it belongs to, -1 outside cells.
    channels:  ``in_channels`` counts every channel read (all pieces of a concat; one
               operand of an add), ``out_channels`` those written.
    operands:  number of input tensors.
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
    pad_height: Ints = 0
    pad_width: Ints = 0
    groups: Ints = 1
    operands: Ints = 1
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
    return 0 * layer.out_channels


def layer_params(layer: Layer) -> Ints:
    """Trainable parameters: weights, bias, and the two of each batch-norm channel."""
    per_channel = int(layer.bias) + 2 * int(layer.norm)
    return weight_elements(layer) + per_channel * layer.out_channels


def layer_macs(layer: Layer) -> Ints:
    """Multiply-accumulates of convolutions and linear layers (all else counts none)."""
    return weight_elements(layer) * layer.out_height * layer.out_width


def in_elements(layer: Layer) -> Ints:
    """Activation elements read, all operands together."""
    per_operand = layer.in_channels * layer.in_height * layer.in_width
    return per_operand * layer.operands if layer.op == "add" else per_operand


def out_elements(layer: Layer) -> Ints:
    """Activation elements written."""
    return layer.out_channels * layer.out_height * layer.out_width
