"""Operations on one element at a time, of one tensor or of several."""

from __future__ import annotations

from math import prod
from typing import Any

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper, map_sizes
from flash.backends.onnx.ir.vocabulary import ACTIVATIONS

__all__ = ["activation", "bias_gelu", "binary", "unary"]


#: Exponents that runtimes compute by products or a root.
_QUICK_POWERS = (0.5, 1.0, 2.0, 3.0)


def activation(mapper: Mapper, node: Node) -> None:
    """An activation that no kernel before it does."""
    kind = node.attributes.get("kind", ACTIVATIONS.get(node.op, node.op.lower()))
    weights = node.inputs[1:2] if node.op == "PRelu" else []
    row = node.attributes.get("row", 1)
    mapper.record("act", node, [node.input(0)], weights=weights, act=kind, kernel_width=row)


def bias_gelu(mapper: Mapper, node: Node) -> None:
    """GELU of a sum with a constant: one kernel."""
    mapper.record("act", node, [node.input(0)], weights=node.inputs[1:2], act="gelu")


def unary(mapper: Mapper, node: Node) -> None:
    """Any function of one tensor."""
    kind = node.op.rpartition(".")[2].lower()
    mapper.record("act", node, [node.input(0)], act=kind)


def binary(mapper: Mapper, node: Node) -> None:
    """A combination of tensors; constants among them are parameters, single numbers are not."""
    names = [name for name in node.inputs if name]
    variable = mapper.activations(node)
    constants = [n for n in names if mapper.is_constant(n) and mapper.size(n) > 1]
    if len(variable) == 1:
        kind = f"{node.op.lower()}_constant"
        if node.op == "Pow" and mapper.graph.number(node.input(1)) not in _QUICK_POWERS:
            kind = "pow"
        mapper.record("act", node, variable, weights=constants, act=kind)
    elif node.op in ("Add", "Sub", "Sum"):
        _add(mapper, node, names, constants)
    else:
        _multiply(mapper, node, names, constants)


def _add(mapper: Mapper, node: Node, names: list[str], constants: list[str]) -> None:
    last = mapper.last_layer
    if mapper.own and last is not None and last.name.startswith(f"{node.name}."):
        # The writer's chain of binary sums, one layer again.
        mapper.extend(node.name, names[1:], node.outputs[0])
        return
    present = len(names) - sum(mapper.is_constant(name) for name in names)
    mapper.record("add", node, names, weights=constants, operands=present)


def _multiply(mapper: Mapper, node: Node, names: list[str], constants: list[str]) -> None:
    fields: dict[str, Any] = {}
    _, height, width = map_sizes(mapper.shape(node.outputs[0]))
    read = sum(prod(mapper.shape(name)) for name in names)
    fields["in_channels"] = -(-read // (height * width))
    mapper.record("mul", node, names, weights=constants, operands=len(names), **fields)
