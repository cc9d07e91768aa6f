"""Values that do badly are dropped, phase by phase, until one of each variable is left.

Within a phase values are drawn without replacement, so that each is judged equally often.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

import numpy as np

from flash.supernet.sampler import Floats, Ints, Sampler, Seen, Task
from flash.supernet.samplers.policy import softmax

__all__ = ["Binarized", "DynamicDistribution", "Pruning"]

#: Weight of what was known before in DDPNAS' mean of scores: the release's default.
_KEPT: Final = 0.8
#: The factor of accuracy (0 to 1) in DDPNAS' softmax.
_SHARPNESS: Final = 100.0


class Pruning(Sampler):
    """Draws each value of a variable once a round; after each phase the weakest are dropped.

    Phases share the epochs after the warm-up equally, as many as the largest variable has values.
    Only validation batches count.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        shape = self.alive.shape
        self.state |= {
            "waiting": np.full(shape, -1),  # values still to be drawn in this round, from the left
            "sum": np.zeros(shape),
            "count": np.zeros(shape),
        }

    @property
    def phases(self) -> int:
        """How often values are dropped: until one is left, and once to choose it."""
        return max(self.task.sizes) - 1

    def draw(self, rng: np.random.Generator) -> Ints:
        """One value of each variable, of those that its round has not had."""
        waiting, alive = self.state["waiting"], self.alive
        design = np.empty(len(alive), dtype=np.int64)
        for variable, row in enumerate(waiting):
            left = row[row >= 0]
            if not len(left):
                left = rng.permutation(np.flatnonzero(alive[variable]))
            design[variable] = left[0]
            row[:] = -1
            row[: len(left) - 1] = left[1:]
        return design

    def observe(self, seen: Seen) -> None:
        """Add a validation batch to the sums of its values."""
        if seen.split == "validation":
            rows = np.arange(len(seen.design))
            self.state["sum"][rows, seen.design] += self.reward(seen)
            self.state["count"][rows, seen.design] += 1

    def reward(self, seen: Seen) -> float:
        """What one batch says for the design; more is better."""
        return seen.accuracy

    def epoch_ended(self, epoch: int, class_accuracy: Floats) -> None:
        """Drop values where a phase has ended."""
        begun = self.weights_only
        length = self.task.epochs - begun
        done = epoch + 1 - begun
        if done <= 0 or done * self.phases // length == (done - 1) * self.phases // length:
            return
        drops = done * self.phases // length - (done - 1) * self.phases // length
        score = self.score()
        for _ in range(drops):
            self.drop(score)
        self.state |= {
            "waiting": np.full(score.shape, -1),
            "sum": np.zeros(score.shape),
            "count": np.zeros(score.shape),
        }

    def means(self) -> Floats:
        """Mean reward of each value in this phase; that of all where a value had none."""
        total, count = self.state["sum"], self.state["count"]
        overall = total.sum() / max(count.sum(), 1)
        found: Floats = np.where(count > 0, total / np.maximum(count, 1), overall)
        return found

    @abstractmethod
    def score(self) -> Floats:
        """How good each value is, at the end of a phase; the lowest are dropped."""

    def drop(self, score: Floats) -> None:
        """Drop the worst value of each variable that has more than one."""
        alive = self.alive
        worst = np.where(alive, score, np.inf).argmin(axis=1)
        several = alive.sum(axis=1) > 1
        alive[np.flatnonzero(several), worst[several]] = False
        self.state["alive"] = alive

    def result(self) -> Ints:
        """The value of highest mean reward among those alive."""
        found: Ints = np.where(self.alive, self.means(), -np.inf).argmax(axis=1)
        return found


class DynamicDistribution(Pruning):
    """DDPNAS: dynamic distribution pruning (Zheng et al., 1905.13543; code of MAC-AutoML/XNAS).

    ``E = softmax(100 accuracy)`` over the values of a variable, ``v = g v + (1 - g) E``,
    ``theta += v``; the value of lowest theta is dropped. As the release has it g is .8 and its
    learning rate is not used. The release averages E over three rounds between two droppings, with
    accuracies of whole validation sets; ours takes one E of the mean accuracy of the batches of a
    phase, and shares the epochs between the phases.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.state |= {"mean": np.zeros(self.alive.shape), "theta": np.zeros(self.alive.shape)}

    def score(self) -> Floats:
        """Theta, moved by this phase."""
        logits = np.where(self.alive, _SHARPNESS * self.means(), -np.inf)
        self.state["mean"] = _KEPT * self.state["mean"] + (1 - _KEPT) * softmax(logits)
        self.state["theta"] = self.state["theta"] + self.state["mean"]
        return self.state["theta"]

    def result(self) -> Ints:
        """The value of highest theta, with what the phase so far says."""
        now = self.state["theta"] + np.where(self.state["count"] > 0, self.means(), 0.0)
        found: Ints = np.where(self.alive, now, -np.inf).argmax(axis=1)
        return found


class Binarized(Pruning):
    """BNAS, binarized: pruning by an upper confidence bound, with binary convolutions.

    Chen et al., Binarized Neural Architecture Search (AAAI 2020, 1911.10862), extended in IJCV
    (2009.04247): operations are abandoned by measured performance, those little tried are spared
    by a term of their number of trials; convolutions are binary (``flash.supernet.binary``).
    Inferred, as the papers were read in abstract only: the score ``mean + sqrt(2 ln N / n)`` (UCB1,
    Auer et al. 2002), one value dropped a phase. Its base, PC-DARTS, is not built.
    """

    binary = True

    def score(self) -> Floats:
        """Mean accuracy and what it may still be."""
        count = np.maximum(self.state["count"], 1)
        of_all = np.maximum(self.state["count"].sum(axis=1, keepdims=True), 1)
        found: Floats = self.means() + np.sqrt(2 * np.log(of_all) / count)
        return found
