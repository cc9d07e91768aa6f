"""EcoNAS (Zhou et al., CVPR 2020, arXiv 2001.01233): trainings stop early and the best go on.

A population of partly trained designs, one pool a rung of the evaluator. Each cycle the best of
every pool train on to the next rung, and mutants of all pools, mothers won by tournament, are
trained to the first. A design that nothing happened to for some cycles leaves its pool.

The source's settings are 16 founders, 100 cycles of 16 children, 8 that go on to the second rung
and 4 to the third: 939 whole trainings. Ours: all of these shrink with the square root of the
budget (``_scale``); a mutant that was trained before is drawn again, and designs of the list where
there is none; children are born only while one design can still be trained to the end, and what is
left of the budget finishes the best.

Where the evaluator trains only whole (programs, tables), every rung is the last: what remains is
evolution with tournaments, in which a design leaves after ten cycles.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flash.search.budgeted.breeding import founders, mutant
from flash.search.budgeted.candidates import Candidates, Ints
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["ECONAS", "econas"]

#: Founders, and children a cycle, of the source; its budget in whole trainings.
_MOST, _SOURCE_BUDGET = 16, 939
#: Cycles after which a design that was not trained on leaves (the source's).
_LIFE = 10
#: Cycles without anything left to train, after which the search ends.
_IDLE = 3


class _Pools:
    """Designs by rung: what they reached, when, and with which accuracy."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._rung: dict[tuple[int, ...], int] = {}
        self._updated: dict[tuple[int, ...], int] = {}
        self._accuracy: dict[tuple[int, ...], float] = {}

    def train(self, designs: Ints, rung: int, cycle: int) -> None:
        """Train designs to a rung; those that fail leave."""
        if not len(designs):
            return
        found = self.evaluator.extend(designs, rung)
        failed = self.evaluator.tried(designs) & np.isnan(self.evaluator.known(designs))
        for design, accuracy, gone in zip(
            map(tuple, designs.tolist()), found.tolist(), failed.tolist(), strict=True
        ):
            if gone:
                self._rung.pop(design, None)
            elif math.isfinite(accuracy):
                self._rung[design], self._updated[design] = rung, cycle
                self._accuracy[design] = accuracy

    def at(self, rung: int, cycle: int) -> Ints:
        """Designs of a rung that still live, the most accurate first, shape (k, variables)."""
        alive = [d for d, own in self._rung.items() if own == rung]
        alive = [d for d in alive if cycle - self._updated[d] < _LIFE]
        alive.sort(key=lambda design: -self._accuracy[design])
        return np.array(alive, dtype=np.int64)


def econas(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Evolution whose trainings stop early: the best go on, their mutants begin."""
    last = len(evaluator.rungs) - 1
    size = _scale(evaluator.budget)
    pools = _Pools(evaluator)
    pools.train(_affordable(founders(candidates, size, rng), evaluator), 0, 0)
    cycle = idle = 0
    while idle < _IDLE:
        before = evaluator.used
        ranked = [pools.at(rung, cycle) for rung in range(last + 1)]
        for rung in range(last):
            pools.train(ranked[rung][: max(1, size >> (rung + 1))], rung + 1, cycle)
        children = _children(candidates, evaluator, ranked, size, rng)
        pools.train(_affordable(children, evaluator), 0, cycle)
        cycle += 1
        idle = idle + 1 if evaluator.used == before else 0
    for rung in range(last, 0, -1):  # what is left finishes the best that are on the way
        pools.train(pools.at(rung - 1, cycle), last, cycle)
    return {"cycles": cycle, "population": size, "rungs": list(evaluator.rungs)}


def _scale(budget: int) -> int:
    """Founders and children a cycle: 16 at the source's budget, fewer with the square root."""
    return max(1, min(_MOST, round(_MOST * math.sqrt(budget / _SOURCE_BUDGET))))


def _affordable(designs: Ints, evaluator: Evaluator) -> Ints:
    """As many designs as the first rung can take so that one can still be trained to the end."""
    whole = any(trial.share == 1 and not trial.failed for trial in evaluator.trials)
    first = evaluator.rungs[0]
    room = evaluator.budget - evaluator.used - (0.0 if whole else 1 - first)
    return designs[: max(0, math.floor(room / first + 1e-9))]


def _children(
    candidates: Candidates,
    evaluator: Evaluator,
    ranked: list[Ints],
    size: int,
    rng: np.random.Generator,
) -> Ints:
    """Mutants of mothers out of all pools, the same number of each, more of the youngest."""
    share, more = divmod(size, len(ranked))
    born: dict[bytes, Ints] = {}
    for rung, pool in enumerate(ranked):
        if not len(pool):
            continue
        for _ in range(share + (rung < more)):
            drawn = rng.integers(len(pool), size=len(pool) // 4 + 1)
            child = mutant(candidates, evaluator, pool[drawn.min()], rng, born)
            if child is not None:
                born[child.tobytes()] = child
    if not born:  # no mothers, or all around them is known: others are drawn from the list
        new = np.flatnonzero(~evaluator.tried(candidates.designs))
        return np.array(candidates.designs[rng.permutation(new)[:size]])
    return np.array(list(born.values()), dtype=np.int64)


ECONAS = Strategy(econas)
