"""One metric of many networks: the proxies it is made of are scored, then put together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import NothingDoneError
from flash.proxies.cache import default_cache
from flash.proxies.images import read_images
from flash.proxies.job import Setting
from flash.proxies.many import Progress, score_networks
from flash.proxies.options import ProxyOptions
from flash.proxies.registry import AGGREGATES, SCORES
from flash.spaces.network import Network

__all__ = ["MetricScores", "metric_scores", "source_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MetricScores:
    """A metric of networks, more is better.

    values:  the metric and what it is made of by name, shape (scored networks,).
    scored:  which of the networks given have a score, shape (networks,).
    notes:   why the others have none, a sentence each.
    """

    values: Mapping[str, Floats]
    scored: NDArray[np.bool_]
    notes: tuple[str, ...]


def metric_scores(
    networks: Sequence[Network], metric: str, seed: int, options: ProxyOptions
) -> MetricScores:
    """Score networks by a proxy or an aggregate.

    Raises ``FlashError`` if none of them can be scored, and as ``score_networks`` does.
    """
    from flash.proxies import aggregate  # noqa: PLC0415 (an extra)

    data = None if options.data is None else read_images(options.data)
    computed = score_networks(
        networks,
        [metric],
        Setting(seed, options.batch, options.device, data),
        cache=options.cache or default_cache(),
        workers=options.workers,
        ray=options.ray,
        progress=_progress(metric, options.quiet),
    )
    finite = np.isfinite(np.stack(list(computed.values.values())))
    scored = np.asarray(finite.all(axis=0))
    reasons = "; ".join(dict.fromkeys(computed.failures.values()))
    if not scored.any():
        raise NothingDoneError(f"{metric} can score none of {len(networks)} networks: {reasons}")
    members = {name: values[scored] for name, values in computed.values.items()}
    values = {name: aggregate(name, members) for name in (*members, metric)}
    missing = int((~scored).sum())
    notes = (f"{missing} of {len(networks)} networks have no {metric} score: {reasons}",)
    return MetricScores(values, scored, notes if missing else ())


def source_of(metric: str, seed: int, data: str | None) -> str:
    """One sentence: how a metric's scores were computed, and the paper it is from."""
    entry = SCORES[metric]
    images = "random images" if data is None else f"images of {data}"
    among = ", among the shortlist only" if metric in AGGREGATES else ""
    return f"{metric} is computed, seed {seed}, {images}{among} ({entry.source})"


def _progress(metric: str, quiet: bool) -> Progress:
    """A line on standard error that counts, where a person looks."""

    def tell(done: int, total: int, seconds_left: float | None) -> None:
        left = "" if not seconds_left else f", {seconds_left:.0f} s left"
        end = "\n" if done == total else "\r"
        sys.stderr.write(f"{metric}: {done} of {total} networks{left}        {end}")
        sys.stderr.flush()

    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return lambda done, total, seconds_left: None
    return tell
