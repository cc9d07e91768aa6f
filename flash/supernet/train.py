"""Training the weights that designs share: draw, forward, loss, backward, observe.

As in ``flash.training.loop`` all that is random in an epoch is drawn from (seed, epoch), so the
weights, their momentum and the sampler's state after an epoch are the whole state: a training that
was cut and goes on from its checkpoint ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.errors import UsageError
from flash.spaces.space import SearchSpace
from flash.supernet.bank import WeightBank
from flash.supernet.network import empty_values, gated_variables
from flash.supernet.sampler import Epoch, Sampler, Seen, Task
from flash.supernet.scoring import score_shared
from flash.training.batches import Batches
from flash.training.checkpoint import read_checkpoint, write_checkpoint
from flash.training.images import ImageSet
from flash.training.loop import Diverged
from flash.training.recipe import Recipe

__all__ = ["RECIPE", "Training", "task_of", "train_supernet"]

#: How shared weights are trained where nothing else is said. Batch, rate and momentum are what
#: single-path supernets of NAS-Bench-201 are trained with; the few epochs are ours.
RECIPE: Final = Recipe(
    name="supernet",
    hardware="cpu",
    images=None,
    validation=0.2,
    stages=((30, 1.0),),
    batch=128,
    peak_rate=0.1,
    warm_up=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    label_smoothing=0.0,
    shift=1 / 8,
)
#: Largest norm of a step's gradient: paths differ, and so do their gradients.
_CLIP: Final = 5.0
#: Validation images on which the sampler's choice is looked at after each epoch.
_LOOK: Final = 500
#: Stands where an epoch's number does in the seed of what is drawn once for all epochs.
_FLIPS: Final = 1 << 20


@dataclass
class Training:
    """A supernet between two epochs, or after the last.

    curve:   see ``Epoch.accuracy``.
    images:  training images shown; checked: validation images shown in steps.
    seconds: processor time.
    """

    bank: WeightBank
    sampler: Sampler
    batches: Batches
    optimizer: torch.optim.SGD
    momentum: dict[str, torch.Tensor] = field(default_factory=dict)  # read, not yet in use
    curve: list[float] = field(default_factory=list)
    images: int = 0
    checked: int = 0
    seconds: float = 0.0


def task_of(
    space: SearchSpace,
    images: ImageSet,
    recipe: Recipe,
    latency_ms: Callable[[NDArray[np.int64]], NDArray[np.float64]] | None = None,
    *,
    warmed: bool = False,
) -> Task:
    """What a sampler is to choose among when ``train_supernet`` has these images and recipe."""
    shown, aside = (len(at) for at in images.split(recipe.validation))
    return Task(
        sizes=tuple(len(grid) for grid in space.grids),
        gated=gated_variables(space),
        epochs=recipe.epochs,
        classes=space.family.classes,
        steps=max(shown // recipe.batch, 1),
        aside=aside,
        empty=empty_values(space),
        latency_ms=latency_ms,
        warmed=warmed,
    )


def train_supernet(
    bank: WeightBank,
    sampler: Sampler,
    images: ImageSet,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> Training:
    """Train the bank's weights on designs that the sampler draws, one a step.

    images:     of the size that the space's networks read; ``recipe.validation`` of them, an
                equal share of each class, are set aside, on which the sampler judges designs.
    recipe:     its rate goes up and down once (``flash.training.recipe``); images keep their size.
    checkpoint: file that holds all after every epoch. If it is there and of the same space,
                sampler, images, recipe and seed, the training goes on from it.
    progress:   told after every epoch.

    Raises ``Diverged`` when a loss is no number, ``UsageError`` for a sampler that needs gates in a
    space that has none, or more epochs, ``OSError`` when the checkpoint cannot be written.
    """
    if sampler.needs_gates and not all(sampler.task.gated):
        raise UsageError(
            f"in {bank.space.name} not every variable chooses an operation, so there is nothing to "
            "put a gate on: use a sampler that needs none, such as uniform or ddpnas"
        )
    if recipe.epochs < sampler.least_epochs:
        raise UsageError(
            f"this sampler needs {sampler.least_epochs} epochs or more, got {recipe.epochs}: the "
            "first train weights only, and it learns in those after them"
        )
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(
        [torch.zeros(1, requires_grad=True)],
        lr=recipe.peak_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    optimizer.param_groups[0]["params"] = []
    training = Training(bank, sampler, Batches(images, recipe, torch.device("cpu")), optimizer)
    label = (
        f"{bank.space.name} {[len(g) for g in bank.space.grids]} {bank.space.family.options} "
        f"{bank.seed} {bank.binary} {type(sampler).__name__} {sampler.task.warmed} "
        f"{images.digest} {recipe!r} {seed}"
    )
    _restore(training, checkpoint, label)
    while len(training.curve) < recipe.epochs:
        began = time.process_time()
        _epoch(training, recipe, seed)
        choice = score_shared(bank, sampler.result(), training.batches, _LOOK)
        training.curve.append(choice.accuracy)
        took = time.process_time() - began
        training.seconds += took
        if checkpoint is not None:
            _save(training, checkpoint, label)
        done = len(training.curve)
        left_s = training.seconds / done * (recipe.epochs - done)
        progress(Epoch(done, recipe.epochs, choice.accuracy, took, left_s))
    return training


# ---------------------------------------------------------------------------------- one epoch
def _epoch(training: Training, recipe: Recipe, seed: int) -> None:
    batches, sampler, number = training.batches, training.sampler, len(training.curve)
    rng = np.random.default_rng([seed, number])
    mirrored = np.random.default_rng([seed, _FLIPS]).random(batches.images) < 0.5
    mirrored ^= number % 2 == 1
    order = _shown(batches.labels, sampler.classes(number), rng)
    steps = max(len(order) // batches.batch, 1)
    seen = np.zeros((2, sampler.task.classes))
    weights_only = number < sampler.weights_only
    for step in range(steps):
        chosen = order[step * batches.batch : (step + 1) * batches.batch]
        design = sampler.draw(rng)
        if weights_only or step % 2 == 0:
            rate = _rate(recipe, (number + (step + 1) / steps) / recipe.epochs)
            shaped, labels = batches.changed(chosen, rng, 1.0, mirrored[chosen])
            right = _train_step(training, design, shaped, labels, rate)
            training.images += len(chosen)
            np.add.at(seen[0], labels.numpy(), right)
            np.add.at(seen[1], labels.numpy(), 1)
        else:
            training.checked += _validation_step(training, design, len(chosen), rng)
    with np.errstate(invalid="ignore"):
        sampler.epoch_ended(number, seen[0] / seen[1])


def _shown(
    labels: NDArray[np.int64], classes: NDArray[np.bool_] | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Training images of an epoch, in random order."""
    order: NDArray[np.int64] = rng.permutation(len(labels))
    return order if classes is None else order[classes[labels[order]]]


