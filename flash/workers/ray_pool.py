"""Tasks spread over the machines of a Ray cluster (extra ``ray``).

Every machine of the cluster needs flash and what the tasks import.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from flash.errors import UsageError

__all__ = ["RayFailure", "on_ray"]

#: How often a task may lose its machine.
_RETRIES = 2
#: Seconds that a cluster may take to answer.
_PATIENCE_S = 10.0

_Task = TypeVar("_Task")


class RayFailure(str):
    """Why a task came to nothing, in one line."""

    __slots__ = ()


def on_ray(
    function: Callable[..., Any], shared: Any, tasks: Sequence[_Task], address: str, gpus: int = 0
) -> Generator[tuple[_Task, Any], None, None]:
    """``function(shared, task)`` for each task, as they are done: its result or ``RayFailure``.

    shared:  goes to every machine once.
    address: of a running cluster, "10.0.0.5:6379" or "ray://head:10001", or "local" for one on
             this machine that ends with the tasks.
    gpus:    GPUs a task needs, besides one core.

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
        held = ray.put(shared)
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(function)
        pending = {remote.remote(held, task): task for task in tasks}
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            task = pending.pop(done)
            try:
                yield task, ray.get(done)
            except ray.exceptions.RayError as error:
                yield task, RayFailure(str(error).strip().partition("\n")[0])
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
