"""What is to be trained, and what is heard of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flash.training.recipe import Recipe

__all__ = ["Event", "Failed", "Finished", "Job", "Progress", "Started", "event_of"]


@dataclass(frozen=True)
class Job:
    """One training: a design of a space as text, by a recipe, from a seed.

    space: name or file, as ``load_space`` takes it.
    until: epochs after which it stops, its checkpoint kept, to go on later; None for all. It goes
           on as if it had not stopped.
    """

    space: str
    design: str
    recipe: Recipe
    seed: int
    until: int | None = None

    @property
    def file(self) -> str:
        """Name of the checkpoint: the same job has the same."""
        text = f"{self.space} {self.design} {self.recipe!r} {self.seed}"
        return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pt"


@dataclass(frozen=True)
class Started:
    """A worker has taken the job up."""

    job: Job


@dataclass(frozen=True)
class Progress:
    """This share of the job is done."""

    job: Job
    share: float


@dataclass(frozen=True)
class Finished:
    """The job's result: accuracies in per cent, time in seconds, what trained it.

    test_accuracy: nan where the job stops before its recipe's last epoch.
    curve: validation accuracy after each epoch, on images as small as that epoch's.
    """

    job: Job
    validation_accuracy: float
    test_accuracy: float
    curve: tuple[float, ...]
    epochs: int
    seconds: float
    hardware: str


@dataclass(frozen=True)
class Failed:
    """The job came to nothing, and why."""

    job: Job
    reason: str


Event = Started | Progress | Finished | Failed


def event_of(job: Job, message: Mapping[str, Any]) -> Event:
    """What ``flash.training.worker`` tells of a job."""
    if "share" in message:
        return Progress(job, message["share"])
    if "failed" in message:
        return Failed(job, message["failed"])
    done = message["done"]
    return Finished(job, **{**done, "curve": tuple(done["curve"])})
