"""Scores of many networks: looked up, or computed here, by workers or on a cluster."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.backends.torch.memory import keep_freed_memory
from flash.errors import UsageError
from flash.proxies.cache import Entry, Key, ScoreCache, key_of, network_digest
from flash.proxies.job import Job, Result, Setting, perform
from flash.proxies.registry import ingredients
from flash.spaces.network import Network
from flash.workers import Done, Lost, Tell, run_here, run_on_ray, silent

__all__ = ["NetworkScores", "Progress", "score_networks"]

#: Told after each network: how many are done, of how many, and seconds left (None at first).
Progress = Callable[[int, int, float | None], None]


@dataclass
class NetworkScores:
    """Scores by proxy, shape (networks,), NaN where there is none.

    failures: (network number, proxy) -> why there is none.
    computed: networks that had to be run; the others were known.
    """

    values: dict[str, NDArray[np.float64]]
    failures: dict[tuple[int, str], str] = field(default_factory=dict)
    computed: int = 0


def score_networks(
    networks: Sequence[Network],
    names: Iterable[str],
    setting: Setting | None = None,
    *,
    cache: str | Path | None = None,
    workers: int = 1,
    ray: str | None = None,
    progress: Progress = lambda done, total, seconds_left: None,
) -> NetworkScores:
    """Scores of all networks; each is kept in ``cache`` as soon as it is known.

    cache:   file of scores, see ``ScoreCache``; None keeps nothing.
    workers: processes of one thread; 1 computes in this process. A worker that dies is
             replaced and its network tried again, three times at most.
    ray:     address of a Ray cluster to compute on instead.

    Interrupted or killed, it goes on where it was when called again with the same cache.
    Raises as ``score_network``, ``ScoreCache`` and ``run_on_ray`` do.
    """
    chosen = setting or Setting()
    wanted = ingredients(names)
    if not isinstance(workers, int) or workers < 1:
        raise UsageError(f"expected 1 worker or more, got {workers!r}")
    digests = [network_digest(network) for network in networks]
    found = NetworkScores({name: np.full(len(networks), np.nan) for name in wanted})
    twins: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        twins.setdefault(digest, []).append(number)

    def note(digest: str, name: str, entry: Entry) -> None:
        for number in twins[digest]:
            if entry.value is None:
                found.failures[number, name] = entry.reason
            else:
                found.values[name][number] = entry.value

    with ScoreCache(cache) as kept:
        jobs = []
        for digest, numbers in twins.items():
            keys = {name: _key(digest, name, chosen) for name in wanted}
            known = kept.get(list(keys.values()))
            for name in wanted:
                if keys[name] in known:
                    note(digest, name, known[keys[name]])
            missing = tuple(name for name in wanted if keys[name] not in known)
            if missing:
                jobs.append(Job(numbers[0], networks[numbers[0]], missing))
        began = time.monotonic()
        for done, event in enumerate(_computed(jobs, chosen, workers, ray), start=1):
            digest = digests[event.task.number]
            for name, entry in _entries(event).items():
                if not isinstance(event, Lost):  # it may well work another time
                    kept.put(_key(digest, name, chosen), entry)
                note(digest, name, entry)
            found.computed += 1
            progress(done, len(jobs), (time.monotonic() - began) / done * (len(jobs) - done))
    return found


def _key(digest: str, name: str, setting: Setting) -> Key:
    return key_of(digest, name, setting.seed, setting.batch, setting.digest)


def _computed(
    jobs: Sequence[Job], setting: Setting, workers: int, ray: str | None
) -> Iterator[Done[Job] | Lost[Job]]:
    if not jobs:
        return
    if ray is not None:
        gpus = int(setting.device.startswith("cuda"))
        yield from run_on_ray(perform, setting, jobs, ray, gpus)
    elif workers > 1 and len(jobs) > 1:
        events = run_here(perform_in_worker, setting, jobs, min(workers, len(jobs)))
        with contextlib.closing(events):
            yield from (event for event in events if isinstance(event, Done | Lost))
    else:
        keep_freed_memory()
        yield from (Done(job, perform(setting, job)) for job in jobs)


def perform_in_worker(setting: Setting, job: Job, tell: Tell = silent) -> Result:
    """``perform`` in a process of one thread."""
    import torch  # noqa: PLC0415 (the parent may do without)

    torch.set_num_threads(1)
    keep_freed_memory()
    return perform(setting, job)


def _entries(event: Done[Job] | Lost[Job]) -> dict[str, Entry]:
    if isinstance(event, Lost):
        return {name: Entry(None, event.why, math.nan) for name in event.task.names}
    return {name: Entry(*values) for name, values in event.result.items()}
