"""A categorical policy and its optimizer, which REINFORCE and AdvantageNAS share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final

import numpy as np

from flash.supernet.sampler import Floats, Ints, Sampler, Seen, State, Task

__all__ = ["Policy", "chosen", "rate_of", "searching_steps", "softmax"]

#: Sum of Adam's rates over a search in AdvantageNAS' code: 3e-4 along a cosine to 0 over 40 epochs
#: of 25,000 images in batches of 64. It is how far a logit can go, so fewer steps are longer ones.
_WAY: Final = 3e-4 * 40 * 25_000 / 64 / 2
#: Adam's decays: of the mean .5 as in that code, of the squares the usual one.
_MEAN, _SQUARE, _TINY = 0.5, 0.999, 1e-8
#: Decay of the logits, part of the gradient, and the largest norm of both: as in that code.
_DECAY, _CLIP = 0.003, 1.0


class Policy(Sampler):
    """p = softmax(theta) of each variable; every validation batch moves theta downhill by Adam.

    A subclass gives the gradient of the expected loss by theta. All of Adam's settings are those of
    AdvantageNAS' published code, for REINFORCE too, but for the rate: its sum over the search is.
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
            gradient = self.gradient(seen) + _DECAY * self.state["theta"]
            gradient = gradient / max(1.0, float(np.linalg.norm(gradient)) / _CLIP)
            done = float(self.state["steps"][0])
            _adam_step(self.state, gradient, rate_of(done / searching_steps(self), self))

    def result(self) -> Ints:
        """The most probable value of each variable."""
        found: Ints = self.probabilities.argmax(axis=1)
        return found


def chosen(seen: Seen) -> Floats:
    """1 where the design has the value, shape (variables, values)."""
    found: Floats = np.eye(seen.gate_gradient.shape[1])[seen.design]
    return found


def searching_steps(sampler: Sampler) -> int:
    """Steps on validation images in all."""
    epochs = max(sampler.task.epochs - sampler.weights_only, 1)
    return max(epochs * (sampler.task.steps // 2), 1)


def rate_of(done: float, sampler: Sampler) -> float:
    """The rate of a logit when this share of the search is done, along a cosine to 0."""
    return _WAY / searching_steps(sampler) * (1 + math.cos(math.pi * min(done, 1.0)))


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
