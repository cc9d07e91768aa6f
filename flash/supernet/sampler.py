"""What draws the designs that a supernet is trained on, and learns from what they did.

The training asks for a design at every step, trains or validates it with the shared weights, and
tells the sampler what came of it. A sampler may stop drawing some values (``alive``), may ask for
some classes only, and in the end names the design it would choose.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Epoch", "Flags", "Floats", "Ints", "Sampler", "Seen", "State", "Task", "draw_by"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
#: Arrays of numbers or flags by name.
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """What a sampler is to choose among.

    sizes:   values of each variable.
    gated:   shape (variables,): the variable chooses an operation, whose result has a gate.
    epochs:  passes over the training images, in all.
    classes: of the images.
    steps:   of an epoch that shows all classes; in a search every second is on validation images.
    aside:   validation images.
    empty:   shape (variables, most values of any): the value puts no operation where others put
             one, as "none" of an edge does; None where no value is such.
    latency_ms: of designs (indices) on the user's target, shape (designs,), where there is one.
    warmed:  the weights were trained before, so that the search begins at once.
    """

    sizes: tuple[int, ...]
    gated: tuple[bool, ...]
    epochs: int
    classes: int
    steps: int
    aside: int
    empty: Flags | None = None
    latency_ms: Callable[[Ints], Floats] | None = None
    warmed: bool = False


@dataclass(frozen=True)
class Seen:
    """What one batch said of one design.

    design:   indices, shape (variables,).
    split:    which images the batch is of.
    loss:     cross-entropy.  accuracy: share of the batch classified right, 0 to 1.
    gate_gradient: d loss / d gate, shape (variables, most values of any); a gate multiplies the
              result of an operation by one. Zero for what was not drawn, or has no gate, and in
              steps that train weights.
    """

    design: Ints
    split: Literal["train", "validation"]
    loss: float
    accuracy: float
    gate_gradient: Floats


@dataclass(frozen=True)
class Epoch:
    """What is told after each epoch.

    accuracy: per cent, validation, of the design that the sampler would choose.
    seconds:  of this epoch, of processor time.  left_s: of the epochs to come, as it seems.
    """

    number: int
    epochs: int
    accuracy: float
    seconds: float
    left_s: float

    def __str__(self) -> str:
        return (
            f"supernet, epoch {self.number} of {self.epochs}: {self.accuracy:.1f} % by the design "
            f"it would choose, {self.seconds:.0f} s, about {self.left_s:.0f} s left"
        )


class Sampler(ABC):
    """Draws designs, hears what came of each, and names one in the end.

    All that changes while it runs is in ``state``, arrays by name, which the checkpoint keeps: a
    training that was cut goes on with the same draws. What is random comes from the generator of
    ``draw``.
    """

    #: Share of the epochs that train weights only, at the beginning, unless weights are warmed.
    warm_up: ClassVar[float] = 0.5
    #: Fewer epochs would leave it nothing to learn from.
    least_epochs: ClassVar[int] = 2
    #: It reads ``Seen.gate_gradient``: every variable has to choose an operation.
    needs_gates: ClassVar[bool] = False
    #: Convolutions inside cells are binary (``flash.supernet.binary``).
    binary: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        self.task = task
        shape = (len(task.sizes), max(task.sizes))
        alive = np.arange(shape[1]) < np.array(task.sizes)[:, None]
        self.state: State = {"alive": alive}

    @property
    def weights_only(self) -> int:
        """Epochs at the beginning that train weights only.

        After them every second step is on validation images, and changes no weight.
        """
        return 0 if self.task.warmed else math.ceil(self.warm_up * self.task.epochs)

    @property
    def alive(self) -> Flags:
        """The values that may still be drawn, shape (variables, most values of any)."""
        return self.state["alive"].astype(np.bool_)

    @property
    def probabilities(self) -> Floats:
        """Of each value of each variable, shape of ``alive``: equal unless a sampler says else."""
        found: Floats = self.alive / self.alive.sum(axis=1, keepdims=True)
        return found

    def draw(self, rng: np.random.Generator) -> Ints:
        """A design, indices of shape (variables,), of values that are alive."""
        return draw_by(self.probabilities, rng)

    @abstractmethod
    def observe(self, seen: Seen) -> None:
        """Learn from one batch of one design that was drawn."""

    @abstractmethod
    def result(self) -> Ints:
        """The design it would choose now, of values that are alive."""

    def epoch_ended(self, epoch: int, class_accuracy: Floats) -> None:
        """Called after each epoch, of number 0 and on.

        class_accuracy: share of the training images of each class that were classified right in
        this epoch, shape (classes,); nan for a class of which none was shown.
        """
        return

    def classes(self, epoch: int) -> Flags | None:
        """The classes whose images an epoch shows, shape (classes,); None for all."""
        return None

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state that a checkpoint kept."""
        self.state = {name: np.array(values) for name, values in state.items()}


def draw_by(probabilities: Floats, rng: np.random.Generator) -> Ints:
    """One value of each variable, by probabilities of shape (variables, values)."""
    ends = probabilities.cumsum(axis=1)
    drawn: Ints = (rng.random(len(ends))[:, None] * ends[:, -1:] >= ends).sum(axis=1)
    return drawn