def _rate(recipe: Recipe, share: float) -> float:
    """The learning rate when this share of the steps is done: up, then down to nothing."""
    up, down = share / recipe.warm_up, (1 - share) / (1 - recipe.warm_up)
    return recipe.peak_rate * max(min(up, down), 0.0)


def _train_step(
    training: Training,
    design: NDArray[np.int64],
    shaped: torch.Tensor,
    labels: torch.Tensor,
    rate: float,
) -> NDArray[np.bool_]:
    """Move the weights of the design; returns which images it classified right."""
    module = training.bank.module(design)
    if module is None:
        return _tell_dead(training, design, labels, "train")
    weights = list(module.parameters())
    with training.bank.without_gates():
        scores = cast(torch.Tensor, module(shaped))
    loss = functional.cross_entropy(scores, labels)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient
    torch.nn.utils.clip_grad_norm_(weights, _CLIP)
    group = training.optimizer.param_groups[0]
    group["lr"] = rate
    group["params"] = weights  # others keep still, momentum and decay included
    for weight in weights:
        read = training.momentum.pop(training.bank.names[weight], None)
        if read is not None:
            training.optimizer.state[weight]["momentum_buffer"] = read
    training.optimizer.step()
    for weight in weights:
        weight.grad = None
    return _tell(training, design, "train", scores, labels, loss, None)


