"""Trainings spread over the machines of a Ray cluster (extra ``ray``).

Every machine of the cluster needs flash with the extra ``train``. The images go there once.
Where the checkpoints' folder is on a file system that all machines see, a training that loses
its machine goes on from its checkpoint on another; elsewhere it begins again.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from flash.errors import UsageError
from flash.spaces.space import load_space
from flash.training.images import ImageSet
from flash.training.jobs import Event, Failed, Job, event_of
from flash.training.worker import perform

__all__ = ["train_on_ray"]

#: How often a job may lose its machine.
_RETRIES = 2
#: Seconds that a cluster may take to answer.
_PATIENCE_S = 10.0


def train_on_ray(
    jobs: Sequence[Job], folder: Path, images: ImageSet, address: str
) -> Generator[Event, None, None]:
    """Train all jobs, each on one core (or one GPU) of the cluster; results as they come.

    address: of a running cluster, e.g. "10.0.0.5:6379" or "ray://head:10001", or "local" for
             one on this machine that ends with the trainings.

    Raises ``UsageError`` if there is no Ray here, or none at the address.
    """
    ray = _ray()
    _reach(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises plain ones, for a node that did not start in time
        why = str(error).strip().partition("\n")[0]
        raise UsageError(f"no Ray cluster at {address}: {why}") from None
    try:
        shared = ray.put(images)
        pending = {}
        for job in jobs:
            gpus = 1 if job.recipe.hardware == "cuda" else 0
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(perform)
            space = load_space(job.space)
            network = space.network(space.design(space.family.parse(job.design)))
            place = folder.resolve() / job.file
            pending[task.remote(network, shared, job.recipe, job.seed, place)] = job
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(done)
            try:
                yield event_of(job, ray.get(done))
            except ray.exceptions.RayError as error:
                yield Failed(job, str(error).strip().partition("\n")[0])
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise ``UsageError`` if nobody answers at the address: Ray would try for minutes."""
    if address in ("auto", "local"):
        return
    found = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:([0-9]{1,5})", address)
    if not found:
        raise UsageError(f"--ray {address}: expected HOST:PORT, ray://HOST:PORT, auto or local")
    try:
        socket.create_connection((found[1], int(found[2])), _PATIENCE_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(f"no Ray cluster at {address}: {error}") from None


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 (an extra)
    except ImportError:
        raise UsageError("this needs the package ray: pip install 'flash-codesign[ray]'") from None
    return ray
