"""REINFORCE (Williams 1992): the reinforcement learning that FLASH's paper compares with.

A policy draws each variable on its own, by softmax of its logits; what it drew moves the logits
by (reward - moving average of rewards) times the gradient of its log-probability, with Adam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flash.search.budgeted.candidates import Candidates, Floats, Ints
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.strategy import Strategy

__all__ = ["REINFORCE", "Policy", "reinforce"]

#: Adam's decay of means and of squares, and what keeps its step finite.
_MEAN, _SQUARE, _TINY = 0.9, 0.999, 1e-8
#: Decay of the baseline, the moving average of rewards.
_BASELINE = 0.9
#: Draws for each training: most repeat a design, or leave the candidates, once the policy is sure.
_DRAWS = 50


class Policy:
    """Independent categorical variables. sizes: values of each.  rate: Adam's."""

    def __init__(self, sizes: Sequence[int] | Ints, rate: float = 0.01) -> None:
        self.logits = [np.zeros(int(size)) for size in sizes]
        self.rate = rate
        self.baseline = 0.0
        self._moments = [(np.zeros(int(n)), np.zeros(int(n))) for n in sizes]
        self._steps = 0

    @property
    def probabilities(self) -> list[Floats]:
        """Of each variable's values, shape (values,)."""
        raised = (np.exp(logits - logits.max()) for logits in self.logits)
        return [values / values.sum() for values in raised]

    def draw(self, designs: int, rng: np.random.Generator) -> Ints:
        """Designs (indices), shape (designs, variables)."""
        columns = [rng.choice(len(p), size=designs, p=p) for p in self.probabilities]
        return np.stack(columns, axis=1).astype(np.int64)

    def observe(self, designs: Ints, rewards: Floats) -> None:
        """One step up the expected reward, from designs it drew; rewards of shape (designs,)."""
        if not self._steps:
            self.baseline = float(np.mean(rewards))
        self._steps += 1
        advantage = rewards - self.baseline
        self.baseline = _BASELINE * self.baseline + (1 - _BASELINE) * float(np.mean(rewards))
        for k, probability in enumerate(self.probabilities):
            chosen = np.eye(len(probability))[designs[:, k]]
            gradient = (advantage[:, None] * (chosen - probability)).mean(axis=0)
            mean, square = self._moments[k]
            mean += (1 - _MEAN) * (gradient - mean)
            square += (1 - _SQUARE) * (gradient**2 - square)
            step = mean / (1 - _MEAN**self._steps)
            size = np.sqrt(square / (1 - _SQUARE**self._steps)) + _TINY
            self.logits[k] = self.logits[k] + self.rate * step / size


def reinforce(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw a design, train it, move the policy; repeats cost nothing and move it as well.

    A draw outside the candidates is drawn again; a failed training counts as the worst seen. What
    a policy that draws nothing new leaves of the budget goes to candidates at random.
    """
    policy = Policy(candidates.sizes)
    worst = np.inf
    draws = 0
    while evaluator.left and draws < _DRAWS * evaluator.budget:
        design = policy.draw(1, rng)
        draws += 1
        if not candidates.admitted(design)[0]:
            continue
        found = evaluator.accuracy(design)
        worst = min(worst, float(np.nan_to_num(found[0], nan=np.inf)))
        if np.isfinite(worst):
            policy.observe(design, np.nan_to_num(found, nan=worst))
    if evaluator.left:
        untried = np.flatnonzero(~evaluator.tried(candidates.designs))
        evaluator.accuracy(candidates.designs[rng.permutation(untried)[: evaluator.left]])
    return {"draws": draws}


REINFORCE = Strategy(reinforce)
