"""Accuracy as a rising function of one score: FLASH's form, and a rising broken line.

FLASH (Li et al. 2021; form as recalled, ``theta = 1 / (a + exp(b/g + c)) + d``) saturates as the
score ``g`` grows. Four parameters are barely identifiable from 25 samples, so they are bounded:
judge a fit by its errors, never by its coefficients.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from flash.accuracy.features import feature
from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats

__all__ = ["FlashForm", "RisingLine", "theta"]

#: Bounds of a, b (in medians of the score), c, d: theta between d and 1/a + d, never falling.
_LOW = np.array([1.0, 1e-3, -12.0, 0.0])
_HIGH = np.array([20.0, 60.0, 12.0, 1.0])
_STARTS = (
    (1.0, 1.0, -2.0, 0.05),
    (1.2, 3.0, -3.0, 0.1),
    (2.0, 0.5, 0.0, 0.5),
    (1.5, 8.0, -4.0, 0.3),
)


def theta(parameters: Floats, score: Floats) -> Floats:
    """``1 / (a + exp(b/g + c)) + d`` of scores g > 0; a fraction where 1 is all correct."""
    a, b, c, d = parameters
    value: Floats = 1.0 / (a + np.exp(np.minimum(b / np.maximum(score, 1e-9) + c, 600.0))) + d
    return value


class FlashForm(Regression):
    """FLASH's form of one score (``feature`` is the score's logarithm), fitted by least squares.

    The samples' bounds count as 0 and 1. parameters: those found before, row 0 of the fit to
    all samples and row i + 1 of the fit without sample i; fitted if not given.
    """

    kind: ClassVar[str] = "flash"

    def __init__(
        self,
        samples: Samples,
        feature: str,
        parameters: Floats | None = None,
    ) -> None:
        self.features, self.bounds = (feature,), samples.bounds
        bounds = samples.bounds
        self._logs = samples.columns(self.features)[:, 0]
        self._unit = float(np.exp(np.median(self._logs)))
        self._target = (samples.accuracy - bounds[0]) / (bounds[1] - bounds[0])
        self._all = self._fitted() if parameters is None else parameters

    @staticmethod
    def allowed(parameters: Floats) -> bool:
        """Whether all coefficients lie within their bounds, so that accuracy never falls."""
        return bool(((parameters >= _LOW - 1e-9) & (parameters <= _HIGH + 1e-9)).all())

    @property
    def coefficients(self) -> tuple[float, float, float, float]:
        """a, b, c, d of ``theta`` in the score itself."""
        a, b, c, d = self._all[0]
        return float(a), float(b * self._unit), float(c), float(d)

    @property
    def metric(self) -> str:
        """The score it reads."""
        return feature(self.features[0])[0][0]

    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""
        return self._of(self._all[0], x[:, 0])

    def without(self, x: Floats) -> Floats:
        """Predictions without each sample, shape (samples, designs)."""
        return np.stack([self._of(p, x[:, 0]) for p in self._all[1:]])

    def left_out(self) -> Floats:
        """Prediction of each sample without it."""
        pairs = zip(self._all[1:], self._logs, strict=True)
        return np.array([self._of(p, np.array([log]))[0] for p, log in pairs])

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """Rows of a, b (in medians of the score), c, d: of all samples, and without each."""
        return {"coefficients": [[float(v) for v in row] for row in self._all]}

    def _of(self, parameters: Floats, logs: Floats) -> Floats:
        low, high = self.bounds
        value = low + (high - low) * theta(parameters, np.exp(logs) / self._unit)
        return np.clip(value, low, high)

    def _fitted(self) -> Floats:
        score = np.exp(self._logs) / self._unit
        keep = np.ones(len(score), dtype=np.bool_)
        whole = min(
            (_least_squares(score, self._target, np.array(start)) for start in _STARTS),
            key=lambda found: found[0],
        )[1]
        rows = [whole]
        for i in range(len(score)):
            keep[i] = False
            rows.append(_least_squares(score[keep], self._target[keep], whole)[1])
            keep[i] = True
        return np.stack(rows)


def _least_squares(score: Floats, target: Floats, start: Floats) -> tuple[float, Floats]:
    from scipy.optimize import least_squares  # noqa: PLC0415 (slow to import; searches never fit)

    def slopes(parameters: Floats) -> Floats:
        a, b, c, _ = parameters
        z = np.exp(np.minimum(b / np.maximum(score, 1e-9) + c, 300.0))
        by_a = -1.0 / (a + z) ** 2
        return np.stack([by_a, by_a * z / np.maximum(score, 1e-9), by_a * z, np.ones_like(z)], 1)

    found = least_squares(
        lambda p: theta(p, score) - target,
        np.clip(start, _LOW + 1e-6, _HIGH - 1e-6),
        slopes,
        bounds=(_LOW, _HIGH),
        x_scale=[1, 2, 2, 0.3],
        max_nfev=60,
    )
    return float(found.cost), found.x


class RisingLine(Regression):
    """A broken line over the logarithm of one score, rising everywhere, on the saturating scale.

    Knots at quantiles of the samples, slopes by non-negative least squares, drawn towards one
    another; the end slopes go on outside.
    """

    kind: ClassVar[str] = "line"
    #: Pieces, pull of the slopes towards their mean, and least slope (so that nothing ties).
    _PIECES, _PULL, _LEAST = 4, 0.5, 1e-3

    def __init__(self, samples: Samples, feature: str) -> None:
        self.features = (feature,)
        self._x = samples.columns(self.features)[:, 0]
        self._saturation = Saturation.of(samples)
        self._u = self._saturation.apply(samples.accuracy)
        knots = np.unique(np.quantile(self._x, np.linspace(0, 1, self._PIECES + 1)))
        self._knots = knots if len(knots) > 1 else np.array([knots[0], knots[0] + 1.0])
        everyone = np.ones(len(self._x), dtype=np.bool_)
        self._all = [self._fit(everyone)]
        for i in range(len(self._x)):
            everyone[i] = False
            self._all.append(self._fit(everyone))
            everyone[i] = True

    @property
    def metric(self) -> str:
        """The score it reads."""
        return feature(self.features[0])[0][0]

    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""
        return self._saturation.undo(self._basis(x[:, 0]) @ self._all[0])

    def without(self, x: Floats) -> Floats:
        """Predictions without each sample, shape (samples, designs)."""
        return self._saturation.undo((self._basis(x[:, 0]) @ np.stack(self._all[1:]).T).T)

    def left_out(self) -> Floats:
        """Prediction of each sample without it."""
        basis = self._basis(self._x)
        return self._saturation.undo(np.einsum("ij,ij->i", basis, np.stack(self._all[1:])))

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """None: the samples decide."""
        return {}

    def _basis(self, x: Floats) -> Floats:
        """A constant and one ramp a piece, whose height is its length; (designs, pieces + 1)."""
        low, high = self._knots[:-1].copy(), self._knots[1:].copy()
        start = np.where(np.arange(len(low)) == 0, -np.inf, low)
        end = np.where(np.arange(len(low)) == len(low) - 1, np.inf, high)
        ramps = np.clip(x[:, None], start, end) - low
        return np.column_stack([np.ones(len(x)), ramps])

    def _fit(self, keep: np.typing.NDArray[np.bool_]) -> Floats:
        from scipy.optimize import nnls  # noqa: PLC0415 (slow to import)

        basis, u = self._basis(self._x[keep]), self._u[keep]
        pieces = basis.shape[1] - 1
        span = float(self._knots[-1] - self._knots[0])
        pull = self._PULL * span * (np.eye(pieces) - 1.0 / pieces)
        # The constant is free of sign: it enters twice, once negated.
        rows = np.column_stack([-basis[:, :1], basis])
        rows = np.vstack([rows, np.column_stack([np.zeros((pieces, 2)), pull])])
        least = np.concatenate([[0.0, 0.0], np.full(pieces, self._LEAST / span)])
        wanted = np.concatenate([u, np.zeros(pieces)]) - rows @ least
        found = nnls(rows, wanted)[0] + least
        return np.concatenate([[found[1] - found[0]], found[2:]])
