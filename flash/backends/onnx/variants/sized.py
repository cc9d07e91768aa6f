"""The layers of a model with sizes that remember the widths they follow from.

The reader maps the model as it does for ``flash.estimate``; only the shapes it is given are
``Size`` where an axis varies. So the layers of a variant are those that reading its file gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx

from flash.backends.onnx.file import checked_graph
from flash.backends.onnx.ir.graph import Graph, Node
from flash.backends.onnx.ir.mapper import Mapper
from flash.backends.onnx.operators import handler_of
from flash.backends.onnx.operators.moving import traffic
from flash.backends.onnx.passes import run_passes
from flash.backends.onnx.variants.frozen import Frozen
from flash.backends.onnx.variants.units import Units
from flash.spaces.layers import Layer
from flash.spaces.network import Network
from flash.spaces.sizes import Size

__all__ = ["Sized", "sized_network"]


@dataclass(frozen=True)
class Sized:
    """The network of a model, with open sizes.

    node_of: number of a layer -> number of the model's node it is (the last of those merged).
    layer_of: tensor of the model -> number of the layer that makes it.
    """

    network: Network
    node_of: tuple[int, ...]
    layer_of: Mapping[str, int]


def sized_network(frozen: Frozen, units: Units, path: str) -> Sized:
    """Read the model with open sizes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(frozen.model)
    graph = checked_graph(copy, path)
    run_passes(graph)
    _open_sizes(graph, units)
    makers = {name: k for k, node in enumerate(frozen.nodes) for name in node.output if name}
    mapper = Mapper(graph)
    node_of = [-1] * len(mapper.network_layers)
    for node in graph.nodes:
        mapper.run(node, handler_of(node.op) or _by_traffic)
        own = max((makers.get(name, -1) for name in _made(node)), default=-1)
        node_of += [own] * (len(mapper.network_layers) - len(node_of))
    network = mapper.network()
    node_of += [-1] * (len(network.layers) - len(node_of))
    layer_of = {}
    for name in (*makers, *frozen.inputs):
        final = graph.final_name(name)
        if final in mapper.values:
            layer_of[name] = int(mapper.values[final].producer)
    return Sized(network, tuple(node_of), layer_of)


def _by_traffic(mapper: Mapper, node: Node) -> None:
    traffic(mapper, node, "other")


def _made(node: Node) -> list[str]:
    merged = [name for m in node.merged for name in m.outputs]
    return [name for name in (*node.outputs, *merged) if name]


def _open_sizes(graph: Graph, units: Units) -> None:
    """Put ``Size`` in the place of every size that varies."""
    sizes = {name: shape for name in units.of if (shape := _open_shape(name, units)) is not None}
    for name, value in graph.values.items():
        if name in sizes and sizes[name] == value.shape:
            graph.values[name] = replace(value, shape=sizes[name])
    for name, constant in graph.constants.items():
        if name in sizes and sizes[name] == constant.shape:
            graph.constants[name] = replace(constant, shape=sizes[name])
    for name, (_, number_format) in graph.roots.items():
        if name in sizes:
            graph.roots[name] = prod(sizes[name]), number_format
    for node in graph.nodes:
        groups = node.attributes.get("group", 1)
        if node.op == "Conv" and groups > 1:
            # A group reads as many channels in every variant.
            channels = graph.shape(node.input(0))[1]
            node.attributes["group"] = channels // (int(channels) // groups)
            _open_window(node, graph.shape(node.input(1))[2:])


def _open_window(node: Node, kernel: tuple[int, ...]) -> None:
    """Padding that follows a kernel's side; such kernels are padded by half of it."""
    if any(isinstance(n, Size) for n in kernel):
        node.attributes["kernel_shape"] = list(kernel)
        node.attributes["pads"] = [(n - 1) // 2 for n in kernel] * 2


def _open_shape(name: str, units: Units) -> tuple[int, ...] | None:
    shape = []
    varies = False
    for axis, own in enumerate(units.of[name]):
        size: int = len(own)
        found = units.group_of((name, axis))
        extent = units.extent_at.get((name, axis))
        if extent is not None:
            varies, size = True, Size.of_group(extent, size)
        elif found:
            varies = True
            size = int(np.count_nonzero(own == 0))
            for group, per in found:
                size = size + Size.of_group(group, units.groups[group].units, per)
        shape.append(size)
    return tuple(shape) if varies else None


def is_open(layer: Layer) -> bool:
    """Whether any size of a layer follows from a width."""
    return any(isinstance(getattr(layer, name), Size) for name in Layer.__dataclass_fields__)
