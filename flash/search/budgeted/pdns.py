"""MTF-PDNS (Vo and Luong, GECCO 2024): Pareto-dominance novelty search over several metrics.

No metric is trusted to lead. An archive keeps every design that none dominates over all metrics;
the population is selected for novelty, the mean distance to the archive in the space of metrics,
members of the archive before the rest (whose distance counts against them). The archive is the
result; its designs are trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flash.optimize.pareto import non_dominated
from flash.search.budgeted.aggregate import LogRank
from flash.search.budgeted.breeding import crossed, founders, mutated
from flash.search.budgeted.candidates import Candidates, Floats, Ints
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.robot import unit_interval
from flash.search.budgeted.strategy import Strategy

__all__ = ["PDNS", "COSTS", "Archive", "novelty_search", "pdns"]

#: Metrics that count what a network costs; less is better here.
COSTS = ("flops", "macs", "params")


@dataclass(frozen=True)
class Archive:
    """Designs that none of those looked at dominates.

    points:      their metrics as minimised, shape (k, metrics).
    evaluations: designs scored, repeats included.
    """

    designs: Ints
    points: Floats
    evaluations: int


def pdns(candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator) -> dict[str, Any]:
    """Search, then train the archive, the highest log-rank aggregate first.

    The published system trains the whole archive; the order is ours, for budgets below its size.
    """
    signs = [1.0 if name in COSTS else -1.0 for name in candidates.names]
    archive = novelty_search(candidates, signs, rng)
    scores = candidates.score(archive.designs)
    order = np.argsort(-LogRank(candidates.scores)(scores), kind="stable")
    evaluator.accuracy(archive.designs[order[: evaluator.left]])
    return {
        "metrics": list(candidates.names),
        "archive": len(archive.designs),
        "scored": archive.evaluations,
    }


def novelty_search(
    candidates: Candidates,
    signs: Sequence[float],
    rng: np.random.Generator,
    population: int = 20,
    generations: int = 50,
    *,
    released: bool = False,
) -> Archive:
    """The archive after ``population x generations`` evaluations.

    signs: +1 for a metric to minimise, -1 for one to maximise.
    released: tournaments as the authors' released code holds them, which compares another
        design's fitness than that of the one it keeps: selection is partly random. As the paper
        describes them otherwise.
    """
    alive = founders(candidates, population, rng)
    points = candidates.score(alive) * signs
    archive = Archive(alive[:0], points[:0], 0)
    archive = _extended(archive, alive, points)
    for _ in range(generations - 1):
        order = rng.permutation(len(alive))
        half = len(order) // 2
        children = np.concatenate(
            [
                *crossed(alive[order[:half]], alive[order[half : 2 * half]], rng),
                alive[order[2 * half :]],
            ]
        )
        children = mutated(children, candidates.sizes, rng)
        allowed = candidates.admitted(children)
        children[~allowed] = alive[order][~allowed]
        bred = candidates.score(children) * signs
        archive = _extended(archive, children, bred)
        alive, points = np.concatenate([alive, children]), np.concatenate([points, bred])
        fitness = _novelty(alive, points, archive)
        keep = _tournament(fitness, population, rng, released=released)
        alive, points = alive[keep], points[keep]
    return archive


def _extended(archive: Archive, designs: Ints, points: Floats) -> Archive:
    """The archive with what is new and not dominated; designs of equal metrics are all kept."""
    rows, first = np.unique(np.concatenate([archive.designs, designs]), axis=0, return_index=True)
    merged = np.concatenate([archive.points, points])[first]
    distinct, which = np.unique(merged, axis=0, return_inverse=True)
    keep = non_dominated(distinct)[which.ravel()]
    return Archive(rows[keep], merged[keep], archive.evaluations + len(designs))


def _novelty(designs: Ints, points: Floats, archive: Archive) -> Floats:
    """Mean Euclidean distance to the archive, negative for designs outside it."""
    unit = unit_interval(np.concatenate([points, archive.points]))
    own, theirs = unit[: len(points)], unit[len(points) :]
    distance: Floats = np.linalg.norm(own[:, None] - theirs[None], axis=2).mean(axis=1)
    members = {row.tobytes() for row in archive.designs}
    inside = np.array([row.tobytes() in members for row in designs])
    return np.where(inside, distance, -distance)


def _tournament(
    fitness: Floats, winners: int, rng: np.random.Generator, *, released: bool = False
) -> Ints:
    """Rows of the winners of tournaments of two, everyone competing equally often.

    released: the first of a pair is judged by the fitness of its place in the draw, not by its own.
    """
    rounds = -(-winners // (len(fitness) // 2))
    found = []
    for _ in range(rounds):
        order = rng.permutation(len(fitness))
        pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
        judged = fitness[pairs]
        if released:
            judged[:, 0] = fitness[: 2 * len(pairs) : 2]
        found.append(pairs[np.arange(len(pairs)), judged.argmax(axis=1)])
    return np.concatenate(found)[:winners]


PDNS = Strategy(pdns)
