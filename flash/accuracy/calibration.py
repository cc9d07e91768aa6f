"""The accuracy model of a space: fitted to its trained networks, used on any of its designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.bits import Drop
from flash.accuracy.box import Box
from flash.accuracy.conformal import extent, intervals
from flash.accuracy.features import (
    CELL_BARE,
    CELL_SHAPES,
    CELL_SIDES,
    CELL_SIZE_FEATURES,
    CELL_SIZES,
    CELL_SUMS,
    design_features,
    is_kind,
    kind_features,
    network_features,
    structure_features,
)
from flash.accuracy.fit import FEWEST, Rival, check_learning, choose, rank_correlation, rivals
from flash.accuracy.kinds import interval_factor, strangers
from flash.accuracy.level import Level
from flash.accuracy.regression import Regression, Samples
from flash.accuracy.task import Task
from flash.accuracy.trees import LEAST_TREES
from flash.errors import UsageError
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable

__all__ = [
    "AUTHORS_RECIPE",
    "NOT_STATED",
    "AccuracyModel",
    "Prediction",
    "Provenance",
    "boxed",
    "feature_blocks",
    "fit_networks",
    "fit_space",
    "space_rivals",
]

Ints = NDArray[np.int64]

#: Recipe and hardware of networks that somebody else trained, where nobody says more.
AUTHORS_RECIPE = "as the table's author trained"
NOT_STATED = "not stated"
#: Features of kriging beside the scores.
_SIZES = ("log_params", "log_macs", "log_depth")
_SHAPE = ("mean_width", "mean_side", "spread_width", "spread_side")
#: Samples from which trees are tried in spaces of several stages, whose fronts they make inexact.
_LEAST_TREES_OF_STAGES = 30
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
    """A space's accuracy model.

    coverage: share of networks its intervals aim at.
    box:      what of the space was trained; None where it is not known.
    level:    whose accuracies they are, where that is not the samples' recipe.
    measure:  what they are, for people: "accuracy" (top-1), "mAP50-95" ...
    drop:     what the number format costs that they are predicted in; None in floats.
    """

    regression: Regression
    samples: Samples
    task: Task
    provenance: Provenance
    coverage: float = 0.9
    box: Box | None = None
    level: Level | None = None
    measure: str = "accuracy"
    drop: Drop | None = None

    def predict(
        self, space: SearchSpace, indices: Ints, values: Floats | None = None
    ) -> Prediction:
        """Accuracy of designs given as indices, shape (designs, variables).

        values: ``metric`` of the designs, shape (designs,), where it is known: the predictions
        are ``from_metric`` of these very numbers, whichever way they were added up.
        """
        rows = design_features(space, indices, self.samples.names)
        predicted = None if values is None else self.regression.from_metric(values)
        further = 0.0 if self.box is None else self.box.distance(space, indices)
        return self._of(rows, predicted, further)

    def predict_networks(self, networks: Sequence[Network]) -> Prediction:
        """Accuracy of networks that nobody described as designs (ONNX files)."""
        rows = [network_features(network, self.samples.names) for network in networks]
        return self._of(np.stack(rows), None, 0.0)

    def _of(self, rows: Floats, predicted: Floats | None, further: Floats | float) -> Prediction:
        names = self.samples.names
        x = rows[:, [names.index(name) for name in self.regression.features]]
        strange = strangers(self.samples, rows)
        factor = interval_factor(self.regression, self.samples) if strange.any() else 1.0
        value, low, high, outside = intervals(
            self.regression,
            self.samples,
            rows,
            x,
            self.coverage,
            predicted,
            further,
            np.where(strange, factor, 1.0),
        )
        outside |= strange
        if self.level is not None:
            low, high = self.level.widened(value, low, high)
        if self.drop is not None:
            value, low, high = self.drop.widened(value, low, high)
        return Prediction(value, low, high, outside)

    def _ends(self, name: str) -> tuple[float, float] | None:
        """What counts as within the samples of a logarithm; None where they do not tell."""
        if name not in self.samples.names:
            return None
        low, high = extent(self.samples.columns((name,))[:, 0])
        return float(np.exp(low)), float(np.exp(high))

    @property
    def trained_sizes(self) -> dict[str, tuple[float, float]]:
        """The least and the most params, MACs, convolutions and ``metric`` within the samples.

        Of what the samples do not tell there is nothing.
        """
        names = {"params": "log_params", "macs": "log_macs", "convs": "log_depth"}
        names[self.metric] = f"log_{self.metric}"
        found = {quantity: self._ends(name) for quantity, name in names.items() if self.box}
        return {quantity: ends for quantity, ends in found.items() if ends is not None}

    @property
    def trained_cells(self) -> dict[str, tuple[float, float]]:
        """The least and the most of other sums over cells within the samples, where they tell.

        None where designs differ in the image they read: models of these read ten such sums, whose
        stage tables would take as much memory as all others.
        """
        if not self.box or CELL_SIDES[0] in self.samples.names:
            return {}
        found = {
            name: extent(self.samples.columns((name,))[:, 0])
            for name in (*CELL_SUMS, *CELL_BARE)
            if name in self.samples.names
        }
        for name in ("nn_degree", *CELL_SIZES):
            ends = None if name == self.metric else self._ends(f"log_{name}")
            found |= {} if ends is None else {name: ends}
        return found

    @property
    def trained_width(self) -> tuple[float, float] | None:
        """The least and the most mean width of designs within the samples, where they tell."""
        return self._ends("log_width") if self.box else None

    @property
    def most_metric(self) -> float:
        """The most ``metric`` of a design within the samples; infinite where they do not tell."""
        ends = self._ends(f"log_{self.metric}")
        return math.inf if ends is None else ends[1]

    @property
    def metric(self) -> str:
        """The quantity it rises with: a score, "accuracy" for its own index, "" if none."""
        return self.regression.metric

    @property
    def index(self) -> Callable[[LayerTable], Floats] | None:
        """What its prediction rises with, for the cells in a table; a sum over cells."""
        return self.regression.index

    def from_metric(self, values: Floats) -> Floats:
        """Predicted accuracy of designs whose ``metric`` is ``values``; it never falls."""
        found = self.regression.from_metric(values)
        return found if self.drop is None else self.drop.off(found)

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
    def reached(self) -> str:
        """After which training a network has these accuracies, in a few words."""
        then = "" if self.drop is None else f", then {self.drop.how}"
        if self.level is not None:
            return f"{self.level.statement}{then}"
        if self.provenance.recipe == AUTHORS_RECIPE:
            return f"{self.measure} of networks trained by the table's author{then}"
        name, _, _ = self.provenance.recipe.partition(" (")
        epochs = f", {self.provenance.epochs} epochs" if self.provenance.epochs else ""
        return f"{self.measure} after recipe {name}{epochs}{then}"

    @property
    def statement(self) -> str:
        """One line: what it was fitted to and how well it predicts what it has not seen."""
        p = self.provenance
        authors, unknown = p.recipe == AUTHORS_RECIPE, p.hardware == NOT_STATED
        parts = ["by the table's author" if authors else f"recipe {p.recipe}"]
        parts += [f"{p.epochs} epochs"] if p.epochs else []
        if p.seeds:
            parts.append(f"seed{'s' if len(p.seeds) > 1 else ''} {', '.join(map(str, p.seeds))}")
        hardware = f"hardware {NOT_STATED}" if unknown else p.hardware
        level = "" if self.level is None else f"{self.level.statement}; "
        level += "" if self.measure == "accuracy" else f"{self.measure}; "
        return (
            f"{level}fitted ({_NAMES[self.regression.kind]}) to {p.networks} networks trained on "
            f"{p.data}, {', '.join([*parts, hardware, p.date])}; "
            f"left out one by one: RMSE {p.loo_rmse:.3g} % points, Spearman {p.loo_spearman:.3f}"
        )

    @property
    def why_worthless(self) -> str:
        """Why nobody should rank designs by it, for people; empty where it tells something.

        The mean of the other networks, which knows nothing of a network, errs by their deviation.
        """
        accuracy = self.samples.accuracy
        guessed = float(np.std(accuracy)) * len(accuracy) / (len(accuracy) - 1)
        rmse, spearman = self.provenance.loo_rmse, self.provenance.loo_spearman
        if rmse < guessed and spearman > 0:
            return ""
        found = f"{rmse:.3g} points off ({guessed:.3g} by the mean of the others)"
        if rmse < guessed:
            found = f"in no order (Spearman {spearman:.2f})"
        return (
            f"networks left out one by one are predicted {found}: this model cannot rank designs; "
            "train more networks, or longer"
        )

    @property
    def careful_lines(self) -> list[str]:
        """What whoever fitted it should know before searching by it, as ``flash.calibrate`` does.

        Accuracies that no optimizer can follow are shown, and limits on them heeded, but the front
        is over a score.
        """
        lines = [f"careful   {self.why_worthless}"] if self.why_worthless else []
        if not self.metric:
            lines.append(
                "searches  are over the space's score, as no optimizer can follow "
                f"{_NAMES[self.regression.kind]}; accuracies are shown beside it, and "
                "--min-accuracy leaves out designs below a limit"
            )
        return lines

    @property
    def how(self) -> str:
        """How its intervals come about."""
        behind = [f"{len(self.samples)} trained networks"]
        behind += [] if self.level is None else [self.level.behind]
        behind += [] if self.drop is None else ["what few bits cost others"]
        first, last = ", ".join(behind[:-1]), behind[-1]
        words = f"{first} and {last}" if first else last
        return f"{100 * self.coverage:g} % jackknife+ of {words}"


#: Kind of a model -> its name for people.
_NAMES = {
    "flash": "FLASH's form of the score",
    "line": "rising line of the score",
    "ridge": "ridge regression on sums over cells",
    "kriging": "kriging",
    "power": "power law of the error in size",
    "trees": "line in the score and trees",
}


def space_rivals(
    space: SearchSpace, indices: Ints, accuracy: Floats
) -> tuple[Samples, list[Rival]]:
    """The samples of a space with their features, and every model fitted to them.

    indices: trained designs, shape (samples, variables); trained more than once, a design counts
    once with its mean. accuracy: per cent.

    Where designs differ in the image they read, which scores do not see, models are of sums over
    cells only.

    Raises ``UsageError`` for too few samples and accuracies outside 0 to 100, ``InputError`` for
    networks that learned nothing or all the same.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    if len(indices) != len(accuracy):
        raise UsageError(f"{len(indices)} designs and {len(accuracy)} accuracies do not match")
    if not ((accuracy >= 0) & (accuracy <= 100)).all():  # false for a NaN
        raise UsageError("accuracies are in per cent, from 0 to 100")
    designs, which = np.unique(indices, axis=0, return_inverse=True)
    count = np.bincount(which.ravel(), minlength=len(designs))
    mean = np.bincount(which.ravel(), weights=accuracy, minlength=len(designs)) / count
    if len(designs) >= FEWEST:
        check_learning(mean, Task.of(space).chance)
    blocks = feature_blocks(space.metric)
    # A network of one stage has no cells to add up over.
    cells = (CELL_SUMS, (*CELL_SUMS, *CELL_BARE))
    sums: tuple[tuple[str, ...], ...] = cells if len(space.family.stages) > 1 else ()
    if sums and len({space.family.input_shape(space.named(d)) for d in designs}) > 1:
        few = (*CELL_SUMS, *CELL_SIDES)
        sums, blocks = (few, (*few, *CELL_SHAPES, *kind_features(space, designs))), ()
    sizes = CELL_SIZE_FEATURES if sums else ("log_macs", "log_params")
    read = (name for block in blocks for name in block)
    structure = structure_features(space) if blocks and len(designs) >= _least_trees(space) else ()
    added = (name for features in sums for name in features)
    names = tuple(dict.fromkeys((*read, f"log_{space.metric}", *_BOX, *added, *sizes, *structure)))
    samples = Samples(names, design_features(space, designs, names), mean)
    return samples, rivals(samples, blocks, sums, sizes, structure)


