"""AdvantageNAS: a baseline of its own for every edge, from the gradient by its gate."""

from __future__ import annotations

import numpy as np

from flash.supernet.sampler import Floats, Seen, Task
from flash.supernet.samplers.policy import Policy, chosen

__all__ = ["Advantage"]


class Advantage(Policy):
    """Differentiable search by credit assignment (Sato, Sakuma, Akimoto, AAAI 2021, 2012.06138).

    Of each edge one operation is drawn and its result multiplied by a gate a = 1. The credit of
    the edge is ``A_e = a_e dL/da_e``: to first order what the loss gains by removing the edge,
    which is a baseline of its own for every edge. The gradient by the logits is
    ``A_e (a_e - p_e)``. As in the published code: no "none" among the operations, as it has no
    credit; 50 of 90 epochs on weights only, then validation and training batches in turns. Ours:
    fewer epochs, and scales and shifts in the batch norms of operations.
    """

    needs_gates = True
    warm_up = 50 / 90

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if task.empty is not None:
            left = self.alive & ~task.empty
            self.state["alive"] = np.where(left.any(axis=1, keepdims=True), left, self.alive)

    def gradient(self, seen: Seen) -> Floats:
        """Each variable by its own credit."""
        drawn = chosen(seen)
        credit = (drawn * seen.gate_gradient).sum(axis=1, keepdims=True)
        found: Floats = credit * (drawn - self.probabilities)
        return found
