"""Which positions of which axes belong together: one label a position, equalities between them.

Every tensor has an array of labels an axis. Operators say which labels are equal (the channels
that a sum adds, the rows of a kernel and the channels it makes ...); the connected components
are the *units* that are kept or left out as one. Label 0 is what never varies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flash.backends.onnx.variants.frozen import Frozen

__all__ = ["FIXED", "Axes", "Labels"]

Labels = NDArray[np.int64]

#: The label of positions that are in every variant.
FIXED: Final = 0


class Axes:
    """Labels of all tensors of a model, filled in by the rules of its operators.

    labels: tensor -> one array an axis.  heads: labels of attention heads.
    """

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen
        self.labels: dict[str, list[Labels]] = {}
        self.heads: list[Labels] = []
        self._next = 1
        self._equal: list[tuple[Labels, Labels]] = []
        self._fixes: list[tuple[int, str]] = []
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in frozen.nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        for name in frozen.inputs:
            self.labels[name] = [self.fixed(n) for n in frozen.shapes[name]]
        for name, value in frozen.stored.items():
            floats = value.dtype.kind == "f"
            self.labels[name] = [self.fresh(n) if floats else self.fixed(n) for n in value.shape]

    # --------------------------------------------------------------------------- what rules ask
    def of(self, name: str) -> list[Labels]:
        """The labels of a tensor's axes."""
        return self.labels[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a tensor."""
        return self.frozen.shapes[name]

    def value(self, name: str) -> NDArray[Any] | None:
        """What a stored tensor holds, None for others."""
        return self.frozen.stored.get(name) if name else None

    def readers(self, name: str) -> Sequence[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(name, [])

    # ---------------------------------------------------------------------------- what they say
    @staticmethod
    def fixed(size: int) -> Labels:
        """An axis that never varies."""
        return np.zeros(size, dtype=np.int64)

    def fresh(self, size: int) -> Labels:
        """An axis that nothing is known of yet; of one position it never varies."""
        if size <= 1:
            return self.fixed(size)
        first, self._next = self._next, self._next + size
        return np.arange(first, first + size, dtype=np.int64)

    def tie(self, a: Labels, b: Labels) -> None:
        """Positions are equal, one by one (of broadcast shapes)."""
        left, right = np.broadcast_arrays(a, b)
        differ = left != right
        if differ.any():
            self._equal.append((left[differ].ravel(), right[differ].ravel()))

    def fix(self, labels: Labels, why: str) -> None:
        """These positions are in every variant; ``why`` completes "it ..."."""
        if labels.size and labels.any():
            mark, self._next = self._next, self._next + 1
            self._fixes.append((mark, why))
            self.tie(labels[labels != FIXED], np.array([mark], dtype=np.int64))

    def fix_all(self, names: Sequence[str], why: str) -> None:
        """Fix every axis of these tensors."""
        for name in names:
            for labels in self.labels.get(name, []):
                self.fix(labels, why)

    # ------------------------------------------------------------------------------- the result
    def components(self) -> tuple[Labels, Mapping[int, str]]:
        """Label -> unit, 0 for what never varies; and why, by label, where a rule said so."""
        pairs = self._equal or [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        left = np.concatenate([a for a, _ in pairs])
        right = np.concatenate([b for _, b in pairs])
        graph = coo_array((np.ones(len(left), np.int8), (left, right)), (self._next, self._next))
        _, found = connected_components(graph, directed=False)
        unit = found.astype(np.int64) + 1
        reasons: dict[int, str] = {}
        for mark, why in self._fixes:
            reasons.setdefault(int(unit[mark]), why)
        home = int(unit[FIXED])
        by_unit = np.zeros(int(unit.max()) + 1, dtype=np.bool_)
        by_unit[[home, *reasons]] = True
        fixed = by_unit[unit]
        by_label = {n: reasons[int(u)] for n, u in enumerate(unit) if int(u) in reasons}
        return np.where(fixed, FIXED, unit), by_label


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    for given in node.attribute:
        if given.name == name:
            return helper.get_attribute_value(given)
    return default
