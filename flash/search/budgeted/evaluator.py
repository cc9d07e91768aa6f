"""Where trained accuracies come from, and the budget they are counted against.

A strategy asks an ``Evaluator`` for the accuracy of designs. Each distinct design costs one unit
of the budget, whether its training succeeds, fails, or is known from an earlier run of the same
search: a search that was interrupted and goes on makes the same choices as one that was not.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flash.errors import UsageError
from flash.search.budgeted.candidates import Floats, Ints

__all__ = ["Evaluator", "FunctionEvaluator", "TableEvaluator", "TrainingError", "Trial"]


class TrainingError(Exception):
    """Raised by ``Evaluator.train`` when a design has no accuracy; the message says why."""


@dataclass(frozen=True)
class Trial:
    """One design that was trained, or should have been.

    accuracy: nan where it failed; ``failure`` then says why.
    seconds:  wall-clock time of the training, that of the earlier run where it was ``reused``.
    """

    design: tuple[int, ...]
    accuracy: float
    seconds: float = 0.0
    failure: str = ""
    reused: bool = False

    @property
    def failed(self) -> bool:
        """There is no accuracy."""
        return math.isnan(self.accuracy)


class Evaluator(ABC):
    """Accuracies of designs after training (more is better), at most ``budget`` of them."""

    def __init__(self, budget: int) -> None:
        if type(budget) is not int or budget < 1:
            raise UsageError(f"the budget must be a whole number of 1 or more, got {budget!r}")
        self.budget = budget
        self._trials: dict[bytes, Trial] = {}

    @abstractmethod
    def train(self, design: Ints) -> Trial:
        """Train one design (indices, shape (variables,)); raises ``TrainingError``."""

    def prepare(self, designs: Ints) -> None:
        """Called with the designs that ``train`` is about to be asked for, shape (k, variables).

        They are distinct and within the budget. Evaluators that train several at once do it here.
        """
        return

    def note(self, trial: Trial) -> None:
        """Called after each trial; evaluators that keep a file write it here."""
        return

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was spent, in order."""
        return tuple(self._trials.values())

    @property
    def spent(self) -> int:
        """Distinct designs asked for so far."""
        return len(self._trials)

    @property
    def left(self) -> int:
        """Trainings that remain."""
        return self.budget - self.spent

    def accuracy(self, designs: Ints) -> Floats:
        """Accuracies, shape (designs,), trained in the order given.

        Repeats cost nothing. nan: the training failed, or the budget was spent before.
        """
        rows = np.ascontiguousarray(designs, dtype=np.int64)
        new = list(dict.fromkeys(k.tobytes() for k in rows if k.tobytes() not in self._trials))
        if new[: self.left]:
            self.prepare(np.stack([np.frombuffer(key, np.int64) for key in new[: self.left]]))
        found = np.full(len(designs), np.nan)
        for k, design in enumerate(rows):
            key = design.tobytes()
            if key not in self._trials:
                if self.left == 0:
                    continue
                self._trials[key] = self._try(design)
                self.note(self._trials[key])
            found[k] = self._trials[key].accuracy
        return found

    def _try(self, design: Ints) -> Trial:
        began = time.perf_counter()
        try:
            trial = self.train(design)
        except TrainingError as error:
            trial = Trial(tuple(design.tolist()), math.nan, time.perf_counter() - began, str(error))
        return trial

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
    """Accuracies known beforehand: a benchmark, or designs one has trained already."""

    def __init__(self, budget: int, designs: Ints, accuracy: Sequence[float] | Floats) -> None:
        super().__init__(budget)
        rows = np.ascontiguousarray(designs, dtype=np.int64)
        values = np.asarray(accuracy, dtype=np.float64).tolist()
        self._table = {row.tobytes(): value for row, value in zip(rows, values, strict=True)}

    def train(self, design: Ints) -> Trial:
        """Look the design up."""
        value = self._table.get(design.tobytes(), math.nan)
        if math.isnan(value):
            raise TrainingError("the table has no accuracy of this design")
        return Trial(tuple(design.tolist()), value)
