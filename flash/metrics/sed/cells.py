"""SED, capacity and isometry of all NAS-Bench-201 cells at once: a table, then look-ups.

The same definition as ``graph.trace`` and ``isometry.isometry``, with arrays over cells in
place of a walk over layers. A cell is six operations; ``score_cells`` computes each distinct set
of live operations once and keeps the scores by the cell's number (base 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.metrics.sed.maps import (
    IMAGE,
    LAGS,
    PATCH,
    PIXEL_ENTROPY,
    RELU_GAIN,
    Floats,
    correlation,
    lags,
    relu,
    relu_of_correlation,
    resample,
    route_filter,
    route_operator,
    window_entropy,
)
from flash.metrics.sed.paths import POSITIONS
from flash.metrics.sed.score import Scores
from flash.spaces.families.nasbench201 import OPERATIONS

__all__ = ["cell_numbers", "score_cells"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_NONE, _SKIP, _CONV1, _CONV3, _POOL = range(len(OPERATIONS))
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
#: Edge -> pairs of edges that can change places where it is a skip, whose two ends are one tensor.
_BESIDE_SKIP = {0: ((1, 2), (3, 4)), 5: ((1, 3), (2, 4))}
_NODES = 4
_GROUPS = 3
#: Maps and spectra of cells stay the same when height and width are swapped, so those of their
#: numbers where height is at most width are kept: place in the whole, and of the whole in these.
_KEPT = np.flatnonzero(np.triu(np.ones((LAGS, LAGS))))
_TRIANGLE = np.zeros((LAGS, LAGS), dtype=np.int64)
_TRIANGLE[np.triu_indices(LAGS)] = np.arange(len(_KEPT))
_PLACES = np.maximum(_TRIANGLE, _TRIANGLE.T).ravel()
#: ``lags``, and without what rounding takes below 0 ``frequencies``, of what is kept.
_TO_LAG = lags(np.eye(len(_KEPT))[:, _PLACES])[:, _KEPT]
_TO_FREQUENCY = _TO_LAG * PATCH**2
#: Spectrum -> variance.
_VARIANCE = _TO_LAG[:, 0]
_POWERS = len(OPERATIONS) ** np.arange(len(_EDGES) - 1, -1, -1)


def cell_numbers(operations: Ints) -> Ints:
    """Position in the table of cells given as operations, shape (cells, 6)."""
    numbers: Ints = operations @ _POWERS
    return numbers


@lru_cache(maxsize=4)
def score_cells(cells: int, channels: int, height: int, width: int) -> Scores:
    """Scores of every cell, shape (15625,), in the benchmark's network on a given image.

    cells: cells in each of the three groups.  channels: of the first group.
    height, width: of the image.  The result is by ``cell_numbers``.
    """
    total = len(OPERATIONS) ** len(_EDGES)
    all_cells = np.arange(total)[:, None] // _POWERS % len(OPERATIONS)
    numbers, which = np.unique(cell_numbers(_alike(all_cells)), return_inverse=True)
    distinct = all_cells[numbers]
    batch = _Batch(distinct, cells)
    batch.walk(channels, height, width)
    found = (
        batch.sed,
        batch.isometry()[batch.shape],
        batch.capacity,
        batch.thinness[batch.shape],
        batch.unbypassed_depth()[batch.shape],
    )
    dead = ~distinct.any(axis=1)
    columns = []
    for values in found:
        values[dead] = 0.0
        columns.append(values[which])
        columns[-1].setflags(write=False)
    return Scores(*columns)


def _alike(operations: Ints) -> Ints:
    """Cells that score as these do: live operations only, those beside a skip in falling order."""
    cells = np.where(_live(operations), operations, _NONE)
    for skip, pairs in _BESIDE_SKIP.items():
        for a, b in pairs:
            turned = (cells[:, skip] == _SKIP) & (cells[:, a] < cells[:, b])
            cells[turned, a], cells[turned, b] = cells[turned, b], cells[turned, a]
    return np.where(_live(cells), cells, _NONE)


def _live(operations: Ints) -> Flags:
    """Operations on a path from the cell's input to its output."""
    on = operations != _NONE
    forward = np.zeros((len(on), _NODES), dtype=np.bool_)
    backward = np.zeros_like(forward)
    forward[:, 0] = backward[:, -1] = True
    for e, (a, b) in enumerate(_EDGES):
        forward[:, b] |= forward[:, a] & on[:, e]
    for e, (a, b) in reversed(list(enumerate(_EDGES))):
        backward[:, a] |= backward[:, b] & on[:, e]
    return np.stack(
        [on[:, e] & forward[:, a] & backward[:, b] for e, (a, b) in enumerate(_EDGES)], axis=1
    )