def _least_trees(space: SearchSpace) -> int:
    """Samples from which trees take part: more where an optimizer would lose exactness to them."""
    return LEAST_TREES if len(space.family.stages) == 1 else _LEAST_TREES_OF_STAGES


def feature_blocks(metric: str) -> tuple[tuple[str, ...], ...]:
    """Features of kriging where designs are ranked by ``metric``, block by block.

    Three blocks: score and sizes; the elements that convolutions write; the shape (depth, width).
    Each block gets a variance component of its own, and the likelihood of the samples decides
    which of them matter.
    """
    second = "log_trainable" if metric == "rank_score" else "log_sed"
    scores = tuple(dict.fromkeys((f"log_{metric}", second)))
    return (*scores, *_SIZES), ("log_activations",), _SHAPE


def boxed(space: SearchSpace, samples: Samples, model: Regression) -> Samples:
    """The samples with what ``model`` reads and what tells how far a design lies beyond them."""
    kinds = filter(is_kind, samples.names)
    names = tuple(dict.fromkeys((*model.features, f"log_{space.metric}", *_BOX, *kinds)))
    return Samples(names, samples.columns(names), samples.accuracy)


def fit_space(
    space: SearchSpace,
    indices: Ints,
    accuracy: Floats,
    *,
    digest: str = "",
    level: Level | None = None,
    measure: str = "accuracy",
    **about: Any,
) -> AccuracyModel:
    """The accuracy model of ``space`` from trained designs; arguments as ``space_rivals``.

    measure: what the accuracies are, where it is not top-1.
    digest: of the images (``ImageSet.digest``), empty where they are not at hand.
    about:  the fields of ``Provenance`` that the fit does not work out.

    A model that an optimizer can search exactly is preferred (``choose``).
    """
    samples, found = space_rivals(space, indices, accuracy)
    model = _chosen(space, samples, found, Task.of(space, digest), about)
    return replace(model, box=Box.around(space, indices), level=level, measure=measure)


