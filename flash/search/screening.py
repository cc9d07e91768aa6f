"""Scoring the best of a front with a proxy that runs the network, and picking anew.

The optimizers go through a space by a data-free score, at millions of designs a second. A proxy
takes milliseconds to seconds a network, so it sees a shortlist only: designs spread over that
front, and designs one step away from them. What no other design of the shortlist dominates, by
the proxy's score and the costs, is the new front.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.command import CommandParser
from flash.errors import FlashError, UsageError
from flash.metrics import METRICS as SCORES
from flash.optimize import Limit, Objective, OptimizerResult, SeparableProblem
from flash.optimize.objectives import values_of
from flash.optimize.pareto import non_dominated
from flash.proxies.cache import default_cache
from flash.proxies.images import read_images
from flash.proxies.job import Setting
from flash.proxies.many import Progress, score_networks
from flash.proxies.registry import AGGREGATES, PROXIES
from flash.search.problem import Networks, Subject
from flash.spaces.network import Network

__all__ = [
    "SHORTLIST_METRICS",
    "Repicked",
    "Shortlist",
    "add_options",
    "from_options",
    "proxy_scores",
    "repick",
    "shortlisted",
]

#: Metrics that see a shortlist only.
SHORTLIST_METRICS = (*PROXIES, *AGGREGATES)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shortlist:
    """How to score a shortlist.

    size:    designs scored.
    data:    file of real images; random ones without.
    cache:   file of scores; the user's own one if not given.
    workers, ray: see ``flash.proxies.many.score_networks``.
    quiet:   no progress on standard error.
    """

    size: int = 64
    batch: int | None = None
    device: str = "cpu"
    data: str | None = None
    cache: str | None = None
    workers: int = 1
    ray: str | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 2:
            raise UsageError(f"a shortlist has 2 designs or more, got {self.size!r}")

    @staticmethod
    def check(metric: str, subject: Subject, scalar: bool) -> None:
        """Raise ``UsageError`` where a front cannot be re-picked by ``metric``.

        scalar: a limit on score or accuracy, or a single scalar objective is asked for.
        """
        if not isinstance(subject, Networks):
            raise UsageError(f"--metric {metric} needs one chip: fix it with --hardware default")
        if scalar:
            raise UsageError(
                f"--metric {metric} takes no --objective flash, --min-score or --min-accuracy"
            )


def add_options(parser: CommandParser, search: bool = True) -> None:
    """The options that say how a metric that runs the network is computed."""
    add = parser.add_argument_group("a metric that runs the network").add_argument
    if search:
        add("--shortlist", default="64", metavar="N", help="designs it scores (%(default)s)")
    add("--workers", default="1", metavar="N", help="processes that score (%(default)s)")
    add("--ray", metavar="ADDRESS", help="score on a Ray cluster; 'local' starts one here")
    add("--device", default="cpu", metavar="D", help="cpu or cuda (%(default)s)")
    add("--proxy-batch", metavar="N", help="images a batch (each proxy's own number)")
    add("--data", metavar="FILE.npz", help="real images and labels (random ones)")
    add("--proxy-cache", metavar="FILE", help="where scores are kept (the user's cache folder)")


def from_options(options: argparse.Namespace) -> Shortlist:
    """What the options say; raises ``UsageError`` for what is no number."""
    return Shortlist(
        size=_count(getattr(options, "shortlist", "64"), "--shortlist"),
        workers=_count(options.workers, "--workers"),
        batch=None if options.proxy_batch is None else _count(options.proxy_batch, "--proxy-batch"),
        device=options.device, ray=options.ray, data=options.data, cache=options.proxy_cache,
        quiet=getattr(options, "quiet", False),
    )  # fmt: skip


def _count(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 7):
        raise UsageError(f"{option} {text}: expected a whole number of 1 or more")
    return int(text)


@dataclass(frozen=True)
class Repicked:
    """The new front: ``result`` with the proxy's score as objective.

    scores: what the metric is made of, and the metric itself, by name; shape (designs,).
    notes:  what the reader should know, a sentence each.
    """

    result: OptimizerResult
    scores: dict[str, Floats]
    notes: tuple[str, ...]


def repick(
    subject: Subject, problem: SeparableProblem, found: OptimizerResult,
    limits: Sequence[Limit], metric: str, seed: int, shortlist: Shortlist,
) -> Repicked:  # fmt: skip
    """Score designs on and around the front ``found`` and keep those that none dominates.

    The metric takes the place of the front's score; the empty one leaves the front as it is.
    Raises ``FlashError`` if the metric can score no design, and as ``score_networks`` does.
    """
    if not metric or not isinstance(subject, Networks):
        return Repicked(found, {}, ())
    designs = shortlisted(subject, problem, found, limits, shortlist.size)
    networks = [subject.space.network(design) for design in designs]
    known, scored, why = proxy_scores(networks, metric, seed, shortlist)
    designs = designs[scored]
    is_score = [of.name in SCORES for of in found.objectives]
    objectives = tuple(
        Objective(metric, "max") if score else of
        for score, of in zip(is_score, found.objectives, strict=True)
    )
    values = _values(subject, problem, designs, found.objectives)
    values[:, is_score] = known[metric][:, None]
    best = np.flatnonzero(non_dominated(values, [of.sign for of in objectives]))
    base = next(of.name for of, score in zip(found.objectives, is_score, strict=True) if score)
    before = "certified" if found.certified else "not certified"
    message = (
        f"{metric} re-picked {len(best)} of {len(designs)} designs on and near the "
        f"front by {base} ({len(found)} designs, {before})"
    )
    result = replace(
        found, objectives=objectives, indices=designs[best], values=values[best],
        gap_percent=None, certified=False, message=message,
    )  # fmt: skip
    notes = [_how(metric, seed, shortlist.data), *why]
    return Repicked(result, {name: v[best] for name, v in known.items()}, tuple(notes))


def proxy_scores(
    networks: Sequence[Network], metric: str, seed: int, shortlist: Shortlist
) -> tuple[dict[str, Floats], NDArray[np.bool_], list[str]]:
    """Scores of networks by a proxy or an aggregate, more is better.

    Returns the scores by name (the metric and what it is made of) of the networks that have
    one, which networks these are, and why the others have none. Raises ``FlashError`` if none
    has, and as ``score_networks`` does.
    """
    from flash.proxies import aggregate  # noqa: PLC0415 (an extra)

    data = None if shortlist.data is None else read_images(shortlist.data)
    found = score_networks(
        networks, [metric], Setting(seed, shortlist.batch, shortlist.device, data),
        cache=shortlist.cache or default_cache(), workers=shortlist.workers, ray=shortlist.ray,
        progress=_progress(metric, shortlist.quiet),
    )  # fmt: skip
    scored = np.asarray(np.isfinite(np.stack(list(found.values.values()))).all(axis=0))
    reasons = "; ".join(dict.fromkeys(found.failures.values()))
    if not scored.any():
        raise FlashError(f"{metric} can score none of {len(networks)} networks: {reasons}")
    members = {name: values[scored] for name, values in found.values.items()}
    known = {name: aggregate(name, members) for name in (*members, metric)}
    missing = int((~scored).sum())
    why = [f"{missing} of {len(networks)} networks have no {metric} score: {reasons}"]
    return known, scored, why if missing else []


def _how(name: str, seed: int, data: str | None) -> str:
    """One sentence: where the scores come from."""
    known = PROXIES[name] if name in PROXIES else AGGREGATES[name]
    images = "random images" if data is None else f"images of {data}"
    among = ", among the shortlist only" if name in AGGREGATES else ""
    return f"{name} is computed, seed {seed}, {images}{among} ({known.source})"


def shortlisted(
    subject: Networks, problem: SeparableProblem, found: OptimizerResult,
    limits: Sequence[Limit], size: int,
) -> Ints:  # fmt: skip
    """Up to ``size`` designs, shape (k, variables): half of the front, the rest around it.

    Of the front those spread evenly over it, its ends included. Around it the designs one grid
    step away in one variable that meet the limits, in turn for each of those designs the one
    that loses least to the front.
    """
    order = np.lexsort(found.values.T[::-1])
    half = min(len(order), max(2, size // 2))
    front = found.indices[order[np.linspace(0, len(order) - 1, half).round().astype(np.int64)]]
    rows = [tuple(row) for row in front.tolist()]
    seen = {tuple(row) for row in found.indices.tolist()}
    queues = []
    for design in front:
        near = _steps(problem.sizes, design)
        near = near[_met(subject, problem, near, limits)]
        loss = _loss(found, _values(subject, problem, near, found.objectives))
        queues.append(near[np.argsort(loss, kind="stable")].tolist())
    while len(rows) < size and any(queues):
        for queue in queues:
            row = tuple(queue.pop(0)) if queue else None
            if row is not None and row not in seen and len(rows) < size:
                seen.add(row)
                rows.append(row)
    return np.array(rows, dtype=np.int64)


def _steps(sizes: Sequence[int], design: Ints) -> Ints:
    """Designs one grid step away in one variable, shape (k, variables)."""
    moves = np.concatenate([np.eye(len(sizes), dtype=np.int64) * step for step in (-1, 1)])
    moved = design + moves
    inside: NDArray[np.bool_] = ((moved >= 0) & (moved < np.asarray(sizes))).all(axis=1)
    return np.asarray(moved[inside])


def _loss(found: OptimizerResult, values: Floats) -> Floats:
    """How much of the front's range a design would have to gain in everything at once to be
    dominated by none of the front (the additive epsilon of Zitzler et al. 2003).
    """
    signs = np.asarray(found.signs)
    front = found.values * signs
    scale = np.where(np.ptp(front, axis=0) > 0, np.ptp(front, axis=0), 1.0)
    excess = (values[:, None, :] * signs - front[None, :, :]) / scale
    return np.asarray(excess.min(axis=2).max(axis=1))


def _values(
    subject: Networks, problem: SeparableProblem, designs: Ints, objectives: Sequence[Objective]
) -> Floats:
    """Objectives of designs: from the stage tables where these are exact, else layer by layer."""
    values = values_of(problem, designs, objectives)
    if not subject.target.exact and len(designs):
        found = subject.evaluate(designs)
        for column, of in enumerate(objectives):
            if of.name not in SCORES:
                values[:, column] = found.quantity(of.name)
    return values


def _met(
    subject: Networks, problem: SeparableProblem, designs: Ints, limits: Sequence[Limit]
) -> NDArray[np.bool_]:
    values = _values(subject, problem, designs, [limit.quantity for limit in limits])
    met = [limit.met(values[:, k]) for k, limit in enumerate(limits)]
    return np.asarray(np.all(met, axis=0)) if met else np.ones(len(designs), dtype=np.bool_)


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
