"""Trainings side by side: processes of one thread each on this machine.

A worker that dies (killed, out of memory) is replaced, and its job goes on from the last
checkpoint; a job whose workers die three times is given up.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from flash.training.jobs import Event, Failed, Job, Started, event_of

__all__ = ["train_here"]

#: How often a job may lose its worker.
_TRIES = 3
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def train_here(jobs: Sequence[Job], folder: Path, workers: int) -> Generator[Event, None, None]:
    """Train all jobs in at most ``workers`` processes; what happens, as it happens.

    folder: has ``images.npz`` (``ImageSet.save``) and takes checkpoints and ``workers.log``,
            which has whatever the workers complained of.

    Closing the iterator stops the workers. Checkpoints of finished jobs are left to the caller.
    """
    waiting = deque(jobs)
    lost: Counter[Job] = Counter()
    log = (folder / "workers.log").open("ab")
    ready = selectors.DefaultSelector()
    busy: list[_Worker] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(_Worker(folder, log, ready))
                yield busy[-1].take(waiting.popleft())
            for key, _ in ready.select():
                worker: _Worker = key.data
                for message in worker.heard():
                    yield event_of(worker.job, message)
                    if "share" not in message:
                        worker.idle = True
                if worker.ended and not worker.idle:
                    code = worker.stop()
                    busy.remove(worker)
                    lost[worker.job] += 1
                    if lost[worker.job] < _TRIES:
                        waiting.appendleft(worker.job)
                    else:
                        yield Failed(worker.job, f"{_death(code)}, {_TRIES} times; see {log.name}")
                elif worker.idle:
                    if waiting and not worker.ended:
                        yield worker.take(waiting.popleft())
                    else:
                        worker.stop()
                        busy.remove(worker)
    finally:
        for worker in busy:
            worker.stop()
        ready.close()
        log.close()


def _death(code: int) -> str:
    return f"the worker was killed by signal {-code}" if code < 0 else f"the worker ended ({code})"


class _Worker:
    """A process that trains one job after another."""

    def __init__(self, folder: Path, log: Any, ready: selectors.BaseSelector) -> None:
        self.idle = True
        self.ended = False
        self._ready = ready
        self._text = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flash.training.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | dict.fromkeys(_THREADS, "1"),
            start_new_session=True,  # Ctrl-C is for the parent, which stops its workers
        )
        self._in = cast(IO[bytes], self._process.stdin)
        self._out = cast(IO[bytes], self._process.stdout)
        ready.register(self._out, selectors.EVENT_READ, self)

    def take(self, job: Job) -> Started:
        self.job = job
        self.idle = False
        line = json.dumps(
            {"space": job.space, "design": job.design, "seed": job.seed,
             "recipe": asdict(job.recipe), "file": job.file}
        )  # fmt: skip
        with contextlib.suppress(BrokenPipeError):  # it died: its output says so as well
            self._in.write(line.encode() + b"\n")
            self._in.flush()
        return Started(job)

    def heard(self) -> list[dict[str, Any]]:
        """The messages that have come whole."""
        part = os.read(self._out.fileno(), 1 << 16)
        self.ended = not part
        *lines, self._text = (self._text + part).split(b"\n")
        return [json.loads(line) for line in lines]

    def stop(self) -> int:
        """End the process; its exit code, or minus the signal that ended it."""
        self._ready.unregister(self._out)
        if not self.ended:
            self._process.kill()  # nothing is lost: checkpoints are written whole
        code = self._process.wait()
        for pipe in (self._in, self._out):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return code