def fit_networks(
    space: SearchSpace, networks: Sequence[Network], accuracy: Floats, **about: Any
) -> AccuracyModel:
    """As ``fit_space``, from networks that need not be designs of the space (ONNX files).

    What a cell of theirs is nobody says, so models that add up over cells are left out. Raises
    ``InputError`` for networks of another task.
    """
    blocks, sizes = feature_blocks(space.metric), ("log_macs", "log_params")
    check_learning(accuracy, Task.of(space).chance)
    read = (name for block in blocks for name in block)
    names = tuple(dict.fromkeys((*read, *_BOX, *sizes)))
    rows = np.stack([network_features(network, names) for network in networks])
    samples = Samples(names, rows, accuracy)
    return _chosen(space, samples, rivals(samples, blocks, (), sizes), Task.of(space), about)


def _chosen(
    space: SearchSpace, samples: Samples, found: Sequence[Rival], task: Task, about: dict[str, Any]
) -> AccuracyModel:
    best = choose(found, f"log_{space.metric}")
    provenance = Provenance(
        **about | {"seeds": tuple(sorted(set(about["seeds"])))},
        networks=len(samples),
        loo_rmse=best.loo_rmse,
        loo_spearman=rank_correlation(best.model, samples),
    )
    return AccuracyModel(best.model, boxed(space, samples, best.model), task, provenance)
