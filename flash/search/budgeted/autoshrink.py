"""AutoShrink (Zhang et al., AAAI 2020, arXiv 1911.09251): edges leave the densest network.

Of the designs with one edge less a few, drawn at random, are trained; the best of them by
``shrink_score`` stays, without what its edge leaves dead, and is shrunk next. What is returned is
the best of all that were trained.

Ours: the densest design is trained too. A design outside the candidates (beyond a limit) is never
trained, but it may be passed through, so a search goes on until it is small enough. Where
trainings are left after a walk to the last edge, another walk makes other draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.errors import UsageError
from flash.search.budgeted.candidates import Candidates, Edges, Floats, Ints
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["AUTOSHRINK", "autoshrink", "shrink_score"]

#: Points of score for a tenth of the MACs, accuracy being a share of 1 (the source's).
_PER_DECADE = 0.1
#: Walks from the densest design to the last edge, where trainings are left.
_WALKS = 20


def shrink_score(accuracy: Floats, macs: Floats) -> Floats:
    """accuracy - .1 (log10 MACs - 6), the accuracy as a share of 1, given in per cent.

    Ten points of accuracy are worth a tenth of the multiply-accumulates. nan where it failed.
    """
    return accuracy / 100 - _PER_DECADE * (np.log10(macs) - 6)


def autoshrink(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator, removals: int = 10
) -> dict[str, Any]:
    """Remove edge by edge from the densest network; the best of accuracy against MACs.

    removals: tried each round, at random (the source's k).
    """
    if candidates.edges is None:
        raise UsageError(
            "autoshrink removes edges, and networks of this space have none that can go: use it "
            "on cells that are graphs, such as nasbench201 or nasbench101"
        )
    scores: dict[tuple[int, ...], float] = {}
    rounds = 0
    for _ in range(_WALKS):
        before = evaluator.spent
        rounds += _walk(candidates, candidates.edges, evaluator, rng, removals, scores)
        if not evaluator.left or (before and evaluator.spent == before):
            break
    tried = [trial.design for trial in evaluator.trials]
    best = max(scores, key=lambda design: scores[design], default=None)
    chosen = {} if best is None else {"chosen": tried.index(best), "score": scores[best]}
    return {"rounds": rounds, **chosen}


def _walk(
    candidates: Candidates,
    edges: Edges,
    evaluator: Evaluator,
    rng: np.random.Generator,
    removals: int,
    scores: dict[tuple[int, ...], float],
) -> int:
    """From the densest design until no edge can go; the number of rounds. ``scores`` grows."""
    here = edges.densest
    _score(here[None], candidates, edges, evaluator, scores)
    rounds = 0
    while evaluator.left:
        fewer = edges.without(here)
        if not len(fewer):
            break
        drawn = fewer[rng.permutation(len(fewer))[:removals]]
        found = _score(drawn, candidates, edges, evaluator, scores)
        here = drawn[int(np.argmax(np.nan_to_num(found, nan=-np.inf)))]
        rounds += 1
    return rounds


def _score(
    designs: Ints,
    candidates: Candidates,
    edges: Edges,
    evaluator: Evaluator,
    scores: dict[tuple[int, ...], float],
) -> Floats:
    """Scores of the designs, trained where they are candidates; nan for the others."""
    found = np.full(len(designs), np.nan)
    own = np.flatnonzero(candidates.admitted(designs))
    if len(own):
        accuracy = evaluator.accuracy(designs[own])
        found[own] = shrink_score(accuracy, edges.macs(designs[own]))
    done = np.isfinite(found)
    rows = map(tuple, designs[done].tolist())
    scores.update(zip(rows, found[done].tolist(), strict=True))
    return found


AUTOSHRINK = Strategy(autoshrink, metrics=("macs",))
