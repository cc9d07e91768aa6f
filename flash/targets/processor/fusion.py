"""What a runtime that looks at the whole graph merges into one kernel.

Every runtime we know folds batch norm and activation into the convolution before them; layers
carry those already. Some go on.

``fusion = "graph"`` in a profile, compilers such as TensorRT:

* an activation or normalisation is done by the kernel that makes its operand, if nothing else
  reads that operand;
* a sum is one kernel whatever its number of operands (``kernel_of``), and where the reference
  code starts its sums from zero, so is a sum of one tensor or of none.

``fusion = "sum"``, onnxruntime where it lays out activations in blocks of channels:

* the same operation on the same tensor (an activation, a pool, a slice) runs once;
* a convolution without activation whose result only a sum reads adds the other operand itself,
  so that of the n - 1 binary sums of n tensors as many are left as have no such operand; but
  not to what was sliced or padded, and adding constant zeros stays a kernel of its own;
* an activation is done by the convolution that makes its operand, such a sum included, if
  nothing else reads it and it is one of ``FUSED``.

* a sum of two tensors is part of the normalisation of rows that alone reads it.

``fusion = "ort"``, onnxruntime where it does not (Arm): as "conv", but a convolution does only the
activations of ``FUSED``, and none is done by another kernel. Activations that no convolution does
are kernels of their own with "sum", too, which inserts changes of layout besides
(``flash.targets.processor.layout``).

``fusion = "eager"``, frameworks such as PyTorch that run a program line by line: nothing more
merges, and no layer is left out. Where the program multiplies by zero (the module for *none* that
``InferCell`` of NAS-Bench-201's code calls like any other) that is a kernel, and its zeros are
added like any operand.

How the rules were found, and how well they explain measurements: ``docs/models.md``.

``fusion = "blocks"`` merges as "sum" does, and tells more code paths of onnxruntime apart
(``flash.targets.processor.kernels``).

``fusion = "read"``, or "read_blocks", is said of networks whose layers are kernels already, read
from the graph that their runtime has optimised: nothing more merges.

Only kernels of one stage merge, so that the costs of stages still add up to the network's.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import NO_SUM, ZEROS, Flags, Ints, Layer, Tensor
from flash.spaces.network import Network
from flash.spaces.table import LayerTable, network_table
from flash.targets.processor.kernel_classes import LANES
from flash.targets.processor.layout import (
    FUSED,
    is_half_clip,
    reorders,
    reorders_within_stages,
)
from flash.targets.processor.runtime import AS_READ

__all__ = ["fused_network", "fused_table"]

Grid = NDArray[np.bool_]
_ACTIVATIONS = ("act", "norm")
#: Operations on one tensor without weights of their own.
_REPEATED = ("act", "max_pool", "avg_pool", "global_pool", "slice", "pad")
#: More than the operands of any sum.
_NEVER = 1 << 20


#: Operations that do no activation.
_ALONE = ("add", "mul", "norm", "conv_transpose")
#: Operations that do, in blocks, the activations that convolutions do and no others.
_SUMS = ("add", "mul", "norm", "linear", "conv_transpose")


#: Activations that a convolution in integers does: what it writes holds no other numbers.
_BY_RANGE = ("", "relu", "relu6", "clip")


def fused_table(
    table: LayerTable, runs: Grid, fusion: str, lanes: int = LANES[-1]
) -> tuple[list[Layer], Grid]:
    """What is left to run of the layers that run: layers, and (layers, designs) which run.

    runs: (rows, designs). lanes: channels of a block.
    """
    if fusion == "graph":
        return _by_compilers(table, runs)
    if fusion in ("sum", "blocks"):
        layers, left = _by_norms(*_by_convolutions(table, runs))
        layers, left = _with_activations(layers, left, (), _SUMS if fusion == "blocks" else ())
        if not table.is_network:
            if fusion == "sum":
                return layers, left
            moved, happens = reorders_within_stages(table.layers, runs, lanes)
            return [*layers, *moved], np.concatenate([left, happens])
        block = lanes if fusion == "blocks" else LANES[-1]
        moved = reorders(table.layers, runs[:, 0], table.output, block)
        return [*layers, *moved], np.concatenate([left, np.ones((len(moved), 1), dtype=np.bool_)])
    if fusion == "ort":
        return _with_activations(*_by_norms(list(table.layers), runs), _ALONE)
    if fusion == "eager":
        return _as_written(table, runs)
    return list(table.layers), runs


def fused_network(network: Network, fusion: str, lanes: int = LANES[-1]) -> list[Layer]:
    """The layers of a network that still run, lone sums that run among them."""
    sums = (x for x in (*network.layers, *network.lone_sums) if x.op == "add")
    if fusion in ("conv", *AS_READ.values()) or (
        fusion == "eager" and not any(x.producer == ZEROS for s in sums for x in s.inputs)
    ):
        return list(network.layers)
    table = network_table(network)
    layers, grid = fused_table(table, table.active, fusion, lanes)
    left = [x for x, runs in zip(layers, grid[:, 0], strict=True) if runs]
    # Of the one design, sums by rule are columns of one number.
    return [
        x if isinstance(x.operands, int) else replace(x, operands=int(np.ravel(x.operands)[0]))
        for x in left
    ]


# ---------------------------------------------------------------------------------- "graph"
def _by_compilers(table: LayerTable, runs: Grid) -> tuple[list[Layer], Grid]:
    sums = _lone_sums(table, runs)
    layers = [*table.layers, *(x for x, _ in table.lone_sums)]
    readers = _readers(table, runs, sums)
    made_in = np.array([x.stage for x in layers])
    columns = np.arange(table.designs)
    left = runs.copy()
    for row, layer in enumerate(table.layers):
        if layer.op in _ACTIVATIONS:
            made = _origin(table, layer.inputs[0])
            inside = made < len(made_in)
            stage = made_in[np.where(inside, made, 0)]
            left[row] &= ~(inside & (readers[made, columns] == 1) & (stage == layer.stage))
    return layers, np.concatenate([left, sums])


def _origin(table: LayerTable, x: Tensor) -> Ints:
    """(designs,) the row that makes a tensor; behind all rows its lone sum; then zeros, input."""
    producer, lone = np.asarray(x.producer), np.asarray(x.lone_sum)
    rows, sums = len(table), len(table.lone_sums)
    made = np.where(producer < 0, rows + sums + 2 + producer, producer)
    result: Ints = np.broadcast_to(np.where(lone < 0, made, rows + lone), (table.designs,))
    return result


def _lone_sums(table: LayerTable, runs: Grid) -> Grid:
    """(lone sums, designs): what a layer that runs, the output or another such sum reads.

    A sum of nothing is read too: its zeros are a tensor like any other.
    """
    wanted = np.zeros((len(table) + len(table.lone_sums) + 2, table.designs), dtype=np.bool_)
    columns, rows = np.arange(table.designs), len(table)
    if table.lone_sums:
        wanted[_origin(table, table.output), columns] = True
        for row, layer in enumerate(table.layers):
            for x in layer.inputs:
                wanted[_origin(table, x), columns] |= runs[row]
        for number in range(len(table.lone_sums) - 1, -1, -1):
            layer, has = table.lone_sums[number]
            wanted[rows + number] &= has
            for x in layer.inputs:
                wanted[_origin(table, x), columns] |= wanted[rows + number]
    result: Grid = wanted[rows : rows + len(table.lone_sums)]
    return result


def _readers(table: LayerTable, runs: Grid, sums: Grid) -> NDArray[np.int64]:
    """How often what runs, or the output, reads each result; rows as in ``_origin``."""
    readers = np.zeros((len(table) + len(sums) + 2, table.designs), dtype=np.int64)
    columns = np.arange(table.designs)
    readers[_origin(table, table.output), columns] += 1
    layers = (*table.layers, *(layer for layer, _ in table.lone_sums))
    for layer, own in zip(layers, np.concatenate([runs, sums]), strict=True):
        for x in layer.inputs:
            reads: Flags = own & (x.present | (np.asarray(x.lone_sum) >= 0))
            readers[_origin(table, x), columns] += reads
    return readers


# ------------------------------------------------------------------------------------ "sum"
def _by_convolutions(table: LayerTable, runs: Grid) -> tuple[list[Layer], Grid]:
    same, left = _once(table, runs)
    columns, layers = np.arange(table.designs), list(table.layers)
    readers = np.zeros((len(table) + 2, table.designs), dtype=np.int64)
    readers[same[_made(table, table.output), columns], columns] += 1
    for row, layer in enumerate(layers):
        for x in layer.inputs:
            readers[same[_made(table, x), columns], columns] += left[row] & x.present
    stages = np.array([*(layer.stage for layer in layers), "", ""])
    cut = np.array([*(layer.op in ("slice", "pad") for layer in layers), False, False])
    # Which rows are convolutions without activation, and with them sums that are part of one.
    plain, able = np.zeros((2, len(table) + 2, table.designs), dtype=np.bool_)

    def done_by(x: Tensor, which: Grid, stage: str) -> Grid:
        """(designs,): what makes ``x`` is one of these and does what its only reader does."""
        made = same[_made(table, x), columns]
        alone = (readers[made, columns] == 1) & (stages[made] == stage)
        result: Grid = which[made, columns] & alone
        return result

    for row, layer in enumerate(table.layers):
        if layer.op == "conv":
            plain[row] = able[row] = left[row] & (layer.act == "")
        elif layer.op == "add":
            fed, merged = np.zeros((2, table.designs), dtype=np.int64)
            for x in layer.inputs:
                fed += x.present & np.asarray(x.signal)
                merged += x.present & done_by(x, plain, layer.stage)
                merged -= _NEVER * (x.present & cut[same[_made(table, x), columns]])
            merged = np.clip(merged, 0, fed - 1)
            sums = np.where(fed < layer.operands, fed, fed - 1 - merged)
            able[row] = left[row] & (sums == 0)
            left[row] &= sums > 0
            layers[row] = replace(layer, operands=sums + 1)
        elif layer.op in _ACTIVATIONS and layer.act in FUSED:
            left[row] &= ~done_by(layer.inputs[0], able, layer.stage)
    return layers, left


def _made(table: LayerTable, x: Tensor) -> Ints:
    """(designs,) the row that makes a tensor; behind all rows zeros, then the input."""
    producer = np.asarray(x.producer)
    made = np.where(producer < 0, len(table) + 2 + producer, producer)
    result: Ints = np.broadcast_to(made, (table.designs,))
    return result


def _once(table: LayerTable, runs: Grid) -> tuple[NDArray[np.int64], Grid]:
    """The row that stands for each (itself, or an equal one before it), and what then runs."""
    columns = np.arange(table.designs)
    same = np.repeat(np.arange(len(table) + 2)[:, None], table.designs, axis=1)
    left = runs.copy()
    # Equal operations of one cell only: elsewhere equal tensors are not read twice.
    alike: dict[tuple[object, ...], list[tuple[int, Layer, Ints]]] = defaultdict(list)
    for row, layer in enumerate(table.layers):
        if layer.op not in _REPEATED:
            continue
        read = same[_made(table, layer.inputs[0]), columns]
        before = alike[layer.op, layer.stage, layer.cell, layer.act]
        for number, other, other_read in before:
            equal = left[row] & left[number] & (read == other_read) & _equal(layer, other)
            same[row] = np.where(equal, number, same[row])
            left[row] &= ~equal
        before.append((row, layer, read))
    return same, left


def _equal(a: Layer, b: Layer) -> Flags:
    """Whether two operations on one tensor make the same of it."""
    result: Flags = np.asarray(
        (a.kernel_height == b.kernel_height)
        & (a.kernel_width == b.kernel_width)
        & (a.stride == b.stride)
        & (a.out_channels == b.out_channels)
    )
    return result


def _by_norms(layers: list[Layer], left: Grid) -> tuple[list[Layer], Grid]:
    """Sums of two tensors that the normalisation of rows behind them adds up itself.

    onnxruntime's ``SkipLayerNormalization``; not where anything else reads the sum, as in
    transformers that normalise before they attend.
    """
    if not any(layer.op == "layer_norm" for layer in layers):
        return layers, left
    left = left.copy()
    readers: dict[int, int] = {}
    for layer in layers:
        for x in layer.inputs:
            for made in np.unique(np.asarray(x.producer)).tolist():
                readers[made] = readers.get(made, 0) + 1
    for row, layer in enumerate(layers):
        if layer.op != "layer_norm" or layer.act or not np.all(layer.out_height == 1):
            continue
        producers = np.unique(np.asarray(layer.inputs[0].producer)).tolist()
        number = producers[0]
        if len(producers) > 1 or number < 0 or readers[number] > 1:
            continue
        total = layers[number]
        if total.op != "add" or total.act or total.stage != layer.stage:
            continue
        if np.all(left[row] & left[number] & (np.asarray(total.operands) == 2)):
            layers[row] = replace(layer, in_channels=2 * layer.in_channels, operands=2)
            left[number] = False
    return layers, left


def _with_activations(
    layers: list[Layer], left: Grid, of: tuple[str, ...], unless_fused: tuple[str, ...] = ()
) -> tuple[list[Layer], Grid]:
    """Activations that no convolution does, as layers of their own.

    of: operations besides whose activations are kernels of their own, whatever they are.
    unless_fused: operations that do what convolutions do, and no other activation.
    """
    found: list[tuple[Layer, Flags]] = []
    for layer, runs in zip(layers, left, strict=True):
        alone = layer.act not in FUSED or is_half_clip(layer)
        alone |= layer.out_format == "int8" and layer.act not in _BY_RANGE
        own = layer.act if layer.op in ("conv", *unless_fused) and alone else ""
        own = layer.act if layer.op in of else own
        if not own:
            found.append((layer, runs))
            continue
        found.append((replace(layer, act=""), runs))
        found.append((_activation(layer, own), runs))
    if len(found) == len(layers):
        return layers, left
    return [layer for layer, _ in found], np.stack([np.asarray(runs) for _, runs in found])


def _activation(layer: Layer, act: str) -> Layer:
    """An activation of what a layer writes."""
    return Layer(
        op="act",
        name=f"{layer.name}.{act}",
        stage=layer.stage,
        cell=layer.cell,
        inputs=layer.inputs,
        in_channels=layer.out_channels,
        out_channels=layer.out_channels,
        in_height=layer.out_height,
        in_width=layer.out_width,
        out_height=layer.out_height,
        out_width=layer.out_width,
        batch=layer.batch,
        act=act,
        out_format=layer.out_format,
        signal=layer.signal,
    )


# ---------------------------------------------------------------------------------- "eager"
def _as_written(table: LayerTable, runs: Grid) -> tuple[list[Layer], Grid]:
    layers: list[Layer] = []
    left: list[Flags] = []
    rows = [*zip(table.layers, runs, strict=True), *table.lone_sums]
    for layer, own in rows:
        if layer.op == "add":
            operands: Ints = 0
            for number, x in enumerate(layer.inputs):
                zeros: Flags = np.asarray(x.producer) == ZEROS
                operands = operands + (x.present | zeros)
                # Zeros that came out of a sum were made there.
                made = own & zeros & (np.asarray(x.lone_sum) == NO_SUM)
                if np.any(made):
                    product = replace(
                        layer,
                        op="mul",
                        name=f"{layer.name}.zeros{number}",
                        inputs=(x,),
                        operands=1,
                        act="",
                    )
                    layers.append(product)
                    left.append(made)
            layer, own = replace(layer, operands=operands), own & (operands > 1)
        layers.append(layer)
        left.append(own)
    grid = np.zeros((len(layers), table.designs), dtype=np.bool_)
    for row, flags in enumerate(left):
        grid[row] = flags
    return layers, grid
