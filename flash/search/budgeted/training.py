"""Accuracies from the trainings of ``flash.calibrate``, for the designs asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from flash.search.budgeted.candidates import Ints
from flash.search.budgeted.evaluator import Evaluator, TrainingError, Trial
from flash.spaces.space import SearchSpace
from flash.training.campaign import Campaign, Trainer, carry_out
from flash.training.images import ImageSet
from flash.training.jobs import Event, Job
from flash.training.recipe import Recipe
from flash.training.results import TrainedDesign

__all__ = ["TrainingEvaluator"]


#: Parts of a training at whose ends it can stop and go on.
_PARTS = 3


class TrainingEvaluator(Evaluator):
    """Trains designs on images, several at once; results go into a table of calibration.

    A training can stop after a third and two thirds of its epochs (``rungs``); its checkpoint
    lies beside the table until it is whole.

    place:   the space as ``load_space`` takes it.
    images:  what the recipe asks for; the accuracy is that on validation images, in
             per cent.
    results: the table (``flash.training.results``): what it has of the same space, images and
             recipe is not trained again, and ``flash.calibrate`` can fit the space's model to it.
    tell:    hears every event of the trainings, with the jobs begun together.

    Raises as ``carry_out`` does, when asked for accuracies.
    """

    def __init__(
        self,
        budget: int,
        space: SearchSpace,
        place: str,
        images: ImageSet,
        recipe: Recipe,
        trainer: Trainer,
        results: Path,
        tell: Callable[[Event, Sequence[Job]], None] = lambda event, jobs: None,
    ) -> None:
        super().__init__(budget)
        parts = min(_PARTS, recipe.epochs)
        self._epochs = [round(recipe.epochs * (k + 1) / parts) for k in range(parts)]
        self.rungs = tuple(epochs / recipe.epochs for epochs in self._epochs)
        self._campaign = Campaign(space, place, recipe, 0, 0)
        self._images, self._trainer = images, trainer
        self._results, self._tell = results, tell
        self._rows: dict[str, TrainedDesign] = {}
        self._new: set[str] = set()
        self._stopped: dict[str, tuple[float, float]] = {}
        self._until = recipe.epochs
        self._failures: dict[str, str] = {}

    def prepare(self, designs: Ints) -> None:
        """Train what the table lacks, as far as ``share``."""
        self._until = self._epochs[self.rungs.index(self.share)]
        texts = dict.fromkeys(map(self._campaign.space.describe, designs), "extra")
        for text in texts:
            self._stopped.pop(text, None)
        outcome = carry_out(
            replace(self._campaign, designs=texts, until=self._until),
            self._images,
            self._results,
            self._trainer,
            self._tell,
        )
        self._rows |= {row.design: row for row in outcome.rows}
        self._new |= {row.design for row in outcome.trained}
        self._stopped |= outcome.stopped
        self._failures |= dict(outcome.failed)

    def train(self, design: Ints) -> Trial:
        """What ``prepare`` found."""
        text = self._campaign.space.describe(design)
        found = tuple(design.tolist())
        if self.share < 1 and text not in self._rows and text in self._stopped:
            return Trial(found, *self._stopped[text])
        if text not in self._rows:
            raise TrainingError(self._failures.get(text, "it was not trained"))
        row = self._rows[text]
        if row.validation_accuracy is None:
            raise TrainingError("it was trained without validation images")
        accuracy = row.validation_accuracy
        if self.share < 1:  # whole from an earlier run of this search
            if len(row.curve) < self._until:
                raise TrainingError("it was trained without keeping its curve")
            accuracy = row.curve[self._until - 1]
        return Trial(found, accuracy, row.seconds, reused=text not in self._new)
