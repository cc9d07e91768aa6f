"""Fit rival models to trained samples and keep the one with the least leave-one-out error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flash.accuracy.kriging import Kriging, Ridge
from flash.accuracy.monotone import FlashForm, RisingLine
from flash.accuracy.power import PowerLaw
from flash.accuracy.regression import Regression, Samples, Saturation
from flash.accuracy.trees import LEAST_TREES, ScoreAndTrees
from flash.errors import InputError, UsageError
from flash.spaces.stage_tables import Floats

__all__ = ["FEWEST", "LEAST", "Rival", "check_learning", "choose", "rank_correlation", "rivals"]

#: Fewer samples than this leave nothing to estimate an error from.
LEAST = 8
#: So many do for a power law, which has two parameters.
FEWEST = 5


#: Share of the way from chance to 100 % that a network must have come to count as one that learned:
#: with ten classes 14.5 %, with two 52.5 %. Counting a thousand images errs by 1 to 1.6 points.
_LEARNED = 0.05


def check_learning(accuracy: Floats, chance: float) -> None:
    """Refuse trained networks that no model of accuracy can be fitted to.

    accuracy: per cent, shape (networks,); chance: that of a network that guesses. A model has up
    to five parameters, so ``LEAST`` networks must have learned something (``FEWEST`` of so few
    that only a power law is fitted), not all the same. Raises ``InputError`` with the reason.
    """
    needed = LEAST if len(accuracy) >= LEAST else FEWEST
    least = chance + _LEARNED * (100.0 - chance)
    learned = accuracy[accuracy > least]
    if len(learned) < needed:
        raise InputError(
            f"{len(learned)} of {len(accuracy)} trained networks learned something (above "
            f"{least:.3g} %, where guessing gives {chance:.3g} %); a fit takes {needed}: train "
            "longer, or on more images"
        )
    if np.ptp(learned) == 0:
        raise InputError(
            f"all {len(learned)} trained networks that learned have {learned[0]:.3g} %: no spread "
            "to learn from"
        )


@dataclass(frozen=True)
class Rival:
    """A fitted model and its leave-one-out errors.

    errors: predicted by the model without the sample, minus the truth; the accuracies' unit.
    scaled: the same on the scale of ``Saturation``, where one network that failed to train does
        not decide alone, and with all that samples choose chosen anew (``left_out_anew``).
    """

    model: Regression
    errors: Floats
    scaled: Floats

    @staticmethod
    def of(model: Regression, samples: Samples) -> Rival:
        """The rival with its errors at its own samples."""
        scale = Saturation.of(samples)
        scaled = scale.apply(model.left_out_anew()) - scale.apply(samples.accuracy)
        return Rival(model, model.left_out() - samples.accuracy, scaled)

    @property
    def searchable(self) -> bool:
        """An optimizer can search it: it rises with one score, or with a sum over stages."""
        return self.model.searchable

    @property
    def loo_rmse(self) -> float:
        """Root mean square of the leave-one-out errors, in the accuracies' unit."""
        return float(np.sqrt(np.mean(self.errors**2)))

    @property
    def loss(self) -> float:
        """Root mean square of the leave-one-out errors on the saturating scale."""
        return float(np.sqrt(np.mean(self.scaled**2)))


def rank_correlation(model: Regression, samples: Samples) -> float:
    """Spearman of the left-out predictions with the truth; 0 where either is constant."""
    from scipy.stats import spearmanr  # noqa: PLC0415 (slow to import, and no search needs it)

    predicted = model.left_out()
    if np.ptp(predicted) == 0 or np.ptp(samples.accuracy) == 0:
        return 0.0
    return float(spearmanr(predicted, samples.accuracy)[0])


