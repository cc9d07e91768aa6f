"""The live part of a network: what each layer reads, where all paths meet, and what gates what."""

from __future__ import annotations

from functools import cached_property

from flash.spaces.layers import INPUT, ZEROS, Layer
from flash.spaces.network import Network

__all__ = ["Live", "bends", "depthwise", "positions"]

#: What files write as operations on one map, though they bend nothing.
_STRAIGHT = frozenset(f"{name}_constant" for name in ("add", "sub", "mul", "div", "sum")) | {
    "",
    "neg",
    "identity",
}


class Live:
    """The live layers of a network: numbers, what each reads, and where all paths meet."""

    def __init__(self, network: Network) -> None:
        self.layers = layers = network.layers
        self.source_channels = int(network.source.channels)
        unfed = {number for number, layer in enumerate(layers) if not layer.signal} | {ZEROS}
        output = int(network.output.producer)
        needed = set() if output in unfed else {output}
        self.reads: dict[int, list[int]] = {}
        for number in range(output, -1, -1):
            if number in needed:
                inputs = layers[number].inputs
                self.reads[number] = reads = [
                    p for x in inputs if x.present and (p := int(x.producer)) not in unfed
                ]
                needed.update(reads)
        self.order = list(reversed(self.reads))

    def channels(self, number: int) -> int:
        """Of the tensor that layer ``number`` (or the input) writes."""
        return self.source_channels if number < 0 else int(self.layers[number].out_channels)

    def passed(self, number: int) -> list[int]:
        """Operands of a product that have as many positions as it; the others gate these."""
        size = positions(self.layers[number])
        return [p for p in self.reads[number] if p < 0 or positions(self.layers[p]) == size]

    def roots(self, number: int) -> list[int]:
        """Of each operand, the tensor that activations alone made it of."""
        found = []
        for p in self.reads[number]:
            while p >= 0 and self.layers[p].op in ("act", "copy") and len(self.reads[p]) == 1:
                p = self.reads[p][0]
            found.append(p)
        return found

    def mixes(self, number: int) -> bool:
        """Is a linear layer a 1x1 convolution: of rows, or inside a gate?"""
        return positions(self.layers[number]) > 1 or number in self.gates

    @cached_property
    def convolutions(self) -> frozenset[int]:
        """Layers that mix the channels of the signal itself, and not of a gate."""
        always = ("conv", "conv_transpose")
        return frozenset(
            n
            for n in self.order
            if ((op := self.layers[n].op) in always or (op == "linear" and self.mixes(n)))
            and n not in self.gates
        )

    @cached_property
    def gates(self) -> dict[int, int]:
        """Layers that work out a gate, and the positions of the map that it gates."""
        found: dict[int, int] = {}
        for number in self.gating:
            found |= dict.fromkeys(self.gates_of(number), positions(self.layers[number]))
        return found

    @cached_property
    def gating(self) -> list[int]:
        """Products of a map with a gate."""
        products = [n for n in self.order if self.layers[n].op == "mul"]
        return [n for n in products if len(self.passed(n)) == 1]

    def gates_of(self, number: int) -> list[int]:
        """Layers that work out the gate of product ``number``, one of ``gating``."""
        whole = self.passed(number)
        size = positions(self.layers[number])
        found, inside = list[int](), [p for p in self.reads[number] if p not in whole]
        while inside:
            p = inside.pop()
            if p >= 0 and p not in found and positions(self.layers[p]) < size:
                found.append(p)
                inside.extend(self.reads[p])
        return found

    @cached_property
    def articulations(self) -> tuple[int, ...]:
        """Tensors (by producer) that every path from the input to the output passes, in order."""
        last: dict[int, int] = {}
        for number in self.order:
            for p in self.reads[number]:
                last[p] = number
        found, open_until = [INPUT], last.get(INPUT, INPUT)
        for number in self.order:
            if open_until <= number:
                found.append(number)
            open_until = max(open_until, last.get(number, number))
        return tuple(found)


def positions(layer: Layer) -> int:
    """Of the map that a layer writes."""
    return int(layer.out_height) * int(layer.out_width)


def bends(layer: Layer) -> bool:
    """Does the layer end in an activation that is not linear?"""
    return layer.act not in _STRAIGHT


def depthwise(layer: Layer) -> bool:
    """A convolution of one channel at a time."""
    return layer.op == "conv" and int(layer.groups) == int(layer.in_channels) > 1
