"""What a search with a training budget chooses from: designs and their training-free scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean

__all__ = ["Candidates", "Edges", "Floats", "Ints", "LayerStatistics", "all_designs"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class LayerStatistics:
    """Numbers of every layer of some designs, for formulas over layers.

    values:  (statistics, designs, layers); entries of absent layers mean nothing.
    present: (designs, layers) the design has this layer.
    """

    names: tuple[str, ...]
    values: Floats
    present: Flags


@dataclass(frozen=True)
class Edges:
    """Designs (indices) as graphs whose edges can be removed.

    densest: the design of most edges, shape (variables,).
    without: a design -> the designs with one edge less, shape (k, variables).
    macs:    multiply-accumulates of designs, shape (designs,).
    """

    densest: Ints
    without: Callable[[Ints], Ints]
    macs: Callable[[Ints], Floats]


class Candidates:
    """Designs that may be chosen, each with its scores.

    ``designs``, shape (n, variables), and ``scores``, shape (n, metrics), are what strategies
    rank; every score is the better the higher, except that a strategy may name one as a cost.
    Strategies that breed new designs (evolution, novelty search) may leave the list where
    ``scoring`` is given, and stay within ``admits``; without ``scoring`` the list is all there
    is. Designs are indices into the variables' grids; ``sizes`` says how many each variable has.

    Raises ``UsageError`` for scores that are no finite numbers and for a design listed twice.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        designs: Ints,
        names: Sequence[str],
        scores: Floats,
        scoring: Callable[[Ints], Floats] | None = None,
        admits: Callable[[Ints], Flags] | None = None,
        statistics: Callable[[Ints], LayerStatistics] | None = None,
        edges: Edges | None = None,
    ) -> None:
        self.sizes = np.array(sizes, dtype=np.int64)
        self.designs = np.ascontiguousarray(designs, dtype=np.int64)
        self.names = tuple(names)
        self.scores = np.asarray(scores, dtype=np.float64)
        self.statistics = statistics
        self.edges = edges
        self._scoring = scoring
        self._admits = admits
        if self.scores.shape != (len(self.designs), len(self.names)):
            raise UsageError(
                f"expected scores of shape {(len(self.designs), len(self.names))} (designs, "
                f"metrics), got {self.scores.shape}"
            )
        if not len(self.designs):
            raise UsageError("a search needs at least one candidate design")
        if not self.names:
            raise UsageError("a search needs at least one training-free score")
        for name, column in zip(self.names, self.scores.T, strict=True):
            bad = int((~np.isfinite(column)).sum())
            if bad:
                raise UsageError(f"score {name} is no finite number for {bad} candidate designs")
        self._known = {row.tobytes(): k for k, row in enumerate(self.designs)}
        if len(self._known) < len(self.designs):
            raise UsageError("a candidate design is listed twice")
        self._more: dict[bytes, Floats] = {}

    def __len__(self) -> int:
        return len(self.designs)

    @property
    def open(self) -> bool:
        """Designs outside the list can be scored."""
        return self._scoring is not None

    @property
    def scored(self) -> int:
        """Distinct designs scored so far, the list included."""
        return len(self.designs) + len(self._more)

    def column(self, name: str) -> Floats:
        """The scores of the list by one metric."""
        return self.scores[:, self.metric(name)]

    def metric(self, name: str) -> int:
        """The column of a metric; raises ``UsageError`` for an unknown one."""
        if name not in self.names:
            raise UsageError(f"unknown metric '{name}'{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def score(self, designs: Ints) -> Floats:
        """Scores, shape (designs, metrics), of admitted designs; each is computed once."""
        keys = [row.tobytes() for row in np.ascontiguousarray(designs, dtype=np.int64)]
        new = {
            key: k for k, key in enumerate(keys) if key not in self._known and key not in self._more
        }
        if new:
            if self._scoring is None:
                raise UsageError("a design outside the candidates has no score")
            found = self._scoring(designs[list(new.values())])
            self._more.update(zip(new, np.asarray(found, dtype=np.float64), strict=True))
        rows = [
            self.scores[self._known[key]] if key in self._known else self._more[key] for key in keys
        ]
        return np.array(rows).reshape(len(keys), len(self.names))

    def admitted(self, designs: Ints) -> Flags:
        """Which designs may be chosen."""
        designs = np.ascontiguousarray(designs, dtype=np.int64)
        mask = np.array([row.tobytes() in self._known for row in designs], dtype=np.bool_)
        rest = ~mask
        if self._scoring is not None and rest.any():
            mask[rest] = True if self._admits is None else self._admits(designs[rest])
        return mask

    def bred(self) -> Ints:
        """Designs outside the list that were scored, shape (k, variables)."""
        rows = [np.frombuffer(key, dtype=np.int64) for key in self._more]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.sizes))


def all_designs(sizes: Sequence[int]) -> Ints:
    """Every design of a space, shape (product of sizes, variables), in counting order."""
    return np.indices(tuple(sizes), dtype=np.int64).reshape(len(sizes), -1).T
