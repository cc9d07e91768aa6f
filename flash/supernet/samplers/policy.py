"""A categorical policy and its optimizer, which REINFORCE and AdvantageNAS share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

import numpy as np

from flash.supernet.sampler import Floats, Ints, Sampler, Seen, State, Task

__all__ = ["Policy", "chosen", "softmax"]

#: Step of Adam on the logits. AdvantageNAS publishes 3e-4 for 50 epochs of search with batches of
#: 64, about 20,000 steps; ours are about a hundredth of that, and longer for it.
_RATE: Final = 0.03
#: Adam's decays: of the mean .5 as AdvantageNAS has it, of the squares the usual one.
_MEAN, _SQUARE, _TINY = 0.5, 0.999, 1e-8


class Policy(Sampler):
    """p = softmax(theta) of each variable; every validation batch moves theta downhill by Adam.

    A subclass gives the gradient of the expected loss by theta.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        shape = self.alive.shape
        self.state |= {
            "theta": np.zeros(shape),
            "mean": np.zeros(shape),
            "square": np.zeros(shape),
            "steps": np.zeros(1),
        }

    @property
    def probabilities(self) -> Floats:
        """The policy."""
        return softmax(np.where(self.alive, self.state["theta"], -np.inf))

    @abstractmethod
    def gradient(self, seen: Seen) -> Floats:
        """Estimate of d (expected loss) / d theta, shape (variables, values)."""

    def observe(self, seen: Seen) -> None:
        """One step of Adam, by validation batches only."""
        if seen.split == "validation":
            _adam_step(self.state, self.gradient(seen), _RATE)

    def result(self) -> Ints:
        """The most probable value of each variable."""
        found: Ints = self.probabilities.argmax(axis=1)
        return found


def chosen(seen: Seen) -> Floats:
    """1 where the design has the value, shape (variables, values)."""
    found: Floats = np.eye(seen.gate_gradient.shape[1])[seen.design]
    return found


def _adam_step(state: State, gradient: Floats, rate: float) -> None:
    """Kingma and Ba's step (ICLR 2015) on ``theta``; ``mean``, ``square`` and ``steps`` move."""
    state["steps"] = state["steps"] + 1
    state["mean"] = _MEAN * state["mean"] + (1 - _MEAN) * gradient
    state["square"] = _SQUARE * state["square"] + (1 - _SQUARE) * gradient**2
    mean = state["mean"] / (1 - _MEAN ** state["steps"][0])
    square = state["square"] / (1 - _SQUARE ** state["steps"][0])
    state["theta"] = state["theta"] - rate * mean / (np.sqrt(square) + _TINY)


def softmax(logits: Floats) -> Floats:
    """Of each row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found
