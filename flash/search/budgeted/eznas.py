"""EZNAS-style search (Akhauri et al., NeurIPS 2022): evolve the score itself.

Half of the budget trains designs drawn at random; genetic programming finds the formula over
layer statistics that ranks them best; the other half goes down its ranking. The published system
evolves over 22 tensors of a running network on several benchmarks at once; here the statistics
are whatever the candidates offer, by default what the layer table says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.errors import UsageError
from flash.search.budgeted.candidates import Candidates, Floats, LayerStatistics
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.formula import Formula, evolve
from flash.search.budgeted.strategy import Strategy

__all__ = ["EZNAS", "eznas"]

#: Trained designs below which no formula is evolved: a rank correlation of fewer means nothing.
_FEWEST = 4
#: Candidates whose layers are tabulated at a time; only memory depends on it.
_CHUNK = 1024


def eznas(candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator) -> dict[str, Any]:
    """Evolve a formula on trained designs and follow it.

    Raises ``UsageError`` if the candidates have no layer statistics or the budget is below 8.
    """
    if candidates.statistics is None:
        raise UsageError("eznas needs layer statistics of the candidates")
    if evaluator.left < 2 * _FEWEST:
        raise UsageError(f"eznas needs a budget of {2 * _FEWEST} or more")
    drawn = rng.permutation(len(candidates))[: evaluator.left // 2]
    designs = candidates.designs[drawn]
    accuracy = evaluator.accuracy(designs)
    known = np.isfinite(accuracy)
    details: dict[str, Any] = {"trained_on": int(known.sum())}
    order = rng.permutation(len(candidates))
    if known.sum() >= _FEWEST:
        formula = evolve(candidates.statistics(designs[known]), accuracy[known], rng)
        order = np.argsort(-_scores(candidates, formula), kind="stable")
        details |= {"formula": formula.text, "kendall_on_trained": formula.tau}
    untried = order[~evaluator.tried(candidates.designs[order])]
    evaluator.accuracy(candidates.designs[untried[: evaluator.left]])
    return details


def _scores(candidates: Candidates, formula: Formula) -> Floats:
    statistics: Any = candidates.statistics
    parts = []
    for start in range(0, len(candidates), _CHUNK):
        found: LayerStatistics = statistics(candidates.designs[start : start + _CHUNK])
        parts.append(formula(found))
    return np.concatenate(parts)


EZNAS = Strategy(eznas)
