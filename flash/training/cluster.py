"""Trainings spread over the machines of a Ray cluster (extra ``ray``).

Every machine of the cluster needs flash with the extra ``train``. The images go there once.
Where the checkpoints' folder is on a file system that all machines see, a training that loses
its machine goes on from its checkpoint on another; elsewhere it begins again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.training.images import ImageSet
from flash.training.jobs import Event, Failed, Job, event_of
from flash.training.worker import Message, perform
from flash.workers.ray_pool import RayFailure, on_ray

__all__ = ["train_on_ray"]


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

    address: see ``on_ray``.

    Raises ``UsageError`` if there is no Ray here, or none at the address.
    """
    orders = []
    for job in jobs:
        space = load_space(job.space)
        network = space.network(space.design(space.family.parse(job.design)))
        orders.append(_Order(job, network, folder.resolve() / job.file))
    gpus = int(any(job.recipe.hardware == "cuda" for job in jobs))
    for order, result in on_ray(_train, images, orders, address, gpus):
        if isinstance(result, RayFailure):
            yield Failed(order.job, str(result))
        else:
            yield event_of(order.job, result)


def _train(images: ImageSet, order: _Order) -> Message:
    return perform(order.network, images, order.job.recipe, order.job.seed, order.checkpoint)
