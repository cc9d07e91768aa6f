"""Changes of layout that onnxruntime inserts where it lays out activations in blocks of channels.

Convolutions over two axes, pools and what goes element by element work on blocks (NCHWc); all else
reads and writes plain tensors. Between the two stands a reorder, one a tensor. Convolutions in
groups work on blocks only if every group fills them. Found on the graphs that onnxruntime 1.32
optimises (``SessionOptions.optimized_model_filepath``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Layer, Tensor
from flash.targets.processor.kernels import REORDER, is_gate

Grid = NDArray[np.bool_]

__all__ = ["FUSED", "is_half_clip", "reorders", "reorders_within_stages"]

#: Channels of a block: those of AVX-512, half as many elsewhere. Blocks need not be full, but their
#: channels are read in fours; fewer than a block a convolution reads as they are.
_BLOCK: Final = 16
_FOUR: Final = 4
#: What works on blocks wherever it is given them.
_EITHER: Final = (
    "add",
    "act",
    "avg_pool",
    "concat",
    "global_pool",
    "max_pool",
    "mul",
    "norm",
    "pad",
    "resize",
    "slice",
)
#: Of channels that do not fill blocks, ``kernel_of`` counts the reorders, there and back.
_RAGGED: Final = ("concat", "pad", "slice")
#: What is given blocks wherever channels fill them.
_POOLS: Final = ("avg_pool", "global_pool", "max_pool")
#: Activations that onnxruntime's convolutions do.
FUSED: Final = (
    "",
    "relu",
    "relu6",
    "clip",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "hard_sigmoid",
    "hard_swish",
)
#: Activations that work on blocks; all others, softmax and what takes a constant too, read and
#: write plain tensors.
_ON_BLOCKS: Final = (*FUSED, "gelu", "silu", REORDER)


def is_half_clip(layer: Layer) -> bool:
    """Whether a layer ends in a clip with limits in fp16.

    onnxruntime runs fp16 on x86 in fp32, casts at the network's ends, but a clip's limits stay what
    they are: no convolution does it, and it reads and writes plain tensors (seen with 1.32).
    """
    return layer.out_format == "fp16" and layer.act in ("clip", "relu6")


def reorders(
    layers: Sequence[Layer], runs: NDArray[np.bool_], output: Tensor, block: int = _BLOCK
) -> list[Layer]:
    """A layer for each change of layout of a network, ``copy`` with the act ``REORDER``.

    runs: which of the layers run, shape (layers,). block: channels of a block, which groups of a
    convolution fill or not.
    """
    blocked: list[bool] = []
    found: dict[tuple[int, bool], Layer] = {}

    def given(x: Tensor) -> bool:
        producer = int(x.producer)
        return producer >= 0 and blocked[producer]

    def wants(x: Tensor, blocks: bool, reader: Layer) -> None:
        """Where a map is not in the layout that a layer reads; one position is no map."""
        is_map = int(x.height) * int(x.width) > 1
        if is_map and x.present and given(x) is not blocks:
            found.setdefault((int(x.producer), blocks), _reorder(x, reader, len(found)))

    def plain(layer: Layer) -> None:
        """What a layer on blocks is activated by reads a plain tensor, and writes one."""
        row = len(blocked) - 1
        if blocked[row] and (layer.act not in _ON_BLOCKS or is_half_clip(layer)):
            is_map = int(layer.out_height) * int(layer.out_width) > 1
            if is_map:
                x = Tensor(layer.out_channels, layer.out_height, layer.out_width, row)
                found.setdefault((row, False), _reorder(x, layer, len(found)))
            blocked[row] = False

    for layer, own in zip(layers, runs, strict=True):
        if not own:
            blocked.append(False)
        elif layer.op == "conv" and not _is_narrow(layer):
            blocks = _is_blocked(layer, block)
            wants(layer.inputs[0], blocks, layer)
            blocked.append(blocks)
        elif layer.op == "conv":
            blocked.append(_is_blocked(layer, block))
        elif layer.op in _RAGGED and _is_ragged(layer):
            blocked.append(any(given(x) for x in layer.inputs if x.present))
        elif layer.op in _POOLS and (layer.axes > 2 or not given(layer.inputs[0])):
            blocked.append(layer.axes == 2 and int(layer.in_channels) % _FOUR == 0)
            wants(layer.inputs[0], blocked[-1], layer)
        elif _works_on_blocks(layer):
            blocked.append(all(given(x) for x in layer.inputs if x.present))
            if not blocked[-1]:
                for x in layer.inputs:
                    wants(x, False, layer)
        else:
            for x in layer.inputs:
                wants(x, False, layer)
            blocked.append(False)
        plain(layer)
    if layers and layers[-1].op != "output":
        wants(output, False, layers[-1])
    return list(found.values())


def reorders_within_stages(
    layers: Sequence[Layer], runs: Grid, block: int
) -> tuple[list[Layer], Grid]:
    """Changes of layout of many designs: layers, and (layers, designs) which happen.

    runs: which of the layers run, shape (layers, designs). Only those between two layers of one
    stage, so that the costs of stages add up to the network's: what other stages hand on is taken
    to lie as its reader wants it.
    """
    stages: NDArray[np.str_] = np.array([layer.stage for layer in layers])
    columns = np.arange(runs.shape[1])
    blocked = np.zeros_like(runs)
    done = {True: np.zeros_like(runs), False: np.zeros_like(runs)}
    found: list[Layer] = []
    happens: list[Grid] = []

    def given(x: Tensor, stage: str) -> tuple[Grid, Grid, NDArray[np.intp]]:
        """Whether this stage makes a tensor, whether it lies in blocks, and the row it is of."""
        producer = np.broadcast_to(np.asarray(x.producer, dtype=np.intp), columns.shape)
        row = np.maximum(producer, 0)
        inside = (producer >= 0) & (stages[row] == stage) & runs[row, columns]
        return inside, ~inside | blocked[row, columns], row

    def wants(x: Tensor, blocks: Grid, reader: Layer, own: Grid) -> None:
        inside, lies, row = given(x, reader.stage)
        is_map = np.asarray(x.height) * np.asarray(x.width) > 1
        for way in (True, False):
            moved = own & inside & is_map & x.present & (blocks == way) & (lies != way)
            moved &= ~done[way][row, columns]
            if moved.any():
                done[way][row[moved], columns[moved]] = True
                found.append(_reorder(x, reader, len(found)))
                happens.append(moved)

    for number, (layer, own) in enumerate(zip(layers, runs, strict=True)):
        inputs = [given(x, layer.stage)[1] | ~np.asarray(x.present) for x in layer.inputs]
        whole = np.logical_and.reduce(inputs) if inputs else np.ones_like(own)
        ragged = np.broadcast_to(_are_ragged(layer) & (layer.op in _RAGGED), own.shape)
        if layer.op == "conv":
            blocks: Grid = np.broadcast_to(_are_blocked(layer, block), own.shape)
            narrow = (np.asarray(layer.groups) == 1) & (np.asarray(layer.in_channels) < _BLOCK)
            wants(layer.inputs[0], blocks, layer, own & ~narrow)
        elif layer.op in _POOLS:
            fours = np.asarray(layer.in_channels) % _FOUR == 0
            blocks = inputs[0] | fours
            wants(layer.inputs[0], blocks, layer, own & fours)
        elif _works_on_blocks(layer):
            blocks = whole | (ragged & np.logical_or.reduce(inputs))
            for x in layer.inputs:
                wants(x, np.zeros_like(own), layer, own & ~blocks & ~ragged)
        else:
            blocks = np.zeros_like(own)
            for x in layer.inputs:
                wants(x, blocks, layer, own)
        blocked[number] = own & blocks
        if layer.act not in _ON_BLOCKS or is_half_clip(layer):
            x = Tensor(layer.out_channels, layer.out_height, layer.out_width, number)
            wants(x, np.zeros_like(own), layer, own)
            blocked[number] = False
    return found, np.array(happens, dtype=np.bool_).reshape(len(found), len(columns))


def _are_ragged(layer: Layer) -> Grid:
    """As ``_is_ragged``, of many designs."""
    ragged = np.asarray((layer.in_channels % _BLOCK != 0) | (layer.out_channels % _BLOCK != 0))
    for x in layer.inputs:
        ragged = ragged | np.asarray(x.channels % _BLOCK != 0)
    return ragged


def _are_blocked(conv: Layer, block: int) -> Grid:
    """As ``_is_blocked``, of many designs."""
    groups, read = np.asarray(conv.groups), np.asarray(conv.in_channels)
    written = np.asarray(conv.out_channels)
    plain = (np.asarray(conv.in_height) == 1) & (np.asarray(conv.in_width) > 1) | (conv.axes > 2)
    dense = (read < block) | (read % _FOUR == 0)
    full = (read // groups % block == 0) & (written // groups % block == 0)
    depthwise = (groups == read) & (groups == written)
    blocked = np.where(groups == 1, dense, np.where(depthwise, read % _FOUR == 0, full))
    return np.asarray(~plain & blocked)


def _is_ragged(layer: Layer) -> bool:
    sizes = [layer.in_channels, layer.out_channels, *(x.channels for x in layer.inputs)]
    return any(int(channels) % _BLOCK for channels in sizes)


def _is_narrow(conv: Layer) -> bool:
    """Fewer channels than a block: read from a plain tensor, which ``kernel_of`` counts."""
    return int(conv.groups) == 1 and int(conv.in_channels) < _BLOCK


def _is_blocked(conv: Layer, block: int) -> bool:
    if conv.axes > 2 or (int(conv.in_height) == 1 and int(conv.in_width) > 1):
        return False  # over three axes, or over one
    groups, read, written = int(conv.groups), int(conv.in_channels), int(conv.out_channels)
    if groups == 1:
        return read < block or read % _FOUR == 0
    if groups == read == written:
        return read % _FOUR == 0
    return (read // groups) % block == 0 and (written // groups) % block == 0


def _works_on_blocks(layer: Layer) -> bool:
    if layer.op not in _EITHER or (layer.op == "act" and layer.act not in _ON_BLOCKS):
        return False
    # A gate of one value a channel is not of the map's shape.
    return layer.op != "mul" or not is_gate(layer)


def _reorder(x: Tensor, reader: Layer, number: int) -> Layer:
    return replace(
        reader,
        op="copy",
        name=f"{reader.name}.reorder{number}",
        inputs=(x,),
        in_channels=x.channels,
        out_channels=x.channels,
        in_height=x.height,
        in_width=x.width,
        out_height=x.height,
        out_width=x.width,
        kernel_height=1,
        kernel_width=1,
        stride=1,
        pad_height=0,
        pad_width=0,
        groups=1,
        operands=1,
        params=0,
        macs=0,
        norm=False,
        bias=False,
        act=REORDER,
    )
