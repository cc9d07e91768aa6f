"""The NAS-Bench-201 cell (Dong & Yang, ICLR 2020): 6 edges, 5 operations, 15,625 cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flash.errors import SpaceError, did_you_mean, shown
from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, RepeatedCell, Setting, Stage
from flash.spaces.layers import Ints, Tensor

__all__ = ["OPERATIONS", "NasBench201Family"]

#: The benchmark's names; a variable's value is an index into this tuple.
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_NONE, _SKIP, _CONV1, _CONV3, _POOL = range(5)
#: Which operation an edge of the densest cell has: the first of these that there is.
_DENSEST = (_CONV3, _CONV1, _POOL, _SKIP, _NONE)

#: (from node, to node) of variables e0 ... e5, in the order of the benchmark's strings.
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

#: The benchmark's string, the operations as groups.
_FORM = re.compile(
    r"\+".join(
        r"\|" + "".join(rf"([^|+~\s]+)~{start}\|" for start, end in _EDGES if end == node)
        for node in (1, 2, 3)
    )
)


#: Edges of each path from input to output.
_PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
#: Operations counted together: each alone, and both convolutions.
_KINDS = ((_SKIP,), (_CONV1,), (_CONV3,), (_POOL,), (_CONV1, _CONV3))


class NasBench201Family(Family):
    """Stem, three groups of equal cells at 16, 32, 64 channels with residual reductions between.

    Variables ``e0`` ... ``e5``: the operation of each edge. The emitted network is the
    benchmark's own, dead branches included; ``used`` and ``live`` views prune it.
    """

    name = "nasbench201"
    connected = False
    settings = {"cells": Setting(5, most=16), "channels": Setting(16)}

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(f"e{i}" for i in range(len(_EDGES)))

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("all", self.variables, cell=("all",)),)

    @property
    def repeated_cell(self) -> RepeatedCell:
        return RepeatedCell(self.options["cells"], self.options["channels"])

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for name in self.variables:
            self._require(values, name, 0, len(OPERATIONS) - 1)

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        channels = self.options["channels"]
        with e.stage("all"):
            x = e.conv(source, channels, act="")
            for group in range(3):
                if group:
                    channels *= 2
                    x = self._reduction(e, x, channels)
                for _ in range(self.options["cells"]):
                    with e.cell():
                        x = self._cell(e, x, values)
            x = e.global_pool(e.norm(x, act="relu"))
            return source, e.linear(x, self.classes)

    def _cell(self, e: Emitter, x: Tensor, values: Mapping[str, Ints]) -> Tensor:
        nodes = [x]
        for node in (1, 2, 3):
            incoming = [
                e.chosen(self._edge(e, nodes[start], values[name]), name)
                for (start, end), name in zip(_EDGES, self.variables, strict=True)
                if end == node
            ]
            # Its code is sum(...), which starts from zero.
            nodes.append(e.add(incoming, from_zero=True))
        return nodes[-1]

    def _edge(self, e: Emitter, x: Tensor, op: Ints) -> Tensor:
        y = e.zeros(x)
        for _ in e.when(op == _SKIP):
            y = e.merge(x, y)
        for _ in e.when(op == _CONV1):
            y = e.merge(e.conv(e.activation(x), x.channels, kernel=1, act=""), y)
        for _ in e.when(op == _CONV3):
            y = e.merge(e.conv(e.activation(x), x.channels, kernel=3, act=""), y)
        for _ in e.when(op == _POOL):
            y = e.merge(e.avg_pool(x, kernel=3, stride=1), y)
        return y

    def _reduction(self, e: Emitter, x: Tensor, channels: int) -> Tensor:
        y = e.conv(e.activation(x), channels, stride=2, act="")
        y = e.conv(e.activation(y), channels, act="")
        shortcut = e.conv(e.avg_pool(x, kernel=2, stride=2, pad=0), channels, 1, norm=False, act="")
        return e.add([y, shortcut])

    def structure(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        """Operations of live edges one by one, and paths: after GRAF (Kadlecova et al., ICML 2024).

        ``is_E_O``: edge E lives and has operation O. ``longest_S``, ``shortest_S``, ``paths_S``:
        edges of the paths of which all operations are in the set S, and how many there are.
        ``most_S``, ``least_S``: operations of S on a path. ``out_N_S``, ``in_N_S``: live edges of a
        node with one of S.
        """
        edges = np.stack([np.atleast_1d(values[name]) for name in self.variables], axis=1)
        found = _structure(_live(edges))
        return found if edges.shape[0] > 1 else {n: int(np.asarray(v)[0]) for n, v in found.items()}

    def densest(self, choices: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """The cell of 3x3 convolutions, an edge's next operation where its range lacks that."""
        return {n: min(map(int, choices[n]), key=_DENSEST.index) for n in self.variables}

    def without_an_edge(self, values: Mapping[str, int]) -> list[dict[str, int]]:
        cell = np.array([[values[name] for name in self.variables]])
        cells = np.repeat(_live(cell), len(_EDGES), axis=0)
        np.fill_diagonal(cells, _NONE)
        fewer = np.unique(_live(cells), axis=0)
        kept = fewer[fewer.any(axis=1) & (fewer != _live(cell)).any(axis=1)]
        return [dict(zip(self.variables, row, strict=True)) for row in kept.tolist()]

    def describe(self, values: Mapping[str, int]) -> str:
        """The benchmark's string, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
        parts: list[str] = []
        for node in (1, 2, 3):
            ops = (
                f"{OPERATIONS[values[name]]}~{start}"
                for name, (start, end) in zip(self.variables, _EDGES, strict=True)
                if end == node
            )
            parts.append("|" + "|".join(ops) + "|")
        return "+".join(parts)

    def parse(self, text: str) -> dict[str, int]:
        """The design a benchmark string names; raises ``SpaceError`` for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise SpaceError(
                f"{shown(text)} is no cell: expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
            )
        for op in found.groups():
            if op not in OPERATIONS:
                raise SpaceError(
                    f"{shown(text)}: unknown operation {shown(op)}{did_you_mean(op, OPERATIONS)}"
                )
        return {
            name: OPERATIONS.index(op)
            for name, op in zip(self.variables, found.groups(), strict=True)
        }


