"""BaLeNAS: the architecture as a distribution, learnt by a natural gradient."""

from __future__ import annotations

from typing import Final

import numpy as np

from flash.supernet.sampler import Floats, Ints, Sampler, Seen, Task
from flash.supernet.samplers.policy import chosen, rate_of, searching_steps, softmax

__all__ = ["Variational"]

#: Decays of the mean gradient and of its squares, as in Adam.
_MEAN, _SQUARE = 0.9, 0.999
#: Precision of the prior of an alpha: a normal distribution of deviation 1, ours.
_PRECISION: Final = 1.0


class Variational(Sampler):
    """BaLeNAS (Zhang et al., CVPR 2022, 2111.13204): alpha ~ N(mu, sigma^2) of each operation.

    Inferred from the method that it cites, Vadam (Khan et al., ICML 2018), as there is no code:
    ``alpha = mu + eps / sqrt(N (s + l))``; with g = d loss / d alpha on validation images
    ``m = b1 m + (1 - b1)(g + l mu)``, ``s = b2 s + (1 - b2) g^2``,
    ``mu -= rate m' / (sqrt(s') + l)`` (primes: corrected for the start), N the number of validation
    images and l the precision of the prior over N. Ours: the prior, and the rate, which is that of
    ``flash.supernet.samplers.policy``; a single path, the largest alpha of each edge, in place of
    the mixture of all; of the gradient through the softmax of alpha only the drawn operation's gate
    is known, which gives ``g = dL/da_drawn p_drawn (drawn - p)``.

    ``flash.search`` takes the draws as candidates (BaLeNAS-TF: training-free scores choose among
    draws of the final distribution, see scripts/validate/supernet.py).
    """

    needs_gates = True

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        shape = self.alive.shape
        self.state |= {
            "mu": np.zeros(shape),
            "mean": np.zeros(shape),
            "square": np.zeros(shape),
            "alpha": np.zeros(shape),
            "steps": np.zeros(1),
        }

    def draw(self, rng: np.random.Generator) -> Ints:
        """The operation of the largest alpha of each edge."""
        deviation = 1 / np.sqrt(self.task.aside * self._squares() + _PRECISION)
        noise = rng.standard_normal(self.alive.shape)
        self.state["alpha"] = self.state["mu"] + deviation * noise
        found: Ints = np.where(self.alive, self.state["alpha"], -np.inf).argmax(axis=1)
        return found

    def observe(self, seen: Seen) -> None:
        """One step of the mean and the deviation, by validation batches."""
        if seen.split != "validation":
            return
        state, drawn = self.state, chosen(seen)
        p = softmax(np.where(self.alive, state["alpha"], -np.inf))
        by_gate = (drawn * seen.gate_gradient * p).sum(axis=1, keepdims=True)
        g = by_gate * (drawn - p)
        prior = _PRECISION / self.task.aside
        rate = rate_of(float(state["steps"][0]) / searching_steps(self), self)
        state["steps"] = state["steps"] + 1
        state["mean"] = _MEAN * state["mean"] + (1 - _MEAN) * (g + prior * state["mu"])
        state["square"] = _SQUARE * state["square"] + (1 - _SQUARE) * g**2
        mean = state["mean"] / (1 - _MEAN ** state["steps"][0])
        state["mu"] = state["mu"] - rate * mean / (np.sqrt(self._squares()) + prior)

    def _squares(self) -> Floats:
        steps = max(float(self.state["steps"][0]), 1.0)
        found: Floats = self.state["square"] / (1 - _SQUARE**steps)
        return found

    def result(self) -> Ints:
        """The largest mean of each edge."""
        found: Ints = np.where(self.alive, self.state["mu"], -np.inf).argmax(axis=1)
        return found
