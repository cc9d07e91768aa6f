"""Scoring one network with proxies, and putting the ranks of several together."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.proxies.images import Images
from flash.proxies.probe import NoScore, Probe
from flash.proxies.registry import AGGREGATES, PROXIES, ingredients
from flash.spaces.network import Network

__all__ = ["ProxyScores", "aggregate", "log_rank", "score_network"]

Floats = NDArray[np.float64]

_LinAlgError = torch.linalg.LinAlgError  # type: ignore[attr-defined]


class ProxyScores(dict[str, float]):
    """Scores by proxy; NaN where a proxy says nothing, and then ``failures`` says why.

    seconds: wall-clock time each proxy took; what two of them share counts for the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, str] = {}
        self.seconds: dict[str, float] = {}


def score_network(
    network: Network,
    names: Iterable[str],
    *,
    seed: int = 0,
    batch: int | None = None,
    device: str = "cpu",
    data: Images | None = None,
) -> ProxyScores:
    """Scores of the live part of ``network``; the same arguments give the same numbers.

    names:  of ``PROXIES``; the members are computed for an aggregate.
    batch:  images a batch; each proxy's own number if not given.
    device: where PyTorch runs it, "cpu" or "cuda".
    data:   real images; random ones without.

    A network that a proxy cannot score gets NaN and a reason. Raises ``UsageError`` for an
    unknown proxy or device, for no batch, and for data of another size.
    """
    wanted = ingredients(names)
    _check(batch, device)
    scores = ProxyScores()
    probes: dict[int, Probe] = {}
    for name in wanted:
        began = time.perf_counter()
        size = batch or PROXIES[name].batch
        try:
            if (several := len(network.outputs)) > 1:
                raise NoScore(f"it returns {several} tensors; proxies score networks of one")
            if size not in probes:
                probes[size] = Probe(
                    network, seed=seed, batch=size, device=device, data=data, asked=wanted
                )
            value = _function(name)(probes[size])
            if not math.isfinite(value):
                raise NoScore(f"the score is {value}")
        except (NoScore, _LinAlgError, torch.OutOfMemoryError) as error:
            value, scores.failures[name] = math.nan, _reason(error)
        scores[name] = value
        scores.seconds[name] = time.perf_counter() - began
    return scores


def _function(name: str) -> Callable[[Probe], float]:
    module, _, attribute = PROXIES[name].place.partition(":")
    function: Callable[[Probe], float] = getattr(importlib.import_module(module), attribute)
    return function


def _reason(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "the device has not enough memory for this batch"
    if isinstance(error, _LinAlgError):
        return "an eigenvalue computation did not converge"
    return str(error)


def _check(batch: int | None, device: str) -> None:
    if batch is not None and (not isinstance(batch, int) or batch < 2):
        raise UsageError(f"a batch has 2 images or more, got {batch!r}")
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"unknown device '{device}': expected cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device here; leave --device out to score on the CPU")


def aggregate(name: str, scores: Mapping[str, Floats]) -> Floats:
    """Scores of networks by a proxy or an aggregate, more is better; shape (networks,).

    scores: of each proxy that it needs, as ``score_network`` returns them. NaN where the proxy
    said nothing; an aggregate takes that for the worst rank.
    """
    if name in PROXIES:
        return scores[name] if PROXIES[name].rising else -scores[name]
    rule = AGGREGATES[name]
    members = [aggregate(member, scores) for member in rule.members]
    if rule.how == "log_rank":
        return log_rank(members)
    total: Floats = np.sum([_ranks(member) for member in members], axis=0)
    return total


def log_rank(scores: Sequence[Floats]) -> Floats:
    """sum of log(rank / m) over scores, the best of m networks has rank m (AZ-NAS, eq. 11).

    Equal scores share their mean rank; NaN ranks last.
    """
    total: Floats = np.sum([np.log(_ranks(score) / len(score)) for score in scores], axis=0)
    return total


def _ranks(score: Floats) -> Floats:
    from scipy.stats import rankdata  # noqa: PLC0415 (a second's import, which workers spare)

    ranks: Floats = rankdata(np.where(np.isnan(score), -np.inf, score))
    return ranks
