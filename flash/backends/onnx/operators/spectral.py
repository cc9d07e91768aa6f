"""Fourier transforms, as runtimes compute them: fast, by lengths that are powers of two."""

from __future__ import annotations

from math import ceil, log2, prod

from flash.backends.onnx.ir.graph import Graph, Node, Value
from flash.backends.onnx.ir.mapper import Mapper

__all__ = ["fourier", "short_time_fourier"]


def fourier(mapper: Mapper, node: Node) -> None:
    """Discrete Fourier transforms along one axis."""
    shape = mapper.shape(node.input(0))
    given = mapper.known(node, 2) if len(node.inputs) > 2 and node.inputs[2] else None
    axis = int(given) if given is not None else node.attributes.get("axis", 1)
    known = mapper.known(node, 1) if len(node.inputs) > 1 and node.inputs[1] else None
    length = int(known) if known is not None else shape[axis]
    rows = prod(shape[:-1]) // max(shape[axis], 1)
    _record(mapper, node, rows, length)


def short_time_fourier(mapper: Mapper, node: Node) -> None:
    """Transforms of a signal's windows, one every few samples."""
    batch, frames, _, _ = mapper.shape(node.outputs[0])
    _record(mapper, node, batch * frames, _window(mapper.graph, node))


def _values_of_windows(graph: Graph, node: Node) -> list[Value] | None:
    """Shape of the result; ONNX's own inference forgets that half the spectrum is the default."""
    step, length = graph.number(node.input(1)), _window(graph, node)
    batch, samples = graph.shape(node.input(0))[:2]
    if step is None or step < 1 or not 0 < length <= samples:
        return None
    bins = length // 2 + 1 if node.attributes.get("onesided", 1) else length
    frames = (samples - length) // int(step) + 1
    kind = graph.values[node.input(0)].elem_type
    return [Value((batch, frames, bins, 2), kind)]


short_time_fourier.infer = _values_of_windows  # type: ignore[attr-defined]


def _window(graph: Graph, node: Node) -> int:
    """Samples of a window: as stated, or as many as it has weights."""
    if len(node.inputs) > 3 and node.inputs[3]:
        return int(graph.number(node.input(3)) or 0)
    return int(graph.shape(node.input(2))[0]) if len(node.inputs) > 2 else 0


def _record(mapper: Mapper, node: Node, rows: int, length: int) -> None:
    """One layer that reads n log2(n) numbers for each transform: the steps of radix 2."""
    steps = length * log2(max(length, 2))
    if length & (length - 1):  # by two transforms of the next power of two (Bluestein 1970)
        padded = 1 << (2 * length - 2).bit_length()
        steps = 2 * padded * log2(padded)
    read = max(rows * ceil(steps), 1)
    mapper.record(
        "reduce",
        node,
        [node.input(0)],
        in_channels=read,
        in_height=1,
        in_width=1,
        act="fourier",
    )
