"""Tasks in several processes of one thread each on this machine.

A worker that dies (killed, out of memory) costs its task a try, no more: it is replaced, and the
task begins anew in another. Ctrl-C reaches this process alone, which ends its workers; workers
whose parent dies end by themselves. The program that calls is not imported by them, so it needs
no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Generic, TypeVar

from flash.errors import FlashError
from flash.workers.events import Begun, Done, Event, Lost, Told, Work

__all__ = ["run_here"]

T = TypeVar("T")

#: How often a task may lose its worker before it is given up.
_TRIES = 3
#: Numerical libraries read these when they are imported.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: The modules that the parent finds are found in the worker too.
_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from flash.workers.child import serve; serve(int(sys.argv[1]))"
)


def run_here(
    function: Work,
    shared: Any,
    tasks: Sequence[T],
    workers: int,
    log: IO[bytes] | None = None,
) -> Generator[Event[T], None, None]:
    """Do all tasks in at most ``workers`` processes; what happens, as it happens.

    function: at the top level of a module, called as ``function(shared, task, tell)``.
    log:      takes what workers print; without one, errors go to standard error and the rest
              nowhere.

    Each task ends in ``Done``, or in ``Lost`` when three workers died over it. Closing the
    generator stops the workers. Raises the ``FlashError`` that a task raises.
    """
    waiting = deque(enumerate(tasks))
    lost: Counter[int] = Counter()
    busy: dict[Connection, _Worker[T]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = _Worker[T](function, shared, log)
                busy[worker.connection] = worker
                yield worker.take(*waiting.popleft())
            heard = wait(list(busy))
            for ready in [connection for connection in busy if connection in heard]:
                worker = busy[ready]
                event = worker.heard()
                if isinstance(event, Told):
                    yield event
                elif isinstance(event, Done):
                    yield event
                    if waiting:
                        yield worker.take(*waiting.popleft())
                    else:
                        busy.pop(ready).stop()
                else:
                    code = busy.pop(ready).stop(patience_s=1.0)
                    lost[worker.number] += 1
                    if lost[worker.number] < _TRIES:
                        waiting.appendleft((worker.number, worker.task))
                    else:
                        yield Lost(worker.task, f"{_death(code)}, {_TRIES} times")
    finally:
        for worker in busy.values():
            worker.stop()


def _death(code: int) -> str:
    return f"the worker was killed by signal {-code}" if code < 0 else f"the worker ended ({code})"


class _Worker(Generic[T]):
    """A process and the task it has."""

    task: T
    number: int

    def __init__(self, function: Work, shared: Any, log: IO[bytes] | None) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(theirs.fileno()), json.dumps(sys.path)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log or subprocess.DEVNULL,
            stderr=log,
            env=os.environ | dict.fromkeys(_THREADS, "1"),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        theirs.close()
        self._send((function, shared))

    def take(self, number: int, task: T) -> Begun[T]:
        """Begin a task. If the process is dead, its connection says so at the next look."""
        self.number, self.task = number, task
        self._send(task)
        return Begun(task)

    def heard(self) -> Told[T] | Done[T] | None:
        """The next message, once the connection is ready; None if the process died.

        Raises the ``FlashError`` that the task raised.
        """
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(value, FlashError):
            raise value
        return Told(self.task, value) if kind == "told" else Done(self.task, value)

    def stop(self, patience_s: float = 0.0) -> int:
        """End the process; its exit code, or minus the signal that ended it.

        It has nothing to lose; taking down the libraries it uses would take a second.
        """
        self.connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience_s)
        self._process.kill()
        return self._process.wait()

    def _send(self, value: Any) -> None:
        with contextlib.suppress(OSError):
            self.connection.send(value)
