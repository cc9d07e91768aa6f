"""The accuracy model of a space: fitted to its trained networks, used on any of its designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.conformal import intervals
from flash.accuracy.features import CELL_SUMS, cell_sums, design_features, feature, features_of
from flash.accuracy.fit import Rival, choose, rank_correlation, rivals
from flash.accuracy.kriging import Ridge
from flash.accuracy.monotone import FlashForm, RisingLine
from flash.accuracy.regression import Regression, Samples
from flash.errors import UsageError
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable

__all__ = [
    "AccuracyModel",
    "Prediction",
    "Provenance",
    "boxed",
    "feature_blocks",
    "fit_space",
    "space_rivals",
]

Ints = NDArray[np.int64]

#: Features of kriging beside the scores.
_SIZES = ("log_params", "log_macs", "log_depth")
_SHAPE = ("mean_width", "mean_side", "spread_width", "spread_side")
#: What marks the sampled networks, whatever the model reads.
_BOX = (*_SIZES, "log_width")


@dataclass(frozen=True)
class Provenance:
    """Where an accuracy model comes from.

    data, recipe, hardware: in words.  date: of the fit, ISO 8601.  loo_rmse: per cent points.
    """

    data: str
    recipe: str
    epochs: int
    seeds: tuple[int, ...]
    hardware: str
    date: str
    networks: int
    loo_rmse: float
    loo_spearman: float


@dataclass(frozen=True)
class Prediction:
    """Predicted accuracy of designs in per cent, its interval, and where it is extrapolated."""

    value: Floats
    low: Floats
    high: Floats
    outside: NDArray[np.bool_]


@dataclass(frozen=True)
class AccuracyModel:
    """A space's accuracy model. ``coverage`` is the share of networks its intervals aim at."""

    regression: Regression
    samples: Samples
    provenance: Provenance
    coverage: float = 0.9

    def predict(
        self, space: SearchSpace, indices: Ints, values: Floats | None = None
    ) -> Prediction:
        """Accuracy of designs given as indices, shape (designs, variables).

        values: ``metric`` of the designs, shape (designs,), where it is known: the predictions
        are ``from_metric`` of these very numbers, whichever way they were added up.
        """
        rows = design_features(space, indices, self.samples.names)
        names = self.samples.names
        x = rows[:, [names.index(name) for name in self.regression.features]]
        predicted = None if values is None else self.from_metric(values)
        found = intervals(self.regression, self.samples, rows, x, self.coverage, predicted)
        return Prediction(*found)

    @property
    def metric(self) -> str:
        """The quantity it rises with: a score, "accuracy" for its own index, "" if none."""
        if isinstance(self.regression, Ridge):
            return "accuracy"
        if isinstance(self.regression, FlashForm | RisingLine):
            return feature(self.regression.features[0])[0][0]
        return ""

    @property
    def index(self) -> Callable[[LayerTable], Floats] | None:
        """The index of ridge regression for the cells in a table; a sum over cells."""
        if not isinstance(self.regression, Ridge):
            return None
        weights, names = self.regression.index_weights, self.regression.features

        def index(table: LayerTable) -> Floats:
            found: Floats = features_of(cell_sums(table), names) @ weights
            return found

        return index

    def from_metric(self, values: Floats) -> Floats:
        """Predicted accuracy of designs whose ``metric`` is ``values``; it never falls."""
        if isinstance(self.regression, Ridge):
            return self.regression.from_index(values)
        x = features_of({self.metric: values}, self.regression.features)
        return self.regression.predict(x)

    def least_metric(self, accuracy: float, best: float) -> float:
        """The least ``metric`` up to ``best`` that reaches ``accuracy``; above ``best`` if none.

        The number returned does reach it, to the last bit.
        """

        def reached(value: float) -> bool:
            return bool(self.from_metric(np.array([value]))[0] >= accuracy)

        if not reached(best):
            return math.nextafter(best, math.inf)
        step = max(abs(best), 1.0) * 1e-3
        low = best
        while reached(low) and step < 1e12:
            low, step = best - step, 2 * step
        if reached(low):
            return low
        high = best
        while (middle := (low + high) / 2) not in (low, high):
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high

    @property
    def statement(self) -> str:
        """One line: what it was fitted to and how well it predicts what it has not seen."""
        p = self.provenance
        seeds = f"seed{'s' if len(p.seeds) > 1 else ''} {', '.join(map(str, p.seeds))}"
        return (
            f"fitted ({_NAMES[self.regression.kind]}) to {p.networks} networks trained on "
            f"{p.data}, recipe {p.recipe}, {p.epochs} epochs, {seeds}, {p.hardware}, {p.date}; "
            f"left out one by one: RMSE {p.loo_rmse:.3g} % points, Spearman {p.loo_spearman:.3f}"
        )

    @property
    def how(self) -> str:
        """How its intervals come about."""
        return f"{100 * self.coverage:g} % jackknife+ of {len(self.samples)} trained networks"


