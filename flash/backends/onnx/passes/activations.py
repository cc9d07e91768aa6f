"""Recognise activations that exporters write as several nodes.

Requires: shapes, constants folded. Ensures: GELU (by ``Erf`` or ``Tanh``), SiLU, hard swish by
``HardSigmoid`` and Mish are one node each, whichever way they were written.
"""

from __future__ import annotations

from math import isclose, pi, prod, sqrt
from typing import Final

from flash.backends.onnx.ir.graph import Graph, Node
from flash.backends.onnx.passes.patterns import Patterns

__all__ = ["classify_activations", "fuse_activations"]

#: x times this activation of x is itself an activation.
_GATED: Final = {"Sigmoid": "flash.Silu", "HardSigmoid": "HardSwish"}
_TOLERANCE: Final = 1e-3  # of constants that went through fp16


def fuse_activations(graph: Graph) -> None:
    """Run the pass."""
    found = Patterns(graph)
    for erf in found.of("Erf"):
        _gelu_by_erf(found, erf)
    for tanh in found.of("Tanh"):
        _gelu_by_tanh(found, tanh) or _mish(found, tanh)
    for gate in (*found.of("Sigmoid"), *found.of("HardSigmoid")):
        _gated(found, gate)
    classify_activations(graph)


def classify_activations(graph: Graph) -> None:
    """Say of clips and softmaxes which kind they are."""
    for node in graph.nodes:
        if node.op == "Clip":
            node.attributes["kind"] = _kind_of_clip(graph, node)
        elif node.op in ("Softmax", "LogSoftmax"):
            _classify_softmax(graph, node)


def _kind_of_clip(graph: Graph, node: Node) -> str:
    bounds = [node.attributes.get("min"), node.attributes.get("max")]
    for position in (1, 2):
        number = graph.number(node.input(position))
        if number is not None:
            bounds[position - 1] = number
    if bounds[0] == 0 and (bounds[1] is None or bounds[1] > 1e30):
        return "relu"
    return "relu6" if bounds == [0, 6] else "clip"


def _classify_softmax(graph: Graph, node: Node) -> None:
    """Along the last axis or along another, whose elements do not lie side by side; of one row
    (a classifier's), which whoever makes it may finish, or of many."""
    if node.outputs[0] not in graph.values:
        return  # behind an operator whose results have no known shape
    shape = graph.shape(node.outputs[0])
    modern = graph.opsets.get("", 1) >= 13
    axis = node.attributes.get("axis", -1 if modern else 1) % max(len(shape), 1)
    end = axis + 1 if modern else len(shape)  # before, all axes from that one on
    name = "softmax" if node.op == "Softmax" else "log_softmax"
    strided = prod(shape[end:]) > 1 and prod(shape[axis:end]) > 1
    node.attributes["kind"] = f"strided_{name}" if strided else name
    node.attributes["row"] = 1 if strided else prod(shape[axis:end])
    node.attributes["alone"] = prod(shape) != prod(shape[axis:end])


def _close(a: float | None, b: float) -> bool:
    return a is not None and isclose(a, b, rel_tol=_TOLERANCE)


def _gated(found: Patterns, gate: Node) -> None:
    """``x * sigmoid(x)``."""
    x, product = gate.input(0), found.only_reader(gate.outputs[0], "Mul")
    if product is None or sorted(product.inputs) != sorted((x, gate.outputs[0])):
        return
    made = Node(_GATED[gate.op], product.name, [x], list(product.outputs))
    found.become([gate, product], made)


def _mish(found: Patterns, tanh: Node) -> bool:
    """``x * tanh(softplus(x))``."""
    softplus = found.maker(tanh.input(0), "Softplus")
    product = found.only_reader(tanh.outputs[0], "Mul")
    if softplus is None or product is None:
        return False
    x = softplus.input(0)
    nodes = [softplus, tanh, product]
    if sorted(product.inputs) != sorted((x, tanh.outputs[0])) or not found.inner(nodes):
        return False
    found.become(nodes, Node("Mish", product.name, [x], list(product.outputs)))
    return True


