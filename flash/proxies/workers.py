"""Jobs in several processes of one thread each; a killed worker costs its job a try, no more."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from flash.backends.torch.memory import keep_freed_memory
from flash.errors import FlashError
from flash.proxies.job import Job, Result, Setting, perform

__all__ = ["Lost", "perform_here"]

#: How often a job may lose its worker before it is given up.
_TRIES = 3


class Lost(str):
    """Why a job came to nothing."""

    __slots__ = ()


class _Worker:
    """A process and the job it has."""

    def __init__(self, setting: Setting) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, setting), daemon=True
        )
        with _interrupts_ignored():  # Ctrl-C is the parent's to handle
            self.process.start()
        theirs.close()

    def take(self, job: Job) -> None:
        """Begin a job. If the process is dead, its connection says so at the next look."""
        self.job = job
        with contextlib.suppress(OSError):
            self.connection.send(job)

    def result(self) -> Result | None:
        """Of the job, once its connection is ready; None if the process died.

        Raises the ``FlashError`` that the job raised.
        """
        try:
            found: Result | FlashError = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(found, FlashError):
            raise found
        return found

    def code(self) -> int:
        """Exit code of a process that died, negative for a signal."""
        self.process.join(timeout=1)
        return self.stop()

    def stop(self) -> int:
        """End the process, which has nothing to lose; taking PyTorch down would take a second."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


def perform_here(
    jobs: Sequence[Job], setting: Setting, workers: int
) -> Iterator[tuple[Job, Result | Lost]]:
    """Each job with its result, as they are done, in any order.

    A job whose workers die three times comes back as ``Lost``. Closing the iterator stops the
    workers; workers whose parent dies end by themselves.
    """
    waiting = deque(jobs)
    lost: Counter[int] = Counter()
    busy: dict[Connection, _Worker] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = _Worker(setting)
                busy[worker.connection] = worker
                worker.take(waiting.popleft())
            for ready in wait(list(busy)):
                worker = next(w for w in busy.values() if w.connection is ready)
                job, result = worker.job, worker.result()
                if result is not None:
                    if waiting:
                        worker.take(waiting.popleft())
                    else:
                        busy.pop(worker.connection).stop()
                    yield job, result
                    continue
                code = busy.pop(worker.connection).code()
                lost[job.number] += 1
                if lost[job.number] < _TRIES:
                    waiting.append(job)
                else:
                    yield job, Lost(f"{_death(code)}, {_TRIES} times")
    finally:
        for worker in busy.values():
            worker.stop()


def _death(code: int) -> str:
    return f"the worker was killed by signal {-code}" if code < 0 else f"the worker ended ({code})"


def _serve(connection: Connection, setting: Setting) -> None:
    """What a worker does until its parent hangs up."""
    import torch  # noqa: PLC0415 (the parent may do without)

    torch.set_num_threads(1)
    keep_freed_memory()
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            try:
                connection.send(perform(setting, job))
            except FlashError as error:
                connection.send(error)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone may ask for this
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
