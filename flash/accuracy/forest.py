"""Extremely randomised trees (Geurts, Ernst & Wehenkel 2006), grown all at once.

At each node some random features are tried, each with one random threshold; the best divides it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest", "grow"]

#: Share of the features tried at a node; half and a third rank NAS-Bench-201 alike.
_TRIED = 0.4
#: Draws at the least: one that is the same for all of a node divides nothing.
_FEWEST_TRIED = 5
#: No branch is deeper: beyond it nodes hold a sample or two.
_DEEPEST = 40
#: Spread of a node's values below which it is a leaf.
_FLAT = 1e-12

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees in one numbering, the roots first; leaves have feature -1."""

    trees: int
    feature: Ints
    threshold: Floats
    below: Ints
    value: Floats

    def of(self, x: Floats) -> Floats:
        """The value of every tree for every design, shape (trees, designs)."""
        at = np.repeat(np.arange(self.trees)[:, None], len(x), axis=1)
        designs = np.arange(len(x))
        while True:
            feature = self.feature[at]
            inner = feature >= 0
            if not inner.any():
                return self.value[at]
            # The child at or above the threshold follows the one below it.
            above = x[designs, np.maximum(feature, 0)] >= self.threshold[at]
            at = np.where(inner, self.below[at] + above, at)


def grow(x: Floats, y: Floats, counts: Ints, rng: np.random.Generator) -> Forest:
    """Grow all trees at once, level by level.

    x: what the trees read, shape (samples, features). y: shape (samples,). counts: how often each
    tree has each sample, shape (trees, samples).
    """
    trees, features = len(counts), x.shape[1]
    node, sample = np.nonzero(counts)  # an entry a tree and sample; node numbers of this level
    weight = counts[node, sample].astype(np.float64)
    levels: list[tuple[Ints, Floats, Ints, Floats]] = []
    number, made = trees, trees
    for _ in range(_DEEPEST):
        starts = np.searchsorted(node, np.arange(number))
        total = np.add.reduceat(weight, starts)
        of_y = np.add.reduceat(weight * y[sample], starts)
        value = of_y / total
        spread = np.add.reduceat(weight * (y[sample] - value[node]) ** 2, starts)
        tried = rng.integers(features, size=(max(_FEWEST_TRIED, round(_TRIED * features)), number))
        cut = rng.random(tried.shape)
        best, feature, threshold = _best_split(
            (x[sample], y[sample], weight), (node, starts), (total, of_y), (tried, cut)
        )
        split = np.isfinite(best) & (spread > _FLAT)
        children = made + 2 * (np.cumsum(split) - 1)
        levels.append(
            (np.where(split, feature, -1), threshold, np.where(split, children, 0), value)
        )
        keep = split[node]
        if not keep.any():
            break
        node, sample, weight = node[keep], sample[keep], weight[keep]
        above = x[sample, feature[node]] >= threshold[node]
        node = children[node] - made + above
        order = np.argsort(node, kind="stable")
        node, sample, weight = node[order], sample[order], weight[order]
        number = 2 * int(split.sum())
        made += number
    else:
        starts = np.searchsorted(node, np.arange(number))
        value = np.add.reduceat(weight * y[sample], starts) / np.add.reduceat(weight, starts)
        none = np.zeros(number, dtype=np.int64)
        levels.append((none - 1, value, none, value))
    return Forest(trees, *(np.concatenate(part) for part in zip(*levels, strict=True)))


def _best_split(
    entries: tuple[Floats, Floats, Floats],
    groups: tuple[Ints, Ints],
    totals: tuple[Floats, Floats],
    candidates: tuple[Ints, Floats],
) -> tuple[Floats, Ints, Floats]:
    """Of each node's candidates the one that leaves the least squares: gain, feature, threshold.

    entries: features, value and weight of each sample in each tree, node by node.  groups: its
    node, and where each node starts.  totals: weight, and weight times value, of each node.
    candidates: features, and thresholds as shares of their range, shape (candidates, nodes). The
    gain is -inf where none divides the node.
    """
    x, y, weight = entries
    node, starts = groups
    total, of_y = totals
    rows = np.arange(len(node))
    best = np.full(len(total), -np.inf)
    feature, threshold = np.zeros(len(total), dtype=np.int64), np.zeros(len(total))
    for tried, cut in zip(*candidates, strict=True):
        seen = x[rows, tried[node]]
        low, high = np.minimum.reduceat(seen, starts), np.maximum.reduceat(seen, starts)
        at = low + cut * (high - low)
        below = weight * (seen < at[node])
        left, left_y = np.add.reduceat(below, starts), np.add.reduceat(below * y, starts)
        right = total - left
        fits = (left > 0) & (right > 0) & (high > low)
        gain = np.where(
            fits,
            left_y**2 / np.maximum(left, _FLAT) + (of_y - left_y) ** 2 / np.maximum(right, _FLAT),
            -np.inf,
        )
        better = gain > best
        best = np.where(better, gain, best)
        feature, threshold = np.where(better, tried, feature), np.where(better, at, threshold)
    return best, feature, threshold
