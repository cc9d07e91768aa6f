"""From accuracies after a short training to those after a long one, by a few anchors.

An anchor is a network whose accuracy is known after both: one trained twice, or one whose long
accuracy is published. Over anchors,

    log(error long) = level of the space + a log(error short) + b log(size)

``size`` is the geometric mean of the params of a network's cells (``mean_cell_params``): its
logarithm adds up over cells, as what ridge regression reads does, so that lifted accuracies lie on
a sum over cells again and an optimizer searches them exactly. Params together do not add up so;
they are the size in spaces without cells to add up over.

Larger networks gain more from a long training (b < 0). A handful of anchors cannot tell slopes,
so those start from what public pairs of trainings show: over NAS-Bench-201, 12 epochs against 200,
a = 0.56 to 0.83 and b = -0.14 to -0.16 (params, by which cells count); over plain CNNs of 8 to 64
channels, 25 epochs against 100, a = 1.0 and b = 0. Both lie within about a deviation of what is
assumed here. The level is the space's own. ``docs/validation/accuracy.md`` has how well that
predicts from 3 anchors on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flash.errors import InputError
from flash.spaces.stage_tables import Floats

__all__ = ["LEAST_ANCHORS", "Anchor", "AnchorFit", "Level", "fit_anchors"]

#: Fewer anchors than this say nothing of a level's error.
LEAST_ANCHORS = 3
#: The slopes a and b before any anchor is seen, and their deviations: between spaces and recipes.
_SLOPES = np.array([0.75, -0.10])
_SLOPE_DEVIATIONS = np.array([0.20, 0.07])
#: Deviation of log(error long) about the law before any anchor is seen, and how many anchors that
#: counts for: NAS-Bench-201 has 0.10 to 0.13.
_DEVIATION, _COUNTS_FOR = 0.15, 5
#: Half of a 90 % interval, in deviations.
_NINETY = 1.645
#: Errors are counted from this many per cent on: the logarithm stays finite.
_LEAST_ERROR = 0.01


@dataclass(frozen=True)
class Level:
    """What stands behind the level of a model's accuracies, beside its samples.

    statement: whose accuracies they are, for people.
    anchors:   how many networks decide the level; 0 where the samples themselves do.
    spread:    half of a 90 % interval of log(error) that the samples do not show: a prediction's
               interval holds it beside its own error.
    """

    statement: str
    anchors: int
    spread: float

    @property
    def behind(self) -> str:
        """What the spread comes from, in short."""
        return f"{self.anchors} anchors" if self.anchors else "what the samples do not vary"

    def widened(self, value: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Interval ends with the spread added: independent errors, so squares add up."""
        error = np.maximum(100.0 - value, _LEAST_ERROR)
        down, up = error * np.expm1(self.spread), -error * np.expm1(-self.spread)
        return (
            np.maximum(value - np.hypot(value - low, down), 0.0),
            np.minimum(value + np.hypot(high - value, up), 100.0),
        )


@dataclass(frozen=True)
class Anchor:
    """A network's accuracy after a short and after a long training (per cent), and its size.

    size: params of a cell, the geometric mean over the network's.
    """

    space: str
    design: str
    short: float
    long: float
    size: float


@dataclass(frozen=True)
class AnchorFit:
    """The law over anchors: ``levels`` by space, the slopes a and b they share, and its errors.

    deviation:  of log(error long) of a network about the law.
    covariance: of the slopes.  centres: mean regressors of each space's anchors.
    counts:     anchors of each space.
    """

    levels: Mapping[str, float]
    slopes: Floats
    deviation: float
    covariance: Floats
    centres: Mapping[str, Floats]
    counts: Mapping[str, int]

    def long(self, space: str, short: Floats, size: Floats) -> Floats:
        """Accuracy after the long training of networks, shape (networks,), per cent."""
        found: Floats = 100.0 - np.exp(self.levels[space] + _regressors(short, size) @ self.slopes)
        return np.clip(found, 0.0, 100.0)

    def spread(self, space: str, short: Floats, size: Floats) -> float:
        """Half of a 90 % interval of log(error long), the mean over networks."""
        away = _regressors(short, size) - self.centres[space]
        slopes = np.einsum("ij,jk,ik->i", away, self.covariance, away)
        own = self.deviation**2 * (1.0 + 1.0 / self.counts[space])
        return float(_NINETY * np.sqrt(own + slopes.mean()))


def fit_anchors(anchors: Sequence[Anchor]) -> AnchorFit:
    """The law over the anchors of one space or several.

    Raises ``InputError`` for a space with fewer than ``LEAST_ANCHORS`` anchors.
    """
    spaces = sorted({anchor.space for anchor in anchors})
    short = np.array([anchor.short for anchor in anchors])
    size = np.array([anchor.size for anchor in anchors])
    x = _regressors(short, size)
    y = np.log(np.maximum(100.0 - np.array([anchor.long for anchor in anchors]), _LEAST_ERROR))
    of = np.array([spaces.index(anchor.space) for anchor in anchors], dtype=np.int64)
    counts = np.bincount(of, minlength=len(spaces))
    if not spaces or counts.min() < LEAST_ANCHORS:
        few = spaces[int(counts.argmin())] if spaces else "the space"
        raise InputError(
            f"{few} has {counts.min() if spaces else 0} anchors; {LEAST_ANCHORS} are needed"
        )
    centres = np.stack([x[of == k].mean(axis=0) for k in range(len(spaces))])
    middles = np.array([y[of == k].mean() for k in range(len(spaces))])
    inner, rest = x - centres[of], y - middles[of]
    prior = np.diag(_SLOPE_DEVIATIONS**-2.0)
    variance = _DEVIATION**2
    # The deviation and the slopes depend on each other; a few rounds settle both.
    for _ in range(20):
        precision = inner.T @ inner / variance + prior
        slopes = np.linalg.solve(precision, inner.T @ rest / variance + prior @ _SLOPES)
        off = rest - inner @ slopes
        free = len(anchors) - len(spaces)
        variance = float((_COUNTS_FOR * _DEVIATION**2 + off @ off) / (_COUNTS_FOR + free))
    levels = middles - centres @ slopes
    return AnchorFit(
        levels=dict(zip(spaces, levels.tolist(), strict=True)),
        slopes=slopes,
        deviation=float(np.sqrt(variance)),
        covariance=np.linalg.inv(precision),
        centres=dict(zip(spaces, centres, strict=True)),
        counts=dict(zip(spaces, counts.tolist(), strict=True)),
    )


def _regressors(short: Floats, size: Floats) -> Floats:
    """log(error short) and log(size), shape (networks, 2)."""
    error = np.maximum(100.0 - np.asarray(short, dtype=np.float64), _LEAST_ERROR)
    return np.stack([np.log(error), np.log(np.asarray(size, dtype=np.float64))], axis=1)
