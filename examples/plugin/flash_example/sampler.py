"""A sampler: values whose batches had the lower loss are drawn more often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.supernet import Sampler, Seen, Task

__all__ = ["LowLoss"]

#: Weight of the newest batch in the mean loss of a value, and how far apart losses tell values.
_NEWEST, _TEMPERATURE = 0.1, 0.1


class LowLoss(Sampler):
    """Each variable on its own, by softmax of minus the mean validation loss of its values."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        # All that changes is in ``state``: a training that was cut goes on from it.
        self.state["loss"] = np.zeros(self.alive.shape)
        self.state["seen"] = np.zeros(self.alive.shape)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of each value; those not seen yet count as the best so far."""
        loss = np.where(self.state["seen"] > 0, self.state["loss"], 0.0)
        weight = np.where(self.alive, np.exp(-loss / _TEMPERATURE), 0.0)
        found: NDArray[np.float64] = weight / weight.sum(axis=1, keepdims=True)
        return found

    def observe(self, seen: Seen) -> None:
        """Note the loss on validation images for each value of the design."""
        if seen.split != "validation":
            return
        rows = np.arange(len(seen.design))
        loss, count = self.state["loss"], self.state["seen"]
        before = np.where(count[rows, seen.design] > 0, loss[rows, seen.design], seen.loss)
        loss[rows, seen.design] = before + _NEWEST * (seen.loss - before)
        count[rows, seen.design] += 1

    def result(self) -> NDArray[np.int64]:
        """The values of lowest mean loss among those seen."""
        loss = np.where(self.alive & (self.state["seen"] > 0), self.state["loss"], np.inf)
        loss = np.where(self.alive & ~np.isfinite(loss), 1e9, loss)
        found: NDArray[np.int64] = loss.argmin(axis=1).astype(np.int64)
        return found