def _gelu_by_erf(found: Patterns, erf: Node) -> bool:
    """``0.5 x (1 + erf(x / sqrt 2))``, the half anywhere in the product."""
    scaled = found.maker(erf.input(0), "Div", "Mul")
    if scaled is None:
        return False
    factor = found.constant_operand(scaled)
    if factor is None:
        return False
    number, x = factor
    expected = sqrt(2) if scaled.op == "Div" else 1 / sqrt(2)
    return _close(number, expected) and _half_of(found, x, [scaled, erf])


def _gelu_by_tanh(found: Patterns, tanh: Node) -> bool:
    """``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``."""
    outer = found.maker(tanh.input(0), "Mul")
    if outer is None:
        return False
    factor = found.constant_operand(outer)
    if factor is None or not _close(factor[0], sqrt(2 / pi)):
        return False
    total = found.maker(factor[1], "Add")
    if total is None:
        return False
    for x, cubic in (total.inputs, total.inputs[::-1]):
        inside = _cubic(found, x, cubic)
        if inside is not None:
            return _half_of(found, x, [*inside, total, outer, tanh])
    return False


def _cubic(found: Patterns, x: str, name: str) -> list[Node] | None:
    """The nodes of ``0.044715 x^3``, by a power or by products."""
    scaled = found.maker(name, "Mul")
    factor = found.constant_operand(scaled) if scaled is not None else None
    if scaled is None:
        return None
    if factor is not None and _close(factor[0], 0.044715):
        power = found.maker(factor[1], "Pow")
        if power is not None and power.input(0) == x and found.number(power.input(1)) == 3:
            return [power, scaled]
        cube = _product_of(found, factor[1], x, 3)
        return None if cube is None else [*cube, scaled]
    return None


def _product_of(found: Patterns, name: str, x: str, power: int) -> list[Node] | None:
    """The nodes of ``x * x * ...``."""
    if power == 1:
        return [] if name == x else None
    product = found.maker(name, "Mul")
    if product is None or x not in product.inputs:
        return None
    a, b = product.inputs
    inner = _product_of(found, a if b == x else b, x, power - 1)
    return None if inner is None else [*inner, product]


def _half_of(found: Patterns, x: str, gate: list[Node]) -> bool:
    """``0.5 x (1 + gate)`` becomes GELU of x; False if what follows is something else."""
    plus = found.only_reader(gate[-1].outputs[0], "Add")
    if plus is None or not _close((found.constant_operand(plus) or (None, ""))[0], 1.0):
        return False
    product = found.only_reader(plus.outputs[0], "Mul")
    if product is None:
        return False
    nodes = [*gate, plus, product]
    factor = found.constant_operand(product)
    if factor is not None:  # (1 + gate) * 0.5 first, then x
        last = found.only_reader(product.outputs[0], "Mul")
        if not _close(factor[0], 0.5) or last is None or x not in last.inputs:
            return False
        nodes.append(last)
    else:
        other = product.inputs[0] if product.inputs[1] == plus.outputs[0] else product.inputs[1]
        if other == x:  # x * (1 + gate) first, then the half
            last = found.only_reader(product.outputs[0], "Mul", "Div")
            half = found.constant_operand(last) if last is not None else None
            if last is None or half is None:
                return False
            if not _close(half[0], 0.5 if last.op == "Mul" else 2.0):
                return False
            nodes.append(last)
        else:
            halved = found.maker(other, "Mul", "Div")
            half = found.constant_operand(halved) if halved is not None else None
            if halved is None or half is None or half[1] != x:
                return False
            if not _close(half[0], 0.5 if halved.op == "Mul" else 2.0):
                return False
            nodes.insert(0, halved)
    if not found.inner(nodes):
        return False
    found.become(nodes, Node("Gelu", nodes[-1].name, [x], list(nodes[-1].outputs)))
    return True
