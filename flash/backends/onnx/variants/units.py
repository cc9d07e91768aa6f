"""Groups of units that are interchangeable: the widths a model has.

Units that reach the same axes of the same tensors equally often are of one group; a variant
keeps some of them. Which a variant keeps first is decided by the weights: a unit's importance
is its mean share of the importance of every stored tensor it reaches (batch norm's scale among
them): its squared norm, after the filter norm of Li et al., "Pruning Filters for Efficient
ConvNets", ICLR 2017, or what was measured on data (``flash.backends.torch.taylor``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.backends.onnx.variants.axes import FIXED, Axes, Labels
from flash.backends.onnx.variants.rules import apply_rules

__all__ = ["KERNEL", "SIDE", "Extent", "Group", "Units", "find_units"]

#: (tensor, axis).
Place = tuple[str, int]

#: Kinds of extents: the side of depthwise kernels, and of the input.
KERNEL: Final = "kernel"
SIDE: Final = "side"


@dataclass(frozen=True)
class Group:
    """Interchangeable units.

    ids:    of its units, in the order of the first axis they are on.
    places: (tensor, axis) -> positions a unit has there.
    order:  positions in ``ids``, the most important unit first.
    heads:  its units are heads of attention.
    per:    channels that a unit makes: what the width in channels is a multiple of.
    """

    ids: Labels
    places: Mapping[Place, int]
    order: Labels
    heads: bool
    per: int

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.ids)

    @property
    def channels(self) -> int:
        """Width in channels."""
        return self.units * self.per


@dataclass(frozen=True)
class Extent:
    """Axes of one size, whatever it is.

    kind:   ``kernel`` or ``side``.
    sizes:  that the axes may have, rising; the last is the model's own.
    places: (tensor, axis).
    node:   number of the first node that it is about.
    """

    kind: str
    sizes: tuple[int, ...]
    places: frozenset[tuple[str, int]]
    node: int


@dataclass(frozen=True)
class Units:
    """Units of a model: which unit each position of each axis belongs to, and their groups.

    of: tensor -> an array an axis; 0 is what never varies.
    fixed: node -> why the channels it makes cannot vary.
    extents: sizes that vary otherwise; numbered after the groups.
    """

    of: Mapping[str, Sequence[Labels]]
    groups: tuple[Group, ...]
    fixed: Mapping[str, str]
    extents: tuple[Extent, ...] = ()

    @property
    def numbered_extents(self) -> list[tuple[int, Extent]]:
        """(number among groups and extents, extent)."""
        return list(enumerate(self.extents, len(self.groups)))

    @cached_property
    def extent_at(self) -> Mapping[Place, int]:
        """(tensor, axis) -> number of the extent it has the size of."""
        return {place: k for k, extent in self.numbered_extents for place in extent.places}

    def group_of(self, place: Place) -> list[tuple[int, int]]:
        """(group, positions a unit has) of an axis."""
        return [(k, g.places[place]) for k, g in enumerate(self.groups) if place in g.places]


def find_units(axes: Axes) -> Units:
    """Units and groups of a model."""
    apply_rules(axes)
    unit_of_label, reasons = axes.components()
    of = {name: [unit_of_label[x] for x in labels] for name, labels in axes.labels.items()}
    signatures: dict[int, list[tuple[Place, int]]] = {}
    first: dict[int, tuple[int, int]] = {}
    for number, (name, arrays) in enumerate(of.items()):
        for axis, array in enumerate(arrays):
            if not array.any():
                continue
            found, start, counts = np.unique(array, return_index=True, return_counts=True)
            for unit, at, count in zip(
                found.tolist(), start.tolist(), counts.tolist(), strict=True
            ):
                if unit != FIXED:
                    signatures.setdefault(unit, []).append(((name, axis), count))
                    first.setdefault(unit, (number, at))
    members: dict[tuple[tuple[Place, int], ...], list[int]] = {}
    for unit in sorted(signatures, key=lambda u: first[u]):
        members.setdefault(tuple(signatures[unit]), []).append(unit)
    heads = {int(u) for labels in axes.heads for u in unit_of_label[labels]} - {FIXED}
    made = {node.output[0] for node in axes.frozen.nodes}
    groups = []
    for signature, units in members.items():
        # What no activation carries is an axis that no rule reaches.
        if len(units) < 2 or not any(name in made for (name, _), _ in signature):
            continue
        ids = np.array(units, dtype=np.int64)
        places = dict(signature)
        order = np.argsort(-_importance(axes, of, ids, places), kind="stable")
        per = _channels(axes, places)
        groups.append(Group(ids, places, order, units[0] in heads, per))
    kept = np.zeros(int(unit_of_label.max()) + 1, dtype=np.bool_)
    for group in groups:
        kept[group.ids] = True
    of = {name: [np.where(kept[x], x, FIXED) for x in arrays] for name, arrays in of.items()}
    return Units(of, tuple(groups), _fixed(axes, of, reasons))


def _channels(axes: Axes, places: Mapping[Place, int]) -> int:
    """Rows that a unit has in the first kernel that makes it, else in any tensor."""
    for node in axes.frozen.nodes:
        for name in node.input[1:2]:
            if node.op_type == "Conv" and (name, 0) in places:
                return places[name, 0]
            if node.op_type in ("Gemm", "MatMul") and (name, 1) in places:
                return places[name, 1]
    return min(places.values())


def _importance(
    axes: Axes, of: Mapping[str, Sequence[Labels]], ids: Labels, places: Mapping[Place, int]
) -> NDArray[np.float64]:
    position = {int(unit): k for k, unit in enumerate(ids)}
    total, tensors = np.zeros(len(ids)), 0
    statistics = {
        name for n in axes.frozen.nodes if n.op_type == "BatchNormalization" for name in n.input[3:]
    }
    for name, axis in places:
        value = axes.value(name)
        if value is None or value.dtype.kind != "f" or name in statistics:
            continue
        squares = axes.frozen.importance(name)
        along = squares.sum(axis=tuple(k for k in range(value.ndim) if k != axis))
        norm = along.sum()
        if not norm > 0:
            continue
        units = of[name][axis]
        rows = np.array([position.get(int(unit), -1) for unit in units])
        own = rows >= 0
        total += np.bincount(rows[own], along[own], len(ids)) / norm
        tensors += 1
    return total / max(tensors, 1)


def _fixed(
    axes: Axes, of: Mapping[str, Sequence[Labels]], reasons: Mapping[int, str]
) -> dict[str, str]:
    """Nodes with weights whose channels are in every variant, and why."""
    found = {}
    for node in axes.frozen.nodes:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        stored = [x for x in node.input[1:2] if axes.value(x) is not None]
        axis = 1 if node.op_type == "Conv" else -1
        if not stored:
            continue
        made = of[node.output[0]]
        if node.op_type == "ConvTranspose":
            axis = 1
        if made[axis].any() or len(made[axis]) < 2:
            continue
        labels = axes.labels[node.output[0]][axis]
        why = next((reasons[int(x)] for x in labels if int(x) in reasons), "")
        found[node.name] = why or "is tied to an axis of the input"
    return found
