"""AdvantageNAS: a baseline of its own for every edge, from the gradient by its gate."""

from __future__ import annotations

from flash.supernet.sampler import Floats, Seen
from flash.supernet.samplers.policy import Policy, chosen

__all__ = ["Advantage"]


class Advantage(Policy):
    """Differentiable search by credit assignment (Sato, Sakuma, Akimoto, AAAI 2021, 2012.06138).

    Of each edge one operation is drawn and its result multiplied by a gate a = 1. The credit of
    the edge is ``A_e = a_e dL/da_e``: to first order what the loss gains by removing the edge,
    which is a baseline of its own for every edge. The gradient by the logits is
    ``A_e (a_e - p_e)``. Published: operations without "none" (its credit is 0 here), 50 of 90
    epochs on weights only, then training and validation batches in turns, Adam with a mean decay
    of .5. Ours: fewer epochs, and a rate of Adam that is larger for it.
    """

    needs_gates = True

    def gradient(self, seen: Seen) -> Floats:
        """Each variable by its own credit."""
        drawn = chosen(seen)
        credit = (drawn * seen.gate_gradient).sum(axis=1, keepdims=True)
        found: Floats = credit * (drawn - self.probabilities)
        return found
