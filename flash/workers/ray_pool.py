"""Tasks spread over the machines of a Ray cluster (extra ``ray``).

Every machine of the cluster needs flash and what the tasks import.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from flash.errors import UsageError
from flash.extras import need
from flash.workers.events import Done, Lost, Work

__all__ = ["run_on_ray"]

#: How often a task may lose its machine.
_RETRIES = 2
#: Seconds that a cluster may take to answer.
_PATIENCE_S = 10.0

T = TypeVar("T")


def run_on_ray(
    function: Work, shared: Any, tasks: Sequence[T], address: str, gpus: int = 0
) -> Generator[Done[T] | Lost[T], None, None]:
    """Do all tasks on a cluster, each on one core; their ends as they come.

    function: at the top level of a module, called as ``function(shared, task)``: a ``tell`` that
              it takes has to be optional, for nobody hears it.
    shared:   goes to every machine once.
    address:  of a running cluster, "10.0.0.5:6379" or "ray://head:10001", or "local" for one on
              this machine that ends with the tasks.
    gpus:     GPUs a task needs, besides one core.

    Raises ``UsageError`` if there is no Ray here, or none at the address.
    """
    ray = need("ray", extra="ray", what="--ray")
    _reach(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises plain ones, for a node that did not start in time
        why = str(error).strip().partition("\n")[0]
        raise UsageError(f"no Ray cluster at {address}: {why}") from None
    try:
        held = ray.put(shared)
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(function)
        pending = {remote.remote(held, task): task for task in tasks}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            task = pending.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayError as error:
                yield Lost(task, str(error).strip().partition("\n")[0])
            else:
                yield Done(task, result)
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