def _validation_step(
    training: Training, design: NDArray[np.int64], count: int, rng: np.random.Generator
) -> int:
    """Judge the design on validation images of the classes shown; returns how many."""
    part = training.batches.validation(1.0)
    allowed = training.sampler.classes(len(training.curve))
    own = _shown(part.labels.numpy(), allowed, rng)[:count]
    at = torch.from_numpy(own)
    labels = part.labels[at]
    module = training.bank.module(design)
    if module is None:
        _tell_dead(training, design, labels, "validation")
        return len(own)
    shaped = training.batches.normal(part.pixels[at])
    gated = training.sampler.needs_gates
    no_gates = nullcontext() if gated else training.bank.without_gates()
    with torch.set_grad_enabled(gated), no_gates:
        scores = cast(torch.Tensor, module(shaped.contiguous(memory_format=torch.channels_last)))
        loss = functional.cross_entropy(scores, labels)
    gradient = None
    if gated:
        (gradient,) = torch.autograd.grad(loss, [training.bank.gates], allow_unused=True)
    _tell(training, design, "validation", scores, labels, loss, gradient)
    return len(own)


def _tell(
    training: Training,
    design: NDArray[np.int64],
    split: Literal["train", "validation"],
    scores: torch.Tensor,
    labels: torch.Tensor,
    loss: torch.Tensor,
    gradient: torch.Tensor | None,
) -> NDArray[np.bool_]:
    """Let the sampler observe; which images were classified right."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise Diverged(f"the loss is no number in epoch {len(training.curve) + 1}")
    right: NDArray[np.bool_] = (scores.detach().argmax(1) == labels).numpy()
    by_gate = np.zeros(tuple(training.bank.gates.shape))
    if gradient is not None:
        by_gate = gradient.double().numpy()
    training.sampler.observe(Seen(design, split, value, float(right.mean()), by_gate))
    return right


def _tell_dead(
    training: Training,
    design: NDArray[np.int64],
    labels: torch.Tensor,
    split: Literal["train", "validation"],
) -> NDArray[np.bool_]:
    """A network without a path to its output: chance, and nothing to train."""
    classes = training.sampler.task.classes
    by_gate = np.zeros(tuple(training.bank.gates.shape))
    training.sampler.observe(Seen(design, split, math.log(classes), 1 / classes, by_gate))
    return np.zeros(len(labels), dtype=np.bool_)


# --------------------------------------------------------------------------------- checkpoint
def _save(training: Training, path: Path, label: str) -> None:
    used = training.optimizer.state.items()
    content: dict[str, Any] = {
        "curve": training.curve,
        "counts": [training.images, training.checked],
        "seconds": training.seconds,
        "weights": training.bank.state(),
        "momentum": training.momentum
        | {training.bank.names[weight]: state["momentum_buffer"] for weight, state in used},
        "sampler": {k: torch.from_numpy(v) for k, v in training.sampler.state.items()},
    }
    write_checkpoint(path, label, content)


def _restore(training: Training, path: Path | None, label: str) -> None:
    """Go on from the checkpoint, if there is one of this very training that can be read."""
    content = read_checkpoint(path, label)
    if not content:
        return
    training.bank.load(content["weights"])
    training.momentum = dict(content["momentum"])
    training.curve, training.seconds = list(content["curve"]), content["seconds"]
    training.images, training.checked = content["counts"]
    training.sampler.load({k: v.numpy() for k, v in content["sampler"].items()})
