"""Trainings side by side: in processes of this machine, or on a Ray cluster (extra ``ray``).

Here, a training whose worker dies goes on from its last checkpoint in another. On a cluster every
machine needs flash with the extra ``train``; the images go there once. Where the checkpoints'
folder is on a file system that all machines see, a training that loses its machine goes on from
its checkpoint on another; elsewhere it begins again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flash.backends.torch.memory import keep_freed_memory
from flash.errors import FlashError
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.training.images import ImageSet
from flash.training.jobs import Event, Failed, Job, Started, event_of
from flash.training.worker import Message, perform
from flash.workers import Begun, Lost, Tell, Told, run_here, run_on_ray, silent

__all__ = ["train_here", "train_job", "train_on_ray"]


def train_here(jobs: Sequence[Job], folder: Path, workers: int) -> Generator[Event, None, None]:
    """Train all jobs in at most ``workers`` processes; what happens, as it happens.

    folder: has ``images.npz`` (``ImageSet.save``) and takes checkpoints and ``workers.log``,
            which has whatever the workers complained of.

    Closing the generator stops the workers. Checkpoints of finished jobs are left to the caller.
    """
    with (folder / "workers.log").open("ab") as log:
        events = run_here(train_job, str(folder), jobs, workers, log)
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, Begun):
                    yield Started(event.task)
                elif isinstance(event, Lost):
                    yield Failed(event.task, f"{event.why}; see {log.name}")
                else:
                    message = event.value if isinstance(event, Told) else event.result
                    yield event_of(event.task, message)


def train_job(folder: str, job: Job, tell: Tell = silent) -> Message:
    """Train a job with the images and checkpoints in ``folder``."""
    place = Path(folder)
    keep_freed_memory()
    try:
        network = _network(job)
    except FlashError as error:
        return {"failed": str(error)}
    checkpoint = place / job.file
    return perform(network, _images(place), job.recipe, job.seed, checkpoint, job.until, tell)


@cache
def _images(folder: Path) -> ImageSet:
    return ImageSet.load(folder / "images.npz")


def _network(job: Job) -> Network:
    space = load_space(job.space)
    return space.network(space.design(space.family.parse(job.design)))


@dataclass(frozen=True)
class _Order:
    """A job with what its machine needs: the space's file may be on this one alone."""

    job: Job
    network: Network
    checkpoint: Path


def train_on_ray(
    jobs: Sequence[Job], folder: Path, images: ImageSet, address: str
) -> Generator[Event, None, None]:
    """Train all jobs, each on one core (or one GPU) of the cluster; results as they come.

    address: see ``run_on_ray``.

    Raises ``UsageError`` if there is no Ray here, or none at the address.
    """
    orders = [_Order(job, _network(job), folder.resolve() / job.file) for job in jobs]
    gpus = int(any(job.recipe.hardware == "cuda" for job in jobs))
    for event in run_on_ray(_train_order, images, orders, address, gpus):
        if isinstance(event, Lost):
            yield Failed(event.task.job, event.why)
        else:
            yield event_of(event.task.job, event.result)


def _train_order(images: ImageSet, order: _Order) -> Message:
    job = order.job
    return perform(order.network, images, job.recipe, job.seed, order.checkpoint, job.until)