#: Kind of a model -> its name for people.
_NAMES = {
    "flash": "FLASH's form of the score",
    "line": "rising line of the score",
    "ridge": "ridge regression on sums over cells",
    "kriging": "kriging",
}


def space_rivals(
    space: SearchSpace, indices: Ints, accuracy: Floats
) -> tuple[Samples, list[Rival]]:
    """The samples of a space with their features, and every model fitted to them.

    indices: trained designs, shape (samples, variables); trained more than once, a design counts
    once with its mean. accuracy: per cent.

    Raises ``UsageError`` for too few samples and accuracies outside 0 to 100.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    if len(indices) != len(accuracy):
        raise UsageError(f"{len(indices)} designs and {len(accuracy)} accuracies do not match")
    if not ((accuracy >= 0) & (accuracy <= 100)).all():  # false for a NaN
        raise UsageError("accuracies are in per cent, from 0 to 100")
    designs, which = np.unique(indices, axis=0, return_inverse=True)
    count = np.bincount(which.ravel(), minlength=len(designs))
    mean = np.bincount(which.ravel(), weights=accuracy, minlength=len(designs)) / count
    blocks = feature_blocks(space.metric)
    # A network of one stage has no cells to add up over.
    sums = CELL_SUMS if len(space.family.stages) > 1 else ()
    names = tuple(dict.fromkeys((*(name for block in blocks for name in block), *_BOX, *sums)))
    samples = Samples(names, design_features(space, designs, names), mean)
    return samples, rivals(samples, blocks, sums)


def feature_blocks(metric: str) -> tuple[tuple[str, ...], ...]:
    """Features of kriging where designs are ranked by ``metric``, block by block.

    Three blocks: score and sizes; the elements that convolutions write; the shape (depth, width).
    Each block gets a variance component of its own, and the likelihood of the samples decides
    which of them matter.
    """
    second = "log_isometry" if metric == "rank_score" else "log_sed"
    scores = tuple(dict.fromkeys((f"log_{metric}", second)))
    return (*scores, *_SIZES), ("log_activations",), _SHAPE


def boxed(space: SearchSpace, samples: Samples, model: Regression) -> Samples:
    """The samples with what ``model`` reads and what tells how far a design lies beyond them."""
    names = tuple(dict.fromkeys((*model.features, f"log_{space.metric}", *_BOX)))
    return Samples(names, samples.columns(names), samples.accuracy)


def fit_space(
    space: SearchSpace,
    indices: Ints,
    accuracy: Floats,
    *,
    data: str,
    recipe: str,
    epochs: int,
    seeds: Sequence[int],
    hardware: str,
    date: str,
) -> AccuracyModel:
    """The accuracy model of ``space`` from trained designs; arguments as ``space_rivals``.

    A model that an optimizer can search exactly is preferred (``choose``).
    """
    samples, found = space_rivals(space, indices, accuracy)
    best = choose(found, exact=True)
    return AccuracyModel(
        best.model,
        boxed(space, samples, best.model),
        Provenance(
            data, recipe, epochs, tuple(sorted(set(seeds))), hardware, date, len(samples),
            best.loo_rmse, rank_correlation(best.model, samples),
        ),
    )  # fmt: skip
