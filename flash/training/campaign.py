"""A calibration's trainings: the sample, what of it is still to be trained, and doing that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flash.accuracy.sampling import sample_designs
from flash.errors import FlashError, InputError, SpaceError, UsageError
from flash.files.reading import read_text
from flash.files.writing import cannot_write, make_folder, whole_file
from flash.spaces.space import SearchSpace
from flash.training.images import ImageSet
from flash.training.jobs import Event, Failed, Finished, Job
from flash.training.recipe import Recipe
from flash.training.results import SPLITS, TrainedDesign, append_result, read_results

__all__ = ["Campaign", "Outcome", "Trainer", "carry_out", "read_designs"]

#: Trains jobs and tells what happens; the folder has the images and takes checkpoints.
Trainer = Callable[[Sequence[Job], Path], Generator[Event, None, None]]


@dataclass(frozen=True)
class Campaign:
    """What is to be trained: a sample of a space by one recipe on one image set.

    place:         the space as ``load_space`` takes it.
    fit, held_out: how many designs to fit on and how many to judge the fit by.
    seed:          of the sample and of every training.
    designs:       what to train instead of a sample: design as ``SearchSpace.describe`` writes
                   it -> its split, in the order of training.
    until:         epochs after which each training stops, to go on in a later campaign; None
                   for all. What stopped is kept as a checkpoint and is no row of the table.
    """

    space: SearchSpace
    place: str
    recipe: Recipe
    fit: int
    held_out: int
    max_macs: float | None = None
    seed: int = 0
    designs: Mapping[str, str] | None = None
    until: int | None = None

    def missing(self, have: Sequence[TrainedDesign]) -> dict[str, str]:
        """Designs that are not among the rows, as text -> split.

        Those of a sample to fit on come first. Rows keep the part they were trained for: a larger
        sample later never fits what was held out before.
        """
        known = {row.design for row in have}
        if self.designs is not None:
            return {text: split for text, split in self.designs.items() if text not in known}
        wanted = self.fit - sum(row.split == "fit" for row in have)
        drawn = sample_designs(self.space, self.fit + self.held_out, self.seed, self.max_macs)
        new = [text for text in map(self.space.describe, drawn) if text not in known]
        return {text: "fit" if k < wanted else "held_out" for k, text in enumerate(new)}

    def row(self, done: Finished, split: str, images: ImageSet) -> TrainedDesign:
        """The result of one training as a row of the table."""
        network = self.space.network(self.space.design(self.space.family.parse(done.job.design)))
        return TrainedDesign(
            space=self.space.name,
            design=done.job.design,
            data=images.name,
            split=split,
            recipe=self.recipe.name,
            seed=done.job.seed,
            test_accuracy=round(done.test_accuracy, 4),
            epochs=done.epochs,
            seconds=round(done.seconds, 1),
            hardware=done.hardware,
            params=network.params,
            macs=network.macs,
            digest=images.digest,
            validation_accuracy=round(done.validation_accuracy, 4),
            curve=tuple(round(value, 2) for value in done.curve),
        )

    def rows(self, table: Sequence[TrainedDesign], images: ImageSet) -> list[TrainedDesign]:
        """The rows of the table that this campaign may use: same space, images and recipe.

        Rows of older versions, without accuracy on validation images, are none of them.
        """
        wanted = (self.space.name, images.name, images.digest, self.recipe.name)
        return [
            row
            for row in table
            if (row.space, row.data, row.digest, row.recipe) == wanted
            and row.validation_accuracy is not None
        ]


def read_designs(path: Path, space: SearchSpace) -> dict[str, str]:
    """A list of designs to train: a line each, its split first, as in ``anchor w=8,8 d=3,3 t=0,0``.

    Empty lines, and what follows a ``#``, are left out. Design as ``SearchSpace.describe``
    writes it -> its split, in the file's order. Raises ``InputError`` for a file that cannot
    be read, and with the line's number for what is no split or no design.
    """
    designs: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        split, _, text = line.partition("#")[0].strip().partition(" ")
        if not split:
            continue
        if split not in SPLITS:
            raise InputError(
                f"{path}: line {number}: expected one of {', '.join(SPLITS)}, then a design; "
                f"got '{split}'"
            )
        try:
            design = space.describe(space.design(space.family.parse(text.strip())))
        except SpaceError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
        if designs.setdefault(design, split) != split:
            raise InputError(f"{path}: line {number}: {design} is {designs[design]} already")
    if not designs:
        raise InputError(f"{path}: lists no design")
    return designs


@dataclass
class Outcome:
    """How the trainings went.

    rows:    every row of the table that a fit may use: same space, images and recipe.
    trained: those that are new.
    stopped: designs of a campaign that stops early, with their validation accuracy there and
             seconds so far.
    failed:  design and reason.
    """

    rows: list[TrainedDesign]
    trained: list[TrainedDesign] = field(default_factory=list)
    stopped: dict[str, tuple[float, float]] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)


def carry_out(
    campaign: Campaign,
    images: ImageSet,
    results: Path,
    trainer: Trainer,
    tell: Callable[[Event, Sequence[Job]], None] = lambda event, jobs: None,
) -> Outcome:
    """Train what the table lacks, and append each result as it comes.

    images: what the recipe asks for.
    tell:   hears every event, with all jobs of this run.

    A training that fails, or whose result cannot be written, is noted and the next one begins;
    it goes on from its checkpoint in the next run. Raises ``FlashError`` where the images cannot
    be put beside the table.
    """
    outcome = Outcome(campaign.rows(read_results(results), images))
    splits = campaign.missing(outcome.rows)
    stops = campaign.until is not None and campaign.until < campaign.recipe.epochs
    until = campaign.until if stops else None
    jobs = [Job(campaign.place, design, campaign.recipe, campaign.seed, until) for design in splits]
    folder = results.parent / f"{results.stem}.training"
    _forget(folder, [Job(campaign.place, r.design, campaign.recipe, r.seed) for r in outcome.rows])
    if not jobs:
        return outcome
    _prepare(folder, images)
    with contextlib.closing(trainer(jobs, folder)) as events:
        for happened in events:
            event = happened
            if isinstance(event, Finished) and stops:
                outcome.stopped[event.job.design] = (
                    round(event.validation_accuracy, 2),  # as the table's curve has it
                    event.seconds,
                )
            elif isinstance(event, Finished):
                row = campaign.row(event, splits[event.job.design], images)
                try:
                    append_result(results, row)
                except (InputError, UsageError):
                    raise
                except FlashError as error:  # a full disk
                    event = Failed(event.job, f"its result was not kept: {error}")
                else:
                    outcome.rows.append(row)
                    outcome.trained.append(row)
                    (folder / event.job.file).unlink(missing_ok=True)
            if isinstance(event, Failed):
                outcome.failed.append((event.job.design, event.reason))
            tell(event, jobs)
    if not outcome.failed:
        _clear(folder)
    return outcome


def _forget(folder: Path, done: Sequence[Job]) -> None:
    """Remove what a run left that died after it had written a result; the folder if that is all."""
    if not folder.is_dir():
        return
    with contextlib.suppress(OSError):
        for job in done:
            (folder / job.file).unlink(missing_ok=True)
    if not any(folder.glob("*.pt")):
        _clear(folder)


def _prepare(folder: Path, images: ImageSet) -> None:
    """Make the folder, which is named after the table, and put the images into it.

    Calibrations of two tables may run at once and have different images.
    """
    make_folder(folder)
    try:
        with whole_file(folder / "images.npz") as file:
            images.save(file)
    except OSError as error:
        raise cannot_write(Path(error.filename or folder), error) from None


def _clear(folder: Path) -> None:
    for path in (folder / "images.npz", folder / "workers.log"):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # checkpoints of another recipe may be there
        folder.rmdir()