def _frequencies(x: Floats) -> Floats:
    spectrum: Floats = np.maximum(x @ _TO_FREQUENCY, 0.0)
    return spectrum


class _Part(NamedTuple):
    """Of a node's spectrum what comes from one source, in the cells that have it.

    source: its row in ``made`` of ``_Batch._cell``.  rows: the cells, ascending.
    gains:  of the linear routes from there, of the numbers ``_KEPT``, shape (cells, kept); None
            where it ends here itself.
    """

    source: int
    rows: Ints
    gains: Floats | None


class _Batch:
    """Cells of live operations only, shape (cells, 6), each repeated in three groups.

    Maps are followed in cells of one shape at once, n in all: what a convolution writes depends on
    what it reads, not on its kernel. ``sed`` and ``capacity`` are by cell, all else is by shape.
    """

    def __init__(self, operations: Ints, cells: int) -> None:
        self.wide = operations == _CONV3
        shapes = np.where(operations == _CONV1, _CONV3, operations)
        _, first, self.shape = np.unique(
            cell_numbers(shapes), return_index=True, return_inverse=True
        )
        self.ops, self.cells = shapes[first], cells
        self.conv = self.ops == _CONV3
        self.depth = self._depths()
        # Inner nodes all paths pass: no edge jumps over them.
        on = self.ops != _NONE
        self.meets = {
            1: ~(on[:, 1] | on[:, 3]) & (self.depth[:, 1] >= 0),
            2: ~(on[:, 3] | on[:, 4]) & (self.depth[:, 2] >= 0),
        }
        self.made = np.empty((_NODES + len(_EDGES), len(self.ops), len(_KEPT)))
        self.variance = np.zeros((_GROUPS, cells, _NODES, len(self.ops)))
        self.sed, self.capacity = np.zeros((2, len(operations)))
        self.thinness = np.zeros(len(self.ops))

    def _depths(self) -> Ints:
        """Convolutions on the longest path to each node, -9 and below if none leads there."""
        depth = np.full((len(self.ops), _NODES), -9)
        depth[:, 0] = 0
        for e, (a, b) in enumerate(_EDGES):
            through = np.where(self.ops[:, e] != _NONE, depth[:, a] + self.conv[:, e], -9)
            depth[:, b] = np.maximum(depth[:, b], np.where(depth[:, a] >= 0, through, -9))
        return depth

    # -------------------------------------------------------------------------------- routes
    def _route_sets(self) -> Ints:
        """(n, from, to) bit p set: a linear route that passes p pools; equal routes once."""
        sets = np.zeros((len(self.ops), _NODES, _NODES), dtype=np.int64)
        for a in range(_NODES):
            sets[:, a, a] = 1
            for e, (x, b) in enumerate(_EDGES):
                if x >= a:
                    via = sets[:, a, x]
                    sets[:, a, b] |= np.where(self.ops[:, e] == _SKIP, via, 0)
                    sets[:, a, b] |= np.where(self.ops[:, e] == _POOL, 2 * via, 0)
        return sets

    def _amplitudes(self, operations: Ints) -> Floats:
        """(n, from, to) number of linear routes, each duplicate counted."""
        number = np.zeros((len(operations), _NODES, _NODES))
        linear = (operations == _SKIP) | (operations == _POOL)
        for a in range(_NODES):
            number[:, a, a] = 1
            for e, (x, b) in enumerate(_EDGES):
                if x >= a:
                    number[:, a, b] += linear[:, e] * number[:, a, x]
        return number

    # ----------------------------------------------------------------------------------- SED
    def walk(self, channels: int, height: int, width: int) -> None:
        """Fill ``sed``, ``capacity`` and ``thinness``, and the variances of all nodes."""
        n = len(self.ops)
        filters = np.stack(
            [route_filter([((3, 3),) * p for p in range(_NODES) if s >> p & 1]) for s in range(16)]
        )
        parts = self._parts(filters[:, _KEPT])
        x = np.broadcast_to(IMAGE[_KEPT], (n, len(_KEPT)))
        positions = height * width
        image = window_entropy(IMAGE, 3, 3)
        self.sed += _weight(channels, positions) * PIXEL_ENTROPY + _weight(3, positions) * image
        self._count(3, channels, positions, image, 1.0)
        for group in range(_GROUPS):
            if group:
                height, width = (height + 1) // 2, (width + 1) // 2
                positions, channels = height * width, 2 * channels
                x = self._reduction(x, channels, positions)
            for cell in range(self.cells):
                x = self._cell(x, parts, group, cell, channels, positions)

    def _count(
        self,
        read: int,
        written: int,
        positions: int,
        entropy: Floats | float,
        shares: Floats | float,
    ) -> None:
        """One convolution of all cells: ``entropy`` of each, ``shares`` of shapes, 0 without it."""
        links = read * written * entropy / PIXEL_ENTROPY
        roots: Floats | float = np.sqrt(shares)
        own = roots[self.shape] if isinstance(roots, np.ndarray) else roots
        self.capacity += np.sqrt(links * own) * positions**POSITIONS
        self.thinness += shares / read

    def _parts(self, filters: Floats) -> list[list[_Part]]:
        """What each node is the sum of.

        filters: power gains by sets of routes, shape (16, kept).
        """
        sets = self._route_sets()
        parts: list[list[_Part]] = [[] for _ in range(_NODES)]
        for node in range(1, _NODES):
            for source, end in enumerate((*range(_NODES), *(b for _, b in _EDGES))):
                if end > node or (end == node and source < _NODES):
                    continue
                there = np.ones(len(self.ops), dtype=np.bool_)
                if source:
                    there = (
                        self.conv[:, source - _NODES] if source >= _NODES else self.meets[source]
                    )
                for between, met in self.meets.items():
                    if end <= between < node and source != between:
                        there = there & ~met  # what follows sees that node alone
                if end == node:
                    parts[node].append(_Part(source, np.flatnonzero(there), None))
                else:
                    rows = np.flatnonzero(sets[:, end, node] * there)
                    parts[node].append(_Part(source, rows, filters[sets[rows, end, node]]))
        return parts

    def _cell(
        self,
        x: Floats,
        parts: Sequence[Sequence[_Part]],
        group: int,
        cell: int,
        channels: int,
        positions: int,
    ) -> Floats:
        """The cell's output covariance; adds what its convolutions read and write."""
        n, weight = len(self.ops), _weight(channels, positions)
        # Spectra of the sources: nodes that all paths pass, then what each edge's convolution made.
        # Of each only the rows of its parts are written and read.
        made = self.made
        made[0] = _frequencies(x)
        brought = np.zeros((_NODES, len(made), n))
        entropies = np.zeros((_NODES, n))
        for node in range(_NODES):
            spectrum = made[0]
            if node:
                spectrum = np.zeros_like(x)
                for source, rows, gains in parts[node]:
                    part = made[source].take(rows, axis=0)
                    if gains is not None:
                        part *= gains
                    brought[node, source][rows] = part @ _VARIANCE
                    spectrum[rows] += part
                if node in self.meets:
                    made[node][self.meets[node]] = spectrum[self.meets[node]]
            x = spectrum @ _TO_LAG
            self.variance[group, cell, node] = x[:, 0]
            if node == _NODES - 1:
                break
            out = [e for e, (a, _) in enumerate(_EDGES) if a == node]
            rows = np.flatnonzero(self.conv[:, out].any(axis=1))
            r = correlation(relu_of_correlation(correlation(x.take(rows, axis=0))))
            written = _frequencies(r)
            entropies[node, rows] = window_entropy(r[:, _PLACES], 3, 3)
            for e in out:
                own = self.conv[rows, e]
                made[_NODES + e][rows[own]] = written[own]
        shares = self._shares(brought)
        for e, (a, _) in enumerate(_EDGES):
            conv = self.conv[:, e]
            entropy = np.where(self.wide[:, e], entropies[a][self.shape], PIXEL_ENTROPY)
            self.sed += weight * (entropy + PIXEL_ENTROPY) * conv[self.shape]
            self._count(channels, channels, positions, entropy, shares[e] * conv)
        return x

    def _shares(self, brought: Floats) -> Floats:
        """(edge, n) share of the cell's output that comes by each edge (``path_shares``).

        brought: (node, source, n) variance at each node that each source brings.
        """
        shares: Floats = np.zeros((len(brought[0]), len(self.ops)))
        for node in range(_NODES - 1, 0, -1):
            # What is read here: all of it at the output, elsewhere what convolutions read.
            read: Floats = np.ones(len(self.ops))
            if node < _NODES - 1:
                out = [_NODES + e for e, (a, _) in enumerate(_EDGES) if a == node]
                read = shares[out].sum(axis=0)
                read = np.where(self.meets[node], np.minimum(read + shares[node], 1.0), read)
            total = np.maximum(brought[node].sum(axis=0), 1e-300)
            shares += read * brought[node] / total
        result: Floats = np.minimum(shares[_NODES:], 1.0)
        return result

    def _reduction(self, x: Floats, channels: int, positions: int) -> Floats:
        """Residual block that halves the map: two 3x3 convolutions, pooled 1x1 shortcut."""
        narrow, wide = _weight(channels // 2, positions), _weight(channels, positions)
        x = x[:, _PLACES]
        first = correlation(relu(x))
        second = correlation(relu(resample(first, 2)))
        reads = [window_entropy(x, 3, 3)[self.shape] for x in (first, second)]
        self.sed += narrow * (reads[0] + PIXEL_ENTROPY) + wide * reads[1]
        self.sed += (2 * wide + narrow) * PIXEL_ENTROPY  # writes; the 1x1 adds no rank
        self._count(channels // 2, channels, positions, reads[0], 0.5)
        self._count(channels, channels, positions, reads[1], 0.5)
        self._count(channels // 2, channels, positions, PIXEL_ENTROPY, 0.5)
        pooled = resample(x @ route_operator(frozenset({((2, 2),)})), 2)
        return (second + correlation(pooled))[:, _KEPT]

    def unbypassed_depth(self) -> Floats:
        """Convolutions on the path that has the fewest: stem, reductions, every cell."""
        fewest = np.full((_NODES, len(self.ops)), 99.0)
        fewest[0] = 0.0
        for e, (a, b) in enumerate(_EDGES):
            through = np.where(self.ops[:, e] != _NONE, fewest[a] + self.conv[:, e], 99.0)
            fewest[b] = np.minimum(fewest[b], through)
        result: Floats = _GROUPS * (1.0 + self.cells * fewest[-1])
        return result

    # ------------------------------------------------------------------------------ isometry
    def isometry(self) -> Floats:
        """Isometry of each cell's network, after ``walk``."""
        n = len(self.ops)
        amplitude = self._amplitudes(self.ops)
        identity = self._amplitudes(np.where(self.ops == _SKIP, _SKIP, _NONE)) > 0
        points = {3: np.ones(n, dtype=np.bool_), 0: np.ones(n, dtype=np.bool_)} | self.meets
        carried = np.zeros(n)
        for group in range(_GROUPS):
            chain, unbroken = np.ones(n), np.ones(n, dtype=np.bool_)
            for cell in reversed(range(self.cells)):
                gain = self._gains(amplitude, self.variance[group, cell])
                last = np.maximum(self.depth[:, 3], 0)
                for node in (2, 1, 0):
                    depth = np.maximum(self.depth[:, node], 0)
                    convs = np.where(points[node], last - depth, 0)
                    share = np.minimum(1.0, 1.0 / np.maximum(chain * gain[node], 1e-12))
                    carried += convs * share * (unbroken & identity[:, node, 3])
                    last = np.where(points[node], depth, last)
                chain = chain * gain[0]
                unbroken &= identity[:, 0, 3]
        total = _GROUPS * self.cells * np.maximum(self.depth[:, 3], 0)
        found: Floats = carried / np.maximum(total, 1)
        return found

    def _gains(self, amplitude: Floats, variance: Floats) -> Floats:
        """(node, n) gradient energy at each node for one at the cell's output."""
        n = len(self.ops)
        arriving, gains = np.zeros((_NODES, n)), np.zeros((_NODES, n))
        arriving[3] = gains[3] = 1.0
        for a in (2, 1, 0):
            for e, (x, b) in enumerate(_EDGES):
                if x == a:
                    per_conv = RELU_GAIN / np.maximum(variance[a], 1e-9)
                    arriving[a] += self.conv[:, e] * gains[b] * per_conv
            for b in range(a, _NODES):
                gains[a] += amplitude[:, a, b] ** 2 * arriving[b]
        return gains


def _weight(rank: float, positions: int) -> float:
    return float(np.sqrt(rank * positions))
