"""Prediction intervals from leave-one-out errors: the jackknife+ (Barber et al. 2021).

Of the models without sample i, each moved up and down by its error at i, the outer tenth is cut
off; on the saturating scale, where errors of good and poor networks are alike. The published
guarantee for an interval of 90 % is a coverage of at least 80 %; it comes near 90 % for stable
models. Beyond the box of the sampled features the interval is widened, down to the least accuracy
of a sample less the largest error at one: further down no sample says anything (our rule).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats

__all__ = ["extent", "intervals", "outside"]

#: Share of a feature's sampled range that counts as still inside.
_MARGIN = 0.05
#: An interval is 1 + this x (how many ranges beyond the samples) times as wide.
_WIDENING = 4.0


def extent(feature: Floats) -> tuple[float, float]:
    """The range of a feature of the samples, margin included, that counts as inside."""
    low, high = float(feature.min()), float(feature.max())
    margin = _MARGIN * (high - low if high > low else 1.0)
    return low - margin, high + margin


def outside(samples: Samples, rows: Floats) -> Floats:
    """How far designs lie beyond the samples' box, in ranges of a feature; 0 inside it."""
    low, high = samples.rows.min(axis=0), samples.rows.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    beyond = np.maximum(low - rows, rows - high) / span - _MARGIN
    distance: Floats = np.sqrt((np.maximum(beyond, 0.0) ** 2).sum(axis=1))
    return distance


def intervals(
    model: Regression,
    samples: Samples,
    rows: Floats,
    x: Floats,
    coverage: float = 0.9,
    predicted: Floats | None = None,
    further: Floats | float = 0.0,
    factor: Floats | float = 1.0,
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Value, low, high and "beyond the samples" of designs, each of shape (designs,).

    rows: the samples' features of the designs; x: the model's.  predicted: what the model
    predicts of them, where that is known already.  further: how far they lie beyond the samples
    otherwise, in ranges, shape (designs,).  factor: times as wide for other reasons, likewise.
    """
    scale = Saturation.of(samples)
    predicted = model.predict(x) if predicted is None else predicted
    value = scale.apply(predicted)
    errors = np.abs(scale.apply(samples.accuracy) - scale.apply(model.left_out()))[:, None]
    moved = scale.apply(model.without(x))
    n, miss = len(samples), 1.0 - coverage
    # Ranks from 1; with few samples the outermost is the best that can be said.
    down = max(math.floor(miss * (n + 1) + 1e-9), 1) - 1
    up = min(math.ceil(coverage * (n + 1) - 1e-9), n) - 1
    low = np.minimum(np.partition(moved - errors, down, axis=0)[down], value)
    high = np.maximum(np.partition(moved + errors, up, axis=0)[up], value)
    beyond = np.hypot(outside(samples, rows), further)
    wider = factor * (1.0 + _WIDENING * beyond)
    floor = samples.accuracy.min() - np.abs(model.left_out() - samples.accuracy).max()
    lower = scale.undo(value - wider * (value - low))
    lower = np.maximum(lower, np.minimum(scale.undo(low), floor))
    upper = scale.undo(value + wider * (high - value))
    return predicted, np.minimum(lower, predicted), np.maximum(upper, predicted), beyond > 0
