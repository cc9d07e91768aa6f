"""Inline the functions a model defines.

Requires: a model that can be parsed. Ensures: no node calls a function of the model's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import onnx
from onnx import inliner

from flash.errors import InputError

__all__ = ["MOST_NODES", "inline_functions"]

#: Nodes after inlining. The largest public models have some ten thousand.
MOST_NODES: Final = 200_000
#: As good as infinite, and still a number that can be added up and shown.
_ENDLESS: Final = 10**18

Key = tuple[str, str, str]


def inline_functions(model: onnx.ModelProto, path: str) -> onnx.ModelProto:
    """The model without calls of its own functions.

    Raises ``InputError`` where that would make more than ``MOST_NODES`` nodes, which 26
    functions that call one another twice do, or where a function calls itself.
    """
    if not model.functions:
        return model
    sizes: dict[Key, int] = {}
    bodies = {(f.domain, f.name, f.overload): f for f in model.functions}
    for key in bodies:
        _measure(key, bodies, sizes, path)
    total = sum(_size(n, bodies, sizes) for n in model.graph.node)
    if total > MOST_NODES:
        raise InputError(
            f"{path}: its functions expand to {total:.3g} nodes; the limit is {MOST_NODES}"
        )
    inlined = inliner.inline_local_functions(model)
    if inlined.functions and any(_key(n) in bodies for n in _all_nodes(inlined.graph.node)):
        # A function written for another opset than the model's stays unless it is converted.
        inlined = inliner.inline_local_functions(model, True)
    return inlined


def _measure(
    start: Key, bodies: dict[Key, onnx.FunctionProto], sizes: dict[Key, int], path: str
) -> None:
    """Fill in the expanded size of a function and of those it calls (depth first, no recursion)."""
    stack, entered = [start], set[Key]()
    while stack:
        key = stack[-1]
        if key in sizes:
            stack.pop()
            continue
        calls = {_key(node) for node in _all_nodes(bodies[key].node)} & bodies.keys()
        open_calls = [call for call in calls if call not in sizes]
        if not open_calls:
            size = sum(_size(node, bodies, sizes) for node in bodies[key].node)
            sizes[key] = min(size, _ENDLESS)
            stack.pop()
        elif key in entered:
            raise InputError(f"{path}: not a valid ONNX model: function {key[1]} calls itself")
        else:
            entered.add(key)
            stack += open_calls


def _size(
    node: onnx.NodeProto, bodies: dict[Key, onnx.FunctionProto], sizes: dict[Key, int]
) -> int:
    inner = sum(sizes.get(_key(n), 1) for n in _all_nodes([node]))
    return inner if _key(node) not in bodies else sizes[_key(node)]


def _key(node: onnx.NodeProto) -> Key:
    return node.domain, node.op_type, node.overload


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    """The nodes, and those of the graphs in their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _all_nodes(graph.node)
