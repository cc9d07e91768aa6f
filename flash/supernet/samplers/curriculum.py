"""DA-NAS: easy classes first, and blocks trimmed while the data is small."""

from __future__ import annotations

from typing import Final

import numpy as np

from flash.supernet.sampler import Flags, Floats, Seen, Task
from flash.supernet.samplers.pruning import Pruning

__all__ = ["Curriculum"]

#: Shares of the classes in each step: 100, 300, 600 and 1,000 of ImageNet's, as published.
_SHARES: Final = (0.1, 0.3, 0.6, 1.0)
#: Share of the values dropped after a step, as published; how it is applied to a layer is inferred.
_RATIO: Final = 0.4
#: Accuracy that a network of twice the mean latency has to make up for: ours.
_LATENCY: Final = 0.05


class Curriculum(Pruning):
    """DA-NAS (Dai et al., ECCV 2020, 2003.12563; no code): data-adapted pruning.

    As published: a warm-up on all classes; a class is the harder the more its accuracy varies over
    the epochs of the warm-up; then steps on .1, .3, .6 and all of the classes, easy ones first,
    with the weakest blocks dropped after each step, at a ratio of .4; latency is a term of what
    is asked for. Inferred: of the values of each variable the weakest 40 % are dropped, at least
    one stays. Ours: two classes at least; the reward is the accuracy minus .05 times the latency on
    the user's target by flash's own model, relative to the mean of the designs seen.
    """

    warm_up = 0.25

    @property
    def weights_only(self) -> int:
        """Even with warmed weights: the classes have to show which are easy."""
        return int(np.ceil(self.warm_up * self.task.epochs))

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.state |= {
            "history": np.zeros((0, task.classes)),
            "latency": np.zeros(2),  # sum and number of the designs seen
        }

    @property
    def phases(self) -> int:
        """One a share of the classes."""
        return len(_SHARES)

    def reward(self, seen: Seen) -> float:
        """Accuracy, and latency where there is a target."""
        if self.task.latency_ms is None:
            return seen.accuracy
        latency = float(self.task.latency_ms(seen.design[None])[0])
        self.state["latency"] = self.state["latency"] + [latency, 1.0]
        mean = self.state["latency"][0] / self.state["latency"][1]
        return seen.accuracy - _LATENCY * float(latency / mean - 1)

    def score(self) -> Floats:
        """Mean reward in the step."""
        return self.means()

    def drop(self, score: Floats) -> None:
        """Drop the weakest 40 % of the values of each variable."""
        alive = self.alive
        for row, values in zip(alive, score, strict=True):
            own = np.flatnonzero(row)
            weakest = own[np.argsort(values[own], kind="stable")][: round(_RATIO * len(own))]
            row[weakest] = False
        self.state["alive"] = alive

    def epoch_ended(self, epoch: int, class_accuracy: Floats) -> None:
        """Note the classes' accuracies in the warm-up; drop values after a step."""
        if epoch < self.weights_only:
            self.state["history"] = np.vstack([self.state["history"], class_accuracy])
        super().epoch_ended(epoch, class_accuracy)

    def classes(self, epoch: int) -> Flags | None:
        """All in the warm-up and the last step; the easy ones in between."""
        begun = self.weights_only
        if epoch < begun or not len(self.state["history"]):
            return None
        step = (epoch - begun) * len(_SHARES) // (self.task.epochs - begun)
        count = max(2, round(_SHARES[step] * self.task.classes))
        spread = np.nan_to_num(self.state["history"].var(axis=0), nan=np.inf)
        found = np.zeros(self.task.classes, dtype=np.bool_)
        found[np.argsort(spread, kind="stable")[:count]] = True
        return found
