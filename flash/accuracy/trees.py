"""A line in the score, and extremely randomised trees for what it leaves: from 20 samples on.

    u(x) = a + b score(x) + mean over trees of the residual's tree(x)

``u`` is the accuracy on the scale of ``Saturation``. Trees (Geurts, Ernst & Wehenkel 2006: random
thresholds, the best of some random features at each node) read which choice stands where
(``Family.structure``) beside sizes and scores, so they go on learning where smooth models of a few
features stand still. Each tree is grown from a bootstrap of the samples; the trees that lack a
sample are the model without it (jackknife+-after-bootstrap; Kim, Xu & Barber 2020), up to the line,
which is fitted again without the sample for its own part and once for the trees' residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats

__all__ = ["LEAST_TREES", "ScoreAndTrees"]

#: Fewer samples than this say too little of where choices stand.
LEAST_TREES = 20
#: Trees; each sample is missing from about 37 % of them.
_TREES = 120
#: Share of the features tried at a node; half and a third rank NAS-Bench-201 alike.
_TRIED = 0.4
#: Draws at the least: one that is the same for all of a node divides nothing.
_FEWEST_TRIED = 5
#: No branch is deeper: beyond it nodes hold a sample or two.
_DEEPEST = 40
#: Spread of a node's values below which it is a leaf.
_FLAT = 1e-12
#: Designs looked at together.
_CHUNK = 2048

Ints = NDArray[np.int64]


class ScoreAndTrees(Regression):
    """The model of this file; the same samples give the same trees.

    features: names of what the trees read; the first is the score.
    """

    kind: ClassVar[str] = "trees"

    def __init__(self, samples: Samples, features: Sequence[str]) -> None:
        self.features = tuple(features)
        self._x = samples.columns(self.features)
        self._saturation = Saturation.of(samples)
        self._u = self._saturation.apply(samples.accuracy)
        score, n = self._x[:, 0], len(samples)
        self._lines = _lines(score, self._u)
        rng = np.random.default_rng(0)
        self._counts = rng.multinomial(n, np.full(n, 1.0 / n), size=_TREES)
        residual = self._u - _on(self._lines[:1], score)[0]
        self._forest = _grow(self._x, residual, self._counts, rng)
        lacks = (self._counts == 0).astype(np.float64)
        # A sample that every tree has is left to the line alone.
        self._without = (lacks / np.maximum(lacks.sum(axis=0), 1.0)).T

    @property
    def searchable(self) -> bool:
        """No: it rises with nothing that stages add to."""
        return False

    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""
        parts = [
            _on(self._lines[:1], part[:, 0])[0] + self._forest.of(part).mean(axis=0)
            for part in _chunks(x)
        ]
        return self._saturation.undo(np.concatenate(parts)) if parts else np.zeros(0)

    def without(self, x: Floats) -> Floats:
        """Predictions without each sample, shape (samples, designs)."""
        parts = [
            _on(self._lines[1:], part[:, 0]) + self._without @ self._forest.of(part)
            for part in _chunks(x)
        ]
        return self._saturation.undo(np.concatenate(parts, axis=1))

    def left_out(self) -> Floats:
        """Prediction of each sample without it, shape (samples,)."""
        line = np.diagonal(_on(self._lines[1:], self._x[:, 0]))
        trees = (self._without * self._forest.of(self._x).T).sum(axis=1)
        return self._saturation.undo(line + trees)

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """None: the samples decide."""
        return {}


def _chunks(x: Floats) -> list[Floats]:
    return [x[start : start + _CHUNK] for start in range(0, len(x), _CHUNK)]


def _lines(score: Floats, u: Floats) -> Floats:
    """Intercept and slope of all samples, then without each; shape (samples + 1, 2).

    The slope is not negative: the score rises with accuracy until the trees say where it does not.
    """
    weights = np.vstack([np.ones(len(u)), 1.0 - np.eye(len(u))])
    total = weights.sum(axis=1)
    mean_s, mean_u = weights @ score / total, weights @ u / total
    cross = weights @ (score * u) / total - mean_s * mean_u
    spread = np.maximum(weights @ score**2 / total - mean_s**2, _FLAT)
    slope = np.maximum(cross / spread, 0.0)
    return np.stack([mean_u - slope * mean_s, slope], axis=1)


def _on(lines: Floats, score: Floats) -> Floats:
    """Shape (lines, designs)."""
    found: Floats = lines[:, :1] + lines[:, 1:] * score
    return found


@dataclass(frozen=True)
class _Forest:
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


def _grow(x: Floats, y: Floats, counts: Ints, rng: np.random.Generator) -> _Forest:
    """All trees at once, level by level: ``counts`` (trees, samples) of each bootstrap."""
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
    return _Forest(trees, *(np.concatenate(part) for part in zip(*levels, strict=True)))


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
