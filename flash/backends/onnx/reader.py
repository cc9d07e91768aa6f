"""Anyone's ONNX model as a ``Network``: what its layers cost, not what they compute.

Passes rewrite the model until every node is one operation of known shape (``passes``), then each
node is one layer or a few (``operators``). Batch norm, bias and activation behind a convolution
or fully connected layer become part of it where nothing else reads what is between, and an
activation behind a sum part of the sum, as runtimes fuse them. Reshapes, identities and dropout
are nothing; transposes and other moves of data are elementwise copies (``copy``).

In a file that flash wrote, node names say which layer a node belongs to, and only those fuse:
the network read is the one written. A quantized model is read as the network it quantizes, with
the number format of what it stores. Not kept: stages, cells and skip channels, so NN-Degree
and NN-Mass of a network read from a file are not known. A dilated window counts as the plain
one of as many weights; one-sided padding is recorded by its larger side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Final

import onnx

from flash.backends.onnx.file import checked_graph, load_model
from flash.backends.onnx.ir.graph import Graph, Node
from flash.backends.onnx.ir.mapper import Mapper
from flash.backends.onnx.operators import handler_of
from flash.backends.onnx.operators.moving import by_traffic
from flash.backends.onnx.passes import run_passes
from flash.errors import FlashError, InputError
from flash.spaces.network import Network

__all__ = ["network_of", "read_onnx"]

#: Operators that a message names at most.
_MOST_NAMED: Final = 5


def read_onnx(
    path: str | Path,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> Network:
    """The network in an ONNX file.

    input_shape: sizes of its only input's axes, e.g. ``(1, 3, 224, 224)``; a dynamic batch axis
                 alone needs none and is 1.
    inputs:      sizes by name of the input, for models of several; names it lacks are ignored.

    Raises ``InputError`` (one line that names the path) for a file that is no ONNX model,
    and for operators whose cost is not known; ``UsageError`` for a shape that contradicts it.
    """
    return _network(load_model(path), str(path), input_shape, inputs)


def network_of(
    model: onnx.ModelProto,
    name: str = "model",
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> Network:
    """The network in a model already loaded; ``name`` begins messages. As ``read_onnx``."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return _network(copy, name, input_shape, inputs)


def _network(
    model: onnx.ModelProto,
    path: str,
    input_shape: Sequence[int] | None,
    inputs: Mapping[str, Sequence[float]] | None,
) -> Network:
    try:
        return _read(checked_graph(model, path), input_shape, inputs)
    except FlashError as error:
        if str(error).isprintable():
            raise
        # A file may call its tensors whatever it likes, line breaks included.
        raise type(error)(" ".join(str(error).split())) from None


def _read(
    graph: Graph,
    input_shape: Sequence[int] | None,
    inputs: Mapping[str, Sequence[float]] | None,
) -> Network:
    run_passes(graph, input_shape, inputs)
    _refuse_unknown(graph)
    mapper = Mapper(graph)
    for node in graph.nodes:
        mapper.run(node, handler_of(node.op) or by_traffic)
    return mapper.network()


def _refuse_unknown(graph: Graph) -> None:
    """Raise ``InputError``, one line, for operators whose results nobody knows the shape of."""
    unknown: dict[str, list[str]] = {}
    shaped = graph.values.keys() | graph.constants.keys() | {""}
    for node in graph.nodes:
        if shaped.issuperset(node.outputs):
            continue
        deciding = _deciding(graph, node) if shaped.issuperset(node.inputs) else ""
        if deciding:
            example = "x".join("50" for _ in range(max(prod(graph.shape(deciding)), 1)))
            raise graph.refusal(
                node,
                f"how large its result is depends on '{deciding}', whose value is only known when "
                f"it runs: give one, e.g. --input {deciding}={example}",
            )
        if handler_of(node.op) is None:
            unknown.setdefault(node.op, []).append(node.name or node.outputs[0])
    if not unknown:
        return
    listed = ", ".join(
        f"{op} (node '{names[0]}'" + (f" and {len(names) - 1} more)" if names[1:] else ")")
        for op, names in list(unknown.items())[:_MOST_NAMED]
    )
    raise InputError(
        f"{graph.path}: no cost is known for {listed}; a package can add one (entry-point group "
        "flash.operators)"
    )


def _deciding(graph: Graph, node: Node) -> str:
    """The computed number, or list of numbers, that decides how large a node's result is."""
    first = 0 if node.op in ("ConstantOfShape", "Range") else 1
    for name in node.inputs[first:] if "." not in node.op else ():
        if name and graph.known(name) is None and len(graph.shape(name)) <= 1:
            return name
    return ""
