"""REINFORCE on the logits of a policy: the baseline of methods that use gradients."""

from __future__ import annotations

from typing import Final

import numpy as np

from flash.supernet.sampler import Floats, Seen, Task
from flash.supernet.samplers.policy import Policy, chosen

__all__ = ["Reinforce"]

#: Share of the newest loss in the baseline, a moving average: AdvantageNAS' code has it so.
_NEWEST: Final = 0.05


class Reinforce(Policy):
    """(loss - moving average of losses) times d log p / d theta (Williams, 1992).

    The moving average and its .05, and the split into training and validation batches, are those
    of the baseline in AdvantageNAS' published code (Sato et al., AAAI 2021). That code also lets
    training batches move the average.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.state["baseline"] = np.full(1, np.nan)

    def gradient(self, seen: Seen) -> Floats:
        """The same factor for every variable: the loss does not say whose merit it is."""
        known = self.state["baseline"][0]
        known = seen.loss if np.isnan(known) else known
        self.state["baseline"] = np.full(1, (1 - _NEWEST) * known + _NEWEST * seen.loss)
        return (seen.loss - known) * (chosen(seen) - self.probabilities)
