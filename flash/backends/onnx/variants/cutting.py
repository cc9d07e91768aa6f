"""A variant of a model as a model: channels sliced through every tied layer, blocks left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from flash.backends.onnx.variants.axes import FIXED, attribute
from flash.backends.onnx.variants.blocks import Run
from flash.backends.onnx.variants.document import kept_ids
from flash.backends.onnx.variants.frozen import Frozen
from flash.backends.onnx.variants.rules import looks_up_all
from flash.backends.onnx.variants.units import KERNEL, Units

__all__ = ["Cut", "cut"]


def cut(
    frozen: Frozen,
    units: Units,
    runs: Sequence[Run],
    kept: Mapping[int, int],
    depths: Mapping[int, int],
) -> onnx.ModelProto:
    """The variant with its weights.

    kept: units that each group keeps, sides of kernels by their extent's number (all where not
          given).  depths: blocks of each run.
    """
    return Cut(frozen, units, kept).model(_left_out(runs, depths))


def _left_out(runs: Sequence[Run], depths: Mapping[int, int]) -> tuple[set[int], dict[str, str]]:
    """Numbers of nodes without which the variant is, and what is read in place of their results."""
    gone: set[int] = set()
    renamed: dict[str, str] = {}
    for number, run in enumerate(runs):
        for block in run.blocks[depths.get(number, len(run.blocks)) :]:
            gone.update(block.nodes)
            renamed[block.leaves] = block.enters
    return gone, renamed


class Cut:
    """Which positions of which axes stay."""

    def __init__(self, frozen: Frozen, units: Units, kept: Mapping[int, int]) -> None:
        self.frozen, self.units = frozen, units
        most = 1 + max((int(g.ids.max()) for g in units.groups), default=0)
        stays = np.zeros(most, dtype=np.bool_)
        stays[FIXED] = True
        for number, group in enumerate(units.groups):
            stays[kept_ids(group, kept.get(number, group.units))] = True
        self._stays = stays
        self._made: dict[str, NDArray[Any]] = {}
        self._kernels = {
            place: kept.get(number, extent.sizes[-1])
            for number, extent in units.numbered_extents
            if extent.kind == KERNEL
            for place in extent.places
        }

    def positions(self, name: str) -> list[NDArray[np.bool_]]:
        """Which positions of a tensor stay, one array an axis."""
        return [
            self._stays[x] if (name, axis) not in self._kernels else self._middle(name, axis)
            for axis, x in enumerate(self.units.of[name])
        ]

    def _middle(self, name: str, axis: int) -> NDArray[np.bool_]:
        size = self.frozen.shapes[name][axis]
        outside = (size - self._kernels[name, axis]) // 2
        at = np.arange(size)
        middle: NDArray[np.bool_] = (at >= outside) & (at < size - outside)
        return middle

    def shape(self, name: str) -> list[int]:
        """Sizes of a tensor in the variant."""
        return [int(own.sum()) for own in self.positions(name)]

    def model(self, left_out: tuple[set[int], dict[str, str]]) -> onnx.ModelProto:
        """The model without the nodes that are left out."""
        gone, renamed = left_out

        def final(name: str) -> str:
            while name in renamed:
                name = renamed[name]
            return name

        model = onnx.ModelProto()
        model.CopyFrom(self.frozen.model)
        graph = model.graph
        nodes = []
        for number, node in enumerate(self.frozen.nodes):
            if number in gone:
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            self._resize(copy)
            for position, name in enumerate(copy.input):
                copy.input[position] = final(name)
            nodes.append(copy)
        for output in graph.output:
            if output.name in renamed:
                nodes.append(helper.make_node("Identity", [final(output.name)], [output.name]))
        del graph.node[:]
        graph.node.extend(nodes)
        read = {name for node in nodes for name in node.input}
        wanted = [t for t in graph.initializer if t.name in read and t.name not in self._made]
        tensors = [self._tensor(t) for t in wanted]
        tensors += [numpy_helper.from_array(v, n) for n, v in self._made.items() if n in read]
        del graph.initializer[:]
        graph.initializer.extend(tensors)
        del graph.value_info[:]
        return model

    def _tensor(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        stays = self.positions(tensor.name)
        if all(own.all() for own in stays):
            return tensor
        value = self.frozen.stored[tensor.name]
        for axis, own in enumerate(stays):
            value = np.compress(own, value, axis=axis)
        return numpy_helper.from_array(np.ascontiguousarray(value), tensor.name)

    # ------------------------------------------------------------------- sizes written in nodes
    def _resize(self, node: onnx.NodeProto) -> None:
        changes = {
            "Conv": self._conv,
            "Expand": self._expand,
            "Gather": self._gather,
            "Reshape": self._reshape,
            "Slice": self._slice,
            "Split": self._split,
        }
        if node.op_type in changes and node.domain in ("", "ai.onnx"):
            changes[node.op_type](node)

    def _store(self, node: onnx.NodeProto, position: int, value: Any, like: str = "") -> None:
        """Give a node an integer input of its own."""
        kind = self.frozen.stored[like].dtype if like in self.frozen.stored else np.int64
        name = f"{node.name}.{position}"
        self._made[name] = np.asarray(value, dtype=kind)
        while len(node.input) <= position:
            node.input.append("")
        node.input[position] = name

    def _conv(self, node: onnx.NodeProto) -> None:
        groups = attribute(node, "group", 1)
        if groups > 1:
            before = self.frozen.shapes[node.input[0]][1]
            after = self.shape(node.input[0])[1]
            _set(node, "group", after * groups // before)
        if (node.input[1], len(self.frozen.shapes[node.input[1]]) - 1) in self._kernels or (
            node.input[1],
            2,
        ) in self._kernels:
            kernel = self.shape(node.input[1])[2:]
            _set(node, "kernel_shape", kernel)
            _set(node, "pads", [(n - 1) // 2 for n in kernel] * 2)

    def _reshape(self, node: onnx.NodeProto) -> None:
        shape = self.shape(node.output[0])
        if 0 not in shape and shape:
            # The first axis is the batch, or holds it.
            self._store(node, 1, [-1, *shape[1:]])
            kept = [a for a in node.attribute if a.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)

    def _expand(self, node: onnx.NodeProto) -> None:
        self._store(node, 1, self.shape(node.output[0]))

    def _split(self, node: onnx.NodeProto) -> None:
        axis = attribute(node, "axis", 0)
        sizes = [self.shape(name)[axis] for name in node.output]
        before = [self.frozen.shapes[name][axis] for name in node.output]
        if sizes == before:
            return
        old = attribute(node, "split") is not None
        kept = [a for a in node.attribute if a.name not in ("split", "num_outputs")]
        del node.attribute[:]
        node.attribute.extend(kept)
        if old:
            _set(node, "split", sizes)
        else:
            self._store(node, 1, sizes)

    def _slice(self, node: onnx.NodeProto) -> None:
        stored = self.frozen.stored
        starts, ends = stored[node.input[1]].copy(), stored[node.input[2]].copy()
        stays = self.positions(node.input[0])
        over = range(len(starts))
        if len(node.input) > 3 and node.input[3]:
            over = stored[node.input[3]].tolist()
        changed = False
        for k, axis in enumerate(over):
            own = stays[axis]
            if own.all():
                continue
            first, last, _ = slice(int(starts[k]), int(ends[k])).indices(len(own))
            starts[k] = own[:first].sum()
            ends[k] = starts[k] + own[first:last].sum()
            changed = True
        if changed:
            self._store(node, 1, starts, node.input[1])
            self._store(node, 2, ends, node.input[2])

    def _gather(self, node: onnx.NodeProto) -> None:
        index = self.frozen.stored.get(node.input[1])
        axis = attribute(node, "axis", 0)
        before = self.frozen.shapes[node.input[0]][axis]
        after = self.shape(node.input[0])[axis]
        if index is None or after == before or not looks_up_all(index, before):
            return
        shape = [after if n == before else n for n in index.shape]
        self._store(node, 1, np.arange(after).reshape(shape), node.input[1])


def _set(node: onnx.NodeProto, name: str, value: Any) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
