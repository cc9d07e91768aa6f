"""NAS-Bench-101 cells (Ying et al., ICML 2019): nodes with one operation and any predecessors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import SpaceError, did_you_mean, shown
from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, Setting, Stage
from flash.spaces.layers import Ints, Tensor

__all__ = ["OPERATIONS", "NasBench101Family"]

#: The benchmark's names; the value of an operation's variable is an index into this tuple.
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
_CONV3, _CONV1, _POOL = range(3)

#: What the benchmark's constructor of a cell takes: a matrix of 0 and 1, and a list of names.
_FORM = re.compile(
    r"ModelSpec\(matrix=\[((?:\[[01](?:, ?[01])*\](?:, ?)?)+)\], ?"
    r"ops=\[('[\w-]+'(?:, ?'[\w-]+')*)\]\)"
)

Flags = NDArray[np.bool_]


class NasBench101Family(Family):
    """Stem, stacks of equal cells that double the channels, halving max pools between.

    A cell's first node is its input, its last its output. Variables: ``p1`` ... the
    predecessors of each later node, bit i for node i; ``o1`` ... the operation of each node
    between. A node sums what it reads: the cell's input through a 1x1 convolution, other nodes
    cut to its own channels. The output lays the nodes that it reads side by side and adds the
    cell's input, projected.

    Only what lies on a path from input to output is built, and of its edges only ``edges``, as
    the benchmark allows no more: those that skip the fewest nodes. (A product of variables cannot
    say so; the rule is ours.) A cell without a path is the edge from input to output. Isomorphic
    cells are different designs.
    """

    name = "nasbench101"
    settings = {
        "nodes": Setting(7, most=10),
        "edges": Setting(9, most=45),
        "stacks": Setting(3, most=8),
        "cells": Setting(3, most=16),
        "channels": Setting(128, most=4096),
    }

    def __init__(self, shape: Any, classes: int, settings: Mapping[str, Any]) -> None:
        super().__init__(shape, classes, settings)
        if self._nodes < 2:
            raise SpaceError(
                "[settings] nodes must be 2 or more: a cell has an input and an output"
            )

    @property
    def _nodes(self) -> int:
        nodes: int = self.options["nodes"]
        return nodes

    @property
    def variables(self) -> tuple[str, ...]:
        return (
            *(f"p{node}" for node in range(1, self._nodes)),
            *(f"o{node}" for node in range(1, self._nodes - 1)),
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("all", self.variables, cell=("all",)),)

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for node in range(1, self._nodes):
            self._require(values, f"p{node}", 0, (1 << node) - 1)
            if node < self._nodes - 1:
                self._require(values, f"o{node}", 0, len(OPERATIONS) - 1)

    # ------------------------------------------------------------------------- the cell
    def matrix(self, values: Mapping[str, Ints]) -> Flags:
        """Which node reads which, as it is built: ``[i, j]`` says that j reads i.

        Shape (nodes, nodes), with one more axis where values are arrays.
        """
        edges = _pruned(_given_edges(values, self._nodes))
        starts, ends = np.triu_indices(self._nodes, 1)
        order = np.argsort(ends - starts, kind="stable")  # the shortest edges first
        starts, ends = starts[order], ends[order]
        few = np.cumsum(edges[starts, ends], axis=0) <= self.options["edges"]
        edges[starts, ends] &= few
        edges = _pruned(edges)
        edges[0, -1] |= ~edges[0].any(axis=0)
        return edges

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        edges = self.matrix(values)
        powers = 1 << np.arange(self._nodes)
        result: dict[str, Ints] = {}
        for node in range(1, self._nodes):
            result[f"p{node}"] = _plain(np.tensordot(powers, edges[:, node], axes=(0, 0)))
        for node in range(1, self._nodes - 1):
            result[f"o{node}"] = _plain(values[f"o{node}"] * edges[:, node].any(axis=0))
        return {name: result[name] for name in self.variables}

    def densest(self, choices: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """Every node reads all before it, as far as ``edges`` goes; 3x3 convolutions.

        Where a variable's range is narrower: most predecessors, and the first operation.
        """
        given = {
            name: max(map(int, choices[name]), key=int.bit_count)
            if name.startswith("p")
            else min(map(int, choices[name]))
            for name in self.variables
        }
        built = {name: int(value) for name, value in self.canonical(given).items()}
        inside = all(value in choices[name] for name, value in built.items())
        return built if inside else given

    def without_an_edge(self, values: Mapping[str, int]) -> list[dict[str, int]]:
        built = {name: int(value) for name, value in self.canonical(values).items()}
        found: list[dict[str, int]] = []
        for node in range(1, self._nodes):
            for start in range(node):
                reads = built[f"p{node}"]
                if not reads >> start & 1:
                    continue
                fewer = built | {f"p{node}": reads & ~(1 << start)}
                if not _pruned(_given_edges(fewer, self._nodes)).any():
                    continue  # no path is left: such a cell is built as the edge to its output
                cell = {name: int(value) for name, value in self.canonical(fewer).items()}
                if cell not in found:
                    found.append(cell)
        return found

    def _channels(self, edges: Flags, channels: int) -> list[Ints]:
        """Channels of each node: the output's are shared out evenly among those it reads.

        Others have as many as the widest node that reads them.
        """
        last = self._nodes - 1
        read = edges[1:, last].sum(axis=0)
        share, rest = channels // np.maximum(read, 1), channels % np.maximum(read, 1)
        found: list[NDArray[np.int64]] = [np.zeros_like(read)] * last
        for node in range(1, last):
            found[node] = np.where(edges[node, last], share + (rest > 0), 0)
            rest = rest - (edges[node, last] & (rest > 0))
        for node in range(last - 2, 0, -1):
            readers = [found[to] * edges[node, to] for to in range(node + 1, last)]
            found[node] = np.where(edges[node, last], found[node], np.max(readers, axis=0))
        return [_plain(x) for x in found]

    # ------------------------------------------------------------------------- emission
    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        edges, channels = self.matrix(values), self.options["channels"]
        with e.stage("all"):
            x = e.conv(source, channels)
            for stack in range(self.options["stacks"]):
                if stack:
                    x = e.max_pool(x, kernel=2, stride=2, pad=0)
                    channels *= 2
                for _ in range(self.options["cells"]):
                    with e.cell():
                        x = self._cell(e, x, channels, edges, values)
            return source, e.linear(e.global_pool(x), self.classes)

    def _cell(
        self, e: Emitter, x: Tensor, channels: int, edges: Flags, values: Mapping[str, Ints]
    ) -> Tensor:
        last = self._nodes - 1
        widths = self._channels(edges, channels)
        nodes = [x]
        for node in range(1, last):
            y = e.nothing(x)
            for _ in e.when(_plain(edges[:, node].any(axis=0))):
                fed = self._read(e, nodes, edges[:, node], widths[node])
                made = self._operation(e, fed, values[f"o{node}"])
                y = e.merge(e.chosen(made, f"o{node}"), y)
            nodes.append(y)
        side_by_side = []
        for node in range(1, last):
            y = e.nothing(x)
            for _ in e.when(_plain(edges[node, last])):
                y = e.merge(nodes[node], y)
            side_by_side.append(y)
        projected = self._projected(e, x, edges[0, last], channels)
        if not side_by_side:
            return projected
        return e.add([projected, e.concat(side_by_side)])

    def _read(self, e: Emitter, nodes: Sequence[Tensor], edges: Flags, channels: Ints) -> Tensor:
        """The sum of what a node reads."""
        parts = [self._projected(e, nodes[0], edges[0], channels)]
        for number, node in enumerate(nodes[1:], start=1):
            part = e.nothing(nodes[0])
            for _ in e.when(_plain(edges[number])):
                part = e.merge(e.slice(node, channels), part)
            parts.append(part)
        return e.add(parts)

    @staticmethod
    def _projected(e: Emitter, x: Tensor, read: Flags, channels: Ints) -> Tensor:
        """The cell's input through a 1x1 convolution, where it is read."""
        y = replace(e.zeros(x), channels=channels)
        for _ in e.when(_plain(read)):
            y = e.merge(e.conv(x, channels, kernel=1), y)
        return y

    @staticmethod
    def _operation(e: Emitter, x: Tensor, operation: Ints) -> Tensor:
        y = x
        for number, kernel in ((_CONV3, 3), (_CONV1, 1)):
            for _ in e.when(operation == number):
                y = e.merge(e.conv(x, x.channels, kernel=kernel), y)
        for _ in e.when(operation == _POOL):
            y = e.merge(e.max_pool(x, kernel=3, stride=1), y)
        return y

    # ------------------------------------------------------------------------ its strings
    def describe(self, values: Mapping[str, int]) -> str:
        """The benchmark's constructor: ``ModelSpec(matrix=[[0, 1, ...]], ops=['input', ...])``."""
        edges = _given_edges(values, self._nodes).astype(int).tolist()
        between = [OPERATIONS[values[f"o{node}"]] for node in range(1, self._nodes - 1)]
        return f"ModelSpec(matrix={edges}, ops={['input', *between, 'output']})"

    def parse(self, text: str) -> dict[str, int]:
        """The design of such a line; a cell of fewer nodes gets some without edges.

        Raises ``SpaceError`` for anything else.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise SpaceError(
                f"{shown(text)} is no cell: expected ModelSpec(matrix=[[0, 1, ...], ...], "
                "ops=['input', 'conv3x3-bn-relu', ..., 'output'])"
            )
        rows = [
            [int(x) for x in re.findall(r"\d", row)] for row in found[1].strip().split("]")[:-1]
        ]
        names = re.findall(r"'([\w-]+)'", found[2])
        self._check_cell(text, rows, names)
        nodes, last = len(rows), self._nodes - 1
        values = dict.fromkeys(self.variables, 0)
        for to in range(1, nodes):
            reads = sum(row[to] << start for start, row in enumerate(rows))
            values[f"p{last if to == nodes - 1 else to}"] = reads
        for node, name in enumerate(names[1:-1], start=1):
            values[f"o{node}"] = OPERATIONS.index(name)
        return values

    def _check_cell(self, text: str, rows: Sequence[Sequence[int]], names: Sequence[str]) -> None:
        nodes = len(rows)
        if not 2 <= nodes <= self._nodes:
            raise SpaceError(f"{shown(text)}: {nodes} nodes, the space takes 2 to {self._nodes}")
        if any(len(row) != nodes for row in rows) or len(names) != nodes:
            raise SpaceError(
                f"{shown(text)}: the matrix must be square, with an operation for each of its rows"
            )
        if any(row[to] for start, row in enumerate(rows) for to in range(start + 1)):
            raise SpaceError(f"{shown(text)}: a node reads earlier nodes only (above the diagonal)")
        if (names[0], names[-1]) != ("input", "output"):
            raise SpaceError(f"{shown(text)}: ops must begin with 'input' and end with 'output'")
        for name in names[1:-1]:
            if name not in OPERATIONS:
                known = did_you_mean(name, OPERATIONS)
                raise SpaceError(f"{shown(text)}: unknown operation {shown(name)}{known}")


def _given_edges(values: Mapping[str, Ints], nodes: int) -> Flags:
    """The matrix as the variables say it, dead ends included."""
    reads = [np.asarray(values[f"p{node}"]) for node in range(1, nodes)]
    shape = np.broadcast_shapes(*(x.shape for x in reads))
    edges = np.zeros((nodes, nodes, *shape), dtype=np.bool_)
    for to, bits in enumerate(reads, start=1):
        for start in range(to):
            edges[start, to] = bits >> start & 1
    return edges


def _pruned(edges: Flags) -> Flags:
    """Only the edges on a path from the first node to the last."""
    nodes = len(edges)
    fed, used = np.zeros_like(edges[0]), np.zeros_like(edges[0])
    fed[0], used[-1] = True, True
    for node in range(1, nodes):
        fed[node] = (edges[:node, node] & fed[:node]).any(axis=0)
        back = nodes - 1 - node
        used[back] = (edges[back, back + 1 :] & used[back + 1 :]).any(axis=0)
    on_path = fed & used
    pruned: Flags = edges & on_path[:, None] & on_path[None]
    return pruned


def _plain(values: Any) -> Ints:
    """An integer of one design as Python's own; arrays of integers stay."""
    found = np.asarray(values).astype(np.int64)
    return int(found) if found.ndim == 0 else found
