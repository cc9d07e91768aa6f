"""Kriging: lines in blocks of features and a smooth correction, averaged over how much each tells.

    u(x) = b' t(x) + sum_k x_k' w_k + z(x) + noise,   cov w_k = v_k I / p_k,   cov z = v_z k(x, x')

``u`` is the accuracy on the scale of ``Saturation``, in units of the noise; features are scaled by
the samples' mean and deviation; ``t`` are the features a trend may follow without restraint (the
score), ``x_k`` the p_k features of a block (sizes, shape ...), ``k`` a Gaussian kernel of all.

The variances ``v`` say how much a block tells. 25 samples do not decide that, so no single choice
is made: predictions of all choices on a grid are averaged, each weighted with its restricted
likelihood. Predictions are linear in the samples, so the model without a sample is exact algebra
(the weights kept): Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, sections
2.7, 5.4.1 and 5.4.2.

Where there is a trend, it alone goes on beyond the samples: any other feature counts as the nearest
value that a sample has (ours; a line through 25 networks says nothing of one ten times as deep).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from flash.accuracy.features import cell_features
from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable

__all__ = ["Kriging", "Ridge"]

#: Variances tried for every block and the correction, in units of the noise.
_VARIANCES = (0.0, 0.1, 1.0, 10.0)
#: Reach of the correction, in deviations of a feature.
_LENGTH = 1.5
#: Variances tried for ridge regression.
_RATIOS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: Samples that the weights of the choices are computed from; more change them little and cost
#: time that grows with the cube of their number.
_DECIDING = 100
#: Smallest weight of a choice that is kept, as a share of the largest weight.
_FAINT = 0.01
#: Bound on (choices kept) x (samples), which is what a prediction costs: with 25 samples 256
#: choices may stay, with 400 samples 16.
_WORK = 6400
#: Choices that are kept whatever ``_WORK`` says.
_LEAST = 8
#: Decimals of a stage's index (in units of the samples' noise). Designs that differ by less are
#: equal: else the last bits, which depend on the machine's linear algebra, choose between them.
_INDEX_DECIMALS = 9
#: Keeps the trend of a constant feature finite.
_TINY = 1e-6
#: With more samples one less hardly changes the weights of the choices, and the time that
#: weighing them anew for each takes grows with the fourth power of their number (40: a second).
_ANEW = 40
#: Designs looked at together: the kernel of a chunk stays in the cache.
_CHUNK = 4096


class Kriging(Regression):
    """Kriging over blocks of features.

    blocks:  names of the features, block by block.
    trend:   those of them it may follow far from the samples.
    mixture: a row for each choice: the variance of every block, that of the correction, and the
        weight of the choice; shape (choices, blocks + 2). Worked out if not given.
    length:  reach of the correction, in deviations of a feature.
    """

    kind: ClassVar[str] = "kriging"

    def __init__(
        self,
        samples: Samples,
        blocks: Sequence[Sequence[str]],
        trend: Sequence[str],
        mixture: Floats | None = None,
        length: float = _LENGTH,
    ) -> None:
        self.blocks, self.trend = tuple(tuple(block) for block in blocks), tuple(trend)
        self.features = tuple(name for block in self.blocks for name in block)
        self.length, self._samples = length, samples
        self._given = mixture is not None
        rows = samples.columns(self.features)
        self._centre = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        self._scale = np.where(deviation > 1e-9, deviation, 1.0)
        self._columns = [self.features.index(name) for name in self.trend]
        ends = np.cumsum([0, *map(len, self.blocks)])
        self._slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self._x = self._scaled(rows)
        self._held = np.ones(len(self.features), dtype=np.bool_) & bool(self.trend)
        self._held[self._columns] = False
        self._saturation = Saturation.of(samples)
        self._u = self._saturation.apply(samples.accuracy)
        self.mixture = self._weighted() if mixture is None else mixture
        self._solve()

    # ------------------------------------------------------------------------------- the model
    @property
    def searchable(self) -> bool:
        """No: it rises with nothing that stages add to."""
        return False

    def settings(self) -> dict[str, tuple[str, ...]]:
        """Its features, and those of them it may follow far from the samples."""
        return {"features": self.features, "trend": self.trend}

    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""
        return self._saturation.undo(self._of(x, slice(0, 1))[0])

    def without(self, x: Floats) -> Floats:
        """Predictions without each sample, shape (samples, designs)."""
        return self._saturation.undo(self._of(x, slice(1, None)))

    def left_out(self) -> Floats:
        """Prediction of each sample without it."""
        found = self._u - self._residuals
        low, high = self._range_of_others()
        within = self._inside(self._x, low, high)
        for i in np.flatnonzero((within != self._x).any(axis=1)):
            found[i] = self._at(within[i : i + 1], slice(i + 1, i + 2))[0, 0]
        return self._saturation.undo(found)

    def left_out_anew(self) -> Floats:
        """The same, with the choices weighed without the sample too; of ``_ANEW`` samples at most.

        Weights that have seen a sample make models of many features look better than they are.
        """
        if self._given or len(self._u) > _ANEW:
            return self.left_out()
        rows = self._samples.columns(self.features)
        found = [self._without(i).predict(rows[i : i + 1])[0] for i in range(len(rows))]
        return np.array(found)

    def _without(self, sample: int) -> Kriging:
        """The same model fitted to the other samples."""
        return Kriging(self._samples.without(sample), self.blocks, self.trend, length=self.length)

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """Length of the correction, number of features a block, and the choices averaged."""
        sizes = [float(len(block)) for block in self.blocks]
        return {"length": self.length, "blocks": sizes, "mixture": self.mixture.tolist()}

    # ------------------------------------------------------------------------------- algebra
    def _of(self, rows: Floats, models: slice) -> Floats:
        """On the saturating scale, (models, designs): model 0 has all samples, i + 1 lacks i."""
        parts = []
        for start in range(0, len(rows), _CHUNK):
            x = self._scaled(rows[start : start + _CHUNK])
            found = self._at(self._inside(x, self._x.min(axis=0), self._x.max(axis=0)), models)
            if models.start:
                self._narrow(found, x)
            parts.append(found)
        return np.concatenate(parts).T if parts else np.empty((0, 0))

    def _narrow(self, found: Floats, x: Floats) -> None:
        """Correct what models that lack a sample say beyond what the others have; in place."""
        low, high = self._range_of_others()
        lower = self._held & (low > self._x.min(axis=0))
        upper = self._held & (high < self._x.max(axis=0))
        for i in np.flatnonzero((lower | upper).any(axis=1)):
            beyond = (lower[i] & (x < low[i])) | (upper[i] & (x > high[i]))
            rows = np.flatnonzero(beyond.any(axis=1))
            own = self._inside(x[rows], low[i], high[i])
            found[rows, i] = self._at(own, slice(i + 1, i + 2))[:, 0]

    def _at(self, x: Floats, models: slice) -> Floats:
        """The same of scaled features, (designs, models)."""
        found: Floats = self._straight[0, models] + x @ self._straight[1:, models]
        if self._smooth.any():
            found += self._kernel(x, self._x) @ self._smooth[:, models]
        return found

    def _inside(self, x: Floats, low: Floats, high: Floats) -> Floats:
        """Features that only hold inside what was seen, moved there."""
        return np.where(self._held, np.clip(x, low, high), x)

    def _range_of_others(self) -> tuple[Floats, Floats]:
        """Least and most of each feature among all samples but one, (samples, features) each."""
        ranked = np.sort(self._x, axis=0)
        low = np.where(self._x == ranked[0], ranked[1], ranked[0])
        high = np.where(self._x == ranked[-1], ranked[-2], ranked[-1])
        return low, high

    def _kernel(self, a: Floats, b: Floats) -> Floats:
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        kernel: Floats = np.exp(-np.maximum(squares, 0.0) / (2 * a.shape[1] * self.length**2))
        return kernel

    def _scaled(self, rows: Floats) -> Floats:
        scaled: Floats = (rows - self._centre) / self._scale
        return scaled

    def _kernels(self, x: Floats) -> Floats:
        """Of every block and of the correction, among the rows of x; (blocks + 1, n, n)."""
        lines = [x[:, s] @ x[:, s].T / (s.stop - s.start) for s in self._slices]
        return np.stack([*lines, self._kernel(x, x)])

    def _trend(self, x: Floats) -> Floats:
        return np.concatenate([np.ones((len(x), 1)), x[:, self._columns]], axis=1)

    def _choices(self) -> Floats:
        """Variances tried, shape (choices, blocks + 1)."""
        return np.array(list(itertools.product(_VARIANCES, repeat=len(self.blocks) + 1)))

    def _weighted(self) -> Floats:
        """The mixture: choices and their normalised restricted likelihoods."""
        few = np.unique(np.linspace(0, len(self._u) - 1, _DECIDING).astype(np.int64))
        x, u = self._x[few], self._u[few]
        kernels, trend, choices = self._kernels(x), self._trend(x), self._choices()
        free = max(len(u) - trend.shape[1], 1)
        logs = np.empty(len(choices))
        for row, variances in enumerate(choices):
            covariance = np.tensordot(variances, kernels, 1) + np.eye(len(u))
            by_noise, _, gram = _generalised(covariance, trend)
            # The variance of the noise is profiled out.
            noise = max(float(u @ by_noise @ u), 1e-12) / free
            determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(gram)[1]
            logs[row] = -0.5 * (free * np.log(noise) + float(determinants))
        weights = np.exp(logs - logs.max())
        most = max(_WORK // len(self._u), _LEAST)
        likeliest = np.argsort(-weights, kind="stable")[:most]
        kept = likeliest[weights[likeliest] >= _FAINT]
        return np.column_stack([choices[kept], weights[kept] / weights[kept].sum()])

    def _solve(self) -> None:
        """Coefficients of the model with all samples (column 0) and without each (the others)."""
        n, trend, kernels = len(self._u), self._trend(self._x), self._kernels(self._x)
        straight = np.zeros((1 + len(self.features), n + 1))
        self._smooth = np.zeros((n, n + 1))
        self._residuals = np.zeros(n)
        lines = [self._x[:, s] / (s.stop - s.start) for s in self._slices]
        for *variances, weight in self.mixture:
            covariance = np.tensordot(variances, kernels, 1) + np.eye(n)
            by_noise, by_trend, _ = _generalised(covariance, trend)
            own = by_noise @ self._u
            # A sample is off by own / diagonal from the model without it.
            off = own / np.maximum(np.diag(by_noise), 1e-9)
            dual = np.column_stack([own, own[:, None] - by_noise * off])
            slopes = by_trend @ self._u
            slopes = np.column_stack([slopes, slopes[:, None] - by_trend * off])
            straight[[0, *(1 + c for c in self._columns)]] += weight * slopes
            for block, line, variance in zip(self._slices, lines, variances[:-1], strict=True):
                straight[1 + block.start : 1 + block.stop] += weight * variance * line.T @ dual
            self._smooth += weight * variances[-1] * dual
            self._residuals += weight * off
        self._straight = straight


def _generalised(covariance: Floats, trend: Floats) -> tuple[Floats, Floats, Floats]:
    """Generalised least squares: what makes residuals, what makes slopes, and the trend's gram."""
    inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    gram = trend.T @ inverse @ trend + _TINY * np.eye(trend.shape[1])
    slopes = np.asarray(np.linalg.solve(gram, trend.T @ inverse), dtype=np.float64)
    return inverse - inverse @ trend @ slopes, slopes, gram


