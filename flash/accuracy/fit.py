"""Fit rival models to trained samples and keep the one with the least leave-one-out error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from flash.accuracy.kriging import Kriging, Ridge
from flash.accuracy.monotone import FlashForm, RisingLine
from flash.accuracy.regression import Regression, Samples
from flash.errors import UsageError
from flash.optimize.problem import Floats

__all__ = ["LEAST", "Rival", "choose", "rivals"]

#: Fewer samples than this leave nothing to estimate an error from.
LEAST = 8


@dataclass(frozen=True)
class Rival:
    """A fitted model and its leave-one-out errors, in the unit of the accuracies.

    loo_rmse: root mean square error over samples, each predicted by the model without it.
    loo_spearman: rank correlation of those predictions; 0 where they are all equal.
    """

    model: Regression
    errors: Floats

    @property
    def loo_rmse(self) -> float:
        """Root mean square of the leave-one-out errors."""
        return float(np.sqrt(np.mean(self.errors**2)))

    def loo_spearman(self, samples: Samples) -> float:
        """Rank correlation of the left-out predictions with the truth."""
        predicted = self.model.left_out()
        if np.ptp(predicted) == 0 or np.ptp(samples.accuracy) == 0:
            return 0.0
        return float(spearmanr(predicted, samples.accuracy)[0])


def rivals(
    samples: Samples,
    scores: Sequence[str],
    smooth: Sequence[str],
    sums: Sequence[str] = (),
) -> list[Rival]:
    """Every model fitted to ``samples``.

    scores: features that rise with accuracy; FLASH's form and the broken line take the first,
        the trend of kriging the first, or all.
    smooth: features of kriging.  sums: features of ridge regression, sums over stages; left out
        if empty.

    Raises ``UsageError`` for too few samples or ones that are not finite.
    """
    if len(samples) < LEAST:
        raise UsageError(f"{len(samples)} trained networks are too few; {LEAST} or more will do")
    if not (np.isfinite(samples.rows).all() and np.isfinite(samples.accuracy).all()):
        raise UsageError("a sample's accuracy or feature is not finite")
    models: list[Regression] = [
        FlashForm(samples, scores[0]),
        RisingLine(samples, scores[0]),
        Kriging(samples, smooth, scores[:1]),
    ]
    if len(scores) > 1:
        models.append(Kriging(samples, smooth, scores))
    if sums:
        models.append(Ridge(samples, sums))
    return [Rival(model, model.left_out() - samples.accuracy) for model in models]


def choose(found: Sequence[Rival]) -> Rival:
    """The rival of the least leave-one-out error, or one an optimizer can search exactly.

    A model of one score, or of sums over stages, is preferred to kriging unless its squared
    errors are larger by more than one standard error of the difference (the usual one-standard-
    error rule).
    """
    best = min(found, key=lambda rival: rival.loo_rmse)
    if not isinstance(best.model, Kriging) or isinstance(best.model, Ridge):
        return best
    close = []
    for rival in found:
        worse = rival.errors**2 - best.errors**2
        error = float(np.std(worse, ddof=1)) / np.sqrt(len(worse))
        exact = isinstance(rival.model, Ridge) or not isinstance(rival.model, Kriging)
        if exact and float(np.mean(worse)) <= error:
            close.append(rival)
    return min(close, key=lambda rival: rival.loo_rmse, default=best)
