"""Kriging: a straight trend in some features and a smooth correction learned from the samples.

    u(x) = b' t(x) + z(x),    cov z = s^2 ( ratio k(x, x') + [x = x'] )

with ``k`` a Gaussian kernel of all features, or their inner product (then the model is ridge
regression). Features are scaled by the samples' mean and deviation, ``u`` is the accuracy on the
scale of ``Saturation``. ``ratio`` and length are those of the largest restricted likelihood on a
small grid: with 25 samples nothing finer is known. Predictions are linear in the samples, so
the model without a sample is exact algebra (length and ratio kept): Rasmussen & Williams, Gaussian
Processes for Machine Learning, 2006, sections 2.7 and 5.4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats

__all__ = ["Kriging", "Ridge"]

_LENGTHS = (1.0, 2.0, 4.0, 8.0)
_RATIOS = (0.1, 0.3, 1.0, 3.0, 10.0)
#: Keeps the trend of a constant feature finite.
_TINY = 1e-6
#: Designs looked at together: the kernel of a chunk stays in the cache.
_CHUNK = 4096


class Kriging(Regression):
    """Kriging with a Gaussian kernel; trend: the features it may follow far from the samples."""

    kind: ClassVar[str] = "kriging"

    def __init__(
        self,
        samples: Samples,
        features: Sequence[str],
        trend: Sequence[str],
        length: float | None = None,
        ratio: float | None = None,
    ) -> None:
        self.features, self.trend = tuple(features), tuple(trend)
        rows = samples.columns(self.features)
        self._centre = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        self._scale = np.where(deviation > 1e-9, deviation, 1.0)
        self._columns = [self.features.index(name) for name in self.trend]
        self._x = self._scaled(rows)
        self._saturation = Saturation.of(samples)
        self._u = self._saturation.apply(samples.accuracy)
        if length is None or ratio is None:
            length, ratio = self._likeliest()
        self.length, self.ratio = length, ratio
        self._solve()

    # ------------------------------------------------------------------------------- the model
    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""
        return self._saturation.undo(np.concatenate([w @ self._u for w in self._weights(x)]))

    def without(self, x: Floats) -> Floats:
        """Predictions without each sample, shape (samples, designs)."""
        parts = [(w @ self._u)[:, None] - w * self._residuals for w in self._weights(x)]
        return self._saturation.undo(np.concatenate(parts).T)

    def left_out(self) -> Floats:
        """Prediction of each sample without it."""
        return self._saturation.undo(self._u - self._residuals)

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """Length (in deviations of the features) and ratio of the correction to the noise."""
        return {"length": self.length, "ratio": self.ratio}

    # ------------------------------------------------------------------------------- algebra
    def _kernel(self, a: Floats, b: Floats, length: float) -> Floats:
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        kernel: Floats = np.exp(-np.maximum(squares, 0.0) / (2 * a.shape[1] * length**2))
        return kernel

    def _scaled(self, rows: Floats) -> Floats:
        scaled: Floats = (rows - self._centre) / self._scale
        return scaled

    def _trend(self, x: Floats) -> Floats:
        return np.concatenate([np.ones((len(x), 1)), x[:, self._columns]], axis=1)

    def _likeliest(self) -> tuple[float, float]:
        """Length and ratio of the largest restricted likelihood, the variance profiled out."""
        best = (-np.inf, 1.0, 1.0)
        n, trend = len(self._u), self._trend(self._x)
        free = max(n - trend.shape[1], 1)
        for length in self._lengths():
            kernel = self._kernel(self._x, self._x, length)
            for ratio in _RATIOS:
                lower = np.linalg.cholesky(ratio * kernel + np.eye(n))
                whitened = np.linalg.solve(lower, np.column_stack([trend, self._u]))
                t, u = whitened[:, :-1], whitened[:, -1]
                gram = t.T @ t + _TINY * np.eye(t.shape[1])
                rest = u - t @ np.linalg.solve(gram, t.T @ u)
                variance = max(float(rest @ rest), 1e-12) / free
                value = (
                    -0.5 * free * np.log(variance)
                    - float(np.log(np.diag(lower)).sum())
                    - 0.5 * float(np.linalg.slogdet(gram)[1])
                )
                best = max(best, (value, length, ratio))
        return best[1], best[2]

    def _lengths(self) -> tuple[float, ...]:
        return _LENGTHS

    def _solve(self) -> None:
        trend = self._trend(self._x)
        kernel = self.ratio * self._kernel(self._x, self._x, self.length)
        inverse = np.linalg.inv(kernel + np.eye(len(self._u)))
        gram = trend.T @ inverse @ trend + _TINY * np.eye(trend.shape[1])
        self._by_trend = inverse @ trend @ np.linalg.inv(gram)
        self._by_kernel = inverse - self._by_trend @ trend.T @ inverse
        # A sample's prediction is off by q u / q_ii when it is left out.
        own = np.einsum("ij,ij->i", self._own_weights(), np.eye(len(self._u)))
        fitted = self._own_weights() @ self._u
        self._residuals: Floats = (self._u - fitted) / np.maximum(1.0 - own, 1e-9)

    def _own_weights(self) -> Floats:
        return next(iter(self._weights(self._x * self._scale + self._centre, len(self._x))))

    def _weights(self, rows: Floats, chunk: int = _CHUNK) -> list[Floats]:
        """Weight of every sample in every prediction, shape (designs, samples), in chunks."""
        parts = []
        for start in range(0, len(rows), chunk):
            x = self._scaled(rows[start : start + chunk])
            near = self.ratio * self._kernel(x, self._x, self.length)
            parts.append(near @ self._by_kernel.T + self._trend(x) @ self._by_trend.T)
        return parts


class Ridge(Kriging):
    """Ridge regression: a weighted sum of features that are sums over stages.

    Its prediction rises strictly with one number a stage contributes to, ``index``, so
    optimizers search it exactly.
    """

    kind: ClassVar[str] = "ridge"

    def __init__(
        self, samples: Samples, features: Sequence[str], ratio: float | None = None
    ) -> None:
        super().__init__(samples, features, (), None if ratio is None else 1.0, ratio)

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """Ratio of the variance of the weights to that of the noise."""
        return {"ratio": self.ratio}

    def _kernel(self, a: Floats, b: Floats, length: float) -> Floats:
        kernel: Floats = a @ b.T / a.shape[1]
        return kernel

    def _lengths(self) -> tuple[float, ...]:
        return (1.0,)

    @property
    def index_weights(self) -> Floats:
        """Weight of each raw feature in the index, shape (features,)."""
        per_scaled = self.ratio / len(self.features) * (self._x.T @ (self._by_kernel @ self._u))
        weights: Floats = per_scaled / self._scale
        return weights

    def from_index(self, index: Floats) -> Floats:
        """Predicted accuracy of designs of these indices (features @ ``index_weights``)."""
        constant = float((self._by_trend.T @ self._u)[0])
        return self._saturation.undo(constant + index - float(self._centre @ self.index_weights))
