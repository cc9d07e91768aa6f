"""Running a strategy by name, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flash.search.budgeted.candidates import Candidates
from flash.search.budgeted.evaluator import Evaluator, Trial
from flash.search.budgeted.sampled import strategy_for

__all__ = ["Outcome", "run_strategy"]


@dataclass(frozen=True)
class Outcome:
    """What a search with a training budget found.

    trials:  every design trained, in order.
    details: what the strategy tells beside (weights, a formula, the size of an archive).
    """

    strategy: str
    budget: int
    seed: int
    trials: tuple[Trial, ...]
    details: Mapping[str, Any]

    @property
    def spent(self) -> int:
        """Designs that were asked for."""
        return len(self.trials)

    @property
    def used(self) -> float:
        """Budget used: whole trainings and parts of some."""
        return float(sum(trial.share for trial in self.trials))

    @property
    def failed(self) -> int:
        """Trainings without a result."""
        return sum(trial.failed for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The trial that the strategy chose, or else the most accurate of those trained most.

        The first of equals; None where all failed.
        """
        if "chosen" in self.details:
            return self.trials[int(self.details["chosen"])]
        done = [trial for trial in self.trials if not trial.failed]
        return max(done, key=lambda trial: (trial.share, trial.accuracy)) if done else None


def run_strategy(name: str, candidates: Candidates, evaluator: Evaluator, seed: int) -> Outcome:
    """Run a strategy of ``STRATEGIES``, or follow an evaluator that proposes designs.

    The same seed and accuracies give the same outcome.

    Raises ``UsageError`` for an unknown name, a library that is not installed, or candidates
    that the strategy cannot use.
    """
    details = strategy_for(name, evaluator).run(candidates, evaluator, np.random.default_rng(seed))
    return Outcome(name, evaluator.budget, seed, evaluator.trials, details)
