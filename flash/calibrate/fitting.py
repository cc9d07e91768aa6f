"""From the table of trained networks to the space's accuracy model, judged on what it never saw."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from flash.accuracy.calibration import AccuracyModel, Prediction, fit_space
from flash.accuracy.features import mean_cell_params
from flash.accuracy.fit import LEAST
from flash.accuracy.storage import write_accuracy
from flash.accuracy.trend import depth_and_width_trend
from flash.calibrate.anchors import Lift
from flash.errors import InputError, SpaceError, UsageError
from flash.files.locations import data_file
from flash.files.reading import read_text
from flash.files.writing import make_folder, write_text
from flash.quantities import format_count
from flash.spaces.space import SearchSpace
from flash.training.images import ImageSet
from flash.training.recipe import Recipe
from flash.training.results import TrainedDesign

__all__ = [
    "HeldOut",
    "depth_and_width_trend",
    "describe_images",
    "fit_rows",
    "judge",
    "judged",
    "write_space",
]


@dataclass(frozen=True)
class HeldOut:
    """How a model does on networks it was not fitted to.

    rmse: per cent points.  covered: how many lie in their interval, of ``networks``.
    """

    networks: int
    rmse: float
    spearman: float
    covered: int

    def __str__(self) -> str:
        return (
            f"{self.networks} networks: RMSE {self.rmse:.2f} % points, Spearman "
            f"{self.spearman:.3f}, {self.covered} of {self.networks} in their interval"
        )


def fit_rows(
    space: SearchSpace,
    rows: Sequence[TrainedDesign],
    recipe: Recipe,
    data: str,
    digest: str,
    lift: Lift | None = None,
) -> AccuracyModel | None:
    """The model fitted to the rows that are not held out; None where they are too few.

    It is fitted to accuracies on validation images, or to what ``lift`` makes of them. A design
    held out once is so in every row, whatever seed trained it again.

    data, digest: of the images, in words and by content.
    """
    aside = {row.design for row in rows if row.split == "held_out"}
    used = [row for row in rows if row.design not in aside and row.validation_accuracy is not None]
    if len({row.design for row in used}) < LEAST:
        return None
    indices = _indices(space, used)
    macs = [space.network(design).macs for design in indices]
    sizes = f"each of {format_count(min(macs))} to {format_count(max(macs))} MACs"
    accuracy, size = _accuracies(space, used)
    return fit_space(
        space,
        indices,
        accuracy if lift is None else lift.applied(accuracy, size),
        level=None if lift is None else lift.level(accuracy, size),
        data=f"{data}, {sizes}",
        recipe=recipe.describe(),
        epochs=recipe.epochs,
        seeds=sorted({row.seed for row in used}),
        hardware=", ".join(sorted({row.hardware for row in used})),
        date=datetime.date.today().isoformat(),
        digest=digest,
    )


def describe_images(images: ImageSet, recipe: Recipe) -> str:
    """The images a recipe trains and validates on, in words."""
    training, validation = images.split(recipe.validation)
    return f"{images.name} ({len(training)} training, {len(validation)} validation images)"


def judge(
    space: SearchSpace,
    model: AccuracyModel,
    rows: Sequence[TrainedDesign],
    lift: Lift | None = None,
) -> HeldOut | None:
    """How ``model`` predicts the held-out rows; None if there are fewer than two.

    Under ``lift`` it is compared with what that makes of their accuracies.
    """
    kept = [row for row in rows if row.split == "held_out" and row.validation_accuracy is not None]
    if len(kept) < 2:
        return None
    truth, size = _accuracies(space, kept)
    truth = truth if lift is None else lift.applied(truth, size)
    return judged(model.predict(space, _indices(space, kept)), truth)


def judged(found: Prediction, truth: NDArray[np.float64]) -> HeldOut:
    """How good predictions of two networks or more are whose accuracy is ``truth``."""
    flat = np.ptp(found.value) == 0 or np.ptp(truth) == 0
    return HeldOut(
        len(truth),
        float(np.sqrt(np.mean((found.value - truth) ** 2))),
        0.0 if flat else float(spearmanr(found.value, truth)[0]),
        int(((found.low <= truth) & (truth <= found.high)).sum()),
    )


def write_space(place: str, out: Path, model: AccuracyModel) -> None:
    """A copy of the space's file (name or path, as ``load_space``) with the model in it.

    ``out`` may be that file itself. Raises ``UsageError`` or ``FlashError`` where it cannot be
    written.
    """
    source = data_file("models", place)
    if source is None:
        raise UsageError(f"unknown space '{place}'")
    text = read_text(source, SpaceError)
    make_folder(out.parent)
    if not out.exists() or not out.samefile(source):
        write_text(out, text)
    write_accuracy(out, model)


def _accuracies(
    space: SearchSpace, rows: Sequence[TrainedDesign]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracies on validation images (per cent) and params of a cell of the rows' networks."""
    accuracy = [row.validation_accuracy for row in rows]
    return np.array(accuracy, dtype=np.float64), mean_cell_params(space, _indices(space, rows))


def _indices(space: SearchSpace, rows: Sequence[TrainedDesign]) -> NDArray[np.int64]:
    found = []
    for row in rows:
        try:
            found.append(space.design(space.family.parse(row.design)))
        except SpaceError as error:
            raise InputError(f"the table's design {row.design}: {error}") from None
    return np.array(found)
