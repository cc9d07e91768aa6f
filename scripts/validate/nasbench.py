"""NAS-Bench-201 as a table: designs, accuracies and scores of all 15,625 cells."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.evaluation import measure
from flash.metrics.rank import score_designs
from flash.search.budgeted import Candidates, layer_statistics, removable_edges
from flash.spaces.space import SearchSpace, load_space

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = dict[str, Floats]

DATASETS = ("cifar10", "cifar100", "imagenet16")
TWELVE = "cifar10_val_12epochs"
STAND_IN = "cifar10_test_12epochs"


class Benchmark:
    """All 15,625 cells: designs, accuracies and scores as columns."""

    def __init__(self, shared: Path, twelve: Path | None, protocols: str = "12,own") -> None:
        self.space: SearchSpace = load_space("nasbench201")
        rows = read(shared, "nasbench201/accuracy")
        self.archs = [r["arch"] for r in rows]
        self.designs: Ints = np.array([self.space.parse(arch) for arch in self.archs])
        self.accuracy: Columns = {
            name: np.array([float(r[name]) for r in rows]) for name in rows[0] if name != "arch"
        }
        self.protocols = protocols.split(",")
        self.objective12 = STAND_IN
        if twelve is not None:
            with twelve.open(encoding="utf-8") as stream:
                given = {r["arch"]: float(r[TWELVE]) for r in csv.DictReader(stream)}
            self.accuracy[TWELVE] = np.array([given[arch] for arch in self.archs])
            self.objective12 = TWELVE
        self.scores = self._proxies(shared) | self._ours()

    def _proxies(self, shared: Path) -> Columns:
        """Measured proxies; cells with equal live parts share the value of the one measured."""
        rows = read(shared, "nasbench201/proxies_cifar10")
        measured = live_operations(np.array([self.space.parse(r["arch"]) for r in rows]))
        at = {key.tobytes(): k for k, key in enumerate(measured)}
        which = [at[key.tobytes()] for key in live_operations(self.designs)]
        columns = {n: np.array([float(r[n]) for r in rows])[which] for n in rows[0] if n != "arch"}
        # As a number, and scaled so that it is one: min-max does not see the factor.
        log = columns["synflow"]
        return columns | {
            "synflow": np.exp(log - log.max()), "log_synflow": log, "minus_jacov": -columns["jacov"]
        }  # fmt: skip

    def _ours(self) -> Columns:
        ranked = score_designs(self.space, self.designs)
        plain = measure(self.space, self.designs)
        return {
            "rank_score": ranked.rank_score, "sed": ranked.sed, "nn_degree": plain.nn_degree,
            "params": plain.params, "macs": plain.macs,
        }  # fmt: skip

    def candidates(self, names: Sequence[str]) -> Candidates:
        """Every cell, by the scores named."""
        scores = np.stack([self.scores[name] for name in names], axis=1)
        return Candidates(
            [5] * 6, self.designs, names, scores,
            statistics=lambda designs: layer_statistics(self.space, designs),
            edges=removable_edges(self.space),
        )  # fmt: skip

    def row(self, design: Sequence[int]) -> int:
        """The row of a design."""
        return int(self._rows[tuple(design)])

    @property
    def _rows(self) -> Mapping[tuple[int, ...], int]:
        if not hasattr(self, "_row_of"):
            self._row_of = {tuple(d): k for k, d in enumerate(self.designs.tolist())}
        return self._row_of


def read(shared: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(shared / "data" / f"{name}.csv.gz", "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def live_operations(cells: Ints) -> Ints:
    """Cells, shape (n, 6), with every operation off the paths from input to output set to none."""
    edges = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    reached = np.zeros((len(cells), 4), dtype=np.bool_)
    reaching = np.zeros_like(reached)
    reached[:, 0] = reaching[:, 3] = True
    for e, (a, b) in enumerate(edges):
        reached[:, b] |= reached[:, a] & (cells[:, e] > 0)
    for e, (a, b) in reversed(list(enumerate(edges))):
        reaching[:, a] |= reaching[:, b] & (cells[:, e] > 0)
    on = np.stack([reached[:, a] & reaching[:, b] for a, b in edges], axis=1)
    return np.where(on, cells, 0)