class Ridge(Kriging):
    """Ridge regression: a weighted sum of features that are sums over stages.

    ``ratio`` of the variance of the weights to that of the noise: the likeliest unless given.
    Its prediction rises strictly with one number a stage contributes to, ``index``, so
    optimizers search it exactly.
    """

    kind: ClassVar[str] = "ridge"

    def __init__(
        self, samples: Samples, features: Sequence[str], ratio: float | None = None
    ) -> None:
        given = None if ratio is None else np.array([[ratio, 0.0, 1.0]])
        super().__init__(samples, (features,), (), given)

    def _without(self, sample: int) -> Kriging:
        return Ridge(self._samples.without(sample), self.features)

    @property
    def ratio(self) -> float:
        """Variance of the weights over that of the noise."""
        return float(self.mixture[0, 0])

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """Ratio of the variance of the weights to that of the noise."""
        return {"ratio": self.ratio}

    def _choices(self) -> Floats:
        return np.array([(ratio, 0.0) for ratio in _RATIOS])

    def _weighted(self) -> Floats:
        every = super()._weighted()
        likeliest = every[np.argmax(every[:, -1])]
        return np.array([[*likeliest[:-1], 1.0]])

    @property
    def index_weights(self) -> Floats:
        """Weight of each raw feature in the index, shape (features,)."""
        weights: Floats = self._straight[1:, 0] / self._scale
        return weights

    @property
    def searchable(self) -> bool:
        """Yes: by its index."""
        return True

    @property
    def metric(self) -> str:
        """Its own index."""
        return "accuracy"

    @property
    def index(self) -> Callable[[LayerTable], Floats]:
        """The sum over cells that its prediction rises with, for the cells in a table."""
        weights, names = self.index_weights, self.features

        def index(table: LayerTable) -> Floats:
            columns = cell_features(table, names).T
            found: Floats = np.round(np.sum(columns * weights[:, None], axis=0), _INDEX_DECIMALS)
            return found

        return index

    def from_metric(self, values: Floats) -> Floats:
        """Predicted accuracy of designs of these indices; it never falls."""
        return self.from_index(values)

    def settings(self) -> dict[str, tuple[str, ...]]:
        """Its features; the trend is all of them."""
        return {"features": self.features}

    def from_index(self, index: Floats) -> Floats:
        """Predicted accuracy of designs of these indices (features @ ``index_weights``)."""
        constant = float(self._straight[0, 0])
        return self._saturation.undo(constant + index - float(self._centre @ self.index_weights))
