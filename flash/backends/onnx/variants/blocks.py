"""Blocks that can be left out: what lies between a tensor and its sum with it, and runs of them.

A residual block computes ``x + f(x)``; without ``f`` it hands ``x`` on. Equal blocks that
follow one another are a run, whose depth is how many of them are kept, from its start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import onnx
from onnx import helper

from flash.backends.onnx.variants.frozen import Frozen
from flash.backends.onnx.variants.units import Units

__all__ = ["Block", "Run", "find_runs"]

_ACTIVATIONS = ("Relu", "Clip", "HardSwish", "LeakyRelu", "Gelu", "PRelu", "Sigmoid", "Elu")


@dataclass(frozen=True)
class Block:
    """What is left out together.

    enters, leaves: the tensors before and after it.  nodes: numbers of what is between.
    """

    enters: str
    leaves: str
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """Equal blocks that follow one another, in execution order."""

    blocks: tuple[Block, ...]


def find_runs(frozen: Frozen, units: Units) -> tuple[Run, ...]:
    """Runs of equal residual blocks, one of a single block included."""
    graph = _Graph(frozen)
    blocks = [b for b in map(graph.residual, range(len(frozen.nodes))) if b is not None]
    blocks = [b for b in blocks if _same_axes(units, frozen, b.enters, b.leaves)]
    # A block inside another goes with it.
    outer = [b for b in blocks if not any(_inside(b, other) for other in blocks)]
    return tuple(run for chain in _chains(outer) for run in _runs(chain, frozen, units))


class _Graph:
    """Who makes and who reads what, by node number."""

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen
        self.nodes = list(frozen.nodes)
        self.maker = {name: k for k, node in enumerate(self.nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = {}
        for k, node in enumerate(self.nodes):
            for name in node.input:
                self.readers.setdefault(name, []).append(k)
        self.returned = set(frozen.outputs)

    def residual(self, number: int) -> Block | None:
        """The block that the sum ``number`` ends, None if it ends none."""
        node = self.nodes[number]
        if node.op_type != "Add" or len(node.input) != 2:
            return None
        for enters, branch in (node.input, node.input[::-1]):
            inside = self._between(enters, branch)
            if inside is None:
                continue
            nodes, leaves = [*inside, number], node.output[0]
            nodes, leaves = self._with_activation(enters, nodes, leaves)
            if self._closed(nodes, leaves):
                return Block(enters, leaves, tuple(sorted(nodes)))
        return None

    def _between(self, enters: str, branch: str) -> list[int] | None:
        """All that ``branch`` is made of after ``enters``; None if it reads anything else."""
        if branch in self.frozen.stored or enters in self.frozen.stored:
            return None
        found, stack, touched = set[int](), [branch], False
        while stack:
            name = stack.pop()
            if name == enters:
                touched = True
                continue
            if name in self.frozen.stored or not name:
                continue
            maker = self.maker.get(name)
            if maker is None:
                return None
            if maker not in found:
                found.add(maker)
                stack.extend(self.nodes[maker].input)
        start = self.maker.get(enters, -1)
        # What does not read ``enters`` but comes before it leads back to the input.
        if not touched or any(k < start for k in found):
            return None
        return sorted(found)

    def _with_activation(self, enters: str, nodes: list[int], leaves: str) -> tuple[list[int], str]:
        """The block with the activation behind its sum, where one stands before it too."""
        readers = self.readers.get(leaves, [])
        before = self.maker.get(enters)
        if len(readers) != 1 or before is None or leaves in self.returned:
            return nodes, leaves
        after = self.nodes[readers[0]]
        if after.op_type in _ACTIVATIONS and self.nodes[before].op_type in (
            after.op_type,
            "MaxPool",
        ):
            return [*nodes, readers[0]], after.output[0]
        return nodes, leaves

    def _closed(self, nodes: Sequence[int], leaves: str) -> bool:
        """Nobody else reads what is made inside."""
        inside = set(nodes)
        made = {name for k in nodes for name in self.nodes[k].output if name} - {leaves}
        if made & self.returned:
            return False
        return all(reader in inside for name in made for reader in self.readers.get(name, []))


def _same_axes(units: Units, frozen: Frozen, a: str, b: str) -> bool:
    if frozen.shapes[a] != frozen.shapes[b]:
        return False
    return all((x == y).all() for x, y in zip(units.of[a], units.of[b], strict=True))


def _inside(block: Block, other: Block) -> bool:
    return block is not other and set(block.nodes) < set(other.nodes)


def _chains(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks of which each begins where the one before ends."""
    by_start: dict[str, Block] = {}
    for block in blocks:
        by_start.setdefault(block.enters, block)
    ends = {block.leaves for block in by_start.values()}
    chains = []
    for block in by_start.values():
        if block.enters in ends:
            continue
        chain = [block]
        while chain[-1].leaves in by_start:
            chain.append(by_start[chain[-1].leaves])
        chains.append(chain)
    return chains


def _runs(chain: list[Block], frozen: Frozen, units: Units) -> list[Run]:
    """Equal neighbours of a chain, one or two blocks at a time (attention, then a perceptron)."""
    looks = [_looks(block, frozen) for block in chain]
    runs: list[Run] = []
    start = 0
    while start < len(chain):
        best = (1, 1)
        for period in (1, 2):
            count = 1
            while (
                looks[start : start + period]
                == looks[start + count * period : start + (count + 1) * period]
            ):
                count += 1
            if count > 1 and count * period > best[0] * best[1]:
                best = (count, period)
        count, period = best
        own = chain[start : start + count * period]
        parts = [own[k : k + period] for k in range(0, len(own), period)]
        runs.append(Run(tuple(reduce(_joined, part) for part in parts)))
        start += count * period
    return runs


def _joined(first: Block, second: Block) -> Block:
    return Block(first.enters, second.leaves, (*first.nodes, *second.nodes))


def _looks(block: Block, frozen: Frozen) -> tuple[object, ...]:
    """What blocks have in common that are equal but for their weights."""
    return tuple(_node_looks(frozen.nodes[k], frozen) for k in block.nodes)


def _node_looks(node: onnx.NodeProto, frozen: Frozen) -> tuple[object, ...]:
    attributes = sorted((a.name, str(helper.get_attribute_value(a))) for a in node.attribute)
    sizes = [frozen.stored[x].shape for x in node.input if x in frozen.stored]
    return node.op_type, tuple(attributes), tuple(sizes)


def blocks_by_node(runs: Sequence[Run]) -> Mapping[int, tuple[int, int]]:
    """Node number -> (run, block)."""
    return {
        node: (r, b)
        for r, run in enumerate(runs)
        for b, block in enumerate(run.blocks)
        for node in block.nodes
    }
