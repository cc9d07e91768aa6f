"""Uniform sampling of single paths: what every other sampler has to beat."""

from __future__ import annotations

import numpy as np

from flash.supernet.sampler import Ints, Sampler, Seen, Task

__all__ = ["Uniform"]

#: Weight of the newest batch in the mean loss of a value.
_NEWEST = 0.02


class Uniform(Sampler):
    """Every design with equal probability (Guo et al., Single Path One-Shot, ECCV 2020).

    The paper then searches by evolution on the shared weights, which ``--search evolution`` does.
    Every step trains weights. The one design that it names by itself is ours: of every variable the
    value whose losses were lowest on a moving average.
    """

    least_epochs = 1

    @property
    def weights_only(self) -> int:
        """All epochs."""
        return self.task.epochs

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.state["loss"] = np.full(self.alive.shape, np.nan)

    def observe(self, seen: Seen) -> None:
        """Note the loss for each value of the design."""
        loss = self.state["loss"]
        rows = np.arange(len(seen.design))
        known = loss[rows, seen.design]
        moved = (1 - _NEWEST) * known + _NEWEST * seen.loss
        loss[rows, seen.design] = np.where(np.isnan(known), seen.loss, moved)

    def result(self) -> Ints:
        """The values of lowest mean loss; the last one alive where none was tried."""
        loss = np.where(self.alive, np.nan_to_num(self.state["loss"], nan=1e9), np.inf)
        found: Ints = loss.argmin(axis=1).astype(np.int64)
        return found
