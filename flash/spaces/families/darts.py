"""DARTS cells (Liu et al., ICLR 2019): a node adds two earlier ones, each through an operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from flash.errors import SpaceError, did_you_mean, shown
from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, Setting, Stage
from flash.spaces.layers import Flags, Ints, Tensor

__all__ = ["OPERATIONS", "DartsFamily"]

#: The names of DARTS (the last one NASNet's); an operation's variable is an index into this tuple.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "sep_conv_7x7",
)
_MAX, _AVERAGE, _SKIP = range(3)
_SEPARABLE = ((3, 3), (4, 5), (7, 7))
_DILATED = ((5, 3), (6, 5))

#: Values of the settings ``concat`` and ``stem``.
_ALL, _LOOSE_ENDS = 1, 2
_CIFAR, _IMAGENET = 1, 2

_PAIRS = r"\[((?:\('\w+', ?\d+\)(?:, ?)?)+)\]"
_CONCAT = r"(\[\d+(?:, ?\d+)*\]|range\(\d+, ?\d+\))"
#: DARTS' own way to write a pair of cells.
_FORM = re.compile(
    rf"Genotype\(normal={_PAIRS}, ?normal_concat={_CONCAT}, ?"
    rf"reduce={_PAIRS}, ?reduce_concat={_CONCAT}\)"
)


class DartsFamily(Family):
    """Stem, cells that each read the two before them, two of them reducing; a linear classifier.

    A cell has two inputs, numbers 0 and 1, and ``nodes`` nodes from number 2 on; node k adds two
    earlier ones, each through an operation. What the cell returns lays all nodes side by side
    (``concat = 1``, DARTS) or those that no node reads (2, NASNet and AmoebaNet). Variables of
    the normal cell: ``ni0``, ``ni1`` the nodes that the first node reads, ``no0``, ``no1`` their
    operations, ``ni2`` ... those of the next; of the reducing cell ``ri0`` ... ``ro0`` ....

    As in DARTS a reducing cell's operations on its two inputs have stride 2, and the classifier
    has no auxiliary head. ``stem = 2`` is that for ImageNet, three convolutions of stride 2. The
    reducing identity is one 1x1 convolution of stride 2 where DARTS lays two of half the
    channels side by side, the second shifted by a pixel: parameters and MACs are the same.
    """

    name = "darts"
    settings = {
        "nodes": Setting(4, most=8),
        "cells": Setting(20, most=64),
        "channels": Setting(36, most=1024),
        "concat": Setting(_ALL, most=2),
        "stem": Setting(_CIFAR, most=2),
    }

    @property
    def variables(self) -> tuple[str, ...]:
        edges = range(2 * self.options["nodes"])
        return tuple(f"{cell}{what}{k}" for cell in "nr" for what in "io" for k in edges)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("all", self.variables, cell=("all",)),)

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for cell in "nr":
            for edge in range(2 * self.options["nodes"]):
                self._require(values, f"{cell}i{edge}", 0, edge // 2 + 1)
                self._require(values, f"{cell}o{edge}", 0, len(OPERATIONS) - 1)

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        result = dict(values)
        for cell in "nr":
            for edge in range(0, 2 * self.options["nodes"], 2):
                inputs = [f"{cell}i{edge + k}" for k in (0, 1)]
                operations = [f"{cell}o{edge + k}" for k in (0, 1)]
                first, second = (
                    values[i] * len(OPERATIONS) + values[o]
                    for i, o in zip(inputs, operations, strict=True)
                )
                # A sum does not depend on the order of its parts.
                for names in (inputs, operations):
                    a, b = (values[name] for name in names)
                    result[names[0]] = _where(first <= second, a, b)
                    result[names[1]] = _where(first <= second, b, a)
        return result

    # ------------------------------------------------------------------------- emission
    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        values, cells, channels = (
            self.canonical(values),
            self.options["cells"],
            self.options["channels"],
        )
        with e.stage("all"):
            before, x = self._stem(e, source, channels)
            reduced = self.options["stem"] == _IMAGENET
            for number in range(cells):
                reduces = number in (cells // 3, 2 * cells // 3)
                channels *= 2 if reduces else 1
                with e.cell():
                    inputs = self._inputs(e, before, x, channels, reduced)
                    before, x = x, self._cell(e, inputs, values, reduces)
                reduced = reduces
            return source, e.linear(e.global_pool(x), self.classes)

    def _stem(self, e: Emitter, source: Tensor, channels: int) -> tuple[Tensor, Tensor]:
        if self.options["stem"] == _CIFAR:
            x = e.conv(source, 3 * channels, act="")
            return x, x
        x = e.conv(source, max(1, channels // 2), stride=2)
        x = e.conv(x, channels, stride=2, act="")
        return x, e.conv(e.activation(x), channels, stride=2, act="")

    @staticmethod
    def _inputs(
        e: Emitter, before: Tensor, x: Tensor, channels: int, reduced: bool
    ) -> list[Tensor]:
        """Both inputs of a cell at its own channels and resolution."""
        stride = 2 if reduced else 1
        return [
            e.conv(e.activation(before), channels, kernel=1, stride=stride, act=""),
            e.conv(e.activation(x), channels, kernel=1, act=""),
        ]

    def _cell(
        self, e: Emitter, inputs: Sequence[Tensor], values: Mapping[str, Ints], reduces: bool
    ) -> Tensor:
        cell = "r" if reduces else "n"
        made = list(inputs)
        reads: list[Ints] = []
        for node in range(self.options["nodes"]):
            parts = []
            for edge in (2 * node, 2 * node + 1):
                read = values[f"{cell}i{edge}"]
                stride = 1 + (read < 2) * 1 if reduces else 1
                x = _chosen(e, made, read)
                operation = f"{cell}o{edge}"
                parts.append(e.chosen(_operation(e, x, values[operation], stride), operation))
                reads.append(read)
            made.append(e.add(parts))
        nodes = made[2:]
        if self.options["concat"] == _LOOSE_ENDS:
            nodes = [
                _where_true(e, x, _loose(reads, number)) for number, x in enumerate(nodes, start=2)
            ]
        return e.concat(nodes)

    # ------------------------------------------------------------------------ its strings
    def describe(self, values: Mapping[str, int]) -> str:
        """DARTS' own: ``Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=..., ...)``."""
        parts = []
        for cell, name in (("n", "normal"), ("r", "reduce")):
            edges = range(2 * self.options["nodes"])
            pairs = [(OPERATIONS[values[f"{cell}o{k}"]], int(values[f"{cell}i{k}"])) for k in edges]
            parts += [f"{name}={pairs}", f"{name}_concat={self._concat(values, cell)}"]
        return f"Genotype({', '.join(parts)})"

    def _concat(self, values: Mapping[str, int], cell: str) -> list[int]:
        nodes = range(2, 2 + self.options["nodes"])
        if self.options["concat"] == _ALL:
            return list(nodes)
        reads: list[Ints] = [values[f"{cell}i{k}"] for k in range(2 * self.options["nodes"])]
        return [node for node in nodes if _loose(reads, node)]

    def parse(self, text: str) -> dict[str, int]:
        """The design that a genotype names; raises ``SpaceError`` for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise SpaceError(
                f"{shown(text)} is no genotype: expected Genotype(normal=[('sep_conv_3x3', 0), "
                "...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"
            )
        values: dict[str, int] = {}
        for cell, pairs in (("n", found[1]), ("r", found[3])):
            named = re.findall(r"\('(\w+)', ?(\d+)\)", pairs)
            if len(named) != 2 * self.options["nodes"]:
                raise SpaceError(
                    f"{shown(text)}: {len(named)} operations in a cell, the space takes two for "
                    f"each of {self.options['nodes']} nodes"
                )
            for edge, (name, read) in enumerate(named):
                if name not in OPERATIONS:
                    known = did_you_mean(name, OPERATIONS)
                    raise SpaceError(f"{shown(text)}: unknown operation {shown(name)}{known}")
                if len(read) > 2 or int(read) > edge // 2 + 1:
                    raise SpaceError(f"{shown(text)}: node {edge // 2 + 2} reads no earlier node")
                values[f"{cell}i{edge}"], values[f"{cell}o{edge}"] = (
                    int(read),
                    OPERATIONS.index(name),
                )
        for cell, concat in (("n", found[2]), ("r", found[4])):
            expected = self._concat(values, cell)
            if _numbers(concat) != expected:
                raise SpaceError(
                    f"{shown(text)}: this space lays nodes {expected} side by side, not {concat}"
                )
        return {name: values[name] for name in self.variables}


def _numbers(concat: str) -> list[int]:
    """``[2, 3]`` or ``range(2, 4)`` as a list; longer than any cell's is cut."""
    numbers = [int(x[:4]) for x in re.findall(r"\d+", concat)]
    return list(range(*numbers))[:99] if concat.startswith("range") else numbers