def _live(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cells, shape (designs, edges), with what lies on no path from input to output set to none."""
    on_path = np.zeros(edges.shape, dtype=np.bool_)
    for path in _PATHS:
        whole = (edges[:, path] != _NONE).all(axis=1)
        on_path[:, path] |= whole[:, None]
    return np.where(on_path, edges, _NONE)


def _structure(live: NDArray[np.int64]) -> dict[str, Ints]:
    found: dict[str, Ints] = {}
    for edge, operation in itertools.product(range(len(_EDGES)), range(1, len(OPERATIONS))):
        found[f"is_{edge}_{operation}"] = (live[:, edge] == operation).astype(np.int64)
    operations = range(1, len(OPERATIONS))
    lengths = np.array([len(path) for path in _PATHS])
    for size in operations:
        for kinds in itertools.combinations(operations, size):
            name = "".join(map(str, kinds))
            among = np.isin(live, kinds)
            whole = np.stack([among[:, path].all(axis=1) for path in _PATHS], axis=1)
            found[f"longest_{name}"] = np.where(whole, lengths, 0).max(axis=1)
            found[f"shortest_{name}"] = np.where(whole, lengths, 9).min(axis=1) % 9
            found[f"paths_{name}"] = whole.sum(axis=1)
    there = np.stack([(live[:, path] != _NONE).all(axis=1) for path in _PATHS], axis=1)
    for kinds in _KINDS:
        name = "".join(map(str, kinds))
        among = np.isin(live, kinds)
        on = np.stack([among[:, path].sum(axis=1) for path in _PATHS], axis=1)
        found[f"most_{name}"] = np.where(there, on, -1).max(axis=1)
        found[f"least_{name}"] = np.where(there, on, 9).min(axis=1) % 9
        found[f"all_{name}"] = among.sum(axis=1)
        for node in range(4):
            for word, end in (("out", 0), ("in", 1)):
                own = [k for k, ends in enumerate(_EDGES) if ends[end] == node]
                if own:
                    found[f"{word}_{node}_{name}"] = among[:, own].sum(axis=1)
    return found
