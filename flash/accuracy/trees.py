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
from typing import ClassVar

import numpy as np

from flash.accuracy.forest import grow
from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats

__all__ = ["LEAST_TREES", "ScoreAndTrees"]

#: Fewer samples than this say too little of where choices stand.
LEAST_TREES = 20
#: Trees; each sample is missing from about 37 % of them.
_TREES = 120
#: Least spread of the scores that a slope comes from.
_FLAT = 1e-12
#: Designs looked at together.
_CHUNK = 2048


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
        self._forest = grow(self._x, residual, self._counts, rng)
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