def rivals(
    samples: Samples,
    blocks: Sequence[Sequence[str]],
    sums: Sequence[Sequence[str]] = (),
    sizes: Sequence[str] = (),
    structure: Sequence[str] = (),
) -> list[Rival]:
    """Every model fitted to ``samples``.

    blocks: features of kriging. The first of all is the score: it rises with accuracy, and
        FLASH's form and the broken line read nothing else. Without any, these three are left out,
        and kriging of fewer samples than features.
    sums: features of ridge regressions, sums over stages, those of each.
    sizes: features that a power law is fitted to, each alone, and the score as well; fewer than
        ``LEAST`` samples have no other models.
    structure: what trees read beside the blocks' features, from ``LEAST_TREES`` samples on; left
        out if empty, or without a score.

    Raises ``UsageError`` for too few samples or ones that are not finite.
    """
    least = FEWEST if sizes else LEAST
    if len(samples) < least:
        raise UsageError(f"{len(samples)} trained networks are too few; {least} or more will do")
    if not (np.isfinite(samples.rows).all() and np.isfinite(samples.accuracy).all()):
        raise UsageError("a sample's accuracy or feature is not finite")
    models: list[Regression] = []
    if len(samples) >= LEAST:
        if blocks:
            score = blocks[0][0]
            models = [FlashForm(samples, score), RisingLine(samples, score)]
            # Of more features than samples even errors left out make too much.
            if len(samples) >= sum(map(len, blocks)):
                models.append(Kriging(samples, blocks, (score,)))
        models += [Ridge(samples, features) for features in sums]
        if blocks and structure and len(samples) >= LEAST_TREES:
            read = dict.fromkeys(name for block in blocks for name in block)
            models.append(ScoreAndTrees(samples, (*read, *structure)))
    if sizes:
        alone = [block[0] for block in blocks[:1]]
        models += [PowerLaw(samples, (name,)) for name in dict.fromkeys((*alone, *sizes))]
    return [Rival.of(model, samples) for model in models]


def choose(found: Sequence[Rival], score: str = "") -> Rival:
    """The rival to use: one that rises with the score alone, unless another is clearly better.

    Clearly: squared left-out errors on the saturating scale smaller by some standard errors of
    the difference. With 25 samples the least error alone often belongs to a rival that was lucky,
    with 5 it nearly always does.

    score: the feature the fit starts from; without one (or a rival of it) any rival that an
        optimizer can search, within a standard error of the least, will do.
    """
    alone = [rival for rival in found if rival.model.features == (score,)]
    if not alone:
        return _searchable(found)
    chosen = min(alone, key=lambda rival: rival.loss)
    sizes = [r for r in found if len(r.model.features) == 1 and r not in alone]
    shapes = [r for r in found if len(r.model.features) > 1 and r.searchable]
    others = [r for r in found if len(r.model.features) > 1 and not r.searchable]
    for rivals_of_it, margin in ((sizes, _SIZE), (shapes, _MORE), (others, _MORE)):
        better = [rival for rival in rivals_of_it if _excess(chosen, rival) > margin]
        chosen = min(better, key=lambda rival: rival.loss, default=chosen)
    return chosen


#: Standard errors by which a rival must be better: a law of size alone, as few samples mistake size
#: for more, and models that read more; chosen on draws of 5 to 25 networks of seven spaces
#: (``docs/validation/ranking.md``).
_SIZE, _MORE = 2.0, 0.5


def _searchable(found: Sequence[Rival]) -> Rival:
    """The best searchable rival within a standard error of the best of all.

    Of its kind that which reads the least, where it is as close.
    """
    best = min(found, key=lambda rival: rival.loss)
    close = [rival for rival in found if rival.searchable and _excess(rival, best) <= 1.0]
    chosen = min(close, key=lambda rival: rival.loss, default=best)
    alike = [rival for rival in close if rival.model.kind == chosen.model.kind] or [chosen]
    return min(alike, key=lambda rival: (len(rival.model.features), rival.loss))


def _excess(rival: Rival, other: Rival) -> float:
    """Squared errors of ``rival`` above those of ``other``, in standard errors of the mean."""
    worse = rival.scaled**2 - other.scaled**2
    error = float(np.std(worse, ddof=1)) / math.sqrt(len(worse))
    return float(np.mean(worse)) / max(error, 1e-300)
