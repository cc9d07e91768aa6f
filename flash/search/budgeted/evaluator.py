"""Where trained accuracies come from, and the budget they are counted against.

A strategy asks an ``Evaluator`` for the accuracy of designs. Each distinct design costs one unit
of the budget, whether its training succeeds, fails, or is known from an earlier run of the same
search: a search that was interrupted and goes on makes the same choices as one that was not.

Some evaluators can stop a training on the way and go on later (``rungs``); a part of a training
costs that part of a unit.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flash.errors import UsageError
from flash.search.budgeted.candidates import Floats, Ints

__all__ = ["Evaluator", "FunctionEvaluator", "TableEvaluator", "TrainingError", "Trial"]


#: Sums of shares are as good as equal within this.
_ROUNDING = 1e-9


class TrainingError(Exception):
    """Raised by ``Evaluator.train`` when a design has no accuracy; the message says why."""


@dataclass(frozen=True)
class Trial:
    """One design that was trained, or should have been.

    accuracy: nan where it failed; ``failure`` then says why.
    seconds:  wall-clock time of the training, that of the earlier run where it was ``reused``.
    share:    how much of a whole training it had; accuracies of equal shares compare.
    """

    design: tuple[int, ...]
    accuracy: float
    seconds: float = 0.0
    failure: str = ""
    reused: bool = False
    share: float = 1.0

    @property
    def failed(self) -> bool:
        """There is no accuracy."""
        return math.isnan(self.accuracy)


class Evaluator(ABC):
    """Accuracies of designs after training (more is better), at most ``budget`` of them.

    rungs: shares of a whole training at which one can stop and go on later, rising to 1.
    share: how far the trainings that ``prepare`` and ``train`` are asked for go.
    """

    rungs: tuple[float, ...] = (1.0,)
    share: float = 1.0

    #: It proposes designs itself, and the search follows it (``flash.search.budgeted.sampled``).
    proposes: bool = False

    def __init__(self, budget: int) -> None:
        if type(budget) is not int or budget < 1:
            raise UsageError(f"the budget must be a whole number of 1 or more, got {budget!r}")
        self.budget = budget
        self._trials: dict[bytes, Trial] = {}

    @abstractmethod
    def train(self, design: Ints) -> Trial:
        """Train one design (indices, shape (variables,)) to ``share``; raises ``TrainingError``."""

    def prepare(self, designs: Ints) -> None:
        """Called with the designs that ``train`` is about to be asked for, shape (k, variables).

        They are distinct and within the budget. Evaluators that train several at once do it here.
        """
        return

    def note(self, trial: Trial) -> None:
        """Called after each trial; evaluators that keep a file write it here."""
        return

    def propose(self, count: int, rng: np.random.Generator) -> Ints:
        """Designs to judge, the best guess first, shape (count, variables); of those that can."""
        raise UsageError("these accuracies come without designs to try: name a search")

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was spent, in order."""
        return tuple(self._trials.values())

    @property
    def spent(self) -> int:
        """Distinct designs asked for so far."""
        return len(self._trials)

    @property
    def used(self) -> float:
        """The budget that is gone: whole trainings and parts of some."""
        return float(sum(trial.share for trial in self._trials.values()))

    @property
    def left(self) -> int:
        """Whole trainings that remain."""
        return math.floor(self.budget - self.used + _ROUNDING)

    def accuracy(self, designs: Ints) -> Floats:
        """Accuracies, shape (designs,), trained in the order given, each to its end.

        Repeats cost nothing. nan: the training failed, or the budget was spent before.
        """
        return self.extend(designs, len(self.rungs) - 1)

    def extend(self, designs: Ints, rung: int) -> Floats:
        """Accuracies, shape (designs,), of trainings that have gone as far as ``rungs[rung]``.

        What stopped before goes on from there and pays the rest; what has gone further stays
        there and costs nothing. nan: the training failed, or the rest was not to be paid.
        """
        share = self.rungs[rung]
        rows = np.ascontiguousarray(designs, dtype=np.int64)
        paid: dict[bytes, None] = {}
        room = self.budget - self.used + _ROUNDING
        for key in dict.fromkeys(row.tobytes() for row in rows):
            cost = share - self._share(key)
            if 0 < cost <= room:
                room -= cost
                paid[key] = None
        self.share = share
        if paid:
            self.prepare(np.stack([np.frombuffer(key, np.int64) for key in paid]))
        found = np.full(len(designs), np.nan)
        for k, design in enumerate(rows):
            key = design.tobytes()
            if key in paid:
                del paid[key]
                self._trials[key] = self._try(design)
                self.note(self._trials[key])
            if self._share(key) >= share:
                found[k] = self._trials[key].accuracy
        return found

    def _share(self, key: bytes) -> float:
        """How much of a whole training a design has had."""
        return self._trials[key].share if key in self._trials else 0.0

    def _try(self, design: Ints) -> Trial:
        began = time.perf_counter()
        try:
            trial = self.train(design)
        except TrainingError as error:
            trial = Trial(tuple(design.tolist()), math.nan, time.perf_counter() - began, str(error))
        return replace(trial, share=self.share)

    def known(self, designs: Ints) -> Floats:
        """Accuracies of designs that were trained, nan for others; costs nothing."""
        keys = (row.tobytes() for row in np.ascontiguousarray(designs, dtype=np.int64))
        trials = (self._trials.get(key) for key in keys)
        return np.array([math.nan if t is None else t.accuracy for t in trials])

    def tried(self, designs: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which designs were asked for, shape (designs,)."""
        rows = np.ascontiguousarray(designs, dtype=np.int64)
        return np.array([row.tobytes() in self._trials for row in rows], dtype=np.bool_)


class FunctionEvaluator(Evaluator):
    """Accuracies from a function of one design: a trainer, or anything that scores.

    The function raises ``TrainingError`` where it has none.
    """

    def __init__(self, budget: int, function: Callable[[Ints], float]) -> None:
        super().__init__(budget)
        self._function = function

    def train(self, design: Ints) -> Trial:
        """Call the function."""
        began = time.perf_counter()
        value = float(self._function(design))
        if not math.isfinite(value):
            raise TrainingError(f"the accuracy is {value}")
        return Trial(tuple(design.tolist()), value, time.perf_counter() - began)


class TableEvaluator(Evaluator):
    """Accuracies known beforehand: a benchmark, or designs one has trained already.

    accuracy: shape (designs,), or (designs, rungs) where it is known along the way too.
    """

    def __init__(
        self,
        budget: int,
        designs: Ints,
        accuracy: Sequence[float] | Floats,
        rungs: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__(budget)
        self.rungs = tuple(rungs)
        rows = np.ascontiguousarray(designs, dtype=np.int64)
        values = np.asarray(accuracy, dtype=np.float64).reshape(len(rows), len(self.rungs)).tolist()
        self._table = {row.tobytes(): value for row, value in zip(rows, values, strict=True)}

    def train(self, design: Ints) -> Trial:
        """Look the design up."""
        values = self._table.get(design.tobytes())
        value = math.nan if values is None else values[self.rungs.index(self.share)]
        if math.isnan(value):
            raise TrainingError("the table has no accuracy of this design")
        return Trial(tuple(design.tolist()), value)
