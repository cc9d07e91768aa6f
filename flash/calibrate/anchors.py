"""Anchors of a calibration: networks whose accuracy after a long training is known.

They are rows of the table of trainings by a recipe of more epochs, or published accuracies of
networks that the space contains. With ``LEAST_ANCHORS`` of them that were trained by the short
recipe too, a model shows what networks reach when trained long.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flash.accuracy.features import mean_cell_params
from flash.accuracy.level import LEAST_ANCHORS, Anchor, AnchorFit, Level, fit_anchors
from flash.accuracy.tables import read_accuracy_cells
from flash.accuracy.task import Task
from flash.errors import InputError, SpaceError
from flash.files.reading import read_text
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.training.results import TrainedDesign

__all__ = ["Lift", "LongTraining", "lift_of", "long_trainings", "pairs", "read_anchors"]

_COLUMNS = ("design", "accuracy", "recipe")


@dataclass(frozen=True)
class LongTraining:
    """A design as its space writes it, its accuracy after a long training, and by what recipe."""

    design: str
    accuracy: float
    recipe: str


@dataclass(frozen=True)
class Lift:
    """The law that takes a space's accuracies after a short training to those after a long one."""

    space: str
    law: AnchorFit
    recipe: str

    def applied(self, short: Floats, size: Floats) -> Floats:
        """Accuracies after the long training, shape (networks,), per cent."""
        return self.law.long(self.space, short, size)

    def level(self, short: Floats, size: Floats) -> Level:
        """What a model of networks of these accuracies says of its level."""
        anchors = self.law.counts[self.space]
        return Level(
            f"accuracy after {self.recipe}, by {anchors} anchors",
            anchors,
            self.law.spread(self.space, short, size),
        )


def read_anchors(path: Path, space: SearchSpace) -> list[LongTraining]:
    """The anchors of a space in a CSV file with the columns design, accuracy and recipe.

    Where there is a column ``space``, rows of other spaces are left out. Raises ``InputError``
    with the line's number for what is no design or no accuracy.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}: lacks the column {', '.join(missing)}")
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: {error}") from None
    own = [(n, row) for n, row in lines if row.get("space") in (None, "", space.name)]
    places = [f"{path}, line {number}" for number, _ in own]
    cells = [row["accuracy"] or "" for _, row in own]
    accuracy, _ = read_accuracy_cells(cells, places, Task.of(space).chance)
    found = []
    for (_, row), place, value in zip(own, places, accuracy.tolist(), strict=True):
        try:
            design = space.describe(space.parse(row["design"] or ""))
        except SpaceError as error:
            raise InputError(f"{place}: {error}") from None
        if not np.isnan(value):
            found.append(LongTraining(design, value, row["recipe"] or "a long training"))
    return found


def long_trainings(
    table: Sequence[TrainedDesign], space: SearchSpace, digest: str, epochs: int
) -> list[LongTraining]:
    """Trainings of a space on the same images for more than ``epochs`` epochs."""
    return [
        LongTraining(
            row.design, row.validation_accuracy, f"recipe {row.recipe}, {row.epochs} epochs"
        )
        for row in table
        if row.space == space.name
        and row.digest == digest
        and row.epochs > epochs
        and row.validation_accuracy is not None
    ]


def pairs(
    space: SearchSpace, rows: Sequence[TrainedDesign], long: Sequence[LongTraining]
) -> tuple[list[Anchor], str]:
    """Designs known after both trainings, and the recipe of the long one.

    Of several long recipes that with most anchors counts: levels of two are not one.
    """
    short = {row.design: row for row in rows if row.validation_accuracy is not None}
    both = [training for training in long if training.design in short]
    if not both:
        return [], ""
    recipe = Counter(training.recipe for training in both).most_common(1)[0][0]
    anchors = []
    for training in both:
        row = short[training.design]
        if training.recipe == recipe and row.validation_accuracy is not None:
            design = space.design(space.family.parse(row.design))
            size = float(mean_cell_params(space, design[None])[0])
            anchors.append(
                Anchor(space.name, row.design, row.validation_accuracy, training.accuracy, size)
            )
    return anchors, recipe


def lift_of(
    space: SearchSpace,
    rows: Sequence[TrainedDesign],
    long: Sequence[LongTraining],
    others: Sequence[Anchor] = (),
) -> Lift | None:
    """The law over a space's anchors; None with fewer than ``LEAST_ANCHORS``.

    rows:   trained by the short recipe.
    others: anchors of other spaces, which share the slopes.
    """
    anchors, recipe = pairs(space, rows, long)
    if len(anchors) < LEAST_ANCHORS:
        return None
    return Lift(space.name, fit_anchors([*anchors, *others]), recipe)