def _loose(reads: Sequence[Ints], node: int) -> Flags:
    """No edge of a cell reads the node."""
    loose: Flags = True
    for read in reads:
        loose = loose & (read != node)
    return loose


def _where_true(e: Emitter, x: Tensor, condition: Flags) -> Tensor:
    """``x`` where the condition holds, else nothing."""
    y = e.nothing(x)
    for _ in e.when(condition):
        y = e.merge(x, y)
    return y


def _where(condition: Flags, a: Ints, b: Ints) -> Ints:
    if isinstance(condition, bool | np.bool_):
        return a if condition else b
    return np.where(condition, a, b)


def _chosen(e: Emitter, made: Sequence[Tensor], read: Ints) -> Tensor:
    """The tensor with number ``read``."""
    x = made[0]
    for number, other in enumerate(made[1:], start=1):
        for _ in e.when(read == number):
            x = e.merge(other, x)
    return x


def _operation(e: Emitter, x: Tensor, operation: Ints, stride: Ints) -> Tensor:
    channels = x.channels
    y = x  # the identity, where nothing below takes its place
    for _ in e.when((operation == _SKIP) & (stride == 2)):
        y = e.merge(e.conv(e.activation(x), channels, kernel=1, stride=2, act=""), y)
    for _ in e.when(operation == _MAX):
        y = e.merge(e.max_pool(x, kernel=3, stride=stride), y)
    for _ in e.when(operation == _AVERAGE):
        y = e.merge(e.avg_pool(x, kernel=3, stride=stride), y)
    for number, kernel in _SEPARABLE:
        for _ in e.when(operation == number):
            once = _separable(e, e.activation(x), kernel, stride, act="relu")
            y = e.merge(_separable(e, once, kernel), y)
    for number, kernel in _DILATED:
        for _ in e.when(operation == number):
            y = e.merge(_separable(e, e.activation(x), kernel, stride, dilation=2), y)
    return y


def _separable(
    e: Emitter, x: Tensor, kernel: int, stride: Ints = 1, dilation: int = 1, act: str = ""
) -> Tensor:
    """A depthwise and a 1x1 convolution, batch norm and activation after the second."""
    depthwise = e.conv(
        x, x.channels, kernel, stride, x.channels, dilation=dilation, norm=False, act=""
    )
    return e.conv(depthwise, x.channels, kernel=1, act=act)
